"""Declares joins of streams with streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.dsl.checks import declared_ms, type_name
from streamcore.processing.dsl.declaration import named_after, return_type
from streamcore.processing.dsl.flow import Flow, writable
from streamcore.processing.dsl.topic_keys import internal_key_serde
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.joins import ROWS, JoinSpan
from streamcore.processing.topology.nodes import JoinSide, StoreSpec, StreamJoin, TopicSpec
from streamcore.processing.topology.places import shown
from streamcore.processing.topology.plan import topics_above, written_alike


def check_stream_join(
    left: Flow, right: Flow, *, how: Any, on: Any, before: Any, after: Any, grace: Any, step: str
) -> JoinSpan:
    """Return the span of a join, and refuse a join that cannot be declared.

    Raises:
        TopologyError: it has no span, an unknown ``how``, ``on``, a stream of another application, or keys
            that cannot be equal.
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
    value_type: Any,
    named: str | None,
) -> Flow:
    """Declare a join of two flows; return the flow of its results.

    A repartition topic is inserted where equal keys of the two may be in different partitions.

    Args:
        name: the name of the step.
        named: the name that the user gave it; its stores are named by that, or by its function.

    Raises:
        TopologyError: the stores have no name for ever, or values of one side cannot be written.
    """
    base = name if named is not None or named_after(function) else f"{left.durable_name()}.join"
    key_type = right.shape.key_type if left.shape.key_type is None else left.shape.key_type
    left, right = _co_partitioned(left, right, key_type, base)
    shape = replace(left.shape, key_type=key_type).with_values(
        return_type(function) if value_type is None else value_type, is_annotation=value_type is None
    )

    def side(flow: Flow, name: str) -> JoinSide:
        store = StoreSpec(
            name=flow.declaration.store_name(f"{base}.{name}"),
            key_type=key_type,
            value_serde=ROWS,
            windows=span.buckets(),
            is_step_state=True,
            is_of_join=True,
        )
        return JoinSide(store=store, serde=writable(flow.shape.value_serde))

    node = StreamJoin(
        name=name,
        parents=(left.node, right.node),
        on_error=on_error,
        function=function,
        span=span,
        sides=(side(left, "left"), side(right, "right")),
        how=how,
    )
    return left.then(node, shape)


def _co_partitioned(left: Flow, right: Flow, key_type: Any, base: str) -> tuple[Flow, Flow]:
    """Return both flows with equal keys in one partition, as far as their declarations say it.

    Counts that are not declared are compared at the start.
    """
    if right is left or right.node is left.node:
        keyed = left.keyed(f"{base}.left")
        return keyed, keyed
    left_topics, right_topics = _topics(left), _topics(right)
    if left_topics and right_topics:
        if not _are_written_alike(left, left_topics, right, right_topics):
            left = _by_internal_keys(left, left_topics, f"{base}.left", key_type)
            right = _by_internal_keys(right, right_topics, f"{base}.right", key_type)
            return left, right
        return _of_one_count(left, left_topics, right, right_topics, base)
    if left_topics and _has_keys_of(left, left_topics):
        return left, right.keyed(f"{base}.right", beside=left_topics[0])
    if right_topics and _has_keys_of(right, right_topics):
        return left.keyed(f"{base}.left", beside=right_topics[0]), right
    left = _by_internal_keys(left, left_topics, f"{base}.left", key_type)
    right = _by_internal_keys(right, right_topics, f"{base}.right", key_type)
    return left, right


def _topics(flow: Flow) -> list[TopicSpec]:
    """Return the topics in whose partitions the records of a flow are by their key; none if a step changed
    it.
    """
    return [] if flow.shape.key_changed else list(topics_above(flow.node))


def _has_keys_of(flow: Flow, topics: list[TopicSpec]) -> bool:
    """Whether the keys of a flow are those of its topics: those of windows are in partitions by a part."""
    return all(topic.key_type == flow.shape.key_type for topic in topics)


def _are_written_alike(
    left: Flow, left_topics: list[TopicSpec], right: Flow, right_topics: list[TopicSpec]
) -> bool:
    return written_alike(left_topics[0], right_topics[0]) and (
        _has_keys_of(left, left_topics) == _has_keys_of(right, right_topics)
    )


def _by_internal_keys(flow: Flow, topics: list[TopicSpec], name: str, key_type: Any) -> Flow:
    """Return the flow behind a topic with keys written as in stores; the flow itself if they are."""
    serde = internal_key_serde(key_type)
    if not topics and flow.shape.key_type == key_type:
        return flow.keyed(name)
    if topics and _has_keys_of(flow, topics) and all(topic.key_serde.name == serde.name for topic in topics):
        return flow
    return flow.repartitioned(name, None, key_serde=serde)


def _of_one_count(
    left: Flow, left_topics: list[TopicSpec], right: Flow, right_topics: list[TopicSpec], base: str
) -> tuple[Flow, Flow]:
    """Return both flows, the one with fewer partitions behind a topic that has as many as the other."""
    left_counts = {topic.partition_count for topic in left_topics}
    right_counts = {topic.partition_count for topic in right_topics}
    if len(left_counts) != 1 or len(right_counts) != 1 or None in left_counts | right_counts:
        return left, right
    left_count, right_count = left_counts.pop() or 0, right_counts.pop() or 0
    if left_count < right_count and _has_keys_of(left, left_topics):
        left = left.repartitioned(f"{base}.left", None, key_serde=left_topics[0].key_serde)
    if right_count < left_count and _has_keys_of(right, right_topics):
        right = right.repartitioned(f"{base}.right", None, key_serde=right_topics[0].key_serde)
    return left, right
