"""A worker compares its topics with those of its start: at intervals, and before it commits offsets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import streamcore as sc
from streamcore.errors import UnknownTopicError
from streamcore.processing.runtime.topic_watch import TopicWatch
from tests.support.application_house import House

INTERVAL_MS = 2_000
OUTPUT, CHANGELOG = "doubled", "counting-counts-changelog"


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    for name in ("numbers", OUTPUT, CHANGELOG):
        made.log.create_topic(name)
    yield made
    made.log.close()


def watch_of(house: House) -> TopicWatch:
    app = sc.App("counting")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.count("counts")
    numbers.map(lambda value: 2 * value, name="double", value=int).to(OUTPUT)
    return TopicWatch(house.log, app.plan(), house.clock, INTERVAL_MS)


def recreate(house: House, name: str) -> None:
    house.log.delete_topic(name)
    house.log.create_topic(name)


def test_a_change_is_seen_when_the_interval_is_over(house: House) -> None:
    watch = watch_of(house)
    house.log.alter_topic("numbers", partitions=2)

    house.clock.advance(INTERVAL_MS - 1)
    early = watch.sees_change()
    house.clock.advance(1)

    assert not early
    assert watch.sees_change()
    assert not watch.has_other_topics()


def test_a_change_is_seen_at_once_if_asked(house: House) -> None:
    watch = watch_of(house)
    recreate(house, CHANGELOG)

    assert watch.sees_change(now=True)
    assert watch.sees_change()
    assert watch.has_other_topics()


def test_topics_of_others_are_not_compared(house: House) -> None:
    watch = watch_of(house)
    house.log.create_topic("others")

    assert not watch.sees_change(now=True)


def test_reading_may_be_committed_while_the_inputs_are_the_same(house: House) -> None:
    watch = watch_of(house)
    recreate(house, OUTPUT)
    house.log.alter_topic("numbers", partitions=2)

    watch.ensure_read_topics()


@pytest.mark.parametrize("is_created_again", [False, True])
def test_reading_of_a_replaced_input_is_not_committed(house: House, is_created_again: bool) -> None:
    watch = watch_of(house)
    house.log.delete_topic("numbers")
    if is_created_again:
        house.log.create_topic("numbers")

    with pytest.raises(UnknownTopicError, match="not committed: topics=numbers"):
        watch.ensure_read_topics()


def test_a_silent_broker_changes_nothing_unless_the_answer_is_needed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = watch_of(house)

    def silent(*_: object) -> None:
        raise sc.RequestTimeoutError("the broker does not answer")

    monkeypatch.setattr(house.log, "identities", silent)
    house.clock.advance(INTERVAL_MS)

    assert not watch.sees_change()
    assert watch.sees_change(now=True)
