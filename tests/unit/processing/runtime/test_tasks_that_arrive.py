"""Tasks that a group assigns to a worker which is at work become its own at the end of a round."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import pytest

import streamcore as sc
from streamcore.log.client.consumer.assignment import ConsumerAssignment
from streamcore.log.client.consumer.settings import GroupSettings
from streamcore.model import Membership, TopicPartition
from streamcore.processing.runtime.running import MemoryEngines
from streamcore.processing.runtime.settings import WorkerSettings
from streamcore.processing.runtime.task import TaskId
from streamcore.processing.runtime.worker import TaskWorker
from tests.support.application_house import House, table_of

RECORDS = 3_000
"""More than the agent does while the second task is opened, an event a turn of the loop."""
FOLLOWS_MAX = 10
NEWS_WAIT_S = 5.0
STEPS_MAX = 50_000
"""Enough for the thread that opens tasks, however busy the machine is."""


class Owned(ConsumerAssignment):
    """The partitions of the member: the log gives all to the only one."""

    def __init__(self) -> None:
        self.owned: set[TopicPartition] = set()

    def __contains__(self, partition: TopicPartition) -> bool:
        return partition in self.owned

    def partitions(self) -> tuple[TopicPartition, ...]:
        return tuple(self.owned)

    def take(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, int] | None = None
    ) -> None:
        self.owned |= set(partitions)

    def accept(self, partitions: Sequence[TopicPartition]) -> None:
        self.owned |= set(partitions)

    def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        self.owned -= set(partitions)

    def lose(self, partitions: Sequence[TopicPartition]) -> None:
        self.owned -= set(partitions)


class Group:
    """A group of one member, the worker, that gives it the tasks that a test sets."""

    has_joined = True

    def __init__(self, house: House) -> None:
        self.house = house
        self.topics: Mapping[str, str] = {}
        self.tasks: frozenset[TaskId] = frozenset()
        self.membership: Membership | None = None

    def join(self, topics: Mapping[str, str], wake: Callable[[], None]) -> None:
        self.topics = topics
        news, owned = threading.Event(), Owned()
        self.member = self.house.log.join(
            "watching", list(topics), GroupSettings(), self.house.clock, news.set
        )
        for _ in range(FOLLOWS_MAX):
            self.member.follow(owned)
            self.membership = self.member.membership
            if self.membership is not None:
                return
            news.wait(NEWS_WAIT_S)
            news.clear()
        raise AssertionError("the log did not take the member")

    def assigned(self) -> frozenset[TaskId]:
        return self.tasks

    def take_lost(self) -> bool:
        return False

    def keep_only(self, open_tasks: Collection[TaskId]) -> None:
        pass

    def close(self) -> None:
        self.member.stop()


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    made.log.create_topic("words", partitions=2)
    for number in range(2):
        made.produce("words", *((f"k{number}", 1) for _ in range(RECORDS)), partition=number)
    yield made
    made.log.close()


def test_the_rounds_of_agents_end_for_tasks_that_arrive_and_go_on_between(house: House) -> None:
    """A round that is cut at once, before its first event, would be begun again and cut again for ever."""
    app = sc.App("watching")
    words = app.topic("words", key=str, value=int, partitions=2)
    seen = app.table("seen", key=str, value=int, default=0)

    @app.agent(words)
    async def watch(events: Any) -> None:
        async for key, _ in events.items():
            await asyncio.sleep(0)
            seen[key] += 1

    async def work() -> dict[str, int]:
        group = Group(house)
        worker = TaskWorker(
            app.declared(),
            house.log,
            MemoryEngines(),
            house.clock,
            WorkerSettings(),
            group=group,  # type: ignore[arg-type]
        )
        first, second = worker.task_set.all_ids()
        group.tasks = frozenset({first})
        await worker.open_tasks()
        while not worker.parts[0].is_busy:
            await worker.step()
        group.tasks = frozenset({first, second})
        for _ in range(STEPS_MAX):
            await worker.step()
            await asyncio.sleep(0)
            if len(worker.task_set.states) == 2 and worker.fetcher.is_caught_up({}):
                break
        else:
            pytest.fail("the second task did not arrive, or its records were not read")
        await worker.stop()
        found = dict(table_of(worker, "seen"))
        await worker.close()
        return found

    assert asyncio.run(work()) == {"k0": RECORDS, "k1": RECORDS}
