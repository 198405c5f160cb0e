"""Tables that every worker holds whole: they equal their topic, partition by partition."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import streamcore as sc
from streamcore.errors import SerdeError
from streamcore.model import TopicPartition
from streamcore.processing.runtime.global_tables import GlobalTableKeeper, topic_transform
from streamcore.state.position import Position
from tests.support.application_house import House

RATES = [TopicPartition("rates", 0), TopicPartition("rates", 1)]


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    made.log.create_topic("rates", partitions=2, config={"cleanup.policy": "compact"})
    yield made
    made.log.close()


def keeper(house: House, *, checks_values: bool = False, key: type = str) -> GlobalTableKeeper:
    app = sc.App("trading")
    app.topic("rates", key=key, value=int).global_table("rate")
    (node,) = app.plan().global_tables
    engine = house.open("trading", "global")
    return GlobalTableKeeper(node, 2, engine, house.log, house.clock, checks_values=checks_values)


def test_a_table_takes_over_what_is_new_and_says_whether_there_was_anything(house: House) -> None:
    house.produce("rates", ("eur", 100), ("usd", 90))
    house.produce("rates", ("chf", 95), partition=1)
    table = keeper(house)

    moved = [table.follow(), table.follow()]
    house.produce("rates", ("eur", 101))
    moved.append(table.follow())

    assert moved == [True, False, True]
    assert table.load(["eur", "usd", "chf", "gbp"]) == {"eur": 101, "usd": 90, "chf": 95}
    assert table.position() == Position({RATES[0]: 3, RATES[1]: 1})


def test_a_restart_goes_on_where_the_state_is(house: House) -> None:
    house.produce("rates", ("eur", 100))
    keeper(house).follow()
    house.produce("rates", ("usd", 90))
    told: list[tuple[str, int, int]] = []

    table = keeper(house)
    table.follow(lambda name, done, total: told.append((name, done, total)))

    assert table.load(["eur", "usd"]) == {"eur": 100, "usd": 90}
    assert told[-1] == ("rate", 1, 1)


def test_a_topic_that_was_made_again_replaces_the_table(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.produce("rates", ("eur", 100), ("usd", 90))
    keeper(house).follow()
    house.log.delete_topic("rates")
    house.log.create_topic("rates", partitions=2)
    house.produce("rates", ("usd", 91))

    table = keeper(house)
    table.follow()

    assert table.load(["eur", "usd"]) == {"usd": 91}
    assert "the topic was deleted and created anew" in caplog.text


def test_keys_that_the_table_cannot_hold_are_refused_where_they_are_asked_for(house: House) -> None:
    with pytest.raises(SerdeError):
        keeper(house).ensure_key(7)


def test_records_that_a_policy_leaves_out_are_left_out_of_the_table(house: House) -> None:
    house.produce("rates", ("eur", 100), ("usd", '"ninety"'))
    table = keeper(house, checks_values=True)

    table.follow()

    assert table.load(["eur", "usd"]) == {"eur": 100}


def test_bytes_of_topic_and_store_that_are_equal_need_no_transform() -> None:
    app = sc.App("trading")
    text = app.topic("rates", key=str, value=int).spec
    number = app.topic("numbers", key=int, value=int).spec
    transform = topic_transform(number, int, checks_values=False)

    assert topic_transform(text, str, checks_values=False) is None
    assert transform is not None
    keys, values = transform([b"7", b"x", b"8"], [b"1", b"2", None])
    assert (len(keys), values) == (2, [b"1", None])
