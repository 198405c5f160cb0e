"""OffsetForLeaderEpoch: tells where an epoch ends. By that a client knows whether what it read still stands.

A client says with many requests which epoch it believes to be the partition's (KIP-320). One that knows an
older epoch has to look again before it goes on; one that knows a newer one has been elsewhere.
"""

from __future__ import annotations

from streamcore.errors import StreamCoreError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.refusals import Refused
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
    """What is wrong with the leader epoch that a client believes in, if it says one."""
    if believed in (NO_EPOCH, current):
        return None
    return ErrorCode.FENCED_LEADER_EPOCH if believed < current else ErrorCode.UNKNOWN_LEADER_EPOCH


def offset_for_leader_epoch(request: OffsetForLeaderEpochRequest, call: Call) -> OffsetForLeaderEpochResponse:
    """Look each partition's epoch up."""
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
    except (Refused, StreamCoreError) as error:
        answer.error_code = code_of(error)
        return answer
    wrong = epoch_error(wanted.current_leader_epoch, log.leader_epoch)
    if wrong is not None:
        answer.error_code = wrong
        return answer
    answer.leader_epoch, answer.end_offset = log.end_of_epoch(wanted.leader_epoch)
    return answer
