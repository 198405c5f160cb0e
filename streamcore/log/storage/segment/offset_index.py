"""The offset index of one segment: maps offsets to byte positions in the segment's data file.

The index is sparse: an entry is made every ``index.interval.bytes``. A lookup returns a byte position at or
before the record, and the segment scans the data file from there.

File := entry*        entry := last offset of a batch - base offset u32 | the batch's position u32, big-endian

Invariants:

* Offsets and byte positions both ascend strictly from entry to entry.
* Every byte position is the start of a batch in the data file.

The file has no checksum: after an unclean stop the index is rebuilt from the data file, which has checksums.
The file is written when the segment is closed; the index of the active segment is in memory.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from itertools import pairwise

from streamcore.errors import CorruptIndexError, with_facts
from streamcore.model import Offset

ENTRY_BYTES = 8
RELATIVE_OFFSET_MAX = 2**31 - 1


class OffsetIndex:
    """The entries of one segment, as two compact columns."""

    __slots__ = ("_base_offset", "_positions", "_relative_offsets")

    def __init__(self, base_offset: Offset) -> None:
        self._base_offset = base_offset
        self._relative_offsets = array("I")
        self._positions = array("I")

    def __len__(self) -> int:
        return len(self._positions)

    def append(self, last_offset: Offset, position: int) -> None:
        """Add the entry of a batch."""
        self._relative_offsets.append(last_offset - self._base_offset)
        self._positions.append(position)

    def lookup(self, offset: Offset) -> int:
        """Return the byte position of a batch that starts at or before ``offset``; 0 if no entry does."""
        found = bisect_right(self._relative_offsets, offset - self._base_offset)
        return self._positions[found - 1] if found else 0

    def last_entry_until(self, position: int) -> tuple[int, Offset]:
        """Return byte position and last offset of the last batch with an entry not after ``position``.

        The start of the segment, if there is none.
        """
        found = bisect_right(self._positions, position)
        if not found:
            return 0, self._base_offset
        return self._positions[found - 1], self._base_offset + self._relative_offsets[found - 1]

    def last_position(self) -> int:
        """The byte position of the last entry; 0 if there is none."""
        return self._positions[-1] if self._positions else 0

    def truncate(self, size_bytes: int) -> None:
        """Remove the entries of batches at or after this byte position."""
        while self._positions and self._positions[-1] >= size_bytes:
            self._positions.pop()
            self._relative_offsets.pop()

    def encode(self) -> bytes:
        """Return the bytes of the index file."""
        entries = array("I", bytes(ENTRY_BYTES * len(self)))
        entries[0::2] = self._relative_offsets
        entries[1::2] = self._positions
        if sys.byteorder == "little":
            entries.byteswap()
        return entries.tobytes()

    @classmethod
    def decode(cls, base_offset: Offset, data: bytes, *, data_file_bytes: int) -> OffsetIndex:
        """Decode an index file.

        Raises:
            CorruptIndexError: the entries cannot belong to a data file of this size.
        """
        if len(data) % ENTRY_BYTES:
            raise CorruptIndexError(with_facts("an offset index is cut off", base_offset=base_offset))
        entries = array("I", data)
        if sys.byteorder == "little":
            entries.byteswap()
        index = cls(base_offset)
        index._relative_offsets = entries[0::2]
        index._positions = entries[1::2]
        if not (_grows(index._relative_offsets) and _grows(index._positions)):
            raise CorruptIndexError(with_facts("an offset index is not in order", base_offset=base_offset))
        if index.last_position() >= data_file_bytes and len(index):
            raise CorruptIndexError(
                with_facts("an offset index points past its data file", base_offset=base_offset)
            )
        return index


def _grows(column: array[int]) -> bool:
    return all(earlier < later for earlier, later in pairwise(column))
