"""Which records of a batch their topic does not take."""

from __future__ import annotations

import pytest

from streamcore.errors import RecordTooLargeError
from streamcore.processing.topology.record_sizes import (
    ensure_fits,
    longest,
    longest_headers,
    record_bytes,
)


@pytest.mark.parametrize(
    ("column", "expected"), [([], 0), ([None], 0), ([b"1", None, b"123"], 3), ([b"12", b"1"], 2)]
)
def test_the_longest_field_of_a_column_is_found_beside_none(
    column: list[bytes | None], expected: int
) -> None:
    assert longest(column) == expected


def test_headers_count_with_their_names() -> None:
    assert longest_headers(None) == longest_headers([(), ()]) == 0
    assert longest_headers([(("name", None),), (), (("name", b"12"),)]) == 4 * 4 + 2 + 10


def test_key_value_and_headers_count() -> None:
    assert record_bytes(None, None, ()) == 0
    assert record_bytes(b"k", b"value", ()) == 6
    assert record_bytes(b"k", b"value", (("h", b"12"),)) > 9


def test_a_record_above_the_limit_is_refused_with_topic_and_sizes() -> None:
    ensure_fits("out", b"k", b"12345", (), 6)
    with pytest.raises(RecordTooLargeError, match="topic=out size_bytes=7 size_bytes_max=6"):
        ensure_fits("out", b"kk", b"12345", (), 6)
