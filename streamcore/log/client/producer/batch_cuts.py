"""The size of columns in a batch, and cutting columns into the parts that batches are made of."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from streamcore.model import HEADER_OVERHEAD_BYTES, RECORD_OVERHEAD_BYTES, RecordColumns

BATCH_BYTES: Final = 512 * 1024
"""The intended size of a batch, if the topic accepts batches of this size."""


def cut_into_parts(columns: RecordColumns, bytes_wanted: int) -> list[RecordColumns]:
    """Cut columns into parts of equal record counts, for batches of about ``bytes_wanted``."""
    count = len(columns)
    part_count = min(count, -(-columns.measure() // bytes_wanted))
    if part_count == 1:
        return [columns]
    step = -(-count // part_count)
    return [columns.slice(start, min(start + step, count)) for start in range(0, count, step)]


def cut_to_fit(columns: RecordColumns, bytes_max: int) -> Iterator[RecordColumns]:
    """Cut columns into parts of at most ``bytes_max``; a larger single record is a part of its own."""
    ends_bytes = list(accumulate(record_sizes(columns)))
    start = 0
    while start < len(ends_bytes):
        before_bytes = ends_bytes[start - 1] if start else 0
        end = max(bisect_right(ends_bytes, before_bytes + bytes_max, start), start + 1)
        yield columns.slice(start, end)
        start = end


def record_sizes(columns: RecordColumns) -> list[int]:
    """Estimate the bytes of each record in a batch, uncompressed; each estimate is an upper bound."""
    sizes = [
        len(key or b"") + len(value or b"") + RECORD_OVERHEAD_BYTES
        for key, value in zip(columns.keys, columns.values, strict=True)
    ]
    if columns.headers is not None:
        for index, row in enumerate(columns.headers):
            if row:
                sizes[index] += sum(
                    len(name) + len(value or b"") + HEADER_OVERHEAD_BYTES for name, value in row
                )
    return sizes
