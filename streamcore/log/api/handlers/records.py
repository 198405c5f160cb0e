"""DeleteRecords: moves the log starts of partitions forward."""

from __future__ import annotations

from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.operations import Operation
from streamcore.log.protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)
from streamcore.model import Offset, TopicPartition

_ALL: Final = -1
"""The offset that means everything that can be read."""
_NOTHING: Final = -1


def delete_records(request: DeleteRecordsRequest, call: Call) -> Operation[DeleteRecordsResponse]:
    """Delete the records before an offset; each partition has its own result."""
    results: dict[TopicPartition, DeleteRecordsPartitionResult] = {}
    before: dict[TopicPartition, Offset] = {}
    for topic in request.topics:
        for wanted in topic.partitions:
            partition = TopicPartition(topic.name, wanted.partition_index)
            results[partition] = DeleteRecordsPartitionResult(
                partition_index=wanted.partition_index, low_watermark=_NOTHING, error_code=ErrorCode.NONE
            )
            try:
                before[partition] = _end(partition, wanted, call)
            except (ApiError, StreamCoreError) as error:
                results[partition].error_code = code_of(error)
    outcomes = yield from call.broker.delete_records(before)
    for partition, outcome in outcomes.items():
        if isinstance(outcome, int):
            results[partition].low_watermark = outcome
        else:
            results[partition].error_code = code_of(outcome)
    topics = dict.fromkeys(topic.name for topic in request.topics)
    return DeleteRecordsResponse(
        throttle_time_ms=0,
        topics=[
            DeleteRecordsTopicResult(
                name=name, partitions=[each for partition, each in results.items() if partition.topic == name]
            )
            for name in topics
        ],
    )


def _end(partition: TopicPartition, wanted: DeleteRecordsPartition, call: Call) -> Offset:
    call.ensure(AclOperation.DELETE, ResourceType.TOPIC, partition.topic)
    log = call.broker.partition(partition)
    if call.broker.is_internal(partition.topic):
        raise ApiError(
            ErrorName.INVALID_TOPIC_EXCEPTION, topic=partition.topic, hint="the log keeps its state there"
        )
    if log.config.is_compacted and not log.config.deletes_old:
        raise ApiError(
            ErrorName.POLICY_VIOLATION,
            topic=partition.topic,
            hint="cleanup.policy of the topic is not delete",
        )
    return log.offsets.high_watermark if wanted.offset == _ALL else wanted.offset
