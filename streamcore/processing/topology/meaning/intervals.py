"""The meaning of periodic emission: the newest change of each key, once in an interval of event time.

An interval ends with the first record of a later one, in the order in which the task takes its records: so
its end has a definite place among them, whenever the watermark passes it. Where no record comes, it ends when
the watermark is in a later one. A change that is made where no record is, or by a record of an interval which
has ended, waits for the watermark to pass an end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from streamcore.processing.topology.meaning.outputs import Event, Results, Stored
from streamcore.processing.topology.meaning.tables import result_of
from streamcore.processing.topology.meaning.time import TaskMeaning, held_ms, key_bytes
from streamcore.processing.topology.nodes import Every
from streamcore.state.keys import key_codec


def all_held(
    task: TaskMeaning,
    node: Every,
    stored: Stored,
    guarded: Callable[[Callable[[], Any]], Results[Any]],
    begun_ms: int,
    begun_behind_ms: int,
    only: Collection[Any] | None = None,
) -> list[Event]:
    """Return the changes that are held, or only those of some keys, by the bytes of their keys; forget them.

    Results of a table are made now, from what it had after the newest change. A change can have an older time
    than the record that made it. It is late by its source, which was in the interval that now ends.

    Args:
        begun_ms: when the interval began by the order of records.
        begun_behind_ms: when it began by the watermark, for the changes that wait for it.
    """
    behind = task.behind[node]
    decode = key_codec(node.store.key_type).decode
    held, states = task.stores[node.store.name], task.changed[node]
    changes = []
    for key in sorted(held if only is None else only):
        time_ms, value = held.pop(key)
        values: Results[Any] = [value]
        if node.table is not None:
            values = guarded(partial(result_of, node.table, states.pop(key)))
        source_ms = max(time_ms, begun_behind_ms if key in behind else begun_ms)
        changes += [(decode(key), time_ms, source_ms, found) for found in values]
    behind.clear()
    return [
        Event(key, value, time_ms, (), stored.topic, stored.partition, stored.offset, source_ms)
        for key, time_ms, source_ms, value in changes
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
    behind, every_ms = task.behind[node], node.every_ms
    before = node.interval_of(task.order_time_before_ms - behind_ms)
    interval = node.interval_of(task.order_time_ms - behind_ms)
    passed_before = node.interval_of(task.watermark_before_ms - behind_ms)
    passed = node.interval_of(task.watermark_ms - behind_ms)
    found = []
    if interval != before:
        found = emit(before * every_ms, passed_before * every_ms)
    elif passed != passed_before:
        found = emit(before * every_ms, passed_before * every_ms, behind)
    source_ms = task.source_time_ms
    is_behind = source_ms is None or node.interval_of(source_ms - behind_ms) < interval
    for event in arrived:
        if event.key is None:
            continue
        for key in guarded(partial(key_bytes, node.store, event.key)):
            if node.table is not None:
                (behind.add if is_behind else behind.discard)(key)
                held[key] = (event.timestamp_ms, None)
                task.changed[node][key] = task.stores[node.table.name][key]
                continue
            change = (event.timestamp_ms, event.value)
            for _ in guarded(partial(node.store.value_serde.encode, change)):
                if key not in held and len(held) == node.keys_max:
                    found += emit(interval * every_ms, passed * every_ms)
                (behind.add if is_behind else behind.discard)(key)
                held[key] = change
    return found
