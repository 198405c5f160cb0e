"""What a producer hears of a batch that is refused: which code, which record, where the log starts."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.records.batch import patch_checksum
from streamcore.log.records.builder import encode_batch
from tests.support.serving import batch, client_of, fetch, produce, produce_request
from tests.support.wire_client import WireClient

ATTRIBUTES_AT = 21
DAY_MS = 86_400_000


@pytest.fixture
def client(tmp_path: Path) -> Iterator[WireClient]:
    with sc.serve(tmp_path, listen="127.0.0.1:0") as served:
        served.log.create_topic("t", partitions=1)
        served.log.create_topic("compacted", config={"cleanup.policy": "compact"})
        with client_of(served) as client:
            yield client


def with_attributes(attributes: int) -> bytes:
    changed = bytearray(batch(b"a"))
    struct.pack_into(">h", changed, ATTRIBUTES_AT, attributes)
    patch_checksum(changed)
    return bytes(changed)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_a_batch_with_an_unknown_compression_is_refused(client: WireClient, codec: int) -> None:
    answer = produce(client, "t", with_attributes(codec))

    assert answer.error_code == ErrorCode.INVALID_RECORD
    assert fetch(client, "t").high_watermark == 0


def test_a_marker_from_a_client_is_no_valid_record(client: WireClient) -> None:
    assert produce(client, "t", with_attributes(0x20)).error_code == ErrorCode.INVALID_RECORD


def test_the_record_that_is_too_far_in_the_future_is_named(client: WireClient) -> None:
    now_ms = int(time.time() * 1000)
    records = encode_batch([None] * 3, [b"v"] * 3, [now_ms, now_ms + DAY_MS, now_ms + 2 * DAY_MS])

    answer = produce(client, "t", bytes(records))

    assert answer.error_code == ErrorCode.INVALID_TIMESTAMP
    assert [each.batch_index for each in answer.record_errors] == [1, 2]
    assert str(answer.error_message).startswith(
        "One or more records have been rejected due to invalid timestamp: "
    )
    text = answer.record_errors[0].batch_index_error_message
    assert str(text).startswith(f"Timestamp {now_ms + DAY_MS} of message with offset 1 is out of range. The ")


@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_every_record_without_a_key_in_a_compacted_topic_is_named(client: WireClient, codec: str) -> None:
    keys = [None, *[b"k"] * 9, None]
    records = encode_batch(keys, [b"v"] * 11, [int(time.time() * 1000)] * 11, compression=codec)

    answer = produce(client, "compacted", bytes(records))

    assert answer.error_code == ErrorCode.INVALID_RECORD
    kafkas = "Compacted topic cannot accept message without key in topic partition compacted-0."
    assert [(each.batch_index, each.batch_index_error_message) for each in answer.record_errors] == [
        (0, kafkas),
        (10, kafkas),
    ]
    assert str(answer.error_message).startswith(
        "One or more records have been rejected due to 2 record errors in total, and only showing the first "
        f"three errors at most: [RecordError(batchIndex=0, message='{kafkas}'), RecordError("
    )
    assert fetch(client, "compacted").high_watermark == 0


def test_a_batch_with_bad_keys_and_bad_times_is_refused_for_its_times(
    client: WireClient,
) -> None:
    now_ms = int(time.time() * 1000)
    records = encode_batch([None, b"k", b"k", None], [b"v"] * 4, [now_ms, now_ms, now_ms + DAY_MS, -1])

    answer = produce(client, "compacted", bytes(records))

    assert answer.error_code == ErrorCode.INVALID_TIMESTAMP
    assert [each.batch_index for each in answer.record_errors] == [0, 2, 3]


def test_versions_without_record_errors_get_the_code(client: WireClient) -> None:
    request = produce_request("compacted", bytes(encode_batch([None], [b"v"], [int(time.time() * 1000)])))
    (answer,) = client.ask(request, 7).responses[0].partition_responses

    assert answer.error_code == ErrorCode.INVALID_RECORD


def test_a_refusal_by_the_partition_comes_with_the_log_start_and_others_without(client: WireClient) -> None:
    by_partition = produce(client, "t", with_attributes(0x20))
    before_it = produce(client, "t", b"")

    assert (by_partition.log_start_offset, before_it.log_start_offset) == (0, -1)


def test_that_there_is_no_such_partition_is_said_before_anything_else(client: WireClient) -> None:
    impossible_acks = client.ask(produce_request("nowhere", batch(b"a"), acks=5), 12)

    (answer,) = impossible_acks.responses[0].partition_responses
    assert answer.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert produce(client, "nowhere", b"").error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert produce(client, "t", b"", partition=3).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
