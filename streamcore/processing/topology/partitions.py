"""Decides the partitions of an application's topics, and checks that inputs which meet fit together. Pure.

Inputs that meet in a table must have the same number of partitions, and the same partition for equal keys;
others are refused.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.topology.nodes import (
    AgentNode,
    Aggregate,
    AnswerReferences,
    AsOfJoin,
    DerivedTable,
    GlobalTable,
    Node,
    Process,
    RateLimit,
    Repartition,
    Source,
    StreamJoin,
    TableJoin,
    Take,
    To,
    TopicSpec,
    own_stores,
)
from streamcore.processing.topology.plan import Plan, SubTopology, task_count


def _topics_of(node: Node) -> list[TopicSpec]:
    topics: list[TopicSpec] = []
    if isinstance(node, Source | To | Repartition | GlobalTable):
        topics.append(node.topic)
    if node.late is not None:
        topics.append(node.late)
    return topics


def resolve_partitions(
    plan: Plan, existing: Mapping[str, int], *, may_grow: Container[str] = ()
) -> dict[str, int]:
    """Decide the number of partitions of every topic, and check that inputs fit together.

    Args:
        existing: the number of partitions of each topic in the log.
        may_grow: topics that may have more partitions than declared, because partitions were added later.

    Raises:
        TopologyError: a topic exists with another count than declared, or inputs that meet in a store
            have different counts; both topics are named.
    """
    counts: dict[str, int] = {}
    for topic in plan.topics:
        found = existing.get(topic.name)
        has_grown = topic.name in may_grow and found is not None and found > (topic.partition_count or 0)
        if found is not None and topic.partition_count not in (None, found) and not has_grown:
            raise TopologyError(
                "the topic exists with another number of partitions; declare that one, or use another topic: "
                + fact_text(topic=topic.name, declared=topic.partition_count, existing=found)
            )
        if found is not None:
            counts[topic.name] = found
        elif topic.partition_count is not None:
            counts[topic.name] = topic.partition_count
    for sub_topology in plan.sub_topologies:
        for entry in sub_topology.inputs:
            if not entry.topic.internal:
                counts.setdefault(entry.topic.name, 1)
    for table in plan.global_tables:
        counts.setdefault(table.topic.name, 1)
    _resolve_repartition(plan, counts)
    for sub_topology in plan.sub_topologies:
        _check_co_partitioned(sub_topology, counts)
        for node in sub_topology.nodes:
            for topic in _topics_of(node):
                counts.setdefault(topic.name, task_count(sub_topology, counts))
    for topic in plan.topics:
        counts.setdefault(topic.name, 1)
    return counts


def _resolve_repartition(plan: Plan, counts: dict[str, int]) -> None:
    """Set the count of repartition topics: that of the inputs they meet, else the largest of their
    sources.
    """
    waiting = [
        (sub_topology, entry.topic)
        for sub_topology in plan.sub_topologies
        for entry in sub_topology.inputs
        if entry.topic.name not in counts
    ]
    while waiting:
        left = []
        for sub_topology, topic in waiting:
            count = _count_beside(sub_topology, topic, counts) or _count_above(plan, topic, counts)
            if count is None:
                left.append((sub_topology, topic))
            else:
                counts[topic.name] = count
        if len(left) == len(waiting):
            # A ring of repartition topics without a source outside cannot be declared.
            raise TopologyError(f"no input decides the partitions: {fact_text(topic=left[0][1].name)}")
        waiting = left


def _count_beside(sub_topology: SubTopology, topic: TopicSpec, counts: Mapping[str, int]) -> int | None:
    beside = [
        counts[entry.topic.name]
        for entry in sub_topology.inputs
        if entry.topic is not topic and entry.topic.name in counts
    ]
    return max(beside, default=None)


def _count_above(plan: Plan, topic: TopicSpec, counts: Mapping[str, int]) -> int | None:
    found: list[int] = []
    for sub_topology in plan.sub_topologies:
        if any(isinstance(node, Repartition) and node.topic is topic for node in sub_topology.nodes):
            if any(entry.topic.name not in counts for entry in sub_topology.inputs):
                return None
            found.append(task_count(sub_topology, counts))
    return max(found, default=None)


def _check_co_partitioned(sub_topology: SubTopology, counts: Mapping[str, int]) -> None:
    """Refuse inputs that meet in a table and are not co-partitioned."""
    if not sub_topology.stores:
        return
    first = sub_topology.inputs[0].topic
    for entry in sub_topology.inputs[1:]:
        if counts[entry.topic.name] != counts[first.name]:
            raise TopologyError(
                "inputs that meet in a table need the same number of partitions; declare partitions= of both "
                "so that a repartition topic is inserted, or repartition one of them: "
                + fact_text(
                    first=first.name,
                    first_partitions=counts[first.name],
                    second=entry.topic.name,
                    second_partitions=counts[entry.topic.name],
                    tables=",".join(store.name for store in sub_topology.stores),
                )
            )
    if counts[first.name] > 1:
        for node in sub_topology.nodes:
            if isinstance(node, _KEYED_STEPS) or (
                isinstance(node, AgentNode | Process) and node in sub_topology.tables_by_node
            ):
                _check_keys_are_written_alike(node, sub_topology)


_KEYED_STEPS = (
    Aggregate | AnswerReferences | DerivedTable | RateLimit | Take | TableJoin | AsOfJoin | StreamJoin
)
"""Steps that need equal keys in one partition."""


def _check_keys_are_written_alike(node: Node, sub_topology: SubTopology) -> None:
    """Refuse topics that meet in a table and encode keys differently.

    A key's partition follows from its bytes: the text ``7`` and eight bytes for 7 are in different
    partitions. Declarations insert repartition topics where they can; this is what is left, such as an agent
    that writes the table of another step.
    """
    topics = list(topics_above(node))
    if isinstance(node, TableJoin | AsOfJoin) and not isinstance(node.table, GlobalTable):
        topics += topics_above(node.table)
    if isinstance(node, AgentNode | Process):
        declared = [id(store) for store in sub_topology.tables_by_node[node]]
        for keeper in sub_topology.nodes:
            if any(id(store) in declared for store in own_stores(keeper)):
                topics += topics_above(keeper)
    for topic in topics[1:]:
        if not written_alike(topics[0], topic):
            raise TopologyError(
                "the keys of inputs that meet in a table are written in different ways, so equal keys would "
                "lie in different partitions; declare both topics with the same key= and codec=, declare "
                "partitions= of both so that a repartition topic is inserted, or put .repartition(name=…) "
                "behind both: "
                + fact_text(
                    step=node.name,
                    first=topics[0].name,
                    first_keys=topics[0].key_serde.name,
                    second=topic.name,
                    second_keys=topic.key_serde.name,
                )
            )


def written_alike(first: TopicSpec, second: TopicSpec) -> bool:
    """Whether equal keys have equal bytes in two topics.

    What a serde of a user writes is not known, so two of them are alike only if they are equal.
    """
    ours, theirs = first.key_serde, second.key_serde
    if ours == theirs:
        return True
    if _is_of_user(first) or _is_of_user(second):
        return False
    if ours.name != theirs.name:
        return {ours.name, theirs.name} == {"str", "bytes"}
    if ours.name not in ("json", "msgpack"):
        return True  # the name of a key codec says what it writes
    # Declared and untyped keys differ in whole floats, 1.0 and 1, and in tuples.
    return ours.value_type == theirs.value_type or _are_scalars(ours.value_type, theirs.value_type)


def _is_of_user(topic: TopicSpec) -> bool:
    serde = topic.key_serde
    return serde.name == "custom" or (serde.value_type is None and not topic.internal)


def _are_scalars(*key_types: Any) -> bool:
    """Whether types of keys are written in one way in each format, also where none is declared."""
    found = set[Any]()
    for key_type in key_types:
        is_union = get_origin(key_type) in (Union, UnionType)
        found.update(get_args(key_type) if is_union else (key_type,))
    return found <= {Any, bool, int, str, NoneType}


def topics_above(node: Node) -> Iterator[TopicSpec]:
    """Return the topics that a node's records are read from, without passing through another topic."""
    if isinstance(node, Source):
        yield node.topic
    for parent in node.parents:
        if isinstance(parent, Repartition):
            yield parent.topic
        else:
            yield from topics_above(parent)
