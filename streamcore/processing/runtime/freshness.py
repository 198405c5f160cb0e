"""Whether a table reflects a position of topics that may be several topics before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from streamcore.errors import RetriableError
from streamcore.log.client.port import Log
from streamcore.model import TopicPartition
from streamcore.processing.runtime.task_set import TaskSet
from streamcore.processing.topology.nodes import Repartition, StoreSpec, To
from streamcore.processing.topology.plan import SubTopology, task_count
from streamcore.state.position import Position, task_position


class Freshness:
    """Checks, step by step, whether a store reflects a position.

    A store reflects a position when its sub-topology has processed the partitions of the position that it
    reads, and the records that sub-topologies before it made of them: once an earlier sub-topology reflects
    the position, the end of the topic between the two is the position to wait for here. Records that agents
    send are not followed. A task of another worker has processed what it has committed.
    """

    def __init__(self, task_set: TaskSet, log: Log, store: StoreSpec, wanted: Position) -> None:
        self._task_set = task_set
        self._log = log
        self._wanted = wanted
        self._ends: dict[str, dict[TopicPartition, int]] = {}
        self._keeper = task_set.global_tables.get(store.name)
        self._sub_topology = next(
            (found for found in task_set.plan.sub_topologies if found.store_of(store.name) is not None), None
        )

    def is_reached(self) -> bool:
        """Whether the store reflects the position now. Once true it stays true."""
        if self._keeper is not None:
            return self._keeper.position().covers(
                {
                    partition: offset
                    for partition, offset in self._wanted.items()
                    if partition in self._keeper.partitions
                }
            )
        return self._sub_topology is None or self._reflects(self._sub_topology)

    def _reflects(self, sub_topology: SubTopology) -> bool:
        topics = {entry.topic.name for entry in sub_topology.inputs}
        direct = {
            partition: offset for partition, offset in self._wanted.items() if partition.topic in topics
        }
        if not self._covers(sub_topology, direct):
            return False
        for topic in sorted(topics):
            writers = list(self._writers(topic))
            if not writers:
                continue
            if topic not in self._ends:
                if not all(self._reflects(writer) for writer in writers):
                    return False
                partitions = [TopicPartition(topic, number) for number in range(self._task_set.counts[topic])]
                # The end of the committed records may not be visible yet: a broker marks it slightly later.
                self._ends[topic] = {
                    partition: marks.high_watermark
                    for partition, marks in self._log.offsets(partitions).items()
                }
            if not self._covers(sub_topology, self._ends[topic]):
                return False
        return True

    def _covers(self, sub_topology: SubTopology, wanted: Mapping[TopicPartition, int]) -> bool:
        reached, open_here = Position(), set()
        for state in self._task_set.open_states:
            if state.task.sub_topology is sub_topology:
                reached = reached.merge(task_position(state.engine))
                open_here.add(state.task.task_id.partition)
        elsewhere = {
            partition: offset for partition, offset in wanted.items() if partition.partition not in open_here
        }
        here = {partition: offset for partition, offset in wanted.items() if partition not in elsewhere}
        return reached.covers(here) and self._is_committed(sub_topology, elsewhere)

    def _is_committed(self, sub_topology: SubTopology, wanted: Mapping[TopicPartition, int]) -> bool:
        """Whether tasks of other workers have committed offsets behind a position."""
        wanted = {partition: offset for partition, offset in wanted.items() if offset > 0}
        if not wanted:
            return True
        tasks = task_count(sub_topology, self._task_set.counts)
        if any(partition.partition >= tasks for partition in wanted):
            return False
        try:
            committed = self._log.committed(self._task_set.plan.app_id, list(wanted))
        except RetriableError:  # A transaction that commits some of them is under way.
            return False
        return all(
            partition in committed and committed[partition].offset >= offset
            for partition, offset in wanted.items()
        )

    def _writers(self, topic: str) -> Iterator[SubTopology]:
        plans: Sequence[SubTopology] = self._task_set.plan.sub_topologies
        for sub_topology in plans:
            for node in sub_topology.nodes:
                if isinstance(node, Repartition | To) and node.topic.name == topic:
                    yield sub_topology
                    break
