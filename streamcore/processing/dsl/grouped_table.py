"""A table grouped by another key: its aggregations follow the rows, which change and go.

A step keeps each row as it was added, in a store ``<name>-rows``, and emits for each change the old row as
taken back and the new one as added (``Regroup``). The aggregation removes the one and adds the other. A row
that stays in its group is one record, and one change of the aggregation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Generic, TypeVar, overload

from streamcore.processing.dsl.accumulators import Slot, ensure_storable, state_serde
from streamcore.processing.dsl.checks import check_policy, legal_name
from streamcore.processing.dsl.declaration import value_serde_for
from streamcore.processing.dsl.declared_aggregation import (
    check_aggregators,
    declare_aggregation,
    named_aggregations,
)
from streamcore.processing.dsl.flow import Flow
from streamcore.processing.dsl.table import Table
from streamcore.processing.topology import aggregations
from streamcore.processing.topology.aggregator import Aggregator
from streamcore.processing.topology.code_locations import declares
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import FlatMap, Regroup, StoreSpec
from streamcore.processing.topology.retraction import ensure_can_remove

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class GroupedTable(Generic[K, V]):
    """The rows of a table under another key: what ``table.group_by`` returns.

    Each aggregation is a table of its own, by the new key. When a row changes, its old value is taken back
    before the new one is added; when a row goes, its value is taken back. A key without rows keeps the result
    of nothing.
    """

    def __init__(self, flow: Flow, function: Callable[[Any], Any], key_type: Any) -> None:
        self._flow = flow
        self._function = function
        self._key_type = key_type

    def __repr__(self) -> str:
        return f"<GroupedTable of {self._flow.name!r} {self._flow.shape}>"

    @declares
    def count(self, name: str, *, on_error: ErrorPolicy | None = None) -> Table[K, int]:
        """Count the rows of each key."""
        return self._aggregate(name, {"count": aggregations.count()}, on_error)

    @declares
    def sum(
        self,
        name: str,
        of: Callable[[V], T | None],
        *,
        value: type[T] | None = None,
        on_error: ErrorPolicy | None = None,
    ) -> Table[K, T]:
        """Sum ``of`` over the rows of each key."""
        return self._aggregate(name, {"sum": aggregations.sum(of, value=value)}, on_error)

    @overload
    def aggregate(
        self,
        name: str,
        /,
        *,
        into: type[T],
        on_error: ErrorPolicy | None = ...,
        **named: Aggregator[V, object],
    ) -> Table[K, T]: ...
    @overload
    def aggregate(
        self,
        name: str,
        /,
        *,
        into: None = ...,
        on_error: ErrorPolicy | None = ...,
        **named: Aggregator[V, object],
    ) -> Table[K, Any]: ...
    @declares
    def aggregate(
        self,
        name: Any = ...,
        /,
        *,
        into: Any = None,
        on_error: ErrorPolicy | None = None,
        **named: Aggregator[V, object],
    ) -> Table[K, Any]:
        """Fold the rows of each key into several aggregations at once; see ``Stream.aggregate``.

        Raises:
            TopologyError: an aggregation cannot take a value back.
        """
        name, named = named_aggregations(name, named, into=into, on_error=on_error)
        return self._aggregate(name, named, on_error, into=into, single=False)

    def _aggregate(
        self,
        name: str,
        named: dict[str, Aggregator[Any, Any]],
        on_error: ErrorPolicy | None,
        *,
        into: Any = None,
        single: bool = True,
    ) -> Table[K, Any]:
        legal_name(name, "table")
        check_policy(on_error, step=name)
        row_type = self._flow.shape.value_type
        check_aggregators(name, named, into, value_type=row_type)
        ensure_can_remove(name, named)
        changes = self._changes(name, on_error).keyed(name)
        step = changes.declaration.node_name(None, None, f"{name}.changes")
        each = changes.then(FlatMap(name=step, parents=(changes.node,), function=_each))
        return Table(
            *declare_aggregation(
                each,
                name,
                named,
                into=into,
                single=single,
                kept_type=None,
                on_error=on_error,
                removes=True,
                row_type=row_type,
            )
        )

    def _changes(self, name: str, on_error: ErrorPolicy | None) -> Flow:
        """Return the flow of the changes of the rows, under their new keys."""
        declaration, shape = self._flow.declaration, self._flow.shape
        slots = [Slot("value", self._key_type), Slot("value", shape.value_type)]
        rows = StoreSpec(
            name=declaration.store_name(f"{name}-rows"),
            key_type=shape.key_type,
            value_serde=state_serde(slots, only_counts=False),
        )
        node = Regroup(
            name=declaration.node_name(None, None, f"{name}.rows"),
            parents=(self._flow.node,),
            store=rows,
            function=partial(_row, self._function, *map(ensure_storable, slots)),
            new_key_type=self._key_type,
            on_error=on_error,
        )
        row_type = shape.value_type
        change_type: Any = None if row_type is None else list[tuple[bool, row_type]]  # type: ignore[valid-type]
        changed = replace(
            shape,
            key_type=self._key_type,
            key_changed=True,
            value_type=change_type,
            value_serde=value_serde_for(change_type, "msgpack"),
        )
        return self._flow.then(node, changed)


def _each(changes: list[tuple[bool, Any]]) -> list[tuple[bool, Any]]:
    """Return the changes that a record holds."""
    return changes


def _row(
    function: Callable[[Any], Any],
    ensure_key: Callable[[Any], None],
    ensure_value: Callable[[Any], None],
    value: Any,
) -> tuple[Any, Any]:
    """Return the row of a value, (new key, value); fails if it could not be stored."""
    key = function(value)
    ensure_key(key)
    ensure_value(value)
    return key, value
