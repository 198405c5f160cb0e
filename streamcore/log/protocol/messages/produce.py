"""Produce (key 0): appends record batches to partitions."""

from __future__ import annotations

from typing import Annotated as A

import msgspec

from streamcore.log.protocol.fields import ZERO_UUID, Int16, Int32, Int64, Message, Records, Tag, Uuid, V


class PartitionProduceData(Message):
    index: Int32
    records: Records | None


class TopicProduceData(Message):
    name: A[str, V("0-12")] = ""
    topic_id: A[Uuid, V("13+")] = ZERO_UUID
    partition_data: list[PartitionProduceData]


class ProduceRequest(Message):
    """The request."""

    transactional_id: str | None = None
    acks: Int16
    timeout_ms: Int32
    topic_data: list[TopicProduceData]


class BatchIndexAndErrorMessage(Message):
    batch_index: Int32
    batch_index_error_message: str | None = None


class LeaderIdAndEpoch(Message):
    leader_id: Int32 = -1
    leader_epoch: Int32 = -1


class PartitionProduceResponse(Message):
    index: Int32
    error_code: Int16
    base_offset: Int64
    log_append_time_ms: Int64 = -1
    log_start_offset: A[Int64, V("5+")] = -1
    record_errors: A[list[BatchIndexAndErrorMessage], V("8+")] = []
    error_message: A[str | None, V("8+")] = None
    current_leader: A[LeaderIdAndEpoch, Tag(0, "10+")] = msgspec.field(default_factory=LeaderIdAndEpoch)


class TopicProduceResponse(Message):
    name: A[str, V("0-12")] = ""
    topic_id: A[Uuid, V("13+")] = ZERO_UUID
    partition_responses: list[PartitionProduceResponse]


class NodeEndpoint(Message):
    node_id: Int32
    host: str
    port: Int32
    rack: str | None = None


class ProduceResponse(Message):
    """The response."""

    responses: list[TopicProduceResponse]
    throttle_time_ms: Int32 = 0
    node_endpoints: A[list[NodeEndpoint], Tag(0, "10+")] = []
