"""Which records are late, and when windows close, with several partitions and behind repartition topics."""

from __future__ import annotations

import pytest

import streamcore as sc
from streamcore.errors import TopologyError
from streamcore.testing import TopologyDriver

HOUR_MS = 3_600_000


def minutes(app: sc.App, *, by_value: bool) -> sc.Topic[str, str]:
    words = app.topic("words", key=str, value=str, partitions=2)
    keyed = words.group_by(lambda word: word) if by_value else words
    keyed.tumbling("1m").count("per-minute", late="late").final().to("finals")
    return words


@pytest.mark.parametrize("slice_records", [1, 3, 1_000])
@pytest.mark.parametrize("by_value", [False, True])
def test_a_partition_an_hour_ahead_makes_no_record_of_another_late(
    slice_records: int, by_value: bool
) -> None:
    app = sc.App("ahead")
    words = minutes(app, by_value=by_value)

    with TopologyDriver(app, slice_records_max=slice_records) as driver:
        for number in range(12):
            driver.send(words, key="a", value="x", at=HOUR_MS + number * 10_000, partition=1)
            driver.send(words, key="a", value="x", at=number * 10_000, partition=0)
        driver.process()
        driver.close_windows()
        finals = {(record.key.start_ms, record.value) for record in driver.read("finals")}

        assert driver.late_count == 0
        assert {(0, 6), (60_000, 6), (HOUR_MS, 6), (HOUR_MS + 60_000, 6)} <= finals


@pytest.mark.parametrize("slice_records", [1, 3, 1_000])
def test_behind_a_repartition_a_record_is_late_by_its_source_partition(slice_records: int) -> None:
    app = sc.App("source")
    words = minutes(app, by_value=True)

    with TopologyDriver(app, slice_records_max=slice_records) as driver:
        # The word "y" is alone in its partition of the repartition topic, but late at its source.
        for value, at in (("x", 10_000), ("x", 70_000), ("y", 20_000), ("y", 65_000)):
            driver.send(words, key="a", value=value, at=at, partition=0)
        driver.process()

        assert driver.late_count == 1
        assert [record.value for record in driver.read("late")] == ["y"]


def test_a_window_over_two_inputs_closes_when_both_have_passed_it() -> None:
    app = sc.App("two")
    first, second = (app.topic(name, key=str, value=int) for name in ("first", "second"))
    first.merge(second).tumbling("1m").count("per-minute").final().to("finals")

    with TopologyDriver(app) as driver:
        driver.send(first, key="a", value=1, at=10_000)
        driver.send(second, key="a", value=1, at=15_000)
        driver.process()
        driver.send(first, key="a", value=1, at=130_000)
        assert driver.read("finals") == []

        driver.send(second, key="a", value=1, at=59_999)
        assert driver.read("finals") == []
        driver.send(second, key="a", value=1, at=60_000)

        assert [(record.key.start_ms, record.value) for record in driver.read("finals")] == [(0, 3)]


def test_a_silent_input_holds_windows_for_a_second() -> None:
    app = sc.App("silent")
    first, second = (app.topic(name, key=str, value=int) for name in ("first", "second"))
    first.merge(second).tumbling("1m").count("per-minute").final().to("finals")

    with TopologyDriver(app) as driver:
        driver.send(second, key="a", value=1, at=15_000)
        driver.send(first, key="a", value=1, at=130_000)
        driver.advance("900ms")
        assert driver.read("finals") == []

        driver.advance("100ms")
        assert [record.value for record in driver.read("finals")] == [1]
        driver.send(second, key="a", value=1, at=20_000)

        assert (driver.read("finals"), driver.late_count) == ([], 1)


def test_a_topic_that_is_only_a_table_does_not_hold_windows() -> None:
    app = sc.App("table")
    first = app.topic("first", key=str, value=int)
    names = app.topic("names", key=str, value=str).table("names")
    first.join(names, lambda value, name: value).tumbling("1m").count("per-minute").final().to("finals")

    with TopologyDriver(app) as driver:
        driver.send("names", key="a", value="Anne", at=1_000)
        driver.send(first, key="a", value=1, at=10_000)
        driver.send(first, key="a", value=1, at=130_000)

        assert [record.value for record in driver.read("finals")] == [1]


def test_windows_of_final_results_wait_for_the_grace_above_them() -> None:
    app = sc.App("held")
    numbers = app.topic("numbers", key=str, value=int)
    minute = numbers.tumbling("1m", grace="30s").count("per-minute").final()
    minute.tumbling("2m").sum("again", lambda count: count, late="late").final().to("finals")

    with TopologyDriver(app) as driver:
        for second in (10, 70, 125, 155, 240, 270):
            driver.send(numbers, key="a", value=1, at=second * 1_000)
        driver.process()

        assert driver.late_count == 0
        finals = [
            (record.key.start_ms, record.key.key.start_ms, record.value) for record in driver.read("finals")
        ]
        assert finals == [(0, 0, 1), (0, 60_000, 1), (120_000, 120_000, 2)]


def test_behind_a_repartition_lateness_does_not_depend_on_how_batches_are_cut() -> None:
    counts = []
    for slice_records in (1, 2, 1_000):
        app = sc.App("cuts")
        words = minutes(app, by_value=True)
        with TopologyDriver(app, slice_records_max=slice_records) as driver:
            for partition, times in ((0, (0, 10_000, 130_000)), (1, (5_000,))):
                for at in times:
                    driver.send(words, key="a", value="x", at=at, partition=partition)
            driver.process()
            driver.send(words, key="a", value="x", at=20_000, partition=1)
            driver.process()
            counts.append(driver.late_count)

    assert counts == [counts[0]] * 3


def test_closing_windows_gives_all_final_results_to_the_windows_behind_a_repartition() -> None:
    app = sc.App("behind")
    numbers = app.topic("numbers", key=int, value=int, partitions=4)

    def by_start(record: sc.Record[sc.Windowed[int], int]) -> sc.Record[int, int]:
        return sc.Record(record.key.start_ms, record.value, record.timestamp_ms)

    counts = numbers.hopping("10s", "2s", grace="5s").count("each").final()
    sums = counts.map_record(by_start, name="by-start").tumbling("2s").sum("all", lambda count: count)
    sums.final().to("sums")
    wanted: dict[int, int] = {}

    with TopologyDriver(app) as driver:
        for number in range(400):
            at = 100_000 + number * 100
            driver.send(numbers, key=number % 40, value=1, at=at)
            for start_ms in range(at // 2_000 * 2_000 - 8_000, at + 1, 2_000):
                wanted[start_ms] = wanted.get(start_ms, 0) + 1
        driver.close_windows()
        found: dict[int, int] = {}
        for record in driver.read("sums"):
            start_ms = record.key.key
            found[start_ms] = found.get(start_ms, 0) + record.value

        assert driver.late_count == 0
        assert found == wanted


def test_a_silence_of_years_costs_no_more_than_the_changes_that_it_ends() -> None:
    app = sc.App("years")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.count("counts").updates(every="1s").to("changes")

    with TopologyDriver(app) as driver:
        for at in (0, 1_700_000_000_000, 1_700_000_000_500, 1_700_000_100_000):
            driver.send(numbers, key="a", value=1, at=at)

        assert [record.value for record in driver.read("changes")] == [1, 3]


LATE_SENT = [("first", "a", 1), ("second", "b", 2), ("first", "c", 60), ("second", "d", 61)]
"""Topic, value, and the time in seconds: of both topics, the next record at 3 s is late."""


@pytest.mark.parametrize("step", ["join", "take", "rate_limit", "cogroup"])
@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("crash", [False, True])
def test_late_records_go_to_the_topic_for_late_records_with_their_keys_and_times(
    step: str, declared: bool, crash: bool
) -> None:
    app = sc.App("late-records")
    first, second = (app.topic(name, key=str, value=str) for name in ("first", "second"))
    late = app.topic("late", key=str, value=str) if declared else "late"
    match step:
        case "join":
            first.join(second, lambda one, other: one + other, before="5s", after="5s", late=late, name="j")
        case "take":
            first.merge(second).take(5, within="10s", late=late, name="taken")
        case "rate_limit":
            first.merge(second).rate_limit(5, per="10s", late=late, name="limited")
        case _:
            adds = [stream.by(lambda total, value: total + value) for stream in (first, second)]
            sc.cogroup(*adds).tumbling("10s").aggregate("all", initial="", value=str, late=late)

    with TopologyDriver(app) as driver:
        for topic, value, at_s in LATE_SENT:
            driver.send(topic, key="k", value=value, at=at_s * 1_000)
        driver.process()
        if crash:
            driver.crash()
        for topic, value in (("first", "e"), ("second", "f")):
            driver.send(topic, key="k", value=value, at=3_000)

        found = driver.read("late")
        assert sorted(record.value for record in found) == ["e", "f"]
        assert {(record.key, record.timestamp_ms) for record in found} == {("k", 3_000)}
        assert driver.late_count == 2


def repeated(text: str, times: int) -> str:
    return text * times


def test_late_records_of_streams_with_several_types_need_a_declared_topic() -> None:
    app = sc.App("late-records")
    first, second = app.topic("first", key=str, value=str), app.topic("second", key=str, value=int)

    with pytest.raises(TopologyError, match=r"declared topic.*step=j topic=late values=str int"):
        first.join(second, repeated, before="5s", after="5s", late="late", name="j")
    late = app.topic("late", key=str, value=str | int)
    first.join(
        second, lambda one, other: one * other, before="5s", after="5s", late=late, name="k", value=str
    )
    with TopologyDriver(app) as driver:
        for topic, value, at in ((first, "a", 60_000), (second, 2, 60_000), (first, "b", 0), (second, 3, 0)):
            driver.send(topic, key="k", value=value, at=at)

        assert sorted(str(record.value) for record in driver.read(late)) == ["3", "b"]


def test_a_description_shows_where_late_records_go() -> None:
    app = sc.App("late-records")
    words = app.topic("words", key=str, value=str)
    words.take(1, within="1m", late="too-late", name="one").to("out")

    assert "take <- words (store one, late to topic too-late)" in app.describe()
    assert "too-late" in app.describe().split("writes")[1]


@pytest.mark.parametrize("seed", range(4))
def test_a_restart_knows_which_windows_have_closed_and_which_records_are_late(seed: int) -> None:
    app = sc.App("restarted")
    words = app.topic("words", key=str, value=str, partitions=1)
    words.tumbling("5s").count("counts").final().to("finals")

    with TopologyDriver(app, seed=seed) as driver:
        for at_s in (0, 1, 10):
            driver.send(words, key="a", value="x", at=at_s * 1_000)
        before = [(record.key.start_ms, record.value) for record in driver.read("finals")]
        driver.crash()
        driver.send(words, key="a", value="late", at=4_999)
        driver.send(words, key="a", value="x", at=20_000)
        after = [(record.key.start_ms, record.value) for record in driver.read("finals")]

        assert before == [(0, 2)]
        assert after == [(10_000, 1)]
        assert driver.late_count == 1


@pytest.mark.parametrize("seed", range(4))
def test_a_window_that_closed_with_the_clock_stays_closed_after_a_restart(seed: int) -> None:
    app = sc.App("by-clock")
    words = app.topic("words", key=str, value=str, partitions=1, idle_after="2s")
    words.tumbling("5s").count("counts").final().to("finals")

    with TopologyDriver(app, seed=seed) as driver:
        driver.send(words, key="a", value="x", at=1_000)
        driver.advance("20s")
        before = [record.value for record in driver.read("finals")]
        driver.crash()
        driver.send(words, key="a", value="x", at=2_000)
        driver.close_windows()

        assert before == [1]
        assert driver.read("finals") == []
        assert driver.late_count == 1


@pytest.mark.parametrize("seed", range(2))
def test_a_restart_knows_the_time_of_a_partition_that_is_ahead_of_another(seed: int) -> None:
    app = sc.App("ahead-of-another")
    first, second = (app.topic(name, key=str, value=int) for name in ("first", "second"))
    first.merge(second).tumbling("5s").count("counts")

    with TopologyDriver(app, seed=seed) as driver:
        driver.send(second, key="a", value=1, at=1_000)
        driver.send(first, key="a", value=1, at=100_000)
        driver.process()
        driver.crash()
        driver.send(first, key="a", value=1, at=2_000)
        driver.send(second, key="a", value=1, at=2_000)
        counts = {answer.key.start_ms: answer.value for answer in driver.table("counts").all()}

        assert counts == {0: 2, 100_000: 1}
        assert driver.late_count == 1
