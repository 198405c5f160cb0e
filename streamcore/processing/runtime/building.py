"""Creates the running side of a task's nodes: one operator for each step."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamcore.clock import SystemClock
from streamcore.errors import fact_text
from streamcore.processing.operators.aggregate import AggregateOperator
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.derived_tables import (
    DerivedTableOperator,
    RowFilterOperator,
    RowJoinOperator,
    RowMapOperator,
)
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.intervals import EveryOperator
from streamcore.processing.operators.kept_sets import KeptSets
from streamcore.processing.operators.limits import KeyInHeaderOperator, RateLimitOperator, TakeOperator
from streamcore.processing.operators.processors import ProcessorOperator
from streamcore.processing.operators.references import (
    AnswerReferencesOperator,
    JoinAnswersOperator,
    ReferOperator,
)
from streamcore.processing.operators.regrouping import RegroupOperator
from streamcore.processing.operators.sessions import SessionAggregateOperator, SessionFinalOperator
from streamcore.processing.operators.sinks import SinkOperator
from streamcore.processing.operators.sliding import SlidingAggregateOperator
from streamcore.processing.operators.stateless import (
    BranchOperator,
    FilterOperator,
    FlatMapOperator,
    ForeachOperator,
    GroupByOperator,
    MapOperator,
    MapRecordOperator,
    Operator,
    PassOperator,
    PeekOperator,
    SampleOperator,
    SplitOperator,
)
from streamcore.processing.operators.store_keys import Lookup
from streamcore.processing.operators.stream_joins import StreamJoinOperator
from streamcore.processing.operators.tables import (
    TableJoinOperator,
    TableSourceOperator,
)
from streamcore.processing.operators.versions import AsOfJoinOperator, TableVersions, VersionedTableOperator
from streamcore.processing.operators.windowed_aggregate import (
    FinalOperator,
    Watermark,
    WindowedAggregateOperator,
)
from streamcore.processing.runtime.agents import AgentRunner
from streamcore.processing.runtime.event_runner import EventRunner
from streamcore.processing.runtime.failures import FailureLog, TaskFailures
from streamcore.processing.runtime.global_tables import GlobalTableKeeper
from streamcore.processing.runtime.rounds import HeldTime, OrderTime
from streamcore.processing.runtime.sending import partitions_of
from streamcore.processing.runtime.sink_runner import SinkRunner
from streamcore.processing.runtime.task import ClosingOperator, Step, Task, TwoSidedOperator
from streamcore.processing.topology import nodes
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.limits import SampleOf
from streamcore.processing.topology.nodes import Node, TopicSpec
from streamcore.processing.topology.windows import RecordWindows, SessionWindows, SlidingWindows, Windows
from streamcore.state.pairs import PairStore
from streamcore.state.row_store import RowStore
from streamcore.state.sessions import SessionStore
from streamcore.state.sliding_windows import SlidingStore
from streamcore.state.windowed import WindowStore

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class TaskBuilder:
    """The objects that the steps of all tasks share, and the choice of the operator for each node."""

    on_error: ErrorPolicy
    counts: Mapping[str, int]
    record_bytes_max: Mapping[str, int]
    """Topic -> how many bytes a record may have in it."""
    partition_of: Callable[[bytes, int], int]
    failures: FailureLog
    wait_ms: Callable[[int], None] | None = None
    """Waits before a retry; ``None`` waits by the machine's clock."""
    global_tables: Mapping[str, GlobalTableKeeper] = field(default_factory=dict)
    now_ms: Callable[[], int] = SystemClock().now_ms
    """The clock of processors."""

    def build(self, task: Task) -> None:
        """Create the steps of a task."""
        sub_topology = task.sub_topology
        task.global_tables = self.global_tables
        asked_for = {parent for node in sub_topology.nodes for parent in node.parents}
        steps = [
            Step(
                node=node,
                operator=self._operator(task, node, has_children=_is_asked(node, asked_for, task)),
                parents=tuple(
                    task.table_place_of(parent)
                    if isinstance(node, nodes.TableSource)
                    else task.place_of(parent)
                    for parent in node.parents
                ),
                place=task.place_of(node),
            )
            for node in sub_topology.nodes
            if not isinstance(node, nodes.Source)
        ]
        guards = [
            Guard(f"{entry.topic.name}:decode", self._policy(entry.topic.on_error), self._failures_of(task))
            for entry in sub_topology.inputs
        ]
        task.set_steps(steps, guards)

    def guard_of(self, task: Task, node: Node) -> Guard:
        """Return a node's error policy in a task."""
        return Guard(node.name, self._policy(node.on_error), self._failures_of(task))

    def _policy(self, declared: ErrorPolicy | None) -> ErrorPolicy:
        return self.on_error if declared is None else declared

    def _operator(
        self, task: Task, node: Node, *, has_children: bool
    ) -> Operator | EventRunner | ClosingOperator | ProcessorOperator | TwoSidedOperator | EveryOperator:
        guard = self.guard_of(task, node)
        match node:
            case nodes.Map():
                return MapOperator(guard, node.function)
            case nodes.FlatMap():
                return FlatMapOperator(guard, node.function)
            case nodes.MapRecord():
                return MapRecordOperator(guard, node.function, flat=False)
            case nodes.FlatMapRecord():
                return MapRecordOperator(guard, node.function, flat=True)
            case nodes.Filter():
                return FilterOperator(guard, node.function, negated=node.negated)
            case nodes.Branch():
                return BranchOperator(node.index)
            case nodes.Split():
                return SplitOperator(
                    [
                        (Guard(name, guard.policy, self._failures_of(task)), function)
                        for name, function in node.arms
                    ]
                )
            case nodes.Peek():
                return PeekOperator(guard, node.function)
            case nodes.Foreach():
                return ForeachOperator(guard, node.function)
            case nodes.GroupBy():
                return GroupByOperator(guard, node.function)
            case nodes.Sample():
                internal = {entry.topic.name for entry in task.sub_topology.inputs if entry.topic.internal}
                return SampleOperator(SampleOf(node.name, node.fraction, internal))
            case nodes.KeyInHeader():
                return KeyInHeaderOperator(guard, node.function, node.key_serde)
            case nodes.RateLimit():
                late = self._late(task, node, guard)
                return RateLimitOperator(
                    guard, self._windows(task, node.store), node, _time(task, node), late
                )
            case nodes.Take():
                late = self._late(task, node, guard)
                return TakeOperator(guard, self._windows(task, node.store), node, _time(task, node), late)
            case nodes.Merge():
                return PassOperator()
            case nodes.To():
                return self.sink(task, node.topic, guard)
            case nodes.Repartition():
                return self.sink(task, node.topic, guard, keyed_only=node in task.sub_topology.keyed_only)
            case nodes.RowMap():
                return RowMapOperator(guard, node.function)
            case nodes.RowFilter():
                return RowFilterOperator(guard, node.function, negated=node.negated)
            case nodes.RowJoin():
                other = task.stores[node.store.name]
                return RowJoinOperator(guard, node, other, task.history_of(node.store))
            case nodes.DerivedTable():
                return DerivedTableOperator(
                    guard,
                    task.stores[node.store.name],
                    node.store,
                    task.history_of(node.store),
                )
            case nodes.Aggregate():
                return self._aggregate(task, node, guard, emits=has_children)
            case nodes.Final():
                if isinstance(node.store.windows, RecordWindows):
                    sessions = _sessions(task, node.store)
                    return SessionFinalOperator(guard, sessions, node.store, _time(task, node))
                return FinalOperator(guard, self._windows(task, node.store), node.store, _time(task, node))
            case nodes.Regroup():
                return RegroupOperator(guard, task.stores[node.store.name], node.function, node.new_key_type)
            case nodes.Refer():
                return ReferOperator(guard, node, task.stores[node.store.name])
            case nodes.AnswerReferences():
                references = task.stores[node.references.name]
                assert isinstance(references, PairStore)
                history = task.history_of(node.store)
                return AnswerReferencesOperator(
                    guard, node, references, task.stores[node.store.name], history
                )
            case nodes.JoinAnswers():
                return JoinAnswersOperator(guard, node, task.stores[node.store.name])
            case nodes.Every():
                return self._periodic(task, node, guard)
            case nodes.TableSource():
                newest = TableSourceOperator(
                    guard,
                    task.stores[node.store.name],
                    task.history_of(node.store),
                )
                if node.history is None:
                    return newest
                versions = task.versions_of(node)
                _warn_of_rows_without_versions(task, node.store, versions)
                encode, late = node.store.value_serde.encode, self._late(task, node, guard)
                return VersionedTableOperator(guard, newest, versions, encode, late)
            case nodes.TableJoin():
                table = self._lookup(task, node)
                return TableJoinOperator(
                    guard,
                    table,
                    node.function,
                    left=node.left,
                    on=node.on,
                    result=node.store.result,
                    history=task.history_of(node.store),
                )
            case nodes.AsOfJoin():
                return AsOfJoinOperator(guard, node, task.versions_of(node.table), _time(task, node))
            case nodes.Process():
                return ProcessorOperator(
                    guard,
                    node,
                    [task.stores[store.name] for store in node.tables],
                    self._windows(task, node.event_timers),
                    self._windows(task, node.clock_timers),
                    _time(task, node),
                    self.now_ms,
                )
            case nodes.StreamJoin():
                stores = _rows(task, node.sides[0].store), _rows(task, node.sides[1].store)
                late = self._late(task, node, guard)
                return StreamJoinOperator(guard, node, stores, _time(task, node), late)
            case nodes.Sink():
                return SinkRunner(node, guard, task.turn, self.wait_ms)
            case nodes.AgentNode():
                return AgentRunner(
                    node,
                    guard,
                    task.turn,
                    task.table,
                    task.stores,
                    lambda topic, guard: self.sink(task, topic, guard),
                    self.wait_ms,
                )
            case _:
                raise AssertionError(f"no operator for {type(node).__name__}")

    def sink(self, task: Task, topic: TopicSpec, guard: Guard, *, keyed_only: bool = False) -> SinkOperator:
        """Return the operator that writes to a topic."""
        return SinkOperator(
            guard,
            topic,
            partitions_of(topic, self.counts),
            self.partition_of,
            task.outputs,
            record_bytes_max=self.record_bytes_max[topic.name],
            keyed_only=keyed_only,
        )

    def _late(self, task: Task, node: Node, guard: Guard) -> _LateRecords:
        sink = None if node.late is None else self.sink(task, node.late, guard)
        return _LateRecords(task, sink, node.late_value if isinstance(node, nodes.Aggregate) else None)

    def _aggregate(self, task: Task, node: nodes.Aggregate, guard: Guard, *, emits: bool) -> Operator:
        store = node.store
        late = self._late(task, node, guard)
        closes = not any(
            isinstance(other, nodes.Final) and other.store is store for other in task.sub_topology.nodes
        )
        if isinstance(store.windows, SessionWindows):
            return SessionAggregateOperator(
                guard, _sessions(task, store), store, _time(task, node), late, emits=emits, closes=closes
            )
        if isinstance(store.windows, SlidingWindows):
            sliding = task.stores[store.name]
            assert isinstance(sliding, SlidingStore)
            return SlidingAggregateOperator(
                guard, sliding, store, _time(task, node), late, emits=emits, closes=closes
            )
        fold = AggregateOperator(
            guard,
            task.stores[store.name],
            store,
            emits=emits,
            history=task.history_of(store),
            follows_rows=node.follows_rows,
            periodic=self._periodic_after(task, store),
            sets=None
            if store.sets is None
            else KeptSets(task.stores[store.name], task.stores[store.sets.name], store),
        )
        if store.windows is None:
            return fold
        assert isinstance(store.windows, Windows)
        return WindowedAggregateOperator(guard, fold, store.windows, _time(task, node), late)

    def _periodic(self, task: Task, node: nodes.Every, guard: Guard) -> EveryOperator:
        """Return the operator of a periodic step: the aggregation before it uses the same."""
        found = task.periodic.get(node)
        if found is None:
            table = None if node.table is None else task.stores[node.table.name]
            time = OrderTime(task.time, task.sub_topology.held_ms.get(node, 0))
            found = EveryOperator(guard, task.stores[node.store.name], node, time, _time(task, node), table)
            task.periodic[node] = found
        return found

    def _periodic_after(self, task: Task, store: nodes.StoreSpec) -> EveryOperator | None:
        """Return the operator of the periodic step that emits results of a table."""
        for node in task.sub_topology.nodes:
            if isinstance(node, nodes.Every) and node.table is store:
                return self._periodic(task, node, self.guard_of(task, node))
        return None

    def _lookup(self, task: Task, join: nodes.TableJoin) -> Lookup:
        if isinstance(join.table, nodes.GlobalTable):
            return self.global_tables[join.store.name]
        return task.stores[join.store.name]

    def _windows(self, task: Task, store: nodes.StoreSpec) -> WindowStore[Any, Any]:
        found = task.stores[store.name]
        assert isinstance(found, WindowStore)
        return found

    def _failures_of(self, task: Task) -> TaskFailures:
        return TaskFailures(
            self.failures, task.outputs, self.counts, self.record_bytes_max, self.partition_of, self.wait_ms
        )


def _time(task: Task, node: Node) -> Watermark:
    """Return the watermark as a node sees it."""
    held_ms = task.sub_topology.held_ms.get(node, 0)
    return HeldTime(task.time, held_ms) if held_ms else task.time


def _warn_of_rows_without_versions(task: Task, store: nodes.StoreSpec, versions: TableVersions) -> None:
    """Log that a table has rows from before its history was declared."""
    if versions.is_empty and next(task.stores[store.name].items(), None) is not None:
        _logger.warning(
            "the table has rows from before it kept a history; a join as of a time finds a row after its "
            "next change; use another table name to read the topic again: %s",
            fact_text(table=store.name, task=task.task_id),
        )


class _LateRecords:
    """Counts late records in the task, and writes them to a topic if one is declared."""

    def __init__(
        self, task: Task, sink: SinkOperator | None, value_of: Callable[[Any], Any] | None = None
    ) -> None:
        """Create the destination; ``value_of`` makes of a value what is written."""
        self._task = task
        self._sink = sink
        self._value_of = value_of

    def late(self, batch: Batch) -> None:
        """Count and write records whose windows are closed."""
        self._task.late_count += len(batch)
        if self._sink is None:
            return
        if self._value_of is not None:
            batch = batch.with_values(list(map(self._value_of, batch.values)))
        self._sink.process(batch)


def _rows(task: Task, store: nodes.StoreSpec) -> RowStore[Any]:
    found = task.stores[store.name]
    assert isinstance(found, RowStore)
    return found


def _sessions(task: Task, store: nodes.StoreSpec) -> SessionStore[Any]:
    found = task.stores[store.name]
    assert isinstance(found, SessionStore)
    return found


def _is_asked(node: Node, asked_for: set[Node], task: Task) -> bool:
    """Whether a step reads the records that a node emits; some read its store instead."""
    if node not in asked_for:
        return False
    return any(node in child.parents and not nodes.reads_store(child) for child in task.sub_topology.nodes)
