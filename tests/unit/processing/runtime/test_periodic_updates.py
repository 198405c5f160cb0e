"""``updates(every=)`` gives the newest change of each key once in an interval of event time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import streamcore as sc
from streamcore.errors import TopologyError
from streamcore.processing.operators import intervals
from streamcore.testing import TopologyDriver

app = sc.App("periodic")
payments = app.topic("payments", key=str, value=int, partitions=1)
totals = payments.sum("totals", lambda cents: cents)
periodic = app.topic("periodic", key=str, value=int, partitions=1)
totals.updates(every="10s").to(periodic)
hourly = app.topic("windows", key=sc.Windowed[str], value=int, partitions=1)
payments.tumbling("5s", grace="1m").count("counts").updates(every="10s").to(hourly)


@pytest.fixture
def driver() -> Iterator[TopologyDriver]:
    with TopologyDriver(app) as driver:
        yield driver


def send(driver: TopologyDriver, key: str, *times_s: float) -> None:
    for time_s in times_s:
        driver.send(payments, key=key, value=1, at=int(time_s * 1000))


def given(driver: TopologyDriver) -> list[tuple[str, int, int]]:
    return [(record.key, record.value, record.timestamp_ms) for record in driver.read(periodic)]


def test_the_newest_change_of_each_key_comes_when_the_next_interval_begins(driver: TopologyDriver) -> None:
    send(driver, "b", 1)
    send(driver, "a", 2, 3, 9.999)
    assert given(driver) == []

    send(driver, "c", 10)

    assert given(driver) == [("a", 3, 9_999), ("b", 1, 1_000)]
    send(driver, "a", 55)
    assert given(driver) == [("c", 1, 10_000)]


def test_intervals_that_end_within_one_batch_are_told_apart(driver: TopologyDriver) -> None:
    send(driver, "a", 1, 2, 11, 12, 13, 35, 36, 40)

    assert given(driver) == [("a", 2, 2_000), ("a", 5, 13_000), ("a", 7, 36_000)]


def test_a_crash_loses_no_change_that_is_held(driver: TopologyDriver) -> None:
    send(driver, "a", 1, 2)
    send(driver, "b", 3)
    driver.process()
    driver.crash()

    send(driver, "b", 10)

    assert given(driver) == [("a", 2, 2_000), ("b", 1, 3_000)]


def test_a_crash_repeats_no_change_that_was_given(driver: TopologyDriver) -> None:
    send(driver, "a", 1)
    send(driver, "b", 10)
    assert given(driver) == [("a", 1, 1_000)]
    driver.crash()

    send(driver, "c", 20)

    assert given(driver) == [("b", 1, 10_000)]


def test_the_end_of_the_input_gives_what_is_held(driver: TopologyDriver) -> None:
    send(driver, "a", 1, 12)
    assert given(driver) == [("a", 1, 1_000)]

    driver.close_windows()

    assert given(driver) == [("a", 2, 12_000)]
    driver.close_windows()
    assert given(driver) == []


def test_windows_have_their_own_changes(driver: TopologyDriver) -> None:
    send(driver, "a", 1, 2, 6, 7, 8, 20)

    assert [(record.key, record.value) for record in driver.read(hourly)] == [
        (sc.Windowed("a", 0, 5_000), 2),
        (sc.Windowed("a", 5_000, 10_000), 3),
    ]


def test_a_second_interval_for_a_table_and_a_wrong_one_are_refused() -> None:
    table = sc.App("refused").topic("payments", key=str, value=int).count("counts")
    table.updates(every="10s")

    with pytest.raises(TopologyError, match=r"counts\.updates"):
        table.updates(every="20s")
    with pytest.raises(TopologyError, match="every is at least 1 ms"):
        table.updates(every="0s")


def test_a_result_is_made_when_the_interval_ends_and_its_failure_is_that_of_the_ending_record() -> None:
    made: list[int] = []

    def result(total: int) -> int:
        made.append(total)
        if total == 3:
            raise ValueError("3 is refused")
        return total

    app = sc.App("results", on_error=sc.skip)
    numbers = app.topic("numbers", key=str, value=int, partitions=1)
    add = sc.aggregation(int, lambda total, number: total + number, result=result)
    found = app.topic("found", key=str, value=int, partitions=1)
    numbers.aggregate("sums", total=add).updates(every="10s").map(lambda sums: sums.total).to(found)

    with TopologyDriver(app) as driver:
        for key, number, time_s in [("a", 1, 1), ("a", 2, 2), ("b", 5, 3), ("a", 4, 12), ("b", 5, 30)]:
            driver.send(numbers, key=key, value=number, at=time_s * 1000)
        driver.process()

        assert made == [3, 5, 7]
        assert [(record.key, record.value) for record in driver.read(found)] == [("b", 5), ("a", 7)]


def test_each_change_and_the_periodic_ones_can_be_read_of_one_table() -> None:
    app = sc.App("both")
    numbers = app.topic("numbers", key=str, value=int, partitions=1)
    counts = numbers.count("counts")
    each, some = (app.topic(name, key=str, value=int, partitions=1) for name in ("each", "some"))
    counts.updates().to(each)
    counts.updates(every="10s").to(some)

    with TopologyDriver(app) as driver:
        for time_s in (1, 2, 11, 21):
            driver.send(numbers, key="a", value=0, at=time_s * 1000)
        driver.process()

        assert [record.value for record in driver.read(each)] == [1, 2, 3, 4]
        assert [record.value for record in driver.read(some)] == [2, 3]


def test_a_key_whose_records_all_fail_did_not_change() -> None:
    app = sc.App("failing", on_error=sc.skip)
    numbers = app.topic("numbers", key=str, value=int, partitions=1)
    found = app.topic("found", key=str, value=int, partitions=1)
    inverse = sc.sum(lambda number: 12 // number)
    numbers.aggregate("sums", total=inverse).updates(every="10s").map(lambda sums: sums.total).to(found)

    with TopologyDriver(app) as driver:
        for key, number, time_s in [("a", 0, 1), ("b", 3, 2), ("b", 0, 3), ("c", 1, 20)]:
            driver.send(numbers, key=key, value=number, at=time_s * 1000)
        driver.process()

        assert [(record.key, record.value, record.timestamp_ms) for record in driver.read(found)] == [
            ("b", 4, 2_000)
        ]


def test_a_key_has_the_form_of_the_store_in_every_interval() -> None:
    app = sc.App("forms")
    floats = sc.Serde(encode=lambda key: repr(key).encode(), decode=lambda data: float(data))
    numbers = app.topic("numbers", key=floats, value=int, partitions=1)
    updates = numbers.count("counts").updates(every="10s")
    updates.map_record(
        lambda update: sc.Record(0, repr(update.key), update.timestamp_ms), key=int, value=str
    ).to("found")

    with TopologyDriver(app) as driver:
        for second in (1, 11, 21, 31):
            for key in (2.5, 1.0):
                driver.send(numbers, key=key, value=1, at=second * 1000)
        assert [record.value for record in driver.read("found")] == ["1", "2.5"] * 3


def test_an_interval_may_have_more_changes_than_are_kept_in_memory(
    driver: TopologyDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intervals, "KNOWN_MAX", 2)
    keys = ["b", "d", "a", "c"]
    for second in (1, 11, 21):
        for key in keys:
            send(driver, key, second)
        driver.process()
    driver.close_windows()

    assert [key for key, _, _ in given(driver)] == sorted(keys) * 3


def behind_a_repartition_topic(
    events: list[tuple[int, str, int]], *, slice_records: int, crash_after: int | None = None
) -> list[tuple[str, int, int]]:
    """Return what is given of sums under another key, for (partition, key, seconds)."""
    app = sc.App("behind")
    visits = app.topic("visits", key=str, value=str, partitions=2)
    pages = visits.group_by(lambda page: page)
    pages.count("counts").updates(every="10s").to(app.topic("out", key=str, value=int, partitions=1))
    with TopologyDriver(app, slice_records_max=slice_records) as driver:
        for number, (partition, key, time_s) in enumerate(events):
            driver.send(visits, key=key, value=key, partition=partition, at=time_s * 1000)
            if number == crash_after:
                driver.process()
                driver.crash()
        return [(record.key, record.value, record.timestamp_ms // 1000) for record in driver.read("out")]


IN_TWO_PARTITIONS = [
    *((number % 2, "ab"[number % 3 == 0], number) for number in range(0, 60, 2)),
    *((0, "a", second) for second in (61, 75, 76, 98)),
    (1, "b", 99),
]


@pytest.mark.parametrize("slice_records", [1, 2, 7, 1000])
def test_behind_a_repartition_topic_intervals_end_at_their_records_whenever_commits_are_made(
    slice_records: int,
) -> None:
    expected = behind_a_repartition_topic(IN_TWO_PARTITIONS, slice_records=1000)
    assert [row for row in expected if row[0] == "a"] == [
        *[
            ("a", count, second)
            for count, second in ((3, 8), (6, 16), (10, 28), (13, 38), (16, 46), (20, 58))
        ],
        *[("a", 21, 61), ("a", 23, 76)],
    ]

    found = behind_a_repartition_topic(IN_TWO_PARTITIONS, slice_records=slice_records)

    assert found == expected


def test_what_comes_late_from_a_slow_partition_is_given_while_that_partition_goes_on() -> None:
    app = sc.App("slow")
    visits = app.topic("visits", key=str, value=str, partitions=2)
    visits.group_by(lambda page: page).count("counts").updates(every="10s").to("out")
    with TopologyDriver(app) as driver:
        driver.send(visits, key="k", value="page", partition=1, at=5_000)
        driver.process()
        driver.send(visits, key="k", value="page", partition=0, at=100_000)
        found = [[record.value for record in driver.read("out")]]
        for second in (10, 15, 25, 45):
            driver.send(visits, key="k", value="page", partition=1, at=second * 1000)
            found.append([record.value for record in driver.read("out")])

    # The record at 100 s ends the interval of the first; what comes then is behind it.
    assert found == [[1], [3], [], [5], [6]]


def windows_behind_intervals(rows: list[tuple[str, int]], *, together: bool) -> list[tuple[str, int, int]]:
    """Count changes of intervals in windows behind a repartition topic; commit once, or after each row."""
    app = sc.App("behind")
    visits = app.topic("visits", key=str, value=int, partitions=1)
    changes = visits.count("visits-of").updates(every="10s").repartition(1, name="moved")
    changes.tumbling("10s").count("changes").final().to(app.topic("out", key=sc.Windowed[str], value=int))
    with TopologyDriver(app) as driver:
        for key, time_s in rows:
            driver.send(visits, key=key, value=1, at=time_s * 1000)
            if not together:
                driver.process()
        driver.process()
        return [(record.key.key, record.key.start_ms // 1000, record.value) for record in driver.read("out")]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("a", 29), ("b", 0), ("b", 31), ("a", 52)], [("a", 20, 1), ("b", 30, 1)]),
        ([("a", 45), ("a", 19), ("a", 0), ("a", 60), ("a", 75)], []),
        (
            [("a", 1), ("b", 9), ("b", 2), ("a", 10), ("c", 35), ("c", 55)],
            [("a", 0, 1), ("b", 0, 1), ("a", 10, 1), ("c", 30, 1)],
        ),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_a_change_older_than_its_interval_is_late_whenever_commits_are_made(
    rows: list[tuple[str, int]], expected: list[tuple[str, int, int]], together: bool
) -> None:
    """The change has the time of a late record, which can be before the mark that a commit wrote."""
    assert windows_behind_intervals(rows, together=together) == expected
