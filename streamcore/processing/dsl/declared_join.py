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
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import TableJoin
from streamcore.processing.topology.places import shown


def check_join(flow: Flow, table: Any, *, how: Any, on: Any, step: str) -> None:
    """Refuse a join that cannot be declared.

    Raises:
        TopologyError: it joins something other than a table of this application, in an unknown way, or by
            keys that cannot be equal.
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
