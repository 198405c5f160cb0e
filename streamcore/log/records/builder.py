"""Building of record batches: from columns, record by record, or as a transaction marker.

aiokafka's compiled codec encodes the records; header, compression and checksum are implemented in this
package. A batch is built with base offset 0; the log assigns the real base offset.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from itertools import count, repeat

from aiokafka.record._crecords.default_records import DefaultRecordBatchBuilder

from streamcore.log.records.batch import (
    COMPRESSION_MASK,
    CONTROL_FLAG,
    DELETE_HORIZON_FLAG,
    HEADER_BYTES,
    NO_SEQUENCE,
    NO_TIMESTAMP,
    BatchHeader,
    pack_batch,
    parse_header,
)
from streamcore.log.records.compression import NONE, codec_number, compress
from streamcore.log.records.decode import BatchRecord
from streamcore.model import Headers, ProducerId, TimestampMs

# The codec refuses a record above its size limit; the log checks the size of the whole batch instead.
_NO_LIMIT = 2**31 - 1
_NO_HEADERS: list[tuple[str, bytes | None]] = []

_MARKER_KEY = struct.Struct(">hh")
_MARKER_VALUE = struct.Struct(">hi")
_MARKER_VERSION = 0
_ABORT, _COMMIT = 0, 1


class BatchBuilder:
    """Collects records and builds one batch. For one thread at a time."""

    __slots__ = ("_append", "_builder", "_skipped_bytes", "_timestamps_ms_max", "record_count")

    def __init__(self, *, transactional: bool = False) -> None:
        """Create an empty builder; ``transactional`` marks the batch as part of a transaction."""
        self._builder = DefaultRecordBatchBuilder(2, 0, transactional, -1, -1, -1, _NO_LIMIT)
        self._append = self._builder.append
        self._skipped_bytes = 0
        self._timestamps_ms_max = NO_TIMESTAMP
        self.record_count = 0

    def append(
        self, timestamp_ms: TimestampMs, key: bytes | None, value: bytes | None, headers: Headers = ()
    ) -> None:
        """Add a record.

        Raises:
            TypeError: key, value or headers are not bytes; no record is added.
        """
        index = self.record_count
        if not index and timestamp_ms < 0:
            self._begin_at_zero()
        self._timestamps_ms_max = max(self._timestamps_ms_max, timestamp_ms)
        self._append(index, timestamp_ms, key, value, list(headers) if headers else _NO_HEADERS)
        self.record_count = index + 1

    @property
    def size_bytes(self) -> int:
        """Return the present size of the batch in bytes, before compression."""
        size: int = self._builder.size()
        return size

    def build(
        self,
        *,
        compression: str = "none",
        producer_id: ProducerId = -1,
        producer_epoch: int = -1,
        base_sequence: int = NO_SEQUENCE,
    ) -> bytearray:
        """Return the batch, with base offset 0. The builder cannot be used afterwards."""
        assert self.record_count > 0, "a batch has at least one record"
        codec = codec_number(compression)
        self._builder.set_producer_state(producer_id, producer_epoch, base_sequence)
        batch: bytearray = self._builder.build()
        if codec == NONE and not self._skipped_bytes:
            return batch
        header = parse_header(batch)
        body = memoryview(batch)[HEADER_BYTES + self._skipped_bytes :]
        if self._skipped_bytes:
            header = header._replace(record_count=self.record_count, max_timestamp_ms=self._timestamps_ms_max)
        records = body if codec == NONE else compress(codec, bytes(body))
        return pack_batch(header._replace(attributes=header.attributes | codec), records)

    def _begin_at_zero(self) -> None:
        """Add a record with timestamp 0 as the base of the timestamp deltas; ``build`` cuts this record off.

        The codec takes its first record's timestamp as the base of all deltas, but treats -1 as "no base yet"
        and would write wrong deltas after it.
        """
        before_bytes = self._builder.size()
        self._append(0, 0, None, None, _NO_HEADERS)
        self._skipped_bytes = self._builder.size() - before_bytes


def encode_batch(
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
    timestamps_ms: Sequence[TimestampMs],
    headers: Sequence[Headers] | None = None,
    *,
    compression: str = "none",
    producer_id: ProducerId = -1,
    producer_epoch: int = -1,
    base_sequence: int = NO_SEQUENCE,
    transactional: bool = False,
) -> bytearray:
    """Return one batch of the records in the columns, with base offset 0."""
    builder = BatchBuilder(transactional=transactional)
    if timestamps_ms and timestamps_ms[0] < 0 and (latest_ms := max(timestamps_ms)) != NO_TIMESTAMP:
        builder._begin_at_zero()
        builder._timestamps_ms_max = latest_ms
    append = builder._append
    if headers is None:
        assert len(keys) == len(values) == len(timestamps_ms)
        # Without a step of the interpreter for each record.
        deque(map(append, count(), timestamps_ms, keys, values, repeat(_NO_HEADERS)), maxlen=0)
    else:
        rows = zip(keys, values, timestamps_ms, headers, strict=True)
        for index, (key, value, timestamp_ms, row_headers) in enumerate(rows):
            append(index, timestamp_ms, key, value, list(row_headers))
    builder.record_count = len(keys)
    return builder.build(
        compression=compression,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        base_sequence=base_sequence,
    )


def encode_marker(
    producer_id: ProducerId,
    producer_epoch: int,
    commit: bool,
    coordinator_epoch: int,
    timestamp_ms: TimestampMs,
) -> bytearray:
    """Return the control batch that ends a producer's transaction in one partition."""
    builder = BatchBuilder(transactional=True)
    builder.append(
        timestamp_ms,
        _MARKER_KEY.pack(_MARKER_VERSION, _COMMIT if commit else _ABORT),
        _MARKER_VALUE.pack(_MARKER_VERSION, coordinator_epoch),
    )
    batch = builder.build(producer_id=producer_id, producer_epoch=producer_epoch)
    header = parse_header(batch)
    attributes = header.attributes | CONTROL_FLAG
    return pack_batch(header._replace(attributes=attributes), memoryview(batch)[HEADER_BYTES:])


def rewrite_batch(
    header: BatchHeader,
    records: Sequence[BatchRecord],
    *,
    compression: int,
    delete_horizon_ms: TimestampMs | None = None,
) -> bytearray:
    """Return the batch of ``header`` with only these of its records.

    Base and last offset, producer, sequence and flags stay the same, so that readers see the same offsets and
    sequences although records are missing.

    Args:
        header: header of the batch that the records were read from.
        records: some of its records, in order; may be empty.
        compression: the codec of the new batch.
        delete_horizon_ms: written in place of the base timestamp, with the attribute that marks it.
    """
    horizon_ms = header.delete_horizon_ms if delete_horizon_ms is None else delete_horizon_ms
    base_timestamp_ms = header.base_timestamp_ms if horizon_ms is None else horizon_ms
    max_timestamp_ms = max((record.timestamp for record in records), default=header.max_timestamp_ms)
    body = b""
    if records:
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, _NO_LIMIT)
        # The codec takes its first record's timestamp as the base of all deltas. A record of time 0,
        # which is cut off below, makes the codec write the deltas from the wanted base.
        builder.append(0, 0, None, None, _NO_HEADERS)
        skipped = builder.size()
        for record in records:
            builder.append(
                record.offset - header.base_offset,
                record.timestamp - base_timestamp_ms,
                record.key,
                record.value,
                record.headers,
            )
        body = bytes(memoryview(builder.build())[skipped:])
    attributes = (header.attributes & ~COMPRESSION_MASK) | compression
    if horizon_ms is not None:
        attributes |= DELETE_HORIZON_FLAG
    return pack_batch(
        header._replace(
            attributes=attributes,
            base_timestamp_ms=base_timestamp_ms,
            max_timestamp_ms=max_timestamp_ms,
            record_count=len(records),
        ),
        compress(compression, body) if body else body,
    )
