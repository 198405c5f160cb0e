"""A pattern recognises a request only if it means the same, and answers it as the tables would."""

from __future__ import annotations

import random
import struct

import pytest

from streamcore.log.api.produce_pattern import ProducePattern, correlation_id_of, pattern_of, sole_topic
from streamcore.log.protocol.apis import PRODUCE
from streamcore.log.protocol.encoding import encode_varint
from streamcore.log.protocol.headers import body_start, parse_header
from streamcore.log.protocol.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from streamcore.log.records.batch import patch_checksum
from tests.support.serving import batch

TOPIC_ID = bytes(range(16))
VERSIONS = range(PRODUCE.version_min, PRODUCE.version_max + 1)


def frame_of(
    version: int,
    records: bytes | None,
    *,
    correlation_id: int = 1,
    client_id: bytes = b"client",
    topic: str = "events",
    partition: int = 3,
    acks: int = -1,
    transactional_id: str | None = None,
) -> bytearray:
    header = struct.pack(">hhih", 0, version, correlation_id, len(client_id)) + client_id
    if PRODUCE.is_flexible(version):
        header += encode_varint(0)
    data = TopicProduceData(
        name=topic if version < 13 else "",
        topic_id=TOPIC_ID if version >= 13 else bytes(16),
        partition_data=[PartitionProduceData(index=partition, records=records)],
    )
    request = ProduceRequest(transactional_id=transactional_id, acks=acks, timeout_ms=1000, topic_data=[data])
    return bytearray(header + PRODUCE.request_codec(version).encode(request))


def decoded(frame: bytearray) -> ProduceRequest:
    header = parse_header(frame)
    start = body_start(frame, header, PRODUCE)
    request = PRODUCE.request_codec(header.version).decode(memoryview(frame), start, may_have_rest=True)
    assert isinstance(request, ProduceRequest)
    return request


def learned(frame: bytearray) -> ProducePattern | None:
    topic = sole_topic(decoded(frame))
    return None if topic is None else pattern_of(frame, parse_header(frame), topic, "events")


def with_attributes(attributes: int) -> bytes:
    changed = bytearray(batch(b"a"))
    struct.pack_into(">h", changed, 21, attributes)
    patch_checksum(changed)
    return bytes(changed)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [0, 1, 40, 60, 61, 62, 16_300, 16_330, 70_000])
def test_the_batch_of_a_like_request_is_found_whatever_its_size(version: int, size: int) -> None:
    pattern = learned(frame_of(version, batch(b"first")))
    records = batch(bytes(size))
    frame = frame_of(version, records, correlation_id=-7)

    assert pattern is not None
    assert (pattern.partition.topic, pattern.partition.partition) == ("events", 3)
    assert pattern.topic_id == (TOPIC_ID if version >= 13 else None)
    found = pattern.batch_in(frame)
    assert found is not None
    assert bytes(found) == records
    assert correlation_id_of(frame) == -7


@pytest.mark.parametrize("version", VERSIONS)
def test_an_answer_is_the_one_that_the_tables_encode(version: int) -> None:
    pattern = learned(frame_of(version, batch(b"first")))
    assert pattern is not None

    answer = pattern.answer(77, 2**40, 1_700_000_000_000, 12)

    assert struct.unpack_from(">ii", answer) == (len(answer) - 4, 77)
    start = 8 + PRODUCE.is_flexible(version)
    response = PRODUCE.response_codec(version).decode(bytes(answer), start)
    assert isinstance(response, ProduceResponse)
    (topic,) = response.responses
    assert (topic.name, topic.topic_id) == (("events", bytes(16)) if version < 13 else ("", TOPIC_ID))
    assert topic.partition_responses == [
        PartitionProduceResponse(
            index=3,
            error_code=0,
            base_offset=2**40,
            log_append_time_ms=1_700_000_000_000,
            log_start_offset=12 if version >= 5 else -1,
        )
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_request_that_differs_in_more_than_its_batch_fits_no_pattern(version: int) -> None:
    pattern = learned(frame_of(version, batch(b"first")))
    assert pattern is not None
    others = [
        frame_of(version, batch(b"a"), client_id=b"Client"),
        frame_of(version, batch(b"a"), partition=4),
        frame_of(version, batch(b"a"), acks=1),
        frame_of(version, batch(b"a"), transactional_id="t"),
        frame_of(version, batch(b"a") + batch(b"b")),
        frame_of(version, batch(b"a")[:-1]),
        frame_of(version, b""),
        frame_of(version, None),
        frame_of(version, batch(b"a")) + b"\x00",
        frame_of(version, with_attributes(0x10)),
        frame_of(3 if version > 3 else 4, batch(b"a")),
    ]

    assert [pattern.batch_in(other) for other in others] == [None] * len(others)


def test_zstd_is_left_to_the_handler_where_it_is_to_be_refused() -> None:
    old, new = learned(frame_of(6, batch(b"first"))), learned(frame_of(7, batch(b"first")))
    assert old is not None
    assert new is not None

    assert old.batch_in(frame_of(6, with_attributes(4))) is None
    assert new.batch_in(frame_of(7, with_attributes(4))) is not None


@pytest.mark.parametrize("version", VERSIONS)
def test_there_is_no_pattern_of_what_is_not_one_plain_batch_with_an_answer(version: int) -> None:
    others = [
        frame_of(version, batch(b"a"), acks=0),
        frame_of(version, batch(b"a"), acks=5),
        frame_of(version, batch(b"a"), transactional_id="t"),
        frame_of(version, batch(b"a"), client_id=b"c" * 2000),
        frame_of(version, None),
        frame_of(version, b""),
    ]

    assert [learned(other) for other in others] == [None] * len(others)


@pytest.mark.parametrize("version", VERSIONS)
def test_whatever_fits_a_pattern_is_decoded_to_the_same_batch(version: int) -> None:
    choose = random.Random(version)
    pattern = learned(frame_of(version, batch(b"first")))
    assert pattern is not None
    found_count = 0
    for _ in range(2_000):
        frame = frame_of(version, batch(bytes(choose.randrange(200))))
        for _ in range(choose.randrange(1, 3)):
            place = choose.randrange(8, len(frame))
            frame[place] = choose.randrange(256)
        if choose.random() < 0.3:
            del frame[choose.randrange(8, len(frame)) :]
        found = pattern.batch_in(frame)
        if found is not None:
            found_count += 1
            request = decoded(frame)
            topic = sole_topic(request)
            assert topic is not None
            assert topic.name == pattern.topic.name
            assert topic.topic_id == pattern.topic.topic_id
            (data,) = topic.partition_data
            assert (data.index, data.records) == (3, found)
    assert found_count > 100
