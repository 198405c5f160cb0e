"""Processed records of repartition topics are deleted at intervals; a log that refuses is logged once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import streamcore as sc
from streamcore.model import TopicPartition
from streamcore.processing.runtime.purging import RepartitionPurge
from tests.support.application_house import START_MS, House

INTERVAL_MS = 30_000
REPARTITION = TopicPartition("spread-by-key-repartition", 0)


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    made.log.create_topic("numbers")
    made.produce("numbers", ("a", 1), ("b", 2))
    yield made
    made.log.close()


def purged(house: House, *times_ms: int) -> list[int]:
    """Process the records, purge at these times, and return the log start after each."""
    app = sc.App("spread")
    app.topic("numbers", key=str, value=int).repartition(1, name="by-key").count("counts")
    starts: list[int] = []

    async def work() -> None:
        worker = house.worker(app)
        await worker.run_until_end()
        purge = RepartitionPurge(house.log, INTERVAL_MS, START_MS)
        for now_ms in times_ms:
            purge.purge_if_due(worker.task_set.plan, worker.task_set.states, now_ms)
            starts.append(house.log.offsets([REPARTITION])[REPARTITION].log_start)
        await worker.close()

    asyncio.run(work())
    return starts


def test_processed_records_are_deleted_when_the_interval_is_over(house: House) -> None:
    before, after = purged(house, START_MS + INTERVAL_MS - 1, START_MS + INTERVAL_MS)

    assert before == 0
    assert after >= 2
    numbers = TopicPartition("numbers", 0)
    assert house.log.offsets([numbers])[numbers].log_start == 0, "the input is not the application's"


def test_a_log_that_refuses_is_logged_once(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise sc.UsageError("the user may not delete records")

    monkeypatch.setattr(house.log, "delete_records", refuse)

    starts = purged(house, START_MS + INTERVAL_MS, START_MS + 2 * INTERVAL_MS)

    assert starts == [0, 0]
    assert caplog.text.count("the user may not delete records") == 1
