"""Recognizes a Produce request that equals an earlier one except for its records.

A producer of single records sends the same bytes again and again: only the correlation id and the batch
change. So the first request of a kind is decoded and its answer encoded by the message tables, and both
are kept as a pattern. A later request is compared with the pattern byte by byte. If it fits, only the batch
is parsed, and the answer is the pattern's with four numbers replaced.

    request: key, version | correlation id | prefix: client id ... partition | length | records | end
    answer:  length | correlation id | ... | base offset | append time | log start | ...

Patterns are made of requests with one batch for one partition that want an answer and are in no transaction.
A request that fits no pattern is decoded and handled as usual.
"""

from __future__ import annotations

import struct
from typing import Final

from streamcore.log.protocol.apis import PRODUCE
from streamcore.log.protocol.fields import Bytes
from streamcore.log.protocol.headers import RequestHeader, response_start
from streamcore.log.protocol.messages.produce import (
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from streamcore.log.records.batch import HEADER_BYTES, LENGTH_END, MAGIC, TRANSACTIONAL_FLAG
from streamcore.log.records.compression import ZSTD
from streamcore.model import Offset, TimestampMs, TopicName, TopicPartition

_ACKS: Final = (-1, 1)
_ZSTD_FROM: Final = 7
_TOPIC_IDS_FROM: Final = 13
_LOG_START_FROM: Final = 5
_PREFIX_AT: Final = 8
_PREFIX_BYTES_MAX: Final = 1024
_CORRELATION_ID: Final = struct.Struct(">i")
_LENGTH: Final = struct.Struct(">i")
_FIRST_FIELDS: Final = struct.Struct(">8xi4xb4xh")
"""Of a batch: its length, its format's version, its attributes."""
_PLACE: Final = struct.Struct(">qqq")
_PLACE_WITHOUT_LOG_START: Final = struct.Struct(">qq")
_NOT_AN_OFFSET: Final = b"\xff\xff\xff\xff\xff\xff\xff\xfe"
"""A placeholder for the base offset in an encoded answer; no topic name contains these bytes."""
_FLEXIBLE_END: Final = b"\x00\x00\x00"
"""Three structures end after the records, each with no tagged fields."""


class ProducePattern:
    """The bytes that requests to one partition have in common, their meaning, and their answer."""

    __slots__ = (
        "_answer",
        "_end",
        "_has_log_start",
        "_place_at",
        "_prefix",
        "_start",
        "_takes_zstd",
        "client_id",
        "partition",
        "topic",
        "topic_id",
        "version",
    )

    def __init__(
        self, header: RequestHeader, prefix: bytes, topic: TopicProduceData, partition: TopicPartition
    ) -> None:
        """``topic`` is the topic as in the request, without its batches."""
        self.version = version = header.version
        self.client_id = header.client_id
        self.topic = topic
        self.partition = partition
        self.topic_id = topic.topic_id if version >= _TOPIC_IDS_FROM else None
        """The topic's id or name in the request, if it differs from ``name``."""
        self._start = struct.pack(">hh", PRODUCE.key, version)
        self._prefix = prefix
        self._end = _FLEXIBLE_END if PRODUCE.is_flexible(version) else b""
        self._takes_zstd = version >= _ZSTD_FROM
        self._has_log_start = version >= _LOG_START_FROM
        result = PartitionProduceResponse(
            index=partition.partition,
            error_code=0,
            base_offset=int.from_bytes(_NOT_AN_OFFSET, "big", signed=True),
        )
        answer = TopicProduceResponse(name=topic.name, topic_id=topic.topic_id, partition_responses=[result])
        body = PRODUCE.response_codec(version).encode(ProduceResponse(responses=[answer]))
        start = response_start(PRODUCE, version, 0, len(body))
        self._answer = bytes(start + body)
        self._place_at = self._answer.rindex(_NOT_AN_OFFSET)

    def batch_in(self, frame: bytearray) -> memoryview | None:
        """Return the batch of a request, if the request fits the pattern and the batch has a plain header."""
        prefix = self._prefix
        if not (frame.startswith(self._start) and frame.startswith(prefix, _PREFIX_AT)):
            return None
        position = _PREFIX_AT + len(prefix)
        end = len(frame)
        try:
            if self._end:
                size = frame[position]
                position += 1
                if size > 127:
                    size = (size & 127) | frame[position] << 7
                    position += 1
                    if size > 16383:
                        size = (size & 16383) | frame[position] << 14
                        position += 1
                        if size > 2097151:
                            return None  # a pattern gains nothing for so large a batch
                size -= 1
                end -= len(_FLEXIBLE_END)
                if not frame.endswith(_FLEXIBLE_END):
                    return None
            else:
                (size,) = _LENGTH.unpack_from(frame, position)
                position += _LENGTH.size
        except (IndexError, struct.error):
            return None
        if position + size != end or size < HEADER_BYTES:
            return None
        length, magic, attributes = _FIRST_FIELDS.unpack_from(frame, position)
        if length + LENGTH_END != size or magic != MAGIC or attributes & TRANSACTIONAL_FLAG:
            return None
        if attributes & 7 == ZSTD and not self._takes_zstd:
            return None
        return memoryview(frame)[position:end]

    def answer(
        self, correlation_id: int, base_offset: Offset, append_time_ms: TimestampMs, log_start: Offset
    ) -> bytearray:
        """Return the answer's frame, with the offset of a request's batch."""
        answer = bytearray(self._answer)
        _CORRELATION_ID.pack_into(answer, 4, correlation_id)
        if self._has_log_start:
            _PLACE.pack_into(answer, self._place_at, base_offset, append_time_ms, log_start)
        else:
            _PLACE_WITHOUT_LOG_START.pack_into(answer, self._place_at, base_offset, append_time_ms)
        return answer


def correlation_id_of(frame: Bytes) -> int:
    """Return the number that links an answer to its request."""
    (correlation_id,) = _CORRELATION_ID.unpack_from(frame, 4)
    return int(correlation_id)


def sole_topic(request: ProduceRequest) -> TopicProduceData | None:
    """Return the topic of a request that can become a pattern, else ``None``."""
    if request.transactional_id is not None or request.acks not in _ACKS or len(request.topic_data) != 1:
        return None
    (topic,) = request.topic_data
    return topic if len(topic.partition_data) == 1 else None


def pattern_of(
    frame: bytearray, header: RequestHeader, topic: TopicProduceData, name: TopicName
) -> ProducePattern | None:
    """Return the pattern of a request for one batch, if there is one that the request itself fits.

    Args:
        frame: the request.
        header: its header.
        topic: its ``sole_topic``.
        name: the topic's name here, whether the request has its name or its id.
    """
    (data,) = topic.partition_data
    if not isinstance(data.records, memoryview) or len(data.records) < HEADER_BYTES:
        return None
    is_flexible = PRODUCE.is_flexible(header.version)
    size = len(data.records)
    size_bytes = _varint_bytes(size + 1) if is_flexible else _LENGTH.size
    end = len(frame) - (len(_FLEXIBLE_END) if is_flexible else 0) - size - size_bytes
    if not 0 < end - _PREFIX_AT <= _PREFIX_BYTES_MAX:
        return None
    named = TopicProduceData(name=topic.name, topic_id=topic.topic_id, partition_data=[])
    pattern = ProducePattern(header, bytes(frame[_PREFIX_AT:end]), named, TopicPartition(name, data.index))
    found = pattern.batch_in(frame)
    return pattern if found is not None and found == data.records else None


def _varint_bytes(value: int) -> int:
    return max(1, (value.bit_length() + 6) // 7)
