"""The measured applications, each with a check of its answers.

``make_application("count", "msgspec")`` returns a new application over the topic of ``events``. Values are
typed by a dataclass or by a ``msgspec.Struct``; the decoder checks both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

import streamcore as sc
from bench.events import (
    EVENT_STEP_MS,
    OTHER_TOPIC,
    PASSED_V_MIN,
    START_MS,
    TOPIC,
    WINDOW_MS,
    event_keys,
    passed_count,
)
from streamcore.processing.dsl.stream import Stream
from streamcore.processing.runtime.running import Worker


@dataclass(frozen=True, slots=True)
class DataclassEvent:
    """An event, as a dataclass."""

    k: str
    v: int


class StructEvent(msgspec.Struct, frozen=True, gc=False):
    """An event, as a ``msgspec.Struct``."""

    k: str
    v: int


KEYS = 1_000
"""The number of keys in the rows whose answers are checked key by key."""
SPAN_MS = 2_000
"""Of 1,000 keys in turns, each event of one topic has about two events of the other within this time."""

Events: TypeAlias = Stream[str, Any]

VALUE_TYPES: dict[str, type[Any]] = {"dataclass": DataclassEvent, "msgspec": StructEvent}
Check = Callable[[Worker, int], None]
"""Asserts that the answers over this many events are right."""


def _others(app: sc.App) -> Any:
    return app.topic(OTHER_TOPIC, key=str, value=VALUE_TYPES["dataclass"], partitions=1)


def make_application(work: str, value_type: str) -> tuple[sc.App, Check]:
    """Return the application that does one kind of work, and its check."""
    app = sc.App("bench")
    events = app.topic(TOPIC, key=str, value=VALUE_TYPES[value_type], partitions=1)
    return app, _WORK[work](app, events)


def total(worker: Worker, table: str) -> int:
    """Return the sum of a table of counts."""
    return sum(answer.value for answer in worker.table(table).all())


def _doubles(events: Events) -> Stream[str, int]:
    @events.filter
    def large(event: Any) -> Any:
        return event.v >= PASSED_V_MIN

    @large.map
    def doubled(event: Any) -> Any:
        return event.v * 2

    return doubled


def _filter_map(app: sc.App, events: Events) -> Check:
    _doubles(events)

    return lambda worker, count: None


def _filter_map_to(app: sc.App, events: Events) -> Check:
    doubles = app.topic("doubles", key=str, value=int, partitions=1)
    _doubles(events).to(doubles)

    def check(worker: Worker, count: int) -> None:
        read = 0
        with worker.log.consumer("doubles", start="earliest") as consumer:
            while read < passed_count(count):
                records = consumer.poll("5s")
                assert records, f"{read} records of {passed_count(count)}"
                read += len(records)
        assert read == passed_count(count)

    return check


def _count(app: sc.App, events: Events) -> Check:
    events.count("counts")

    def check(worker: Worker, count: int) -> None:
        assert total(worker, "counts") == count

    return check


def _tumbling(app: sc.App, events: Events) -> Check:
    events.tumbling("10s").count("counts-10s")

    def check(worker: Worker, count: int) -> None:
        assert total(worker, "counts-10s") == count

    return check


def _hopping(app: sc.App, events: Events) -> Check:
    events.hopping("10s", "2s").count("counts-10s-2s")

    def check(worker: Worker, count: int) -> None:
        assert total(worker, "counts-10s-2s") == 5 * count

    return check


def _session(app: sc.App, events: Events, gap: str = "2s") -> Check:
    events.session(gap).count("sessions")

    def check(worker: Worker, count: int) -> None:
        assert total(worker, "sessions") == count

    return check


def _session_long(app: sc.App, events: Events) -> Check:
    return _session(app, events, "200s")


def _agent(app: sc.App, events: Events) -> Check:
    seen = app.table("seen", key=str, value=int, default=0)

    @app.agent(events)
    async def count_by_key(stream: Any) -> None:
        async for event in stream:
            seen[event.k] += 1

    def check(worker: Worker, count: int) -> None:
        assert total(worker, "seen") == count

    return check


def _group_by(app: sc.App, events: Events) -> Check:
    @events.group_by
    def by_key(event: Any) -> str:
        return str(event.k)

    by_key.aggregate(
        "by-key",
        n=sc.count(),
        total=sc.sum(lambda event: event.v),
        highest=sc.max(lambda event: event.v),
    )

    def check(worker: Worker, count: int) -> None:
        assert sum(answer.value.n for answer in worker.table("by-key").all()) == count

    return check


def _dedupe(app: sc.App, events: Events) -> Check:
    @events.dedupe(within=SPAN_MS)
    def firsts(event: Any) -> str:
        return str(event.k)

    passed = 0

    @firsts.foreach
    def passing(event: Any) -> None:
        nonlocal passed
        passed += 1

    def check(worker: Worker, count: int) -> None:
        assert 0.2 * count < passed < 0.5 * count

    return check


class _Timed(sc.Processor[str, Any, str, int]):
    """Sets a timer for each record."""

    def on_record(self, record: sc.Record[str, Any]) -> None:
        self.schedule(after=1_000)

    def on_timer(self, timer: sc.DueTimer[str]) -> None:
        self.forward(value=1)


def _timers(app: sc.App, events: Events) -> Check:
    due = 0

    @events.process("timed", _Timed).foreach
    def count_due(value: int) -> None:
        nonlocal due
        due += value

    def check(worker: Worker, count: int) -> None:
        assert count - 2_000 < due <= count

    return check


def _merge(app: sc.App, events: Events) -> Check:
    events.merge(_others(app)).count("counts")

    def check(worker: Worker, count: int) -> None:
        assert total(worker, "counts") == count

    return check


def _join_table(app: sc.App, events: Events) -> Check:
    newest = _others(app).table("newest")

    @events.join(newest)
    def sums(event: Any, other: Any) -> int:
        return int(event.v + other.v)

    return lambda worker, count: None


def _join_streams(app: sc.App, events: Events) -> Check:
    matches = 0

    @events.join(_others(app), before=SPAN_MS, after=SPAN_MS)
    def pairs(event: Any, other: Any) -> int:
        nonlocal matches
        matches += 1
        return int(event.v + other.v)

    def check(worker: Worker, count: int) -> None:
        assert 0.9 * count < matches < 1.1 * count

    return check


def _join_foreign_key(app: sc.App, events: Events) -> Check:
    newest = _others(app).table("newest")

    @events.table("orders").join(newest, on=lambda event: event.k)
    def sums(event: Any, other: Any) -> int:
        return int(event.v + other.v)

    def check(worker: Worker, count: int) -> None:
        numbers = {b"k%d" % number: number for number in range(KEYS)}
        referred = sum(numbers[key] % 10 for key in event_keys(count, KEYS))
        assert total(worker, "sums") == referred + sum(number % 10 for number in range(count))

    return check


def _newest_in_turns(count: int) -> tuple[dict[bytes, int], dict[bytes, int]]:
    """Return the newest ``v`` of each key in either of two topics that get the events in turns."""
    newest: tuple[dict[bytes, int], dict[bytes, int]] = ({}, {})
    for number, key in enumerate(event_keys(count, KEYS)):
        newest[number % 2][key] = number % 10
    return newest


def _join_tables(app: sc.App, events: Events) -> Check:
    @events.table("left").join(_others(app).table("right"))
    def sums(event: Any, other: Any) -> int:
        return int(event.v + other.v)

    def check(worker: Worker, count: int) -> None:
        left, right = _newest_in_turns(count)
        assert total(worker, "sums") == sum(left[key] + right[key] for key in left.keys() & right.keys())

    return check


def _join_as_of(app: sc.App, events: Events) -> Check:
    matches = 0
    versions = _others(app).table("versions", history="1m")

    @events.join(versions, as_of=True)
    def sums(event: Any, other: Any) -> int:
        nonlocal matches
        matches += 1
        return int(event.v + other.v)

    def check(worker: Worker, count: int) -> None:
        known: set[bytes] = set()
        expected = 0
        for number, key in enumerate(event_keys(count, KEYS)):
            if number % 2:
                known.add(key)
            else:
                expected += key in known
        assert matches == expected

    return check


def _join_windows(app: sc.App, events: Events) -> Check:
    counts = events.tumbling(WINDOW_MS).count("left")

    @counts.join(_others(app).tumbling(WINDOW_MS).count("right"), how="outer")
    def sums(count: int | None, other: int | None) -> int:
        return (count or 0) + (other or 0)

    def check(worker: Worker, count: int) -> None:
        assert total(worker, "sums") == count

    return check


def _sliding(app: sc.App, events: Events) -> Check:
    events.sliding(WINDOW_MS).count("counts-10s")

    def check(worker: Worker, count: int) -> None:
        times_ms: dict[str, list[int]] = {}
        for number, key in enumerate(event_keys(count, KEYS)):
            times_ms.setdefault(key.decode(), []).append(START_MS + number * EVENT_STEP_MS)
        # Each key's window that ends with its last record.
        newest = {
            answer.key.key: answer.value
            for answer in worker.table("counts-10s").all()
            if answer.key.end_ms == times_ms[answer.key.key][-1] + 1
        }
        assert newest == {
            key: sum(time_ms >= found_ms[-1] - WINDOW_MS for time_ms in found_ms)
            for key, found_ms in times_ms.items()
        }

    return check


def _tumbling_final(app: sc.App, events: Events) -> Check:
    results = 0

    @events.tumbling(WINDOW_MS).count("counts-10s").final().foreach
    def add(count: int) -> None:
        nonlocal results
        results += count

    def check(worker: Worker, count: int) -> None:
        assert count - WINDOW_MS <= results <= count

    return check


def _suppress(app: sc.App, events: Events) -> Check:
    events.count("counts").suppress(WINDOW_MS)

    def check(worker: Worker, count: int) -> None:
        assert count - WINDOW_MS <= total(worker, "counts-suppressed") <= count

    return check


_WORK: dict[str, Callable[[sc.App, Events], Check]] = {
    "filter-map": _filter_map,
    "filter-map-to": _filter_map_to,
    "count": _count,
    "tumbling": _tumbling,
    "hopping": _hopping,
    "session": _session,
    "session-long": _session_long,
    "agent": _agent,
    "group-by": _group_by,
    "dedupe": _dedupe,
    "timers": _timers,
    "merge": _merge,
    "join-table": _join_table,
    "join-streams": _join_streams,
    "join-foreign-key": _join_foreign_key,
    "join-tables": _join_tables,
    "join-as-of": _join_as_of,
    "join-windows": _join_windows,
    "sliding": _sliding,
    "tumbling-final": _tumbling_final,
    "suppress": _suppress,
}

WORK_NAMES = tuple(_WORK)
