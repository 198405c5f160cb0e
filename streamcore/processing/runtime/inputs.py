"""The inputs of a task: fetched records, decoded, waiting in their order of event time.

Order: each record has an order key, the running maximum of event times in its partition since the worker
started. A worker takes the record with the lowest order key among all its partitions, which merges
partitions that are in time order exactly, and lets a partition that is not keep its own order. Of equal
keys the first input's go first, wherever fetches were cut. Order keys never fall, so a span of them is
found by bisection. A record without a time has the order key of the record before it.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeAlias

from streamcore.errors import SerdeError, fact_text
from streamcore.model import FetchedColumns, Headers, Offset, Record, TopicPartition
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard, each
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.times import (
    NO_TIME,
    NO_TIMESTAMP,
    ensure_not_ahead,
    event_time_ms,
    times_known,
    timestamps_seen,
)

_logger = logging.getLogger(__name__)

_MAY_BE_NONE = ("any", "custom")


def warn_of_gap(source: TopicPartition, position: Offset, log_start: Offset) -> None:
    """Tell people that records were deleted before they were processed; processing goes on behind them."""
    _logger.warning(
        "records were deleted from the topic before they were processed, going on behind them; "
        "give the topic a longer retention: %s",
        fact_text(partition=source, position=position, log_start=log_start),
    )


RoundEnd: TypeAlias = tuple[int, int]
"""An order key, and the rank of the last input whose records with that key are before the end."""


class DecodedRun:
    """A fetched run with its keys, values and event times as the application sees them."""

    __slots__ = (
        "failures",
        "has_no_nulls",
        "keys",
        "known_times_ms",
        "orders",
        "run",
        "timestamps_ms",
        "topic",
        "values",
    )

    def __init__(
        self, run: FetchedColumns, topic: TopicSpec, order_before: int, now_ms: int | None = None
    ) -> None:
        self.run = run
        self.topic = topic
        self.failures: dict[int, BaseException] = {}
        self.keys = self._decoded(topic.key_serde.decode, run.keys)
        self.values = self._decoded(topic.value_serde.decode, run.values)
        # An untyped value, or a serde of the user's own, may decode to ``None``.
        is_typed = topic.internal or (topic.skips_nulls and topic.value_serde.type_name not in _MAY_BE_NONE)
        self.has_no_nulls = is_typed and None not in run.values
        if topic.timestamp is None:
            self.timestamps_ms = timestamps_seen(run.timestamps_ms)
        else:
            self.timestamps_ms = self._event_times(topic.timestamp)
        if topic.max_ahead_ms is not None and now_ms is not None:
            self._refuse_ahead(now_ms, topic.max_ahead_ms)
        self.known_times_ms = times_known(self.timestamps_ms)
        orders = list(accumulate(self.known_times_ms, max, initial=order_before))
        del orders[0]
        self.orders = orders

    def _decoded(self, decode: Callable[[bytes], Any], column: list[bytes | None]) -> list[Any]:
        if None in column:
            return each(lambda data: None if data is None else decode(data), column, self._not_decoded)
        return each(decode, column, self._not_decoded)

    def _not_decoded(self, position: int, error: BaseException) -> None:
        self.failures.setdefault(position, SerdeError(f"{type(error).__name__}: {error}"))

    def _event_times(self, timestamp: Callable[[Any], Any]) -> list[int]:
        """The times that the values tell; a record whose value is missing or tells none has no time."""

        def event_time(position: int) -> int:
            value = self.values[position]
            if value is None or position in self.failures:
                return NO_TIMESTAMP
            return event_time_ms(timestamp, value)

        def failed(position: int, error: BaseException) -> int:
            self.failures.setdefault(position, error)
            return NO_TIMESTAMP

        return each(event_time, range(len(self.values)), failed)

    def _refuse_ahead(self, now_ms: int, ahead_ms_max: int) -> None:
        if not self.timestamps_ms or max(self.timestamps_ms) - now_ms <= ahead_ms_max:
            return

        def failed(position: int, error: BaseException) -> int:
            self.failures.setdefault(position, error)
            return NO_TIMESTAMP

        def checked(timestamp_ms: int) -> int:
            ensure_not_ahead(timestamp_ms, now_ms, ahead_ms_max)
            return timestamp_ms

        self.timestamps_ms = each(checked, self.timestamps_ms, failed)


class QueueSlice:
    """Consecutive records of one run, as the source of a batch. Origins count from its start."""

    __slots__ = ("_decoded", "_start", "end", "known_times_ms", "on_error", "orders", "timestamps_ms")

    def __init__(self, decoded: DecodedRun, start: int, end: int) -> None:
        self._decoded = decoded
        self._start = start
        self.end = end
        self.timestamps_ms = decoded.timestamps_ms[start:end]
        self.known_times_ms: Sequence[int] = decoded.known_times_ms[start:end]
        self.orders: Sequence[int] = decoded.orders[start:end]
        self.on_error: ErrorPolicy | None = decoded.topic.on_error

    def record_at(self, origin: int) -> Record[bytes | None, bytes | None]:
        """The record as it stood in the log."""
        run = self._decoded.run
        position = self._start + origin
        headers: Headers = () if run.headers is None else run.headers[position]
        return Record(
            run.keys[position],
            run.values[position],
            run.timestamps_ms[position],
            headers,
            run.partition.topic,
            run.partition.partition,
            run.offsets[position],
        )

    def offset_behind(self, count: int) -> Offset:
        """The next offset to process once the first ``count`` records are done."""
        decoded, end = self._decoded, self._start + count
        return decoded.run.next_offset if end == len(decoded.orders) else decoded.run.offsets[end - 1] + 1

    def __len__(self) -> int:
        return self.end - self._start

    def batch(self, guard: Guard) -> Batch:
        """The records as a batch, without those that do not decode; the guard decides about these."""
        decoded, start, end = self._decoded, self._start, self.end
        headers = decoded.run.headers
        whole = Batch(
            decoded.keys[start:end],
            decoded.values[start:end],
            self.timestamps_ms,
            range(end - start),
            None if headers is None else headers[start:end],
            self,
            decoded.has_no_nulls,
        )
        failures = decoded.failures
        if not failures:
            return whole
        failed = [position for position in sorted(failures) if start <= position < end]
        for position in failed:
            guard.failed(whole, position - start, failures[position])
        gone = set(failed)
        return whole.take([index for index in range(end - start) if start + index not in gone])


class Moment:
    """The source of what happens because time passed: it stands for no record."""

    __slots__ = ("known_times_ms", "on_error", "orders")

    def __init__(self, stream_time_ms: int) -> None:
        self.known_times_ms: Sequence[int] = [stream_time_ms]
        self.orders: Sequence[int] = [stream_time_ms]
        self.on_error: ErrorPolicy | None = None

    def record_at(self, origin: int) -> Record[bytes | None, bytes | None]:
        """No record: the time at which it happened."""
        return Record(None, None, self.known_times_ms[0])


class RecordQueue:
    """One partition that a task reads: at most one fetched run, and the position behind what is done."""

    def __init__(
        self, source: TopicPartition, topic: TopicSpec, position: Offset, order: int = NO_TIME
    ) -> None:
        self.source = source
        self.topic = topic
        self.position = position
        """The next offset to process: what a commit would write."""
        self.rank = 0
        """The place among all inputs of the worker: of equal order keys the lowest rank goes first."""
        self.order = order
        """The order key of the last record done; what a restart goes on from."""
        self.caught_up = False
        """Whether the last fetch found nothing more."""
        self._decoded: DecodedRun | None = None
        self._in_work: QueueSlice | None = None
        self._cursor = 0
        self._fetched_to = position
        self._last_order = order

    @property
    def is_empty(self) -> bool:
        """Whether a fetch is needed before anything can be taken."""
        return self._decoded is None and self._in_work is None

    @property
    def fetch_position(self) -> Offset:
        """The next offset to fetch: behind what was fetched, done or not."""
        return max(self.position, self._fetched_to)

    def fill(self, run: FetchedColumns, now_ms: int | None = None) -> None:
        """Take a fetched run. Only when empty. ``now_ms`` is what ``max_ahead`` of the topic counts from."""
        assert self.is_empty
        self._fetched_to = run.next_offset
        if not len(run):
            self.position = run.next_offset
            return
        self._decoded = DecodedRun(run, self.topic, self._last_order, now_ms)
        self._cursor = 0
        self._last_order = self._decoded.orders[-1]

    @property
    def newest_ms(self) -> int:
        """The highest event time fetched of this partition."""
        return self._last_order

    def head_order(self) -> int:
        """The order key of the next record. Only when not empty."""
        assert self._decoded is not None
        return self._decoded.orders[self._cursor]

    def offered_order(self, records_max: int) -> int | None:
        """The order key up to which this buffer can answer for its partition; ``None`` for all times.

        Records beyond ``records_max`` are kept for the next round.
        """
        if self._in_work is not None:
            # Others wait for what this partition has in work.
            return self._in_work.orders[-1]
        if self._decoded is None:
            return None
        end = self._cursor + records_max
        if end < len(self._decoded.orders):
            return self._decoded.orders[end - 1]
        return None if self.caught_up else self._last_order

    def count_until(self, end: RoundEnd | None) -> int:
        """How many records come up to ``end``; all of them, where there is none."""
        if self._decoded is None:
            return 0
        orders = self._decoded.orders
        if end is None:
            return len(orders) - self._cursor
        order, rank = end
        find = bisect_right if self.rank <= rank else bisect_left
        return find(orders, order, self._cursor) - self._cursor

    def take(self, count: int) -> QueueSlice:
        """Take the next ``count`` records, at least one. The position moves when they are done."""
        decoded = self._decoded
        assert decoded is not None
        assert self._in_work is None
        end = self._cursor + count
        self._in_work = taken = QueueSlice(decoded, self._cursor, end)
        if end == len(decoded.orders):
            self._decoded = None
        else:
            self._cursor = end
        return taken

    def done(self, taken: QueueSlice, count: int) -> None:
        """The first ``count`` records of what was taken are done: move the position behind them."""
        if count:
            self.position = taken.offset_behind(count)
            self.order = taken.orders[count - 1]
        if count == len(taken):
            self._in_work = None
