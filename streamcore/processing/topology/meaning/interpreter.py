"""The specification of the operators, as a program that is written to be read, not to be fast.

One event at a time passes all steps of its sub-topology, in the order of declaration; the records that it
causes in a repartition topic are processed before the next event is taken. State is dicts. The
engine works on batches instead and must give the same outputs and the same state, however the
batches are cut; property tests compare the two. A new operator is written here first.

A key is its bytes, as ``key_codec`` writes them for the declared type of the store's keys: state is kept by
these bytes, or by these and the start of a window, or the start and end of a session.

The caller decides the order of the records of several inputs: lowest partition time first, of equal ones by
input.

Left out are agents, timers, commits, the settings that need the clock (``idle_after``, ``max_ahead``), and
the removal of windows whose retention is over.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TypeVar

from msgspec.structs import replace

from streamcore.model import Record
from streamcore.processing.topology.error_policy import ErrorPolicy, stop
from streamcore.processing.topology.marks import Mark, WriterTimes, headers_of, marks_in
from streamcore.processing.topology.meaning import limits, records, references
from streamcore.processing.topology.meaning.aggregates import MeaningOfAggregates, result_of
from streamcore.processing.topology.meaning.intervals import in_intervals
from streamcore.processing.topology.meaning.outputs import Event, Results, Stored
from streamcore.processing.topology.meaning.processors import MeaningOfProcessor
from streamcore.processing.topology.meaning.tables import ROW_STEPS, changed_rows, keep
from streamcore.processing.topology.meaning.time import (
    TaskMeaning,
    decoded_event,
    held_ms,
    key_bytes,
    known_time_ms,
    move_order_time,
    move_watermark,
)
from streamcore.processing.topology.meaning.versions import forget_versions
from streamcore.processing.topology.nodes import (
    AgentNode,
    Aggregate,
    AnswerReferences,
    AsOfJoin,
    Branch,
    Every,
    Filter,
    Final,
    FlatMap,
    FlatMapRecord,
    Foreach,
    GlobalTable,
    GroupBy,
    JoinAnswers,
    KeyInHeader,
    Map,
    MapRecord,
    Merge,
    Node,
    Peek,
    Process,
    RateLimit,
    Refer,
    Regroup,
    Repartition,
    Sample,
    Sink,
    Source,
    Split,
    StreamJoin,
    TableJoin,
    TableSource,
    Take,
    To,
    own_stores,
)
from streamcore.processing.topology.plan import Input, Plan, SubTopology, task_count, writers_of
from streamcore.processing.topology.retraction import regrouped
from streamcore.processing.topology.source_times import without_source_time
from streamcore.processing.topology.times import NO_TIME, NO_TIMESTAMP
from streamcore.state.keys import key_codec

R = TypeVar("R")


class Interpreter(MeaningOfAggregates):
    """Runs an application on records in memory, one by one."""

    def __init__(
        self,
        plan: Plan,
        partition_counts: Mapping[str, int],
        *,
        on_error: ErrorPolicy = stop,
        code_of: Callable[[Any], AbstractContextManager[Any]] = nullcontext,
        only: SubTopology | None = None,
    ) -> None:
        """Create the interpreter of an application with empty state.

        Args:
            only: the part of the plan to run alone.
            on_error: the application's policy.
            code_of: makes an object the context of the code that runs inside, for processors with stores.
        """
        super().__init__(partition_counts, on_error)
        self._plan = plan
        self._code_of = code_of
        self._sub_topologies = plan.sub_topologies if only is None else (only,)
        self._has_begun = False
        self._tasks: dict[tuple[str, int], TaskMeaning] = {}
        self._global_tables: dict[str, dict[Any, Any]] = defaultdict(dict)

    def state(self, store: str, partition: int) -> list[tuple[Any, Any]]:
        """Return a store of one task, by key or by (key, window start), in the order of the keys' bytes."""
        for (_, number), task in self._tasks.items():
            spec = task.sub_topology.store_of(store)
            if number == partition and spec is not None:
                decode = key_codec(spec.key_type).decode
                kept = task.stores[store]
                if spec.windows is None:
                    return [(decode(data), kept[data]) for data in sorted(kept)]
                keepers = [node for node in task.sub_topology.nodes if spec in own_stores(node)]
                time_ms = task.watermark_ms - max((held_ms(task, node) for node in keepers), default=0)
                expired_ms = spec.windows.expired_before(time_ms) if spec.is_step_state else None
                places = sorted(
                    (place for place in kept if expired_ms is None or place[1] >= expired_ms),
                    key=lambda place: (*place[1:], place[0]),
                )
                return [((decode(place[0]), *place[1:]), kept[place]) for place in places]
        return []

    def feed(self, stored: Stored) -> None:
        """Process the next record of a topic, then all records that it causes in topics that are read
        here.
        """
        if not self._has_begun:
            self._has_begun = True
            for sub_topology in self._sub_topologies:
                for partition in range(task_count(sub_topology, self._partition_counts)):
                    for mark in self._marks_of(self._task(sub_topology, partition)):
                        self.feed(mark)
        for written in self.take(stored):
            self.feed(written)

    def take(self, stored: Stored) -> list[Stored]:
        """Process the next record of a topic; return the records written to topics, which are not
        processed yet, and behind them the marks that say how far the tasks are.
        """
        self._written = []
        for table in self._plan.global_tables:
            if table.topic.name == stored.topic:
                self._follow(table, stored)
        marks: list[Stored] = []
        for sub_topology in self._sub_topologies:
            for entry in sub_topology.inputs:
                if entry.topic.name == stored.topic:
                    task = self._task(sub_topology, stored.partition)
                    is_null = stored.key is None and stored.value is None
                    if entry.has_marks and is_null and (found := marks_in(stored.headers)):
                        self._take_marks(task, entry, found, stored)
                    else:
                        self._enter(task, entry, stored)
                    marks += self._marks_of(task)
        return self._written + marks

    def _task(self, sub_topology: SubTopology, partition: int) -> TaskMeaning:
        place = (sub_topology.name, partition)
        task = self._tasks.get(place)
        if task is None:
            task = self._tasks[place] = TaskMeaning(sub_topology, partition)
            for entry in sub_topology.inputs:
                if entry.has_marks:
                    writers = writers_of(self._plan, entry.topic.name, self._partition_counts)
                    task.writers[entry.topic.name] = WriterTimes(writers)
        return task

    def _take_marks(self, task: TaskMeaning, entry: Input, found: Sequence[Mark], stored: Stored) -> None:
        """Move the watermark by the marks of the tasks that write an input; windows close by it."""
        name = entry.topic.name
        writers = task.writers[name]
        writers.take(found)
        time_ms = max(task.partition_times_ms.get(name, NO_TIME), writers.placing_ms)
        task.topic, task.event_time_ms, task.partition_times_ms[name] = entry.topic, time_ms, time_ms
        move_watermark(task)
        move_order_time(task, NO_TIME)
        task.source_time_ms = None
        self._pass(task, entry.root, [], [], stored)

    def _marks_of(self, task: TaskMeaning) -> list[Stored]:
        """Return the marks that a task writes because its time has moved, one for each partition."""
        due = task.marks_due()
        task.written_marks.update(due)
        return [
            Record(None, None, NO_TIMESTAMP, headers_of([mark]), topic, partition)
            for topic, mark in due.items()
            for partition in range(self._partition_counts[topic])
        ]

    # -- one event

    def _enter(self, task: TaskMeaning, entry: Input, stored: Stored) -> None:
        """Decode a record and pass it to the steps.

        A record that has a time moves the time of its partition, even if it does not decode. A record without
        a value reaches tables; it reaches the stream only if the topic declares so.
        """
        topic = entry.topic
        policy = topic.on_error if topic.on_error is not None else self._on_error
        events = self._guarded(topic.name, policy, stored, lambda: decoded_event(topic, stored))
        task.topic = topic
        known_ms = known_time_ms(topic, stored, events)
        headers = stored.headers
        if topic.internal:
            known_ms, headers = without_source_time(headers, known_ms)
        time_ms = max(task.partition_times_ms.get(topic.name, NO_TIME), known_ms)
        task.partition_times_ms[topic.name] = task.event_time_ms = time_ms
        move_watermark(task)
        move_order_time(task, known_ms if entry.holds_time else NO_TIME)
        task.source_time_ms = source_time_ms = known_ms if topic.internal else time_ms
        events = [replace(event, source_time_ms=source_time_ms, headers=headers) for event in events]
        in_stream = [event for event in events if event.value is not None or not topic.skips_nulls]
        self._pass(task, entry.root, events, in_stream, stored)

    def _pass(
        self, task: TaskMeaning, root: Node, events: list[Event], in_stream: list[Event], stored: Stored
    ) -> None:
        """Pass what a record was decoded to through the steps."""
        given: dict[Node, list[Event]] = {root: in_stream}
        for node in task.sub_topology.nodes:
            if node is not root:
                sides = [given.get(parent, []) for parent in node.parents]
                if isinstance(node, StreamJoin):
                    given[node] = self._streams_joined(task, node, sides, stored)
                    continue
                if isinstance(node, AnswerReferences):
                    call = self._call_of(node, stored)
                    referred, changed = sides
                    given[node] = references.answered(task, node, referred, changed, call)
                    continue
                arrived = [event for side in sides for event in side]
                if isinstance(node, TableSource):
                    arrived = events if root in node.parents else []
                given[node] = self._step(task, node, arrived, stored)
        for node in task.sub_topology.nodes:
            if isinstance(node, TableSource) and node.history is not None:
                forget_versions(task, node)

    def _step(self, task: TaskMeaning, node: Node, arrived: list[Event], stored: Stored) -> list[Event]:
        """Return the output of a step for its input from one stored record."""
        if isinstance(node, Final):
            policy = node.on_error if node.on_error is not None else self._on_error
            return self._closed_windows(task, node, policy, stored)
        if isinstance(node, Every):
            policy = node.on_error if node.on_error is not None else self._on_error
            return in_intervals(
                task, node, arrived, stored, partial(self._guarded, node.name, policy, stored)
            )
        if isinstance(node, Process):
            return self._processed(task, node, arrived, stored)
        if isinstance(node, Sample):
            return limits.sampled(task.sub_topology, node, arrived, stored)
        made = [found for event in arrived for found in self._made(task, node, event, stored)]
        return made[-1:] if isinstance(node, Aggregate) and node.follows_rows else made

    def _made(self, task: TaskMeaning, node: Node, event: Event, stored: Stored) -> list[Event]:
        """Return the output of a step for one event."""
        call = self._call_of(node, stored)
        if isinstance(node, ROW_STEPS):
            return changed_rows(task, node, event, call)
        match node:
            case Map():
                return [replace(event, value=value) for value in call(node.function, event.value)]
            case FlatMap():
                groups = call(lambda value: list(node.function(value)), event.value)
                return [replace(event, value=value) for group in groups for value in group]
            case MapRecord():
                groups = call(records.records, lambda record: [node.function(record)], event)
                return [made for group in groups for made in group]
            case FlatMapRecord():
                groups = call(records.records, node.function, event)
                return [made for group in groups for made in group]
            case Filter():
                flags = call(lambda value: bool(node.function(value)), event.value)
                return [event for flag in flags if flag is not node.negated]
            case Split():
                return [replace(event, value=(arm, event.value)) for arm in self._arm_of(node, event, stored)]
            case Branch():
                arm, value = event.value
                return [replace(event, value=value)] if arm == node.index else []
            case Peek():
                return [event for _ in call(node.function, event.value)]
            case Foreach():
                call(node.function, event.value)
                return []
            case Sink():
                # The calls of a sink may have more than one record each; the order of records is the same.
                call(node.function, [event if node.with_records else event.value])
                return []
            case GroupBy():
                return [replace(event, key=key) for key in call(node.function, event.value)]
            case KeyInHeader():
                return call(limits.with_key_in_header, node, event)
            case RateLimit() | Take():
                return self._limited(task, node, event, stored, call)
            case Merge():
                return [event]
            case Regroup():
                return self._regrouped(task, node, event, call)
            case Refer():
                return references.referring(task, node, event, call)
            case JoinAnswers():
                return references.joined_with_answer(task, node, event, call)
            case TableSource():
                return self._kept_in_table(task, node, event, stored, call)
            case TableJoin():
                return self._joined(task, node, event, call)
            case AsOfJoin():
                return self._joined_as_of(task, node, event, stored, call)
            case Aggregate():
                return self._aggregated(task, node, event, stored, call)
            case To():
                self._write(node.topic, event, call)
                return []
            case Repartition():
                if event.key is not None or node not in task.sub_topology.keyed_only:
                    self._write(node.topic, event, call, stored)
                return []
            case _:
                assert isinstance(node, Source | AgentNode | GlobalTable), node
                return []

    def _arm_of(self, split: Split, event: Event, stored: Stored) -> Results[int]:
        """Return the index of the first arm that takes a value. A function that fails ends the search."""
        policy = split.on_error if split.on_error is not None else self._on_error
        for index, (name, function) in enumerate(split.arms):
            taken = self._guarded(name, policy, stored, partial(_is_true, function, event.value))
            if taken != [False]:
                return [index] if taken else []
        return [len(split.arms)]

    # -- steps with state

    def _limited(
        self,
        task: TaskMeaning,
        node: RateLimit | Take,
        event: Event,
        stored: Stored,
        call: Callable[..., Results[Any]],
    ) -> list[Event]:
        """Return the event if it passes the limit of its key."""
        if event.key is None and node.leaves_out_null_keys:
            return []
        if not self._has_time(task, node, event, stored):
            return []
        for key in [None] if event.key is None else call(key_bytes, node.store, event.key):
            kept = task.stores[node.store.name]
            time_ms = max(event.source_time_ms, task.watermark_before_ms - held_ms(task, node))
            passes = limits.passes(node, kept, key, event.timestamp_ms, time_ms)
            if passes is None and node.leaves_out_null_keys:
                self._take_late(node, event, call)
            if passes or (passes is None and not node.leaves_out_null_keys):
                return [limits.under_own_key(node, event)]
        return []

    def _processed(
        self, task: TaskMeaning, node: Process, arrived: list[Event], stored: Stored
    ) -> list[Event]:
        """Return what a processor forwards for the events, then for the timers that are due."""
        processor = task.processors.get(node)
        if processor is None:
            processor = task.processors[node] = MeaningOfProcessor(node, task.stores, self._code_of)
        policy = node.on_error if node.on_error is not None else self._on_error
        forwarded: list[Event] = []
        for event in arrived:
            record = Record(*(getattr(event, name) for name in Record.__struct_fields__))
            for made in self._guarded(node.name, policy, stored, partial(processor.on_record, record)):
                forwarded += records.forwarded(made, stored, event.source_time_ms)
        behind_ms = held_ms(task, node)
        while (timer := processor.next_due(task.watermark_ms - behind_ms)) is not None:
            is_overdue = timer.time_ms <= task.watermark_before_ms - behind_ms
            time_ms = task.event_time_ms if is_overdue else timer.time_ms
            for made in self._guarded(node.name, policy, stored, partial(processor.on_timer, timer)):
                forwarded += records.forwarded(made, stored, time_ms)
        return forwarded

    def _regrouped(
        self, task: TaskMeaning, node: Regroup, event: Event, call: Callable[..., Results[Any]]
    ) -> list[Event]:
        """Keep the row that a change of a table leaves; emit the old one as taken back, the new as added."""
        if event.key is None:
            return []
        changes: list[tuple[Any, list[tuple[bool, Any]]]] = []
        for row in [None] if event.value is None else call(node.function, event.value):
            for key in call(key_bytes, node.store, event.key):
                rows = task.stores[node.store.name]
                changes = regrouped(node.new_key_type, rows.get(key), row)
                keep(rows, key, row)
        return [replace(event, key=key, value=change) for key, change in changes]

    def _joined(
        self, task: TaskMeaning, node: TableJoin, event: Event, call: Callable[..., Results[Any]]
    ) -> list[Event]:
        if isinstance(node.table, GlobalTable):
            table = self._global_tables[node.store.name]
        else:
            table = task.stores[node.store.name]
        if event.value is None:
            return []
        joined = []
        for key in [event.key] if node.on is None else call(node.on, event.value):
            if key is None and not node.left:
                continue
            for data in call(key_bytes, node.store, key):
                state = table.get(data)
                for found in [None] if state is None else call(result_of, node.store, state):
                    if found is not None or node.left:
                        joined += call(node.function, event.value, found)
        return [replace(event, value=value) for value in joined]

    def _follow(self, table: GlobalTable, stored: Stored) -> None:
        policy = table.topic.on_error if table.topic.on_error is not None else self._on_error
        for event in self._guarded(
            table.topic.name, policy, stored, lambda: decoded_event(table.topic, stored)
        ):
            if event.key is not None:
                key = key_bytes(table.store, event.key)
                keep(self._global_tables[table.store.name], key, event.value)


# -- the meaning of functions


def _is_true(function: Callable[[Any], object], value: Any) -> bool:
    return bool(function(value))
