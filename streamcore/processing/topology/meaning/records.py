"""The events that functions and processors make of an event."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from streamcore.model import Record
from streamcore.processing.topology.made_records import made_record
from streamcore.processing.topology.meaning.outputs import Event, Stored


def records(function: Callable[[Event], Iterable[Event]], event: Event) -> list[Event]:
    """Return the records that a function made of a record, with topic, partition and offset of that record.

    A record without a time gets that of the record it was made from.
    """
    return [
        _of(
            new,
            event,
            new.timestamp_ms if new.timestamp_ms >= 0 else event.timestamp_ms,
            event.source_time_ms,
        )
        for new in map(made_record, function(event))
    ]


def forwarded(made: Iterable[Record[Any, Any]], stored: Stored, source_time_ms: int) -> list[Event]:
    """Return the events that a processor has forwarded while it processed a stored record."""
    return [_of(new, stored, new.timestamp_ms, source_time_ms) for new in made]


def _of(new: Record[Any, Any], came_from: Record[Any, Any], timestamp_ms: int, source_time_ms: int) -> Event:
    return Event(
        new.key,
        new.value,
        timestamp_ms,
        new.headers,
        came_from.topic,
        came_from.partition,
        came_from.offset,
        source_time_ms,
    )
