"""Windows of tables that agents write: the windows of the event, each with its own value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import TopologyError, UsageError, UserCodeError
from streamcore.testing import TopologyDriver

Windows = list[tuple[int, Any]]


def written(
    declare: Callable[[sc.AppTable[str, Any]], sc.AppTable[str, Any]],
    write: Callable[[Any, str, int], object],
    *times_s: int,
    default: Any = 0,
    value: Any = int,
    concurrency: int = 1,
) -> Windows:
    """The windows of a table, in seconds, after an agent has called ``write`` for each event."""
    app = sc.App("app")
    events = app.topic("events", key=str, value=int, partitions=1)
    table = declare(app.table("table", key=str, value=value, default=default))

    @app.agent(events, concurrency=concurrency)
    async def follow(stream: Any) -> None:
        async for key, number in stream.items():
            write(table, key, number)

    with TopologyDriver(app) as driver:
        for number, time_s in enumerate(times_s):
            driver.send(events, key="k", value=number, at=time_s * 1_000)
        driver.process()
        driver.crash()
        return [(answer.key.start_ms // 1_000, answer.value) for answer in driver.table("table").windows("k")]


def hopping(table: sc.AppTable[str, Any]) -> sc.AppTable[str, Any]:
    return table.hopping("10s", "5s")


def add_one(table: Any, key: str, number: int) -> None:
    table[key] += 1


def test_get_has_its_default_in_the_windows_without_a_value_and_is_none_without_both() -> None:
    seen: list[Any] = []

    def write(table: Any, key: str, number: int) -> None:
        seen.append(table.get(key) is None)
        seen.append(table.get(key, 7).values())
        seen.append(table.get(key, 7).newest())
        table[key] = table.get(key, 0) + 1

    assert written(hopping, write, 12, 16, default=3) == [(5, 1), (10, 2), (15, 1)]
    assert seen == [True, [7, 7], 7, False, [1, 7], 7]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_adding_in_a_hopping_table_adds_in_each_window_that_holds_the_event(concurrency: int) -> None:
    found = written(hopping, add_one, 12, 14, 16, 3, 20, concurrency=concurrency)

    assert found == [(0, 1), (5, 2), (10, 3), (15, 2), (20, 1)]


def test_a_value_that_is_made_of_the_values_of_the_windows_is_set_in_each() -> None:
    def write(table: Any, key: str, number: int) -> None:
        table[key] = 2 * table[key] + number - 1

    assert written(hopping, write, 12, 14, 16) == [(5, -2), (10, -3), (15, 1)]


def test_one_value_is_set_in_all_windows_of_the_event() -> None:
    def write(table: Any, key: str, number: int) -> None:
        table[key] = number

    assert written(hopping, write, 12, 14, 16) == [(5, 1), (10, 2), (15, 2)]


def test_map_makes_each_value_of_its_own_and_default_objects_are_not_shared() -> None:
    def write(table: Any, key: str, number: int) -> None:
        table[key] = table[key].map(lambda numbers, more: [*numbers, more], number)

    found = written(hopping, write, 12, 16, default=list, value=list[int])

    assert found == [(5, [0]), (10, [0, 1]), (15, [1])]


def test_a_key_is_in_a_hopping_table_if_a_window_of_the_event_has_it_and_is_removed_from_all() -> None:
    seen: list[Any] = []

    def write(table: Any, key: str, number: int) -> None:
        values = table.get(key)
        seen.append((key in table, None if values is None else values.values(), table.get(key, at=6_000)))
        if number == 2:
            del table[key]
            with pytest.raises(KeyError):
                del table[key]
        elif number == 4:
            seen.append(table.pop(key).values())
            seen.append(table.pop(key, "gone"))
        else:
            table.setdefault(key, number + 10)

    found = written(hopping, write, 8, 12, 13, 16, 17)

    assert seen == [
        (False, None, None),
        (True, [10, 0], 10),  # the window from 5 s has it, the newest does not
        (True, [10, 11], 10),
        (False, None, 10),  # the window from 0 is none of the event
        (True, [13, 13], 10),
        [13, 13],
        "gone",
    ]
    assert found == [(0, 10)]


def test_the_values_of_windows_are_not_taken_for_one_value() -> None:
    def write(table: Any, key: str, number: int) -> None:
        values = table[key]
        assert len(values) == 2
        assert [window.end_ms for window, _ in values.items()] == [15_000, 20_000]
        assert repr(values).startswith("<WindowValues of 'table'")
        for use in (
            lambda: bool(values),
            lambda: values == 3,
            lambda: values != 3,
            lambda: values > 3,
            lambda: values <= 3,
        ):
            with pytest.raises(UsageError, match=r"newest\(\).*table=table"):
                use()
        with pytest.raises(TypeError):
            int(values)
        with pytest.raises(ValueError, match="del table"):
            table[key] = None
        with pytest.raises(ValueError, match="del table"):
            table[key] = values.map(lambda _: None)

    assert written(hopping, write, 12) == []


def test_values_of_two_tables_are_combined_window_by_window_or_refused() -> None:
    app = sc.App("app")
    events = app.topic("events", key=str, value=int, partitions=1)
    sums = app.table("sums", key=str, value=int, default=0).hopping("10s", "5s")
    counts = app.table("counts", key=str, value=int, default=0).hopping("10s", "5s")
    means = app.table("means", key=str, value=float, default=0.0).hopping("10s", "5s")
    others = app.table("others", key=str, value=int, default=0).hopping("10s", "2s")

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for key, value in stream.items():
            sums[key] += value
            counts[key] += 1
            means[key] = sums[key] / counts[key]
            if value == 9:
                sums[key] += others[key]

    with TopologyDriver(app) as driver:
        for at, value in [(12_000, 2), (16_000, 5)]:
            driver.send(events, key="k", value=value, at=at)

        assert [answer.value for answer in driver.table("means").windows("k")] == [2.0, 3.5, 5.0]
        driver.send(events, key="k", value=9, at=17_000)
        with pytest.raises(UserCodeError, match="other windows"):
            driver.process()


def test_a_failing_event_leaves_nothing_in_any_window() -> None:
    app = sc.App("app", on_error=sc.skip)
    events = app.topic("events", key=str, value=int, partitions=1)
    table = app.table("table", key=str, value=int, default=0).hopping("10s", "5s")

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for key, value in stream.items():
            table[key] += 1
            if value == 1:
                raise ValueError("one")

    with TopologyDriver(app) as driver:
        for value in (0, 1, 2):
            driver.send(events, key="k", value=value, at=12_000)

        assert [answer.value for answer in driver.table("table").windows("k")] == [2, 2]


def test_a_calendar_table_has_a_value_for_each_day_of_its_zone() -> None:
    def in_days(table: sc.AppTable[str, Any]) -> sc.AppTable[str, Any]:
        return table.calendar("day", tz="Europe/Berlin")

    day = 86_400
    # Midnight in Berlin is an hour before that in UTC; the first window begins with 1970.
    found = written(in_days, add_one, 0, day - 3_601, day - 3_600, 2 * day)

    assert found == [(0, 2), (day - 3_600, 1), (2 * day - 3_600, 1)]


def test_old_windows_of_a_hopping_table_are_dropped() -> None:
    found = written(lambda table: table.hopping("10s", "5s", retention="1m"), add_one, 12, 3_600)

    assert found == [(3_595, 1), (3_600, 1)]


@pytest.mark.parametrize("kind", ["tumbling", "hopping", "calendar", "session"])
def test_a_late_event_does_not_bring_a_dropped_window_back(kind: str) -> None:
    app = sc.App("app")
    events = app.topic("events", key=str, value=int, partitions=1)
    plain = app.table("table", key=str, value=int, default=0)
    match kind:
        case "tumbling":
            table = plain.tumbling("10s", retention="1m")
        case "hopping":
            table = plain.hopping("10s", "10s", retention="1m")
        case "session":
            table = plain.session("10s", merge=lambda earlier, later: earlier + later, retention="1m")
        case _:
            table = plain.calendar("day", retention="1m")

    @app.agent(events, tables=[table])
    async def follow(stream: Any) -> None:
        async for key, number in stream.items():
            table[key] += number

    with TopologyDriver(app) as driver:
        for number, time_s in ((1, 100), (2, 400_000), (3, 101), (4, 101), (5, 400_001)):
            driver.send(events, key="k", value=number, at=time_s * 1_000)
            driver.process()

        assert [answer.value for answer in driver.table("table").windows("k")] == [7]


def test_what_an_agents_table_cannot_have_is_refused_where_it_is_declared() -> None:
    table = sc.App("app").table("table", key=str, value=int, default=0)

    with pytest.raises(TopologyError, match=r"stream\.sliding\(size\).*table=table size='10s' at=.*\.py:\d+"):
        table.sliding("10s", grace="1s")
    with pytest.raises(TopologyError, match=r"advance by at most their size.*table=table"):
        table.hopping("10s", "11s")
    with pytest.raises(TopologyError, match=r"day, a week or a month.*table=table"):
        table.calendar("year")  # type: ignore[arg-type]
    table.hopping("10s", "5s")
    with pytest.raises(TopologyError, match="windowed already"):
        table.calendar("day")
    without_default = sc.App("app").table("table", key=str, value=int)
    with pytest.raises(TopologyError, match=r"app\.table\(\.\.\., default=\).*table=table"):
        without_default.hopping("10s", "5s")
