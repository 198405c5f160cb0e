"""The meaning of periodic emission: the newest change of each key, once in an interval of the watermark."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from streamcore.processing.topology.meaning_of_outputs import Event, Results, Stored
from streamcore.processing.topology.meaning_of_time import TaskMeaning, held_ms, key_bytes
from streamcore.processing.topology.nodes import Every
from streamcore.state.keys import key_codec


def emitted(
    node: Every, held: dict[Any, Any], before_ms: int, watermark_ms: int, stored: Stored
) -> list[Event]:
    """Return the changes that are held, if an interval has ended; forget them."""
    if node.interval_of(watermark_ms) == node.interval_of(before_ms):
        return []
    return all_held(node, held, stored)


def all_held(node: Every, held: dict[Any, Any], stored: Stored) -> list[Event]:
    """Return the changes that are held, by the bytes of their keys; forget them."""
    decode = key_codec(node.store.key_type).decode
    changes = [(decode(key), *held[key]) for key in sorted(held)]
    held.clear()
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
    found = emitted(node, held, task.watermark_before_ms - behind_ms, task.watermark_ms - behind_ms, stored)
    for event in arrived:
        if event.key is not None:
            change = (event.timestamp_ms, event.value)
            for key in guarded(partial(key_bytes, node.store, event.key)):
                for _ in guarded(partial(node.store.value_serde.encode, change)):
                    if key not in held and len(held) == node.keys_max:
                        found += all_held(node, held, stored)
                    held[key] = change
    return found
