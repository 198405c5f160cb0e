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
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

from streamcore.errors import SerdeError, fact_text
from streamcore.model import FetchedColumns, Headers, Offset, Record, TopicPartition
from streamcore.processing.operators.batch import Batch, BatchSource
from streamcore.processing.operators.guard import Guard, each
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.source_times import without_source_time
from streamcore.processing.topology.times import (
    NO_TIME,
    NO_TIMESTAMP,
    TIME_MS_MAX,
    ascend_between,
    ensure_not_ahead,
    event_time_ms,
    times_known,
    timestamps_seen,
)
from streamcore.serde import Serde

_logger = logging.getLogger(__name__)

_MAY_BE_NONE = ("any", "custom")


def warn_of_gap(partition: TopicPartition, position: Offset, log_start: Offset) -> None:
    """Log that records were deleted before they were processed; processing continues after them."""
    _logger.warning(
        "records were deleted from the topic before they were processed; processing continues after them; "
        "give the topic a longer retention: %s",
        fact_text(partition=partition, position=position, log_start=log_start),
    )


RoundEnd: TypeAlias = tuple[int, int]
"""A partition time, and the rank of the last input whose records of that time are before the end."""


class DecodedColumns:
    """Fetched columns with keys, values and event times as the application sees them."""

    __slots__ = (
        "failures",
        "fetched",
        "has_no_nulls",
        "headers",
        "keys",
        "partition_times_ms",
        "source_times_ms",
        "timestamps_ms",
        "topic",
        "values",
    )

    def __init__(
        self, fetched: FetchedColumns, topic: TopicSpec, time_before_ms: int, now_ms: int | None = None
    ) -> None:
        self.fetched = fetched
        self.topic = topic
        self.failures: dict[int, BaseException] = {}
        self.headers = fetched.headers
        self.source_times_ms: list[int] | None = None
        """The times by which records of a repartition topic are late, if they are not the partition times."""
        keys = _decoded_at_once(topic.key_serde, fetched.keys)
        self.keys = self._decoded(topic.key_serde.decode, fetched.keys) if keys is None else keys
        self.values = self._decoded(topic.value_serde.decode, fetched.values)
        # An untyped value, or a user's serde, may decode to ``None``.
        is_typed = topic.internal or (topic.skips_nulls and topic.value_serde.type_name not in _MAY_BE_NONE)
        self.has_no_nulls = is_typed and None not in fetched.values
        if topic.timestamp is None:
            self.timestamps_ms = fetched.timestamps_ms
        else:
            self.timestamps_ms = self._event_times(topic.timestamp)
        highest_ms = TIME_MS_MAX
        if topic.max_ahead_ms is not None and now_ms is not None:
            highest_ms = min(highest_ms, now_ms + topic.max_ahead_ms)
        has_headers = topic.internal and fetched.headers is not None
        if not has_headers and ascend_between(self.timestamps_ms, max(0, time_before_ms), highest_ms):
            # Most columns: every timestamp is known, and is the partition time as well.
            self.partition_times_ms: Sequence[int] = self.timestamps_ms
            return
        self.timestamps_ms = timestamps_seen(self.timestamps_ms)
        if topic.max_ahead_ms is not None and now_ms is not None:
            self._refuse_ahead(now_ms, topic.max_ahead_ms)
        known_times_ms = times_known(self.timestamps_ms)
        if topic.internal:
            known_times_ms = self.source_times_ms = self._source_times(known_times_ms)
        partition_times_ms = list(accumulate(known_times_ms, max, initial=time_before_ms))
        del partition_times_ms[0]
        self.partition_times_ms = partition_times_ms

    def _source_times(self, known_times_ms: Sequence[int]) -> list[int]:
        """Return the source times of records of a repartition topic, and take them from the headers."""
        if self.headers is None:
            return list(known_times_ms)
        found = list(map(without_source_time, self.headers, known_times_ms))
        self.headers = [headers for _, headers in found]
        if not any(self.headers):
            self.headers = None
        return [time_ms for time_ms, _ in found]

    def _decoded(self, decode: Callable[[bytes], Any], column: list[bytes | None]) -> list[Any]:
        if None in column:
            return each(lambda data: None if data is None else decode(data), column, self._not_decoded)
        return each(decode, column, self._not_decoded)

    def _not_decoded(self, index: int, error: BaseException) -> None:
        self.failures.setdefault(index, SerdeError(f"{type(error).__name__}: {error}"))

    def _event_times(self, timestamp: Callable[[Any], Any]) -> list[int]:
        """Return the times computed from the values; a record without a value, or whose value has no time,
        has no time.
        """
        if not self.failures and (self.has_no_nulls or all(value is not None for value in self.values)):
            times_ms = _times_of(timestamp, self.values)
            if times_ms is not None:
                return times_ms

        def event_time(index: int) -> int:
            value = self.values[index]
            if value is None or index in self.failures:
                return NO_TIMESTAMP
            return event_time_ms(timestamp, value)

        def failed(index: int, error: BaseException) -> int:
            self.failures.setdefault(index, error)
            return NO_TIMESTAMP

        return each(event_time, range(len(self.values)), failed)

    def _refuse_ahead(self, now_ms: int, ahead_ms_max: int) -> None:
        if not self.timestamps_ms or max(self.timestamps_ms) - now_ms <= ahead_ms_max:
            return

        def failed(index: int, error: BaseException) -> int:
            self.failures.setdefault(index, error)
            return NO_TIMESTAMP

        def checked(timestamp_ms: int) -> int:
            ensure_not_ahead(timestamp_ms, now_ms, ahead_ms_max)
            return timestamp_ms

        self.timestamps_ms = each(checked, self.timestamps_ms, failed)


def _decoded_at_once(serde: Serde[Any], column: Sequence[bytes | None]) -> list[Any] | None:
    """Return keys decoded by ``decode_many``, equal ones once; ``None`` if that is not possible."""
    if serde.decode_many is None:
        return None
    known = [key for key in set(column) if key is not None]
    try:
        key_of: dict[Any, Any] = dict(zip(known, serde.decode_many(known), strict=True))
    except Exception:  # noqa: BLE001 - of the classes of keys; the keys are taken one by one then
        return None
    key_of[None] = None
    return list(map(key_of.__getitem__, column))


def _times_of(timestamp: Callable[[Any], Any], values: Sequence[Any]) -> list[int] | None:
    """Return the times of values if all of them are ints in the range of times; ``None`` otherwise."""
    try:
        times_ms = list(map(timestamp, values))
    except Exception:  # noqa: BLE001 - a function of the user; the values are taken one by one then
        return None
    if len(times_ms) != len(values) or not set(map(type, times_ms)) <= {int}:
        return None
    return times_ms if not times_ms or (min(times_ms) >= 0 and max(times_ms) <= TIME_MS_MAX) else None


class QueueSlice:
    """Consecutive records of a record queue."""

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

    def batch(self, guard: Guard, source: BatchSource, origins: Sequence[int]) -> Batch:
        """Return the records as a batch, without those that do not decode; the guard decides about these."""
        decoded, start, end = self._decoded, self._start, self.end
        headers, source_times_ms = decoded.headers, decoded.source_times_ms
        whole = Batch(
            decoded.keys[start:end],
            decoded.values[start:end],
            self.timestamps_ms,
            origins,
            None if headers is None else headers[start:end],
            source,
            decoded.has_no_nulls,
            None if source_times_ms is None else source_times_ms[start:end],
        )
        failures = decoded.failures
        if not failures:
            return whole
        failed = [index for index in sorted(failures) if start <= index < end]
        for index in failed:
            guard.failed(whole, index - start, failures[index])
        gone = set(failed)
        return whole.take([index for index in range(end - start) if start + index not in gone])


class RecordQueue:
    """The records of one partition that a task reads: at most one fetch, and the next offset to process."""

    def __init__(
        self, partition: TopicPartition, topic: TopicSpec, position: Offset, partition_time_ms: int = NO_TIME
    ) -> None:
        self.partition = partition
        self.topic = topic
        self.position = position
        """The next offset to process, which a commit writes."""
        self.rank = 0
        """The rank among all inputs of the worker: of equal partition times the lowest rank goes first."""
        self.partition_time_ms = partition_time_ms
        """The partition time of the last record done, from which a restart continues."""
        self.caught_up = False
        """Whether the last fetch found nothing more."""
        self.is_idle = False
        """Whether the partition has been silent for so long that it does not hold the watermark."""
        self._decoded: DecodedColumns | None = None
        self._in_work: QueueSlice | None = None
        self._cursor = 0
        self._fetched_to = position
        self._last_time_ms = partition_time_ms

    @property
    def is_empty(self) -> bool:
        """Whether a fetch is needed before anything can be taken."""
        return self._decoded is None and self._in_work is None

    @property
    def is_left_behind(self) -> bool:
        """Whether the watermark does not wait for the partition: it is idle, or has never had a record."""
        return self.is_idle or self.partition_time_ms == NO_TIME

    @property
    def fetch_position(self) -> Offset:
        """The next offset to fetch: after all fetched records, done or not."""
        return max(self.position, self._fetched_to)

    def fill(self, fetched: FetchedColumns, now_ms: int | None = None) -> None:
        """Add fetched records to an empty queue. ``max_ahead`` of the topic counts from ``now_ms``."""
        assert self.is_empty
        self._fetched_to = fetched.next_offset
        if not len(fetched):
            self.position = fetched.next_offset
            return
        self._decoded = DecodedColumns(fetched, self.topic, self._last_time_ms, now_ms)
        self._cursor = 0
        self._last_time_ms = self._decoded.partition_times_ms[-1]

    @property
    def newest_ms(self) -> int:
        """The highest event time fetched of this partition."""
        return self._last_time_ms

    def head_time_ms(self) -> int:
        """Return the partition time of the next record. Only when not empty."""
        assert self._decoded is not None
        return self._decoded.partition_times_ms[self._cursor]

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
        if count == len(taken):
            self._in_work = None
