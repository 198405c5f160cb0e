"""The inputs of a task: a record queue for each partition, with decoded records in their order of event time.

Order: the partition time of a record is the running maximum of event times in its partition, which a restart
continues. A worker takes the record with the lowest partition time among all its queues. This merges
partitions that are in time order exactly, and keeps the order of a partition that is not. Of equal
partition times the first input's records are taken first, wherever fetches were cut. Partition times never
fall, so a span of them is found by bisection. A record without a time has the partition time of the record
before it.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat, zip_longest
from typing import TypeAlias

from streamcore.errors import fact_text
from streamcore.model import FetchedColumns, Headers, Offset, Record, TopicPartition
from streamcore.processing.operators.batch import Batch, BatchSource
from streamcore.processing.operators.guard import Guard
from streamcore.processing.runtime.decoded_columns import DecodedColumns
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.marks import NOT_KNOWN, Mark, WriterTimes
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.times import NO_TIME

_logger = logging.getLogger(__name__)


def warn_of_gap(partition: TopicPartition, position: Offset, log_start: Offset) -> None:
    """Log that records were deleted before they were processed; processing continues after them."""
    _logger.warning(
        "records were deleted from the topic before they were processed; processing continues after them; "
        "give the topic a longer retention: %s",
        fact_text(partition=partition, position=position, log_start=log_start),
    )


RoundEnd: TypeAlias = tuple[int, int]
"""A partition time, and the rank of the last input whose records of that time are before the end."""


class QueueSlice:
    """Consecutive rows of a record queue: records, and marks of the tasks that wrote them."""

    __slots__ = ("_decoded", "_start", "end", "on_error", "partition_times_ms", "timestamps_ms")

    def __init__(self, decoded: DecodedColumns, start: int, end: int) -> None:
        self._decoded = decoded
        self._start = start
        self.end = end
        self.timestamps_ms = decoded.timestamps_ms[start:end]
        self.partition_times_ms: Sequence[int] = decoded.partition_times_ms[start:end]
        self.on_error: ErrorPolicy | None = decoded.topic.on_error

    def record_at(self, index: int) -> Record[bytes | None, bytes | None]:
        """Return a record as the log holds it."""
        fetched = self._decoded.fetched
        index += self._start
        headers: Headers = () if fetched.headers is None else fetched.headers[index]
        return Record(
            fetched.keys[index],
            fetched.values[index],
            fetched.timestamps_ms[index],
            headers,
            fetched.partition.topic,
            fetched.partition.partition,
            fetched.offsets[index],
        )

    @property
    def partition(self) -> TopicPartition:
        """The partition of the records."""
        return self._decoded.fetched.partition

    def offsets_at(self, indexes: Sequence[int]) -> list[Offset]:
        """Return the offsets of some records."""
        offsets, start = self._decoded.fetched.offsets, self._start
        return [offsets[start + index] for index in indexes]

    def offset_behind(self, count: int) -> Offset:
        """Return the next offset to process once the first ``count`` records are done."""
        decoded, end = self._decoded, self._start + count
        return (
            decoded.fetched.next_offset
            if end == len(decoded.partition_times_ms)
            else decoded.fetched.offsets[end - 1] + 1
        )

    def __len__(self) -> int:
        return self.end - self._start

    @property
    def mark_count(self) -> int:
        """The number of rows that are marks."""
        marks = self._decoded.marks
        return sum(self._start <= row < self.end for row in marks) if marks else 0

    def marks_until(self, count: int) -> Iterator[Mark]:
        """Yield the marks among the first ``count`` rows, in order."""
        for row, marks in self._decoded.marks.items():
            if self._start <= row < self._start + count:
                yield from marks

    @property
    def record_times_ms(self) -> Sequence[int]:
        """The highest time of a record up to each row; marks do not move it."""
        return self._decoded.record_times_ms[self._start : self.end]

    @property
    def is_in_order(self) -> bool:
        """Whether the source times of the records are their partition times."""
        return self._decoded.source_times_ms is None

    @property
    def sources_ms(self) -> Sequence[int | None]:
        """The source time of each record; ``None`` for a mark."""
        decoded = self._decoded
        times_ms = decoded.partition_times_ms if decoded.source_times_ms is None else decoded.source_times_ms
        rows = range(self._start, self.end)
        return [None if row in decoded.marks else times_ms[row] for row in rows]

    def record_time_ms(self, index: int) -> int:
        """Return the highest time of a record up to a row."""
        return self._decoded.record_times_ms[self._start + index]

    @property
    def times_ms(self) -> Sequence[int]:
        """How far the input is after each row: its partition time, or what the writers' marks say.

        ``NO_TIME`` where nothing waits for it, because all its writers are idle.
        """
        if self._decoded.progress is None:
            return self.partition_times_ms
        return [time_ms for time_ms, count in self.steps(0, len(self)) for _ in range(count)]

    def steps(self, first: int, end: int) -> Iterable[tuple[int, int]]:
        """Return ``times_ms`` of the rows from one to another as pairs: a time, and how many rows have it."""
        if self._decoded.progress is None:
            return zip(self.partition_times_ms[first:end], repeat(1), strict=False)
        first, end = self._start + first, self._start + end
        found: list[tuple[int, int]] = []
        for time, following in zip_longest(self._decoded.progress, self._decoded.progress[1:]):
            count = (end if following is None else min(following.row, end)) - max(time.row, first)
            if count > 0:
                found.append((NO_TIME if time.is_idle else time.time_ms, count))
        return found

    def batch(self, guard: Guard, source: BatchSource, origins: Sequence[int]) -> Batch:
        """Return the records as a batch, without those that do not decode; the guard decides about these."""
        decoded, start, end = self._decoded, self._start, self.end
        marks = decoded.marks
        while end > start and end - 1 in marks:
            # The usual place of marks: behind the records of a commit.
            end -= 1
        headers, source_times_ms = decoded.headers, decoded.source_times_ms
        whole = Batch(
            decoded.keys[start:end],
            decoded.values[start:end],
            self.timestamps_ms[: end - start],
            origins[: end - start],
            None if headers is None else headers[start:end],
            source,
            decoded.has_no_nulls,
            None if source_times_ms is None else source_times_ms[start:end],
        )
        failures = decoded.failures
        if not failures and not any(start <= row < end for row in marks):
            return whole
        failed = [index for index in sorted(failures) if start <= index < end]
        for index in failed:
            guard.failed(whole, index - start, failures[index])
        gone = {*failed, *marks}
        return whole.take([index for index in range(end - start) if start + index not in gone])


class RecordQueue:
    """The records of one partition that a task reads: at most one fetch, and the next offset to process."""

    def __init__(
        self,
        partition: TopicPartition,
        topic: TopicSpec,
        position: Offset,
        partition_time_ms: int = NO_TIME,
        writers: Iterable[str] | None = None,
        marks: Sequence[Mark] = (),
        has_records: bool = False,
        record_time_ms: int | None = None,
    ) -> None:
        """Create an empty queue.

        Args:
            record_time_ms: the highest time of a record before ``position``, if it is not the partition time.
            writers: the tasks that write marks into the partition.
            marks: the last marks before ``position``, as far as they are known.
            has_records: there are records in the log behind ``position``, which a fetch will bring.
        """
        self.partition = partition
        self.topic = topic
        self.position = position
        """The next offset to process, which a commit writes."""
        self.rank = 0
        """The rank among all inputs of the worker: of equal partition times the lowest rank goes first."""
        self.partition_time_ms = partition_time_ms
        """The partition time of the last record done, from which a restart continues."""
        self.record_time_ms = partition_time_ms if record_time_ms is None else record_time_ms
        """The highest time of a record done. Marks move the partition time, but not this one."""
        self.caught_up = False
        """Whether the last fetch found nothing more."""
        self.is_idle = False
        """Whether the partition has been silent for so long that it does not hold the watermark, or the tasks
        that write it are idle.
        """
        self._fetched_marks = self._done_marks = None
        if writers is not None:
            names = tuple(writers)
            self._fetched_marks, self._done_marks = WriterTimes(names, marks), WriterTimes(names, marks)
            self.is_idle = self._done_marks.is_idle
        self._is_awaited = has_records and partition_time_ms == NO_TIME
        self._decoded: DecodedColumns | None = None
        self._in_work: QueueSlice | None = None
        self._cursor = 0
        self._fetched_to = position
        self._last_time_ms = partition_time_ms
        self._last_record_time_ms = self.record_time_ms

    @property
    def is_empty(self) -> bool:
        """Whether a fetch is needed before anything can be taken."""
        return self._decoded is None and self._in_work is None

    @property
    def is_left_behind(self) -> bool:
        """Whether the watermark does not wait for the partition: it is idle, or has never had a record."""
        return self.is_idle or self.time_ms == NO_TIME

    @property
    def has_marks(self) -> bool:
        """Whether the tasks that write the partition say how far it is."""
        return self._done_marks is not None

    @property
    def time_ms(self) -> int:
        """How far the partition is: no record that is in time comes later with an earlier source time.

        ``NOT_KNOWN`` while marks are missing, or before the first fetch of a partition that has records;
        ``NO_TIME`` for a partition that has had no record.
        """
        if self._done_marks is not None:
            return self._done_marks.time_ms
        is_awaited = self._is_awaited and not self.caught_up
        return NOT_KNOWN if is_awaited else self.partition_time_ms

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The last mark of each task that writes the partition, before the position."""
        return () if self._done_marks is None else self._done_marks.marks

    @property
    def is_known(self) -> bool:
        """Whether the partition has a time, or is known to be empty."""
        return self.time_ms != NOT_KNOWN and (self.time_ms != NO_TIME or self.caught_up or self.has_marks)

    @property
    def fetch_position(self) -> Offset:
        """The next offset to fetch: after all fetched records, done or not."""
        return max(self.position, self._fetched_to)

    def fill(
        self, fetched: FetchedColumns, now_ms: int | None = None, ahead_ms: int | None = None
    ) -> list[int]:
        """Add fetched records to an empty queue. ``max_ahead`` of the topic counts from ``now_ms``.

        Times that are further ahead of ``now_ms`` than ``ahead_ms`` do not move the partition time; they are
        returned.
        """
        assert self.is_empty
        self._is_awaited = False
        self._fetched_to = fetched.next_offset
        if not len(fetched):
            self.position = fetched.next_offset
            return []
        self._decoded = DecodedColumns(
            fetched,
            self.topic,
            self._last_time_ms,
            now_ms,
            self._fetched_marks,
            ahead_ms,
            self._last_record_time_ms,
        )
        self._cursor = 0
        self._last_time_ms = self._decoded.partition_times_ms[-1]
        self._last_record_time_ms = self._decoded.record_times_ms[-1]
        return self._decoded.ahead

    @property
    def newest_ms(self) -> int:
        """The highest event time fetched of this partition."""
        return self._last_time_ms

    def head_time_ms(self) -> int:
        """Return the partition time of the next record. Only when not empty."""
        assert self._decoded is not None
        return self._decoded.partition_times_ms[self._cursor]

    def head_offset(self) -> Offset:
        """Return the offset of the next record. Only when not empty."""
        assert self._decoded is not None
        return self._decoded.fetched.offsets[self._cursor]

    def offered_time_ms(self, records_max: int) -> int | None:
        """Return the partition time up to which all records are known; ``None`` for all times.

        Records beyond ``records_max`` are kept for the next round.
        """
        if self._in_work is not None:
            # The other queues wait for the records that are under way.
            return self._in_work.partition_times_ms[-1]
        if self._decoded is None:
            return None
        end = self._cursor + records_max
        if end < len(self._decoded.partition_times_ms):
            return self._decoded.partition_times_ms[end - 1]
        return None if self.caught_up else self._last_time_ms

    def count_until(self, end: RoundEnd | None) -> int:
        """Return the number of records up to ``end``; of all records if ``end`` is ``None``."""
        if self._decoded is None:
            return 0
        partition_times_ms = self._decoded.partition_times_ms
        if end is None:
            return len(partition_times_ms) - self._cursor
        time_ms, rank = end
        find = bisect_right if self.rank <= rank else bisect_left
        return find(partition_times_ms, time_ms, self._cursor) - self._cursor

    def take(self, count: int) -> QueueSlice:
        """Take the next ``count`` records, at least one. The position moves when they are done."""
        decoded = self._decoded
        assert decoded is not None
        assert self._in_work is None
        if self._done_marks is None:
            self.is_idle = False
        end = self._cursor + count
        self._in_work = taken = QueueSlice(decoded, self._cursor, end)
        if end == len(decoded.partition_times_ms):
            self._decoded = None
        else:
            self._cursor = end
        return taken

    def done(self, taken: QueueSlice, count: int) -> None:
        """Move the position past the first ``count`` records of what was taken: they are done."""
        if count:
            self.position = taken.offset_behind(count)
            self.partition_time_ms = taken.partition_times_ms[count - 1]
            self.record_time_ms = taken.record_time_ms(count - 1)
            if self._done_marks is not None:
                self._done_marks.take(taken.marks_until(count))
                self.is_idle = self._done_marks.is_idle
        if count == len(taken):
            self._in_work = None
