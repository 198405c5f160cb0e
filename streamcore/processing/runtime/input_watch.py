"""Detects fetched records that would make results wrong without an error; counts them, and logs once.

* Keys in other partitions than murmur2 gives them. A producer with another partitioner (librdkafka's default
  is CRC32) writes them there, and a table or a join that reads two such topics does not find them together.
* Event times far ahead of the clock. They do not move stream time, or one of them would close every window.

A few keys of each fetch are checked, so that the cost does not grow with the size of a fetch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from streamcore.durations import time_text
from streamcore.errors import fact_text
from streamcore.model import FetchedColumns, TopicPartition
from streamcore.partitioning import partition_of_key
from streamcore.processing.topology.plan import SubTopology

_logger = logging.getLogger(__name__)

SAMPLED_KEYS: Final = 4
"""How many keys of a fetch are checked."""


class InputWatch:
    """Checks the fetches of one worker."""

    def __init__(self, sub_topologies: Sequence[SubTopology], counts: Mapping[str, int]) -> None:
        self.foreign_keys: dict[str, int] = {}
        """Topic -> how many of the checked keys were in another partition than murmur2 gives them."""
        self.times_ahead: dict[str, int] = {}
        """Topic -> how many records had times too far ahead of the clock to move stream time."""
        self._partition_counts: dict[str, int] = {}
        self._logged_ahead: set[TopicPartition] = set()
        for sub_topology in sub_topologies:
            for entry in sub_topology.inputs:
                name = entry.topic.name
                if sub_topology.stores and counts[name] > 1 and not entry.topic.internal:
                    self._partition_counts[name] = counts[name]

    def look(
        self, partition: TopicPartition, columns: FetchedColumns, ahead: Sequence[int], now_ms: int
    ) -> None:
        """Check the fetched records of a partition; ``ahead`` are the times that do not move stream time."""
        partition_count = self._partition_counts.get(partition.topic)
        if partition_count is not None:
            self._look_at_keys(partition, columns.keys, partition_count)
        if not ahead:
            return
        self.times_ahead[partition.topic] = self.times_ahead.get(partition.topic, 0) + len(ahead)
        if partition not in self._logged_ahead:
            self._logged_ahead.add(partition)
            _logger.warning(
                "an event time is far ahead of the clock; the record is processed, and closes no windows; "
                "check the unit of the times; max_ahead= of the topic makes such a record an error, "
                "max_ahead=None takes any time: %s",
                fact_text(partition=partition, time=time_text(max(ahead)), clock=time_text(now_ms)),
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
