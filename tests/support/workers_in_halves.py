"""Workers that share the tasks of an application, in one process and without a broker.

Each has a task set of its own on one log, restored from what a worker that ran everything has left, and a
real HTTP server. A test moves tasks between them; the description of their group follows at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import streamcore as sc
from streamcore.log.client.group_log import MemberSummary
from streamcore.model import TopicPartition
from streamcore.processing.runtime.failures import FailureLog
from streamcore.processing.runtime.freshness import Freshness
from streamcore.processing.runtime.open_engines import OpenEngines
from streamcore.processing.runtime.running import MemoryEngines
from streamcore.processing.runtime.settings import WorkerSettings
from streamcore.processing.runtime.table_query import TableQuery, stores_of, table_query
from streamcore.processing.runtime.task import TaskId
from streamcore.processing.runtime.task_group import leading_topics
from streamcore.processing.runtime.task_set import TaskSet, open_task_set
from streamcore.processing.runtime.worker import TaskWorker
from streamcore.processing.runtime.worker_presence import client_id_of
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.state.position import Position
from streamcore.web.server import WebServer
from tests.support.application_house import House


class Half:
    """A worker with some of the tasks, as its HTTP server sees it."""

    broker = "kafka://127.0.0.1:1"

    def __init__(self, app: sc.App, house: House, members: list[Half]) -> None:
        self.app = app
        self.shared_name = self._name = f"streamcore-worker-{len(members)}"
        self.is_open = True
        self.address: str | None = None
        self._log = house.log
        self._members = members
        self.task_set: TaskSet = open_task_set(
            app.declared(),
            house.log,
            OpenEngines(MemoryEngines()),
            house.clock,
            producer=house.log.producer_port(transactional_id=self.shared_name),
            failures=FailureLog(house.clock.monotonic_s),
            wait_ms=None,
            is_shared=True,
        )

    # -- what a test does

    def take(self, tasks: Collection[TaskId]) -> None:
        """Open tasks."""
        self.task_set.add([self.task_set.open(task) for task in tasks])

    def give_up(self, tasks: Collection[TaskId]) -> None:
        """Close tasks."""
        self.task_set.remove(tasks)

    # -- what the HTTP server uses

    @property
    def tasks(self) -> Any:
        """The holder of the task set."""
        return self

    @property
    def log(self) -> Any:
        """The holder of the group."""
        return self

    def announce(self, address: str) -> None:
        """Keep the address for the group."""
        self.address = address

    def group_members(self, group: str) -> Sequence[MemberSummary]:
        """Return all workers with the tasks that they have open."""
        assert group == self.app.app_id
        leading = {
            part: topic for topic, part in leading_topics(self.task_set.plan, self.task_set.counts).items()
        }
        return [
            MemberSummary(
                f"{half._name}-id",
                None,
                client_id_of(half._name, half.address),
                "h",
                tuple(
                    TopicPartition(leading[state.task.task_id.sub_topology], state.task.task_id.partition)
                    for state in half.task_set.open_states
                ),
            )
            for half in self._members
        ]

    def failure(self) -> None:
        """Return no failure."""

    def table_names(self) -> list[str]:
        """Return the names of the tables."""
        return sorted(store.name for store in stores_of(self.task_set))

    def table(self, name: str) -> TableQuery:
        """Return a table."""
        return table_query(lambda: self.task_set, name, lambda *_: None, lambda: self.is_open)

    def freshness(self, store: StoreSpec, position: Position) -> Freshness:
        """Return a check whether a store reflects a position."""
        return Freshness(self.task_set, self._log, store, position)


@dataclass(frozen=True, slots=True)
class Halves:
    """Two workers and their servers."""

    first: Half
    second: Half
    servers: list[WebServer]

    def tasks(self, table: str, *partitions: int) -> list[TaskId]:
        """Return the tasks of some partitions of a table."""
        plan = self.first.task_set.plan
        (name,) = [part.name for part in plan.sub_topologies if part.store_of(table) is not None]
        return [TaskId(name, number) for number in partitions]

    def move(self, tasks: Collection[TaskId]) -> None:
        """Move tasks of the second worker to the first."""
        self.second.give_up(tasks)
        self.first.take(tasks)


@contextmanager
def halves(app: sc.App, house: House) -> Iterator[Halves]:
    """Process everything, and share the tasks of even and odd partitions between two workers."""

    async def work() -> None:
        worker = TaskWorker(app.declared(), house.log, MemoryEngines(), house.clock, WorkerSettings())
        await worker.run_until_end()
        await worker.close()

    asyncio.run(work())
    members: list[Half] = []
    for _ in range(2):
        members.append(Half(app, house, members))
    for remainder, half in enumerate(members):
        half.take([task for task in half.task_set.all_ids() if task.partition % 2 == remainder])
    with ExitStack() as undo:
        servers = [
            undo.enter_context(WebServer(half, "127.0.0.1:0", {}))  # type: ignore[arg-type]
            for half in members
        ]
        yield Halves(members[0], members[1], servers)
