"""The meaning of periodic emission: the newest change of each key, once in an interval of the watermark."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from streamcore.processing.topology.meaning.outputs import Event, Results, Stored
from streamcore.processing.topology.meaning.tables import result_of
from streamcore.processing.topology.meaning.time import TaskMeaning, held_ms, key_bytes
from streamcore.processing.topology.nodes import Every
from streamcore.state.keys import key_codec


def emitted(node: Every, before_ms: int, watermark_ms: int, held: Callable[[], list[Event]]) -> list[Event]:
    """Return the changes that are held, if an interval has ended."""
    return [] if node.interval_of(watermark_ms) == node.interval_of(before_ms) else held()


def all_held(
    task: TaskMeaning,
    node: Every,
    stored: Stored,
    guarded: Callable[[Callable[[], Any]], Results[Any]],
) -> list[Event]:
    """Return the changes that are held, by the bytes of their keys; forget them.

    Results of a table are made now, from what it had after the newest change.
    """
    decode = key_codec(node.store.key_type).decode
    held, states = task.stores[node.store.name], task.changed[node]
    changes = []
    for key in sorted(held):
        time_ms, value = held[key]
        values: Results[Any] = [value]
        if node.table is not None:
            values = guarded(partial(result_of, node.table, states[key]))
        changes += [(decode(key), time_ms, found) for found in values]
    held.clear()
    states.clear()
    return [
        Event(key, value, time_ms, (), stored.topic, stored.partition, stored.offset, time_ms)
        for key, time_ms, value in changes
    ]


def in_intervals(
    task: TaskMeaning,
    node: Every,
    arrived: list[Event],
    stored: Stored,
    guarded: Callable[[Callable[[], Any]], Results[Any]],
) -> list[Event]:
    """Return the held changes if this event ended an interval; hold the changes that it made itself.

    A change of a further key, where the limit of keys is reached, first emits what is held.
    """
    held = task.stores[node.store.name]
    behind_ms = held_ms(task, node)
    emit = partial(all_held, task, node, stored, guarded)
    found = emitted(node, task.watermark_before_ms - behind_ms, task.watermark_ms - behind_ms, emit)
    for event in arrived:
        if event.key is None:
            continue
        for key in guarded(partial(key_bytes, node.store, event.key)):
            if node.table is not None:
                held[key] = (event.timestamp_ms, None)
                task.changed[node][key] = task.stores[node.table.name][key]
                continue
            change = (event.timestamp_ms, event.value)
            for _ in guarded(partial(node.store.value_serde.encode, change)):
                if key not in held and len(held) == node.keys_max:
                    found += emit()
                held[key] = change
    return found
