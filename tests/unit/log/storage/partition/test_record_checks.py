"""Which records of a batch a topic refuses: all of them are named."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from streamcore.errors import InvalidRecordError, InvalidTimestampError
from streamcore.log.records.batch import parse_header
from streamcore.log.records.builder import encode_batch
from streamcore.log.storage.partition.record_checks import RECORD_ERRORS_MAX, ensure_records_allowed
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.model import TopicPartition

NOW_MS = 1_700_000_000_000
TARGET = TopicPartition("t", 0)


def check(
    times_ms: list[int],
    keys: list[bytes | None] | None = None,
    *,
    config: Mapping[str, str] | None = None,
    has_all_keys: bool = False,
) -> None:
    batch = bytes(encode_batch(keys or [b"k"] * len(times_ms), [b"v"] * len(times_ms), times_ms))
    settings = TopicConfig.parse(config or {})
    ensure_records_allowed(
        batch, parse_header(batch), settings, TARGET, now_ms=NOW_MS, has_all_keys=has_all_keys
    )


def test_times_at_the_limits_pass_and_those_beyond_are_all_named() -> None:
    limits = {"message.timestamp.before.max.ms": "1000", "message.timestamp.after.max.ms": "500"}
    check([NOW_MS - 1000, NOW_MS, NOW_MS + 500, -1], config=limits)

    with pytest.raises(InvalidTimestampError, match="past") as refused:
        check([NOW_MS - 1001, NOW_MS, -1, NOW_MS + 501], config=limits)

    assert refused.value.record_errors == {
        index: f"Timestamp {time_ms} of message with offset {index} is out of range. The timestamp should be "
        f"within [{NOW_MS - 1000}, {NOW_MS + 500}]"
        for index, time_ms in ((0, NOW_MS - 1001), (3, NOW_MS + 501))
    }


def test_the_first_bad_time_says_which_setting_it_breaks() -> None:
    with pytest.raises(InvalidTimestampError, match="ahead_ms=3600001"):
        check([NOW_MS, NOW_MS + 3_600_001, NOW_MS + 2**40])


def test_a_topic_with_the_brokers_time_takes_any() -> None:
    check(
        [NOW_MS + 2**40, 0],
        config={"message.timestamp.type": "LogAppendTime", "message.timestamp.before.max.ms": "1"},
    )


def test_keys_are_needed_in_a_compacted_topic_alone_and_not_looked_for_twice() -> None:
    keys: list[bytes | None] = [b"k", None, None]
    check([NOW_MS] * 3, keys)
    check([NOW_MS] * 3, keys, has_all_keys=True, config={"cleanup.policy": "compact"})

    with pytest.raises(InvalidRecordError, match="bad_records=2") as refused:
        check([NOW_MS] * 3, keys, config={"cleanup.policy": "compact,delete"})
    assert list(refused.value.record_errors) == [1, 2]


def test_no_more_records_are_named_than_an_answer_may_hold() -> None:
    count = RECORD_ERRORS_MAX + 5
    with pytest.raises(InvalidRecordError) as refused:
        check([NOW_MS] * count, [None] * count, config={"cleanup.policy": "compact"})

    assert list(refused.value.record_errors) == list(range(RECORD_ERRORS_MAX))
