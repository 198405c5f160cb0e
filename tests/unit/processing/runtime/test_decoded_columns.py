"""Fetched columns, decoded: each record keeps its row, its error and its time."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import SerdeError
from streamcore.model import FetchedColumns, TopicPartition
from streamcore.processing.runtime.decoded_columns import DecodedColumns
from streamcore.processing.topology.marks import Mark, WriterTimes, headers_of
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.times import NO_TIME, NO_TIMESTAMP
from streamcore.serde import serde_for

PARTITION = TopicPartition("numbers", 0)
NOW_MS = 1_000_000


def spec(value_type: Any = int, **settings: Any) -> TopicSpec:
    return TopicSpec(
        name="numbers", key_serde=serde_for(str), value_serde=serde_for(value_type), on_error=None, **settings
    )


def fetched(
    values: list[bytes | None],
    times_ms: list[int] | None = None,
    keys: list[bytes | None] | None = None,
    headers: list[Any] | None = None,
) -> FetchedColumns:
    count = len(values)
    return FetchedColumns(
        keys or [b"k"] * count,
        values,
        times_ms or list(range(count)),
        headers,
        partition=PARTITION,
        offsets=list(range(count)),
        next_offset=count,
    )


def test_keys_and_values_are_decoded_in_their_rows() -> None:
    columns = DecodedColumns(fetched([b"1", b"2"], keys=[b"a", None]), spec(internal=True), NO_TIME)

    assert (columns.keys, columns.values) == (["a", None], [1, 2])
    assert columns.has_no_nulls
    assert not columns.failures


def test_a_record_that_does_not_decode_keeps_its_row_and_its_error() -> None:
    columns = DecodedColumns(fetched([b"1", b"?", b"3"]), spec(), NO_TIME)

    assert (columns.values[0], columns.values[2]) == (1, 3)
    assert list(columns.failures) == [1]
    assert isinstance(columns.failures[1], SerdeError)


def test_a_null_is_no_error_and_is_known() -> None:
    columns = DecodedColumns(fetched([b"1", None]), spec(), NO_TIME)

    assert columns.values == [1, None]
    assert not columns.has_no_nulls
    assert not columns.failures


def test_untyped_values_may_be_none_although_no_value_is_null() -> None:
    assert not DecodedColumns(fetched([b"\xc0"]), spec(Any), NO_TIME).has_no_nulls


@pytest.mark.parametrize(
    ("times_ms", "before_ms", "expected"),
    [
        ([5, 7, 9], NO_TIME, [5, 7, 9]),
        ([5, 3, 9], NO_TIME, [5, 5, 9]),
        ([5, 7, 9], 8, [8, 8, 9]),
        ([5, NO_TIMESTAMP, 9], NO_TIME, [5, 5, 9]),
    ],
)
def test_the_partition_time_is_the_highest_time_so_far(
    times_ms: list[int], before_ms: int, expected: list[int]
) -> None:
    columns = DecodedColumns(fetched([b"1"] * 3, times_ms), spec(), before_ms)

    assert columns.timestamps_ms == times_ms
    assert list(columns.partition_times_ms) == expected


def test_event_times_come_from_the_values_and_one_that_fails_is_an_error_of_its_record() -> None:
    def event_time(value: int) -> int:
        if value == 2:
            raise ValueError("no time")
        return value * 100

    columns = DecodedColumns(fetched([b"1", b"2", None, b"4"]), spec(timestamp=event_time), NO_TIME)

    assert columns.timestamps_ms == [100, NO_TIMESTAMP, NO_TIMESTAMP, 400]
    assert list(columns.partition_times_ms) == [100, 100, 100, 400]
    assert list(columns.failures) == [1]


def test_a_time_further_ahead_than_the_topic_allows_is_an_error_of_its_record() -> None:
    times_ms = [NOW_MS, NOW_MS + 500, NOW_MS + 501]

    columns = DecodedColumns(fetched([b"1"] * 3, times_ms), spec(max_ahead_ms=500), NO_TIME, NOW_MS)

    assert list(columns.failures) == [2]
    assert list(columns.partition_times_ms) == [NOW_MS, NOW_MS + 500, NOW_MS + 500]


def test_a_time_far_ahead_of_the_clock_moves_no_time_and_is_no_error() -> None:
    columns = DecodedColumns(
        fetched([b"1"] * 3, [NOW_MS, NOW_MS + 9_000, NOW_MS + 1]), spec(), NO_TIME, NOW_MS, ahead_ms=1_000
    )

    assert not columns.failures
    assert columns.ahead == [NOW_MS + 9_000]
    assert list(columns.partition_times_ms) == [NOW_MS, NOW_MS, NOW_MS + 1]


def test_a_mark_keeps_its_row_and_is_no_record() -> None:
    mark = Mark("count/0", 50, is_idle=False)
    columns = DecodedColumns(
        fetched(
            [b"1", None, b"3"], [10, 0, 60], keys=[b"a", None, b"c"], headers=[(), headers_of([mark]), ()]
        ),
        spec(internal=True),
        NO_TIME,
        writers=WriterTimes(["count/0"]),
    )

    assert list(columns.marks) == [1]
    assert (columns.keys, columns.values) == (["a", None, "c"], [1, None, 3])
    assert list(columns.partition_times_ms) == [10, 50, 60]
