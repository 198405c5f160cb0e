"""DescribeTopicPartitions (key 75): describes topics page by page."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int16, Int32, Message, Uuid


class TopicRequest(Message):
    name: str


class Cursor(Message):
    topic_name: str
    partition_index: Int32


class DescribeTopicPartitionsRequest(Message):
    """The request."""

    topics: list[TopicRequest]
    response_partition_limit: Int32 = 2000
    cursor: Cursor | None = None


class DescribeTopicPartitionsResponsePartition(Message):
    error_code: Int16
    partition_index: Int32
    leader_id: Int32
    leader_epoch: Int32 = -1
    replica_nodes: list[Int32]
    isr_nodes: list[Int32]
    eligible_leader_replicas: list[Int32] | None = None
    last_known_elr: list[Int32] | None = None
    offline_replicas: list[Int32]


class DescribeTopicPartitionsResponseTopic(Message):
    error_code: Int16
    name: str | None
    topic_id: Uuid
    is_internal: bool = False
    partitions: list[DescribeTopicPartitionsResponsePartition]
    topic_authorized_operations: Int32 = -2_147_483_648


class DescribeTopicPartitionsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    topics: list[DescribeTopicPartitionsResponseTopic]
    next_cursor: Cursor | None = None
