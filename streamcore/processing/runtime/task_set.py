"""Opens an application on a log: topics, and tasks with their stores, restored and ready to run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

from streamcore.clock import Clock
from streamcore.errors import fact_text
from streamcore.log.client.port import Log, Producer, TopicDescription
from streamcore.model import CommittedOffset, Isolation, TopicName, TopicPartition
from streamcore.partitioning import KeyPartitions
from streamcore.processing.operators.outputs import Outputs
from streamcore.processing.runtime.building import TaskBuilder
from streamcore.processing.runtime.commit import TaskState
from streamcore.processing.runtime.failures import FailureLog
from streamcore.processing.runtime.global_tables import GlobalTableKeeper, Progress, topic_transform
from streamcore.processing.runtime.guards import (
    ensure_no_reset_is_open,
    ensure_own_offsets,
    ensure_partitions,
    ensure_tables,
    ensure_within_log,
    left_records_error,
    record_inputs,
    record_tables,
    replaced_ids,
    replaced_input_error,
    replaced_inputs,
    rewritten_records_error,
    topics_left,
    topics_rewritten,
)
from streamcore.processing.runtime.inputs import RecordQueue, warn_of_gap
from streamcore.processing.runtime.notes import InputNote, note_in
from streamcore.processing.runtime.parts import connected
from streamcore.processing.runtime.reset import carry_out, connected_parts, plan_reset, readers_of
from streamcore.processing.runtime.stores import description_of, write_back_of
from streamcore.processing.runtime.task import Task, TaskId
from streamcore.processing.runtime.topics import (
    ensure_changelogs,
    ensure_descriptions,
    ensure_settings,
    ensure_topics,
)
from streamcore.processing.runtime.turns import Turn
from streamcore.processing.topology.application import Application
from streamcore.processing.topology.error_policy import Stop
from streamcore.processing.topology.nodes import StoreSpec, TopicSpec
from streamcore.processing.topology.plan import Plan, SubTopology, task_count, writers_of
from streamcore.processing.topology.record_sizes import record_bytes_max
from streamcore.processing.topology.times import NO_TIME
from streamcore.state import changelog
from streamcore.state.application_records import ApplicationRecords, RecordChanges, read_records
from streamcore.state.descriptions import StoreDescription, describe_store
from streamcore.state.engine import KeyValueEngine
from streamcore.state.memory import MemoryEngine
from streamcore.state.position import Position, position_note, task_position
from streamcore.state.restore import RestoreTarget, restore_store
from streamcore.state.write_back import WriteBack

_logger = logging.getLogger(__name__)

GLOBAL_TASK = "global"

_FETCH_BYTES = 1 << 16


class EngineSource(Protocol):
    """Opens the engines of tasks: on disk, or in memory."""

    def open(self, app: str, task: str) -> KeyValueEngine:
        """Open the state of a task; a new task has none yet."""


@dataclass(slots=True)
class TaskSet:
    """The tasks and global tables of an application on a log, ready to process."""

    plan: Plan
    counts: Mapping[str, int]
    groups: list[list[TaskState]]
    """The tasks, in groups of those that topics connect."""
    outputs: list[Outputs]
    """The outputs of each group."""
    global_tables: dict[str, GlobalTableKeeper]
    builder: TaskBuilder
    engines: list[KeyValueEngine] = field(default_factory=list)

    @property
    def states(self) -> list[TaskState]:
        """All tasks."""
        return [state for group in self.groups for state in group]

    def count_from(self, before: TaskSet) -> None:
        """Continue the counts of the tasks that were open before."""
        former = {str(state.task.task_id): state.task for state in before.states}
        for state in self.states:
            task = former.get(str(state.task.task_id))
            if task is not None:
                state.task.late_count, state.task.processed_count = task.late_count, task.processed_count

    def close(self) -> None:
        """Close every engine; a start after an orderly stop has nothing to restore."""
        for engine in self.engines:
            engine.close()
        self.engines.clear()


@dataclass(frozen=True, slots=True)
class _Ground:
    """An application's topics and records, compared and accepted: the base of its tasks."""

    counts: dict[str, int]
    records: ApplicationRecords
    replaced_inputs: frozenset[TopicName]
    """Inputs that are other topics than before, where the application continues nevertheless."""


def _ground(application: Application, log: Log, clock: Clock, producer: Producer) -> _Ground:
    """Compare an application with its records in the log, and create the topics that are missing.

    Raises:
        TopologyError: the declarations contradict each other, or the topics and tables in the log.
        UsageError: the log lost records of the application's tables.
    """
    plan, app_id = application.plan, application.app_id
    ensure_descriptions(log, app_id)
    records = read_records(log, app_id)
    ensure_no_reset_is_open(records)
    existing = dict(log.topics())
    replaced = replaced_inputs(plan, records, existing)
    if replaced and application.on_recreated_topic == "start-over":
        parts = connected_parts(plan, [part for name in replaced for part in readers_of(plan, name)])
        _logger.warning(
            "a topic that the application reads is another one than before, the application starts over: %s",
            fact_text(app=app_id, topics=",".join(replaced), parts=",".join(parts)),
        )
        carry_out(log, plan_reset(log, plan, records, parts, "earliest", clock.now_ms()), producer, clock)
        records, replaced, existing = read_records(log, app_id), [], dict(log.topics())
    elif replaced and application.on_recreated_topic == "go-on":
        _logger.warning(
            "a topic that the application reads is another than before, its tables stay as they are: %s",
            fact_text(app=app_id, topics=",".join(replaced)),
        )
        for name in replaced:
            del records.inputs[name]
    elif replaced:
        raise replaced_input_error(app_id, replaced[0], existing)
    _ensure_nothing_waits(log, plan, records, existing)
    counts = ensure_topics(log, application, records.inputs)
    existing = dict(log.topics())
    ensure_partitions(plan, records, counts, existing)
    ensure_tables(plan, records, _descriptions(plan), existing)
    ensure_settings(log, plan)
    ensure_changelogs(log, plan, counts)
    return _Ground(counts, records, frozenset(replaced))


def _ensure_nothing_waits(
    log: Log, plan: Plan, records: ApplicationRecords, existing: Mapping[TopicName, TopicDescription]
) -> None:
    """Refuse records that wait in a repartition topic which no step reads any more, or reads as other types.

    Raises:
        UsageError: there are such records.
    """
    changes = topics_rewritten(plan, records)
    partitions = [
        TopicPartition(name, number)
        for name in (*topics_left(plan, records, existing), *changes)
        if name in existing
        for number in range(existing[name].partition_count)
    ]
    if not partitions:
        return
    committed = log.committed(plan.app_id, partitions)
    offsets = log.offsets(partitions)
    with closing(log.reader(isolation=Isolation.READ_COMMITTED)) as reader:
        for partition in partitions:
            start = offsets[partition].log_start
            if partition in committed:
                start = max(start, committed[partition].offset)
            if start >= offsets[partition].log_end:
                continue
            reader.assign({partition: start})
            while (columns := reader.fetch(partition, bytes_max=_FETCH_BYTES)) is not None:
                for key, value, offset in zip(columns.keys, columns.values, columns.offsets, strict=True):
                    if key is None and value is None:
                        continue
                    change = changes.get(partition.topic)
                    if change is None:
                        raise left_records_error(plan.app_id, partition, offset)
                    raise rewritten_records_error(plan.app_id, partition, offset, change)


def _descriptions(plan: Plan) -> dict[str, StoreDescription]:
    """Return the descriptions of the tables with changelogs, by name."""
    return {
        store.name: description_of(
            store, store.name, follows=changelog.changelog_topic(plan.app_id, store.name)
        )
        for sub_topology in plan.sub_topologies
        for store in sub_topology.stores
        if store.source_topic is None
    }


def open_task_set(
    application: Application,
    log: Log,
    engines: EngineSource,
    clock: Clock,
    *,
    producer: Producer,
    failures: FailureLog,
    wait_ms: Callable[[int], None] | None,
    progress: Progress | None = None,
    may_lose_end: bool = False,
) -> TaskSet:
    """Open an application on a log, with state restored to the last commit.

    Args:
        producer: the transactional one of the worker; it writes the application's records about itself.
        failures: counts and logs records that fail.
        wait_ms: waits between retries of user code; ``None`` waits by the machine's clock.
        progress: called during a restore, with its subject, the amount done and the total.
        may_lose_end: the log does not wait for the disk, so a power cut may leave state ahead of it.

    Raises:
        TopologyError: the declarations contradict each other, or the topics and tables in the log.
        UsageError: the log lost records of the application's tables.
    """
    plan = application.plan
    ground = _ground(application, log, clock, producer)
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
    task_set = TaskSet(plan, counts, [], [], {}, builder)
    opening = _Opening(application, log, clock, builder, ground, progress, may_lose_end)
    try:
        if plan.global_tables:
            engine = engines.open(application.app_id, GLOBAL_TASK)
            task_set.engines.append(engine)
            for table in plan.global_tables:
                keeper = GlobalTableKeeper(
                    table,
                    counts[table.topic.name],
                    engine,
                    log,
                    clock,
                    checks_values=_checks_values(table.topic, application),
                )
                for partition in keeper.partitions:
                    name = keeper.store_name(partition.partition)
                    describe_store(engine, description_of(table.store, name, follows=table.topic.name))
                keeper.follow(progress)
                task_set.global_tables[table.store.name] = keeper
        builder.global_tables = task_set.global_tables
        for group in connected(plan):
            outputs = Outputs()
            states: list[TaskState] = []
            for sub_topology in group:
                for number in range(task_count(sub_topology, counts)):
                    task_id = TaskId(sub_topology.name, number)
                    # Without stores there is nothing to keep but the offset, which the log has, too.
                    engine = (
                        engines.open(application.app_id, str(task_id))
                        if sub_topology.stores
                        else MemoryEngine()
                    )
                    task_set.engines.append(engine)
                    states.append(opening.task_state(sub_topology, task_id, engine, outputs))
            task_set.groups.append(states)
            task_set.outputs.append(outputs)
        opening.record(plan, producer)
    except BaseException:
        task_set.close()
        raise
    return task_set


class _Opening:
    """Opens the tasks of an application: their committed offsets, and their stores, restored and compared."""

    def __init__(
        self,
        application: Application,
        log: Log,
        clock: Clock,
        builder: TaskBuilder,
        ground: _Ground,
        progress: Progress | None,
        may_lose_end: bool,
    ) -> None:
        self._application = application
        self._log = log
        self._clock = clock
        self._builder = builder
        self._ground = ground
        self._progress = progress
        self._may_lose_end = may_lose_end
        self._topics = dict(log.topics())
        self._first_positions: dict[TopicPartition, CommittedOffset] = {}

    def task_state(
        self, sub_topology: SubTopology, task_id: TaskId, engine: KeyValueEngine, outputs: Outputs
    ) -> TaskState:
        """Open one task, which writes into ``outputs``.

        Raises:
            TopologyError: a table is declared differently from when it was written.
            UsageError: state, changelog and committed offsets do not belong together.
        """
        number = task_id.partition
        topics = {
            TopicPartition(entry.topic.name, number): entry.topic
            for entry in sub_topology.inputs
            if number < self._builder.counts[entry.topic.name]
        }
        committed = {
            partition: position
            for partition, position in self._log.committed(self._application.app_id, list(topics)).items()
            if partition.topic not in self._ground.replaced_inputs
        }
        offsets = self._log.offsets(list(topics))
        ensure_within_log(committed, offsets)
        marked = {entry.topic.name for entry in sub_topology.inputs if entry.has_marks}
        inputs = []
        watermark_ms = NO_TIME
        for partition, topic in topics.items():
            position, note = offsets[partition].log_start, InputNote()
            if partition in committed:
                if committed[partition].offset < position:
                    warn_of_gap(partition, committed[partition].offset, position)
                position = max(position, committed[partition].offset)
                note = note_in(committed[partition].metadata)
                watermark_ms = max(watermark_ms, note.watermark_ms)
            writers = None
            if partition.topic in marked:
                writers = writers_of(self._application.plan, partition.topic, self._builder.counts)
            inputs.append(
                RecordQueue(
                    partition,
                    topic,
                    position,
                    note.partition_time_ms,
                    writers,
                    note.marks,
                    has_records=position < offsets[partition].last_stable,
                )
            )
        changelogs: dict[str, TopicPartition] = {}
        followed: dict[str, TopicPartition] = {}
        stores: dict[str, WriteBack[Any, Any]] = {}
        for store in sub_topology.stores:
            if store.source_topic is not None:
                followed[store.name] = TopicPartition(store.source_topic.name, number)
            else:
                name = changelog.changelog_topic(self._application.app_id, store.name)
                changelogs[store.name] = TopicPartition(name, number)
            partition = {**changelogs, **followed}[store.name]
            self._restore(engine, store, partition, inputs)
            stores[store.name] = write_back_of(engine, store)
            if store.name in changelogs:
                found = self._topics[partition.topic]
                stores[store.name].record_bytes_max = record_bytes_max(found.message_bytes_max)
        self._ensure_own_offsets(engine, changelogs, committed, list(topics))
        reached = Position({queue.partition: queue.position for queue in inputs})
        if task_position(engine) != reached:
            engine.apply([], {}, position_note(reached))
        turn = Turn(self._clock.monotonic_s)
        task = Task(task_id, sub_topology, inputs, stores, watermark_ms, outputs, turn)
        self._builder.build(task)
        for queue in inputs:
            if queue.partition not in committed or not committed[queue.partition].metadata:
                text = InputNote(watermark_ms, queue.partition_time_ms).text()
                self._first_positions[queue.partition] = CommittedOffset(queue.position, text)
        return TaskState(
            task=task,
            engine=engine,
            changelogs=changelogs,
            followed=followed,
            topic_ids={
                name: self._topics[partition.topic].topic_id
                for name, partition in {**changelogs, **followed}.items()
            },
            committed={queue.partition: queue.position for queue in inputs},
            committed_time_ms=watermark_ms,
            marked={topic: self._builder.counts[topic] for topic in sub_topology.marked},
        )

    def _ensure_own_offsets(
        self,
        engine: KeyValueEngine,
        changelogs: Mapping[str, TopicPartition],
        committed: Mapping[TopicPartition, CommittedOffset],
        partitions: list[TopicPartition],
    ) -> None:
        if any(partition.topic in self._ground.replaced_inputs for partition in partitions):
            return
        ensure_own_offsets(
            self._application.app_id,
            partitions,
            committed,
            task_position(engine),
            self._ground.records,
            [name for name in changelogs if next(engine.scan(name), None) is not None],
            may_lose_end=self._may_lose_end,
        )

    def _restore(
        self,
        engine: KeyValueEngine,
        store: StoreSpec,
        partition: TopicPartition,
        inputs: list[RecordQueue],
    ) -> None:
        until = None
        transform = None
        if store.source_topic is not None:
            until = next(queue.position for queue in inputs if queue.partition == partition)
            transform = topic_transform(
                store.source_topic,
                store.key_type,
                checks_values=_checks_values(store.source_topic, self._application),
            )
        named = None
        if self._progress is not None:
            report = self._progress

            def named(done: int, total: int) -> None:
                report(f"{store.name}-{partition.partition}", done, total)

        replaced = replaced_ids(self._ground.records, store)
        checkpoint = changelog.checkpoint(engine, store.name)
        describe_store(
            engine,
            description_of(store, store.name, follows=partition.topic),
            starts_over=checkpoint is not None and checkpoint.topic_id in replaced,
        )
        restore_store(
            engine,
            RestoreTarget(
                store=store.name,
                partition=partition,
                is_windowed=store.expires_by_retention,
                deletes_by_tombstones=store.deletes_keys,
                until=until,
                transform=transform,
                is_changelog=store.source_topic is None,
                replaced_ids=replaced,
                may_lose_end=self._may_lose_end,
            ),
            self._log,
            self._clock,
            progress=named,
        )

    def record(self, plan: Plan, producer: Producer) -> None:
        """Write the application's records about itself, and first offsets, in one transaction, if any are
        new.
        """
        changes = RecordChanges(self._ground.records)
        record_inputs(changes, plan, self._ground.records, self._topics)
        descriptions = _descriptions(plan)
        ids = {
            name: self._topics[changelog.changelog_topic(plan.app_id, name)].topic_id for name in descriptions
        }
        record_tables(changes, self._ground.records, descriptions, ids)
        if not changes and not self._first_positions:
            return
        with producer.transaction() as transaction:
            changes.append_to(transaction, self._clock)
            if self._first_positions:
                transaction.commit_offsets(plan.app_id, self._first_positions)


def _checks_values(topic: TopicSpec, application: Application) -> bool:
    policy = topic.on_error if topic.on_error is not None else application.on_error
    return not isinstance(policy, Stop)
