"""``suppress`` gives a table whose changes come at most once per key in a span of event time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import TopologyError
from streamcore.testing import TopologyDriver

app = sc.App("suppress")
numbers = app.topic("numbers", key=str, value=int, partitions=1)
rows = numbers.table("rows")
calm = rows.suppress("10s", name="calm")
calm.to_stream().to(app.topic("changes", key=str, value=int, partitions=1))
calm.map(lambda value: value * 2, name="doubled", value=int)
rows.suppress("10s", max_keys=2, name="few").to_stream().to(
    app.topic("few-changes", key=str, value=int, partitions=1)
)


@pytest.fixture(params=[1, 65_536])
def driver(request: pytest.FixtureRequest) -> Iterator[TopologyDriver]:
    with TopologyDriver(app, slice_records_max=request.param) as driver:
        yield driver


def send(driver: TopologyDriver, *changes: tuple[str, int | None, float]) -> None:
    for key, value, time_s in changes:
        driver.send(numbers, key=key, value=value, at=int(time_s * 1000))


def given(driver: TopologyDriver, topic: str = "changes") -> list[tuple[Any, Any, int]]:
    return [(record.key, record.value, record.timestamp_ms) for record in driver.read(topic)]


def rows_of(driver: TopologyDriver, table: str) -> dict[Any, Any]:
    return {answer.key: answer.value for answer in driver.table(table).all()}


def test_the_newest_change_of_each_key_comes_when_the_span_has_ended(driver: TopologyDriver) -> None:
    send(driver, ("b", 1, 1), ("a", 1, 2), ("a", 2, 3), ("a", 3, 9.999))
    assert given(driver) == []
    assert rows_of(driver, "calm") == {}

    send(driver, ("c", 1, 10))

    assert given(driver) == [("a", 3, 9_999), ("b", 1, 1_000)]
    assert rows_of(driver, "calm") == {"a": 3, "b": 1}
    assert rows_of(driver, "doubled") == {"a": 6, "b": 2}


def test_a_row_that_comes_and_goes_within_a_span_is_never_there(driver: TopologyDriver) -> None:
    send(driver, ("a", 1, 1), ("a", None, 2), ("b", 1, 3), ("b", 2, 11), ("b", None, 12), ("c", 1, 20))

    assert given(driver) == [("b", 1, 3_000), ("b", None, 12_000)]
    assert rows_of(driver, "calm") == {}


def test_a_further_key_than_the_limit_emits_what_is_held(driver: TopologyDriver) -> None:
    send(driver, ("b", 1, 1), ("a", 1, 2), ("b", 2, 3), ("c", 1, 4), ("a", 2, 5), ("d", 1, 6), ("d", 2, 10))
    send(driver, ("e", 1, 11), ("d", 3, 12), ("f", 1, 13))

    assert given(driver, "few-changes") == [
        ("a", 1, 2_000),
        ("b", 2, 3_000),
        ("a", 2, 5_000),
        ("c", 1, 4_000),
        ("d", 1, 6_000),
        ("d", 3, 12_000),
        ("e", 1, 11_000),
    ]


def test_a_restart_knows_which_keys_are_held(driver: TopologyDriver) -> None:
    send(driver, ("a", 1, 1), ("b", 1, 2))
    driver.process()
    driver.crash()

    send(driver, ("a", 2, 3), ("c", 1, 4))

    assert given(driver, "few-changes") == [("a", 2, 3_000), ("b", 1, 2_000)]
    send(driver, ("c", 1, 10))
    assert given(driver) == [("a", 2, 3_000), ("b", 1, 2_000), ("c", 1, 4_000)]


def test_the_end_of_the_input_gives_what_is_held(driver: TopologyDriver) -> None:
    send(driver, ("a", 1, 1))
    driver.process()

    driver.close_windows()

    assert rows_of(driver, "calm") == {"a": 1}


def test_wrong_declarations_are_refused() -> None:
    app = sc.App("refused")
    numbers = app.topic("numbers", key=str, value=int)
    table = numbers.count("counts")

    assert table.suppress("10s").name == "counts-suppressed"
    with pytest.raises(TopologyError, match="counts-suppressed"):
        table.suppress("20s")
    with pytest.raises(TopologyError, match="at least 1 ms"):
        table.suppress("0s", name="never")
    with pytest.raises(TopologyError, match="max_keys= is an integer from 1"):
        table.suppress("1s", max_keys=0, name="nothing")
    windowed: Any = numbers.tumbling("1m").count("windows")
    with pytest.raises(TopologyError, match=r"one result per window with final\(\)"):
        windowed.suppress("10s")
