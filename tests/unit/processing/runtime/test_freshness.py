"""A table reflects a position once its task, and the tasks before it, processed the position's records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

import streamcore as sc
from streamcore.model import TopicPartition
from streamcore.processing.runtime.freshness import Freshness
from streamcore.processing.runtime.worker import TaskWorker
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.state.position import Position
from tests.support.application_house import House, counting

NUMBERS = TopicPartition("numbers", 0)


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    made.log.create_topic("numbers")
    made.log.create_topic("others")
    yield made
    made.log.close()


def spread() -> sc.App:
    app = sc.App("spread")
    app.topic("numbers", key=str, value=int).repartition(2, name="by-key").count("counts")
    return app


def store_of(worker: TaskWorker, name: str) -> StoreSpec:
    found = [part.store_of(name) for part in worker.task_set.plan.sub_topologies]
    (store,) = [each for each in found if each is not None]
    return store


def with_worker(house: House, app: sc.App, check: Callable[[TaskWorker], None], *, processed: bool) -> None:
    async def work() -> None:
        worker = house.worker(app)
        try:
            if processed:
                await worker.run_until_end()
            check(worker)
        finally:
            await worker.close()

    asyncio.run(work())


@pytest.mark.parametrize("app", [counting, spread])
@pytest.mark.parametrize("is_processed", [False, True])
def test_a_position_is_reached_when_its_records_are_processed(
    house: House, app: Callable[[], sc.App], is_processed: bool
) -> None:
    house.produce("numbers", ("a", 1), ("b", 2))

    def check(worker: TaskWorker) -> None:
        store = store_of(worker, "counts")
        freshness = Freshness(worker.task_set, house.log, store, Position({NUMBERS: 2}))
        ahead = Freshness(worker.task_set, house.log, store, Position({NUMBERS: 3}))

        assert freshness.is_reached() is is_processed
        assert not ahead.is_reached()

    with_worker(house, app(), check, processed=is_processed)


def test_behind_a_repartition_topic_the_records_made_of_the_position_count(house: House) -> None:
    house.produce("numbers", ("a", 1), ("b", 2))

    async def work() -> None:
        worker = house.worker(spread())
        position = Position({NUMBERS: 2})
        freshness = Freshness(worker.task_set, house.log, store_of(worker, "counts"), position)
        reached = [freshness.is_reached()]
        while not worker.is_caught_up():
            await worker.step()
            reached.append(freshness.is_reached())
        await worker.close()

        assert not reached[0]
        assert reached[-1]
        assert sorted(reached) == reached, "once reached, a position stays reached"

    asyncio.run(work())


def test_topics_that_a_table_does_not_read_do_not_count(house: House) -> None:
    def check(worker: TaskWorker) -> None:
        position = Position({TopicPartition("others", 0): 1_000})

        assert Freshness(worker.task_set, house.log, store_of(worker, "counts"), position).is_reached()

    with_worker(house, counting(), check, processed=False)


def test_a_global_table_reaches_the_positions_of_its_topic(house: House) -> None:
    app = sc.App("following")
    app.topic("numbers", key=str, value=int).global_table("kept")
    house.produce("numbers", ("a", 1))

    def check(worker: TaskWorker) -> None:
        store = worker.task_set.global_tables["kept"].store

        assert Freshness(worker.task_set, house.log, store, Position({NUMBERS: 1})).is_reached()
        assert not Freshness(worker.task_set, house.log, store, Position({NUMBERS: 2})).is_reached()

    with_worker(house, app, check, processed=True)


@pytest.mark.parametrize("sub_topology", ["numbers", "counts"])
def test_a_task_of_another_worker_reaches_what_it_has_committed(house: House, sub_topology: str) -> None:
    """In front of the repartition topic, and behind it."""
    house.produce("numbers", ("a", 1), ("b", 2))

    def check(worker: TaskWorker) -> None:
        store = store_of(worker, "counts")
        gone = [task for task in worker.task_set.all_ids() if task.sub_topology == sub_topology]
        assert gone
        worker.task_set.remove(gone)

        assert Freshness(worker.task_set, house.log, store, Position({NUMBERS: 2})).is_reached()
        house.produce("numbers", ("a", 3))
        assert not Freshness(worker.task_set, house.log, store, Position({NUMBERS: 3})).is_reached()
        no_such = TopicPartition("numbers", 7)
        assert not Freshness(worker.task_set, house.log, store, Position({no_such: 1})).is_reached()

    with_worker(house, spread(), check, processed=True)
