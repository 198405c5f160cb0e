"""Topics are changed by several at once, each by an operation that others come between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import UnknownTopicError
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.operations import Completed, OffLockWork, Wait
from streamcore.log.broker.topics import WantedTopic
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.node.operation_driver import Ended
from streamcore.model import CommittedOffset, TopicPartition
from streamcore.testing.sim_disk import SimDisk
from tests.support.serving import NOW_MS


@pytest.fixture
def log() -> Iterator[EmbeddedLog]:
    with EmbeddedLog.open(
        "/data", file_system=SimDisk(1), clock=ManualClock(NOW_MS), maintenance=False
    ) as log:
        yield log


def ended(log: EmbeddedLog, operation: Any, wait: Wait | Ended[Any] | None = None) -> Any:
    """What comes of an operation that nothing keeps waiting, from where it stands."""
    wait = wait or log.node.driver.step(operation)
    while not isinstance(wait, Ended):
        if isinstance(wait, OffLockWork):
            log.node.driver.run_off_lock(wait)
        else:
            log.node.driver.sync_all()
        wait = log.node.driver.step(operation)
    return wait.reply


def test_a_deletion_that_waits_for_a_creation_says_which_topic_it_has_deleted(log: EmbeddedLog) -> None:
    creating = log.node.broker.topic_changes.create([WantedTopic("t", 1)])
    begun = log.node.driver.step(creating)
    deleting = log.node.broker.delete_topics({"t": None})
    assert isinstance(log.node.driver.step(deleting), Completed)

    created = ended(log, creating, begun)
    deleted = ended(log, deleting)

    assert deleted == {"t": created[0]}
    assert "t" not in log.topics()


def test_a_deletion_by_id_spares_another_topic_that_has_the_name_meanwhile(log: EmbeddedLog) -> None:
    log.create_topic("t")
    first = log.node.broker.topic("t").topic_id
    growing = log.node.broker.topic_changes.grow([WantedTopic("t", 2)])
    begun = log.node.driver.step(growing)
    deleting = log.node.broker.delete_topics({"t": first})
    assert isinstance(log.node.driver.step(deleting), Completed)

    ended(log, growing, begun)
    log.delete_topic("t")
    log.create_topic("t")
    outcome = ended(log, deleting)["t"]

    assert isinstance(outcome, ApiError)
    assert outcome.refusal.name == "UNKNOWN_TOPIC_ID"
    assert log.node.broker.topic("t").topic_id != first


def test_a_topic_that_is_not_there_cannot_be_deleted(log: EmbeddedLog) -> None:
    outcomes = ended(log, log.node.broker.delete_topics({"by-name": None, "by-id": UUID(int=7)}))

    assert isinstance(outcomes["by-name"], UnknownTopicError)
    assert isinstance(outcomes["by-id"], ApiError)


def test_positions_committed_while_a_deletion_waits_are_deleted_with_the_topic(log: EmbeddedLog) -> None:
    creating = log.node.broker.topic_changes.create([WantedTopic("t", 1)])
    begun = log.node.driver.step(creating)
    deleting = log.node.broker.delete_topics({"t": None})
    assert isinstance(log.node.driver.step(deleting), Completed)

    ended(log, creating, begun)
    log.commit_offsets("g", {TopicPartition("t", 0): CommittedOffset(0)})
    ended(log, deleting)
    log.create_topic("t")

    assert not log.committed("g", [TopicPartition("t", 0)])
