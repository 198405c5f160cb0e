"""DescribeQuorum (key 55): describes the controllers of a cluster."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import ZERO_UUID, Int16, Int32, Int64, Message, UInt16, Uuid, V


class PartitionData(Message):
    partition_index: Int32


class TopicData(Message):
    topic_name: str
    partitions: list[PartitionData]


class DescribeQuorumRequest(Message):
    """The request."""

    topics: list[TopicData]


class ReplicaState(Message):
    replica_id: Int32
    replica_directory_id: A[Uuid, V("2+")] = ZERO_UUID
    log_end_offset: Int64
    last_fetch_timestamp: A[Int64, V("1+")] = -1
    last_caught_up_timestamp: A[Int64, V("1+")] = -1


class PartitionDataResult(Message):
    partition_index: Int32
    error_code: Int16
    error_message: A[str | None, V("2+")] = None
    leader_id: Int32
    leader_epoch: Int32
    high_watermark: Int64
    current_voters: list[ReplicaState]
    observers: list[ReplicaState]


class TopicDataResult(Message):
    topic_name: str
    partitions: list[PartitionDataResult]


class Listener(Message):
    name: str
    host: str
    port: UInt16


class Node(Message):
    node_id: Int32
    listeners: list[Listener]


class DescribeQuorumResponse(Message):
    """The response."""

    error_code: Int16
    error_message: A[str | None, V("2+")] = None
    topics: list[TopicDataResult]
    nodes: A[list[Node], V("2+")] = []
