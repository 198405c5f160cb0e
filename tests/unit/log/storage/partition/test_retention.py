"""Which segments are deleted."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from streamcore.log.storage.partition.retention import (
    Reason,
    RetentionPolicy,
    deletion_text,
    expired,
    is_held_by_future_time,
    is_outlived,
)
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.model import TopicPartition


@dataclass
class Summary:
    end_offset: int
    size_bytes: int
    max_timestamp_ms: int
    last_append_ms: int = 0
    base_offset: int = 0


SEGMENTS = [
    Summary(10, 100, 1_000),
    Summary(20, 100, 5_000),
    Summary(30, 100, 2_000),
    Summary(40, 100, 9_000),
]
KEEP_ALL = RetentionPolicy(retention_ms=None, retention_bytes=None)


def count(
    policy: RetentionPolicy, *, log_start: int = 0, high_watermark: int = 40, now_ms: int = 10_000
) -> int:
    return len(expired(SEGMENTS, policy, log_start=log_start, high_watermark=high_watermark, now_ms=now_ms))


@pytest.mark.parametrize(
    ("retention_ms", "expected"), [(9_000, 0), (8_999, 1), (5_000, 1), (4_999, 3), (0, 3)]
)
def test_only_a_prefix_of_old_segments_goes_and_the_active_one_stays(
    retention_ms: int, expected: int
) -> None:
    assert count(RetentionPolicy(retention_ms=retention_ms, retention_bytes=None)) == expected


@pytest.mark.parametrize(
    ("retention_bytes", "expected"), [(400, 0), (301, 0), (300, 1), (250, 1), (200, 2), (0, 3)]
)
def test_at_least_the_wanted_bytes_are_kept(retention_bytes: int, expected: int) -> None:
    assert count(RetentionPolicy(retention_ms=None, retention_bytes=retention_bytes)) == expected


def test_a_segment_with_records_that_are_not_visible_yet_stays() -> None:
    assert count(RetentionPolicy(retention_ms=0, retention_bytes=0), high_watermark=19) == 1


@pytest.mark.parametrize(("log_start", "expected"), [(0, 0), (9, 0), (10, 1), (25, 2), (40, 3)])
def test_segments_before_the_log_start_go_whatever_the_policy(log_start: int, expected: int) -> None:
    assert count(KEEP_ALL, log_start=log_start) == expected


@pytest.mark.parametrize(
    ("max_timestamp_ms", "last_append_ms", "is_old"),
    [
        (5_000, 0, True),
        (5_000, 9_000, False),  # an old event that was appended a moment ago
        (9_000, 5_000, False),
        (5_001, 5_000, False),
        (5_000, 5_001, False),
        (-1, 5_000, True),  # no record has a time
        (-1, 5_001, False),
        (2**60, 5_000, False),
    ],
)
def test_a_segment_is_as_old_as_its_youngest_record_and_its_last_append(
    max_timestamp_ms: int, last_append_ms: int, is_old: bool
) -> None:
    policy = RetentionPolicy(retention_ms=4_999, retention_bytes=None)
    segment = Summary(10, 100, max_timestamp_ms, last_append_ms)

    assert is_outlived(segment, policy, now_ms=10_000) is is_old
    reasons = expired([segment, SEGMENTS[3]], policy, log_start=0, high_watermark=40, now_ms=10_000)
    assert reasons == ([Reason.TOO_OLD] if is_old else [])


@pytest.mark.parametrize(
    ("max_timestamp_ms", "last_append_ms", "is_held"),
    [(20_000, 4_000, True), (20_000, 5_000, False), (10_000, 4_000, False), (-1, 4_000, False)],
)
def test_a_time_in_the_future_holds_up_what_was_appended_long_ago(
    max_timestamp_ms: int, last_append_ms: int, is_held: bool
) -> None:
    segment = Summary(10, 100, max_timestamp_ms, last_append_ms)
    policy = RetentionPolicy(retention_ms=5_000, retention_bytes=None)

    assert is_held_by_future_time(segment, policy, now_ms=10_000) is is_held
    assert not is_held_by_future_time(segment, KEEP_ALL, now_ms=10_000)


def test_a_deletion_is_logged_with_its_range_its_size_and_its_reasons() -> None:
    config = TopicConfig.parse({"retention.ms": "600000", "retention.bytes": "1000"})
    gone = [Summary(10, 100, 1, base_offset=4), Summary(20, 50, 1, base_offset=10), Summary(30, 7, 1)]

    text = deletion_text(
        TopicPartition("t", 0), gone, [Reason.BEFORE_START, Reason.TOO_OLD, Reason.TOO_OLD], config
    )

    assert text == (
        "deleted from t-0: 3 segments with offsets 4 to 29, 157 bytes: "
        "1 before the log start, 2 older than retention.ms=600000"
    )


def test_a_topic_that_is_only_compacted_deletes_nothing() -> None:
    assert (
        RetentionPolicy.of(TopicConfig.parse({"cleanup.policy": "compact", "retention.ms": "1"})) == KEEP_ALL
    )
    assert RetentionPolicy.of(TopicConfig.parse({"retention.ms": "-1"})) == KEEP_ALL
