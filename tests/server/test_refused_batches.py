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
        with client_of(served) as client:
            yield client


def with_attributes(attributes: int) -> bytes:
    changed = bytearray(batch(b"a"))
    struct.pack_into(">h", changed, ATTRIBUTES_AT, attributes)
    patch_checksum(changed)
    return bytes(changed)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_a_batch_in_a_compression_that_nobody_knows_is_refused(client: WireClient, codec: int) -> None:
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
    assert [each.batch_index for each in answer.record_errors] == [1]


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
