"""Puts an application together on a log: topics, tasks with their stores, restored and ready to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from streamcore.clock import Clock
from streamcore.errors import TopologyError, fact_text
from streamcore.log.client.port import Log, TopicDescription
from streamcore.log.client.producer.partitioner import KeyPartitions
from streamcore.model import TopicPartition
from streamcore.processing.dsl.app import App
from streamcore.processing.operators.outputs import Outputs
from streamcore.processing.runtime.building import TaskBuilder
from streamcore.processing.runtime.commit import TaskState, times_in
from streamcore.processing.runtime.failures import FailureLog
from streamcore.processing.runtime.global_tables import GlobalTableKeeper, Progress, topic_transform
from streamcore.processing.runtime.inputs import InputBuffer, warn_of_gap
from streamcore.processing.runtime.parts import connected
from streamcore.processing.runtime.task import Task, TaskId, TaskTime
from streamcore.processing.runtime.turns import Turn
from streamcore.processing.topology.error_policy import DeadLetter, ErrorPolicy, Stop
from streamcore.processing.topology.nodes import StoreSpec, TopicSpec
from streamcore.processing.topology.plan import Plan, SubTopology, resolve_partitions, task_count
from streamcore.processing.topology.times import NO_TIME
from streamcore.serde import BYTES
from streamcore.state import changelog
from streamcore.state.descriptions import StoreDescription, describe_store
from streamcore.state.engine import KeyValueEngine
from streamcore.state.keys import key_codec
from streamcore.state.memory import MemoryEngine
from streamcore.state.position import Position, position_note, task_position
from streamcore.state.restore import RestoreTarget, restore_store
from streamcore.state.windowed import WindowStore
from streamcore.state.write_back import WriteBack

GLOBAL_TASK = "global"

CREATED_TOPIC_CONFIG = {"retention.ms": "-1", "message.timestamp.after.max.ms": str(2**63 - 1)}
"""Settings of the topics that an application creates, where it does not say otherwise.

Records carry event time. Kafka's defaults would delete a replayed history within minutes, because its
events are older than seven days, and refuse the result of a window that ends tomorrow.
"""


class EngineSource(Protocol):
    """Opens the engines of tasks: on disk, or in memory."""

    def open(self, app: str, task: str) -> KeyValueEngine:
        """Open the state of a task; a new task has none yet."""


@dataclass(slots=True)
class Assembly:
    """An application on a log, ready to process."""

    plan: Plan
    counts: Mapping[str, int]
    groups: list[list[TaskState]]
    """The tasks, in groups of those that topics connect."""
    outputs: list[Outputs]
    """Of each group."""
    global_tables: dict[str, GlobalTableKeeper]
    builder: TaskBuilder
    engines: list[KeyValueEngine] = field(default_factory=list)

    @property
    def states(self) -> list[TaskState]:
        """All tasks."""
        return [state for group in self.groups for state in group]

    def close(self) -> None:
        """Close every engine; a clean restart then has nothing to restore."""
        for engine in self.engines:
            engine.close()
        self.engines.clear()


def dead_letter_topics(app: App) -> list[str]:
    """The topics that error policies write to."""
    policies: list[ErrorPolicy | None] = [app.declaration.on_error]
    policies += [topic.on_error for topic in app.declaration.topics.values()]
    policies += [node.on_error for node in app.declaration.nodes]
    found = [policy.topic for policy in policies if isinstance(policy, DeadLetter)]
    return list(dict.fromkeys(found))


def dead_letter_spec(name: str) -> TopicSpec:
    """A topic of records as they came."""
    return TopicSpec(
        name=name,
        key_serde=BYTES,
        value_serde=BYTES,
        key_type=bytes,
        value_type=bytes,
    )


def topics_of(app: App) -> dict[str, TopicSpec]:
    """The topics that an application declares, dead letter topics among them, by name."""
    return {**{name: dead_letter_spec(name) for name in dead_letter_topics(app)}, **app.declaration.topics}


def ensure_topics(log: Log, app: App, plan: Plan) -> dict[str, int]:
    """Create what topics are missing; return the partitions of all.

    Raises:
        TopologyError: a topic exists with another number of partitions than is needed.
    """
    existing = log.topics()
    counts = resolve_partitions(plan, {name: topic.partition_count for name, topic in existing.items()})
    for topic in plan.topics:
        if topic.name not in existing:
            config = {**CREATED_TOPIC_CONFIG, **topic.config}
            log.create_topic(topic.name, partitions=counts[topic.name], config=config)
    for name in dead_letter_topics(app):
        found = existing.get(name)
        if name not in counts:
            counts[name] = found.partition_count if found is not None else 1
            if found is None:
                log.create_topic(name, partitions=1, config=CREATED_TOPIC_CONFIG)
    for sub_topology in plan.sub_topologies:
        for store in sub_topology.stores:
            if store.source_topic is None:
                _ensure_changelog(log, plan.app_id, store, task_count(sub_topology, counts), existing)
    return counts


def _ensure_changelog(
    log: Log, app_id: str, store: StoreSpec, partitions: int, existing: Mapping[str, TopicDescription]
) -> None:
    name = changelog.changelog_topic(app_id, store.name)
    found = existing.get(name)
    if found is not None:
        if found.partition_count != partitions:
            raise TopologyError(
                "the table's input now has another number of partitions than its state was made with; use a "
                "new table name, or delete the changelog to start afresh: "
                + fact_text(
                    table=store.name,
                    changelog=name,
                    changelog_partitions=found.partition_count,
                    input_partitions=partitions,
                )
            )
        return
    retention_ms = None
    if store.windows is not None and store.windows.retention_ms is not None:
        windows = store.windows
        retention_ms = windows.size_ms + max(windows.grace_ms, store.windows.retention_ms)
    log.create_topic(
        name, partitions=partitions, config=changelog.changelog_config(window_retention_ms=retention_ms)
    )


def assemble(
    app: App,
    log: Log,
    engines: EngineSource,
    clock: Clock,
    *,
    wait_ms: Callable[[int], None] | None,
    progress: Progress | None = None,
) -> Assembly:
    """Make everything an application needs to run, with state restored to the last commit.

    Raises:
        TopologyError: the application does not fit together, or not onto this log.
    """
    plan = app.plan()
    counts = ensure_topics(log, app, plan)
    key_partitions: dict[int, KeyPartitions] = {}

    def partition_of(key: bytes, count: int) -> int:
        partitions = key_partitions.get(count)
        if partitions is None:
            partitions = key_partitions[count] = KeyPartitions(count)
        return partitions[key]

    builder = TaskBuilder(
        on_error=app.declaration.on_error,
        counts=counts,
        partition_of=partition_of,
        failures=FailureLog(clock.monotonic_s),
        wait_ms=wait_ms,
    )
    assembly = Assembly(plan, counts, [], [], {}, builder)
    try:
        if plan.global_tables:
            engine = engines.open(app.app_id, GLOBAL_TASK)
            assembly.engines.append(engine)
            for table in plan.global_tables:
                keeper = GlobalTableKeeper(
                    table,
                    counts[table.topic.name],
                    engine,
                    log,
                    clock,
                    checks_values=_checks_values(table.topic, app),
                )
                for source in keeper.sources:
                    name = keeper.store_name(source.partition)
                    describe_store(engine, description_of(table.store, name, follows=table.topic.name))
                keeper.follow(progress)
                assembly.global_tables[table.store.name] = keeper
        builder.global_tables = assembly.global_tables
        for group in connected(plan):
            outputs = Outputs()
            states: list[TaskState] = []
            for sub_topology in group:
                for partition in range(task_count(sub_topology, counts)):
                    task_id = TaskId(sub_topology.name, partition)
                    # Without stores there is nothing to keep but the position, which the log has, too.
                    engine = engines.open(app.app_id, str(task_id)) if sub_topology.stores else MemoryEngine()
                    assembly.engines.append(engine)
                    states.append(
                        _task_state(
                            app, log, clock, builder, sub_topology, task_id, engine, outputs, progress
                        )
                    )
            assembly.groups.append(states)
            assembly.outputs.append(outputs)
    except BaseException:
        assembly.close()
        raise
    return assembly


def _task_state(
    app: App,
    log: Log,
    clock: Clock,
    builder: TaskBuilder,
    sub_topology: SubTopology,
    task_id: TaskId,
    engine: KeyValueEngine,
    outputs: Outputs,
    progress: Progress | None,
) -> TaskState:
    partition = task_id.partition
    sources = {
        TopicPartition(entry.topic.name, partition): entry.topic
        for entry in sub_topology.inputs
        if partition < builder.counts[entry.topic.name]
    }
    committed = log.committed(app.app_id, list(sources))
    offsets = log.offsets(list(sources))
    inputs = []
    stream_time_ms = NO_TIME
    for source, topic in sources.items():
        position, order = offsets[source].log_start, NO_TIME
        if source in committed:
            if committed[source].offset < position:
                warn_of_gap(source, committed[source].offset, position)
            position = max(position, committed[source].offset)
            found_ms, order = times_in(committed[source].metadata)
            stream_time_ms = max(stream_time_ms, found_ms)
        inputs.append(InputBuffer(source, topic, position, order))
    topics = log.topics()
    changelogs: dict[str, TopicPartition] = {}
    followed: dict[str, TopicPartition] = {}
    stores: dict[str, WriteBack[Any, Any]] = {}
    for store in sub_topology.stores:
        if store.source_topic is not None:
            followed[store.name] = TopicPartition(store.source_topic.name, partition)
        else:
            name = changelog.changelog_topic(app.app_id, store.name)
            changelogs[store.name] = TopicPartition(name, partition)
        source = {**changelogs, **followed}[store.name]
        describe_store(engine, description_of(store, store.name, follows=source.topic))
        _restore(engine, log, clock, app, store, source, inputs, progress)
        stores[store.name] = _write_back(engine, store)
    reached = Position({buffer.source: buffer.position for buffer in inputs})
    if task_position(engine) != reached:
        engine.apply([], {}, position_note(reached))
    turn = Turn(clock.monotonic_s)
    task = Task(task_id, sub_topology, inputs, stores, TaskTime(stream_time_ms), outputs, turn)
    builder.build(task)
    return TaskState(
        task=task,
        engine=engine,
        changelogs=changelogs,
        followed=followed,
        topic_ids={
            name: topics[target.topic].topic_id for name, target in {**changelogs, **followed}.items()
        },
        committed={buffer.source: buffer.position for buffer in inputs},
        committed_time_ms=stream_time_ms,
    )


def _restore(
    engine: KeyValueEngine,
    log: Log,
    clock: Clock,
    app: App,
    store: StoreSpec,
    source: TopicPartition,
    inputs: list[InputBuffer],
    progress: Progress | None,
) -> None:
    until = None
    transform = None
    if store.source_topic is not None:
        until = next(buffer.position for buffer in inputs if buffer.source == source)
        transform = topic_transform(
            store.source_topic, store.key_type, checks_values=_checks_values(store.source_topic, app)
        )
    named = None
    if progress is not None:
        report = progress

        def named(done: int, total: int) -> None:
            report(f"{store.name}-{source.partition}", done, total)

    restore_store(
        engine,
        RestoreTarget(
            store=store.name,
            source=source,
            is_windowed=store.windows is not None,
            until=until,
            transform=transform,
        ),
        log,
        clock,
        progress=named,
    )


def _checks_values(topic: TopicSpec, app: App) -> bool:
    policy = topic.on_error if topic.on_error is not None else app.declaration.on_error
    return not isinstance(policy, Stop)


def _write_back(engine: KeyValueEngine, store: StoreSpec) -> WriteBack[Any, Any]:
    kind = WriteBack if store.windows is None else WindowStore
    return kind(
        engine,
        store.name,
        key_codec(store.key_type),
        store.value_serde.encode,
        store.value_serde.decode,
        copy_on_read=store.copies_on_read,
    )


def description_of(store: StoreSpec, name: str, *, follows: str) -> StoreDescription:
    """What a store says about itself to tools."""
    windows = store.windows
    return StoreDescription(
        name=name,
        kind="kv" if windows is None else "window",
        key_codec=key_codec(store.key_type).name,
        value_codec=store.value_serde.name,
        window_size_ms=None if windows is None else windows.size_ms,
        window_advance_ms=None if windows is None else windows.advance_ms,
        aggregations=[(attribute, aggregator.kind) for attribute, aggregator in store.aggregators],
        follows=follows,
    )
