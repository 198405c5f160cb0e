"""Brings equal keys of several flows into one partition, by repartition topics where they may not meet.

The partition of a key follows from its bytes and from the number of partitions. Keys of two flows do not meet

* where a step changed them,
* where the topics above write equal keys as different bytes, such as ``7`` as JSON and as MessagePack,
* where the topics above declare different numbers of partitions.

Numbers that are not declared are known when the application starts: ``partitions.resolve_partitions`` checks
them, and refuses what is left. A join with a table, and ``merge``, insert nothing where no topic declares
several partitions: with one partition all keys meet, and a stream beside a table is taken in order of time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, get_args, get_origin

from streamcore.errors import TopologyError, fact_text
from streamcore.model import Windowed
from streamcore.processing.dsl.flow import Flow, writable
from streamcore.processing.dsl.topic_keys import internal_key_serde
from streamcore.processing.topology.nodes import DerivedTable, Node, Repartition, Source, StoreSpec, TopicSpec
from streamcore.processing.topology.partitions import topics_above, written_alike


def all_meet(flows: Sequence[Flow]) -> bool:
    """Whether equal keys of all flows are in one partition, as far as the declarations say it."""
    return not flows[0].shape.is_scattered and all(_meet(flows[0], flow) for flow in flows[1:])


def are_split(flows: Iterable[Flow]) -> bool:
    """Whether a topic declares several partitions, of those that flows come from through whatever topics."""
    return any(count is not None and count > 1 for flow in flows for count in _counts_above(flow.node))


def brought_together(flows: Sequence[Flow], name: str) -> list[Flow]:
    """Return the flows with equal keys in one partition.

    Flows that meet stay as they are. Otherwise each flow whose topics do not write keys as stores do goes
    through a repartition topic ``<name>-<its index>``, or one that is named after the function of its keys.
    """
    if all_meet(flows):
        return list(flows)
    key_types = [flow.shape.key_type for flow in flows]
    key_type = key_types[0] if all(found == key_types[0] for found in key_types) else None
    flows = [_by_internal_keys(flow, f"{name}-{index}", key_type) for index, flow in enumerate(flows)]
    counts = {count for flow in flows if (count := _declared_count(flow)) is not None}
    if len(counts) < 2:
        return flows
    serde = internal_key_serde(key_type)
    return [
        flow
        if _declared_count(flow) in (None, max(counts))
        else flow.repartitioned(f"{name}-{index}", None, key_serde=serde)
        for index, flow in enumerate(flows)
    ]


def sides_of_join(left: Flow, right: Flow, base: str, key_type: Any) -> tuple[Flow, Flow]:
    """Return both streams of a join with equal keys in one partition.

    Repartition topics are named ``<base>.left`` and ``<base>.right``, or after the function of the keys.
    """
    if right is left or right.node is left.node:
        keyed = left.keyed(f"{base}.left")
        return keyed, keyed
    left_topics, right_topics = _topics(left), _topics(right)
    if left_topics and right_topics:
        if _keys_are_alike(left, right):
            return _of_one_count(left, right, base)
    elif left_topics and _has_keys_of_topics(left):
        return left, right.keyed(f"{base}.right", beside=left_topics[0])
    elif right_topics and _has_keys_of_topics(right):
        return left.keyed(f"{base}.left", beside=right_topics[0]), right
    return (
        _by_internal_keys(left, f"{base}.left", key_type),
        _by_internal_keys(right, f"{base}.right", key_type),
    )


def beside_table(flow: Flow, table: Flow, *, step: str, is_named: bool) -> Flow:
    """Return a stream with its keys in the partitions in which a table has them.

    Args:
        step: the name of the join.
        is_named: whether the user's text decides that name; otherwise the repartition topic is named after
            the step before.

    Raises:
        TopologyError: the table's keys are in partitions by a part of them, as those of windows are.
    """
    if not flow.shape.is_scattered and (_meet(flow, table) or not are_split((flow, table))):
        return flow
    if not _has_keys_of_topics(table):
        raise TopologyError(
            "the keys of the table lie in partitions by a part of them, as keys of windows do; make the "
            "table of a stream with .repartition(name=…) before it: "
            + fact_text(step=step, stream=flow.name, table=table.name)
        )
    topic = _topics(table)[0]
    if flow.shape.is_scattered:
        return flow.keyed(step, beside=topic)
    name = step if is_named else f"{flow.durable_name()}.join"
    return flow.repartitioned(name, None, key_serde=topic.key_serde)


def tables_of_join(left: Flow, right: Flow, base: str) -> tuple[Flow, Flow]:
    """Return both tables of a join with equal keys in one partition.

    A table that goes through a repartition topic is kept once more, as ``<base>.left`` or ``<base>.right``.
    A flow that is returned unchanged has the store that it had; a new one has that of its node.

    Raises:
        TopologyError: the keys of both tables are in partitions by a part of them.
    """
    count, other_count = _declared_count(left), _declared_count(right)
    is_smaller = count is not None and other_count is not None and count < other_count
    if _keys_are_alike(left, right) and (count == other_count or None in (count, other_count)):
        return left, right
    if _has_keys_of_topics(left) and not (is_smaller and _has_keys_of_topics(right)):
        return left, _moved_table(right, f"{base}.right", _topics(left)[0])
    if _has_keys_of_topics(right):
        return _moved_table(left, f"{base}.left", _topics(right)[0]), right
    raise TopologyError(
        "the tables have equal keys in different partitions, by the ways in which their topics write keys or "
        "by their numbers, and their keys are those of windows; make both of streams with "
        ".repartition(n, name=…) before them: " + fact_text(step=base, table=left.name, other=right.name)
    )


def _moved_table(table: Flow, name: str, beside: TopicSpec) -> Flow:
    """Return a table with the same rows, in the partitions in which a topic has their keys."""
    moved = table.repartitioned(name, None, key_serde=beside.key_serde)
    store = StoreSpec(
        name=table.declaration.store_name(name),
        key_type=table.shape.key_type,
        value_serde=writable(table.shape.value_serde),
        is_derived=True,
    )
    step = table.declaration.node_name(None, None, f"{name}.table")
    return moved.then(DerivedTable(name=step, parents=(moved.node,), store=store))


def _topics(flow: Flow) -> list[TopicSpec]:
    """Return the topics in whose partitions the records of a flow lie by their keys; none if a step changed
    the keys, or united streams whose keys do not meet.
    """
    if flow.shape.is_scattered:
        return []
    node = flow.node
    return [node.topic] if isinstance(node, Repartition) else list(topics_above(node))


def _has_keys_of_topics(flow: Flow) -> bool:
    """Whether the keys of a flow are those of its topics: those of windows are in partitions by a part."""
    depth = _window_depth(flow.shape.key_type)
    return all(_window_depth(topic.key_type) == depth for topic in _topics(flow))


def _window_depth(key_type: Any) -> int:
    """Return how many windows are around the keys of a type: 1 for ``Windowed[str]``."""
    if key_type is Windowed:
        return 1
    return 1 + _window_depth(get_args(key_type)[0]) if get_origin(key_type) is Windowed else 0


def _keys_are_alike(left: Flow, right: Flow) -> bool:
    """Whether equal keys of two flows have equal bytes in the topics above, or all keys one partition."""
    if _declared_count(left) == 1 == _declared_count(right):
        return True
    return _has_keys_of_topics(left) == _has_keys_of_topics(right) and all(
        written_alike(ours, theirs) for ours in _topics(left) for theirs in _topics(right)
    )


def _declared_count(flow: Flow) -> int | None:
    """Return the number of partitions that all topics above a flow declare; ``None`` if there is none."""
    counts = {topic.partition_count for topic in _topics(flow)}
    return counts.pop() if len(counts) == 1 else None


def _meet(first: Flow, second: Flow) -> bool:
    if second.shape.is_scattered or not _keys_are_alike(first, second):
        return False
    counts = {_declared_count(first), _declared_count(second)} - {None}
    return len(counts) < 2


def _by_internal_keys(flow: Flow, name: str, key_type: Any) -> Flow:
    """Return the flow behind a topic with keys written as in stores; the flow itself if they are."""
    serde = internal_key_serde(key_type)
    topics = _topics(flow)
    if not topics and flow.shape.key_type == key_type:
        return flow.keyed(name)
    wanted = TopicSpec(name=name, key_serde=serde, value_serde=serde, key_type=key_type, internal=True)
    if topics and _has_keys_of_topics(flow) and all(written_alike(topic, wanted) for topic in topics):
        return flow
    return flow.repartitioned(name, None, key_serde=serde)


def _counts_above(node: Node) -> Iterator[int | None]:
    """Return the declared numbers of partitions of all topics above a node."""
    if isinstance(node, Source | Repartition):
        yield node.topic.partition_count
    for parent in node.parents:
        yield from _counts_above(parent)


def _of_one_count(left: Flow, right: Flow, base: str) -> tuple[Flow, Flow]:
    """Return both flows, the one with fewer partitions behind a topic that has as many as the other."""
    left_count, right_count = _declared_count(left), _declared_count(right)
    if left_count is None or right_count is None:
        return left, right
    if left_count < right_count and _has_keys_of_topics(left):
        left = left.repartitioned(f"{base}.left", None, key_serde=_topics(left)[0].key_serde)
    if right_count < left_count and _has_keys_of_topics(right):
        right = right.repartitioned(f"{base}.right", None, key_serde=_topics(right)[0].key_serde)
    return left, right
