"""Joins of windowed tables: which rows meet, what is final, and what a crash keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import TopologyError
from streamcore.testing import TopologyDriver

S = 1_000
Sent = tuple[str, str, float]
"""The topic, ``l`` or ``r``; the key; the time in seconds. The values are 1."""


def both(left: int | None, right: int | None) -> str:
    return f"{left}+{right}"


def tumbling(stream: Any) -> Any:
    return stream.tumbling("10s", grace="5s")


def shown(record: sc.Record[Any, Any]) -> sc.Record[str, str]:
    window = record.key
    return sc.Record(window.key, f"{window.key}@{window.start_ms // S} {record.value}", record.timestamp_ms)


def results(
    sent: list[Sent],
    how: Any = "inner",
    *,
    cut: Callable[[Any], Any] = tumbling,
    crash_after: int | None = None,
    partitions: int = 1,
    function: Callable[[Any, Any], Any] = both,
) -> tuple[list[str], list[str]]:
    """Return the changes and the final results of a join of counts."""
    app = sc.App("app")
    topics = {name: app.topic(name, key=str, value=int, partitions=partitions) for name in ("l", "r")}
    left, right = (cut(topic).count(f"{name}-count") for name, topic in topics.items())
    joined = left.join(right, function, how=how, name="both", value=str)
    joined.updates().map_record(shown, key=str, value=str, name="shown").to("updates")
    joined.final().map_record(shown, key=str, value=str, name="shown-final").to("final")
    with TopologyDriver(app) as driver:
        for number, (topic, key, at_s) in enumerate(sent):
            driver.send(topics[topic], key=key, value=1, at=round(at_s * S))
            if number == crash_after:
                driver.process()
                driver.crash()
        driver.process()
        driver.close_windows()
        return [record.value for record in driver.read("updates")], sorted(
            record.value for record in driver.read("final")
        )


SENT: list[Sent] = [
    ("l", "a", 1),
    ("l", "b", 2),
    ("r", "a", 3),
    ("l", "a", 4),
    ("r", "c", 5),
    ("r", "a", 11),
    ("l", "a", 12),
    ("r", "a", 6),
]


@pytest.mark.parametrize(
    ("how", "final"),
    [
        ("inner", ["a@0 2+2", "a@10 1+1"]),
        ("left", ["a@0 2+2", "a@10 1+1", "b@0 1+None"]),
        ("outer", ["a@0 2+2", "a@10 1+1", "b@0 1+None", "c@0 None+1"]),
    ],
)
@pytest.mark.parametrize("crash_after", [None, 0, 2, 3, 6])
@pytest.mark.parametrize("partitions", [1, 3])
def test_rows_of_one_key_and_window_meet(
    how: str, final: list[str], crash_after: int | None, partitions: int
) -> None:
    found = results(SENT, how, crash_after=crash_after, partitions=partitions)

    assert found[1] == final


def test_each_change_of_either_table_is_a_change_of_the_result() -> None:
    found = results(SENT, "outer")

    assert found[0] == [
        "a@0 1+None",
        "b@0 1+None",
        "a@0 1+1",
        "a@0 2+1",
        "c@0 None+1",
        "a@10 None+1",
        "a@0 2+2",
        "a@10 1+1",
    ]


def test_a_result_of_none_is_no_row_and_has_no_final_result() -> None:
    found = results(SENT, "outer", function=lambda left, right: None if left == 2 else both(left, right))

    assert "a@0 None" in found[0]
    assert found[1] == ["a@10 1+1", "b@0 1+None", "c@0 None+1"]


def test_hopping_windows_meet_in_each_that_holds_both() -> None:
    found = results([("l", "a", 12), ("r", "a", 17)], cut=lambda stream: stream.hopping("10s", "5s"))

    assert found[1] == ["a@10 1+1"]


def test_calendar_windows_meet() -> None:
    day_s = 86_400
    found = results(
        [("l", "a", 10), ("r", "a", day_s - 1), ("l", "a", day_s)], cut=lambda stream: stream.calendar("day")
    )

    assert found[1] == ["a@0 1+1"]


def test_a_record_that_is_late_for_its_window_changes_no_row() -> None:
    found = results([("l", "a", 1), ("r", "a", 2), ("l", "a", 15), ("r", "a", 16), ("l", "a", 3)])

    assert found[1] == ["a@0 1+1", "a@10 1+1"]


def test_a_join_is_joined_again_and_rows_can_be_asked_for() -> None:
    app = sc.App("app")
    topic = app.topic("l", key=str, value=int)
    counts, sums = tumbling(topic).count("counts"), tumbling(topic).sum("sums", lambda value: value)
    pairs = counts.join(sums, both, name="pairs")
    pairs.join(counts, lambda pair, count: f"{pair} of {count}", how="left", name="again", value=str)
    with TopologyDriver(app) as driver:
        for at_s in (1, 2, 11):
            driver.send(topic, key="a", value=at_s, at=at_s * S)
        table = driver.table("again")

        assert [(row.key.start_ms, row.value) for row in table.windows("a")] == [
            (0, "2+3 of 2"),
            (10 * S, "1+11 of 1"),
        ]


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        (lambda stream: stream.tumbling("11s", grace="5s"), "kind, length and grace"),
        (lambda stream: stream.tumbling("10s"), "kind, length and grace"),
        (lambda stream: stream.hopping("10s", "5s", grace="5s"), "kind, length and grace"),
        (lambda stream: stream.calendar("day", grace="5s"), "kind, length and grace"),
        (lambda stream: stream.session("10s", grace="5s"), "follow from the records"),
    ],
)
def test_tables_with_other_windows_are_refused(other: Callable[[Any], Any], problem: str) -> None:
    app = sc.App("app")
    topic = app.topic("l", key=str, value=int)
    left, right = tumbling(topic).count("left"), other(topic).count("right")

    with pytest.raises(TopologyError, match=problem):
        left.join(right, both, name="both")
    with pytest.raises(TopologyError, match=problem):
        right.join(left, both, name="both")


def test_only_windowed_tables_of_equal_keys_are_joined() -> None:
    app = sc.App("app")
    topic = app.topic("l", key=str, value=int)
    left = tumbling(topic).count("left")
    by_number = tumbling(topic.group_by(lambda value: value, key=int, name="number")).count("by-number")

    for other in (topic, topic.table("rows"), left.final(), None):
        with pytest.raises(TopologyError, match="joins a windowed table"):
            left.join(other, both, name="both")
    with pytest.raises(TopologyError, match="keys of one type"):
        left.join(by_number, both, name="both")
    with pytest.raises(TopologyError, match="how='inner', 'left' or 'outer'"):
        left.join(left, both, how="right", name="both")


@pytest.mark.parametrize(
    ("retention", "kept"), [("40s", [50, 60, 70, 80, 90]), (None, list(range(0, 100, 10)))]
)
def test_windows_are_kept_as_long_as_one_of_the_tables_keeps_them(
    retention: str | None, kept: list[int]
) -> None:
    app = sc.App("app")
    topic = app.topic("l", key=str, value=int)
    left = topic.tumbling("10s", retention="20s").count("left")
    right = topic.tumbling("10s", retention=retention).count("right")
    left.join(right, both, name="both")
    with TopologyDriver(app) as driver:
        for at_s in range(0, 100, 5):
            driver.send(topic, key="a", value=1, at=at_s * S)

        assert [row.key.start_ms // S for row in driver.table("left").all()] == [70, 80, 90]
        assert [row.key.start_ms // S for row in driver.table("both").all()] == kept
