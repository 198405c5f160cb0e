"""Offsets by time, against a walk through all records: compressed, stamped by the log, compacted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamcore.log.records.batch import iter_batches
from streamcore.log.records.builder import encode_batch
from streamcore.log.records.decode import batch_records
from streamcore.log.storage.partition.offset_lookup import (
    FoundOffset,
    offset_for_time,
    offset_of_largest_time,
)
from streamcore.model import Isolation
from tests.support.partition_fixture import NOW_MS, OnePartition

COMMITTED, UNCOMMITTED = Isolation.READ_COMMITTED, Isolation.READ_UNCOMMITTED

TIMES = st.lists(st.integers(0, 9), min_size=1, max_size=4)
BATCHES = st.lists(st.tuples(TIMES, st.sampled_from(["none", "gzip", "zstd"])), max_size=8)


def appended(one: OnePartition, times: Sequence[int], compression: str = "none") -> None:
    keys = [b"k%d" % time for time in times]
    times_ms = [NOW_MS + time for time in times]
    one.log.append(encode_batch(keys, keys, times_ms, compression=compression), now_ms=NOW_MS)
    one.log.sync()


def by_looking(one: OnePartition) -> list[FoundOffset]:
    """Every stored record from the log start on, markers included."""
    found: list[FoundOffset] = []
    offset = one.log.offsets.log_start
    while offset < one.log.offsets.high_watermark:
        result = one.log.read(offset, bytes_max=1, isolation=UNCOMMITTED)
        for start, header in iter_batches(result.data, check=True):
            for record in batch_records(result.data, start, header):
                time_ms = header.max_timestamp_ms if header.has_append_time else record.timestamp
                if record.offset >= one.log.offsets.log_start:
                    found.append(FoundOffset(record.offset, time_ms, header.leader_epoch))
        offset = result.next_offset
    return found


@settings(max_examples=50)
@given(BATCHES, st.booleans(), st.integers(0, 6), st.booleans())
def test_the_first_record_that_is_not_earlier_is_found(
    batches: list[tuple[list[int], str]], is_compacted: bool, log_start: int, is_reopened: bool
) -> None:
    one = OnePartition(segment_bytes="250", index_interval_bytes="0")
    for times, compression in batches:
        appended(one, times, compression)
    if is_compacted:
        one.manager.set_topic_config("t", {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"})
        one.manager.maintain()
    one.log.delete_records_before(min(log_start, one.log.offsets.high_watermark))
    if is_reopened:
        one.reopen()
    records = by_looking(one)

    for time_ms in range(NOW_MS - 1, NOW_MS + 11):
        expected = next((each for each in records if each.timestamp_ms >= time_ms), None)
        assert offset_for_time(one.log, time_ms) == expected


@settings(max_examples=50)
@given(BATCHES)
def test_the_first_record_with_the_largest_time_is_found(batches: list[tuple[list[int], str]]) -> None:
    one = OnePartition(segment_bytes="250", index_interval_bytes="0")
    for times, compression in batches:
        appended(one, times, compression)

    expected = max(by_looking(one), key=lambda each: (each.timestamp_ms, -each.offset), default=None)

    assert offset_of_largest_time(one.log) == expected


def test_a_topic_that_stamps_records_is_looked_up_by_its_stamps() -> None:
    one = OnePartition(message_timestamp_type="LogAppendTime")
    one.append(b"a", b"b", time_ms=5)
    one.clock.advance(10)
    one.append(b"c", b"d", time_ms=5)
    one.log.sync()

    assert offset_for_time(one.log, NOW_MS + 1) == FoundOffset(2, NOW_MS + 10, 0)
    assert offset_of_largest_time(one.log) == FoundOffset(2, NOW_MS + 10, 0)


def test_records_that_are_not_visible_are_not_found() -> None:
    one = OnePartition()
    one.append(b"plain", time_ms=NOW_MS)
    one.append(b"open", time_ms=NOW_MS + 5, producer_id=7, transactional=True)
    one.log.sync()
    one.append(b"not synced", time_ms=NOW_MS + 9)

    assert offset_for_time(one.log, NOW_MS + 1, UNCOMMITTED) == FoundOffset(1, NOW_MS + 5, 0)
    assert offset_for_time(one.log, NOW_MS + 1, COMMITTED) is None
    assert offset_for_time(one.log, NOW_MS + 6, UNCOMMITTED) is None
    assert offset_of_largest_time(one.log, UNCOMMITTED) is None
    one.log.sync()
    assert offset_of_largest_time(one.log, UNCOMMITTED) == FoundOffset(2, NOW_MS + 9, 0)
    assert offset_of_largest_time(one.log, COMMITTED) is None


def test_a_marker_stands_at_a_time_like_a_record() -> None:
    one = OnePartition()
    one.append(b"x", time_ms=NOW_MS - 9, producer_id=7, transactional=True)
    one.end(7, commit=True)
    one.log.sync()

    assert offset_for_time(one.log, NOW_MS - 8) == FoundOffset(1, NOW_MS, 0)
    assert offset_of_largest_time(one.log) == FoundOffset(1, NOW_MS, 0)


@pytest.mark.parametrize("isolation", Isolation)
def test_nothing_is_found_in_an_empty_log(isolation: Isolation) -> None:
    one = OnePartition()

    assert offset_for_time(one.log, 0, isolation) is None
    assert offset_of_largest_time(one.log, isolation) is None


def test_records_without_a_time_have_no_largest_one() -> None:
    one = OnePartition()
    one.append(b"x", time_ms=-1)
    one.log.sync()

    assert offset_of_largest_time(one.log) is None


def test_a_found_record_has_the_epoch_that_it_was_written_in() -> None:
    one = OnePartition()
    appended(one, [1])
    one.crash()
    appended(one, [5])

    assert [offset_for_time(one.log, NOW_MS + time) for time in (0, 2)] == [
        FoundOffset(0, NOW_MS + 1, 0),
        FoundOffset(1, NOW_MS + 5, 1),
    ]
