"""Detects fetched records that make results wrong without an error; counts them, and logs once.

* Keys in other partitions than murmur2 gives them. A producer with another partitioner (librdkafka's default
  is CRC32) writes them there, and a table or a join that reads two such topics does not find them together.
* Event times far ahead of the clock, which close every window that is open.

A few records of each fetch are checked, so that the cost does not grow with the size of a fetch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from streamcore.durations import time_text
from streamcore.errors import fact_text
from streamcore.model import FetchedColumns, TopicPartition
from streamcore.partitioning import partition_of_key
from streamcore.processing.runtime.inputs import RecordQueue
from streamcore.processing.topology.plan import SubTopology

_logger = logging.getLogger(__name__)

SAMPLED_KEYS: Final = 4
"""How many keys of a fetch are checked."""


class InputWatch:
    """Checks the fetches of one worker. ``ahead_ms_max`` is ``None`` where the clock means nothing."""

    def __init__(
        self, sub_topologies: Sequence[SubTopology], counts: Mapping[str, int], *, ahead_ms_max: int | None
    ) -> None:
        self.foreign_keys: dict[str, int] = {}
        """Topic -> how many of the checked keys were in another partition than murmur2 gives them."""
        self._ahead_ms_max = ahead_ms_max
        self._partition_counts: dict[str, int] = {}
        self._windowed: set[str] = set()
        self._logged_ahead: set[TopicPartition] = set()
        for sub_topology in sub_topologies:
            for entry in sub_topology.inputs:
                name = entry.topic.name
                if entry.topic.internal:
                    continue
                if sub_topology.stores and counts[name] > 1:
                    self._partition_counts[name] = counts[name]
                if any(store.windows is not None for store in sub_topology.stores):
                    self._windowed.add(name)

    def look(self, queue: RecordQueue, columns: FetchedColumns, now_ms: int) -> None:
        """Check the fetched records that a queue was filled with."""
        topic = queue.partition.topic
        partition_count = self._partition_counts.get(topic)
        if partition_count is not None:
            self._look_at_keys(queue.partition, columns.keys, partition_count)
        if (
            self._ahead_ms_max is not None
            and topic in self._windowed
            and queue.newest_ms - now_ms > self._ahead_ms_max
            and queue.partition not in self._logged_ahead
        ):
            self._logged_ahead.add(queue.partition)
            _logger.warning(
                "an event time is far ahead of the clock and closes the windows before it; check the unit of "
                "the times, or declare max_ahead= on the topic: %s",
                fact_text(
                    partition=queue.partition, time=time_text(queue.newest_ms), clock=time_text(now_ms)
                ),
            )

    def _look_at_keys(
        self, partition: TopicPartition, keys: Sequence[bytes | None], partition_count: int
    ) -> None:
        step = max(1, len(keys) // SAMPLED_KEYS)
        sampled = [key for key in keys[::step][:SAMPLED_KEYS] if key is not None]
        foreign = [key for key in sampled if partition_of_key(key, partition_count) != partition.partition]
        if not foreign:
            return
        if partition.topic not in self.foreign_keys:
            _logger.warning(
                "keys of a topic are in other partitions than murmur2 gives them, so tables and joins may "
                "not find them together; set partitioner=murmur2_random where they are produced, or go "
                "through .repartition(name=...): %s",
                fact_text(
                    partition=partition,
                    key=foreign[0][:80],
                    expected_partition=partition_of_key(foreign[0], partition_count),
                ),
            )
        self.foreign_keys[partition.topic] = self.foreign_keys.get(partition.topic, 0) + len(foreign)
