"""The meaning of tables that are made of tables: mapped, filtered, joined.

An event here is the change of a row: its key, and its new value, or ``None`` if it is deleted. A change that
a function fails on, and that the policy leaves out, does not reach the table: the row stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from streamcore.processing.topology.meaning.outputs import Event, Results
from streamcore.processing.topology.meaning.time import TaskMeaning
from streamcore.processing.topology.nodes import (
    DerivedTable,
    RowFilter,
    RowJoin,
    RowMap,
    StoreSpec,
)
from streamcore.state.keys import key_codec

ROW_STEPS = RowMap | RowFilter | RowJoin | DerivedTable

Call = Callable[..., Results[Any]]


def changed_rows(task: TaskMeaning, node: ROW_STEPS, event: Event, call: Call) -> list[Event]:
    """Return the output of a step for the change of a row; ``call`` applies the policy of the step."""
    match node:
        case RowMap():
            if event.value is None:
                return [event]
            return [replace(event, value=value) for value in call(node.function, event.value)]
        case RowFilter():
            if event.value is None:
                return [event]
            flags = call(lambda value: bool(node.function(value)), event.value)
            return [event if flag is not node.negated else replace(event, value=None) for flag in flags]
        case RowJoin():
            return _joined_rows(task, node, event, call)
        case DerivedTable():
            return _kept_rows(task, node, event, call)


def _joined_rows(task: TaskMeaning, node: RowJoin, event: Event, call: Call) -> list[Event]:
    """Return the row of the result, made of the changed value and of the other table as it is now."""
    made = []
    for key in call(_key_bytes, node.store, event.key):
        for other in call(result_of, node.store, task.stores[node.store.name].get(key)):
            own = event.value
            if is_row(node, own, other):
                pair = (other, own) if node.is_right else (own, other)
                made += call(node.function, *pair)
            else:
                made.append(None)
    return [replace(event, value=value) for value in made]


def is_row(node: RowJoin, own: Any, other: Any) -> bool:
    """Whether the result of a join has a row for a value of the parent and one of the other table."""
    if own is None:
        return other is not None and not node.needs_own
    return other is not None or not node.needs_other


def _kept_rows(task: TaskMeaning, node: DerivedTable, event: Event, call: Call) -> list[Event]:
    table = task.stores[node.store.name]
    for _ in [None] if event.value is None else call(node.store.value_serde.encode, event.value):
        for key in call(_key_bytes, node.store, event.key):
            if event.value is not None or key in table:
                keep(table, key, event.value)
                return [event]
    return []


def _key_bytes(store: StoreSpec, key: Any) -> Any:
    """Return the bytes of a key; of that of a window, the bytes of the key and the start of the window."""
    hash(key)
    codec = key_codec(store.key_type)
    return codec.encode(key) if store.windows is None else (codec.encode(key.key), key.start_ms)


def result_of(store: StoreSpec, state: Any) -> Any:
    """Return the value of a stored state; ``None`` for none."""
    return state if store.result is None or state is None else store.result(state)


def keep(table: dict[Any, Any], key: Any, value: Any) -> None:
    """Set the value of a key; ``None`` deletes it."""
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
