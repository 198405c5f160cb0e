"""OffsetCommit (key 8): commits a group's offsets."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import ZERO_UUID, Int16, Int32, Int64, Message, Uuid, V


class OffsetCommitRequestPartition(Message):
    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: A[Int32, V("6+")] = -1
    committed_metadata: str | None


class OffsetCommitRequestTopic(Message):
    name: A[str, V("0-9")] = ""
    topic_id: A[Uuid, V("10+")] = ZERO_UUID
    partitions: list[OffsetCommitRequestPartition]


class OffsetCommitRequest(Message):
    """The request."""

    group_id: str
    generation_id_or_member_epoch: Int32 = -1
    member_id: str
    group_instance_id: A[str | None, V("7+")] = None
    retention_time_ms: A[Int64, V("2-4")] = -1
    topics: list[OffsetCommitRequestTopic]


class OffsetCommitResponsePartition(Message):
    partition_index: Int32
    error_code: Int16


class OffsetCommitResponseTopic(Message):
    name: A[str, V("0-9")] = ""
    topic_id: A[Uuid, V("10+")] = ZERO_UUID
    partitions: list[OffsetCommitResponsePartition]


class OffsetCommitResponse(Message):
    """The response."""

    throttle_time_ms: A[Int32, V("3+")] = 0
    topics: list[OffsetCommitResponseTopic]
