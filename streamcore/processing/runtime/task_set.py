"""The tasks of an application that one worker runs, with its global tables, opened on a log.

A worker that is alone opens all tasks. One that shares them with others opens those that it gets, and closes
those that it gives up (``assigned_tasks``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from streamcore.clock import Clock
from streamcore.log.client.port import Log, Producer
from streamcore.model import Membership
from streamcore.partitioning import KeyPartitions
from streamcore.processing.operators.outputs import Outputs
from streamcore.processing.runtime.building import TaskBuilder
from streamcore.processing.runtime.commit import TaskState
from streamcore.processing.runtime.failures import FailureLog
from streamcore.processing.runtime.global_tables import GlobalTableKeeper, Progress
from streamcore.processing.runtime.ground import ground_of
from streamcore.processing.runtime.open_engines import OpenEngines
from streamcore.processing.runtime.opening import TaskOpener, checks_values
from streamcore.processing.runtime.parts import connected
from streamcore.processing.runtime.stores import description_of
from streamcore.processing.runtime.task import TaskId
from streamcore.processing.topology.application import Application
from streamcore.processing.topology.plan import Plan, SubTopology, task_count
from streamcore.processing.topology.record_sizes import record_bytes_max
from streamcore.state.descriptions import describe_store
from streamcore.state.memory import MemoryEngine

GLOBAL_TASK = "global"


def task_ids(plan: Plan, counts: Mapping[str, int]) -> list[TaskId]:
    """Return all tasks of an application, in the order of its sub-topologies and of partitions."""
    return [
        TaskId(sub_topology.name, number)
        for sub_topology in plan.sub_topologies
        for number in range(task_count(sub_topology, counts))
    ]


@dataclass(slots=True)
class TaskSet:
    """The open tasks of an application and its global tables. For the worker's thread, except ``open``."""

    plan: Plan
    counts: Mapping[str, int]
    groups: list[list[TaskState]]
    """The open tasks, in groups of those that topics connect."""
    outputs: list[Outputs]
    """The outputs of each group."""
    global_tables: dict[str, GlobalTableKeeper]
    builder: TaskBuilder
    open_states: tuple[TaskState, ...] = ()
    """All open tasks, for any thread: another tuple once a task is added or, before it is closed, removed."""
    _app_id: str = field(kw_only=True)
    _engines: OpenEngines = field(kw_only=True)
    _opener: TaskOpener = field(kw_only=True)
    _group_numbers: Mapping[str, int] = field(kw_only=True)
    _producer: Producer = field(kw_only=True)

    @property
    def states(self) -> list[TaskState]:
        """All open tasks."""
        return [state for group in self.groups for state in group]

    def all_ids(self) -> list[TaskId]:
        """Return all tasks of the application, open here or not."""
        return task_ids(self.plan, self.counts)

    def count_from(self, before: TaskSet) -> None:
        """Continue the counts of the tasks that were open before."""
        former = {str(state.task.task_id): state.task for state in before.states}
        for state in self.states:
            task = former.get(str(state.task.task_id))
            if task is not None:
                state.task.late_count, state.task.processed_count = task.late_count, task.processed_count

    def group_of(self, task_id: TaskId) -> int:
        """Return the index of the group of a task."""
        return self._group_numbers[task_id.sub_topology]

    def open(self, task_id: TaskId, is_wanted: Callable[[], bool] = lambda: True) -> TaskState:
        """Open a task: its state is restored to the last commit. ``add`` makes it one of the set.

        Args:
            is_wanted: a restore ends early, with ``TaskNotWantedError``, once this is false.

        Raises:
            DirectoryInUseError: another process still has its state open.
            RetriableError: the log does not answer, or a transaction holds the task's offsets.
            TopologyError: a table is declared differently from when it was written.
            UsageError: state, changelog and committed offsets do not belong together.
        """
        sub_topology = self._sub_topology(task_id)
        # Without stores there is nothing to keep but the offset, which the log has, too.
        engine = self._engines.open(self._app_id, str(task_id)) if sub_topology.stores else MemoryEngine()
        outputs = self.outputs[self.group_of(task_id)]
        return self._opener.task_state(sub_topology, task_id, engine, outputs, is_wanted)

    def add(self, states: Sequence[TaskState], membership: Membership | None = None) -> None:
        """Add open tasks, and write first offsets and the application's records about itself, if any are new.

        Raises:
            FencedError: another worker has taken over.
        """
        self._opener.record(self.plan, states, self._producer, membership)
        order = {task_id: number for number, task_id in enumerate(self.all_ids())}
        for state in states:
            self.groups[self.group_of(state.task.task_id)].append(state)
        for group in self.groups:
            group.sort(key=lambda state: order[state.task.task_id])
        self.open_states = tuple(self.states)

    def remove(self, ids: Collection[TaskId]) -> None:
        """Remove tasks from the set and close their engines. For any thread, for tasks that are not in it."""
        if any(state.task.task_id in ids for state in self.states):
            for group in self.groups:
                group[:] = [state for state in group if state.task.task_id not in ids]
            # Before the engines are closed, so that a query which finds one closed finds it gone, too.
            self.open_states = tuple(self.states)
        for task_id in ids:
            self._engines.close(str(task_id))

    def _sub_topology(self, task_id: TaskId) -> SubTopology:
        return next(found for found in self.plan.sub_topologies if found.name == task_id.sub_topology)


def open_task_set(
    application: Application,
    log: Log,
    engines: OpenEngines,
    clock: Clock,
    *,
    producer: Producer,
    failures: FailureLog,
    wait_ms: Callable[[int], None] | None,
    progress: Progress | None = None,
    may_lose_end: bool = False,
    is_shared: bool = False,
) -> TaskSet:
    """Open an application on a log, with state restored to the last commit.

    Args:
        producer: the transactional one of the worker; it writes the application's records about itself.
        failures: counts and logs records that fail.
        wait_ms: waits between retries of user code; ``None`` waits by the machine's clock.
        progress: called during a restore, with its subject, the amount done and the total.
        may_lose_end: the log does not wait for the disk, so a power cut may leave state ahead of it.
        is_shared: other workers run tasks, too: no task is opened yet.

    Raises:
        TopologyError: the declarations contradict each other, or the topics and tables in the log.
        UsageError: the log lost records of the application's tables.
    """
    plan = application.plan
    ground = ground_of(application, log, clock, producer)
    counts = ground.counts
    key_partitions: dict[int, KeyPartitions] = {}

    def partition_of(key: bytes, count: int) -> int:
        partitions = key_partitions.get(count)
        if partitions is None:
            partitions = key_partitions[count] = KeyPartitions(count)
        return partitions[key]

    builder = TaskBuilder(
        on_error=application.on_error,
        counts=counts,
        record_bytes_max={
            name: record_bytes_max(found.message_bytes_max) for name, found in log.described(counts).items()
        },
        partition_of=partition_of,
        failures=failures,
        wait_ms=wait_ms,
        now_ms=clock.now_ms,
    )
    groups = connected(plan)
    task_set = TaskSet(
        plan,
        counts,
        [[] for _ in groups],
        [Outputs() for _ in groups],
        {},
        builder,
        _app_id=application.app_id,
        _engines=engines,
        _opener=TaskOpener(
            application, log, clock, builder, ground, progress, may_lose_end, awaits_others=is_shared
        ),
        _group_numbers={part.name: number for number, group in enumerate(groups) for part in group},
        _producer=producer,
    )
    if plan.global_tables:
        _open_global_tables(task_set, application, log, engines, clock, progress)
    builder.global_tables = task_set.global_tables
    # An application with global tables alone has no task that others could open.
    if not is_shared or not task_set.all_ids():
        task_set.add([task_set.open(task_id) for task_id in task_set.all_ids()])
    return task_set


def _open_global_tables(
    task_set: TaskSet,
    application: Application,
    log: Log,
    engines: OpenEngines,
    clock: Clock,
    progress: Progress | None,
) -> None:
    """Open the tables that every worker holds whole, and bring them to the end of their topics."""
    engine = engines.open(application.app_id, GLOBAL_TASK)
    for table in task_set.plan.global_tables:
        keeper = GlobalTableKeeper(
            table,
            task_set.counts[table.topic.name],
            engine,
            log,
            clock,
            checks_values=checks_values(table.topic, application),
        )
        for partition in keeper.partitions:
            name = keeper.store_name(partition.partition)
            describe_store(engine, description_of(table.store, name, follows=table.topic.name))
        keeper.follow(progress)
        task_set.global_tables[table.store.name] = keeper
