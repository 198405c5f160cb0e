"""The meaning of aggregations, one event at a time: folding, windows, sessions and final results."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace

from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.meaning.outputs import Event, Results, Stored
from streamcore.processing.topology.meaning.sessions import joined_session, united, values_for
from streamcore.processing.topology.meaning.sliding import SlidRecord, slid
from streamcore.processing.topology.meaning.time import (
    TaskMeaning,
    held_ms,
    is_asked_for,
    is_noted,
    key_bytes,
)
from streamcore.processing.topology.meaning.versions import MeaningOfVersions
from streamcore.processing.topology.nodes import Aggregate, Final, StoreSpec
from streamcore.processing.topology.windows import SessionWindows, SlidingWindows, Windows
from streamcore.state.keys import key_codec


class MeaningOfAggregates(MeaningOfVersions):
    """Aggregations of an application on state in memory."""

    def _aggregated(
        self,
        task: TaskMeaning,
        node: Aggregate,
        event: Event,
        stored: Stored,
        call: Callable[..., Results[Any]],
    ) -> list[Event]:
        if event.key is None or event.value is None:
            return []
        windows = node.store.windows
        if windows is None:
            return self._folded(task, node, event, None, call)
        if not self._has_time(task, node, event, stored):
            return []
        time_ms = max(event.source_time_ms, task.watermark_before_ms - held_ms(task, node))
        if isinstance(windows, SessionWindows):
            return self._in_session(task, node, windows, event, time_ms, call)
        if isinstance(windows, SlidingWindows):
            return self._in_sliding(task, node, event, windows.first_start(event.timestamp_ms, time_ms), call)
        assert isinstance(windows, Windows)
        open_starts_ms = [
            start_ms
            for start_ms in windows.starts_of(event.timestamp_ms)
            if not windows.is_closed(start_ms, time_ms)
        ]
        if not open_starts_ms:
            self._take_late(node, event, call)
        updates: list[Event] = []
        for start_ms in open_starts_ms:
            for update in self._folded(task, node, event, start_ms, call):
                updates.append(replace(update, key=windows.windowed(event.key, start_ms)))
        return updates

    def _in_session(
        self,
        task: TaskMeaning,
        node: Aggregate,
        windows: SessionWindows,
        event: Event,
        time_ms: int,
        call: Callable[..., Results[Any]],
    ) -> list[Event]:
        """Fold an event into the session of its key, which may unite several; return what changed, if a step
        reads it.
        """
        state = task.stores[node.store.name]
        changes: list[tuple[Any, Any]] = []
        for key in call(key_bytes, node.store, event.key):
            session = joined_session(windows, state, key, event.timestamp_ms, time_ms)
            if session.is_late:
                self._take_late(node, event, call)
                continue
            before = [state[place] for place in session.joined]
            for added, result in self._added(task, node, event, before, call):
                for place in session.joined:
                    del state[place]
                state[session.place] = added
                changes += session.changes(event.key, result)
        if not is_asked_for(task, node):
            return []
        return [replace(event, key=windowed, value=value) for windowed, value in changes]

    def _in_sliding(
        self,
        task: TaskMeaning,
        node: Aggregate,
        event: Event,
        first_ms: int,
        call: Callable[..., Results[Any]],
    ) -> list[Event]:
        """Fold an event into the windows of its key that hold it, the first of which starts then."""
        for key in call(key_bytes, node.store, event.key):
            if first_ms > event.timestamp_ms:
                self._take_late(node, event, call)
            elif (values := values_for(node.store, event.value, call)) is not None:
                record = SlidRecord(event.timestamp_ms, first_ms, values)
                return slid(task, node.store, key, event, record, is_asked_for(task, node), call)
        return []

    def _folded(
        self,
        task: TaskMeaning,
        node: Aggregate,
        event: Event,
        start_ms: int | None,
        call: Callable[..., Results[Any]],
    ) -> list[Event]:
        """Fold an event into the accumulators of its key and, for windows, of the one that starts then.

        Returns the new result if a step reads it.
        """
        encoded = call(key_bytes, node.store, event.key)
        if not encoded:
            return []
        key = encoded[0] if start_ms is None else (encoded[0], start_ms)
        state = task.stores[node.store.name]
        updates = []
        for added, result in self._added(task, node, event, [state[key]] if key in state else [], call):
            state[key] = added
            if is_noted(task, node):
                updates.append(replace(event, value=result))
        return updates

    def _added(
        self,
        task: TaskMeaning,
        node: Aggregate,
        event: Event,
        states: list[tuple[Any, ...]],
        call: Callable[..., Results[Any]],
    ) -> Results[tuple[tuple[Any, ...], Any]]:
        """Return accumulators, those of sessions united, with an event folded in, and their result if a step
        reads it.
        """
        aggregators = [aggregator for _, aggregator in node.store.aggregators]
        values = values_for(node.store, event.value, call)
        if values is None:
            return []

        def fold() -> tuple[tuple[Any, ...], Any]:
            added = tuple(
                accumulator
                if value is None and not aggregator.counts_none
                else aggregator.add(accumulator, value)
                for aggregator, accumulator, value in zip(
                    aggregators, united(node.store, states), values, strict=True
                )
            )
            return added, result_of(node.store, added) if is_asked_for(task, node) else None

        return call(fold)

    def _closed_windows(
        self, task: TaskMeaning, node: Final, policy: ErrorPolicy, stored: Stored
    ) -> list[Event]:
        """Return the results of the windows that this event closed, by start and then by the bytes of the
        key; of sessions, by end and then by key.
        """
        windows = node.store.windows
        assert windows is not None
        decode = key_codec(node.store.key_type).decode
        state = task.stores[node.store.name]
        closed = [
            place
            for place in state
            if windows.is_closed(place[-1], task.watermark_ms - held_ms(task, node))
            and not windows.is_closed(place[-1], task.watermark_before_ms - held_ms(task, node))
        ]
        results: list[Event] = []
        for place in sorted(closed, key=lambda place: (place[-1], place[0])):
            windowed = windows.windowed(decode(place[0]), *place[1:])
            found = self._guarded(node.name, policy, stored, partial(result_of, node.store, state[place]))
            results += [
                Event(
                    windowed,
                    result,
                    windowed.end_ms - 1,
                    (),
                    stored.topic,
                    stored.partition,
                    stored.offset,
                    windowed.end_ms - 1,
                )
                for result in found
            ]
        return results


def result_of(store: StoreSpec, accumulators: Any) -> Any:
    """Return the result of what a store keeps for a key."""
    return accumulators if store.result is None else store.result(accumulators)
