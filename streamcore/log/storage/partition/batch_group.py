"""Checked batches that the next call of the file system writes in one piece.

The caller decides on one batch after the other, as if each were written at once: each gets the offsets
after those of the batch before. That is sound as long as no decision depends on a batch that is not written
yet. So a group never has two batches of one idempotent producer, and never crosses the end of a segment.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TypeAlias

from streamcore.errors import StreamCoreError
from streamcore.log.records.batch import NO_TIMESTAMP, BatchHeader, WritableBytes
from streamcore.log.storage.partition.partition_replies import BatchAppended
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.model import Offset, ProducerId, TimestampMs

Result: TypeAlias = BatchAppended | StreamCoreError


class BatchGroup:
    """Consecutive batches that are not written yet, and the results of a whole call."""

    __slots__ = (
        "append_times_ms",
        "batches",
        "config",
        "end_offset",
        "headers",
        "indexes",
        "now_ms",
        "producer_ids",
        "results",
        "size_bytes",
    )

    def __init__(self, end_offset: Offset, config: TopicConfig, now_ms: TimestampMs) -> None:
        """Create an empty group that begins at ``end_offset``, of a call that has no results yet."""
        self.config = config
        self.now_ms = now_ms
        self.results: list[Result] = []
        """The results of all batches of the call so far: of this group, of groups before, and of refused
        batches.
        """
        self.begin(end_offset)

    def begin(self, end_offset: Offset) -> None:
        """Begin the next, empty group."""
        self.end_offset = end_offset
        self.size_bytes = 0
        self.batches: list[WritableBytes] = []
        self.headers: list[BatchHeader] = []
        self.append_times_ms: list[TimestampMs] = []
        self.indexes: list[int] = []
        """The index of each batch of this group in the results."""
        self.producer_ids: set[ProducerId] = set()

    def must_precede(self, producer_id: ProducerId, known: Container[ProducerId]) -> bool:
        """Whether the check of a producer's batch depends on a batch of this group.

        It does if the group has a batch of the same producer, or if the producer is new: then it may take the
        place of a known producer, whose batch may be here.
        """
        return producer_id in self.producer_ids or (bool(self.producer_ids) and producer_id not in known)

    def add(
        self, batch: WritableBytes, header: BatchHeader, append_time_ms: TimestampMs = NO_TIMESTAMP
    ) -> None:
        """Add a batch whose ``header`` has its final offsets; its result is its future offsets."""
        self.batches.append(batch)
        self.headers.append(header)
        self.append_times_ms.append(append_time_ms)
        self.indexes.append(len(self.results))
        self.size_bytes += len(batch)
        last_offset = header.base_offset + header.last_offset_delta
        self.end_offset = last_offset + 1
        if header.producer_id >= 0:
            self.producer_ids.add(header.producer_id)
        self.results.append(BatchAppended(header.base_offset, last_offset, append_time_ms))

    def refuse(self, error: StreamCoreError) -> None:
        """Set an error as the result of each batch of this group."""
        for index in self.indexes:
            self.results[index] = error
