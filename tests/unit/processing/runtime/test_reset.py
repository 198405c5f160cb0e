"""What a reset covers, and that it is complete or can be run again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import streamcore as sc
from streamcore.log.client.application_groups import worker_transactional_id
from streamcore.model import TopicPartition
from streamcore.processing.runtime.guards import ensure_own_offsets
from streamcore.processing.runtime.reset import (
    ResetPlan,
    carry_out,
    connected_parts,
    parts_of_table,
    plan_reset,
)
from streamcore.state.application_records import ResetRecord, read_records
from tests.support.application_house import House, counting

NUMBERS = TopicPartition("numbers", 0)


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    made.log.create_topic("numbers")
    made.produce("numbers", ("a", 1), ("b", 2), ("a", 3))
    yield made
    made.log.close()


def planned(house: House, app: sc.App, table: str | None = None, **options: Any) -> ResetPlan:
    plan = app.plan()
    names = [part.name for part in plan.sub_topologies] if table is None else parts_of_table(plan, table)
    records = read_records(house.log, app.app_id)
    to = options.pop("to", "earliest")
    return plan_reset(
        house.log, plan, records, connected_parts(plan, names), to, house.clock.now_ms(), **options
    )


def reset(house: House, app: sc.App, table: str | None = None, **options: Any) -> ResetPlan:
    found = planned(house, app, table, **options)
    producer = house.log.producer_port(transactional_id=worker_transactional_id(app.app_id))
    carry_out(house.log, found, producer, house.clock)
    producer.close()
    return found


def several() -> sc.App:
    """Two tables from one topic, one of them behind a repartition, and a third from another topic."""
    app = sc.App("counting")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.count("counts")
    numbers.group_by(lambda value: value % 2, key=int, name="rest").count("by-rest")
    app.topic("others", key=str, value=int).count("others")
    return app


@pytest.mark.parametrize("state", ["kept", "lost"])
def test_an_application_that_was_reset_counts_everything_once_again(house: House, state: str) -> None:
    house.run(counting())
    reset(house, counting())
    if state == "lost":
        house.lose_state()

    assert house.run(counting(), "counts") == {"a": 2, "b": 1}


def test_a_table_that_was_reset_takes_another_declaration(house: House) -> None:
    house.run(counting())
    summing = sc.App("counting")
    summing.topic("numbers", key=str, value=int).sum("counts", lambda value: value)
    reset(house, summing, "counts")

    assert house.run(summing, "counts") == {"a": 4, "b": 2}
    house.lose_state()
    assert house.run(summing, "counts") == {"a": 4, "b": 2}


def test_a_reset_of_a_table_covers_what_reads_the_same_records_and_nothing_else(house: House) -> None:
    house.log.create_topic("others")
    house.produce("others", ("x", 1))
    house.run(several())

    found = reset(house, several(), "by-rest")

    assert sorted(found.tables) == ["by-rest", "counts"]
    assert house.run(several(), "counts") == {"a": 2, "b": 1}
    assert house.run(several(), "by-rest") == {0: 1, 1: 2}
    assert house.run(several(), "others") == {"x": 1}
    assert reset(house, several(), "others").tables == ("others",)
    assert house.run(several(), "others") == {"x": 1}


def test_what_an_application_writes_and_reads_is_read_from_its_end(house: House) -> None:
    def app() -> sc.App:
        made = sc.App("counting")
        middle = made.topic("middle", key=str, value=int)
        made.topic("numbers", key=str, value=int).map(lambda value: value, name="same", value=int).to(middle)
        middle.count("counts")
        return made

    house.run(app())

    found = reset(house, app())

    assert found.read_from_end == ("middle",)
    assert house.run(app(), "counts") == {"a": 2, "b": 1}


def test_the_offsets_of_a_reset_are_not_taken_for_those_of_another_program(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.run(counting())
    records = read_records(house.log, "counting")  # as another worker leaves them that starts before
    reset(house, counting())

    committed = house.log.committed("counting", [NUMBERS])
    ensure_own_offsets("counting", [NUMBERS], committed, {}, records, [], may_lose_end=False)

    assert committed[NUMBERS].offset == 0
    assert caplog.messages == []


def test_a_reset_begins_where_it_is_told_to(house: House) -> None:
    house.run(counting())

    reset(house, counting(), to="2")
    assert house.run(counting(), "counts") == {"a": 1}
    reset(house, counting(), offsets={NUMBERS: 1})
    assert house.run(counting(), "counts") == {"a": 1, "b": 1}
    with pytest.raises(sc.UsageError, match="not read by what is reset"):
        planned(house, counting(), offsets={TopicPartition("other", 0): 1})


def test_a_reset_that_was_interrupted_is_refused_until_it_is_run_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.run(counting())

    def fail(name: str) -> None:
        raise sc.StorageError("no space left on the disk")

    with monkeypatch.context() as patched:
        patched.setattr(house.log, "delete_topic", fail)
        with pytest.raises(sc.StorageError):
            reset(house, counting())

    assert read_records(house.log, "counting").reset == ResetRecord(parts=["counts"])
    with pytest.raises(sc.UsageError, match="a reset of the application was begun and not completed"):
        house.run(counting())
    reset(house, counting())
    assert house.run(counting(), "counts") == {"a": 2, "b": 1}


def test_a_reset_does_not_forget_that_keys_lie_in_two_partitions(house: House) -> None:
    house.run(counting())
    house.log.alter_topic("numbers", partitions=2)
    house.produce("numbers", ("a", 1), partition=1)

    reset(house, counting())

    with pytest.raises(sc.TopologyError, match="partitions were added to the input of tables"):
        house.run(counting())


def test_the_advice_for_added_partitions_gives_right_counts(house: House) -> None:
    house.run(counting())
    house.log.alter_topic("numbers", partitions=2)
    house.produce("numbers", ("a", 1), ("b", 1), partition=1)
    spread = sc.App("counting")
    spread.topic("numbers", key=str, value=int).repartition(2, name="by-key").count("counts")

    reset(house, spread)

    assert house.run(spread, "counts") == {"a": 3, "b": 2}


def test_an_empty_topic_may_have_got_partitions_before_a_reset(house: House) -> None:
    house.run(counting())
    house.log.delete_records({NUMBERS: 3})
    house.log.alter_topic("numbers", partitions=2)

    reset(house, counting())
    house.produce("numbers", ("c", 1), partition=1)

    assert house.run(counting(), "counts") == {"c": 1}


@pytest.mark.parametrize("partitions", [1, 3])
def test_an_input_that_was_made_again_may_have_any_number_of_partitions_after_a_reset(
    house: House, partitions: int
) -> None:
    house.log.alter_topic("numbers", partitions=2)
    house.run(counting())
    house.log.delete_topic("numbers")
    house.log.create_topic("numbers", partitions=partitions)
    house.produce("numbers", ("c", 1))
    with pytest.raises(sc.TopologyError, match="start over with `streamcore app MODULE:APP reset`"):
        house.run(counting(on_recreated_topic="go-on"))

    reset(house, counting())

    assert house.run(counting(), "counts") == {"c": 1}


def test_tables_that_are_not_declared_or_have_no_positions_are_refused_by_name(house: House) -> None:
    app = sc.App("counting")
    app.topic("numbers", key=str, value=int).global_table("whole")

    with pytest.raises(sc.UsageError, match="no such table; declare it to reset it: table=x"):
        parts_of_table(counting().plan(), "x")
    with pytest.raises(sc.UsageError, match="leave --table out: table=whole"):
        parts_of_table(app.plan(), "whole")
