"""Decision which of the oldest segments to delete, and why. Pure, except for log messages.

A segment's age counts from the later of its largest record time and its last append. Kafka counts from the
record time alone, and so deletes old records that were loaded a moment ago.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from msgspec import Struct

from streamcore.errors import fact_text
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.model import Offset, TimestampMs, TopicPartition

_log = logging.getLogger(__name__)


class SegmentSummary(Protocol):
    """The facts about a segment that retention needs."""

    @property
    def base_offset(self) -> Offset:
        """The offset at which the segment begins."""

    @property
    def end_offset(self) -> Offset:
        """The offset after the segment's last."""

    @property
    def size_bytes(self) -> int:
        """The size of the data file in bytes."""

    @property
    def max_timestamp_ms(self) -> TimestampMs:
        """The largest timestamp in the segment, -1 if no record has one."""

    @property
    def last_append_ms(self) -> TimestampMs:
        """The time of the last append, by the broker's clock."""


class Reason(Enum):
    """The reason why a segment is deleted; the values appear in log messages."""

    BEFORE_START = "before the log start"
    TOO_OLD = "older than retention.ms"
    TOO_BIG = "beyond retention.bytes"


class RetentionPolicy(Struct, frozen=True, kw_only=True):
    """The limits of age and size; ``None`` is no limit."""

    retention_ms: int | None
    retention_bytes: int | None

    @classmethod
    def of(cls, config: TopicConfig) -> RetentionPolicy:
        """Return the policy by a topic's settings."""
        if not config.deletes_old:
            return cls(retention_ms=None, retention_bytes=None)
        return cls(
            retention_ms=config.retention_ms if config.retention_ms >= 0 else None,
            retention_bytes=config.retention_bytes if config.retention_bytes >= 0 else None,
        )


def expired(
    segments: Sequence[SegmentSummary],
    policy: RetentionPolicy,
    *,
    log_start: Offset,
    high_watermark: Offset,
    now_ms: TimestampMs,
) -> list[Reason]:
    """Return the reason for each of the leading segments to delete.

    Only leading segments are deleted, or the log would have a hole. The active segment, which is the last
    one, always stays, and so does any segment that holds a record not yet visible.
    """
    kept_bytes = sum(segment.size_bytes for segment in segments)
    reasons: list[Reason] = []
    for segment in segments[:-1]:
        if segment.end_offset > high_watermark:
            break
        if segment.end_offset <= log_start:
            reasons.append(Reason.BEFORE_START)
        elif _is_too_old(segment, policy, now_ms):
            reasons.append(Reason.TOO_OLD)
        elif _is_too_big(segment, policy, kept_bytes):
            reasons.append(Reason.TOO_BIG)
        else:
            break
        kept_bytes -= segment.size_bytes
    return reasons


def deletion_text(
    partition: TopicPartition,
    segments: Sequence[SegmentSummary],
    reasons: Sequence[Reason],
    config: TopicConfig,
) -> str:
    """Return the log message about deleted segments: how much, and why."""
    limits = {
        Reason.BEFORE_START: "",
        Reason.TOO_OLD: f"={config.retention_ms}",
        Reason.TOO_BIG: f"={config.retention_bytes}",
    }
    size_bytes = sum(segment.size_bytes for segment in segments)
    causes = ", ".join(f"{count} {why.value}{limits[why]}" for why, count in Counter(reasons).items())
    return (
        f"deleted from {partition}: {len(segments)} segments with offsets {segments[0].base_offset} to "
        f"{segments[-1].end_offset - 1}, {size_bytes} bytes: {causes}"
    )


def is_outlived(segment: SegmentSummary, policy: RetentionPolicy, *, now_ms: TimestampMs) -> bool:
    """Whether an active segment has no record young enough to keep, so that it should be closed."""
    return segment.size_bytes > 0 and _is_too_old(segment, policy, now_ms)


def is_held_by_future_time(segment: SegmentSummary, policy: RetentionPolicy, *, now_ms: TimestampMs) -> bool:
    """Whether a segment, and so all after it, is kept only because a record's time is in the future."""
    return (
        policy.retention_ms is not None
        and segment.max_timestamp_ms > now_ms
        and now_ms - segment.last_append_ms > policy.retention_ms
    )


class FutureTimes:
    """Logs once per oldest segment that a record time in the future delays retention."""

    __slots__ = ("_partition", "_warned_offset")

    def __init__(self, partition: TopicPartition) -> None:
        self._partition = partition
        self._warned_offset: Offset = -1

    def look_at(self, oldest: SegmentSummary, policy: RetentionPolicy, *, now_ms: TimestampMs) -> None:
        """Log a warning if a future time keeps the partition's oldest segment, unless it was logged
        before.
        """
        if oldest.base_offset == self._warned_offset:
            return
        if not is_held_by_future_time(oldest, policy, now_ms=now_ms):
            return
        self._warned_offset = oldest.base_offset
        _log.warning(
            "a record's time in the future keeps %s from being deleted; delete its records, or limit such "
            "times with message.timestamp.after.max.ms: %s",
            self._partition,
            fact_text(
                segment=oldest.base_offset,
                timestamp_ms=oldest.max_timestamp_ms,
                retention_ms=policy.retention_ms,
            ),
        )


def _is_too_old(segment: SegmentSummary, policy: RetentionPolicy, now_ms: TimestampMs) -> bool:
    if policy.retention_ms is None:
        return False
    return now_ms - max(segment.max_timestamp_ms, segment.last_append_ms) > policy.retention_ms


def _is_too_big(segment: SegmentSummary, policy: RetentionPolicy, kept_bytes: int) -> bool:
    return policy.retention_bytes is not None and kept_bytes - segment.size_bytes >= policy.retention_bytes
