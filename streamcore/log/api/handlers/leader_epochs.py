"""OffsetForLeaderEpoch (KIP-320): where an epoch ends, by which a client checks whether its records still
exist.

A client sends with many requests the epoch that it believes to be the partition's. A client with an older
epoch must refresh its metadata first; a client with a newer one has asked another log.
"""

from __future__ import annotations

from streamcore.errors import StreamCoreError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.protocol.messages.offset_for_leader_epoch import (
    EpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
)
from streamcore.log.storage.partition.leader_epochs import NO_EPOCH
from streamcore.model import TopicPartition


def epoch_error(believed: int, current: int) -> ErrorCode | None:
    """Return the error for the leader epoch that a client sends, if it sends a wrong one."""
    if believed in (NO_EPOCH, current):
        return None
    return ErrorCode.FENCED_LEADER_EPOCH if believed < current else ErrorCode.UNKNOWN_LEADER_EPOCH


def offset_for_leader_epoch(request: OffsetForLeaderEpochRequest, call: Call) -> OffsetForLeaderEpochResponse:
    """Return the end of each partition's epoch."""
    topics = [
        OffsetForLeaderTopicResult(
            topic=topic.topic, partitions=[_end_of(topic.topic, each, call) for each in topic.partitions]
        )
        for topic in request.topics
    ]
    return OffsetForLeaderEpochResponse(throttle_time_ms=0, topics=topics)


def _end_of(topic: str, wanted: OffsetForLeaderPartition, call: Call) -> EpochEndOffset:
    answer = EpochEndOffset(error_code=ErrorCode.NONE, partition=wanted.partition)
    try:
        call.ensure(AclOperation.DESCRIBE, ResourceType.TOPIC, topic)
        log = call.broker.partition(TopicPartition(topic, wanted.partition))
    except (ApiError, StreamCoreError) as error:
        answer.error_code = code_of(error)
        return answer
    wrong = epoch_error(wanted.current_leader_epoch, log.leader_epoch)
    if wrong is not None:
        answer.error_code = wrong
        return answer
    answer.leader_epoch, answer.end_offset = log.end_of_epoch(wanted.leader_epoch)
    return answer
