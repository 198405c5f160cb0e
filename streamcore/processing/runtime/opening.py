"""Opens the tasks of an application: their committed offsets, and their stores, restored and compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from streamcore.clock import Clock
from streamcore.errors import RequestTimeoutError, StreamCoreError, fact_text
from streamcore.log.client.port import Log, Producer
from streamcore.model import CommittedOffset, Membership, TopicPartition
from streamcore.processing.operators.outputs import Outputs
from streamcore.processing.runtime.building import TaskBuilder
from streamcore.processing.runtime.commit import TaskState
from streamcore.processing.runtime.global_tables import Progress, topic_transform
from streamcore.processing.runtime.ground import Ground, descriptions_of
from streamcore.processing.runtime.guards import (
    ensure_own_offsets,
    ensure_within_log,
    record_inputs,
    record_tables,
    replaced_ids,
)
from streamcore.processing.runtime.inputs import RecordQueue, warn_of_gap
from streamcore.processing.runtime.notes import InputNote, note_in
from streamcore.processing.runtime.stores import description_of, write_back_of
from streamcore.processing.runtime.task import Task, TaskId
from streamcore.processing.runtime.turns import Turn
from streamcore.processing.topology.application import Application
from streamcore.processing.topology.error_policy import Stop
from streamcore.processing.topology.nodes import StoreSpec, TopicSpec
from streamcore.processing.topology.plan import Plan, SubTopology, writers_of
from streamcore.processing.topology.record_sizes import record_bytes_max
from streamcore.processing.topology.times import NO_TIME
from streamcore.state import changelog
from streamcore.state.application_records import RecordChanges
from streamcore.state.descriptions import describe_store
from streamcore.state.engine import KeyValueEngine
from streamcore.state.position import Position, position_note, task_position
from streamcore.state.restore import RestoreTarget, restore_store
from streamcore.state.write_back import WriteBack

_DECISION_WAIT_S: Final = 10.0
_DECISION_CHECK_S: Final = 0.02


class TaskNotWantedError(StreamCoreError):
    """The restore of a task has ended early, because another worker gets the task."""


class TaskOpener:
    """Opens the tasks of an application: their committed offsets, and their stores, restored and compared."""

    def __init__(
        self,
        application: Application,
        log: Log,
        clock: Clock,
        builder: TaskBuilder,
        ground: Ground,
        progress: Progress | None,
        may_lose_end: bool,
        *,
        awaits_others: bool,
    ) -> None:
        """``awaits_others``: another worker may have run a task before, and may have a transaction open."""
        self._application = application
        self._log = log
        self._clock = clock
        self._builder = builder
        self._ground = ground
        self._records = ground.records
        self._progress = progress
        self._may_lose_end = may_lose_end
        self._awaits_others = awaits_others
        self._topics = dict(log.topics())

    def task_state(
        self,
        sub_topology: SubTopology,
        task_id: TaskId,
        engine: KeyValueEngine,
        outputs: Outputs,
        is_wanted: Callable[[], bool],
    ) -> TaskState:
        """Open one task, which writes into ``outputs``. A restore ends early once the task is not wanted.

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
                    record_time_ms=note.record_time_ms,
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
            if self._awaits_others and store.name in changelogs:
                self._await_end_of_transactions(partition)
            self._restore(engine, store, partition, inputs, is_wanted)
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
        first_positions = {
            queue.partition: CommittedOffset(
                queue.position, InputNote(watermark_ms, queue.partition_time_ms).text()
            )
            for queue in inputs
            if queue.partition not in committed or not committed[queue.partition].metadata
        }
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
            first_positions=first_positions,
            marked={topic: self._builder.counts[topic] for topic in sub_topology.marked},
        )

    def _await_end_of_transactions(self, changelog_partition: TopicPartition) -> None:
        """Wait until the writes of the task's former worker are decided, so that the restore sees them.

        Its committed offsets are visible before the last records of their transaction may be: a broker
        writes the two marks of the end at different times.

        Raises:
            RetriableError: a transaction is still open.
        """
        end = self._log.offsets([changelog_partition])[changelog_partition].high_watermark
        deadline_s = self._clock.monotonic_s() + _DECISION_WAIT_S
        while self._log.offsets([changelog_partition])[changelog_partition].last_stable < end:
            if self._clock.monotonic_s() >= deadline_s:
                raise RequestTimeoutError(
                    "a transaction of the worker that had the task before is still open; try again: "
                    + fact_text(changelog=changelog_partition)
                )
            time.sleep(_DECISION_CHECK_S)

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
            self._records,
            [name for name in changelogs if next(engine.scan(name), None) is not None],
            may_lose_end=self._may_lose_end,
        )

    def _restore(
        self,
        engine: KeyValueEngine,
        store: StoreSpec,
        partition: TopicPartition,
        inputs: list[RecordQueue],
        is_wanted: Callable[[], bool],
    ) -> None:
        until = None
        transform = None
        if store.source_topic is not None:
            until = next(queue.position for queue in inputs if queue.partition == partition)
            transform = topic_transform(
                store.source_topic,
                store.key_type,
                checks_values=checks_values(store.source_topic, self._application),
            )

        def restored(done: int, total: int) -> None:
            if not is_wanted():
                raise TaskNotWantedError(f"the task is not wanted any more: {fact_text(store=store.name)}")
            if self._progress is not None:
                self._progress(f"{store.name}-{partition.partition}", done, total)

        replaced = replaced_ids(self._records, store)
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
            progress=restored,
        )

    def record(
        self,
        plan: Plan,
        states: Iterable[TaskState],
        producer: Producer,
        membership: Membership | None,
    ) -> None:
        """Write the application's records about itself, and first offsets of tasks, in one transaction.

        Without anything new nothing is written.
        """
        # A copy, because the transaction may be refused.
        records = replace(self._records, tables=dict(self._records.tables), inputs=dict(self._records.inputs))
        changes = RecordChanges(records)
        record_inputs(changes, plan, records, self._topics)
        descriptions = descriptions_of(plan)
        ids = {
            name: self._topics[changelog.changelog_topic(plan.app_id, name)].topic_id for name in descriptions
        }
        record_tables(changes, records, descriptions, ids)
        first_positions = {
            partition: position for state in states for partition, position in state.first_positions.items()
        }
        if not changes and not first_positions:
            return
        with producer.transaction() as transaction:
            changes.append_to(transaction, self._clock)
            if first_positions:
                transaction.commit_offsets(plan.app_id, first_positions, membership=membership)
        self._records = records


def checks_values(topic: TopicSpec, application: Application) -> bool:
    """Whether a table over a topic checks each value, because the worker does not stop at a wrong one."""
    policy = topic.on_error if topic.on_error is not None else application.on_error
    return not isinstance(policy, Stop)
