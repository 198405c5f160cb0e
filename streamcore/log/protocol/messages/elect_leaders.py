"""ElectLeaders (key 43): elects new leaders of partitions."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int8, Int16, Int32, Message, V


class TopicPartitions(Message):
    topic: str
    partitions: list[Int32]


class ElectLeadersRequest(Message):
    """The request."""

    election_type: A[Int8, V("1+")] = 0
    topic_partitions: list[TopicPartitions] | None
    timeout_ms: Int32 = 60_000


class PartitionResult(Message):
    partition_id: Int32
    error_code: Int16
    error_message: str | None


class ReplicaElectionResult(Message):
    topic: str
    partition_result: list[PartitionResult]


class ElectLeadersResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: A[Int16, V("1+")] = 0
    replica_election_results: list[ReplicaElectionResult]
