"""The commit: all work of a worker's tasks since the last one becomes durable, or none of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol
from uuid import UUID

from streamcore.clock import Clock
from streamcore.errors import SerdeError, StreamCoreError, UsageError, fact_text
from streamcore.log.client.port import Acknowledgement, Producer, Transaction
from streamcore.model import CommittedOffset, Membership, Offset, RecordColumns, TopicPartition
from streamcore.processing.operators.outputs import Outputs
from streamcore.processing.runtime.inputs import RecordQueue
from streamcore.processing.runtime.notes import InputNote
from streamcore.processing.runtime.task import Task
from streamcore.processing.topology.marks import Mark, headers_of
from streamcore.state import changelog
from streamcore.state.engine import KeyValueEngine, StoreWrites
from streamcore.state.position import Position, position_note
from streamcore.state.record_sizes import first_too_large, too_large
from streamcore.state.write_back import WriteBack


class Guarantee(Enum):
    """What a crash may leave in the topics that the application writes; state never counts twice."""

    EXACTLY_ONCE = "exactly-once"
    AT_LEAST_ONCE = "at-least-once"

    @classmethod
    def named(cls, name: str | Guarantee) -> Guarantee:
        """Return the guarantee of this name. Raises ``UsageError`` for an unknown name."""
        if isinstance(name, Guarantee):
            return name
        try:
            return cls(name)
        except ValueError:
            raise UsageError(
                f"the guarantee is 'exactly-once' or 'at-least-once': {fact_text(given=repr(name))}"
            ) from None


class UnstorableError(SerdeError):
    """A changed value cannot be stored, so nothing is committed; the record that made it is not known."""

    def __init__(self, reason: StreamCoreError, *, task: str, store: str, key: bytes | None = None) -> None:
        super().__init__(
            f"a table's value cannot be stored, nothing is committed: {reason} "
            + fact_text(table=store, task=task)
        )
        self.reason = reason
        self.task = task
        self.store = store
        self.key = key
        """The bytes of the value's key, if they are known."""


@dataclass(slots=True)
class TaskState:
    """A task with its engine, and the topics that its stores follow."""

    task: Task
    engine: KeyValueEngine
    changelogs: Mapping[str, TopicPartition]
    """Store -> the partition of its changelog."""
    followed: Mapping[str, TopicPartition]
    """Store -> the partition of the topic that is its changelog."""
    topic_ids: Mapping[str, UUID]
    """Store -> the id of the topic in either of them."""
    committed: dict[TopicPartition, Offset]
    committed_time_ms: int
    first_positions: Mapping[TopicPartition, CommittedOffset] = field(default_factory=dict)
    """The offsets of inputs that had none, which are committed before the task processes anything."""
    marked: Mapping[str, int] = field(default_factory=dict)
    """Repartition topic that gets the task's marks -> the number of its partitions."""
    written_marks: dict[str, Mark] = field(default_factory=dict)
    """Repartition topic -> the task's last mark in it."""

    def marks_due(self) -> dict[str, Mark]:
        """Return for each topic the mark to write with the next commit; none where the last one holds."""
        found: dict[str, Mark] = {}
        for topic, marked in self.task.sub_topology.marked.items():
            progress = self.task.time.progress(marked.fed_by)
            if progress is not None:
                time_ms, is_idle = progress
                is_idle = is_idle and (marked.fed_by is not None or not self.task.holds_back)
                mark = Mark(str(self.task.task_id), time_ms, is_idle).held_back(marked.held_ms)
                if mark != self.written_marks.get(topic):
                    found[topic] = mark
        return found

    def has_moved(self) -> bool:
        """Whether a record was processed since the last commit."""
        return any(self.committed.get(queue.partition) != queue.position for queue in self.task.inputs)

    def has_changes(self) -> bool:
        """Whether a commit would write anything but the removal of old windows."""
        return (
            self.has_moved()
            or self.task.time.watermark_ms != self.committed_time_ms
            or any(store.has_writes for store in self.task.stores.values())
            or bool(self.marks_due())
        )


@dataclass(slots=True)
class _TaskChanges:
    state: TaskState
    positions: dict[TopicPartition, Offset]
    drained: list[tuple[WriteBack[Any, Any], StoreWrites]]
    marks: dict[str, Mark]
    appended: dict[str, Acknowledgement] = field(default_factory=dict)
    """Store -> the changelog columns of its writes."""

    def ends(self) -> dict[str, Offset]:
        """Store -> the offset, in the topic that it follows, that it reaches with the writes. Once
        committed.
        """
        reached = {
            store: acknowledgement.result().end_offset for store, acknowledgement in self.appended.items()
        }
        reached |= {name: self.positions[source] for name, source in self.state.followed.items()}
        return reached


class Committable(Protocol):
    """Tasks at rest, with the outputs that they share."""

    @property
    def states(self) -> Sequence[TaskState]:
        """The tasks."""

    @property
    def outputs(self) -> Outputs:
        """The records that they wrote to topics."""


def commit(
    parts: Sequence[Committable],
    producer: Producer,
    plain_producer: Producer,
    *,
    group: str,
    guarantee: Guarantee,
    clock: Clock,
    membership: Membership | None = None,
) -> dict[TopicPartition, Offset] | None:
    """Commit the pending work of parts at rest; return the end offsets of the outputs, or ``None`` without
    work.

    Exactly-once depends on this order only:

    1. the offsets of the inputs are added to a transaction, with the stream time in their notes: a worker
       that has lost its tasks to another one, or is to wait for a rebalance, ends here, and nothing is lost;
    2. outputs, repartition and changelog records are written in the same transaction, and behind them the
       marks that say how far the tasks are;
    3. the transaction commits; from here on the log defines the state;
    4. the stores apply the same writes, with the changelog offsets that they reach.

    Before all of them, values that cannot be stored are refused (``narrowing``).

    A crash before 3 leaves no trace. A crash between 3 and 4 leaves a store behind its changelog, which
    the restore at every start repairs. Under at-least-once, records for topics outside
    the application are made durable before 1 and are not in the transaction: a crash may repeat them.
    State and repartition topics are in the transaction in both cases, so no table ever counts twice.

    Raises:
        UnstorableError: a value does not encode, or its changelog takes no record of its size. Nothing is
            committed, and the tasks cannot be used any more.
    """
    moved = [state for part in parts for state in part.states if state.has_changes()]
    written = [part.outputs for part in parts if part.outputs.record_count]
    if not moved and not written:
        return None
    repeats = guarantee is Guarantee.AT_LEAST_ONCE
    if repeats:
        for outputs in written:
            _append_outputs(plain_producer, outputs.taken(internal=False))
        plain_producer.flush()
    now_ms = clock.now_ms()
    appended: list[tuple[TopicPartition, Acknowledgement]] = []
    with producer.transaction() as transaction:
        positions = {
            queue.partition: CommittedOffset(queue.position, _note(state.task, queue))
            for state in moved
            for queue in state.task.inputs
        }
        if positions:
            transaction.commit_offsets(group, positions, membership=membership)
        changes = [_changes_of(state) for state in moved]
        for outputs in written:
            if not repeats:
                appended += _append_outputs(transaction, outputs.taken(internal=False))
            appended += _append_outputs(transaction, outputs.taken(internal=True))
        appended += _append_marks(transaction, changes, now_ms)
        for change in changes:
            _append_changelogs(transaction, change, now_ms)
    for outputs in written:
        outputs.clear()
    for change in changes:
        _apply(change, now_ms)
    ends: dict[TopicPartition, Offset] = {}
    for partition, acknowledgement in appended:
        ends[partition] = max(ends.get(partition, 0), acknowledgement.result().end_offset)
    return ends


def _changes_of(state: TaskState) -> _TaskChanges:
    task = state.task
    positions = {queue.partition: queue.position for queue in task.inputs}
    drained = []
    for store in task.stores.values():
        try:
            writes = store.drain()
        except SerdeError as error:
            raise UnstorableError(error, task=str(task.task_id), store=store.store) from error
        if writes is not None:
            _ensure_fit(writes, store, task)
            drained.append((store, writes))
    return _TaskChanges(state, positions, drained, state.marks_due())


def _ensure_fit(writes: StoreWrites, store: WriteBack[Any, Any], task: Task) -> None:
    """Refuse values that the changelog of a store does not take."""
    index = first_too_large(writes, store.record_bytes_max)
    if index is None:
        return
    key, value = writes.keys[index], writes.values[index]
    error = too_large(
        table=store.store,
        key=store.shown_key(key),
        size_bytes=len(key) + len(value or b""),
        bytes_max=store.record_bytes_max,
    )
    raise UnstorableError(error, task=str(task.task_id), store=store.store, key=key)


def _append_marks(
    transaction: Transaction, changes: Sequence[_TaskChanges], now_ms: int
) -> list[tuple[TopicPartition, Acknowledgement]]:
    """Append to each repartition topic the marks of the tasks that write it, one record a partition."""
    counts: dict[str, int] = {}
    marks: dict[str, list[Mark]] = {}
    for change in changes:
        for topic, mark in change.marks.items():
            counts[topic] = change.state.marked[topic]
            marks.setdefault(topic, []).append(mark)
    return [
        (
            partition,
            transaction.append_columns(partition, RecordColumns([None], [None], [now_ms], [headers])),
        )
        for topic, found in marks.items()
        for headers in [headers_of(found)]
        for partition in [TopicPartition(topic, number) for number in range(counts[topic])]
    ]


def _append_outputs(
    log: Transaction | Producer, outputs: Mapping[TopicPartition, RecordColumns]
) -> list[tuple[TopicPartition, Acknowledgement]]:
    return [(partition, log.append_columns(partition, columns)) for partition, columns in outputs.items()]


def _append_changelogs(transaction: Transaction, change: _TaskChanges, now_ms: int) -> None:
    for store, writes in change.drained:
        partition = change.state.changelogs.get(store.store)
        if partition is not None and len(writes):
            change.appended[store.store] = transaction.append_columns(
                partition, changelog.columns(writes, now_ms)
            )


def _apply(change: _TaskChanges, now_ms: int) -> None:
    state, ends = change.state, change.ends()
    state.engine.apply(
        [writes for _, writes in change.drained],
        changelog.checkpoints(ends, now_ms),
        {
            **changelog.topic_notes({name: state.topic_ids[name] for name in ends}),
            **position_note(Position(change.positions)),
        },
    )
    # Also of those without a write: what they have read is to leave memory, too.
    for store in state.task.stores.values():
        store.committed()
    state.committed = change.positions
    state.committed_time_ms = state.task.time.watermark_ms
    state.written_marks.update(change.marks)


def _note(task: Task, queue: RecordQueue) -> str:
    record_time_ms = queue.record_time_ms if queue.has_marks else None
    return InputNote(task.time.watermark_ms, queue.partition_time_ms, record_time_ms, queue.marks).text()
