"""Lookup of offsets by time in a partition, as Apache Kafka answers ListOffsets.

Markers count as records here: they have a time in the log, too, and reading may begin at one. Offsets at or
after the visible end are not found.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from streamcore.log.records.batch import NO_TIMESTAMP
from streamcore.log.records.decode import batch_records
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.segment.scanning import StoredBatch
from streamcore.model import Isolation, Offset, TimestampMs


class FoundOffset(NamedTuple):
    """The offset and time of a record, and the leader epoch in which it was written."""

    offset: Offset
    timestamp_ms: TimestampMs
    leader_epoch: int


def offset_for_time(
    log: PartitionLog, timestamp_ms: TimestampMs, isolation: Isolation = Isolation.READ_UNCOMMITTED
) -> FoundOffset | None:
    """Return the first record that is not earlier than a time; ``None`` if there is none, or it is not
    visible.
    """
    log_start, end = log.offsets.log_start, log.offsets.visible_end(isolation)
    segments = log.segments
    for segment in islice(segments, segments.index_at(log_start), None):
        for batch in segment.batches_from_time(timestamp_ms):
            header = batch.header
            if header.base_offset >= end:
                return None
            if header.max_timestamp_ms >= timestamp_ms and header.end_offset > log_start:
                found = _first_in(batch, timestamp_ms, log_start)
                if found is not None:
                    return found if found.offset < end else None
    return None


def offset_of_largest_time(
    log: PartitionLog, isolation: Isolation = Isolation.READ_UNCOMMITTED
) -> FoundOffset | None:
    """Return the first record with the largest timestamp; ``None`` if there is none, or it is not visible."""
    segment = max(log.segments, key=lambda each: each.max_timestamp_ms)
    largest_ms = segment.max_timestamp_ms
    if largest_ms == NO_TIMESTAMP:
        return None
    for batch in segment.batches_from_time(largest_ms):
        if batch.header.max_timestamp_ms == largest_ms:
            found = _first_in(batch, largest_ms, 0)
            if found is not None:
                return found if found.offset < log.offsets.visible_end(isolation) else None
    return None


def _first_in(batch: StoredBatch, timestamp_ms: TimestampMs, log_start: Offset) -> FoundOffset | None:
    header = batch.header
    for record in batch_records(batch.data, 0, header):
        time_ms = header.max_timestamp_ms if header.has_append_time else record.timestamp
        if time_ms >= timestamp_ms and record.offset >= log_start:
            return FoundOffset(record.offset, time_ms, header.leader_epoch)
    return None
