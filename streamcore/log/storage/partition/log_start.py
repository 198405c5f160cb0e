"""Moves the log start of a partition: for DeleteRecords, and by retention, which deletes whole segments.

The new log start is durable before any file is removed: a crash may bring removed files back, but they are
before the log start then, and are removed again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from streamcore.log.storage.checkpoints import LOG_STARTS
from streamcore.log.storage.partition.leadership import PartitionEpochs
from streamcore.log.storage.partition.log_parts import LogParts
from streamcore.log.storage.partition.marks import Marks
from streamcore.log.storage.partition.retention import RetentionPolicy, deletion_text, expired
from streamcore.log.storage.segment.segment import Segment
from streamcore.log.storage.segment.segments import Segments
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.model import Offset, TimestampMs, TopicPartition

_log = logging.getLogger(__name__)


class LogStart:
    """The log start of one partition."""

    def __init__(
        self,
        partition: TopicPartition,
        directory: Path,
        parts: LogParts,
        segments: Segments,
        marks: Marks,
        epochs: PartitionEpochs,
    ) -> None:
        self._partition = partition
        self._directory = directory
        self._parts = parts
        self._segments = segments
        self._marks = marks
        self._epochs = epochs

    def begin(self, offset: Offset) -> None:
        """Note a later log start in the checkpoint, in memory.

        Raises:
            OffsetOutOfRangeError: ``offset`` is after the high watermark.
        """
        self._marks.ensure_deletable(offset, self._partition)
        if offset > self._marks.offsets.log_start:
            self._parts.checkpoints.note(LOG_STARTS, self._partition, offset)

    def move_to(self, offset: Offset) -> None:
        """Move the log start forward, durably. An earlier offset changes nothing."""
        if offset <= self._marks.offsets.log_start:
            return
        self._parts.checkpoints.put(LOG_STARTS, self._partition, offset)
        self._marks.cut_start(offset)
        self._epochs.cut_start(offset)

    def delete_expired(
        self,
        segments: Sequence[Segment],
        policy: RetentionPolicy,
        config: TopicConfig,
        *,
        now_ms: TimestampMs,
    ) -> None:
        """Delete the oldest of some segments that are before the log start or outlived, and log the reason.

        Args:
            segments: the leading ones that no sync uses, and the active one.
        """
        reasons = expired(
            segments,
            policy,
            log_start=self._marks.offsets.log_start,
            high_watermark=min(self._marks.offsets.high_watermark, self._marks.synced_end),
            now_ms=now_ms,
        )
        if not reasons:
            return
        gone = segments[: len(reasons)]
        text = deletion_text(self._partition, gone, reasons, config)
        self.move_to(gone[-1].end_offset)
        self._segments.delete_leading(
            len(gone),
            file_system=self._parts.file_system,
            directory=self._directory,
            delay_ms=config.file_delete_delay_ms,
        )
        _log.info(text)
