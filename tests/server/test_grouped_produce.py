"""Small Produce requests that are alike: written together, answered in order, refused like any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages.metadata import MetadataRequest
from streamcore.log.protocol.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    TopicProduceData,
)
from tests.support.serving import PRODUCE_VERSION, batch, client_of, fetch, produce, produce_request
from tests.support.wire_client import WireClient

IDS_VERSION = 13


@pytest.fixture
def served(tmp_path: Path) -> Iterator[sc.ServedLog]:
    with sc.serve(tmp_path, listen="127.0.0.1:0") as served:
        served.log.create_topic("t", partitions=3)
        yield served


@pytest.fixture
def client(served: sc.ServedLog) -> Iterator[WireClient]:
    with client_of(served) as client:
        for partition in range(3):
            produce(client, "t", batch(b"first"), partition=partition)
        yield client


def answers(client: WireClient, requests: list[ProduceRequest]) -> list[PartitionProduceResponse]:
    """Send all requests at once; what is answered for their last partitions, in this order."""
    apis = [client.send(request, PRODUCE_VERSION) for request in requests]
    responses = [client.receive(api, PRODUCE_VERSION) for api in apis]
    return [response.responses[-1].partition_responses[-1] for response in responses]


def numbered(sequence: int, producer_id: int = 9) -> bytes:
    return batch(b"n", producer_id=producer_id, producer_epoch=0, base_sequence=sequence)


def test_requests_of_one_connection_stand_in_their_order(client: WireClient) -> None:
    found = answers(client, [produce_request("t", batch(b"%d" % number)) for number in range(50)])

    assert [each.error_code for each in found] == [0] * 50
    assert [each.base_offset for each in found] == list(range(1, 51))
    assert fetch(client, "t").high_watermark == 51


def test_a_request_on_the_slow_path_keeps_its_order_among_the_others(client: WireClient) -> None:
    both = [PartitionProduceData(index=index, records=batch(b"b")) for index in (1, 0)]
    larger = ProduceRequest(
        acks=-1, timeout_ms=1000, topic_data=[TopicProduceData(name="t", partition_data=both)]
    )
    small = produce_request("t", batch(b"a"))

    found = answers(client, [small, small, larger, small, larger, small])

    assert [each.base_offset for each in found] == [1, 2, 3, 4, 5, 6]


def test_a_producers_batches_are_in_sequence_and_known_again(client: WireClient) -> None:
    found = answers(client, [produce_request("t", numbered(each)) for each in (0, 1, 1, 3, 2)])

    assert [each.base_offset for each in found] == [1, 2, 2, -1, 3]
    assert found[3].error_code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_batch_is_refused_in_the_words_of_the_handler(client: WireClient) -> None:
    damaged = bytearray(batch(b"a"))
    damaged[-1] ^= 1

    found = answers(
        client, [produce_request("t", each) for each in (batch(b"a"), bytes(damaged), batch(b"b"))]
    )

    assert [each.error_code for each in found] == [0, ErrorCode.CORRUPT_MESSAGE, 0]
    assert [each.base_offset for each in found] == [1, -1, 2]
    assert "checksum" in (found[1].error_message or "")


def test_answers_of_several_partitions_come_in_the_order_of_the_requests(client: WireClient) -> None:
    requests = [produce_request("t", batch(b"v"), partition=number % 3) for number in range(30)]

    found = answers(client, requests)

    assert [each.index for each in found] == [number % 3 for number in range(30)]
    assert [each.base_offset for each in found] == [1 + number // 3 for number in range(30)]


def test_a_deleted_topic_is_unknown_and_a_new_one_of_its_name_is_written_to(
    served: sc.ServedLog, client: WireClient
) -> None:
    served.log.delete_topic("t")

    refused = produce(client, "t", batch(b"late"))
    served.log.create_topic("t", partitions=1)
    written = produce(client, "t", batch(b"new"))

    assert refused.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert (written.error_code, written.base_offset) == (0, 0)


def test_an_id_means_its_own_topic_and_not_a_later_one_of_the_same_name(
    served: sc.ServedLog, client: WireClient
) -> None:
    def by_id(topic_id: bytes) -> PartitionProduceResponse:
        data = [PartitionProduceData(index=0, records=batch(b"v"))]
        topics = [TopicProduceData(topic_id=topic_id, partition_data=data)]
        response = client.ask(ProduceRequest(acks=-1, timeout_ms=1000, topic_data=topics), IDS_VERSION)
        answer = response.responses[0].partition_responses[0]
        assert isinstance(answer, PartitionProduceResponse)
        return answer

    topic_id = client.ask(MetadataRequest(topics=None), 12).topics[0].topic_id
    first, second = by_id(topic_id), by_id(topic_id)
    served.log.delete_topic("t")
    served.log.create_topic("t", partitions=1)

    assert [first.base_offset, second.base_offset] == [1, 2]
    assert by_id(topic_id).error_code == ErrorCode.UNKNOWN_TOPIC_ID


def test_requests_of_many_connections_are_written_once_each(served: sc.ServedLog) -> None:
    clients = [client_of(served) for _ in range(8)]
    for client in clients:
        produce(client, "t", batch(b"first"))
    apis = [client.send(produce_request("t", batch(b"again")), PRODUCE_VERSION) for client in clients]

    responses = [client.receive(api, PRODUCE_VERSION) for client, api in zip(clients, apis, strict=True)]
    for client in clients:
        client.close()

    offsets = [each.responses[0].partition_responses[0].base_offset for each in responses]
    assert sorted(offsets) == list(range(8, 16))
