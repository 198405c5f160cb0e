"""Which part of a log compaction may clean, when, and how segments are put together."""

from __future__ import annotations

from dataclasses import dataclass

from streamcore.log.storage.compaction.compaction_plan import (
    NEWEST_OFFSET_BYTES,
    NewestOffsets,
    cleanable_part,
    is_due,
    segment_groups,
)


@dataclass(frozen=True)
class Size:
    base_offset: int
    end_offset: int
    size_bytes: int = 100
    max_timestamp_ms: int = 0


SEGMENTS = [Size(0, 10), Size(10, 20, max_timestamp_ms=50), Size(20, 30, max_timestamp_ms=90)]


def test_a_round_sees_what_earlier_rounds_have_not_and_counts_both_parts() -> None:
    part = cleanable_part(SEGMENTS, first_dirty=10, last_stable=30, now_ms=100, min_lag_ms=0)

    assert (part.first_dirty, part.end) == (10, 30)
    assert (part.clean_bytes, part.dirty_bytes) == (100, 200)
    assert round(part.dirty_ratio, 2) == 0.67


def test_a_round_stops_before_the_segment_that_holds_undecided_records() -> None:
    part = cleanable_part(SEGMENTS, first_dirty=0, last_stable=29, now_ms=100, min_lag_ms=0)

    assert part.end == 20


def test_a_round_stops_before_the_first_segment_with_a_record_that_is_too_young() -> None:
    part = cleanable_part(SEGMENTS, first_dirty=0, last_stable=30, now_ms=100, min_lag_ms=60)

    assert part.end == 10


def test_nothing_is_cleanable_without_closed_segments() -> None:
    part = cleanable_part([], first_dirty=0, last_stable=30, now_ms=100, min_lag_ms=0)

    assert part.dirty_bytes == 0
    assert part.dirty_ratio == 0
    assert not is_due(part, min_dirty_ratio=0, oldest_dirty_ms=None, now_ms=0, max_lag_ms=0)


def test_a_round_is_due_by_ratio_or_when_the_oldest_dirty_record_waits_too_long() -> None:
    part = cleanable_part(SEGMENTS, first_dirty=20, last_stable=30, now_ms=100, min_lag_ms=0)

    assert is_due(part, min_dirty_ratio=0.3, oldest_dirty_ms=None, now_ms=100, max_lag_ms=50)
    assert not is_due(part, min_dirty_ratio=0.5, oldest_dirty_ms=90, now_ms=100, max_lag_ms=50)
    assert is_due(part, min_dirty_ratio=0.5, oldest_dirty_ms=10, now_ms=100, max_lag_ms=50)


def test_neighbours_are_grouped_as_long_as_they_fit_one_segment() -> None:
    sizes = [Size(0, 10, 60), Size(10, 20, 40), Size(20, 30, 1), Size(30, 40, 200), Size(40, 50, 5)]

    assert segment_groups(sizes, segment_bytes_max=100) == [
        range(0, 2),
        range(2, 3),
        range(3, 4),
        range(4, 5),
    ]
    assert segment_groups([], segment_bytes_max=100) == []


def test_a_group_never_spans_more_offsets_than_an_index_can_say() -> None:
    sizes = [Size(0, 10), Size(10, 2**31 - 1), Size(2**31 - 1, 2**31 + 5)]

    assert segment_groups(sizes, segment_bytes_max=10**9) == [range(0, 2), range(2, 3)]


def test_newest_offsets_take_keys_up_to_the_memory_they_were_given() -> None:
    newest = NewestOffsets(bytes_max=3 * NEWEST_OFFSET_BYTES)

    assert newest.has_room(1000)
    for offset, key in enumerate([b"a", b"b" * 100, b"a", b"c" * 16]):
        newest.note(key, offset)

    assert [newest.newest(key) for key in (b"a", b"b" * 100, b"c" * 16, b"d")] == [2, 1, 3, -1]
    assert len(newest) == 3
    assert newest.has_room(0)
    assert not newest.has_room(1)
