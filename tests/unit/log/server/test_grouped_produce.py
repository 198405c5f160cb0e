"""Produce requests of a turn of the loop are one write, and wait for their sync without an operation."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import StorageError, UnknownTopicError
from streamcore.log.api.produce_pattern import ProducePattern
from streamcore.log.broker.requests import AppendedBatch
from streamcore.log.node.node import Node
from streamcore.log.protocol.headers import RequestHeader
from streamcore.log.protocol.messages.produce import (
    TopicProduceData,
)
from streamcore.log.server.grouped_produce import GroupedProduce, GroupedRequest
from streamcore.model import TopicPartition
from streamcore.testing.sim_disk import SimDisk
from tests.support.serving import NOW_MS, batch


class SerialQueue:
    """The part of an event loop that a group waits with, turned by hand."""

    def __init__(self) -> None:
        self.due: list[Callable[[], object]] = []

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.due.append(callback)

    def turn(self) -> None:
        due, self.due = self.due, []
        for callback in due:
            callback()


class Asking:
    """A connection that notes what becomes of its requests."""

    def __init__(self) -> None:
        self.handed_over: list[AppendedBatch] = []
        self.sent_count = 0

    def send_answers(self) -> None:
        self.sent_count += 1

    def acknowledge(self, request: GroupedRequest, appended: AppendedBatch) -> None:
        self.handed_over.append(appended)

    def fail(self, error: Exception) -> None:
        raise error


def opened_on(disk: SimDisk) -> Node:
    return Node.open(Path("/data"), clock=ManualClock(NOW_MS), file_system=disk, maintenance=False)


class GroupsOnASimulatedDisk:
    """A partition, and requests that write to it."""

    def __init__(self) -> None:
        self.disk = SimDisk(1)
        self.node = Node.open(
            Path("/data"), clock=ManualClock(NOW_MS), file_system=self.disk, maintenance=False
        )
        self.node.driver.run(self.node.broker.create_topic("t", 1, {}))
        self.partition = TopicPartition("t", 0)
        self.turns = SerialQueue()
        self.sync_count = 0
        self.groups = GroupedProduce(self.node.broker, self.node.driver, self.turns, self._ask_sync)

    def _ask_sync(self) -> None:
        self.sync_count += 1

    def add(self, asking: Asking, number: int) -> GroupedRequest:
        topic = TopicProduceData(name="t", partition_data=[])
        pattern = ProducePattern(RequestHeader(0, 12, 0, None, 0), b"", topic, self.partition)
        request = GroupedRequest(asking, pattern, number, memoryview(bytearray(batch(b"v"))), 100)
        self.groups.add(self.node.broker.partition(self.partition), request)
        return request

    def sync(self) -> None:
        with suppress(StorageError):
            self.node.driver.sync_all()
        self.groups.progressed(self.node.broker.unsynced.deleted)


def test_requests_of_one_turn_are_one_write_and_are_answered_after_the_sync() -> None:
    groups, asking = GroupsOnASimulatedDisk(), Asking()
    groups.add(Asking(), 0)
    groups.turns.turn()
    requests = [groups.add(asking, number) for number in range(20)]
    before = groups.disk.operation_count

    groups.turns.turn()
    unanswered = [request.answer for request in requests]
    written_in = groups.disk.operation_count - before
    groups.sync()

    assert (unanswered, written_in, groups.sync_count) == ([None] * 20, 1, 2)
    assert all(request.answer is not None for request in requests)
    assert asking.sent_count == 1


@pytest.mark.slow
def test_answered_records_survive_a_power_cut() -> None:
    groups, asking = GroupsOnASimulatedDisk(), Asking()
    groups.add(asking, 1)
    groups.turns.turn()
    groups.sync()
    unsynced = groups.add(asking, 2)
    groups.turns.turn()

    groups.disk.crash()
    opened = opened_on(groups.disk)

    assert unsynced.answer is None
    assert opened.broker.partition(groups.partition).offsets.log_end >= 1


def test_a_failed_sync_goes_to_the_handler_and_sends_no_answer() -> None:
    groups, asking = GroupsOnASimulatedDisk(), Asking()
    request = groups.add(asking, 1)
    groups.turns.turn()
    groups.disk.fail_sync()

    groups.sync()

    assert request.answer is None
    assert asking.handed_over == [AppendedBatch(groups.partition, 0, 1)]
    assert groups.node.broker.partition(groups.partition).health.error is not None


def test_a_topic_that_is_deleted_before_the_sync_is_left_to_the_handler() -> None:
    groups, asking = GroupsOnASimulatedDisk(), Asking()
    groups.add(asking, 1)
    groups.turns.turn()
    groups.add(asking, 2)

    groups.node.driver.run(groups.node.broker.delete_topics({"t": None}))
    groups.turns.turn()
    groups.groups.progressed(groups.node.broker.unsynced.deleted)

    late, waiting = asking.handed_over
    assert isinstance(late.error, UnknownTopicError)
    assert waiting == AppendedBatch(groups.partition, 0, 1)
