"""Tables that are made of tables: what is in them, and which changes they emit."""

from __future__ import annotations

from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import UsageError
from streamcore.testing import TopologyDriver


def rows_of(driver: TopologyDriver, table: str) -> dict[Any, Any]:
    return {answer.key: answer.value for answer in driver.table(table).all()}


def changes_of(driver: TopologyDriver, topic: str) -> list[tuple[Any, Any]]:
    return [(record.key, record.value) for record in driver.read(topic)]


# -- map, filter


def test_a_row_that_no_longer_passes_a_filter_is_deleted_behind_it() -> None:
    app = sc.App("filter")
    numbers = app.topic("numbers", key=str, value=int).table("numbers-table")

    @numbers.filter
    def large(value: int) -> bool:
        return value > 10

    large.to_stream().to("changes")

    with TopologyDriver(app) as driver:
        for value in (5, 50, 60, 7, 8, None):
            driver.send("numbers", key="k", value=value)

        assert changes_of(driver, "changes") == [("k", 50), ("k", 60), ("k", None)]
        assert rows_of(driver, "large") == {}


def test_a_row_that_is_mapped_to_none_is_no_row() -> None:
    app = sc.App("map")
    numbers = app.topic("numbers", key=str, value=int).table("numbers-table")
    numbers.map(lambda value: value * 2 if value < 10 else None, name="doubled", value=int).to_stream().to(
        "changes"
    )

    with TopologyDriver(app) as driver:
        for value in (20, 1, 30, 2, None):
            driver.send("numbers", key="k", value=value)

        assert changes_of(driver, "changes") == [("k", 2), ("k", None), ("k", 4), ("k", None)]


def test_a_change_that_a_function_fails_on_leaves_the_row_as_it_was() -> None:
    app = sc.App("skips", on_error=sc.dead_letter("dead"))
    numbers = app.topic("numbers", key=str, value=int).table("numbers-table")

    @numbers.map
    def inverse(value: int) -> float:
        return 1 / value

    with TopologyDriver(app) as driver:
        driver.send("numbers", key="k", value=2)
        driver.send("numbers", key="k", value=0)

        assert rows_of(driver, "inverse") == {"k": 0.5}
        assert [record.value for record in driver.read("dead")] == [b"0"]


def test_a_value_that_cannot_be_stored_is_an_error_of_its_record() -> None:
    app = sc.App("unfit", on_error=sc.skip)
    numbers = app.topic("numbers", key=str, value=int).table("numbers-table")
    numbers.map(lambda value: object() if value == 1 else value, name="mapped", value=int)

    with TopologyDriver(app) as driver:
        for key, value in (("a", 1), ("b", 2)):
            driver.send("numbers", key=key, value=value)

        assert rows_of(driver, "mapped") == {"b": 2}


def test_streams_join_derived_tables_as_of_each_record() -> None:
    app = sc.App("enrich")
    numbers = app.topic("numbers", key=str, value=int).table("numbers-table")
    events = app.topic("events", key=str, value=str)
    large = numbers.filter(lambda value: value > 10, name="large")
    events.join(large, lambda event, value: f"{event} {value}", how="left", value=str).to("joined")

    with TopologyDriver(app) as driver:
        for at, value in ((1, 20), (3, 5), (5, 30)):
            driver.send("numbers", key="k", value=value, at=at)
        for at in (0, 2, 4, 6):
            driver.send("events", key="k", value=f"at {at}", at=at)

        found = [value for _, value in changes_of(driver, "joined")]
        assert found == ["at 0 None", "at 2 20", "at 4 None", "at 6 30"]


# -- joins: the cases of Kafka's tests, by what they mean

L, R = "left", "right"
JOIN_CASES: list[tuple[Any, ...]] = [
    # what happens, side, value: changes of the inner, of the left, of the outer join
    ("a left value alone", L, "A", [], ["A-None"], ["A-None"]),
    ("its deletion", L, None, [], [None], [None]),
    ("a right value alone", R, "a", [], [], ["None-a"]),
    ("a deletion of what is not there", L, None, [], [], ["None-a"]),
    ("a left value to a right one", L, "B", ["B-a"], ["B-a"], ["B-a"]),
    ("another left value", L, "C", ["C-a"], ["C-a"], ["C-a"]),
    ("another right value", R, "b", ["C-b"], ["C-b"], ["C-b"]),
    ("the right value again", R, "b", ["C-b"], ["C-b"], ["C-b"]),
    ("the deletion of the right value", R, None, [None], ["C-None"], ["C-None"]),
    ("its deletion again", R, None, [], ["C-None"], ["C-None"]),
    ("a new right value", R, "c", ["C-c"], ["C-c"], ["C-c"]),
    ("the deletion of the left value", L, None, [None], [None], ["None-c"]),
    ("a right value without a left one", R, "d", [], [], ["None-d"]),
    ("the deletion of the last value", R, None, [], [], [None]),
    ("nothing more to delete", R, None, [], [], []),
]


@pytest.mark.parametrize(("how", "column"), [("inner", 3), ("left", 4), ("outer", 5)])
@pytest.mark.parametrize("sent_together", [True, False])
def test_a_join_of_tables_emits_the_change_of_its_row(how: Any, column: int, sent_together: bool) -> None:
    app = sc.App("join")
    left = app.topic("left", key=str, value=str).table("lefts")
    right = app.topic("right", key=str, value=str).table("rights")

    @left.join(right, how=how)
    def both(value: str | None, other: str | None) -> str:
        return f"{value}-{other}"

    both.to_stream().to("changes")

    with TopologyDriver(app) as driver:
        for at, (_, side, value, *_) in enumerate(JOIN_CASES):
            driver.send(side, key="k", value=value, at=at)
            if not sent_together:
                driver.process()

        found = [value for _, value in changes_of(driver, "changes")]
        assert found == [value for case in JOIN_CASES for value in case[column]]
        assert rows_of(driver, "both") == {}


def test_rows_of_other_keys_do_not_meet() -> None:
    app = sc.App("keys")
    left = app.topic("left", key=str, value=int).table("lefts")
    right = app.topic("right", key=str, value=int).table("rights")
    left.join(right, lambda value, other: value + other, name="sums", value=int)

    with TopologyDriver(app) as driver:
        for side, key, value in ((L, "a", 1), (R, "b", 2), (L, "b", 3), (R, "c", 4)):
            driver.send(side, key=key, value=value)

        assert rows_of(driver, "sums") == {"b": 5}


def test_a_table_joins_itself_and_its_own_aggregation() -> None:
    app = sc.App("itself")
    numbers = app.topic("numbers", key=str, value=int)
    table = numbers.table("numbers-table")
    table.join(table, lambda value, other: value + other, name="twice", value=int).to_stream().to("changes")
    table.join(numbers.count("counts"), lambda value, count: f"{value} of {count}", name="counted", value=str)

    with TopologyDriver(app) as driver:
        for value in (1, 2, None, 3):
            driver.send("numbers", key="k", value=value)

        assert rows_of(driver, "twice") == {"k": 6}
        assert rows_of(driver, "counted") == {"k": "3 of 3"}
        assert changes_of(driver, "changes")[-1] == ("k", 6)


def test_a_join_that_returns_none_has_no_row() -> None:
    app = sc.App("none")
    left = app.topic("left", key=str, value=int).table("lefts")
    right = app.topic("right", key=str, value=int).table("rights")
    left.join(right, lambda value, other: value if value > other else None, name="greater", value=int)

    with TopologyDriver(app) as driver:
        for side, value in ((L, 5), (R, 3), (R, 7)):
            driver.send(side, key="k", value=value)

        assert rows_of(driver, "greater") == {}


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda app, table: table.map(lambda value: value), "a table keeps its name for ever"),
        (lambda app, table: table.filter(len, name="table"), "two tables have one name"),
        (lambda app, table: table.join(app.topic("other"), len, name="x"), "a table joins a table"),
        (
            lambda app, table: table.join(table, print, how="right", name="x"),
            "how='inner', 'left' or 'outer'",
        ),
        (
            lambda app, table: table.join(app.topic("ints", key=int).table("ints-table"), print, name="x"),
            "keys=str .*other_keys=int",
        ),
    ],
)
def test_a_wrong_declaration_is_refused_where_it_is_made(declare: Any, message: str) -> None:
    app = sc.App("wrong")
    table = app.topic("numbers", key=str, value=int).table("table")

    with pytest.raises(UsageError, match=message) as caught:
        declare(app, table)

    assert "at=" in str(caught.value)
