"""Declares joins of streams with tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.dsl.checks import type_name
from streamcore.processing.dsl.copartitioning import beside_table
from streamcore.processing.dsl.declaration import named_after, return_type
from streamcore.processing.dsl.flow import Flow
from streamcore.processing.dsl.table import GlobalTable, Table
from streamcore.processing.topology.code_locations import shown
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import AsOfJoin, TableHistory, TableJoin, TableSource


def check_join(flow: Flow, table: Any, *, how: Any, on: Any, as_of: Any, step: str) -> None:
    """Refuse a join that cannot be declared.

    Raises:
        TopologyError: it joins something other than a table of this application, in an unknown way, by
            keys that cannot be equal, or as of a time with a table that keeps no history.
    """
    if not isinstance(how, str) or how not in ("inner", "left"):
        raise TopologyError(
            f"a stream joins a table with how='inner' or 'left': {fact_text(step=step, how=shown(how))}"
        )
    if not isinstance(table, Table | GlobalTable):
        raise TopologyError(
            "a stream joins a stream, a table, topic.table(name), or topic.global_table(name): "
            + fact_text(step=step, given=shown(table))
        )
    flow.ensure_same_app(table.declaration, step=step, table=table.name)
    if not isinstance(as_of, bool):
        raise TopologyError(f"as_of= is True or False: {fact_text(step=step, as_of=shown(as_of))}")
    if as_of and history_of(table) is None:
        raise TopologyError(
            "only a table of a topic that keeps a history has the values of earlier times; declare it with "
            "one, topic.table(name, history='1d'), and join that: " + fact_text(step=step, table=table.name)
        )
    if isinstance(table, GlobalTable):
        return
    if on is not None:
        raise TopologyError(
            "only a global table is joined on=; use group_by for the others: "
            + fact_text(step=step, table=table.name)
        )
    _refuse_other_keys(flow, table)


def declare_join(
    flow: Flow,
    table: Table[Any, Any] | GlobalTable[Any, Any],
    function: Callable[..., Any],
    *,
    name: str,
    on_error: ErrorPolicy | None,
    left: bool,
    on: Callable[[Any], Any] | None,
    as_of: bool,
    value_type: Any,
    named: str | None,
) -> Flow:
    """Declare a join after a flow; return the flow of its results.

    A repartition topic is inserted where equal keys may be in different partitions.

    Args:
        named: the name that the user gave the step.
    """
    if isinstance(table, Table):
        is_named = named is not None or named_after(function) is not None
        flow = beside_table(flow, table.flow, step=name, is_named=is_named)
    shape = flow.shape.with_values(
        return_type(function) if value_type is None else value_type, is_annotation=value_type is None
    )
    history = history_of(table)
    if as_of and history is not None and isinstance(table.node, TableSource):
        return flow.then(
            AsOfJoin(
                name=name,
                parents=(flow.node,),
                on_error=on_error,
                table=table.node,
                store=history.keys,
                history=history,
                decode=table.store.value_serde.decode,
                function=function,
                left=left,
            ),
            shape,
        )
    node = TableJoin(
        name=name,
        parents=(flow.node,),
        on_error=on_error,
        table=table.node,
        store=table.store,
        function=function,
        left=left,
        on=on,
    )
    return flow.then(node, shape)


def history_of(table: Table[Any, Any] | GlobalTable[Any, Any]) -> TableHistory | None:
    """Return the history of a table, if it is declared with one."""
    return table.node.history if isinstance(table.node, TableSource) else None


def _refuse_other_keys(flow: Flow, table: Table[Any, Any]) -> None:
    """Refuse a join of keys that cannot be equal, where both types are known."""
    ours, theirs = flow.shape.key_type, table.flow.shape.key_type
    if ours is not None and theirs is not None and ours != theirs:
        raise TopologyError(
            "the stream and the table have keys of different types; change the stream's with group_by: "
            + fact_text(
                stream=flow.name,
                stream_keys=type_name(ours),
                table=table.name,
                table_keys=type_name(theirs),
            )
        )
