"""The time index of one segment: maps timestamps to offsets.

File := entry*        entry := timestamp i64 | offset - base offset u32, big-endian

An entry means: ``timestamp`` is the largest timestamp of all batches up to the one that ends at ``offset``,
and that batch holds it. The last entry of a closed segment is the segment's largest timestamp, which
retention uses.

Invariants: timestamps and offsets ascend strictly from entry to entry.

Like the offset index it is a cache that is written when the segment is closed.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right

from streamcore.errors import CorruptIndexError, with_facts
from streamcore.log.records.batch import NO_TIMESTAMP
from streamcore.model import Offset, TimestampMs

ENTRY_BYTES = 12
_ENTRY = struct.Struct(">qI")


class TimeIndex:
    """The entries of one segment, as two compact columns."""

    __slots__ = ("_base_offset", "_relative_offsets", "_timestamps_ms")

    def __init__(self, base_offset: Offset) -> None:
        self._base_offset = base_offset
        self._timestamps_ms = array("q")
        self._relative_offsets = array("I")

    def __len__(self) -> int:
        return len(self._timestamps_ms)

    def maybe_append(self, timestamp_ms: TimestampMs, last_offset: Offset) -> None:
        """Add an entry, unless the timestamp is not above that of the last entry."""
        if timestamp_ms > self.last_timestamp_ms():
            self._timestamps_ms.append(timestamp_ms)
            self._relative_offsets.append(last_offset - self._base_offset)

    def lookup(self, timestamp_ms: TimestampMs) -> Offset:
        """Return an offset up to which no record is later than ``timestamp_ms``; the base offset if none
        is known.
        """
        found = bisect_right(self._timestamps_ms, timestamp_ms)
        return self._base_offset + (self._relative_offsets[found - 1] if found else 0)

    def last_timestamp_ms(self) -> TimestampMs:
        """The largest timestamp, -1 if there is no entry."""
        return self._timestamps_ms[-1] if self._timestamps_ms else NO_TIMESTAMP

    def last_offset(self) -> Offset:
        """The last offset of the batch with the largest timestamp; the base offset if there is no entry."""
        return self._base_offset + (self._relative_offsets[-1] if self._relative_offsets else 0)

    def encode(self) -> bytes:
        """Return the bytes of the index file."""
        return b"".join(map(_ENTRY.pack, self._timestamps_ms, self._relative_offsets))

    @classmethod
    def decode(cls, base_offset: Offset, data: bytes) -> TimeIndex:
        """Decode an index file.

        Raises:
            CorruptIndexError: the entries are cut off or not in order.
        """
        if len(data) % ENTRY_BYTES:
            raise CorruptIndexError(with_facts("a time index is cut off", base_offset=base_offset))
        index = cls(base_offset)
        for timestamp_ms, relative_offset in _ENTRY.iter_unpack(data):
            grows = not index._relative_offsets or relative_offset > index._relative_offsets[-1]
            if timestamp_ms <= index.last_timestamp_ms() or not grows:
                raise CorruptIndexError(with_facts("a time index is not in order", base_offset=base_offset))
            index._timestamps_ms.append(timestamp_ms)
            index._relative_offsets.append(relative_offset)
        return index
