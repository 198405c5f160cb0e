"""The columns of a run that is appended: how large they are, and how they are cut into batches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, TypeAlias

from streamcore.model import Headers, TimestampMs

Columns: TypeAlias = tuple[
    Sequence[bytes | None], Sequence[bytes | None], Sequence[TimestampMs], Sequence[Headers] | None
]
"""Keys, values, timestamps and headers, of equal length."""

BATCH_BYTES: Final = 512 * 1024
"""About how large a batch is made, where the topic takes such a large one."""

_RECORD_OVERHEAD_BYTES: Final = 21
"""At most so many bytes around a record of less than 2 GiB without headers."""


def columns_bytes(columns: Columns) -> int:
    """About how many bytes the records take in a batch, uncompressed; rather too many."""
    keys, values, _, headers = columns
    size = _total_bytes(keys) + _total_bytes(values) + len(keys) * _RECORD_OVERHEAD_BYTES
    if headers is not None:
        size += sum(len(name) + len(value or b"") + 10 for row in headers for name, value in row)
    return size


def cut_into_parts(columns: Columns, bytes_wanted: int) -> list[Columns]:
    """Cut columns into parts of equal counts that will make batches of about this size."""
    count = len(columns[0])
    part_count = min(count, -(-columns_bytes(columns) // bytes_wanted))
    if part_count == 1:
        return [columns]
    step = -(-count // part_count)
    return [slice_columns(columns, start, min(start + step, count)) for start in range(0, count, step)]


def cut_to_fit(columns: Columns, bytes_max: int) -> Iterator[Columns]:
    """Cut columns into parts that take at most so many bytes, but for single records that are larger."""
    ends_bytes = list(accumulate(_record_sizes(columns)))
    start = 0
    while start < len(ends_bytes):
        before_bytes = ends_bytes[start - 1] if start else 0
        end = max(bisect_right(ends_bytes, before_bytes + bytes_max, start), start + 1)
        yield slice_columns(columns, start, end)
        start = end


def slice_columns(columns: Columns, start: int, end: int) -> Columns:
    """The rows ``[start, end)``."""
    keys, values, timestamps_ms, headers = columns
    return (
        keys[start:end],
        values[start:end],
        timestamps_ms[start:end],
        None if headers is None else headers[start:end],
    )


def _record_sizes(columns: Columns) -> list[int]:
    keys, values, _, headers = columns
    sizes = [
        len(key or b"") + len(value or b"") + _RECORD_OVERHEAD_BYTES
        for key, value in zip(keys, values, strict=True)
    ]
    if headers is not None:
        for index, row in enumerate(headers):
            sizes[index] += sum(len(name) + len(value or b"") + 10 for name, value in row)
    return sizes


def _total_bytes(column: Sequence[bytes | None]) -> int:
    try:
        return sum(map(len, column))  # type: ignore[arg-type]
    except TypeError:
        return sum(len(field) for field in column if field is not None)
