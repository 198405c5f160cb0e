"""The input fetcher skips deleted records, bounds a fetch, and knows when all input is committed."""

from __future__ import annotations

import asyncio

import pytest

from streamcore.model import TopicPartition
from tests.support.application_house import House, counting, table_of

NUMBERS = TopicPartition("numbers", 0)


def test_records_deleted_before_their_fetch_are_lost_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    house = House()

    async def work() -> dict[object, object]:
        worker = house.worker(counting())
        house.produce("numbers", ("a", 1), ("a", 2), ("b", 3))
        house.log.delete_records({NUMBERS: 2})
        await worker.run_until_end()
        counts = dict(table_of(worker, "counts"))
        await worker.close()
        return counts

    assert asyncio.run(work()) == {"b": 1}
    assert [record.args for record in caplog.records if "were deleted" in record.message] == [
        ("partition=numbers-0 position=0 log_start=2",)
    ]


def test_the_end_is_reached_when_all_records_are_committed_and_no_write_of_the_tasks_is_ahead() -> None:
    house = House()

    async def work() -> None:
        worker = house.worker(counting())
        caught_up = worker.fetcher.is_caught_up
        assert caught_up({})
        house.produce("numbers", ("a", 1), ("a", 2))
        assert not caught_up({})
        await worker.step()
        assert not caught_up({}), "processed, but not committed"
        worker.commit()
        assert caught_up({NUMBERS: 2})
        assert not caught_up({NUMBERS: 3}), "the log shows a write of the tasks slightly later"
        await worker.close()

    asyncio.run(work())


def test_a_fetch_reads_a_share_of_the_buffered_bytes_but_16_kib_at_least() -> None:
    house = House()

    async def fetched(buffered_bytes_max: int) -> int:
        worker = house.worker(counting(), buffered_bytes_max=buffered_bytes_max)
        for number in range(4):
            house.produce("numbers", *[(f"key-{number}-{index:0100}", index) for index in range(100)])
        (queue,) = worker.task_set.states[0].task.inputs
        worker.fetcher.fill(queue)
        await worker.close()
        return queue.fetch_position

    assert asyncio.run(fetched(0)) == 100
    assert asyncio.run(fetched(1 << 20)) == 800
