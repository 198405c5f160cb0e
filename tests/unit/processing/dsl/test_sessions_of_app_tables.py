"""Sessions of tables that agents write: which one an event belongs to, what unites, what is undone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import streamcore as sc
from streamcore.errors import TopologyError, UsageError
from streamcore.testing import TopologyDriver

GAP_MS = 10


def joined(earlier: list[int], later: list[int]) -> list[int]:
    return [*earlier, *later]


def application(write: Any, *, concurrency: int = 1, retention: str | None = None) -> sc.App:
    """An agent that calls ``write(table, key, value)`` for each event, and fails where that fails."""
    app = sc.App("app", on_error=sc.skip)
    events = app.topic("events", key=str, value=int, partitions=1)
    plain = app.table("table", key=str, value=list[int], default=list)
    table = plain.session(GAP_MS, merge=joined, retention=retention)

    @app.agent(events, concurrency=concurrency, tables=[table])
    async def follow(stream: Any) -> None:
        async for key, value in stream.items():
            write(table, key, value)

    return app


def append(table: Any, key: str, value: int) -> None:
    table[key] = [*table[key], value]


def sessions(driver: TopologyDriver, key: str = "k") -> list[tuple[int, int, list[int]]]:
    return [
        (answer.key.start_ms, answer.key.end_ms, answer.value)
        for answer in driver.table("table").windows(key)
    ]


def written(write: Any, *times_ms: int, concurrency: int = 1) -> list[tuple[int, int, list[int]]]:
    with TopologyDriver(application(write, concurrency=concurrency)) as driver:
        for number, time_ms in enumerate(times_ms):
            driver.send("events", key="k", value=number, at=time_ms)
        driver.process()
        driver.crash()
        return sessions(driver)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_events_at_most_the_gap_apart_write_one_session(concurrency: int) -> None:
    found = written(append, 100, 110, 121, 95, concurrency=concurrency)

    assert found == [(95, 120, [0, 1, 3]), (121, 131, [2])]
    assert written(append, 110, 100, concurrency=concurrency) == [(100, 120, [0, 1])]


def test_an_event_between_two_sessions_unites_their_values_in_order() -> None:
    assert written(append, 115, 100, 107) == [(100, 125, [1, 0, 2])]


def test_reading_changes_no_session() -> None:
    seen: list[list[int]] = []

    def write(table: Any, key: str, value: int) -> None:
        if value == 2:
            seen.append(table[key])
        else:
            append(table, key, value)

    assert written(write, 100, 115, 107) == [(100, 110, [0]), (115, 125, [1])]
    assert seen == [[0, 1]]


def test_the_session_of_the_event_is_found_set_and_removed() -> None:
    seen: list[Any] = []

    def write(table: Any, key: str, value: int) -> None:
        seen.append((key in table, table.get(key), table.get(key, at=100), len(table)))
        if value == 1:
            del table[key]
            with pytest.raises(KeyError):
                del table[key]
        elif value == 3:
            seen.append(table.pop(key))
            seen.append(table.pop(key, "gone"))
        elif value == 4:
            table.setdefault(key, [9])
            append(table, key, value)
        elif value == 5:
            seen.append(sorted(window.start_ms for window in table))
            table.clear()
            seen.append(len(table))
        else:
            table[key] = [value]

    assert written(write, 100, 105, 120, 125, 130, 150) == []
    assert seen == [
        (False, None, None, 0),
        (True, [0], [0], 1),
        (False, None, None, 0),
        (True, [2], None, 1),
        [2],
        "gone",
        (False, None, None, 0),
        (False, None, None, 1),
        [130],
        0,
    ]


def test_the_number_of_keys_and_the_writes_of_one_event_are_those_of_the_table() -> None:
    def write(table: Any, key: str, value: int) -> None:
        table["other"] = [value]
        append(table, key, value)
        append(table, key, value)

    with TopologyDriver(application(write)) as driver:
        for value, at in ((1, 100), (2, 104), (3, 200)):
            driver.send("events", key="k", value=value, at=at)

        assert sessions(driver) == [(100, 114, [1, 1, 2, 2]), (200, 210, [3, 3])]
        assert sessions(driver, "other") == [(100, 114, [2]), (200, 210, [3])]
        answer = driver.table("table").get("k", at=113)
        assert answer is not None
        assert answer.key == sc.Windowed("k", 100, 114)
        assert driver.table("table").get("k", at=114) is None


def test_old_sessions_are_dropped_and_a_late_event_finds_nothing_of_them() -> None:
    app = application(append, retention="1m")
    with TopologyDriver(app) as driver:
        for value, at in ((1, 100), (2, 600_000), (3, 104)):
            driver.send("events", key="k", value=value, at=at)
            driver.process()
        driver.crash()
        driver.send("events", key="k", value=4, at=600_001)

        assert sessions(driver) == [(600_000, 600_011, [2, 4])]


def test_a_timer_reads_the_session_that_holds_a_time() -> None:
    app = application(append)
    (store,) = app.declaration.app_tables
    table: sc.SessionTable[str, list[int]] = sc.SessionTable(app.declaration, store, list[int], joined)
    seen: list[Any] = []

    @app.timer("1s")
    def look() -> None:
        seen.append((table.get("k", at=105), table.get("k", at=200), [*table.items()]))
        with pytest.raises(UsageError, match="at=time"):
            table.get("k")

    with TopologyDriver(app) as driver:
        driver.send("events", key="k", value=1, at=100)
        driver.advance("1s")

    assert seen == [([1], None, [(sc.Windowed("k", 100, 110), [1])])]


def test_sessions_without_a_merge_are_refused_where_they_are_declared() -> None:
    table = sc.App("app").table("table", key=str, value=int, default=0)

    with pytest.raises(TopologyError, match=r"merge=lambda earlier, later.*table=table at=.*\.py:\d+"):
        table.session("10s")
    with pytest.raises(TopologyError, match=r"table:merge"):
        table.session("10s", merge=lambda earlier: earlier)  # type: ignore[arg-type,misc]
    with pytest.raises(TopologyError, match="a session's gap is at least 1 ms"):
        table.session("0s", merge=lambda earlier, later: earlier + later)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "a\0"]),
        st.sampled_from([0, 3, 7, 10, 11, 45_000]),
        st.sampled_from([0, 0, 7, 10, 11, 90_000, 200_000]),
    ),
    max_size=40,
)
"""Key, how far the time goes on, how far behind it the event is. A store keeps sessions by minutes."""


def fails_on_some(table: Any, key: str, value: int) -> None:
    append(table, key, value)
    if value % 7 == 5:
        table["a"] = [*table["a"], -1]
        raise ValueError("undone")
    if value % 7 == 3:
        del table[key]


def expected(events: list[tuple[str, int]]) -> dict[str, list[tuple[int, int, list[int]]]]:
    """What an agent leaves that runs event by event, on lists."""
    found: dict[str, list[tuple[int, int, list[int]]]] = {"a": [], "b": [], "a\0": []}
    for value, (key, time_ms) in enumerate(events):
        if value % 7 == 5:
            continue
        own = found[key]
        near = [one for one in own if one[1] >= time_ms and one[0] <= time_ms + GAP_MS]
        left = [one for one in own if one not in near]
        values = [each for one in near for each in one[2]] + [value]
        start_ms = min([time_ms, *(one[0] for one in near)])
        end_ms = max([time_ms + GAP_MS, *(one[1] for one in near)])
        found[key] = sorted([*left, *([] if value % 7 == 3 else [(start_ms, end_ms, values)])])
    return found


@pytest.mark.slow
@settings(phases=[Phase.generate, Phase.explicit])
@given(EVENTS, st.sampled_from([1, 3]), st.data())
def test_sessions_are_those_of_an_agent_on_lists_whatever_crashes(
    drawn: list[tuple[str, int, int]], concurrency: int, data: st.DataObject
) -> None:
    events: list[tuple[str, int]] = []
    now_ms = 0
    for key, step_ms, behind_ms in drawn:
        now_ms += step_ms
        events.append((key, max(0, now_ms - behind_ms)))
    slice_records = data.draw(st.integers(1, 12), label="records in a slice")
    app = application(fails_on_some, concurrency=concurrency)
    with TopologyDriver(app, slice_records_max=slice_records) as driver:
        done = 0
        while done < len(events):
            count = data.draw(st.integers(1, len(events) - done), label="sent together")
            for value in range(done, done + count):
                key, time_ms = events[value]
                driver.send("events", key=key, value=value, at=time_ms)
            done += count
            fault = data.draw(st.sampled_from(["none", "crash", "crash later"]), label="fault")
            if fault == "crash":
                driver.crash()
            elif fault == "crash later":
                driver.crash_at(data.draw(st.integers(1, 60), label="operations until the crash"))
            driver.process()

        assert {key: sessions(driver, key) for key in ("a", "b", "a\0")} == expected(events)
