"""OffsetForLeaderEpoch (key 23): returns the end offset of a leader epoch."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Int64, Message, V


class OffsetForLeaderPartition(Message):
    partition: Int32
    current_leader_epoch: Int32 = -1
    leader_epoch: Int32


class OffsetForLeaderTopic(Message):
    topic: str
    partitions: list[OffsetForLeaderPartition]


class OffsetForLeaderEpochRequest(Message):
    """The request."""

    replica_id: A[Int32, V("3+")] = -2
    topics: list[OffsetForLeaderTopic]


class EpochEndOffset(Message):
    error_code: Int16
    partition: Int32
    leader_epoch: Int32 = -1
    end_offset: Int64 = -1


class OffsetForLeaderTopicResult(Message):
    topic: str
    partitions: list[EpochEndOffset]


class OffsetForLeaderEpochResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    topics: list[OffsetForLeaderTopicResult]
