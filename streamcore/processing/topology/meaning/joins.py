"""The meaning of a stream-stream join, one event at a time.

An event meets all rows of the other side that were kept before it, and is then kept itself. A match has the
later of both times. A row that a left or outer join keeps is emitted once, without a match, when the
watermark says that no record in time can meet it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from msgspec.structs import replace

from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.joins import Row
from streamcore.processing.topology.meaning.outputs import Event, MeaningOfOutputs, Results, Stored
from streamcore.processing.topology.meaning.time import TaskMeaning, ensure_time, held_ms, key_bytes
from streamcore.processing.topology.nodes import Aggregate, Node, StreamJoin
from streamcore.state.keys import key_codec
from streamcore.state.row_store import add_row

R = TypeVar("R")

Call: TypeAlias = Callable[..., list[Any]]
"""Calls a function under the error policy of the step; an empty list if the policy left the record out."""

Rows: TypeAlias = dict[Any, list[Row]]
"""The rows of one side, by the bytes of the key and the start of the bucket."""


def is_late(node: StreamJoin, event: Event, time_ms: int, is_right: bool) -> bool:
    """Whether the window of an event has ended, with grace, by the time of its source.

    An event without a key has no window.
    """
    if event.key is None:
        return False
    end_ms = event.timestamp_ms + node.span.reach_ahead_ms(is_right=is_right) + 1
    return end_ms + node.span.grace_ms <= time_ms


def matches(node: StreamJoin, sides: tuple[Rows, Rows], key: bytes, row: Row, *, is_right: bool) -> list[Row]:
    """Keep a row; return the rows of the other side that it meets, by time, then as they came."""
    own, other = sides[is_right], sides[not is_right]
    first_ms = row.time_ms - node.span.reach_back_ms(is_right=is_right)
    last_ms = row.time_ms + node.span.reach_ahead_ms(is_right=is_right)
    met = [
        found
        for (other_key, _), rows in sorted(other.items(), key=_start_of)
        for found in rows
        if other_key == key and first_ms <= found.time_ms <= last_ms
    ]
    row.is_matched = node.keeps(is_right=is_right) and bool(met)
    for found in met:
        found.is_matched = node.keeps(is_right=not is_right)
    start_ms = row.time_ms - row.time_ms % node.span.bucket_ms
    add_row(own.setdefault((key, start_ms), []), row)
    return met


def unmatched(
    node: StreamJoin, sides: tuple[Rows, Rows], before_ms: int, watermark_ms: int
) -> list[tuple[bytes, Row, bool]]:
    """Return the keys and rows without a match, and whether each is right, that a move of the watermark ends.

    Their order is by time, of equal times left rows first, then by the bytes of the key.
    """
    first_ms, bound_ms = node.span.unmatched_before(before_ms), node.span.unmatched_before(watermark_ms)
    ended = [
        (row.time_ms, is_right, key, row)
        for is_right, side in enumerate(sides)
        if node.keeps(is_right=bool(is_right))
        for (key, _), rows in side.items()
        for row in rows
        if first_ms <= row.time_ms < bound_ms and not row.is_matched
    ]
    return [(key, row, bool(is_right)) for _, is_right, key, row in sorted(ended, key=lambda each: each[:3])]


def joined(
    node: StreamJoin, rows: tuple[Rows, Rows], event: Event, key: bytes | None, call: Call, is_right: bool
) -> list[Event]:
    """Return what an event in time gives: its matches, or itself if it has no key to match by."""
    if key is None:
        values = call(joined_value, node, is_right, event.value, None)
        return [replace(event, value=value) for value in values]
    decode = node.sides[not is_right].serde.decode
    results: list[Event] = []
    for data in call(node.sides[is_right].serde.encode, event.value):
        for found in matches(node, rows, key, Row(event.timestamp_ms, data), is_right=is_right):
            values = call(lambda other: joined_value(node, is_right, event.value, decode(other)), found.data)
            later_ms = max(event.timestamp_ms, found.time_ms)
            results += [replace(event, value=value, timestamp_ms=later_ms) for value in values]
    return results


def joined_value(node: StreamJoin, is_right: bool, value: Any, other: Any) -> Any:
    """Call the function of a join with a value of one side and one of the other, the left one first."""
    return node.function(other, value) if is_right else node.function(value, other)


def unmatched_value(node: StreamJoin, is_right: bool, data: bytes) -> Any:
    """Call the function of a join with the encoded value of one side, and ``None``."""
    return joined_value(node, is_right, node.sides[is_right].serde.decode(data), None)


def rows_of(node: StreamJoin, stores: Mapping[str, Rows]) -> tuple[Rows, Rows]:
    """Return the rows of both sides among the stores of a task."""
    left, right = node.sides
    return stores[left.store.name], stores[right.store.name]


def _start_of(item: tuple[tuple[bytes, int], list[Row]]) -> int:
    return item[0][1]


class MeaningOfJoins(MeaningOfOutputs):
    """The joins of streams of an interpreter, and the calls of functions under the policy of a step."""

    def __init__(self, partition_counts: Mapping[str, int], on_error: ErrorPolicy) -> None:
        super().__init__(partition_counts)
        self.late_count = 0
        self._on_error = on_error

    def _call_of(self, node: Node, stored: Stored) -> Callable[..., Results[Any]]:
        """Return the call of functions under the error policy of a step."""

        def call(function: Callable[..., R], *arguments: Any) -> Results[R]:
            policy = node.on_error if node.on_error is not None else self._on_error
            return self._guarded(node.name, policy, stored, lambda: function(*arguments))

        return call

    def _take_late(self, node: Node, event: Event, call: Callable[..., Results[Any]]) -> None:
        """Count a late event, and write it to the topic for late records if the step has one."""
        self.late_count += 1
        if node.late is None:
            return
        if isinstance(node, Aggregate) and node.late_value is not None:
            event = replace(event, value=node.late_value(event.value))
        self._write(node.late, event, call)

    def _has_time(self, task: TaskMeaning, node: Node, event: Event, stored: Stored) -> bool:
        """Whether a step can use the time of an event; if not, the policy of the event's topic decides."""
        assert task.topic is not None
        policy = node.on_error if node.on_error is not None else self._on_error
        if task.topic.on_error is not None:
            policy = task.topic.on_error
        return bool(self._guarded(node.name, policy, stored, lambda: ensure_time(event)))

    def _streams_joined(
        self, task: TaskMeaning, node: StreamJoin, sides: list[list[Event]], stored: Stored
    ) -> list[Event]:
        """Return the matches of the events of both sides, left events first, then the rows without a match
        that no later record can meet.
        """
        call = self._call_of(node, stored)
        rows = rows_of(node, task.stores)
        before_ms = task.watermark_before_ms - held_ms(task, node)
        results: list[Event] = []
        for is_right, events in zip((False, True), sides, strict=True):
            for event in events:
                if event.value is None or (event.key is None and not node.keeps(is_right=is_right)):
                    continue
                if not self._has_time(task, node, event, stored):
                    continue
                for key in call(key_bytes, node.sides[is_right].store, event.key):
                    time_ms = max(event.source_time_ms, before_ms)
                    if is_late(node, event, time_ms, is_right):
                        self._take_late(node, event, call)
                    else:
                        results += joined(node, rows, event, key, call, is_right)
        decode = key_codec(node.sides[0].store.key_type).decode
        now_ms = task.watermark_ms - held_ms(task, node)
        for key, row, is_right in unmatched(node, rows, before_ms, now_ms):
            for value in call(unmatched_value, node, is_right, row.data):
                place = (stored.topic, stored.partition, stored.offset)
                results.append(Event(decode(key), value, row.time_ms, (), *place, row.time_ms))
        return results
