"""A commit writes outputs, changelogs and offsets in one transaction, then writes to the stores."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

import pytest

import streamcore as sc
from streamcore.errors import FencedError
from streamcore.log.client.port import Producer
from streamcore.model import Offset, TopicPartition
from streamcore.processing.runtime.commit import Guarantee, commit
from streamcore.processing.runtime.notes import InputNote, note_in
from streamcore.processing.runtime.worker import TaskWorker
from streamcore.state.position import task_position
from streamcore.state.write_back import WriteBack
from tests.support.application_house import START_MS, House

NUMBERS = TopicPartition("numbers", 0)
DOUBLED = TopicPartition("doubled", 0)
CHANGELOG = TopicPartition("counting-counts-changelog", 0)


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    made.log.create_topic("numbers")
    made.log.create_topic("doubled")
    made.produce("numbers", ("a", 1), ("b", 2), ("a", 3))
    yield made
    made.log.close()


def counting_and_doubling() -> sc.App:
    app = sc.App("counting")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.count("counts")
    numbers.map(lambda value: 2 * value, name="double", value=int).to("doubled")
    return app


def with_pending_work(house: House, check: Callable[[TaskWorker], Awaitable[None]]) -> None:
    """Process the records of the topic, and call a function before they are committed."""

    async def work() -> None:
        worker = house.worker(counting_and_doubling())
        for part in worker.parts:
            for queue in part.queues:
                worker.fetcher.fill(queue)
            assert await part.begin_round(0.0, lambda: None) == 3
        await check(worker)
        for part in worker.parts:
            await part.abandon()

    asyncio.run(work())


def committed(
    house: House, worker: TaskWorker, producer: Producer, guarantee: Guarantee = Guarantee.EXACTLY_ONCE
) -> dict[TopicPartition, Offset] | None:
    plain = house.log.producer_port()
    return commit(worker.parts, producer, plain, group="counting", guarantee=guarantee, clock=house.clock)


def end_of(house: House, partition: TopicPartition) -> Offset:
    return house.log.offsets([partition])[partition].log_end


def test_a_commit_writes_everything_and_a_second_one_has_no_work(house: House) -> None:
    async def check(worker: TaskWorker) -> None:
        producer = house.log.producer_port(transactional_id="t")

        ends = committed(house, worker, producer)
        again = committed(house, worker, producer)

        assert ends == {DOUBLED: 3}
        assert end_of(house, CHANGELOG) >= 2
        assert again is None
        offset = house.log.committed("counting")[NUMBERS]
        assert offset.offset == 3
        assert note_in(offset.metadata) == InputNote(START_MS, START_MS)
        (state,) = worker.task_set.states
        assert task_position(state.engine).get(NUMBERS) == 3

    with_pending_work(house, check)


def test_a_commit_that_fails_leaves_offsets_topics_and_stores_as_they_were(house: House) -> None:
    async def check(worker: TaskWorker) -> None:
        producer = house.log.producer_port(transactional_id="t")
        house.log.producer_port(transactional_id="t")
        before = house.log.committed("counting")

        with pytest.raises(FencedError):
            committed(house, worker, producer)

        assert house.log.committed("counting") == before
        assert end_of(house, CHANGELOG) == 0
        assert end_of(house, DOUBLED) == 0
        (state,) = worker.task_set.states
        assert task_position(state.engine).get(NUMBERS, 0) == 0

    with_pending_work(house, check)


def test_at_least_once_writes_outputs_before_the_transaction(house: House) -> None:
    async def check(worker: TaskWorker) -> None:
        producer = house.log.producer_port(transactional_id="t")
        house.log.producer_port(transactional_id="t")

        with pytest.raises(FencedError):
            committed(house, worker, producer, Guarantee.AT_LEAST_ONCE)

        assert end_of(house, DOUBLED) == 3
        assert end_of(house, CHANGELOG) == 0

    with_pending_work(house, check)


def test_a_guarantee_is_one_of_two_names() -> None:
    assert Guarantee.named("at-least-once") is Guarantee.AT_LEAST_ONCE
    assert Guarantee.named(Guarantee.EXACTLY_ONCE) is Guarantee.EXACTLY_ONCE
    with pytest.raises(sc.UsageError, match="'exactly-once' or 'at-least-once': given='twice'"):
        Guarantee.named("twice")


def produce_over_time(house: House, count: int) -> None:
    """Append records of growing times, so that they are several rounds."""
    for number in range(count):
        house.clock.advance(1)
        house.produce("numbers", ("a", number))


def commits_of(house: House, app: sc.App) -> int:
    """Process the records of the topic while the clock stands still; return the number of commits."""

    async def work() -> int:
        worker = house.worker(app)
        try:
            await worker.run_until_end()
            return worker.commit_count
        finally:
            await worker.close()

    return asyncio.run(work())


def test_a_part_that_has_nothing_to_do_does_not_make_others_commit(house: House) -> None:
    house.log.create_topic("silent")
    produce_over_time(house, 60)
    app = counting_and_doubling()
    app.topic("silent", key=str, value=int).count("silent-counts")

    assert commits_of(house, app) == 1


def test_a_part_that_reads_what_an_agent_writes_commits_with_the_agent(house: House) -> None:
    produce_over_time(house, 60)
    app = sc.App("counting")
    numbers = app.topic("numbers", key=str, value=int)
    doubled = app.topic("doubled", key=str, value=int)

    @app.agent(numbers)
    async def double(values: sc.Events[int]) -> None:
        async for value in values:
            await doubled.send(key="a", value=2 * value)

    @doubled.group_by
    def parity(value: int) -> str:
        return "even" if value % 2 == 0 else "odd"

    parity.count("counts")

    assert commits_of(house, app) <= 3
    assert house.run(app, "counts") == {"even": 63}


def test_a_commit_lets_go_of_what_a_table_has_read_although_nothing_was_written(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults = WriteBack.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "cache_entries_max", 1)
    house.log.create_topic("names")
    app = sc.App("counting")
    names = app.topic("names", key=str, value=int).table("names-table")
    app.topic("numbers", key=str, value=int).join(names, lambda number, name: number + name, name="sum")
    keys = ("a", "b", "c", "d", "e")
    house.produce("names", *((key, 1) for key in keys))
    read: list[bytes] = []

    async def work() -> None:
        worker = house.worker(app)
        try:
            await worker.run_until_end()
            (state,) = worker.task_set.states
            get_many = state.engine.get_many

            def counted(store: str, wanted: Sequence[bytes]) -> list[bytes | None]:
                read.extend(wanted)
                return get_many(store, wanted)

            monkeypatch.setattr(state.engine, "get_many", counted)
            for key in (*keys, *keys):
                house.produce("numbers", (key, 1))
                await worker.run_until_end()
        finally:
            await worker.close()

    asyncio.run(work())

    assert read.count(b"c") == 2
