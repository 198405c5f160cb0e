"""Which of the writes of a commit its changelog does not take."""

from __future__ import annotations

import pytest

from streamcore.state.engine import StoreWrites
from streamcore.state.record_sizes import first_too_large, too_large


@pytest.mark.parametrize(
    ("writes", "expected"),
    [
        ([], None),
        ([(b"k", b"12345")], None),
        ([(b"k", None), (b"kk", b"1234")], None),
        ([(b"k", b"1"), (b"k2", b"12345"), (b"k3", b"123456")], 1),
        # The longest key and the longest value are of different records.
        ([(b"12345", b""), (b"", b"123456")], None),
        ([(b"1234567", None)], 0),
        ([(b"1234567", None), (b"k", b"1")], 0),
    ],
)
def test_a_key_and_its_value_have_at_most_the_limit(
    writes: list[tuple[bytes, bytes | None]], expected: int | None
) -> None:
    columns = StoreWrites("table", [key for key, _ in writes], [value for _, value in writes])

    assert first_too_large(columns, 6) == expected


def test_the_error_names_table_key_size_and_limit() -> None:
    error = too_large(table="kept", key="k" * 200, size_bytes=7, bytes_max=6)

    assert str(error).endswith(f"table=kept key='{'k' * 99} size_bytes=7 size_bytes_max=6")
