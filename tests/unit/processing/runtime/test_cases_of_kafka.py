"""The cases of Kafka's tests for joins of streams and windows, by what they mean: input beside output.

Kafka's tests run one sequence of records through every kind of join; ``IN_TURN`` is that sequence, with what
each record gives here. Where a rule of ours differs, the case says so. The cases for joins of tables are in
``test_derived_tables``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver

L, R = "left", "right"


def pair(left: Any, right: Any) -> str:
    return f"{left}-{right}"


IN_TURN: list[tuple[Any, ...]] = [
    # side, value: results of a join of two streams, of an inner and of a left join of a stream with a table
    (L, None, [], [], []),
    (R, None, [], [], []),
    (L, "A", [], [], ["A-None"]),
    (R, "a", ["A-a"], [], []),
    (L, "B", ["B-a"], ["B-a"], ["B-a"]),
    (R, "b", ["A-b", "B-b"], [], []),
    (L, None, [], [], []),
    (R, None, [], [], []),
    (L, "C", ["C-a", "C-b"], [], ["C-None"]),
    (R, "c", ["A-c", "B-c", "C-c"], [], []),
    (R, None, [], [], []),
    (L, None, [], [], []),
    (R, None, [], [], []),
    (R, "d", ["A-d", "B-d", "C-d"], [], []),
    (L, "D", ["D-a", "D-b", "D-c", "D-d"], ["D-d"], ["D-d"]),
]


def results(app: sc.App, sent: Sequence[tuple[str, Any, int]], *, together: bool) -> list[list[Any]]:
    """Send (topic, value, time in ms) under one key; return what each gives, or all if they go together."""
    found = []
    with TopologyDriver(app) as driver:
        for topic, value, at_ms in sent:
            driver.send(topic, key="k", value=value, at=at_ms)
            if not together:
                found.append([record.value for record in driver.read("out")])
        if together:
            found.append([record.value for record in driver.read("out")])
    return found


def turns(column: int, *, together: bool) -> list[list[Any]]:
    found = [case[column] for case in IN_TURN]
    return [list(chain(*found))] if together else found


SENT_IN_TURN = [(side, value, at_ms) for at_ms, (side, value, *_) in enumerate(IN_TURN)]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("how", ["inner", "left", "outer"])
def test_two_streams_in_turn(how: Any, together: bool) -> None:
    app = sc.App("app")
    left, right = (app.topic(name, key=str, value=str) for name in (L, R))
    left.join(right, pair, before="10s", after="10s", how=how, name="joined", value=str).to("out")

    # No side is ever missing: what Kafka's eager left join gave, "A-None", it also gives no more.
    assert results(app, SENT_IN_TURN, together=together) == turns(2, together=together)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(("how", "column"), [("inner", 3), ("left", 4)])
def test_a_stream_and_a_table_in_turn(how: Any, column: int, together: bool) -> None:
    app = sc.App("app")
    left, right = (app.topic(name, key=str, value=str) for name in (L, R))
    left.join(right.table("rights"), pair, how=how, name="joined", value=str).to("out")

    assert results(app, SENT_IN_TURN, together=together) == turns(column, together=together)


# -- joins of streams: bounds, order, grace


@pytest.mark.parametrize(
    ("span", "left_ms", "right_ms", "meets"),
    [
        # before and after a left record, its time, that of the right one
        ((100, 100), 1000, 900, True),
        ((100, 100), 1000, 899, False),
        ((100, 100), 1000, 1100, True),
        ((100, 100), 1000, 1101, False),
        ((0, 100), 1000, 999, False),
        ((0, 100), 1000, 1000, True),
        ((0, 100), 1000, 1100, True),
        ((0, 100), 1000, 1101, False),
        ((100, 0), 1000, 899, False),
        ((100, 0), 1000, 900, True),
        ((100, 0), 1000, 1000, True),
        ((100, 0), 1000, 1001, False),
        ((0, 0), 1000, 1000, True),
        ((0, 0), 1000, 1001, False),
        ((5_000, 5_000), 20_000, 15_000, True),
        ((5_000, 5_000), 20_000, 14_999, False),
    ],
)
@pytest.mark.parametrize("first", [L, R])
def test_bounds_of_the_span(
    span: tuple[int, int], left_ms: int, right_ms: int, meets: bool, first: str
) -> None:
    app = sc.App("app")
    left, right = (app.topic(name, key=str, value=str) for name in (L, R))
    before, after = (f"{each}ms" for each in span)
    left.join(right, pair, before=before, after=after, grace="1h", name="joined", value=str).to("out")
    sent = [(L, "A", left_ms), (R, "a", right_ms)]

    found = results(app, sent if first == L else sent[::-1], together=False)

    assert found == [[], ["A-a"] if meets else []]


Sequence_ = list[tuple[str, Any, int]]
MISSING_SIDES: list[tuple[str, str, int, Sequence_, list[str]]] = [
    # what happens, how, grace in ms, records: results; records meet within 100 ms before or after
    (
        "a left row without a match comes before a later pair, by its time",
        "left",
        0,
        [(L, "A", 0), (L, "B", 100), (R, "b", 201), (L, "end", 500), (R, "end", 500)],
        ["A-None", "B-None", "end-end"],
    ),
    (
        "a row that has a match within the span never comes alone",
        "left",
        0,
        [(L, "A", 0), (R, "a", 100), (L, "end", 500), (R, "end", 500)],
        ["A-a", "end-end"],
    ),
    (
        "a right row without a match comes only from an outer join",
        "left",
        0,
        [(R, "a", 0), (L, "end", 500), (R, "end", 500)],
        ["end-end"],
    ),
    (
        "both sides without a match, by time",
        "outer",
        0,
        [(R, "a", 0), (L, "A", 150), (R, "b", 300), (L, "end", 700), (R, "end", 700)],
        ["None-a", "A-None", "None-b", "end-end"],
    ),
    (
        "of equal times the left comes first",
        "outer",
        0,
        [(R, "a", 0), (L, "A", 101), (R, "b", 202), (L, "B", 303), (L, "end", 700), (R, "end", 700)],
        ["None-a", "A-None", "None-b", "B-None", "end-end"],
    ),
    (
        "a record out of order meets a row while its window is open",
        "outer",
        200,
        [(L, "A", 0), (R, "x", 150), (R, "a", 50), (L, "end", 700), (R, "end", 700)],
        ["A-a", "end-end", "None-x"],
    ),
    (
        "a record whose window and grace are over is left out",
        "outer",
        0,
        [(L, "A", 0), (R, "x", 250), (R, "late", 50), (L, "end", 700), (R, "end", 700)],
        ["end-end", "A-None", "None-x"],
    ),
    (
        "equal times of one side are two rows",
        "left",
        0,
        [(L, "A", 0), (L, "B", 0), (R, "a", 0), (R, "b", 0), (L, "end", 500), (R, "end", 500)],
        ["A-a", "B-a", "A-b", "B-b", "end-end"],
    ),
    (
        "a value of None is no row",
        "outer",
        0,
        [(L, None, 0), (R, None, 10), (L, "A", 20), (L, "end", 500), (R, "end", 500)],
        ["A-None", "end-end"],
    ),
    (
        "time that only one side has passed ends no wait",
        "left",
        0,
        [(R, "x", 0), (L, "A", 1000), (L, "later", 9000), (R, "a", 1000)],
        ["A-a"],
    ),
]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize(
    ("how", "grace_ms", "sent", "expected"),
    [case[1:] for case in MISSING_SIDES],
    ids=[case[0] for case in MISSING_SIDES],
)
def test_missing_sides(how: Any, grace_ms: int, sent: Sequence_, expected: list[str], together: bool) -> None:
    app = sc.App("app")
    left, right = (app.topic(name, key=str, value=str) for name in (L, R))
    grace = f"{grace_ms}ms"
    joined = left.join(
        right, pair, before="100ms", after="100ms", grace=grace, how=how, name="joined", value=str
    )
    joined.to("out")

    found = list(chain(*results(app, sent, together=together)))

    # Only the order of what one record causes is fixed here: the rows of the last record come at the end.
    assert sorted(found) == sorted(expected)
    assert [row for row in found if "end" not in row] == [row for row in expected if "end" not in row]


def test_spans_of_unequal_reach_wait_for_the_longer_one_of_both() -> None:
    """A left row waits for what is up to 100 ms later, although nothing before it can match."""
    app = sc.App("app")
    left, right = (app.topic(name, key=str, value=str) for name in (L, R))
    joined = left.join(right, pair, before="0s", after="100ms", how="outer", name="joined", value=str)
    joined.to("out")

    found = results(
        app,
        [(L, "A", 0), (R, "x", 50), (L, "B", 90), (R, "b", 100), (L, "end", 400), (R, "end", 400)],
        together=False,
    )

    assert list(chain(*found)) == ["A-x", "A-b", "B-b", "end-end"]


@pytest.mark.parametrize("how", ["left", "outer"])
def test_rows_without_a_match_come_left_and_right_in_the_order_of_their_times(how: str) -> None:
    app = sc.App("app")
    left, right = (app.topic(name, key=str, value=str) for name in (L, R))
    options: dict[str, Any] = {"before": "0s", "after": "0s", "grace": "1s", "how": how}
    left.join(right, pair, name="joined", value=str, **options).to("out")
    sent = [(R, "a", 1), (L, "A", 2), (R, "b", 3), (L, "B", 4), (L, "end", 9_000), (R, "end", 9_000)]

    (found,) = results(app, sent, together=True)

    both = ["None-a", "A-None", "None-b", "B-None"] if how == "outer" else ["A-None", "B-None"]
    assert [row for row in found if row != "end-end"] == both


# -- windows: the changes of each record

Windowed = tuple[Any, int, int, Any]
HOPPING: list[tuple[str, str, int, list[Windowed]]] = [
    # key, value, time: changes of windows of 10 ms every 5 ms, as (key, start, end, value)
    ("A", "1", 0, [("A", 0, 10, "0+1")]),
    ("B", "2", 1, [("B", 0, 10, "0+2")]),
    ("C", "3", 2, [("C", 0, 10, "0+3")]),
    ("A", "1", 4, [("A", 0, 10, "0+1+1")]),
    ("A", "1", 5, [("A", 0, 10, "0+1+1+1"), ("A", 5, 15, "0+1")]),
    ("B", "2", 6, [("B", 0, 10, "0+2+2"), ("B", 5, 15, "0+2")]),
    ("D", "4", 7, [("D", 0, 10, "0+4"), ("D", 5, 15, "0+4")]),
    ("B", "2", 9, [("B", 0, 10, "0+2+2+2"), ("B", 5, 15, "0+2+2")]),
    ("A", "1", 10, [("A", 5, 15, "0+1+1"), ("A", 10, 20, "0+1")]),
    ("B", "2", 8, [("B", 0, 10, "0+2+2+2+2"), ("B", 5, 15, "0+2+2+2")]),
    ("C", "3", 14, [("C", 5, 15, "0+3"), ("C", 10, 20, "0+3")]),
    ("A", "1", 15, [("A", 10, 20, "0+1+1"), ("A", 15, 25, "0+1")]),
]


@pytest.mark.parametrize("together", [False, True])
def test_changes_of_hopping_windows(together: bool) -> None:
    app = sc.App("app")
    values = app.topic("values", key=str, value=str, partitions=1)
    table = values.hopping("10ms", "5ms", grace="1d").fold(
        "windows", "0", lambda text, value: f"{text}+{value}", value=str
    )
    table.updates().to(app.topic("out", key=sc.Windowed[str], value=str, partitions=1))

    found: list[list[Windowed]] = []
    with TopologyDriver(app) as driver:
        for key, value, at_ms, _ in HOPPING:
            driver.send(values, key=key, value=value, at=at_ms)
            if not together:
                found.append(windows_in(driver))
        changes = windows_in(driver) if together else list(chain(*found))

    assert changes == list(chain(*(case[3] for case in HOPPING)))


def windows_in(driver: TopologyDriver) -> list[Windowed]:
    return [
        (record.key.key, record.key.start_ms, record.key.end_ms, record.value)
        for record in driver.read("out")
    ]


@pytest.mark.parametrize(
    ("kind", "times_ms", "counts"),
    [
        # a window is closed at end + grace <= stream time; the grace is 90 ms
        ("tumbling", [200, 100, 109, 110, 119], {(200, 210): 1, (110, 120): 2}),
        ("tumbling", [199, 100], {(190, 200): 1, (100, 110): 1}),
        (
            "hopping",
            [200, 100, 105, 110],
            {(195, 205): 1, (200, 210): 1, (105, 115): 2, (110, 120): 1},
        ),
        ("tumbling", [0, 9, 10, 10], {(0, 10): 2, (10, 20): 2}),
        ("hopping", [0, 4], {(0, 10): 2}),
        ("hopping", [0, 5, 10], {(0, 10): 2, (5, 15): 2, (10, 20): 1}),
    ],
)
@pytest.mark.parametrize("together", [False, True])
def test_which_windows_a_late_record_is_in(
    kind: str, times_ms: list[int], counts: dict[tuple[int, int], int], together: bool
) -> None:
    app = sc.App("app")
    values = app.topic("values", key=str, value=str, partitions=1)
    size = ("10ms",) if kind == "tumbling" else ("10ms", "5ms")
    getattr(values, kind)(*size, grace="90ms").count("counts").final().to("out")

    with TopologyDriver(app) as driver:
        for at_ms in times_ms:
            driver.send(values, key="k", value="v", at=at_ms)
            if not together:
                driver.process()
        driver.close_windows()
        found = {(start, end): count for _, start, end, count in windows_in(driver)}

    assert found == counts


FINAL: list[tuple[int, list[Windowed]]] = [
    # time: what is final, for tumbling windows of 2 ms with 1 ms of grace
    (0, []),
    (1, []),
    (2, []),
    (1, []),
    (3, [("k", 0, 2, "3")]),
    (0, []),
    (5, [("k", 2, 4, "2")]),
    (30, [("k", 4, 6, "1")]),
    (3, []),
]


def test_only_final_results_of_windows_come_each_once() -> None:
    app = sc.App("app")
    values = app.topic("values", key=str, value=str, partitions=1)
    counts = values.tumbling("2ms", grace="1ms").count("counts")
    counts.final().map(str, name="texts", value=str).to("out")

    with TopologyDriver(app) as driver:
        for at_ms, expected in FINAL:
            driver.send(values, key="k", value="v", at=at_ms)
            assert windows_in(driver) == expected, at_ms
        driver.close_windows()
        assert windows_in(driver) == [("k", 30, 32, "1")]


@pytest.mark.parametrize("together", [False, True])
def test_a_final_result_comes_with_the_record_that_ends_the_grace_of_its_window(together: bool) -> None:
    app = sc.App("app")
    values = app.topic("values", key=str, value=str, partitions=1)
    out = app.topic("out", key=str, value=str, partitions=1)
    counts = values.tumbling("1s", grace="2s").count("counts")
    shown = counts.final().map_record(
        lambda record: sc.Record(record.key.key, f"final {record.value}"), key=str, value=str, name="shown"
    )
    values.merge(shown).to(out)

    found = results(app, [("values", f"at {at_s}", at_s * 1000) for at_s in range(5)], together=together)

    assert list(chain(*found)) == ["at 0", "at 1", "at 2", "at 3", "final 1", "at 4", "final 1"]


def test_final_results_go_into_the_windows_of_a_second_step_that_closes_later() -> None:
    app = sc.App("app")
    values = app.topic("values", key=str, value=str, partitions=1)
    first = values.tumbling("5s", grace="3s").count("first").final()
    by_key = first.map_record(
        lambda record: sc.Record(record.key.key, record.value), key=str, value=int, name="by-key"
    )
    by_key.tumbling("10s").sum("second", lambda count: count).final().to("out")

    with TopologyDriver(app) as driver:
        for at_s in range(0, 23):
            driver.send(values, key="k", value="v", at=at_s * 1000)
            driver.process()
        found = windows_in(driver)

    assert found == [("k", 0, 10_000, 10)]


def test_windows_of_final_results_close_when_no_such_result_can_come() -> None:
    app = sc.App("app")
    values = app.topic("values", key=str, value=str, partitions=1)
    first = values.tumbling("5s", grace="3s").count("first").final()
    first.tumbling("10s").sum("second", lambda count: count).final().to("out")

    with TopologyDriver(app) as driver:
        for at_s in range(0, 23):
            driver.send(values, key="k", value="v", at=at_s * 1000)
            driver.process()
        found = windows_in(driver)

    # The results of [0, 5) and [5, 10), each under its own window.
    assert [(key.start_ms, *window) for key, *window in found] == [
        (0, 0, 10_000, 5),
        (5_000, 0, 10_000, 5),
    ]


SESSIONS: list[tuple[str, list[int], list[tuple[int, int, int]]]] = [
    # what happens, times in ms: sessions with a gap of 10 ms as (first, last, count)
    ("one session while records are within the gap", [0, 5, 10, 20], [(0, 20, 4)]),
    ("a record at the same time is in the same session", [7, 7], [(7, 7, 2)]),
    ("a record more than the gap away begins another one", [0, 11], [(0, 0, 1), (11, 11, 1)]),
    ("a record between two unites them", [0, 16, 8], [(0, 16, 3)]),
    ("a record before a session moves its start", [20, 12], [(12, 20, 2)]),
    ("a record unites three", [0, 11, 22, 10, 12], [(0, 22, 5)]),
    ("a record beside two sessions joins the near one", [0, 50, 45], [(0, 0, 1), (45, 50, 2)]),
    ("united sessions go on", [0, 16, 8, 26, 60], [(0, 26, 4), (60, 60, 1)]),
]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("updates", [False, True])
@pytest.mark.parametrize(
    ("times_ms", "expected"), [case[1:] for case in SESSIONS], ids=[c[0] for c in SESSIONS]
)
def test_sessions(
    times_ms: list[int], expected: list[tuple[int, int, int]], updates: bool, together: bool
) -> None:
    app = sc.App("app")
    values = app.topic("values", key=str, value=str, partitions=1)
    counts = values.session("10ms", grace="1h").count("counts")
    if updates:
        counts.updates().to(app.topic("out", key=sc.Windowed[str], value=int, partitions=1))

    with TopologyDriver(app) as driver:
        for at_ms in times_ms:
            driver.send(values, key="k", value="v", at=at_ms)
            if not together:
                driver.process()
        found = sorted(
            (each.key.start_ms, each.key.end_ms - 10, each.value) for each in driver.table("counts").all()
        )
        changes = {} if not updates else {record.key: record.value for record in driver.read("out")}

    assert found == expected
    if updates:
        # The changes alone give the same sessions: a session whose bounds changed is deleted.
        left = [(key.start_ms, key.end_ms - 10, value) for key, value in changes.items() if value is not None]
        assert sorted(left) == expected
