"""Declares periodic emission: ``updates(every=)`` and ``suppress`` of tables."""

from __future__ import annotations

import struct
from typing import Any, Final

from streamcore.processing.dsl.checks import Duration, declared_ms
from streamcore.processing.dsl.flow import Flow, writable
from streamcore.processing.topology.nodes import Aggregate, Every, Node, StoreSpec
from streamcore.serde import Serde

_TIME: Final = struct.Struct(">q?")


def periodic(flow: Flow, name: str, every_ms: int, *, keys_max: int | None = None) -> Flow:
    """Declare the step that emits a table's changes once in an interval, and its store, of the same name.

    Raises:
        TopologyError: another table has the name, or the values cannot be written.
    """
    flow.declaration.store_name(name)
    store = StoreSpec(
        name=name,
        key_type=flow.shape.key_type,
        value_serde=_change_serde(writable(flow.shape.value_serde)),
        result=_value_of,
        every_ms=every_ms,
    )
    node = Every(
        name=flow.declaration.node_name(None, None, name),
        parents=(flow.node,),
        store=store,
        every_ms=every_ms,
        keys_max=keys_max,
        table=_table_of(flow.node) if keys_max is None else None,
    )
    return flow.then(node)


def _table_of(parent: Node) -> StoreSpec | None:
    """Return the store in which the results of changes are found when an interval ends."""
    if not isinstance(parent, Aggregate) or parent.follows_rows or parent.store.windows is not None:
        return None
    return parent.store


def periodic_updates(flow: Flow, table: str, every: Duration) -> Flow:
    """Declare the step of ``updates(every=)``; its store is ``<table>.updates``.

    Raises:
        TopologyError: the duration is invalid, or the table has such a step already.
    """
    return periodic(flow, f"{table}.updates", declared_ms(every, "every", table=table))


def _value_of(change: tuple[int, Any]) -> Any:
    return change[1]


def _change_serde(values: Serde[Any]) -> Serde[Any]:
    """Return the serde of a time and a value, which may be ``None``."""

    def encode(change: tuple[int, Any]) -> bytes:
        time_ms, value = change
        if value is None:
            return _TIME.pack(time_ms, False)
        return _TIME.pack(time_ms, True) + values.encode(value)

    def decode(data: bytes) -> tuple[int, Any]:
        time_ms, has_value = _TIME.unpack_from(data)
        return time_ms, values.decode(data[_TIME.size :]) if has_value else None

    return Serde(encode, decode, f"change of {values.name}", values.type_name, None)
