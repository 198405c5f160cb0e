"""TxnOffsetCommit (key 28): commits a group's offsets in a transaction."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Int64, Message, V


class TxnOffsetCommitRequestPartition(Message):
    partition_index: Int32
    committed_offset: Int64
    committed_leader_epoch: A[Int32, V("2+")] = -1
    committed_metadata: str | None


class TxnOffsetCommitRequestTopic(Message):
    name: str
    partitions: list[TxnOffsetCommitRequestPartition]


class TxnOffsetCommitRequest(Message):
    """The request."""

    transactional_id: str
    group_id: str
    producer_id: Int64
    producer_epoch: Int16
    generation_id: A[Int32, V("3+")] = -1
    member_id: A[str, V("3+")] = ""
    group_instance_id: A[str | None, V("3+")] = None
    topics: list[TxnOffsetCommitRequestTopic]


class TxnOffsetCommitResponsePartition(Message):
    partition_index: Int32
    error_code: Int16


class TxnOffsetCommitResponseTopic(Message):
    name: str
    partitions: list[TxnOffsetCommitResponsePartition]


class TxnOffsetCommitResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    topics: list[TxnOffsetCommitResponseTopic]
