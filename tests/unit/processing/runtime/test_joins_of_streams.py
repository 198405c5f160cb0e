"""Joins of streams: which records meet, when a record without a match is emitted, and what a crash keeps."""

from __future__ import annotations

from typing import Any

import pytest

import streamcore as sc
from streamcore.state.row_store import RowStore
from streamcore.testing import TopologyDriver

S = 1_000
Sent = tuple[str, Any, Any, float]
"""The topic, ``l`` or ``r``; the key; the value; the time in seconds."""


def both(left: str | None, right: str | None) -> str:
    return f"{left}+{right}"


def joined(
    sent: list[Sent],
    how: Any = "inner",
    *,
    before: str = "0s",
    after: str = "10s",
    grace: str = "0s",
    crash_after: int | None = None,
    one_by_one: bool = True,
) -> list[tuple[Any, str, float]]:
    """Return the results of a join: key, both values, seconds."""
    app = sc.App("app")
    topics = {name: app.topic(name, key=str, value=str) for name in ("l", "r")}
    topics["l"].join(topics["r"], both, before=before, after=after, grace=grace, how=how).to("out")
    with TopologyDriver(app) as driver:
        for number, (topic, key, value, at_s) in enumerate(sent):
            driver.send(topics[topic], key=key, value=value, at=round(at_s * S))
            if one_by_one:
                driver.process()
            if number == crash_after:
                driver.crash()
        return [(record.key, record.value, record.timestamp_ms / S) for record in driver.read("out")]


def end(at_s: float) -> list[Sent]:
    """Records of another key that move the time of both topics."""
    return [("l", "end", "-", at_s), ("r", "end", "-", at_s)]


def of_a(found: list[tuple[Any, str, float]]) -> list[tuple[str, float]]:
    return [(value, at_s) for key, value, at_s in found if key == "a"]


IN_TURN: list[Sent] = [("l", "a", "A", 1), ("r", "a", "a", 2), ("l", "a", "B", 3), ("r", "a", "b", 4)]


@pytest.mark.parametrize("how", ["inner", "left", "outer"])
def test_each_pair_within_the_span_meets_once_at_the_later_time(how: str) -> None:
    found = joined(IN_TURN, how, before="10s")

    assert found == [("a", "A+a", 2), ("a", "B+a", 3), ("a", "A+b", 4), ("a", "B+b", 4)]


@pytest.mark.parametrize(
    ("left_s", "right_s", "meets"),
    [(20, 17, True), (20, 16.999, False), (20, 25, True), (20, 25.001, False), (20, 20, True)],
)
@pytest.mark.parametrize("right_first", [False, True])
def test_both_bounds_of_the_span_are_inclusive(
    left_s: float, right_s: float, meets: bool, right_first: bool
) -> None:
    sent: list[Sent] = [("l", "a", "A", left_s), ("r", "a", "b", right_s)]

    found = joined(sent[::-1] if right_first else sent, before="3s", after="5s", grace="1h")

    assert found == ([("a", "A+b", max(left_s, right_s))] if meets else [])


def test_both_bounds_of_the_span_are_inclusive_among_many_rows_of_a_key() -> None:
    rows: list[Sent] = [("r", "a", str(number), number / 10) for number in range(200)]

    found = joined([*rows, ("l", "a", "A", 11)], before="4s", after="4s", grace="1m")

    assert [value for _, value, _ in found] == [f"A+{number}" for number in range(70, 151)]


def test_records_of_equal_times_meet_where_before_and_after_are_zero() -> None:
    sent: list[Sent] = [
        ("l", "a", "A", 5),
        ("r", "a", "a", 5),
        ("r", "a", "b", 5.001),
        ("l", "a", "B", 5.001),
    ]

    assert joined(sent, after="0s") == [("a", "A+a", 5), ("a", "B+b", 5.001)]


def test_records_of_other_keys_do_not_meet() -> None:
    assert joined([("l", "a", "A", 1), ("r", "b", "b", 1)]) == []


def test_a_record_out_of_order_meets_the_rows_before_and_behind_it() -> None:
    sent: list[Sent] = [("l", "a", "A", 1), ("l", "a", "B", 20), ("r", "a", "x", 21), ("r", "a", "y", 5)]

    found = joined(sent, "outer", grace="1m")

    assert found == [("a", "B+x", 21), ("a", "A+y", 5)]


@pytest.mark.parametrize(
    ("how", "alone"),
    [("inner", []), ("left", [("A+None", 1)]), ("outer", [("A+None", 1), ("None+b", 30)])],
)
@pytest.mark.parametrize("crash_after", [None, 0, 1, 2])
def test_a_record_without_a_match_comes_once_with_its_own_time(
    how: str, alone: list[tuple[str, float]], crash_after: int | None
) -> None:
    sent: list[Sent] = [("l", "a", "A", 1), ("r", "a", "b", 30), *end(60), *end(90)]

    assert of_a(joined(sent, how, crash_after=crash_after)) == alone


@pytest.mark.parametrize("crash_after", [None, 0, 1, 2, 3])
def test_a_record_that_has_met_another_is_never_emitted_alone_even_after_a_crash(
    crash_after: int | None,
) -> None:
    sent: list[Sent] = [*IN_TURN, *end(60)]

    found = of_a(joined(sent, "outer", crash_after=crash_after))

    assert found == [("A+a", 2), ("A+b", 4), ("B+b", 4)]


def test_null_comes_only_when_no_match_in_time_can_come() -> None:
    waiting: list[Sent] = [("l", "a", "A", 10), *end(18)]
    options: dict[str, Any] = {"before": "2s", "after": "5s", "grace": "1s"}

    assert of_a(joined(waiting, "left", **options)) == []
    assert of_a(joined([*waiting, ("r", "a", "b", 15)], "left", **options)) == [("A+b", 15)]
    assert of_a(joined([*waiting, *end(18.001)], "left", **options)) == [("A+None", 10)]


def test_one_topic_alone_does_not_end_the_wait_for_the_other() -> None:
    sent: list[Sent] = [("r", "b", "-", 1), ("l", "a", "A", 10), ("l", "b", "-", 500), ("r", "a", "b", 15)]

    assert of_a(joined(sent, "left")) == [("A+b", 15)]


def test_a_record_is_late_when_its_window_and_grace_are_before_the_time_of_its_source() -> None:
    ahead: list[Sent] = [("r", "a", "x", 10), ("r", "b", "-", 20)]

    # The window of a right record ends with its time here, because before= is 0.
    assert of_a(joined([("l", "a", "A", 1), *ahead, ("r", "a", "y", 8)], grace="12s"))[-1] == ("A+y", 8)
    assert of_a(joined([("l", "a", "A", 1), *ahead, ("r", "a", "y", 7.999)], grace="12s")) == [("A+x", 10)]


def test_rows_without_a_match_are_in_the_order_of_time_then_left_first_then_of_keys() -> None:
    sent: list[Sent] = [("r", "b", "1", 5), ("l", "c", "2", 5), ("l", "a", "3", 5), ("l", "d", "4", 4)]

    found = joined([*sent, *end(99)], "outer", grace="10s", one_by_one=False)

    assert found == [
        ("end", "-+-", 99),
        ("d", "4+None", 4),
        ("a", "3+None", 5),
        ("c", "2+None", 5),
        ("b", "None+1", 5),
    ]


@pytest.mark.parametrize(
    ("how", "expected"),
    [("inner", []), ("left", [(None, "A+None", 1)]), ("outer", [(None, "A+None", 1), (None, "None+b", 1)])],
)
def test_a_record_without_a_key_has_no_match_and_comes_at_once(how: str, expected: list[Any]) -> None:
    assert joined([("l", None, "A", 1), ("r", None, "b", 1)], how) == expected


@pytest.mark.parametrize("how", ["inner", "left", "outer"])
def test_a_record_without_a_value_is_left_out(how: str) -> None:
    assert of_a(joined([("l", "a", None, 1), ("r", "a", None, 1), *end(99)], how)) == []


def test_a_stream_joins_itself_each_pair_in_both_orders() -> None:
    app = sc.App("app")
    events = app.topic("events", key=str, value=str)
    events.join(events, both, before="5s", after="5s", how="outer").to("out")

    with TopologyDriver(app) as driver:
        for value, at_s in (("A", 1), ("B", 3), ("C", 9)):
            driver.send(events, key="a", value=value, at=at_s * S)
        found = [record.value for record in driver.read("out")]

    assert found == ["A+A", "B+A", "A+B", "B+B", "C+C"]


def test_joins_chain_and_held_rows_are_in_time_for_the_next_join_and_window() -> None:
    app = sc.App("app")
    left, right, third = (app.topic(name, key=str, value=str) for name in ("l", "r", "t"))
    first = left.join(right, both, before="0s", after="5s", how="left", name="first", value=str)
    second = first.join(third, both, before="0s", after="5s", how="left", name="second", value=str)
    second.to("out")
    first.tumbling("10s").count("counts").final().to("finals")

    with TopologyDriver(app) as driver:
        driver.send(left, key="a", value="A", at=1 * S)
        driver.send(left, key="b", value="B", at=2 * S)
        driver.send(third, key="a", value="t", at=3 * S)
        for topic in (left, right, third):
            driver.send(topic, key="end", value="-", at=100 * S)
        found = [(record.key, record.value) for record in driver.read("out") if record.key != "end"]
        counts = [(record.key.key, record.value) for record in driver.read("finals")]

    assert sorted(found) == [("a", "A+None+t"), ("b", "B+None+None")]
    assert counts == [("a", 1), ("b", 1)]


def test_streams_of_other_counts_and_other_codecs_of_keys_are_repartitioned() -> None:
    app = sc.App("app")
    left = app.topic("l", key=int, value=str, partitions=4)
    right = app.topic("r", key=int, value=str, partitions=3)
    texts = app.topic("texts", key=str, value=str, partitions=2)
    numbered = texts.group_by(int, name="numbered", key=int)
    left.join(right, both, before="1s", after="1s", name="counts").to("out")
    numbered.join(left, both, before="1s", after="1s", name="codecs").to("out-2")

    with TopologyDriver(app) as driver:
        for number in range(20):
            driver.send(left, key=number, value="L", at=S)
            driver.send(right, key=number, value="R", at=S)
            driver.send(texts, key="x", value=str(number), at=S)
        assert sorted(record.value for record in driver.read("out")) == ["L+R"] * 20
        assert sorted(record.value for record in driver.read("out-2")) == sorted(
            f"{number}+L" for number in range(20)
        )


def test_the_policy_of_the_join_takes_the_record_that_completes_a_failing_pair() -> None:
    app = sc.App("app")
    left, right = app.topic("l", key=str, value=int), app.topic("r", key=str, value=int)
    left.join(
        right,
        lambda a, b: a // b,
        before="1s",
        after="1s",
        name="divided",
        value=int,
        on_error=sc.dead_letter("dead"),
    ).to("out")

    with TopologyDriver(app) as driver:
        driver.send(left, key="a", value=6, at=S)
        driver.send(right, key="a", value=0, at=S)
        driver.send(right, key="a", value=3, at=S)
        assert [record.value for record in driver.read("out")] == [2]
        assert len(driver.read("dead")) == 1


def test_rows_leave_the_stores_when_no_record_can_meet_them() -> None:
    app = sc.App("app")
    left, right = (app.topic(name, key=str, value=str) for name in ("l", "r"))
    left.join(right, both, before="2s", after="3s", grace="1s", how="outer", name="near").to("out")

    with TopologyDriver(app) as driver:
        for number in range(10):
            driver.send(left, key="a", value=str(number), at=number * S)
        for topic in (left, right):
            driver.send(topic, key="end", value="-", at=100 * S)
        # The key of a stored row has the number of its chunk beside it.
        kept = {answer.key.key[0] for answer in driver.table("near.left").all()}

    assert kept == {"end"}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["inner", "outer"])
def test_rows_that_do_not_fit_into_memory_are_met_all_the_same(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Sent] = [
        ("lr"[number % 2], "abc"[number % 3], str(number), number * 1.7 % 40 + number / 4)
        for number in range(60)
    ]
    options: dict[str, Any] = {"before": "4s", "after": "6s", "grace": "1m"}
    expected = joined([*sent, *end(200)], how, **options)

    defaults = RowStore.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "rows_bytes_max", 1)
    found = joined([*sent, *end(200)], how, **options, crash_after=40)

    assert len(found) > 60
    assert found == expected
