"""The meaning of session windows: which sessions an event joins, and what the session is afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from streamcore.model import Windowed
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.windows import SessionWindows

Place: TypeAlias = tuple[Any, int, int]
"""A session in the state: the bytes of its key, its start and its end."""


@dataclass(frozen=True)
class JoinedSession:
    """The session of an event, and the sessions of the state that it is made of, by start."""

    place: Place
    joined: list[Place]
    is_late: bool

    def changes(self, key: Any, result: Any) -> list[tuple[Windowed[Any], Any]]:
        """Return ``None`` for each session whose bounds changed, and then the new result."""
        _, start_ms, end_ms = self.place
        gone = [(Windowed(key, *found[1:]), None) for found in self.joined if found != self.place]
        return [*gone, (Windowed(key, start_ms, end_ms), result)]


def joined_session(
    windows: SessionWindows, places: Iterable[Place], key: Any, timestamp_ms: int, time_ms: int
) -> JoinedSession:
    """Return the session of an event at a time of its source partition.

    It joins those of its key that are at most the gap away and not closed at that time.
    """
    joined = sorted(
        place
        for place in places
        if place[0] == key and windows.joins(place[1], place[2], timestamp_ms, time_ms)
    )
    start_ms = min([timestamp_ms, *(start_ms for _, start_ms, _ in joined)])
    end_ms = max([timestamp_ms + windows.gap_ms, *(end_ms for _, _, end_ms in joined)])
    return JoinedSession((key, start_ms, end_ms), joined, windows.is_late(end_ms, time_ms))


def values_for(store: StoreSpec, value: Any, call: Callable[..., list[Any]]) -> list[Any] | None:
    """Return what each aggregation takes of a value; ``None`` if a function failed and the policy goes on."""
    values = []
    for _, aggregator in store.aggregators:
        found = [value] if aggregator.of is None else call(aggregator.of, value)
        if not found:
            return None
        values += found
    return values


def united(store: StoreSpec, states: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the accumulators of sessions merged in their order; the initial ones for none."""
    aggregators = [aggregator for _, aggregator in store.aggregators]
    if not states:
        return tuple(aggregator.initial() for aggregator in aggregators)
    found = states[0]
    for later in states[1:]:
        found = tuple(
            aggregator.merge(first, second)
            for aggregator, first, second in zip(aggregators, found, later, strict=True)
            if aggregator.merge is not None
        )
    return found
