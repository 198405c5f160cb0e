"""CreatePartitions (key 37): adds partitions to topics."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int16, Int32, Message


class CreatePartitionsAssignment(Message):
    broker_ids: list[Int32]


class CreatePartitionsTopic(Message):
    name: str
    count: Int32
    assignments: list[CreatePartitionsAssignment] | None


class CreatePartitionsRequest(Message):
    """The request."""

    topics: list[CreatePartitionsTopic]
    timeout_ms: Int32
    validate_only: bool


class CreatePartitionsTopicResult(Message):
    name: str
    error_code: Int16
    error_message: str | None = None


class CreatePartitionsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    results: list[CreatePartitionsTopicResult]
