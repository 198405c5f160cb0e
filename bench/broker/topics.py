"""Asks a broker over the wire: whether it is ready, to make topics, to fill them, how far they are.

Every broker gets the same requests; an answer that is not as expected ends the run.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence

from bench.broker.loads.report import value_of
from streamcore.log.protocol.apis import PRODUCE
from streamcore.log.protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
from streamcore.log.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from streamcore.log.protocol.messages.metadata import MetadataRequest
from streamcore.log.records.builder import encode_batch
from tests.support.serving import PRODUCE_VERSION, produce_request
from tests.support.wire_client import WireClient

_CREATE_VERSION = 5
_LIST_OFFSETS_VERSION = 7
_METADATA_VERSION = 9
_LATEST = -1
_LEADERS_LIMIT_S = 60.0
_LOOK_S = 0.01


def connect(address: str) -> WireClient:
    """A new connection."""
    host, _, port = address.partition(":")
    return WireClient(host, int(port), client_id="bench")


def create_topic(client: WireClient, name: str, partition_count: int) -> None:
    """Make a topic, and wait until every partition can be asked."""
    topic = CreatableTopic(
        name=name, num_partitions=partition_count, replication_factor=1, assignments=[], configs=[]
    )
    answer = client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=20_000), _CREATE_VERSION).topics[0]
    assert answer.error_code == 0, answer
    deadline_s = time.monotonic() + _LEADERS_LIMIT_S
    while any(end is None for end in _ends(client, name, range(partition_count))):
        assert time.monotonic() < deadline_s, f"{name} has partitions that cannot be asked"
        time.sleep(_LOOK_S)


def batch_of(record_count: int, value_bytes: int) -> bytes:
    """A batch of equal records without keys, of now."""
    now_ms = time.time_ns() // 1_000_000
    values = [value_of(value_bytes)] * record_count
    return bytes(encode_batch([None] * record_count, values, [now_ms] * record_count))


def encoded_produce(topic: str, batch: bytes, partition: int) -> bytes:
    """A request that appends a batch, as it goes over the wire."""
    header = struct.pack(">hhihb", PRODUCE.key, PRODUCE_VERSION, 1, -1, 0)
    request = produce_request(topic, batch, partition=partition)
    frame = header + PRODUCE.request_codec(PRODUCE_VERSION).encode(request)
    return struct.pack(">i", len(frame)) + frame


def record_count(client: WireClient, topic: str, partition_count: int) -> int:
    """How many records a topic has that nothing was deleted from."""
    count = 0
    for end in _ends(client, topic, range(partition_count)):
        assert end is not None, f"a partition of {topic} cannot be asked"
        count += end
    return count


def is_ready(client: WireClient, partition_count: int) -> bool:
    """Ask for everything: whether the broker names itself, and so many partitions with a leader."""
    answer = client.ask(MetadataRequest(topics=None, allow_auto_topic_creation=False), _METADATA_VERSION)
    led = sum(each.leader_id >= 0 for topic in answer.topics for each in topic.partitions)
    return bool(answer.brokers) and led >= partition_count


def _ends(client: WireClient, topic: str, partitions: Sequence[int]) -> list[int | None]:
    wanted = [ListOffsetsPartition(partition_index=number, timestamp=_LATEST) for number in partitions]
    request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=wanted)])
    answer = client.ask(request, _LIST_OFFSETS_VERSION)
    return [each.offset if each.error_code == 0 else None for each in answer.topics[0].partitions]
