"""Fetched columns as a task sees them: decoded, with the times of their records and the marks between them.

A record that does not decode keeps its row and its error; the step that meets it decides. A mark keeps its
row, too, so that its place among the records is exact wherever fetches and rounds are cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from streamcore.errors import SerdeError
from streamcore.model import FetchedColumns, Headers
from streamcore.processing.operators.guard import each
from streamcore.processing.topology.marks import Mark, WriterTimes, rows_of_marks
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

_MAY_BE_NONE = ("any", "custom")


class InputTime(NamedTuple):
    """How far an input is from one of its rows on, by the marks of the tasks that write it."""

    row: int
    time_ms: int
    is_idle: bool


class DecodedColumns:
    """Fetched columns with keys, values and event times as the application sees them."""

    __slots__ = (
        "_highest_ms",
        "ahead",
        "failures",
        "fetched",
        "has_no_nulls",
        "headers",
        "keys",
        "marks",
        "partition_times_ms",
        "progress",
        "record_times_ms",
        "source_times_ms",
        "timestamps_ms",
        "topic",
        "values",
    )

    failures: dict[int, BaseException]
    headers: list[Headers] | None
    keys: list[Any]
    partition_times_ms: Sequence[int]
    record_times_ms: Sequence[int]
    """As ``partition_times_ms``, of records alone: marks do not move these times."""
    source_times_ms: list[int] | None
    """The times by which records of a repartition topic are late, if they are not the partition times."""
    timestamps_ms: list[int]
    values: list[Any]

    def __init__(
        self,
        fetched: FetchedColumns,
        topic: TopicSpec,
        time_before_ms: int,
        now_ms: int | None = None,
        writers: WriterTimes | None = None,
        ahead_ms: int | None = None,
        record_time_before_ms: int = NO_TIME,
    ) -> None:
        """Decode fetched columns.

        ``max_ahead`` of the topic and ``ahead_ms`` count from ``now_ms``: times further ahead than the first
        are errors of their records, and those further ahead than ``ahead_ms`` do not move partition times.
        """
        self.fetched = fetched
        self.topic = topic
        self.failures = {}
        self.ahead: list[int] = []
        """The times that do not move partition times, because they are too far ahead of the clock."""
        self._highest_ms = TIME_MS_MAX
        if now_ms is not None and topic.max_ahead_ms is not None:
            self._highest_ms = min(TIME_MS_MAX, now_ms + topic.max_ahead_ms)
        elif now_ms is not None and ahead_ms is not None and not topic.takes_any_time:
            self._highest_ms = min(TIME_MS_MAX, now_ms + ahead_ms)
        self.marks: dict[int, tuple[Mark, ...]] = {}
        """The rows that hold marks instead of a record. The other columns hold nothing there."""
        self.progress: list[InputTime] | None = None
        """How far the input is after the rows from one on; ``None``: as far as the partition times say."""
        if writers is not None:
            self.marks = rows_of_marks(fetched.keys, fetched.values, fetched.headers)
            self.progress = [InputTime(0, writers.time_ms, writers.is_idle)]
        if not self.marks:
            self._decode(fetched, time_before_ms, now_ms)
            self.record_times_ms = self.partition_times_ms
            if writers is not None:
                self.record_times_ms = self._times_of_records(record_time_before_ms)
            return
        assert writers is not None
        assert self.progress is not None
        placing_ms = []
        for row, marks in self.marks.items():
            writers.take(marks)
            placing_ms.append(writers.placing_ms)
            self.progress.append(InputTime(row, writers.time_ms, writers.is_idle))
        kept = [row for row in range(len(fetched)) if row not in self.marks]
        self._decode(_rows_of(fetched, kept), time_before_ms, now_ms)
        times_ms = list(self._times_of_records(record_time_before_ms))
        for row in self.marks:
            times_ms.insert(row, times_ms[row - 1] if row else record_time_before_ms)
        self.record_times_ms = times_ms
        self._make_place_for_marks(kept, placing_ms, time_before_ms)

    def _times_of_records(self, time_before_ms: int) -> Sequence[int]:
        """Return the highest time up to each record that was decoded."""
        known_ms = self.partition_times_ms if self.source_times_ms is None else self.source_times_ms
        return list(accumulate(known_ms, max, initial=time_before_ms))[1:]

    def _make_place_for_marks(
        self, kept: Sequence[int], placing_ms: Sequence[int], time_before_ms: int
    ) -> None:
        """Put the records, which were decoded without the marks, into their rows.

        In the order of all inputs, the place of a mark is that of a record of the time that it brings.
        """
        self.failures = {kept[row]: error for row, error in self.failures.items()}
        if self.source_times_ms is None and kept and next(iter(self.marks)) < kept[-1]:
            # A record behind a mark can be earlier than the mark says: its task was idle.
            self.source_times_ms = list(self.partition_times_ms)
        partition_times_ms = list(self.partition_times_ms)
        for row, time_ms in zip(self.marks, placing_ms, strict=True):
            before_ms = partition_times_ms[row - 1] if row else time_before_ms
            partition_times_ms.insert(row, max(before_ms, time_ms))
            self.keys.insert(row, None)
            self.values.insert(row, None)
            self.timestamps_ms.insert(row, NO_TIMESTAMP)
            if self.headers is not None:
                self.headers.insert(row, ())
            if self.source_times_ms is not None:
                self.source_times_ms.insert(row, before_ms)
        self.partition_times_ms = list(accumulate(partition_times_ms, max))

    def _decode(self, fetched: FetchedColumns, time_before_ms: int, now_ms: int | None) -> None:
        topic = self.topic
        self.headers = fetched.headers
        self.source_times_ms = None
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
        highest_ms = self._highest_ms
        has_headers = topic.internal and fetched.headers is not None
        if not has_headers and ascend_between(self.timestamps_ms, max(0, time_before_ms), highest_ms):
            # Most columns: every timestamp is known, and is the partition time as well.
            self.partition_times_ms = self.timestamps_ms
            return
        self.timestamps_ms = timestamps_seen(self.timestamps_ms)
        if topic.max_ahead_ms is not None and now_ms is not None:
            self._refuse_ahead(now_ms, topic.max_ahead_ms)
        known_times_ms = times_known(self.timestamps_ms)
        if topic.internal:
            known_times_ms = self.source_times_ms = self._source_times(known_times_ms)
        self.ahead = [time_ms for time_ms in known_times_ms if time_ms > highest_ms]
        if self.ahead:
            known_times_ms = [NO_TIME if time_ms > highest_ms else time_ms for time_ms in known_times_ms]
            self.source_times_ms = known_times_ms if topic.internal else None
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


def _rows_of(fetched: FetchedColumns, rows: Sequence[int]) -> FetchedColumns:
    """Return some of the rows. The columns can be changed."""
    kept = fetched.take(rows)
    headers = None if kept.headers is None or not any(kept.headers) else kept.headers
    return FetchedColumns(
        kept.keys,
        kept.values,
        kept.timestamps_ms,
        headers,
        partition=fetched.partition,
        offsets=[fetched.offsets[row] for row in rows],
        next_offset=fetched.next_offset,
    )
