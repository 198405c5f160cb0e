"""AlterPartitionReassignments (key 45): moves partitions between brokers."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Message, V


class ReassignablePartition(Message):
    partition_index: Int32
    replicas: list[Int32] | None = None


class ReassignableTopic(Message):
    name: str
    partitions: list[ReassignablePartition]


class AlterPartitionReassignmentsRequest(Message):
    """The request."""

    timeout_ms: Int32 = 60_000
    allow_replication_factor_change: A[bool, V("1+")] = True
    topics: list[ReassignableTopic]


class ReassignablePartitionResponse(Message):
    partition_index: Int32
    error_code: Int16
    error_message: str | None


class ReassignableTopicResponse(Message):
    name: str
    partitions: list[ReassignablePartitionResponse]


class AlterPartitionReassignmentsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    allow_replication_factor_change: A[bool, V("1+")] = True
    error_code: Int16
    error_message: str | None
    responses: list[ReassignableTopicResponse]
