"""What an application left in the log is compared with what it is now, before anything is processed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import streamcore as sc
from streamcore.model import CommittedOffset, TopicPartition
from tests.support.application_house import House, counting, table_of

NUMBERS = TopicPartition("numbers", 0)
CHANGELOG = TopicPartition("counting-counts-changelog", 0)


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    made.log.create_topic("numbers")
    made.produce("numbers", ("a", 1), ("b", 2), ("a", 3))
    yield made
    made.log.close()


# --- declarations -------------------------------------------------------------------------------


def summing() -> sc.App:
    app = sc.App("counting")
    app.topic("numbers", key=str, value=int).sum("counts", lambda value: value)
    return app


def windowed(size: str) -> sc.App:
    app = sc.App("counting")
    app.topic("numbers", key=str, value=int).tumbling(size).count("counts")
    return app


@pytest.mark.parametrize("state", ["kept", "lost"])
def test_another_aggregation_under_an_old_name_is_refused_with_or_without_its_state(
    house: House, state: str
) -> None:
    house.run(counting())
    if state == "lost":
        house.lose_state()

    with pytest.raises(sc.TopologyError, match=r"reset --table NAME.*what=aggregations"):
        house.run(summing())
    assert house.run(counting(), "counts") == {"a": 2, "b": 1}


def test_a_window_of_another_size_is_refused_after_the_state_is_lost(house: House) -> None:
    house.run(windowed("1h"))
    house.lose_state()

    with pytest.raises(sc.TopologyError, match="what=window_size_ms stored=3600000 declared=1800000"):
        house.run(windowed("30m"))


@dataclass(frozen=True)
class Seen:
    times: int


@dataclass(frozen=True)
class SeenAndNamed:
    times: int
    name: str = ""


@dataclass(frozen=True)
class SeenAsText:
    times: str


def remembering(kind: type, value: object) -> sc.App:
    app = sc.App("remembering")
    numbers = app.topic("numbers", key=str, value=int)
    seen: sc.AppTable[str, Any] = app.table("seen", key=str, value=kind)

    @app.agent(numbers)
    async def remember(events: sc.Events[int]) -> None:
        async for key, _ in events.items():
            seen[key] = value

    return app


def test_a_value_class_may_gain_a_field_with_a_default(house: House) -> None:
    house.run(remembering(Seen, Seen(1)))
    house.lose_state()

    assert house.run(remembering(SeenAndNamed, SeenAndNamed(2)), "seen")["a"] == SeenAndNamed(1)


def test_a_value_class_whose_field_has_another_type_is_refused(house: House) -> None:
    house.run(remembering(Seen, Seen(1)))
    house.lose_state()

    with pytest.raises(sc.TopologyError, match="the field 'times' of the value was int and is str now"):
        house.run(remembering(SeenAsText, SeenAsText("1")))


def test_a_crash_before_the_first_commit_leaves_a_table_that_any_declaration_may_take(house: House) -> None:
    async def open_only() -> None:
        await house.worker(counting()).close()

    asyncio.run(open_only())
    house.log.delete_topic("counting-descriptions")
    house.lose_state()

    assert house.run(summing(), "counts") == {"a": 4, "b": 2}


# --- changelogs and the log ---------------------------------------------------------------------


def test_a_deleted_changelog_is_refused_instead_of_made_again_empty(house: House) -> None:
    house.run(counting())
    house.log.delete_topic(CHANGELOG.topic)

    with pytest.raises(sc.UsageError, match=r"changelog of a table was deleted.*reset --table counts"):
        house.run(counting())


def test_a_missing_log_beside_state_is_refused_at_every_start(house: House) -> None:
    house.run(counting())
    house.lose_log()

    for _ in range(2):
        with pytest.raises(sc.UsageError, match="made from another log"):
            house.run(counting())


def test_a_table_that_is_whole_outlives_the_records_of_its_changelog(house: House) -> None:
    house.run(counting())
    house.log.delete_records({CHANGELOG: house.log.offsets([CHANGELOG])[CHANGELOG].log_end})

    assert house.run(counting(), "counts") == {"a": 2, "b": 1}


def test_a_changelog_that_lost_records_is_refused_once_the_state_is_lost_too(house: House) -> None:
    house.run(counting())
    house.log.delete_records({CHANGELOG: house.log.offsets([CHANGELOG])[CHANGELOG].log_end})
    house.lose_state()

    with pytest.raises(sc.UsageError, match="lost its first records"):
        house.run(counting())


def test_a_rebuild_says_why(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.run(counting())
    assert not caplog.records
    house.lose_state()

    house.run(counting())

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "rebuilt from its topic: the store has no checkpoint: store=counts" in record.getMessage()


# --- inputs -------------------------------------------------------------------------------------


def recreate(house: House) -> None:
    house.log.delete_topic("numbers")
    house.log.create_topic("numbers")
    house.produce("numbers", ("a", 1))


def test_an_input_that_was_made_again_stops_the_application(house: House) -> None:
    house.run(counting())
    recreate(house)

    with pytest.raises(sc.TopologyError, match=r"deleted and made again.*on_recreated_topic"):
        house.run(counting())


def test_an_input_that_is_gone_is_not_made_again(house: House) -> None:
    house.run(counting())
    house.log.delete_topic("numbers")

    with pytest.raises(sc.TopologyError, match="reads was deleted, "):
        house.run(counting())
    assert "numbers" not in house.log.topics()


@pytest.mark.parametrize(
    ("policy", "counts"), [("start-over", {"a": 1}), ("go-on", {"a": 3, "b": 1})], ids=str
)
def test_an_application_may_start_over_or_go_on_with_an_input_that_was_made_again(
    house: House, policy: str, counts: dict[str, int]
) -> None:
    house.run(counting())
    recreate(house)

    assert house.run(counting(on_recreated_topic=policy), "counts") == counts
    assert house.run(counting(), "counts") == counts
    house.lose_state()
    assert house.run(counting(), "counts") == counts


def test_going_on_is_decided_once_even_if_the_worker_dies_before_its_first_commit(house: House) -> None:
    house.run(counting())
    recreate(house)

    async def open_only() -> None:
        await house.worker(counting(on_recreated_topic="go-on")).close()

    asyncio.run(open_only())

    assert house.run(counting(), "counts") == {"a": 3, "b": 1}


@pytest.mark.parametrize(
    ("policy", "counts"), [("start-over", {"a": 1}), ("go-on", {"a": 3, "b": 1})], ids=str
)
def test_an_input_that_is_made_again_under_a_worker_is_treated_as_at_a_start(
    house: House, policy: str, counts: dict[str, int]
) -> None:
    async def work() -> None:
        worker = house.worker(counting(on_recreated_topic=policy))
        await worker.run_until_end()
        recreate(house)
        await worker.run_until_end()
        assert table_of(worker, "counts") == counts
        await worker.close()

    asyncio.run(work())
    assert house.run(counting(), "counts") == counts


@pytest.mark.parametrize("topic", ["numbers", "counting-counts-changelog"])
def test_a_topic_that_is_deleted_under_a_worker_stops_it_with_what_to_do(house: House, topic: str) -> None:
    async def work() -> None:
        worker = house.worker(counting())
        await worker.run_until_end()
        house.log.delete_topic(topic)
        if topic != "numbers":
            house.produce("numbers", ("a", 1))
        try:
            await worker.run_until_end()
        finally:
            await worker.close()

    with pytest.raises(sc.UsageError, match=r"deleted.*start over with `streamcore app MODULE:APP reset"):
        asyncio.run(work())


def test_an_unknown_policy_for_inputs_is_refused_where_it_is_written() -> None:
    with pytest.raises(sc.TopologyError, match="on_recreated_topic is 'stop'"):
        sc.App("odd", on_recreated_topic="restart")  # type: ignore[arg-type]


def test_partitions_added_under_a_table_are_refused_with_what_to_do(house: House) -> None:
    house.run(counting())
    house.log.alter_topic("numbers", partitions=4)

    with pytest.raises(
        sc.TopologyError, match=r"put \.repartition\(4, name=\.\.\.\) .* partitions_before=1 partitions=4"
    ):
        house.run(counting())


@pytest.mark.parametrize("kind", ["table", "global_table"])
def test_partitions_added_to_a_topic_read_as_a_table_ask_for_a_copy(house: House, kind: str) -> None:
    app = sc.App("following")
    getattr(app.topic("numbers", key=str, value=int), kind)("kept")
    house.run(app)
    house.log.alter_topic("numbers", partitions=2)

    with pytest.raises(sc.TopologyError, match="copy its records into a new topic of 2 partitions"):
        house.run(app)


@pytest.mark.parametrize("side", ["references", "referenced", "beside a stream"])
def test_partitions_added_to_a_table_that_others_meet_ask_for_a_copy(house: House, side: str) -> None:
    house.log.create_topic("others")
    app = sc.App("joining")
    numbers = app.topic("numbers", key=str, value=int).table("kept")
    others = app.topic("others", key=str, value=int)
    if side == "references":
        numbers.join(others.table("more"), lambda value, other: value, on=lambda value: "a", name="joined")
    elif side == "referenced":
        others.table("more").join(numbers, lambda value, other: value, on=lambda value: "a", name="joined")
    else:
        others.join(numbers, lambda value, other: value, name="joined")
    house.run(app)
    house.log.alter_topic("numbers", partitions=2)

    with pytest.raises(sc.TopologyError, match="copy its records into a new topic of 2 partitions"):
        house.run(app)


def copying(partitions: int | None = None) -> sc.App:
    app = sc.App("copying")
    app.topic("numbers", key=str, value=int, partitions=partitions).map(
        lambda value: value, name="same", value=int
    ).to("copies")
    return app


def test_partitions_added_under_steps_without_state_are_read_while_the_worker_runs(house: House) -> None:
    async def work() -> None:
        worker = house.worker(copying(partitions=1))
        await worker.run_until_end()
        house.log.alter_topic("numbers", partitions=3)
        house.produce("numbers", ("c", 1), partition=2)
        assert not worker.is_caught_up()
        await worker.run_until_end()
        await worker.close()

    asyncio.run(work())

    copies = TopicPartition("copies", 0)
    assert house.log.committed("copying")[TopicPartition("numbers", 2)].offset == 1
    assert house.log.offsets([copies])[copies].log_end >= 4
    house.run(copying(partitions=1))


def test_partitions_added_under_a_table_stop_a_worker_that_runs(house: House) -> None:
    async def work() -> None:
        worker = house.worker(counting())
        await worker.run_until_end()
        house.log.alter_topic("numbers", partitions=2)
        house.clock.advance(5_000)
        try:
            await worker.step()
        finally:
            await worker.close()

    with pytest.raises(sc.TopologyError, match="partitions were added to the input of tables"):
        asyncio.run(work())


def test_a_table_behind_a_repartition_goes_on_when_its_source_gets_partitions(house: House) -> None:
    app = sc.App("spread")
    app.topic("numbers", key=str, value=int).repartition(2, name="by-key").count("counts")

    async def work() -> None:
        worker = house.worker(app)
        await worker.run_until_end()
        view = worker.task_set
        house.log.alter_topic("numbers", partitions=2)
        house.produce("numbers", ("a", 1), partition=1)
        await worker.run_until_end()
        assert worker.task_set is not view
        assert table_of(worker, "counts") == {"a": 3, "b": 1}
        await worker.close()

    asyncio.run(work())


# --- positions ----------------------------------------------------------------------------------


def test_positions_that_another_program_moved_are_refused_where_a_table_depends_on_them(
    house: House,
) -> None:
    house.run(counting())
    house.log.commit_offsets("counting", {NUMBERS: CommittedOffset(0)})

    with pytest.raises(sc.UsageError, match=r"another program moved.*committed=0 reflected=3"):
        house.run(counting())


def test_positions_that_are_gone_are_refused_where_a_table_depends_on_them(house: House) -> None:
    house.run(counting())
    house.log.delete_group("counting")

    with pytest.raises(sc.UsageError, match="offsets of the application are gone"):
        house.run(counting())


def test_moved_positions_without_tables_are_a_warning_once(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.run(copying())
    house.log.commit_offsets("copying", {NUMBERS: CommittedOffset(2)})

    house.run(copying())
    house.run(copying())

    warnings = [record.getMessage() for record in caplog.records]
    assert [text.count("numbers-0@2") for text in warnings] == [1]


def test_an_application_begins_where_its_group_was_placed_before_its_first_start(house: House) -> None:
    house.log.commit_offsets("counting", {NUMBERS: CommittedOffset(2)})

    assert house.run(counting(), "counts") == {"a": 1}


def test_a_position_behind_the_end_of_its_partition_is_refused(house: House) -> None:
    house.run(counting())
    house.log.commit_offsets("counting", {NUMBERS: CommittedOffset(99, "1 0 0")})

    with pytest.raises(sc.UsageError, match="committed offset lies behind the end"):
        house.run(counting())


def test_state_ahead_of_its_positions_is_of_another_log(house: House) -> None:
    house.run(counting())
    house.log.commit_offsets("counting", {NUMBERS: CommittedOffset(1, "1 0 0")})

    with pytest.raises(sc.UsageError, match="the tables are ahead of the committed offsets"):
        house.run(counting())
    assert house.run(counting(), "counts", may_lose_end=True)["a"] >= 2


# -- repartition topics that are not read any more


def regrouped(function: Any, *, fails: bool = False) -> sc.App:
    """An application with an agent behind the repartition topic of a function."""
    app = sc.App("regrouped")

    @app.agent(app.topic("numbers", key=str, value=int).group_by(function))
    async def watch(events: Any) -> None:
        async for _ in events:
            if fails:
                raise ValueError("on purpose")

    return app


def parity(number: int) -> int:
    return number % 2


def remainder(number: int) -> int:
    return number % 2


def test_records_in_a_repartition_topic_that_is_not_read_any_more_are_refused(house: House) -> None:
    house.run(regrouped(parity))
    house.produce("numbers", ("a", 1), ("b", 2))
    with pytest.raises(sc.UserCodeError):
        house.run(regrouped(parity, fails=True))

    with pytest.raises(sc.UsageError, match=r"records wait .*partition=regrouped-parity-repartition-0 off"):
        house.run(regrouped(remainder))


def test_a_repartition_topic_without_records_that_wait_can_be_left(house: House) -> None:
    house.run(regrouped(parity))
    house.produce("numbers", ("a", 1), ("b", 2))
    house.run(regrouped(parity))

    house.run(regrouped(remainder))

    assert "regrouped-remainder-repartition" in house.log.topics()


def test_records_that_wait_are_given_up_by_deleting_their_topic(house: House) -> None:
    house.run(regrouped(parity))
    house.produce("numbers", ("a", 1), ("b", 2))
    with pytest.raises(sc.UserCodeError):
        house.run(regrouped(parity, fails=True))
    house.log.delete_topic("regrouped-parity-repartition")

    house.run(regrouped(remainder))

    assert "regrouped-parity-repartition" not in house.log.topics()


def typed(value: Any, *, fails: bool = False) -> sc.App:
    """An application with values of a type in the repartition topic before an agent."""
    app = sc.App("typed")
    numbers = app.topic("numbers", key=str, value=int).map(lambda number: number, value=value, name="same")

    @app.agent(numbers.repartition())
    async def watch(events: Any) -> None:
        async for _ in events:
            if fails:
                raise ValueError("on purpose")

    return app


def test_records_in_a_repartition_topic_are_not_read_as_other_types(house: House) -> None:
    with pytest.raises(sc.UserCodeError):
        house.run(typed(int, fails=True))

    with pytest.raises(sc.UsageError, match=r"written for other types.*stored=json declared=str"):
        house.run(typed(str))

    house.run(typed(int))
    house.run(typed(str))
    house.run(typed(str))


def test_values_in_a_repartition_topic_may_gain_fields_with_defaults(house: House) -> None:
    with pytest.raises(sc.UserCodeError):
        house.run(typed(int, fails=True))

    house.run(typed(float))


def test_a_repartition_topic_that_is_put_in_front_of_a_table_is_refused_with_what_to_do(house: House) -> None:
    house.run(counting())
    app = sc.App("counting")
    app.topic("numbers", key=str, value=int).repartition(name="moved").count("counts")

    with pytest.raises(sc.UsageError, match=r"came from other inputs .*reset.*partitions=counting-moved-rep"):
        house.run(app)
