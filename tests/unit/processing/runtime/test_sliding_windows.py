"""Sliding windows: which windows records make, what each holds, what is late, and what is given at the end.

Times are milliseconds, windows are 10 ms: records that are at most 10 ms apart are in one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import TopologyError
from streamcore.testing import TopologyDriver

app = sc.App("sliding")
clicks = app.topic("clicks", key=str, value=str, partitions=1)
late = app.topic("late", key=str, value=str)
results = app.topic("results", key=sc.Windowed[str], value=str)
changes = app.topic("changes", key=sc.Windowed[str], value=str, partitions=1)
table = clicks.sliding(10, grace=5, retention="1h").reduce("texts", lambda text, more: text + more, late=late)
table.final().to(results)
table.updates().to(changes)

SILENT = sc.App("silent")
silent_clicks = SILENT.topic("clicks", key=str, value=str, partitions=1)
silent_clicks.sliding(10).aggregate("counts", number=sc.count(), last=sc.last())

Row = tuple[str, int, int, Any]


@pytest.fixture
def driver() -> Iterator[TopologyDriver]:
    with TopologyDriver(app) as driver:
        yield driver


def send(driver: TopologyDriver, *records: tuple[str, int], key: str = "k") -> None:
    for value, at in records:
        driver.send(clicks, key=key, value=value, at=at)


def windows(driver: TopologyDriver, name: str = "texts") -> list[Row]:
    return [
        (answer.key.key, answer.key.start_ms, answer.key.end_ms, answer.value)
        for answer in driver.table(name).all()
    ]


def read(driver: TopologyDriver, topic: Any) -> list[Row]:
    return [
        (record.key.key, record.key.start_ms, record.key.end_ms, record.value)
        for record in driver.read(topic)
    ]


CASES: dict[str, tuple[list[tuple[str, int]], list[tuple[int, str]]]] = {
    "one record has the window that ends with it": ([("a", 100)], [(90, "a")]),
    "in order: one window ends with each record, one starts after each that others follow": (
        [("a", 100), ("b", 105), ("c", 108)],
        [(90, "a"), (95, "ab"), (98, "abc"), (101, "bc"), (106, "c")],
    ),
    "both ends count: exactly the size apart is within one window": (
        [("a", 100), ("b", 110)],
        [(90, "a"), (100, "ab"), (101, "b")],
    ),
    "a millisecond more than the size apart: the window after the first ends with the second": (
        [("a", 100), ("b", 111)],
        [(90, "a"), (101, "b")],
    ),
    "further apart: nothing is shared, and no window lies between them": (
        [("a", 100), ("b", 140)],
        [(90, "a"), (130, "b")],
    ),
    "equal times make their windows once": (
        [("a", 100), ("b", 100), ("c", 104)],
        [(90, "ab"), (94, "abc"), (101, "c")],
    ),
    "equal times alone have nothing after them": ([("a", 100), ("b", 100)], [(90, "ab")]),
    "out of order: a record between two others makes both its windows": (
        [("a", 100), ("c", 108), ("b", 104)],
        [(90, "a"), (94, "ab"), (98, "acb"), (101, "cb"), (105, "c")],
    ),
    "out of order: a record before all others has those that follow in the window after it": (
        [("b", 108), ("a", 104)],
        [(94, "a"), (98, "ba"), (105, "b")],
    ),
    "out of order: a record out of the reach of the others adds no window that holds them": (
        [("b", 112), ("a", 101)],
        [(91, "a"), (102, "b")],
    ),
    "out of order: a record makes the window after an earlier one that had none": (
        [("a", 100), ("c", 113), ("b", 109)],
        [(90, "a"), (99, "ab"), (101, "b"), (103, "cb"), (110, "c")],
    ),
    "near 1970 the windows that would start before it are one": (
        [("a", 0), ("b", 4), ("c", 10), ("d", 13)],
        [(0, "abc"), (1, "bc"), (3, "bcd"), (5, "cd"), (11, "d")],
    ),
    "near 1970, out of order": (
        [("c", 9), ("a", 2), ("b", 5)],
        [(0, "cab"), (3, "cb"), (6, "c")],
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("is_silent", [False, True], ids=["record by record", "by batches"])
def test_records_make_windows(case: str, is_silent: bool) -> None:
    records, wanted = CASES[case]
    own = sc.App("own")
    topic = own.topic("clicks", key=str, value=str, partitions=1)
    made = topic.sliding(10, grace="1h").reduce("texts", lambda text, more: text + more)
    if not is_silent:
        made.updates().to("changes")
    with TopologyDriver(own) as driver:
        for value, at in records:
            driver.send(topic, key="k", value=value, at=at)

        assert windows(driver) == [("k", start, start + 11, text) for start, text in wanted]


def test_each_record_of_a_long_row_is_in_all_windows_that_reach_over_it() -> None:
    own = sc.App("own")
    topic = own.topic("clicks", key=str, value=int, partitions=1)
    topic.sliding("100ms").count("counts").updates().to("changes")
    with TopologyDriver(own) as driver:
        for number in range(50):
            driver.send(topic, key="k", value=1, at=1_000 + 10 * number)

        counts = {answer.key.start_ms: answer.value for answer in driver.table("counts").all()}

    # Of a row of records every 10 ms a window of 100 ms holds 11 if it begins with one, else 10.
    assert {counts[1_000 + 10 * number] for number in range(39)} == {11}
    assert {counts[1_001 + 10 * number] for number in range(39)} == {10}
    assert [counts[900 + 10 * number] for number in range(10)] == list(range(1, 11))


def test_keys_have_their_own_windows(driver: TopologyDriver) -> None:
    send(driver, ("a", 100), key="x")
    send(driver, ("b", 103), ("c", 104), key="y")

    assert windows(driver) == [
        ("x", 90, 101, "a"),
        ("y", 93, 104, "b"),
        ("y", 94, 105, "bc"),
        ("y", 104, 115, "c"),
    ]


def test_updates_are_the_windows_that_a_record_changes_by_start(driver: TopologyDriver) -> None:
    send(driver, ("a", 100), ("c", 108), ("b", 104))

    assert read(driver, changes) == [
        ("k", 90, 101, "a"),
        ("k", 98, 109, "ac"),
        ("k", 101, 112, "c"),
        ("k", 94, 105, "ab"),
        ("k", 98, 109, "acb"),
        ("k", 101, 112, "cb"),
        ("k", 105, 116, "c"),
    ]


def test_a_window_gives_one_result_when_the_time_is_at_its_end_and_grace(driver: TopologyDriver) -> None:
    send(driver, ("a", 100), ("b", 103))
    send(driver, ("z", 105), key="other")
    assert read(driver, results) == []

    send(driver, ("z", 106), key="other")

    assert read(driver, results) == [("k", 90, 101, "a")]
    driver.crash()
    driver.close_windows()
    assert read(driver, results) == [
        ("k", 93, 104, "ab"),
        ("other", 95, 106, "z"),
        ("other", 96, 107, "zz"),
        ("k", 101, 112, "b"),
        ("other", 106, 117, "z"),
    ]


def test_a_record_counts_for_the_windows_that_are_open_for_its_partition(driver: TopologyDriver) -> None:
    send(driver, ("a", 100), ("b", 115))
    send(driver, ("c", 102))  # The windows that start before 100 are closed.
    send(driver, ("d", 110))
    driver.process()

    assert windows(driver) == [
        ("k", 90, 101, "a"),
        ("k", 100, 111, "acd"),
        ("k", 101, 112, "cd"),
        ("k", 103, 114, "d"),
        ("k", 105, 116, "bd"),
        ("k", 111, 122, "b"),
    ]
    assert driver.late_count == 0


def test_a_record_is_late_if_all_its_windows_are_closed(driver: TopologyDriver) -> None:
    send(driver, ("a", 100), ("b", 120))
    send(driver, ("c", 104), ("d", 105))
    driver.process()

    assert driver.late_count == 1
    assert [(record.value, record.timestamp_ms) for record in driver.read(late)] == [("c", 104)]
    assert windows(driver) == [("k", 90, 101, "a"), ("k", 105, 116, "d"), ("k", 110, 121, "b")]


def test_a_window_that_begins_after_closed_ones_has_the_records_that_it_took_while_they_were_closed() -> None:
    own = sc.App("own")
    topic = own.topic("clicks", key=str, value=str, partitions=1)
    topic.sliding(10, grace=45).reduce("texts", lambda text, more: text + more)
    with TopologyDriver(own) as driver:
        for key, value, at in [("k", "a", 100), ("z", "-", 150), ("k", "c", 98)]:
            driver.send(topic, key=key, value=value, at=at)
        driver.crash()
        driver.send(topic, key="k", value="d", at=106)

        found = [row[1:] for row in windows(driver) if row[0] == "k"]

    # For c the windows that start before 95 were closed.
    assert found == [
        (90, 101, "a"),
        (95, 106, "ac"),
        (96, 107, "acd"),
        (99, 110, "ad"),
        (101, 112, "d"),
    ]


def test_records_whose_own_windows_are_closed_are_taken_in_by_the_first_that_is_open() -> None:
    own = sc.App("own")
    topic = own.topic("clicks", key=str, value=str, partitions=1)
    topic.sliding(10, grace=90).reduce("texts", lambda text, more: text + more)
    with TopologyDriver(own) as driver:
        driver.send(topic, key="k", value="z", at=200)
        for number in range(-1, 5):
            driver.send(topic, key="k", value=str(number)[-1], at=100 + number)
        driver.process()

        assert driver.late_count == 1  # the one at 99: the last window that would hold it is [99, 110)
        # Kafka has all of these but the first.
        assert [(row[1], row[3]) for row in windows(driver)] == [
            (100, "01234"),
            (101, "1234"),
            (102, "234"),
            (103, "34"),
            (104, "4"),
            (190, "z"),
        ]


def test_a_table_without_readers_closes_its_windows_too() -> None:
    with TopologyDriver(SILENT) as driver:
        for at in (100, 105, 200, 96, 95, 300):
            driver.send(silent_clicks, key="k", value=str(at), at=at)

        found = [(row[1], row[3].number, row[3].last) for row in windows(driver, "counts")]

    assert found == [(90, 1, "100"), (95, 2, "105"), (101, 1, "105"), (190, 1, "200"), (290, 1, "300")]


def test_the_end_of_the_input_closes_the_windows_of_a_table_without_readers() -> None:
    with TopologyDriver(SILENT) as driver:
        driver.send(silent_clicks, key="k", value="a", at=100)

        driver.close_windows()

        assert [row[1] for row in windows(driver, "counts")] == [90]


def test_old_windows_are_dropped(driver: TopologyDriver) -> None:
    send(driver, ("a", 100), ("b", 7_200_000))

    assert windows(driver) == [("k", 7_199_990, 7_200_001, "b")]


def test_values_of_none_are_left_out_and_late_records_may_be_written_nowhere() -> None:
    own = sc.App("own")
    topic = own.topic("clicks", key=str, value=int, partitions=1, on_null="pass")
    topic.sliding(10).count("counts")
    with TopologyDriver(own) as driver:
        for key, value, at in [("k", 1, 100), ("k", None, 103), (None, 1, 104), ("k", 2, 105), ("k", 3, 90)]:
            driver.send(topic, key=key, value=value, at=at)

        found = [(row[1], row[3]) for row in windows(driver, "counts")]

        assert found == [(90, 1), (95, 2), (101, 1)]
        assert driver.late_count == 1


def test_queries_find_the_last_window_that_holds_a_time_and_the_windows_of_a_key(
    driver: TopologyDriver,
) -> None:
    send(driver, ("a", 100), ("b", 105), ("c", 119))
    send(driver, ("x", 104), key="other")
    texts = driver.table("texts")

    def at(time_ms: int) -> tuple[int, str] | None:
        answer = texts.get("k", at=time_ms)
        return None if answer is None else (answer.key.start_ms, answer.value)

    assert [at(time_ms) for time_ms in (89, 90, 94, 95, 104, 106, 108, 109, 119, 120)] == [
        None, (90, "a"), (90, "a"), (95, "ab"), (101, "b"), (101, "b"), (101, "b"), (109, "c"), (109, "c"),
        None,
    ]  # fmt: skip
    assert [(found.key.start_ms, found.value) for found in texts.windows("k", since=95, until=109)] == [
        (95, "ab"),
        (101, "b"),
    ]
    assert texts.description.sliding_size_ms == 10


def test_agents_read_the_last_window_that_holds_a_time() -> None:
    own = sc.App("own")
    topic = own.topic("clicks", key=str, value=str, partitions=1)
    asked = own.topic("asked", key=str, value=int, partitions=1)
    answers = own.topic("answers", key=str, value=str)
    texts = topic.sliding(10, grace=5).reduce("texts", lambda text, more: text + more)

    @own.agent(asked, tables=[texts])
    async def answer(events: sc.Events[int]) -> None:
        async for event in events:
            await answers.send(key="k", value=f"{texts.get('k', at=event)} {texts.get('k')}")

    with TopologyDriver(own) as driver:
        for value, at in [("a", 100), ("b", 105)]:
            driver.send(topic, key="k", value=value, at=at)
        driver.process()
        for wanted in (96, 102, 130):
            driver.send(asked, key="k", value=wanted, at=105)

        assert [record.value for record in driver.read(answers)] == ["ab b", "b b", "None b"]


def test_several_streams_add_to_one_sliding_window() -> None:
    own = sc.App("own")
    left = own.topic("left", key=str, value=int, partitions=1)
    right = own.topic("right", key=str, value=int, partitions=1)
    united = sc.cogroup(left.by(lambda total, value: total + value), right.by(lambda total, _: total - 1))
    united.sliding("10s", grace="5s").aggregate("totals", initial=0)
    with TopologyDriver(own) as driver:
        driver.send(left, key="k", value=5, at=100_000)
        driver.send(right, key="k", value=0, at=103_000)

        found = [(row[1], row[3]) for row in windows(driver, "totals")]

    assert found == [(90_000, 5), (93_000, 4), (100_001, -1)]


def test_invalid_durations_are_refused_where_they_are_declared() -> None:
    stream = sc.App("refused").topic("clicks", key=str, value=int)

    with pytest.raises(TopologyError, match=r"a window's size is at least 1 ms.*at=.*\.py:\d+"):
        stream.sliding("0s")
    with pytest.raises(TopologyError, match="grace"):
        stream.sliding("1s", grace=-1)


def test_a_table_that_was_written_with_another_size_is_refused() -> None:
    from streamcore.processing.runtime.stores import description_of
    from streamcore.state.descriptions import change_between

    def described(size: int) -> Any:
        stream = sc.App("app").topic("clicks", key=str, value=int)
        return description_of(stream.sliding(size).count("counts").store, "counts", follows="")

    change = change_between(described(10), described(20))

    assert change is not None
    assert (change.what, change.stored, change.declared) == ("sliding_size_ms", 10, 20)
    assert described(10).version == 3
