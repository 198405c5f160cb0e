"""ListPartitionReassignments (key 46): describes partitions that are being moved."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int16, Int32, Message


class ListPartitionReassignmentsTopics(Message):
    name: str
    partition_indexes: list[Int32]


class ListPartitionReassignmentsRequest(Message):
    """The request."""

    timeout_ms: Int32 = 60_000
    topics: list[ListPartitionReassignmentsTopics] | None = None


class OngoingPartitionReassignment(Message):
    partition_index: Int32
    replicas: list[Int32]
    adding_replicas: list[Int32]
    removing_replicas: list[Int32]


class OngoingTopicReassignment(Message):
    name: str
    partitions: list[OngoingPartitionReassignment]


class ListPartitionReassignmentsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: Int16
    error_message: str | None
    topics: list[OngoingTopicReassignment]
