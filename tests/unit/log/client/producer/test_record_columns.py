"""Records become chunks of columns: sizes, times and headers, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from streamcore.errors import InvalidTimestampError, UsageError
from streamcore.log.client.producer.record_columns import (
    SizedColumns,
    as_bytes,
    checked_headers,
    column_chunks,
)
from streamcore.model import HEADER_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES, Record

NOW_MS = 5_000


def chunks_of(records: Any) -> list[SizedColumns]:
    return list(column_chunks(records, lambda: NOW_MS, 0))


def test_pairs_get_the_time_of_their_chunk() -> None:
    (chunk,) = chunks_of([(b"k", b"value"), (None, None)])

    assert (chunk.keys, chunk.values, chunk.headers) == ([b"k", None], [b"value", None], None)
    assert chunk.timestamps_ms == [NOW_MS, NOW_MS]
    assert chunk.sizes_bytes == [RECORD_OVERHEAD_BYTES + 6, RECORD_OVERHEAD_BYTES]
    assert chunk.size_bytes == sum(chunk.sizes_bytes)


def test_records_keep_their_times_and_headers() -> None:
    (chunk,) = chunks_of([Record(b"k", b"v", 7, headers=(("h", b"abc"),)), Record(None, b"v")])

    assert chunk.timestamps_ms == [7, NOW_MS]
    assert chunk.headers == [(("h", b"abc"),), ()]
    assert chunk.sizes_bytes[0] - chunk.sizes_bytes[1] == 1 + HEADER_OVERHEAD_BYTES + len("h") + len(b"abc")


def test_pairs_and_records_may_be_mixed_and_a_pair_may_be_a_list() -> None:
    (chunk,) = chunks_of([(b"a", b"1"), Record(b"b", b"2", 9), [b"c", bytearray(b"3")]])

    assert chunk.values == [b"1", b"2", b"3"]
    assert chunk.timestamps_ms == [NOW_MS, 9, NOW_MS]


def test_chunks_grow_while_records_are_small_and_shrink_when_they_are_large() -> None:
    small = [len(chunk.values) for chunk in chunks_of((None, b"v") for _ in range(10_000))]
    large = [len(chunk.values) for chunk in chunks_of((None, bytes(100_000)) for _ in range(60))]

    assert small[0] < small[1] < small[2]
    assert max(small) <= 4_096
    assert large[-2] < large[0]


def test_rows_are_taken_with_their_sizes() -> None:
    (chunk,) = chunks_of([(b"k", bytes(number)) for number in range(4)])

    taken = chunk.take([3, 1])

    assert taken.values == [bytes(3), bytes(1)]
    assert taken.size_bytes == chunk.sizes_bytes[3] + chunk.sizes_bytes[1]


@pytest.mark.parametrize("wrong", [(b"k",), (b"k", b"v", b"w"), b"value", 5, None])
def test_what_is_neither_a_pair_nor_a_record_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"pairs of key and value, or sc\.Record"):
        chunks_of([wrong])


@pytest.mark.parametrize("wrong", [(b"k", "text"), ("key", b"v"), (b"k", 5)])
def test_what_is_not_bytes_is_refused_and_says_what_to_do(wrong: Any) -> None:
    with pytest.raises(UsageError, match=r"the log holds bytes: encode the (key|value)"):
        chunks_of([(b"k", b"v"), wrong])


def test_a_time_before_1970_is_refused() -> None:
    with pytest.raises(InvalidTimestampError):
        chunks_of([Record(b"k", b"v", -2)])


def test_bytes_may_be_any_buffer() -> None:
    assert as_bytes("value", memoryview(b"abc")) == b"abc"
    assert as_bytes("value", bytearray(b"abc")) == b"abc"


def test_headers_are_pairs_of_a_text_and_bytes() -> None:
    assert checked_headers([("a", b"1"), ("b", None)])[0] == (("a", b"1"), ("b", None))
    for wrong in ([(b"a", b"1")], [("a", "1")], ["a"], [5]):
        with pytest.raises(UsageError, match="header"):
            checked_headers(wrong)  # type: ignore[arg-type]
