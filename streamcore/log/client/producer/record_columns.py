"""Converts an iterable of records to chunks of columns, where possible with loops in C.

A chunk is large enough for speed and bounded in memory: chunks grow while records are small and shrink when
they are large, so that one chunk stays near ``_CHUNK_BYTES`` for any input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import add
from typing import Any, Final, TypeAlias

from streamcore.errors import UsageError, fact_text, with_facts
from streamcore.log.client.producer.record_times import ensure_sendable
from streamcore.log.records.batch import NO_TIMESTAMP
from streamcore.model import (
    HEADER_OVERHEAD_BYTES,
    RECORD_OVERHEAD_BYTES,
    Headers,
    Record,
    RecordColumns,
    TimestampMs,
)

Sendable: TypeAlias = "tuple[bytes | None, bytes | None] | Record[Any, Any]"
"""What ``send_many`` takes: a pair of key and value, or a record of bytes."""

_CHUNK_BYTES: Final = 256 * 1024
_CHUNK_RECORDS: Final = 4096
_PAIRS: Final = frozenset({tuple})
_RECORDS: Final = frozenset({Record})
_BYTES: Final = frozenset({bytes})
_NOTHING: Final = frozenset({type(None)})


@dataclass(slots=True, kw_only=True)
class SizedColumns(RecordColumns):
    """Records as columns, with the most bytes that each record takes in a batch."""

    sizes_bytes: list[int]
    size_bytes: int

    def take(self, rows: Sequence[int]) -> SizedColumns:
        """Return the rows with these indexes, in the order given."""
        taken = RecordColumns.take(self, rows)
        sizes_bytes = [self.sizes_bytes[row] for row in rows]
        return SizedColumns(
            taken.keys,
            taken.values,
            taken.timestamps_ms,
            taken.headers,
            sizes_bytes=sizes_bytes,
            size_bytes=sum(sizes_bytes),
        )


def column_chunks(
    records: Iterable[Sendable], now_ms: Callable[[], TimestampMs], time_min_ms: TimestampMs
) -> Iterator[SizedColumns]:
    """Cut records into chunks; records without a time get the chunk's.

    Args:
        time_min_ms: the earliest time that can be sent, at least 0.

    Raises:
        UsageError: an item that is neither a pair nor a record, or not of bytes.
        InvalidTimestampError: a record's time cannot be sent.
    """
    source = iter(records)
    wanted = 16
    while rows := list(islice(source, wanted)):
        chunk = _chunk(rows, now_ms(), time_min_ms)
        if chunk.size_bytes < _CHUNK_BYTES // 2:
            wanted = min(wanted * 2, _CHUNK_RECORDS)
        elif chunk.size_bytes > _CHUNK_BYTES * 2:
            wanted = max(wanted // 4, 1)
        yield chunk


def as_bytes(name: str, data: object) -> bytes:
    """Return the bytes of a bytes-like object.

    Raises:
        UsageError: it holds something else.
    """
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    facts = fact_text(type=type(data).__name__)
    raise UsageError(f"the log holds bytes: encode the {name}, or send through a topic of an app: {facts}")


def checked_headers(headers: Iterable[tuple[str, bytes | None]]) -> tuple[Headers, int]:
    """Return headers as a tuple, and the most bytes that they take in a batch.

    Raises:
        UsageError: a name that is not text, or a value that is not bytes.
    """
    checked: list[tuple[str, bytes | None]] = []
    size_bytes = 0
    try:
        for name, value in headers:
            if not isinstance(name, str):
                raise UsageError(with_facts("a header's name is text", type=type(name).__name__))
            content = None if value is None else as_bytes("header", value)
            checked.append((name, content))
            size_bytes += HEADER_OVERHEAD_BYTES + len(name.encode()) + len(content or b"")
    except (TypeError, ValueError) as error:
        raise UsageError("headers are pairs of a name and bytes") from error
    return tuple(checked), size_bytes


def _chunk(rows: list[Sendable], now_ms: TimestampMs, time_min_ms: TimestampMs) -> SizedColumns:
    headers: list[Headers] | None = None
    headers_sizes: list[int] | None = None
    timestamps_ms: list[TimestampMs]
    kinds = set(map(type, rows))
    if kinds == _PAIRS:
        try:
            keys = [key for key, _ in rows]  # type: ignore[misc]
            values = [value for _, value in rows]  # type: ignore[misc]
        except ValueError as error:
            raise UsageError("send_many takes pairs of key and value, or sc.Record") from error
        timestamps_ms = [now_ms] * len(rows)
    elif kinds == _RECORDS:
        keys = [row.key for row in rows]  # type: ignore[union-attr]
        values = [row.value for row in rows]  # type: ignore[union-attr]
        timestamps_ms = [
            now_ms if (time_ms := row.timestamp_ms) == NO_TIMESTAMP else time_ms  # type: ignore[union-attr]
            for row in rows
        ]
        ensure_sendable(timestamps_ms, time_min_ms)
        if any(row.headers for row in rows):  # type: ignore[union-attr]
            checked = [checked_headers(row.headers) for row in rows]  # type: ignore[union-attr]
            headers = [row_headers for row_headers, _ in checked]
            headers_sizes = [size for _, size in checked]
    else:
        return _chunk([_as_record(row) for row in rows], now_ms, time_min_ms)
    keys, key_sizes = _checked_keys(keys)
    values, value_sizes = _checked_column("value", values)
    sizes_bytes = [size + RECORD_OVERHEAD_BYTES for size in value_sizes]
    for more in (key_sizes, headers_sizes):
        if more is not None:
            sizes_bytes = list(map(add, sizes_bytes, more))
    return SizedColumns(
        keys,
        values,
        timestamps_ms,
        headers,
        sizes_bytes=sizes_bytes,
        size_bytes=sum(sizes_bytes),
    )


def _checked_keys(column: list[Any]) -> tuple[list[bytes | None], list[int] | None]:
    """Return keys as bytes with their sizes; ``None`` for the sizes if no record has a key."""
    return (column, None) if set(map(type, column)) == _NOTHING else _checked_column("key", column)


def _checked_column(name: str, column: list[Any]) -> tuple[list[bytes | None], list[int]]:
    """Return keys or values as bytes, with their sizes."""
    if set(map(type, column)) == _BYTES:
        return column, list(map(len, column))
    converted = [item if item is None or type(item) is bytes else as_bytes(name, item) for item in column]
    return converted, [0 if item is None else len(item) for item in converted]


def _as_record(row: Sendable) -> Record[Any, Any]:
    if isinstance(row, Record):
        return row
    if isinstance(row, tuple | list) and len(row) == 2:
        return Record(row[0], row[1])
    raise UsageError(
        with_facts("send_many takes pairs of key and value, or sc.Record", type=type(row).__name__)
    )
