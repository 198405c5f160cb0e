"""ListOffsets: the offsets at which partitions begin and end, and those of times."""

from __future__ import annotations

from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.storage.partition_log import PartitionLog
from streamcore.log.wire.calls import Call
from streamcore.log.wire.error_codes import ErrorCode, code_of
from streamcore.log.wire.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from streamcore.model import Isolation, TopicPartition

_LATEST: Final = -1
_EARLIEST: Final = -2
_EARLIEST_LOCAL: Final = -4


def list_offsets(request: ListOffsetsRequest, call: Call) -> ListOffsetsResponse:
    """Look each partition up."""
    isolation = Isolation(min(1, max(0, request.isolation_level)))
    topics = [
        ListOffsetsTopicResponse(
            name=topic.name,
            partitions=[_partition(topic.name, wanted, isolation, call) for wanted in topic.partitions],
        )
        for topic in request.topics
    ]
    return ListOffsetsResponse(topics=topics)


def _partition(
    topic: str, wanted: ListOffsetsPartition, isolation: Isolation, call: Call
) -> ListOffsetsPartitionResponse:
    answer = ListOffsetsPartitionResponse(partition_index=wanted.partition_index, error_code=ErrorCode.NONE)
    try:
        log = call.broker.partition(TopicPartition(topic, wanted.partition_index))
        answer.offset = _offset(log, wanted.timestamp, isolation)
        answer.leader_epoch = log.leader_epoch
    except StreamCoreError as error:
        answer.error_code = code_of(error)
    return answer


def _offset(log: PartitionLog, timestamp_ms: int, isolation: Isolation) -> int:
    match timestamp_ms:
        case -1:
            return log.offsets.visible_end(isolation)
        case -2 | -4:
            return log.offsets.log_start
        case _:
            found = log.offset_for_time(timestamp_ms)
            return -1 if found is None else found
