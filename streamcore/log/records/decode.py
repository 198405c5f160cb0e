"""Decoding of stored batches: to columns for readers, to single records for compaction.

aiokafka's compiled codec decodes the records; it checks every length against the available bytes. Header,
checksum and decompression are implemented in this package.

All reads go through ``decode_columns``, so its work per record is one list comprehension per column.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from aiokafka.errors import CorruptRecordException
from aiokafka.record._crecords.default_records import DefaultRecordBatch

from streamcore.errors import CorruptBatchError, with_facts
from streamcore.log.records.batch import (
    APPEND_TIME_FLAG,
    COMPRESSION_MASK,
    CONTROL_FLAG,
    HEADER_BYTES,
    TRANSACTIONAL_FLAG,
    BatchHeader,
    Bytes,
    check_batch,
    iter_batches,
    pack_batch,
)
from streamcore.log.records.compression import decompress
from streamcore.model import FetchedColumns, Headers, Offset, ProducerId, TimestampMs, TopicPartition

_MARKER_KEY = struct.Struct(">hh")
_MARKER_VALUE = struct.Struct(">hi")


class BatchRecord(Protocol):
    """One record as the codec returns it; ``offset`` is the log's offset, not relative to the batch."""

    @property
    def offset(self) -> Offset: ...  # noqa: D102
    @property
    def timestamp(self) -> TimestampMs: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> list[tuple[str, bytes | None]]: ...  # noqa: D102


class AbortedTransaction(NamedTuple):
    """An aborted transaction of a producer; its records start at ``first_offset``."""

    producer_id: ProducerId
    first_offset: Offset


class Marker(NamedTuple):
    """The content of a control batch: a producer's transaction is committed or aborted."""

    is_commit: bool
    coordinator_epoch: int


def batch_records(data: Bytes, position: int, header: BatchHeader) -> list[BatchRecord]:
    """Return the records of the batch at byte ``position``; the caller has checked the checksum.

    Raises:
        CorruptBatchError: the records do not decompress or do not fill the batch.
    """
    end = position + header.size_bytes
    if header.record_count == 0:
        return []
    attributes = header.attributes
    batch: Bytes = memoryview(data)[position:end]
    if attributes & COMPRESSION_MASK:
        plain = header._replace(attributes=attributes & ~COMPRESSION_MASK)
        body = bytes(batch[HEADER_BYTES:])
        batch = pack_batch(plain, decompress(attributes & COMPRESSION_MASK, body))
    try:
        return list(DefaultRecordBatch(batch))
    except (CorruptRecordException, UnicodeDecodeError) as error:
        raise CorruptBatchError(
            with_facts(
                "the records of a batch do not decode",
                base_offset=header.base_offset,
                record_count=header.record_count,
            )
        ) from error


def batch_marker(data: Bytes, position: int, header: BatchHeader) -> Marker:
    """Return the marker in the control batch at byte ``position``.

    Raises:
        CorruptBatchError: the batch is not a commit or abort marker.
    """
    records = batch_records(data, position, header)
    key = (records[0].key if records else None) or b""
    value = (records[0].value if records else None) or b""
    if len(key) < _MARKER_KEY.size or len(value) < _MARKER_VALUE.size:
        raise CorruptBatchError(with_facts("a control batch holds no marker", base_offset=header.base_offset))
    _, kind = _MARKER_KEY.unpack_from(key)
    _, coordinator_epoch = _MARKER_VALUE.unpack_from(value)
    return Marker(is_commit=kind == 1, coordinator_epoch=coordinator_epoch)


def decode_columns(
    partition: TopicPartition,
    data: Bytes,
    start: Offset,
    aborted: Sequence[AbortedTransaction] = (),
) -> FetchedColumns:
    """Decode complete batches to columns of the records from offset ``start`` on.

    Markers and the records of the ``aborted`` transactions are left out; ``next_offset`` is after them. If
    ``aborted`` is not given, as for readers of uncommitted data, all records are returned.

    Raises:
        CorruptBatchError: a batch fails its checksum or its structure.
    """
    columns = FetchedColumns(partition=partition, offsets=[], next_offset=start)
    open_aborts = _AbortedFilter(aborted) if aborted else None
    for position, header in iter_batches(data):
        next_offset = header.end_offset
        if next_offset <= start:
            continue
        check_batch(data, position, header)
        columns.next_offset = next_offset
        if open_aborts is not None and open_aborts.drops(data, position, header):
            continue
        if header.attributes & CONTROL_FLAG:
            continue
        records = batch_records(data, position, header)
        if records:
            _append_records(columns, header, records, start)
    return columns


def _append_records(
    columns: FetchedColumns, header: BatchHeader, records: list[BatchRecord], start: Offset
) -> None:
    if header.base_offset < start:
        records = records[bisect_left(records, start, key=lambda record: record.offset) :]
    if header.record_count == header.last_offset_delta + 1:
        columns.offsets += range(header.end_offset - len(records), header.end_offset)
    else:
        columns.offsets += [record.offset for record in records]
    if header.attributes & APPEND_TIME_FLAG:
        columns.timestamps_ms += [header.max_timestamp_ms] * len(records)
    else:
        columns.timestamps_ms += [record.timestamp for record in records]
    seen = len(columns.keys)
    columns.keys += [record.key for record in records]
    columns.values += [record.value for record in records]
    headers = [record.headers for record in records]
    if any(headers) or columns.headers is not None:
        rows: list[Headers] = columns.headers if columns.headers is not None else [()] * seen
        rows += map(tuple, headers)
        columns.headers = rows


class _AbortedFilter:
    """Follows which transactions are aborted, while the caller passes batches in order."""

    def __init__(self, aborted: Sequence[AbortedTransaction]) -> None:
        self._waiting = sorted(aborted, key=lambda transaction: transaction.first_offset, reverse=True)
        self._open: set[ProducerId] = set()

    def drops(self, data: Bytes, position: int, header: BatchHeader) -> bool:
        """Whether the batch belongs to an aborted transaction, or is a marker."""
        while self._waiting and self._waiting[-1].first_offset <= header.last_offset:
            self._open.add(self._waiting.pop().producer_id)
        if not header.attributes & TRANSACTIONAL_FLAG:
            return False
        if header.attributes & CONTROL_FLAG:
            if header.producer_id in self._open and not batch_marker(data, position, header).is_commit:
                self._open.discard(header.producer_id)
            return True
        return header.producer_id in self._open
