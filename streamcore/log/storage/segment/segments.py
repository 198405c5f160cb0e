"""The segments of one partition, oldest first: finds segments by offset and reads across them.

Invariants: base offsets ascend; there is always one segment, the last is the active one; an offset
belongs to the last segment whose base offset is not after it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from streamcore.log.records.decode import AbortedTransaction
from streamcore.log.storage.files import Bytes, FileSystem
from streamcore.log.storage.segment.segment import Segment, StoredRange
from streamcore.log.storage.segment.transaction_index import AbortedEntry, overlapping
from streamcore.model import Isolation, Offset


class Found(NamedTuple):
    """Complete batches, the aborted transactions in them, and the offset at which to read next."""

    data: Bytes
    aborted: tuple[AbortedTransaction, ...]
    next_offset: Offset


class Located(NamedTuple):
    """The byte ranges of complete batches, and the aborted transactions in them."""

    segment: Segment
    stored: StoredRange
    aborted: tuple[AbortedTransaction, ...]


class Segments:
    """An ordered list of segments."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        assert segments, "a partition has at least its active segment"
        self._segments = list(segments)

    def __len__(self) -> int:
        return len(self._segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._segments)

    @property
    def active(self) -> Segment:
        """The segment that receives appends."""
        return self._segments[-1]

    @property
    def size_bytes(self) -> int:
        """The size of all data files, in bytes."""
        return sum(segment.size_bytes for segment in self._segments)

    def leading(self, count: int) -> Sequence[Segment]:
        """Return the ``count`` oldest segments."""
        return self._segments[:count]

    def holding(self, offset: Offset) -> Segment:
        """Return the segment to which an offset belongs."""
        return self._segments[self.index_at(offset)]

    def add(self, segment: Segment) -> None:
        """Add a new segment, which becomes the active one."""
        self._segments.append(segment)

    def read(self, start: Offset, *, end: Offset, bytes_max: int, isolation: Isolation) -> Found:
        """Read complete batches that begin before ``end``, from the one that holds or follows ``start``.

        If there is none, compaction has removed all of them, and reading continues at ``end``.
        """
        for index in range(self.index_at(start), len(self._segments)):
            data, next_offset = self._segments[index].read(start, end=end, bytes_max=bytes_max)
            if data:
                aborted: tuple[AbortedTransaction, ...] = ()
                if isolation is Isolation.READ_COMMITTED:
                    indexes = (segment.aborted() for segment in self._segments[index:])
                    aborted = overlapping(indexes, start=start, end=next_offset)
                return Found(data, aborted, next_offset)
        return Found(b"", (), end)

    def locate(self, start: Offset, *, end: Offset, bytes_max: int, isolation: Isolation) -> Located | None:
        """Return the ranges of complete batches that begin before ``end``, from the one that holds or follows
        ``start``.

        ``None`` if there is none: compaction has removed all of them.
        """
        for index in range(self.index_at(start), len(self._segments)):
            segment = self._segments[index]
            found = segment.locate(start, end=end, bytes_max=bytes_max)
            if found.size_bytes:
                aborted: tuple[AbortedTransaction, ...] = ()
                if isolation is Isolation.READ_COMMITTED:
                    indexes = (each.aborted() for each in self._segments[index:])
                    aborted = overlapping(indexes, start=start, end=found.end_offset)
                return Located(segment, found, aborted)
        return None

    def aborted_entries(self) -> list[AbortedEntry]:
        """Return all aborted transactions whose markers are in the log, in the order of the markers."""
        return [entry for segment in self._segments for entry in segment.aborted()]

    def delete_leading(self, count: int, *, file_system: FileSystem, directory: Path, delay_ms: int) -> None:
        """Remove the oldest segments; the active one stays. Their data files are deleted after
        ``delay_ms``.
        """
        assert count < len(self._segments)
        gone = self._segments[:count]
        del self._segments[:count]
        for segment in gone:
            segment.take_out_data(delay_ms=delay_ms)
        # If a crash brings a data file back, its transaction index must still be there.
        file_system.sync_directory(directory)
        for segment in gone:
            segment.remove_indexes()

    def index_of(self, run: Sequence[Segment]) -> int:
        """Return the index of the first of some neighbouring closed segments."""
        first = self._segments.index(run[0])
        assert list(run) == self._segments[first : first + len(run)], "neighbours, in order"
        assert run[-1] is not self.active
        return first

    def replace(self, first: int, count: int, new: Segment) -> None:
        """Replace ``count`` segments by one."""
        self._segments[first : first + count] = [new]

    def index_at(self, offset: Offset) -> int:
        """Return the index of the segment to which an offset belongs."""
        return max(0, bisect_right(self._segments, offset, key=lambda segment: segment.base_offset) - 1)
