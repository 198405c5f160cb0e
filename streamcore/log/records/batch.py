"""The header of a record batch: parsed, checked and patched without decoding the records.

Record batch v2, big-endian, 61 bytes before the records:

    base offset i64 @0 | batch length i32 @8 (bytes after this field) | leader epoch i32 @12
    magic i8 @16 (= 2) | crc u32 @17 | attributes i16 @21 | last offset delta i32 @23
    base timestamp i64 @27 | max timestamp i64 @35 | producer id i64 @43 | producer epoch i16 @51
    base sequence i32 @53 | record count i32 @57 | records @61

The CRC-32C covers everything from the attributes on, so the log writes base offset and leader epoch into a
batch without computing the checksum again.

Attributes: bits 0-2 compression codec, 3 log append time, 4 transactional, 5 control, 6 the base timestamp
is a delete horizon.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import google_crc32c

from streamcore.errors import CorruptBatchError, UnsupportedVersionError, fact_text, with_facts
from streamcore.model import Offset, ProducerId, TimestampMs

Bytes: TypeAlias = bytes | bytearray | memoryview
WritableBytes: TypeAlias = bytearray | memoryview

HEADER_BYTES = 61
LENGTH_END = 12
"""The end of the length field: a batch has ``LENGTH_END + batch length`` bytes."""

MAGIC = 2
NO_PRODUCER_ID: ProducerId = -1
NO_SEQUENCE = -1
NO_TIMESTAMP: TimestampMs = -1

COMPRESSION_MASK = 0x07
APPEND_TIME_FLAG = 0x08
TRANSACTIONAL_FLAG = 0x10
CONTROL_FLAG = 0x20
DELETE_HORIZON_FLAG = 0x40

_HEADER = struct.Struct(">qiibIhiqqqhii")
_PREFIX = struct.Struct(">qiib")
_BASE_OFFSET_AND_LENGTH = struct.Struct(">qi")
_BASE_OFFSET = struct.Struct(">q")
_LEADER_EPOCH = struct.Struct(">i")
_CRC = struct.Struct(">I")
_ATTRIBUTES = struct.Struct(">h")
_MAX_TIMESTAMP = struct.Struct(">q")

_CRC_AT = 17
_CRC_FROM = 21
_CRC_PIECE_BYTES = 1 << 16


class BatchHeader(NamedTuple):
    """The fixed fields of a record batch, in stored order."""

    base_offset: Offset
    batch_length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp_ms: TimestampMs
    max_timestamp_ms: TimestampMs
    producer_id: ProducerId
    producer_epoch: int
    base_sequence: int
    record_count: int

    def at(self, base_offset: Offset, leader_epoch: int) -> BatchHeader:
        """Return the same header with another base offset and leader epoch, as the log assigns them."""
        return tuple.__new__(BatchHeader, (base_offset, self[1], leader_epoch, *self[3:]))

    @property
    def size_bytes(self) -> int:
        """The size of the whole batch, header included."""
        return self.batch_length + LENGTH_END

    @property
    def last_offset(self) -> Offset:
        """The offset of the batch's last record, inclusive."""
        return self.base_offset + self.last_offset_delta

    @property
    def end_offset(self) -> Offset:
        """The offset after the batch's last offset."""
        return self.base_offset + self.last_offset_delta + 1

    @property
    def last_sequence(self) -> int:
        """The sequence number of the last record; wraps to 0 after 2^31 - 1."""
        if self.base_sequence == NO_SEQUENCE:
            return NO_SEQUENCE
        return (self.base_sequence + self.last_offset_delta) & 0x7FFFFFFF

    @property
    def is_transactional(self) -> bool:
        """Whether the batch belongs to a transaction."""
        return bool(self.attributes & TRANSACTIONAL_FLAG)

    @property
    def is_control(self) -> bool:
        """Whether the batch holds a commit or abort marker instead of records."""
        return bool(self.attributes & CONTROL_FLAG)

    @property
    def has_append_time(self) -> bool:
        """Whether the max timestamp, which is then the log's append time, holds for all records."""
        return bool(self.attributes & APPEND_TIME_FLAG)

    @property
    def has_producer(self) -> bool:
        """Whether an idempotent producer wrote the batch."""
        return self.producer_id >= 0

    @property
    def compression(self) -> int:
        """The number of the compression codec, 0 for none."""
        return self.attributes & COMPRESSION_MASK

    @property
    def delete_horizon_ms(self) -> TimestampMs | None:
        """The time from which compaction may drop the batch's tombstones and markers; ``None`` if not set."""
        return self.base_timestamp_ms if self.attributes & DELETE_HORIZON_FLAG else None


class BatchAt(NamedTuple):
    """A batch's header and the byte position of the batch in its data."""

    position: int
    header: BatchHeader


def parse_header(data: Bytes, position: int = 0) -> BatchHeader:
    """Read the header at byte ``position``; check what can be checked without the records.

    Raises:
        CorruptBatchError: the bytes cannot be a batch.
        UnsupportedVersionError: the batch has a newer or older format than version 2.
    """
    try:
        header = tuple.__new__(BatchHeader, _HEADER.unpack_from(data, position))
    except struct.error as error:
        raise CorruptBatchError(
            with_facts("a batch is cut off inside its header", position=position, size_bytes=len(data))
        ) from error
    if header.batch_length < HEADER_BYTES - LENGTH_END:
        raise CorruptBatchError("a batch has an impossible length, " + _facts(header, position))
    if header.magic != MAGIC:
        raise UnsupportedVersionError(
            "only record batches of format version 2 can be read: upgrade the program or convert the data, "
            + _facts(header, position)
            + f" version={header.magic}"
        )
    if header.base_offset < 0 or header.last_offset_delta < 0 or header.record_count < 0:
        raise CorruptBatchError("a batch has negative offsets or counts, " + _facts(header, position))
    return header


def check_batch(data: Bytes, position: int, header: BatchHeader) -> None:
    """Check that the batch is complete and that its checksum is right.

    Raises:
        CorruptBatchError: the batch is cut off, or its checksum is wrong.
    """
    end = position + header.size_bytes
    if end > len(data):
        raise CorruptBatchError(
            "a batch is cut off, " + _facts(header, position) + f" missing_bytes={end - len(data)}"
        )
    if checksum(data, position, end) != header.crc:
        raise CorruptBatchError("a batch fails its checksum, " + _facts(header, position))


def checksum(data: Bytes, start: int, end: int) -> int:
    """Return the CRC-32C of the batch at ``[start, end)``, computed from its bytes."""
    # The checksum function takes only ``bytes``, so the batch is copied: in pieces that stay in the cache,
    # because the system would have to find memory for each large copy.
    view = memoryview(data)[start + _CRC_FROM : end]
    if len(view) <= _CRC_PIECE_BYTES:
        return int(google_crc32c.value(bytes(view)))
    found = 0
    for piece in range(0, len(view), _CRC_PIECE_BYTES):
        found = google_crc32c.extend(found, bytes(view[piece : piece + _CRC_PIECE_BYTES]))
    return found


def iter_batches(data: Bytes, *, check: bool = False) -> Iterator[BatchAt]:
    """Yield the header of each complete batch; a batch that is cut off at the end is left out.

    Args:
        data: consecutive batches.
        check: verify each batch's checksum.

    Raises:
        CorruptBatchError: bytes before the end are not a batch, or a checksum is wrong.
    """
    position = 0
    end = len(data)
    while position + HEADER_BYTES <= end:
        header = parse_header(data, position)
        if position + header.size_bytes > end:
            return
        if check:
            check_batch(data, position, header)
        yield BatchAt(position, header)
        position += header.size_bytes


class WholeBatches(NamedTuple):
    """The complete batches at the start of some bytes: where they end, and the last of them."""

    end: int
    last_position: int


def whole_batches(data: Bytes, end_offset: Offset) -> WholeBatches:
    """Find the complete batches at the start of ``data`` that begin before ``end_offset``."""
    position = last_position = 0
    size = len(data)
    unpack = _BASE_OFFSET_AND_LENGTH.unpack_from
    while position + HEADER_BYTES <= size:
        base_offset, length = unpack(data, position)
        batch_end = position + LENGTH_END + length
        if base_offset >= end_offset or length < HEADER_BYTES - LENGTH_END or batch_end > size:
            break
        last_position, position = position, batch_end
    return WholeBatches(position, last_position)


def patch_offsets(batch: WritableBytes, base_offset: Offset, leader_epoch: int) -> None:
    """Write the base offset and the leader epoch; the checksum does not cover them."""
    _BASE_OFFSET.pack_into(batch, 0, base_offset)
    _LEADER_EPOCH.pack_into(batch, 12, leader_epoch)


def patch_append_time(batch: WritableBytes, append_time_ms: TimestampMs) -> None:
    """Set the log's append time for all records, and write the new checksum."""
    (attributes,) = _ATTRIBUTES.unpack_from(batch, 21)
    _ATTRIBUTES.pack_into(batch, 21, attributes | APPEND_TIME_FLAG)
    _MAX_TIMESTAMP.pack_into(batch, 35, append_time_ms)
    patch_checksum(batch)


def patch_checksum(batch: WritableBytes) -> None:
    """Write the checksum of the batch's bytes into its header."""
    _CRC.pack_into(batch, _CRC_AT, checksum(batch, 0, len(batch)))


def pack_batch(header: BatchHeader, records: Bytes) -> bytearray:
    """Return a batch of these encoded records; compute its length and checksum."""
    length = HEADER_BYTES - LENGTH_END + len(records)
    batch = bytearray(_HEADER.pack(*header._replace(batch_length=length, magic=MAGIC, crc=0)))
    batch += records
    patch_checksum(batch)
    return batch


def _facts(header: BatchHeader, position: int) -> str:
    return fact_text(position=position, base_offset=header.base_offset, batch_length=header.batch_length)
