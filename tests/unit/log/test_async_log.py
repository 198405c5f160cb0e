"""The asyncio twins: the same calls, awaited, and nothing lost when a wait is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from streamcore.errors import ClosedError, InvalidRecordError, UsageError
from streamcore.log.async_log import AsyncLog, connect_async
from streamcore.model import CommittedOffset, TopicPartition


def run(tmp_path: Path, work: Callable[[AsyncLog], Awaitable[None]]) -> None:
    async def connected() -> None:
        async with connect_async(tmp_path) as log:
            await log.create_topic("t", partitions=2)
            await work(log)

    asyncio.run(asyncio.wait_for(connected(), 30))


def test_records_go_out_and_come_back(tmp_path: Path) -> None:
    async def work(log: AsyncLog) -> None:
        async with log.producer() as producer:
            future = await producer.send("t", key=b"k", value=b"v", headers=[("h", b"x")])
            sent = await future
            assert future.done()
            assert await future == sent
            assert (await producer.send_and_wait("t", value=b"w", partition=1)).partition == 1
            many = await producer.send_many("t", [(b"%d" % number, b"x") for number in range(98)])
            assert (await many).count == 98
            await producer.flush()
        async with log.consumer("t", group="g") as consumer:
            seen = 0
            while seen < 100:
                seen += len(await consumer.poll("1s"))
            await consumer.commit()
            assert sum(position.offset for position in (await consumer.committed()).values()) == 100
            await consumer.seek_to_beginning()
            assert len(await consumer.poll("1s", records_max=5)) == 5
        assert (await log.describe_group("g")).lag == 0

    run(tmp_path, work)


def test_a_hundred_sends_may_be_awaited_together(tmp_path: Path) -> None:
    async def work(log: AsyncLog) -> None:
        async with log.producer() as producer:
            sent = await asyncio.gather(
                *(producer.send_and_wait("t", value=b"v", partition=0) for _ in range(100))
            )
        assert sorted(each.offset for each in sent) == list(range(100))

    run(tmp_path, work)


def test_a_poll_that_is_cancelled_loses_no_record(tmp_path: Path) -> None:
    async def work(log: AsyncLog) -> None:
        async with log.consumer("t") as consumer, log.producer() as producer:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(consumer.poll("20s"), 0.05)
            await producer.send_and_wait("t", value=b"v")

            assert [record.value for record in await consumer.poll("20s")] == [b"v"]

    run(tmp_path, work)


def test_a_transaction_commits_or_aborts_with_its_block(tmp_path: Path) -> None:
    async def fail(log: AsyncLog) -> None:
        async with log.producer(transactional_id="x") as producer, producer.transaction() as transaction:
            await transaction.send("t", value=b"aborted")
            raise ValueError("mine")

    async def work(log: AsyncLog) -> None:
        async with log.producer(transactional_id="x") as producer, producer.transaction() as transaction:
            await transaction.send("t", value=b"committed")
            await transaction.send_many("t", [(None, b"committed")])
            await transaction.commit_group_offsets("g", {TopicPartition("t", 0): 3})
        with pytest.raises(ValueError, match="mine"):
            await fail(log)
        assert await log.run(log.blocking.committed, "g") == {TopicPartition("t", 0): CommittedOffset(3)}
        async with log.consumer("t") as consumer:
            seen = [record.value for record in await consumer.poll("1s")]
            seen += [record.value for record in await consumer.poll("50ms")]
        assert seen == [b"committed", b"committed"]

    run(tmp_path, work)


def test_errors_come_where_they_are_awaited(tmp_path: Path) -> None:
    async def work(log: AsyncLog) -> None:
        async with log.producer() as producer:
            with pytest.raises(UsageError):
                await producer.send("nowhere", value=b"v")
            future = await producer.send("t", value=b"x" * 2_000_000)
            with pytest.raises(InvalidRecordError):
                await future
        with pytest.raises(ClosedError):
            await producer.send("t", value=b"v")

    run(tmp_path, work)


def test_a_connection_can_be_awaited_without_a_block(tmp_path: Path) -> None:
    async def work() -> None:
        log = await connect_async(tmp_path)
        try:
            assert dict(await log.topics()) == {} or all(name.startswith("__") for name in await log.topics())
        finally:
            await log.close()

    asyncio.run(work())
