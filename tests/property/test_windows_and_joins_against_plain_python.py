"""Windows, joins of streams and limits equal what plain Python computes from all records at once.

The application runs in rounds of random size and its machine fails; several partitions are at different
times, and records come out of order and late. ``tests/support/plain_answers`` has the definitions. Engine and
interpreter share some rules, for example when a window closes, so that a comparison of these two does not
show a fault in such a rule; this one does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import streamcore as sc
from streamcore.partitioning import partition_of_key
from streamcore.testing import TopologyDriver
from tests.support import plain_answers as plain

S = 1_000
HOUR = 3_600_000
KEYS = ("a", "b", "c", "d")
SENT = st.lists(
    st.tuples(
        st.sampled_from(["events", "events", "others"]),
        st.sampled_from(KEYS),
        st.sampled_from([None, 0, 1, 2, 3, 4, 5]),
        st.integers(-12, 8),
    ),
    max_size=40,
)
"""Topic, key, value, and by how many steps of time the record is ahead of the one before it."""


def pair(left: int | None, right: int | None) -> str:
    return f"{left} {right}"


def on_bucket(value: int) -> str:
    return f"by {value % 2}"


def application(partitions: int) -> sc.App:
    app = sc.App("recomputed", on_error=sc.skip)
    events = app.topic("events", key=str, value=int, partitions=partitions)
    others = app.topic("others", key=str, value=int, partitions=partitions)
    kinds = {
        "tumbling": events.tumbling("5s", grace="3s"),
        "hopping": events.hopping("6s", "2s", grace="2s"),
        "uneven": events.hopping("5s", "3s", grace="2s"),
        "sliding": events.sliding("3s", grace="2s"),
        "sessions": events.session("3s", grace="2s"),
        "grouped": events.group_by(on_bucket, key=str).tumbling("5s", grace="3s"),
        "days": events.calendar("day", tz="Europe/Berlin", grace="1h"),
    }
    for name, windowed in kinds.items():
        windowed.aggregate(name, values=sc.collect()).final().to(f"{name}-finals")
        windowed.count(f"{name}-counts")
        windowed.sum(f"{name}-sums", lambda value: value).updates().to(f"{name}-changes")
        windowed.count(f"{name}-paced").updates(every="4s").to(f"{name}-paced-changes")
    events.count("running").suppress("4s", max_keys=3, name="calm").to_stream().to("calm-changes")
    for how in ("inner", "left", "outer"):
        joined = events.join(
            others, pair, before="2s", after="4s", grace="1s", how=how, name=f"join-{how}", value=str
        )
        joined.to(f"joined-{how}")
    events.take(2, within="5s", grace="2s").to("taken")
    events.rate_limit(2, per="4s", grace="2s").to("limited")
    events.dedupe(None, within="4s", grace="2s").to("deduped")
    return app


def expected_windows(events: list[plain.Event]) -> dict[str, dict[plain.Window, list[Any]]]:
    by_value = [
        plain.Event(on_bucket(event.value), event.value, event.at_ms, event.source_ms) for event in events
    ]
    return {
        "tumbling": plain.in_windows(events, 5 * S, 5 * S, 3 * S),
        "hopping": plain.in_windows(events, 6 * S, 2 * S, 2 * S),
        "uneven": plain.in_windows(events, 5 * S, 3 * S, 2 * S),
        "sliding": plain.in_sliding(events, 3 * S, 2 * S),
        "sessions": plain.in_sessions(events, 3 * S, 2 * S),
        "grouped": plain.in_windows(by_value, 5 * S, 5 * S, 3 * S),
        "days": plain.in_days(events, "Europe/Berlin", HOUR),
    }


def key_of(windowed: sc.Windowed[str]) -> plain.Window:
    return windowed.key, windowed.start_ms, windowed.end_ms


def rows_of(driver: TopologyDriver, table: str) -> dict[plain.Window, Any]:
    return {key_of(answer.key): answer.value for answer in driver.table(table).all()}


def written(driver: TopologyDriver, topic: str) -> Iterator[tuple[plain.Window, Any]]:
    return ((key_of(record.key), record.value) for record in driver.read(topic))


def in_no_order(values: Any) -> list[Any]:
    return sorted(values, key=repr)


@pytest.mark.slow
@settings(phases=[Phase.generate, Phase.explicit])
@given(SENT, st.data())
@pytest.mark.parametrize("step_ms", [S, HOUR])
def test_windows_joins_and_limits_are_those_of_all_records_at_once(
    step_ms: int, sent: list[tuple[str, str, int | None, int]], data: st.DataObject
) -> None:
    partitions = data.draw(st.integers(1, 2), label="partitions")
    slice_records = data.draw(st.integers(1, 12), label="records in a slice")
    records: dict[str, list[tuple[int, str, Any, int]]] = {"events": [], "others": []}
    # Noon of the day before clocks are set forward in Berlin, or 1970.
    start_ms = 1_711_796_400_000 if step_ms == HOUR else 0
    time_ms = start_ms
    with TopologyDriver(application(partitions), slice_records_max=slice_records) as driver:
        # Each partition has a first time, so that each of them holds windows back from the beginning.
        rest: list[tuple[str, int, str, int | None, int]] = [
            (topic, partition, "first", None, start_ms)
            for topic in records
            for partition in range(partitions)
        ]
        for topic, key, value, steps in sent:
            time_ms = max(start_ms, time_ms + steps * step_ms)
            rest.append((topic, partition_of_key(key.encode(), partitions), key, value, time_ms))
        while rest:
            count = max(2 * partitions, data.draw(st.integers(1, len(rest)), label="sent together"))
            now, rest = rest[:count], rest[count:]
            for topic, partition, key, value, at_ms in now:
                driver.send(topic, key=key, value=value, at=at_ms, partition=partition)
                records[topic].append((partition, key, value, at_ms))
            fault = data.draw(st.sampled_from(["none", "none", "crash", "crash later"]), label="fault")
            if fault == "crash":
                driver.crash()
            elif fault == "crash later":
                driver.crash_at(data.draw(st.integers(1, 80), label="operations until the crash"))
            driver.process()
        driver.close_windows()

        events, others = plain.events_of(records["events"]), plain.events_of(records["others"])
        for name, windows in expected_windows(events).items():
            # Behind a repartition topic, records of two partitions come in the order of their times.
            ordered = in_no_order if name == "grouped" else list
            finals = [(key, ordered(value.values)) for key, value in written(driver, f"{name}-finals")]
            assert sorted(finals) == sorted((key, ordered(found)) for key, found in windows.items()), name
            counts = {key: len(found) for key, found in windows.items()}
            assert rows_of(driver, f"{name}-counts") == counts, name
            assert plain.newest_of(written(driver, f"{name}-paced-changes")) == counts, name
            sums = {key: sum(found) for key, found in windows.items()}
            assert plain.newest_of(written(driver, f"{name}-changes")) == sums, name
        running = Counter(event.key for event in events)
        assert {answer.key: answer.value for answer in driver.table("calm").all()} == running
        assert {record.key: record.value for record in driver.read("calm-changes")} == running
        for how in ("inner", "left", "outer"):
            rows = plain.joined_streams(events, others, 2 * S, 4 * S, S, how)
            found = [
                (record.key, record.value, record.timestamp_ms) for record in driver.read(f"joined-{how}")
            ]
            assert Counter(found) == Counter(
                {(key, pair(left, right), at_ms): count for (key, left, right, at_ms), count in rows.items()}
            ), how
        for topic, passed in (
            ("taken", plain.taken(events, 2, 5 * S, 2 * S)),
            ("limited", plain.limited(events, 2, 4 * S, 2 * S)),
            ("deduped", plain.limited(events, 1, 4 * S, 2 * S, passes_late=True)),
        ):
            assert passed == Counter(
                (record.key, record.value, record.timestamp_ms) for record in driver.read(topic)
            ), topic
