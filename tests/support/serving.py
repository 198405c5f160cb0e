"""What tests of the server ask again and again: clients of a served log, batches, produce and fetch."""

from __future__ import annotations

from collections.abc import Iterable

import streamcore as sc
from streamcore.log.protocol.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchTopic,
    PartitionData,
)
from streamcore.log.protocol.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    TopicProduceData,
)
from streamcore.log.records.builder import encode_batch
from tests.support.wire_client import WireClient

PRODUCE_VERSION = 12
FETCH_VERSION = 12
NOW_MS = 1_700_000_000_000


def client_of(served: sc.ServedLog) -> WireClient:
    """A new connection to a served log."""
    host, _, port = served.address.partition(":")
    return WireClient(host, int(port))


def batch(*values: bytes, **options: object) -> bytes:
    """A batch of these values, without keys."""
    return bytes(encode_batch([None] * len(values), values, [NOW_MS] * len(values), **options))  # type: ignore[arg-type]


def produce_request(
    topic: str, records: bytes | None, *, partition: int = 0, acks: int = -1
) -> ProduceRequest:
    """A request with one batch."""
    data = PartitionProduceData(index=partition, records=records)
    topics = [TopicProduceData(name=topic, partition_data=[data])]
    return ProduceRequest(acks=acks, timeout_ms=1000, topic_data=topics)


def produce(
    client: WireClient,
    topic: str,
    records: bytes | None,
    *,
    partition: int = 0,
    version: int = PRODUCE_VERSION,
) -> PartitionProduceResponse:
    """Append one batch and return what is answered for it."""
    response = client.ask(produce_request(topic, records, partition=partition), version)
    (answer,) = response.responses[0].partition_responses
    assert isinstance(answer, PartitionProduceResponse)
    return answer


def fetch_request(
    topic: str,
    offset: int = 0,
    *,
    partitions: Iterable[int] = (0,),
    max_wait_ms: int = 0,
    min_bytes: int = 1,
    max_bytes: int = 50_000_000,
    partition_max_bytes: int = 1_000_000,
    isolation: int = 0,
) -> FetchRequest:
    """A request for records of one topic."""
    wanted = [
        FetchPartition(partition=each, fetch_offset=offset, partition_max_bytes=partition_max_bytes)
        for each in partitions
    ]
    return FetchRequest(
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=isolation,
        topics=[FetchTopic(topic=topic, partitions=wanted)],
    )


def fetch(client: WireClient, topic: str, offset: int = 0, **options: int) -> PartitionData:
    """Fetch from partition 0 and return what is answered for it."""
    response = client.ask(fetch_request(topic, offset, **options), FETCH_VERSION)  # type: ignore[arg-type]
    (answer,) = response.responses[0].partitions
    assert isinstance(answer, PartitionData)
    return answer


def records_of(data: PartitionData) -> bytes:
    """The batches in an answer."""
    assert isinstance(data.records, bytes | memoryview)
    return bytes(data.records)
