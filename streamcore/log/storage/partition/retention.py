"""Decides how many of the oldest segments are to be deleted. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.model import Offset, TimestampMs


class SegmentSummary(Protocol):
    """What retention needs to know of a segment."""

    @property
    def end_offset(self) -> Offset:
        """Past the last offset of the segment."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the data file."""

    @property
    def max_timestamp_ms(self) -> TimestampMs:
        """Largest timestamp in the segment, -1 if it has no record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """How long and how much to keep; ``None`` is without limit."""

    retention_ms: int | None
    retention_bytes: int | None

    @classmethod
    def of(cls, config: TopicConfig) -> RetentionPolicy:
        """The policy that a topic's settings ask for."""
        if not config.deletes_old:
            return cls(retention_ms=None, retention_bytes=None)
        return cls(
            retention_ms=config.retention_ms if config.retention_ms >= 0 else None,
            retention_bytes=config.retention_bytes if config.retention_bytes >= 0 else None,
        )


def expired_count(
    segments: Sequence[SegmentSummary],
    policy: RetentionPolicy,
    *,
    log_start: Offset,
    high_watermark: Offset,
    now_ms: TimestampMs,
) -> int:
    """Count the leading segments to delete.

    Only a prefix may go, or the log would have a hole. The active segment, which is the last
    one, always stays, and so does any segment that holds a record not yet visible.
    """
    kept_bytes = sum(segment.size_bytes for segment in segments)
    count = 0
    for segment in segments[:-1]:
        if segment.end_offset > high_watermark:
            break
        is_before_start = segment.end_offset <= log_start
        if not (
            is_before_start or _too_old(segment, policy, now_ms) or _too_big(segment, policy, kept_bytes)
        ):
            break
        kept_bytes -= segment.size_bytes
        count += 1
    return count


def is_outlived(segment: SegmentSummary, policy: RetentionPolicy, *, now_ms: TimestampMs) -> bool:
    """Whether an active segment has nothing young enough to keep, so that it should be closed."""
    return segment.size_bytes > 0 and _too_old(segment, policy, now_ms)


def _too_old(segment: SegmentSummary, policy: RetentionPolicy, now_ms: TimestampMs) -> bool:
    # A segment without any timestamp has no age, and is left to the size rule.
    if policy.retention_ms is None or segment.max_timestamp_ms < 0:
        return False
    return now_ms - segment.max_timestamp_ms > policy.retention_ms


def _too_big(segment: SegmentSummary, policy: RetentionPolicy, kept_bytes: int) -> bool:
    return policy.retention_bytes is not None and kept_bytes - segment.size_bytes >= policy.retention_bytes
