"""Behind a repartition topic windows wait for all source partitions, by the marks of their tasks."""

from __future__ import annotations

import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver

HOUR_MS = 3_600_000


def words_by_value(app: sc.App, *, idle_after: str | None = None, twice: bool = False) -> sc.Topic[str, str]:
    """Words of two partitions, counted by the minute behind one repartition topic, or behind two."""
    words = app.topic("words", key=str, value=str, partitions=2, idle_after=idle_after)
    keyed = words.group_by(lambda word: word, name="by-word")
    if twice:
        keyed = keyed.dedupe(None, within="1s", name="once").group_by(lambda word: word + word, name="again")
    keyed.tumbling("1m").count("per-minute", late="late").final().to("finals")
    return words


def finals_of(driver: TopologyDriver) -> list[tuple[str, int, int]]:
    return sorted((record.key.key, record.key.start_ms, record.value) for record in driver.read("finals"))


def test_a_slow_partition_loses_nothing_behind_a_repartition_topic() -> None:
    app = sc.App("slow")
    words = words_by_value(app)

    with TopologyDriver(app) as driver:
        driver.send(words, key="k", value="a", at=1_000, partition=1)
        driver.send(words, key="k", value="a", at=1_000, partition=0)
        driver.process()
        for hour in (1, 2):
            driver.send(words, key="k", value="a", at=hour * HOUR_MS, partition=0)
            driver.process()
        assert finals_of(driver) == []

        # What is an hour behind the other partition is in time at its own source.
        driver.send(words, key="k", value="a", at=2_000, partition=1)
        driver.send(words, key="k", value="a", at=70_000, partition=1)
        driver.process()

        assert driver.late_count == 0
        assert finals_of(driver) == [("a", 0, 3)]


def test_windows_close_in_partitions_that_get_no_record() -> None:
    app = sc.App("quiet")
    words = words_by_value(app)

    with TopologyDriver(app) as driver:
        for word in ("a", "b", "c", "d"):
            driver.send(words, key="k", value=word, at=1_000, partition=0)
        driver.send(words, key="k", value="a", at=61_000, partition=0)

        assert finals_of(driver) == [("a", 0, 1), ("b", 0, 1), ("c", 0, 1), ("d", 0, 1)]


def test_a_partition_that_has_never_had_a_record_is_not_waited_for() -> None:
    app = sc.App("empty")
    words = words_by_value(app)

    with TopologyDriver(app) as driver:
        driver.send(words, key="k", value="a", at=1_000, partition=0)
        driver.send(words, key="k", value="a", at=61_000, partition=0)

        assert finals_of(driver) == [("a", 0, 1)]


def test_a_silent_partition_is_waited_for_until_it_is_idle() -> None:
    app = sc.App("idle")
    words = words_by_value(app)

    with TopologyDriver(app) as driver:
        driver.send(words, key="k", value="a", at=1_000, partition=1)
        driver.send(words, key="k", value="a", at=1_000, partition=0)
        driver.send(words, key="k", value="a", at=61_000, partition=0)
        driver.process()
        driver.advance("900ms")
        assert finals_of(driver) == []

        driver.send(words, key="k", value="a", at=62_000, partition=0)
        driver.advance("200ms")
        assert finals_of(driver) == [("a", 0, 2)]


def test_the_clock_closes_windows_behind_a_repartition_topic() -> None:
    app = sc.App("clock")
    words = words_by_value(app, idle_after="10s")

    with TopologyDriver(app) as driver:
        driver.send(words, key="k", value="a", at=1_000, partition=0)
        driver.send(words, key="k", value="b", at=2_000, partition=1)
        driver.process()
        driver.advance("30s")
        assert finals_of(driver) == []
        driver.advance("40s")
        assert finals_of(driver) == [("a", 0, 1), ("b", 0, 1)]


@pytest.mark.parametrize("slice_records", [1, 3, 1_000])
def test_progress_passes_through_two_repartition_topics(slice_records: int) -> None:
    app = sc.App("twice")
    words = words_by_value(app, twice=True)

    with TopologyDriver(app, slice_records_max=slice_records) as driver:
        driver.send(words, key="k", value="a", at=5_000, partition=1)
        for at in (1_000, 3 * HOUR_MS, 3 * HOUR_MS + 70_000):
            driver.send(words, key="k", value="a", at=at, partition=0)
        driver.process()
        assert finals_of(driver) == []
        driver.send(words, key="k", value="b", at=30_000, partition=1)
        driver.process()
        driver.send(words, key="k", value="b", at=70_000, partition=1)
        driver.process()

        assert driver.late_count == 0
        assert finals_of(driver) == [("aa", 0, 2), ("bb", 0, 1)]


def test_after_a_crash_the_writers_say_again_how_far_they_are() -> None:
    app = sc.App("crash")
    words = words_by_value(app)

    with TopologyDriver(app) as driver:
        driver.send(words, key="k", value="a", at=1_000, partition=1)
        driver.send(words, key="k", value="a", at=2_000, partition=0)
        driver.process()
        driver.crash()
        driver.send(words, key="k", value="a", at=HOUR_MS, partition=0)
        driver.process()
        assert finals_of(driver) == []
        driver.crash()
        driver.send(words, key="k", value="a", at=3_000, partition=1)
        driver.send(words, key="k", value="a", at=60_000, partition=1)
        driver.process()

        assert driver.late_count == 0
        assert finals_of(driver) == [("a", 0, 3)]


def test_an_idle_partition_that_holds_results_back_is_waited_for() -> None:
    app = sc.App("held")
    words = app.topic("words", key=str, value=str, partitions=2)
    minutes = words.tumbling("1m").count("minutes").final()
    minutes.group_by(lambda count: count, name="by-count").tumbling("1m").count("equal").final().to("finals")

    with TopologyDriver(app) as driver:
        driver.send(words, key="k", value="a", at=1_000, partition=1)
        for at in (1_000, HOUR_MS, HOUR_MS + 60_000):
            driver.send(words, key="k", value="a", at=at, partition=0)
        driver.process()
        driver.advance("10s")
        assert driver.read("finals") == []

        driver.send(words, key="k", value="a", at=2 * HOUR_MS, partition=1)
        driver.process()
        assert driver.late_count == 0
        finals = {(record.key.start_ms, record.value) for record in driver.read("finals")}
        assert finals == {(0, 2), (HOUR_MS, 1)}


def test_no_topic_gets_marks_where_no_step_uses_the_time() -> None:
    app = sc.App("plain")
    words = app.topic("words", key=str, value=str, partitions=2)
    words.group_by(lambda word: word, name="by-word").count("counts")

    assert [each.marked for each in app.plan().sub_topologies] == [{}, {}]


@pytest.mark.parametrize("slice_records", [1, 3, 1_000])
def test_a_stream_meets_its_own_records_under_another_key(slice_records: int) -> None:
    app = sc.App("ring")
    visits = app.topic("visits", key=str, value=str)
    by_next = visits.group_by(lambda next_page: next_page, name="by-next", key=str)

    @visits.join(by_next, before="1s", after="1s", how="left", name="pairs")
    def pairs(left: str, right: str | None) -> str:
        return f"{left} {right}"

    pairs.to("out")
    wanted = sorted(
        f"p{(left + 1) % 3} p{(right + 1) % 3}"
        for left in range(30)
        for right in range(30)
        if left % 3 == (right + 1) % 3 and abs(left - right) <= 2
    )

    with TopologyDriver(app, slice_records_max=slice_records) as driver:
        for number in range(30):
            driver.send(visits, key=f"p{number % 3}", value=f"p{(number + 1) % 3}", at=number * 500)
        driver.process()
        driver.close_windows()

        assert driver.late_count == 0
        assert sorted(record.value for record in driver.read("out")) == wanted
