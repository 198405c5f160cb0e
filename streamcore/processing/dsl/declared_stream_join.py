"""Declares joins of streams with streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.dsl.checks import declared_ms, type_name
from streamcore.processing.dsl.copartitioning import sides_of_join
from streamcore.processing.dsl.declaration import named_after, return_type
from streamcore.processing.dsl.flow import Flow, late_topic, writable
from streamcore.processing.topology.code_locations import shown
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.joins import ROWS, JoinSpan
from streamcore.processing.topology.nodes import JoinSide, StoreSpec, StreamJoin


def check_stream_join(
    left: Flow, right: Flow, *, how: Any, on: Any, as_of: Any, before: Any, after: Any, grace: Any, step: str
) -> JoinSpan:
    """Return the span of a join, and refuse a join that cannot be declared.

    Raises:
        TopologyError: it has no span, an unknown ``how``, ``on``, ``as_of``, a stream of another
            application, or keys that cannot be equal.
    """
    if not isinstance(how, str) or how not in ("inner", "left", "outer"):
        raise TopologyError(
            "a stream joins a stream with how='inner', 'left' or 'outer': "
            + fact_text(step=step, how=shown(how))
        )
    if on is not None:
        raise TopologyError(
            f"streams are joined by their keys, without on=; use group_by before: {fact_text(step=step)}"
        )
    if as_of is not False:
        raise TopologyError(
            "as_of= is for tables: join the table of the topic, topic.table(name, history='1d'), for the "
            f"value that held at the record's time: {fact_text(step=step, stream=right.name)}"
        )
    if before is None or after is None:
        raise TopologyError(
            "say how near in time two records of streams join, such as before='0s', after='1h', or join a "
            f"table, topic.table(name): {fact_text(step=step, before=shown(before), after=shown(after))}"
        )
    span = JoinSpan(
        declared_ms(before, "before=", least_ms=0, step=step),
        declared_ms(after, "after=", least_ms=0, step=step),
        0 if grace is None else declared_ms(grace, "grace=", least_ms=0, step=step),
    )
    left.ensure_same_app(right.declaration, step=step, stream=right.name)
    ours, theirs = left.shape.key_type, right.shape.key_type
    if ours is not None and theirs is not None and ours != theirs:
        raise TopologyError(
            "the streams have keys of different types; change those of one with group_by: "
            + fact_text(
                step=step,
                left=left.name,
                left_keys=type_name(ours),
                right=right.name,
                right_keys=type_name(theirs),
            )
        )
    return span


def declare_stream_join(
    left: Flow,
    right: Flow,
    function: Callable[..., Any],
    *,
    name: str,
    on_error: ErrorPolicy | None,
    span: JoinSpan,
    how: str,
    late: Any,
    value_type: Any,
    named: str | None,
) -> Flow:
    """Declare a join of two flows; return the flow of its results.

    A repartition topic is inserted where equal keys of the two may be in different partitions.

    Args:
        name: the name of the step.
        late: the topic for late records of both streams, if there is one.
        named: the name that the user gave it; its stores are named by that, or by its function.

    Raises:
        TopologyError: the stores have no name for ever, or values of one side cannot be written.
    """
    base = name if named is not None or named_after(function) else f"{left.durable_name()}.join"
    left.declaration.ensure_durable(base)
    key_type = right.shape.key_type if left.shape.key_type is None else left.shape.key_type
    left, right = sides_of_join(left, right, base, key_type)
    shape = replace(left.shape, key_type=key_type).with_values(
        return_type(function) if value_type is None else value_type, is_annotation=value_type is None
    )

    def side(flow: Flow, name: str, *, marks_matches: bool) -> JoinSide:
        store = StoreSpec(
            name=flow.declaration.store_name(f"{base}.{name}"),
            key_type=key_type,
            value_serde=ROWS,
            windows=span.buckets(),
            is_step_state=True,
            is_of_join=True,
            marks_matches=marks_matches,
        )
        return JoinSide(store=store, serde=writable(flow.shape.value_serde))

    node = StreamJoin(
        name=name,
        parents=(left.node, right.node),
        on_error=on_error,
        late=None if late is None else late_topic([left, right], late, step=name),
        function=function,
        span=span,
        sides=(
            side(left, "left", marks_matches=how != "inner"),
            side(right, "right", marks_matches=how == "outer"),
        ),
        how=how,
    )
    return left.then(node, shape)
