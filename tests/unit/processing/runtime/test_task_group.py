"""A worker's membership: which tasks it has, when the group may give them away, when it may commit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest

import streamcore as sc
from streamcore.clock import SystemClock
from streamcore.log.client.consumer.assignment import ConsumerAssignment
from streamcore.model import CommittedOffset, Membership, TopicPartition
from streamcore.processing.runtime.task import TaskId
from streamcore.processing.runtime.task_group import TaskGroup

ORDERS = [TopicPartition("orders", number) for number in range(3)]
TASKS = [TaskId("totals", number) for number in range(3)]
WAIT_S = 5.0


class GroupOfOne:
    """A group whose coordinator is the test: it runs what the test asks for in the member's thread."""

    wait_s_max = 0.1

    def __init__(self) -> None:
        self.membership: Membership | None = None
        self._orders: list[tuple[Callable[[ConsumerAssignment], None], threading.Event]] = []
        self._wake: Callable[[], None] = lambda: None

    def join_group(
        self, group: str, topics: Sequence[str], settings: object, wake: Callable[[], None]
    ) -> GroupOfOne:
        self._wake = wake
        return self

    def follow(self, owned: ConsumerAssignment) -> None:
        while self._orders:
            order, done = self._orders.pop(0)
            order(owned)
            done.set()

    def commit(self, offsets: Mapping[TopicPartition, CommittedOffset], owned: ConsumerAssignment) -> None:
        raise AssertionError("workers commit in transactions")

    def stop(self) -> None:
        self.membership = None

    def begin(self, order: Callable[[ConsumerAssignment], None]) -> threading.Event:
        """Run an order in the member's thread; the event is set at its end."""
        done = threading.Event()
        self._orders.append((order, done))
        self._wake()
        return done

    def run(self, order: Callable[[ConsumerAssignment], None]) -> None:
        assert self.begin(order).wait(WAIT_S)

    def join(self, generation: int, partitions: Sequence[TopicPartition]) -> None:
        self.membership = Membership("member", generation)
        self.run(lambda owned: owned.accept(partitions))


@contextmanager
def joined(*partitions: TopicPartition) -> Iterator[tuple[TaskGroup, GroupOfOne]]:
    coordinator = GroupOfOne()
    group = TaskGroup(coordinator, "shop", SystemClock(), client_id="me")  # type: ignore[arg-type]
    group.join({"orders": "totals"}, lambda: None)
    try:
        coordinator.join(1, partitions)
        yield group, coordinator
    finally:
        group.close()


def test_the_partitions_of_leading_topics_are_tasks() -> None:
    with joined(*ORDERS[:2]) as (group, _):
        assert group.assigned() == {TASKS[0], TASKS[1]}
        assert group.membership == Membership("member", 1)
        assert group.has_joined


def test_a_task_is_given_away_only_after_the_worker_has_closed_it() -> None:
    with joined(*ORDERS) as (group, coordinator):
        given_away = coordinator.begin(lambda owned: owned.revoke(ORDERS[:1]))
        await_true(lambda: group.assigned() == {TASKS[1], TASKS[2]})
        group.keep_only(TASKS)
        was_early = given_away.wait(0.05)
        group.keep_only(TASKS[1:])

        assert given_away.wait(WAIT_S)
        assert not was_early
        assert not group.take_lost()


def test_a_worker_that_lost_its_tasks_commits_nothing_of_them_even_if_it_has_joined_again() -> None:
    with joined(*ORDERS) as (group, coordinator):
        coordinator.run(lambda owned: owned.lose(owned.partitions()))
        assigned_then, membership_then = group.assigned(), group.membership
        coordinator.join(7, ORDERS[:1])
        assigned_again, membership_again = group.assigned(), group.membership
        has_lost = (group.take_lost(), group.take_lost())

        assert [assigned_then, assigned_again] == [frozenset(), frozenset(TASKS[:1])]
        assert [membership_then, membership_again] == [None, None]
        assert has_lost == (True, False)
        assert group.membership == Membership("member", 7)


def test_a_loss_without_tasks_is_none() -> None:
    with joined() as (group, coordinator):
        coordinator.run(lambda owned: owned.lose(owned.partitions()))

        assert not group.take_lost()


def test_a_worker_beside_one_that_runs_alone_is_told_what_to_stop() -> None:
    def refuse(owned: ConsumerAssignment) -> None:
        raise sc.UsageError("cannot join: error=INCONSISTENT_GROUP_PROTOCOL")

    with joined() as (group, coordinator):
        coordinator.begin(refuse)

        assert ended_with(group).startswith("the worker cannot share the application's tasks")


def test_other_refusals_are_raised_as_they_are() -> None:
    def refuse(owned: ConsumerAssignment) -> None:
        raise sc.UsageError("cannot join: error=GROUP_AUTHORIZATION_FAILED")

    with joined() as (group, coordinator):
        coordinator.begin(refuse)

        assert ended_with(group) == "cannot join: error=GROUP_AUTHORIZATION_FAILED"


def await_true(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s


def ended_with(group: TaskGroup) -> str:
    with pytest.raises(sc.UsageError) as raised:
        await_true(lambda: group.assigned() == {TASKS[0]})
    return str(raised.value)


def test_an_application_without_tasks_joins_no_group() -> None:
    class NoGroup:
        def join_group(self, *_: object) -> None:
            raise AssertionError("there is nothing to share")

    group = TaskGroup(NoGroup(), "shop", SystemClock(), client_id="me")  # type: ignore[arg-type]

    group.join({}, lambda: None)

    assert group.has_joined
    assert group.assigned() == frozenset()
    group.close()
