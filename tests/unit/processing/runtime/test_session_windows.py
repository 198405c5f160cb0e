"""Session windows: what joins, what unites, what is late, and what is given at the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import streamcore as sc
from streamcore.errors import TopologyError
from streamcore.testing import TopologyDriver

app = sc.App("sessions")
visits = app.topic("visits", key=str, value=int, partitions=1)
late = app.topic("late", key=str, value=int)
results = app.topic("results", key=sc.Windowed[str], value=int)
changes = app.topic("changes", key=sc.Windowed[str], value=int, partitions=1)
totals = visits.session("10s", grace="5s", retention="1h").sum("totals", lambda value: value, late=late)
totals.final().to(results)
totals.updates().to(changes)

COUNTED = sc.App("counted")
counted_visits = COUNTED.topic("visits", key=str, value=int, partitions=1)
counted_visits.session("10s").count("counts")


@pytest.fixture
def driver() -> Iterator[TopologyDriver]:
    with TopologyDriver(app) as driver:
        yield driver


def send(driver: TopologyDriver, *times_s: float, key: str = "a", value: int = 1) -> None:
    for time_s in times_s:
        driver.send(visits, key=key, value=value, at=int(time_s * 1000))


def sessions(driver: TopologyDriver, table: str = "totals") -> list[tuple[str, float, float, int]]:
    return [
        (answer.key.key, answer.key.start_ms / 1000, answer.key.end_ms / 1000, answer.value)
        for answer in driver.table(table).all()
    ]


def final(driver: TopologyDriver) -> list[tuple[str, float, float, int]]:
    return [
        (record.key.key, record.key.start_ms / 1000, record.key.end_ms / 1000, record.value)
        for record in driver.read(results)
    ]


def test_records_at_exactly_the_gap_are_in_one_session_and_a_millisecond_more_in_two(
    driver: TopologyDriver,
) -> None:
    send(driver, 0, 10, 20.001)

    assert sessions(driver) == [("a", 0, 20, 2), ("a", 20.001, 30.001, 1)]


def test_a_record_out_of_order_unites_two_sessions_and_their_values(driver: TopologyDriver) -> None:
    send(driver, 0, value=1)
    send(driver, 15, value=2)
    assert sessions(driver) == [("a", 0, 10, 1), ("a", 15, 25, 2)]

    send(driver, 9, value=4)

    assert sessions(driver) == [("a", 0, 25, 7)]
    driver.crash()
    assert sessions(driver) == [("a", 0, 25, 7)]
    driver.close_windows()
    assert final(driver) == [("a", 0, 25, 7)]


def test_keys_have_their_own_sessions(driver: TopologyDriver) -> None:
    send(driver, 0, 5, key="a")
    send(driver, 8, 9, key="b")

    assert sessions(driver) == [("a", 0, 15, 2), ("b", 8, 19, 2)]


def test_a_session_gives_one_result_when_the_time_is_after_its_end_and_grace(
    driver: TopologyDriver,
) -> None:
    send(driver, 0, 3)
    send(driver, 18, key="b")
    assert final(driver) == []

    send(driver, 18.001, key="b")

    assert final(driver) == [("a", 0, 13, 2)]
    driver.crash()
    driver.close_windows()
    assert final(driver) == [("b", 18, 28.001, 2)]


def test_a_record_is_late_if_its_session_is_closed_and_in_time_if_an_open_session_takes_it(
    driver: TopologyDriver,
) -> None:
    send(driver, 0)
    send(driver, 30, key="a")
    send(driver, 15)  # ends with its gap at 25, and 5 s of grace are over at 30
    send(driver, 20)  # as old, almost, but within the gap of the open session
    driver.process()

    assert driver.late_count == 1
    assert [(record.key, record.timestamp_ms) for record in driver.read(late)] == [("a", 15_000)]
    assert sessions(driver) == [("a", 0, 10, 1), ("a", 20, 40, 2)]


def test_a_closed_session_does_not_change_even_where_a_record_in_time_touches_it(
    driver: TopologyDriver,
) -> None:
    send(driver, 0, 5)
    send(driver, 21, key="b")
    assert final(driver) == [("a", 0, 15, 2)]

    send(driver, 14)
    driver.close_windows()

    assert final(driver) == [("a", 14, 24, 1), ("b", 21, 31, 1)]


def test_updates_take_back_the_bounds_that_a_session_had(driver: TopologyDriver) -> None:
    send(driver, 0, 15, 9, 9)

    found = [
        (record.key.start_ms // 1000, record.key.end_ms // 1000, record.value)
        for record in driver.read(changes)
    ]

    assert found == [
        (0, 10, 1),
        (15, 25, 1),
        (0, 10, None),
        (15, 25, None),
        (0, 25, 3),
        (0, 25, 4),
    ]


def test_a_table_without_readers_closes_its_sessions_too() -> None:
    with TopologyDriver(COUNTED) as driver:
        for time_ms in (0, 20_000, 10_000, 41_000):
            driver.send(counted_visits, key="a", value=1, at=time_ms)

        # At 20 s the first session is closed; the record of 10 s joins the second one.
        assert sessions(driver, "counts") == [
            ("a", 0, 10, 1),
            ("a", 10, 30, 2),
            ("a", 41, 51, 1),
        ]


def test_the_end_of_the_input_closes_the_sessions_of_a_table_without_readers() -> None:
    with TopologyDriver(COUNTED) as driver:
        driver.send(counted_visits, key="a", value=1, at=0)

        driver.close_windows()

        assert sessions(driver, "counts") == [("a", 0, 10, 1)]


def test_old_sessions_are_dropped(driver: TopologyDriver) -> None:
    send(driver, 0, 7_300)

    assert sessions(driver) == [("a", 7_300, 7_310, 1)]


def test_queries_find_the_session_that_holds_a_time(driver: TopologyDriver) -> None:
    send(driver, 1, 4, 60)
    table = driver.table("totals")

    found = table.get("a", at=13_999)

    assert found is not None
    assert (found.key, found.value) == (sc.Windowed("a", 1_000, 14_000), 2)
    assert table.get("a", at=14_000) is None
    assert [answer.value for answer in table.windows("a", since=1_001)] == [1]
    assert table.description.session_gap_ms == 10_000


def test_aggregations_that_cannot_be_united_are_refused_where_they_are_declared() -> None:
    stream = sc.App("refused").topic("visits", key=str, value=int)

    with pytest.raises(TopologyError, match=r"merge.*at=.*\.py:\d+"):
        stream.session("10s").fold("folded", 0, lambda total, value: total + value)
    with pytest.raises(TopologyError, match="a session's gap is at least 1 ms"):
        stream.session("0s")
