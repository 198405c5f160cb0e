"""Decoding of stored batches: to columns for readers, to single records for compaction.

aiokafka's compiled codec decodes the records; it checks every length against the available bytes. Header,
checksum and decompression are implemented in this package.

All reads go through ``decode_columns``, so its work per record is one short loop.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
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
from streamcore.model import FetchedColumns, Offset, ProducerId, TimestampMs, TopicPartition

_CODEC_ERRORS = (CorruptRecordException, UnicodeDecodeError)

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
    try:
        return list(_records_in(data, position, header))
    except _CODEC_ERRORS as error:
        raise _undecodable(header) from error


def _records_in(data: Bytes, position: int, header: BatchHeader) -> Iterable[BatchRecord]:
    """Return the codec's iterator over the records of a batch; it raises the codec's errors."""
    if header.record_count == 0:
        return ()
    attributes = header.attributes
    batch: Bytes = memoryview(data)[position : position + header.size_bytes]
    if attributes & COMPRESSION_MASK:
        plain = header._replace(attributes=attributes & ~COMPRESSION_MASK)
        body = bytes(batch[HEADER_BYTES:])
        batch = pack_batch(plain, decompress(attributes & COMPRESSION_MASK, body))
    records: Iterable[BatchRecord] = DefaultRecordBatch(batch)
    return records


def _undecodable(header: BatchHeader) -> CorruptBatchError:
    return CorruptBatchError(
        with_facts(
            "the records of a batch do not decode",
            base_offset=header.base_offset,
            record_count=header.record_count,
        )
    )


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
        try:
            _append_records(columns, header, _records_in(data, position, header), start)
        except _CODEC_ERRORS as error:
            raise _undecodable(header) from error
    return columns


def _append_records(
    columns: FetchedColumns, header: BatchHeader, records: Iterable[BatchRecord], start: Offset
) -> None:
    """Append the records of a batch from offset ``start`` on.

    Each record is dropped before the codec makes the next one: so the codec uses its memory again, and
    Python's garbage collector, which counts new objects, does not search through thousands of them.
    """
    is_whole = header.base_offset >= start and header.record_count == header.last_offset_delta + 1
    if not is_whole:
        records = _noting_offsets(records, start, columns.offsets)
    first = len(columns.values)
    add_key, add_value, add_time = columns.keys.append, columns.values.append, columns.timestamps_ms.append
    headers = columns.headers
    for record in records:
        add_key(record.key)
        add_value(record.value)
        add_time(record.timestamp)
        if headers is not None:
            headers.append(tuple(record.headers))
        elif record.headers:
            headers = columns.headers = [()] * (len(columns.values) - 1)
            headers.append(tuple(record.headers))
    count = len(columns.values) - first
    if is_whole:
        columns.offsets += range(header.end_offset - count, header.end_offset)
    if header.attributes & APPEND_TIME_FLAG:
        columns.timestamps_ms[first:] = [header.max_timestamp_ms] * count


def _noting_offsets(
    records: Iterable[BatchRecord], start: Offset, offsets: list[Offset]
) -> Iterator[BatchRecord]:
    """Yield the records from offset ``start`` on, after adding the offset of each to ``offsets``."""
    for record in records:
        if record.offset >= start:
            offsets.append(record.offset)
            yield record


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
