"""What a partition answers: where a batch was put, and what was read."""

from __future__ import annotations

from dataclasses import dataclass

from streamcore.log.records.decode import AbortedTransaction
from streamcore.model import LogOffsets, Offset, TimestampMs


@dataclass(frozen=True, slots=True)
class BatchAppended:
    """Where a batch stands now; ``last_offset`` is inclusive."""

    base_offset: Offset
    last_offset: Offset
    log_append_time_ms: TimestampMs
    """The time that the log stamped the records with, -1 if they carry their own."""
    is_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Whole stored batches, and what a reader of committed data must drop from them."""

    data: bytes
    aborted: tuple[AbortedTransaction, ...]
    offsets: LogOffsets
    next_offset: Offset
    """Where to read on: past the batches, or past a hole that compaction left."""
