"""DeleteRecords (key 21): moves the log start of partitions forward."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int16, Int32, Int64, Message


class DeleteRecordsPartition(Message):
    partition_index: Int32
    offset: Int64


class DeleteRecordsTopic(Message):
    name: str
    partitions: list[DeleteRecordsPartition]


class DeleteRecordsRequest(Message):
    """The request."""

    topics: list[DeleteRecordsTopic]
    timeout_ms: Int32


class DeleteRecordsPartitionResult(Message):
    partition_index: Int32
    low_watermark: Int64
    error_code: Int16


class DeleteRecordsTopicResult(Message):
    name: str
    partitions: list[DeleteRecordsPartitionResult]


class DeleteRecordsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    topics: list[DeleteRecordsTopicResult]
