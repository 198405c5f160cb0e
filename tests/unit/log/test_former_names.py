"""Names of version 0.1 work for one more version, with a warning that says the new name."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.client.port import Appended
from streamcore.model import CommittedOffset, TopicPartition

FIRST = TopicPartition("events", 0)


def test_a_log_commits_and_deletes_offsets_under_the_former_names(tmp_path: Path) -> None:
    with sc.connect(tmp_path) as log:
        log.create_topic("events")

        with pytest.warns(DeprecationWarning, match="commit_offsets"):
            log.commit_positions("readers", {FIRST: CommittedOffset(0)})
        committed = log.committed("readers")
        with pytest.warns(DeprecationWarning, match="delete_offsets"):
            log.delete_positions("readers", [FIRST])

        assert committed == {FIRST: CommittedOffset(0)}
        assert log.committed("readers") == {}


def test_a_transaction_commits_offsets_under_the_former_name(tmp_path: Path) -> None:
    with sc.connect(tmp_path) as log, log.producer(transactional_id="t") as producer:
        log.create_topic("events")

        with producer.transaction() as transaction, pytest.warns(DeprecationWarning, match="group_offsets"):
            transaction.commit_positions("readers", {FIRST: 0})

        assert log.committed("readers") == {FIRST: CommittedOffset(0)}


def test_the_awaited_log_has_the_former_names_too(tmp_path: Path) -> None:
    async def work() -> None:
        async with sc.connect_async(tmp_path) as log:
            await log.create_topic("events")
            async with log.producer(transactional_id="t") as producer, producer.transaction() as transaction:
                with pytest.warns(DeprecationWarning, match="group_offsets"):
                    await transaction.commit_positions("readers", {FIRST: 0})
            with pytest.warns(DeprecationWarning, match="delete_offsets"):
                await log.delete_positions("readers", [FIRST])

    asyncio.run(work())


def test_appended_columns_name_their_partition_under_the_former_name() -> None:
    with pytest.warns(DeprecationWarning, match="partition"):
        assert Appended(FIRST, 0, 1).target == FIRST
