"""Which segments are deleted."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from streamcore.log.storage.partition.retention import RetentionPolicy, expired_count, is_outlived
from streamcore.log.storage.topics.topic_config import TopicConfig


@dataclass
class Summary:
    end_offset: int
    size_bytes: int
    max_timestamp_ms: int


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
    return expired_count(SEGMENTS, policy, log_start=log_start, high_watermark=high_watermark, now_ms=now_ms)


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


def test_what_is_not_yet_visible_stays() -> None:
    assert count(RetentionPolicy(retention_ms=0, retention_bytes=0), high_watermark=19) == 1


@pytest.mark.parametrize(("log_start", "expected"), [(0, 0), (9, 0), (10, 1), (25, 2), (40, 3)])
def test_segments_before_the_log_start_go_whatever_the_policy(log_start: int, expected: int) -> None:
    assert count(KEEP_ALL, log_start=log_start) == expected


def test_a_segment_without_times_has_no_age() -> None:
    policy = RetentionPolicy(retention_ms=0, retention_bytes=None)

    assert not is_outlived(Summary(10, 100, -1), policy, now_ms=10**15)
    assert is_outlived(Summary(10, 100, 5), policy, now_ms=6)


def test_a_topic_that_is_only_compacted_deletes_nothing() -> None:
    assert (
        RetentionPolicy.of(TopicConfig.parse({"cleanup.policy": "compact", "retention.ms": "1"})) == KEEP_ALL
    )
    assert RetentionPolicy.of(TopicConfig.parse({"retention.ms": "-1"})) == KEEP_ALL
