"""DescribeProducers (key 61): describes the producers that a partition remembers."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int16, Int32, Int64, Message


class TopicRequest(Message):
    name: str
    partition_indexes: list[Int32]


class DescribeProducersRequest(Message):
    """The request."""

    topics: list[TopicRequest]


class ProducerState(Message):
    producer_id: Int64
    producer_epoch: Int32
    last_sequence: Int32 = -1
    last_timestamp: Int64 = -1
    coordinator_epoch: Int32
    current_txn_start_offset: Int64 = -1


class PartitionResponse(Message):
    partition_index: Int32
    error_code: Int16
    error_message: str | None = None
    active_producers: list[ProducerState]


class TopicResponse(Message):
    name: str
    partitions: list[PartitionResponse]


class DescribeProducersResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    topics: list[TopicResponse]
