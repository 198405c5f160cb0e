"""Decision whether a batch may be appended, and its conversion. Pure; the shell is ``PartitionLog``.

Single records are read only if the topic's settings require it: a compacted topic needs keys, a limit on the
age of records needs their times, and ``compression.type`` other than ``producer`` may need new bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple
from zlib import crc32

from streamcore.errors import (
    CorruptBatchError,
    InvalidRecordError,
    InvalidTimestampError,
    RecordTooLargeError,
    with_facts,
)
from streamcore.log.records.batch import (
    APPEND_TIME_FLAG,
    COMPRESSION_MASK,
    CONTROL_FLAG,
    HEADER_BYTES,
    LENGTH_END,
    NO_SEQUENCE,
    BatchHeader,
    Bytes,
    WritableBytes,
    check_batch,
    pack_batch,
    parse_header,
)
from streamcore.log.records.compression import CODECS, compress, decompress
from streamcore.log.storage.partition.record_checks import ensure_records_allowed
from streamcore.log.storage.segment.segment import Segment
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.model import Offset, TimestampMs, TopicPartition

_CODEC_NUMBERS: Final = frozenset(CODECS.values())


def checked_header(
    batch: Bytes,
    config: TopicConfig,
    partition: TopicPartition,
    *,
    now_ms: TimestampMs,
    from_client: bool,
    has_all_keys: bool = False,
) -> BatchHeader:
    """Return the header of a batch that the topic's rules allow.

    Args:
        has_all_keys: the caller encoded the batch itself and knows that each record has a key.

    Raises:
        CorruptBatchError: the bytes are not exactly one valid batch.
        InvalidRecordError: the batch breaks a rule of the format or of the topic.
    """
    header = parse_header(batch)
    if header.batch_length + LENGTH_END != len(batch):
        raise CorruptBatchError(
            with_facts(
                "the bytes to append must be one complete batch",
                batch_bytes=header.size_bytes,
                given_bytes=len(batch),
            )
        )
    check_batch(batch, 0, header)
    if from_client and len(batch) > config.max_message_bytes:
        _check_size(batch, config)
    if len(batch) > config.segment_bytes:
        raise RecordTooLargeError(
            with_facts(
                "a batch does not fit into one segment: send less at once or raise segment.bytes",
                size_bytes=len(batch),
                segment_bytes=config.segment_bytes,
            )
        )
    if header.record_count == 0 or header.record_count != header.last_offset_delta + 1:
        raise InvalidRecordError(
            with_facts(
                "the record count of a batch does not fit its offsets",
                record_count=header.record_count,
                last_offset_delta=header.last_offset_delta,
            )
        )
    if from_client:
        _check_client_rules(batch, header, config, partition, now_ms, has_all_keys)
    return header


def _check_size(batch: Bytes, config: TopicConfig) -> None:
    if len(batch) > config.max_message_bytes:
        raise RecordTooLargeError(
            with_facts(
                "a batch is larger than the topic allows: send less at once or raise max.message.bytes",
                size_bytes=len(batch),
                max_message_bytes=config.max_message_bytes,
            )
        )


def _check_client_rules(
    batch: Bytes,
    header: BatchHeader,
    config: TopicConfig,
    partition: TopicPartition,
    now_ms: TimestampMs,
    has_all_keys: bool,
) -> None:
    if header.attributes & COMPRESSION_MASK not in _CODEC_NUMBERS:
        raise InvalidRecordError(
            with_facts(
                "a batch has an unknown compression codec: choose another codec", codec=header.compression
            )
        )
    if header.attributes & CONTROL_FLAG:
        raise InvalidRecordError("a client may not append markers: use a transactional producer")
    if header.producer_id >= 0 and (header.base_sequence == NO_SEQUENCE or header.producer_epoch < 0):
        raise InvalidRecordError(
            with_facts(
                "a batch with a producer id needs an epoch and a sequence number",
                producer_id=header.producer_id,
            )
        )
    if header.attributes & APPEND_TIME_FLAG:
        raise InvalidTimestampError("only the log itself may stamp a batch with its append time")
    ensure_records_allowed(batch, header, config, partition, now_ms=now_ms, has_all_keys=has_all_keys)


def recompressed(batch: WritableBytes, header: BatchHeader, config: TopicConfig) -> WritableBytes:
    """Return the batch in the topic's compression; the same object if it has that compression already.

    A topic with ``compression.type=producer`` accepts every codec.

    Raises:
        RecordTooLargeError: the recompressed batch is too large.
    """
    if config.compression_type == "producer":
        return batch
    name = "none" if config.compression_type == "uncompressed" else config.compression_type
    codec = CODECS[name]
    if header.compression == codec:
        return batch
    records = decompress(header.compression, bytes(memoryview(batch)[HEADER_BYTES:]))
    attributes = (header.attributes & ~COMPRESSION_MASK) | codec
    changed = pack_batch(
        header._replace(attributes=attributes), compress(codec, records, config.compression_level)
    )
    _check_size(changed, config)
    return changed


def jitter_ms(segment: Path, config: TopicConfig) -> int:
    """Return how much earlier than ``segment.ms`` a segment is closed; the same value at each call for a
    segment.
    """
    limit_ms = min(config.segment_jitter_ms, config.segment_ms)
    return crc32(bytes(segment)) % limit_ms if limit_ms else 0


class Room(NamedTuple):
    """The bounds, each included, within which a segment takes batches without a call of ``must_roll``."""

    size_bytes: int
    timestamp_ms: TimestampMs
    last_offset: Offset


NO_ROOM: Final = Room(-1, -1, -1)


def room_in(active: Segment, config: TopicConfig) -> Room:
    """Return the bounds within which ``must_roll`` is certainly false; none for an empty segment, whose
    age has not begun.
    """
    first_timestamp_ms = active.first_timestamp_ms()
    if active.size_bytes == 0 or first_timestamp_ms is None:
        return NO_ROOM
    # An index gets an entry after so many bytes, and at most one per batch.
    entries_left = config.segment_index_bytes // 12 - active.index_entry_count() - 2
    bytes_left = max(0, entries_left) * max(config.index_interval_bytes, HEADER_BYTES)
    return Room(
        min(config.segment_bytes, active.size_bytes + bytes_left),
        first_timestamp_ms + config.segment_ms - min(config.segment_jitter_ms, config.segment_ms),
        active.base_offset + 2**31 - 1,
    )


def must_roll(active: Segment, batch_bytes: int, header: BatchHeader, config: TopicConfig) -> bool:
    """Whether the active segment must be closed before this batch, whose offsets are known.

    The age is by the records' own time, as in Kafka: the span between the segment's first record and
    this batch. An empty segment takes any batch.
    """
    if active.size_bytes == 0:
        return False
    if active.size_bytes + batch_bytes > config.segment_bytes:
        return True
    first_timestamp_ms = active.first_timestamp_ms()
    if first_timestamp_ms is not None:
        age_ms = header.max_timestamp_ms - first_timestamp_ms
        jitter = jitter_ms(active.data_path, config) if config.segment_jitter_ms else 0
        if age_ms > config.segment_ms - jitter:
            return True
    if (active.index_entry_count() + 1) * 12 > config.segment_index_bytes:
        return True
    return header.last_offset - active.base_offset > 2**31 - 1
