"""Steps that pass some of the records: take, rate_limit, dedupe, sample."""

from __future__ import annotations

from typing import Any

import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver

S = 1_000


def results(
    stream_of: Any, events: list[tuple[Any, int, int]], *, crash_after: int | None = None
) -> list[Any]:
    """Return what a step passes of (key, value, seconds), as such triples."""
    app = sc.App("limits")
    topic = app.topic("events", key=str, value=int)
    stream_of(topic).to("out")
    with TopologyDriver(app) as driver:
        for number, (key, value, at_s) in enumerate(events):
            driver.send(topic, key=key, value=value, at=at_s * S)
            if number == crash_after:
                driver.process()
                driver.crash()
        return [(record.key, record.value, record.timestamp_ms // S) for record in driver.read("out")]


@pytest.mark.parametrize("crash_after", [None, 1, 3])
def test_take_passes_the_first_records_of_each_key_and_span(crash_after: int | None) -> None:
    events = [("a", 1, 0), ("a", 2, 9), ("b", 3, 9), ("a", 4, 5), ("a", 5, 10), (None, 6, 11)]

    found = results(lambda topic: topic.take(2, within="10s"), events, crash_after=crash_after)

    assert found == [("a", 1, 0), ("a", 2, 9), ("b", 3, 9), ("a", 5, 10)]


def test_take_leaves_out_a_record_whose_span_and_grace_have_ended() -> None:
    events = [("a", 1, 14), ("a", 2, 9), ("a", 3, 15), ("a", 4, 9)]

    assert results(lambda topic: topic.take(5, within="10s", grace="5s"), events) == events[:3]


@pytest.mark.parametrize("crash_after", [None, 2, 4])
def test_no_span_has_more_records_than_the_rate_limit(crash_after: int | None) -> None:
    events = [("a", 1, 0), ("a", 2, 8), ("a", 3, 9), ("a", 4, 10), ("b", 5, 10), ("a", 6, 17), ("a", 7, 18)]

    found = results(lambda topic: topic.rate_limit(2, per="10s"), events, crash_after=crash_after)

    assert found == [("a", 1, 0), ("a", 2, 8), ("a", 4, 10), ("b", 5, 10), ("a", 7, 18)]


def test_a_record_out_of_order_counts_in_the_spans_before_and_behind_it() -> None:
    events = [("a", 1, 20), ("a", 2, 28), ("a", 3, 19), ("a", 4, 18), ("a", 5, 37)]

    found = results(lambda topic: topic.rate_limit(2, per="10s", grace="10s"), events)

    # 19, 20 and 28 would lie in one span, 18 and 20 may.
    assert found == [("a", 1, 20), ("a", 2, 28), ("a", 4, 18), ("a", 5, 37)]


@pytest.mark.parametrize("crash_after", [None, 0, 2])
def test_dedupe_leaves_out_repeats_of_less_than_the_span_and_remembers_over_a_crash(
    crash_after: int | None,
) -> None:
    events = [("a", 1, 0), ("a", 2, 1), ("b", 1, 9), ("a", 1, 10), ("a", 1, 15), ("a", 2, 10)]

    found = results(
        lambda topic: topic.dedupe(lambda value: value, within="10s", name="seen", key_type=int),
        events,
        crash_after=crash_after,
    )

    assert found == [("a", 1, 0), ("a", 2, 1), ("a", 1, 10)]


def test_dedupe_by_the_records_key_needs_no_function() -> None:
    events = [("a", 1, 0), ("a", 2, 1), ("b", 3, 2), (None, 4, 3), (None, 5, 4)]

    found = results(lambda topic: topic.dedupe(None, within="10s"), events)

    assert found == [("a", 1, 0), ("b", 3, 2), (None, 4, 3), (None, 5, 4)]


def test_records_that_are_too_late_to_compare_or_have_nothing_to_compare_pass() -> None:
    def odd(value: int) -> int | None:
        return value if value % 2 else None

    events = [("a", 1, 30), ("a", 2, 30), ("a", 2, 30), ("a", 1, 15), ("a", 1, 15), ("a", 1, 16)]

    found = results(lambda topic: topic.dedupe(odd, within="10s", grace="5s"), events)

    assert found == [("a", 1, 30), ("a", 2, 30), ("a", 2, 30), ("a", 1, 15), ("a", 1, 15), ("a", 1, 16)]


def test_repeats_from_several_partitions_meet_and_records_keep_key_time_and_headers() -> None:
    app = sc.App("limits")
    events = app.topic("events", key=str, value=int, partitions=3)

    @events.dedupe(within="1h")
    def number(value: int) -> int:
        return value

    number.to("out")
    number.count("by-key")
    with TopologyDriver(app) as driver:
        for partition, key in enumerate(("a", "b", "c")):
            driver.send(
                events,
                key=key,
                value=7,
                at=partition * S,
                partition=partition,
                headers=(("from", key.encode()),),
            )
        (passed,) = driver.read("out")
        found = list(driver.table("by-key").all())

        assert (passed.key, passed.timestamp_ms, passed.headers) == ("a", 0, (("from", b"a"),))
        assert [(answer.key, answer.value) for answer in found] == [("a", 1)]


def test_old_spans_are_removed_as_time_moves_on() -> None:
    app = sc.App("limits")
    events = app.topic("events", key=str, value=int)
    events.dedupe(None, within="10s", name="seen").to("out")
    with TopologyDriver(app) as driver:
        for second in range(0, 1_000, 5):
            driver.send(events, key=f"k{second}", value=1, at=second * S)
        driver.process()
        kept = [answer.key.start_ms for answer in driver.table("seen").all()]

    assert min(kept) >= 960 * S
    assert len(kept) <= 8


@pytest.mark.slow
def test_a_sample_keeps_its_fraction_and_the_same_records_again() -> None:
    events = [("a", number, 0) for number in range(2_000)]

    first = results(lambda topic: topic.sample(0.25), events)
    again = results(lambda topic: topic.sample(0.25), events, crash_after=900)
    twice = results(lambda topic: topic.sample(0.25).sample(0.25), events)

    assert first == again
    assert 400 < len(first) < 600
    assert 60 < len(twice) < 200
    assert set(twice) < set(first)
    assert results(lambda topic: topic.sample(0), events[:50]) == []
    assert results(lambda topic: topic.sample(1.0), events[:50]) == events[:50]


def test_records_made_of_one_record_are_sampled_one_by_one() -> None:
    found = results(lambda topic: topic.flat_map(range, value=int).sample(0.5), [("a", 1_000, 0)])

    assert 400 < len(found) < 600


@pytest.mark.parametrize(
    ("declare", "told"),
    [
        (lambda s: s.sample(2), "fraction from 0 to 1"),
        (lambda s: s.sample(True), "fraction from 0 to 1"),
        (lambda s: s.sample("0.5"), "fraction from 0 to 1"),
        (lambda s: s.take(0, within="1s"), "n is an integer from 1"),
        (lambda s: s.take(1, within="0s"), "within= is at least 1 ms"),
        (lambda s: s.take(1), r"reason=take\(\) missing .*within"),
        (lambda s: s.rate_limit(1, per="soon"), "per="),
        (lambda s: s.rate_limit(1.5, per="1s"), "n is an integer"),
        (lambda s: s.dedupe("id", within="1s"), r"give a function of \(value\)"),
        (lambda s: s.dedupe(lambda: 1, within="1s", name="x"), r"called with \(value\)"),
        (lambda s: s.dedupe(lambda v: v, within="1s", name="x", key_type=list), "hashed"),
        (lambda s: s.dedupe(None, within="1s", on_error="skip"), "on_error is sc.skip"),
        (lambda s: s.map(lambda v: v).take(1, within="1s"), r"name='…'"),
        (lambda s: (s.take(1, within="1s"), s.take(2, within="1s")), "two tables have one name"),
    ],
)
def test_wrong_arguments_are_refused_with_the_place(declare: Any, told: str) -> None:
    topic = sc.App("limits").topic("events", key=str, value=int)

    with pytest.raises(sc.UsageError, match=rf"{told}.*at=.*test_limits.py"):
        declare(topic)
