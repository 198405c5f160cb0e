"""The segments of one partition, oldest first: finds the right one and reads across them.

Invariants: base offsets grow; there is always one segment, the last is the active one; an offset
belongs to the last segment whose base is not after it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from streamcore.log.records.decode import AbortedTransaction
from streamcore.log.storage.files import FileSystem
from streamcore.log.storage.segment.segment import Segment, StoredRange
from streamcore.log.storage.segment.transaction_index import AbortedEntry, overlapping
from streamcore.model import Isolation, Offset


class Found(NamedTuple):
    """Whole batches, what a reader of committed data must drop from them, and where to read on."""

    data: bytes
    aborted: tuple[AbortedTransaction, ...]
    next_offset: Offset


class Located(NamedTuple):
    """Where whole batches stand, and what a reader of committed data must drop from them."""

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
        """The segment that is appended to."""
        return self._segments[-1]

    @property
    def size_bytes(self) -> int:
        """Bytes of all data files."""
        return sum(segment.size_bytes for segment in self._segments)

    def leading(self, count: int) -> Sequence[Segment]:
        """The ``count`` oldest segments."""
        return self._segments[:count]

    def holding(self, offset: Offset) -> Segment:
        """The segment that an offset belongs in."""
        return self._segments[self.index_at(offset)]

    def add(self, segment: Segment) -> None:
        """Make a new segment the active one."""
        self._segments.append(segment)

    def read(self, start: Offset, *, end: Offset, bytes_max: int, isolation: Isolation) -> Found:
        """Read whole batches from the one that holds or follows ``start`` and begin before ``end``.

        If there is none, compaction has removed all of them, and reading goes on at ``end``.
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
        """The whole batches from the one that holds or follows ``start`` and begin before ``end``, unread.

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
        """All aborted transactions whose markers are in the log, in the order of the markers."""
        return [entry for segment in self._segments for entry in segment.aborted()]

    def delete_leading(self, count: int, *, file_system: FileSystem, directory: Path, delay_ms: int) -> None:
        """Remove the oldest segments; the active one stays. Their data files go after ``delay_ms``."""
        assert count < len(self._segments)
        gone = self._segments[:count]
        del self._segments[:count]
        for segment in gone:
            segment.take_out_data(delay_ms=delay_ms)
        # A data file that a crash brings back must find its transaction index.
        file_system.sync_directory(directory)
        for segment in gone:
            segment.remove_indexes()

    def index_of(self, run: Sequence[Segment]) -> int:
        """Where a run of neighbours begins; they are closed."""
        first = self._segments.index(run[0])
        assert list(run) == self._segments[first : first + len(run)], "neighbours, in order"
        assert run[-1] is not self.active
        return first

    def replace(self, first: int, count: int, new: Segment) -> None:
        """Put one segment in the place of ``count`` others."""
        self._segments[first : first + count] = [new]

    def index_at(self, offset: Offset) -> int:
        """The place in the list of the segment that an offset belongs in."""
        return max(0, bisect_right(self._segments, offset, key=lambda segment: segment.base_offset) - 1)
