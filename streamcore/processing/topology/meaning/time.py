"""Events and the time of a task in the interpreter: their bytes, partition times, and the watermark."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from streamcore.errors import SerdeError
from streamcore.processing.topology.marks import NOT_KNOWN, Mark, WriterTimes
from streamcore.processing.topology.meaning.outputs import Event, Stored
from streamcore.processing.topology.meaning.processors import MeaningOfProcessor
from streamcore.processing.topology.meaning.sliding import SlidRecord
from streamcore.processing.topology.nodes import (
    Aggregate,
    Every,
    Final,
    Node,
    Process,
    StoreSpec,
    TopicSpec,
    reads_store,
)
from streamcore.processing.topology.plan import Input, SubTopology, task_name
from streamcore.processing.topology.times import (
    NO_TIME,
    NO_TIMESTAMP,
    event_time_ms,
    no_time_error,
    timestamps_seen,
)
from streamcore.state.keys import key_codec


@dataclass
class TaskMeaning:
    """One sub-topology and one partition number: its stores, and its time."""

    sub_topology: SubTopology
    partition: int
    stores: dict[str, dict[Any, Any]] = field(default_factory=lambda: defaultdict(dict))
    partition_times_ms: dict[str, int] = field(default_factory=dict)
    """Topic -> the highest time of a record of its partition so far."""
    writers: dict[str, WriterTimes] = field(default_factory=dict)
    """Repartition topic with marks -> how far the tasks are that write it."""
    watermark_ms: int = NO_TIME
    """The least partition time of the inputs that hold it and have had a record."""
    watermark_before_ms: int = NO_TIME
    """The watermark before the current event."""
    event_time_ms: int = NO_TIME
    """The partition time of the current event."""
    order_time_ms: int = NO_TIME
    """The highest time that a record of an input which holds the watermark, or the watermark, has had."""
    order_time_before_ms: int = NO_TIME
    """The same before the current event."""
    source_time_ms: int | None = None
    """The source time of the current record; ``None`` while there is none."""
    topic: TopicSpec | None = None
    """The topic of the current event."""
    changed: dict[Every, dict[Any, Any]] = field(default_factory=lambda: defaultdict(dict))
    """For a periodic step that emits results of a table: key -> its accumulators after its newest change."""
    behind: dict[Every, set[Any]] = field(default_factory=lambda: defaultdict(set))
    """For a periodic step: the keys whose newest change was in an interval that had ended."""
    processors: dict[Process, MeaningOfProcessor] = field(default_factory=dict)
    slid: dict[Any, list[SlidRecord]] = field(default_factory=lambda: defaultdict(list))
    """Store of sliding windows and bytes of a key -> the records of the key."""
    written_marks: dict[str, Mark] = field(default_factory=dict)
    """Repartition topic -> the last mark that the task wrote into it."""

    def time_of(self, entry: Input) -> int:
        """Return how far an input is; ``NO_TIME`` if nothing waits for it."""
        writers = self.writers.get(entry.topic.name)
        if writers is None:
            return self.partition_times_ms.get(entry.topic.name, NO_TIME)
        return NO_TIME if writers.is_idle else writers.time_ms

    def marks_due(self) -> dict[str, Mark]:
        """Return for each topic the mark that the task writes now; none where the last one holds."""
        found: dict[str, Mark] = {}
        for topic, marked in self.sub_topology.marked.items():
            times_ms = [
                self.time_of(entry)
                for entry in self.sub_topology.inputs
                if entry.holds_time and (marked.fed_by is None or entry.topic.name in marked.fed_by)
            ]
            if NOT_KNOWN in times_ms:
                continue
            known_ms = [time_ms for time_ms in times_ms if time_ms != NO_TIME]
            time_ms = self.watermark_ms if marked.fed_by is None else min(known_ms, default=NO_TIME)
            mark = Mark(task_name(self.sub_topology.name, self.partition), time_ms, not known_ms)
            if (held := mark.held_back(marked.held_ms)) != self.written_marks.get(topic):
                found[topic] = held
        return found


def move_watermark(task: TaskMeaning) -> None:
    """Move the watermark to the least time of the inputs that hold it; never back."""
    times_ms = [task.time_of(entry) for entry in task.sub_topology.inputs if entry.holds_time]
    known_ms = [time_ms for time_ms in times_ms if time_ms != NO_TIME]
    least_ms = min(known_ms, default=NO_TIME)
    task.watermark_before_ms = task.watermark_ms
    task.watermark_ms = max(task.watermark_ms, NO_TIME if least_ms == NOT_KNOWN else least_ms)


def move_order_time(task: TaskMeaning, time_ms: int) -> None:
    """Move the time by which intervals end with an event of this time, or without one: ``NO_TIME``."""
    task.order_time_before_ms = task.order_time_ms
    task.order_time_ms = max(task.order_time_ms, time_ms, task.watermark_ms)


def held_ms(task: TaskMeaning, node: Node) -> int:
    """Return how far behind the watermark the records can be that a step still gets from final results."""
    return task.sub_topology.held_ms.get(node, 0)


def known_time_ms(topic: TopicSpec, stored: Stored, events: list[Event]) -> int:
    """Return the time of a record for stream time; ``NO_TIME`` if it has none."""
    if events:
        timestamp_ms = events[0].timestamp_ms
    else:
        timestamp_ms = NO_TIMESTAMP if topic.timestamp else timestamps_seen([stored.timestamp_ms])[0]
    return timestamp_ms if timestamp_ms != NO_TIMESTAMP else NO_TIME


def ensure_time(event: Event) -> None:
    """Refuse an event without a time.

    Raises:
        InvalidTimestampError: the event has none.
    """
    if event.timestamp_ms == NO_TIMESTAMP:
        raise no_time_error()


def is_asked_for(task: TaskMeaning, node: Aggregate) -> bool:
    """Whether a step reads the results of changes of an aggregation; others read its store instead."""
    return any(node in child.parents and not reads_store(child) for child in task.sub_topology.nodes)


def is_noted(task: TaskMeaning, node: Aggregate) -> bool:
    """Whether a step has to know which keys of an aggregation changed."""
    return any(node in child.parents and not isinstance(child, Final) for child in task.sub_topology.nodes)


def key_bytes(store: StoreSpec, key: Any) -> bytes | None:
    """Return the bytes of a key in a store. Refuses a key of another type, and a number that is too large."""
    hash(key)
    return None if key is None else key_codec(store.key_type).encode(key)


def decoded_event(topic: TopicSpec, stored: Stored) -> Event:
    """Return a record as the application sees it; its time is computed from the value where the topic
    declares so.
    """
    try:
        key = None if stored.key is None else topic.key_serde.decode(stored.key)
        value = None if stored.value is None else topic.value_serde.decode(stored.value)
    except Exception as error:
        raise SerdeError(f"{type(error).__name__}: {error}") from error
    if topic.timestamp is None:
        timestamp_ms = timestamps_seen([stored.timestamp_ms])[0]
    else:
        timestamp_ms = NO_TIMESTAMP if value is None else event_time_ms(topic.timestamp, value)
    return Event(key, value, timestamp_ms, stored.headers, stored.topic, stored.partition, stored.offset)
