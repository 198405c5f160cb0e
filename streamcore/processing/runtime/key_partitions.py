"""Which partition of a table holds a key: where a query for the key goes first. Pure.

The records of a key reach the task of the partition that the bytes of the key lead to, in the topics that
are read above the table. This is certain only for topics that the application itself writes: other
producers may use another partitioner, and agents may write other keys than that of their event.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from streamcore.partitioning import partition_of_key
from streamcore.processing.runtime.stores import stored_keys
from streamcore.processing.topology.nodes import Aggregate, Node, StoreSpec, TopicSpec, own_stores
from streamcore.processing.topology.partitions import topics_above
from streamcore.processing.topology.plan import Plan, SubTopology, task_count


class KeyPartition(Struct, frozen=True):
    """The partition that a key leads to."""

    partition: int
    is_certain: bool
    """Whether no other partition can hold the key."""


class TableKeyPartitions:
    """The partitions of the keys of one table."""

    def __init__(self, plan: Plan, counts: Mapping[str, int], store: StoreSpec) -> None:
        """Find the topics that bring the keys; ``counts`` has the number of partitions of each topic."""
        self.sub_topology: str | None = None
        """The name of the sub-topology whose tasks have the table; ``None`` for a global table."""
        self._topic: TopicSpec | None = None
        self._is_certain = False
        self._count = 0
        for sub_topology in plan.sub_topologies:
            if sub_topology.store_of(store.name) is not store:
                continue
            self.sub_topology = sub_topology.name
            self._count = task_count(sub_topology, counts)
            writers = list(_writers(sub_topology, store))
            topics = [topic for node in writers for topic in topics_above(node)]
            self._topic = topics[0] if topics else None
            self._is_certain = (
                all(isinstance(node, Aggregate) for node in writers)
                and all(topic.internal for topic in topics)
                and stored_keys(store).name != "any"
            )

    def of(self, key: Any) -> KeyPartition | None:
        """Return the partition that a key leads to; ``None`` if it may be in any.

        A key that the topic's serde does not encode is in none that the topic brings.
        """
        if self._count == 1:
            return KeyPartition(0, True)
        if self._topic is None:
            return None
        try:
            encoded = self._topic.key_serde.encode(key)
        except Exception:  # noqa: BLE001 - a serde of the user's; the key is looked for everywhere
            return None
        return KeyPartition(partition_of_key(encoded, self._count), self._is_certain)


def _writers(sub_topology: SubTopology, store: StoreSpec) -> Iterator[Node]:
    """Return the steps that write a store: its own one, else the agents and processors that name it."""
    own = [node for node in sub_topology.nodes if any(each is store for each in own_stores(node))]
    if own:
        yield from own
        return
    for node, tables in sub_topology.tables_by_node.items():
        if any(each is store for each in tables):
            yield node
