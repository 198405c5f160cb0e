"""ListOffsets (key 2): finds offsets by time, and the first and last offsets of partitions."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int8, Int16, Int32, Int64, Message, V


class ListOffsetsPartition(Message):
    partition_index: Int32
    current_leader_epoch: A[Int32, V("4+")] = -1
    timestamp: Int64


class ListOffsetsTopic(Message):
    name: str
    partitions: list[ListOffsetsPartition]


class ListOffsetsRequest(Message):
    """The request."""

    replica_id: Int32
    isolation_level: A[Int8, V("2+")] = 0
    topics: list[ListOffsetsTopic]
    timeout_ms: A[Int32, V("10+")] = 0


class ListOffsetsPartitionResponse(Message):
    partition_index: Int32
    error_code: Int16
    timestamp: Int64 = -1
    offset: Int64 = -1
    leader_epoch: A[Int32, V("4+")] = -1


class ListOffsetsTopicResponse(Message):
    name: str
    partitions: list[ListOffsetsPartitionResponse]


class ListOffsetsResponse(Message):
    """The response."""

    throttle_time_ms: A[Int32, V("2+")] = 0
    topics: list[ListOffsetsTopicResponse]
