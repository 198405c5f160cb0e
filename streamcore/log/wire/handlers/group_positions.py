"""Positions of groups: committed, told, forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.refusals import Refused
from streamcore.log.broker.requests import Membership
from streamcore.log.wire.calls import Call
from streamcore.log.wire.error_codes import ErrorCode, code_of
from streamcore.log.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from streamcore.log.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from streamcore.log.wire.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)
from streamcore.model import CommittedPosition, TopicPartition

_COMMIT_TOPIC_IDS_FROM: Final = 10
_FETCH_GROUPS_FROM: Final = 8
_FETCH_TOPIC_IDS_FROM: Final = 10
_NO_OFFSET: Final = -1


def offset_commit(request: OffsetCommitRequest, call: Call) -> Operation[OffsetCommitResponse]:
    """Commit the positions of those partitions that exist; the others get their error."""
    codes: dict[tuple[int, int], ErrorCode] = {}
    positions: dict[TopicPartition, CommittedPosition] = {}
    for topic_index, topic in enumerate(request.topics):
        name: str | None = topic.name
        unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if call.version >= _COMMIT_TOPIC_IDS_FROM:
            name, unknown = call.broker.topic_name(topic.topic_id), ErrorCode.UNKNOWN_TOPIC_ID
        for index, wanted in enumerate(topic.partitions):
            place = TopicPartition(name or "", wanted.partition_index)
            if name is None or not call.broker.has_partition(place):
                codes[topic_index, index] = unknown
            else:
                metadata = wanted.committed_metadata or ""
                positions[place] = CommittedPosition(wanted.committed_offset, metadata)
    membership = Membership(
        request.member_id, request.generation_id_or_member_epoch, request.group_instance_id
    )
    outcome = ErrorCode.NONE
    try:
        yield from call.broker.groups.commit_positions(request.group_id, positions, membership)
    except (Refused, StreamCoreError) as error:
        outcome = code_of(error)
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponseTopic(
                name=topic.name,
                topic_id=topic.topic_id,
                partitions=[
                    OffsetCommitResponsePartition(
                        partition_index=wanted.partition_index,
                        error_code=codes.get((topic_index, index), outcome),
                    )
                    for index, wanted in enumerate(topic.partitions)
                ],
            )
            for topic_index, topic in enumerate(request.topics)
        ]
    )


def offset_fetch(request: OffsetFetchRequest, call: Call) -> Operation[OffsetFetchResponse]:
    """Tell the positions of one group, or of several."""
    if call.version >= _FETCH_GROUPS_FROM:
        groups: list[OffsetFetchResponseGroup] = []
        for wanted in request.groups:
            groups.append((yield from _group_positions(wanted, call)))
        return OffsetFetchResponse(groups=groups)
    topics = request.topics
    asked = OffsetFetchRequestGroup(
        group_id=request.group_id,
        topics=None
        if topics is None
        else [
            OffsetFetchRequestTopics(name=each.name, partition_indexes=each.partition_indexes)
            for each in topics
        ],
    )
    found = yield from _group_positions(asked, call)
    return OffsetFetchResponse(
        error_code=found.error_code,
        topics=[
            OffsetFetchResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetFetchResponsePartition(
                        partition_index=each.partition_index,
                        committed_offset=each.committed_offset,
                        committed_leader_epoch=each.committed_leader_epoch,
                        metadata=each.metadata,
                        error_code=each.error_code,
                    )
                    for each in topic.partitions
                ],
            )
            for topic in found.topics
        ],
    )


def _group_positions(wanted: OffsetFetchRequestGroup, call: Call) -> Operation[OffsetFetchResponseGroup]:
    topics = wanted.topics
    names = {}
    if topics is not None:
        names = {
            index: call.broker.topic_name(topic.topic_id)
            if call.version >= _FETCH_TOPIC_IDS_FROM
            else topic.name
            for index, topic in enumerate(topics)
        }
    asked = None
    if topics is not None:
        asked = [
            TopicPartition(name, number)
            for index, topic in enumerate(topics)
            if (name := names[index]) is not None
            for number in topic.partition_indexes
        ]
    try:
        found = yield from call.broker.groups.committed(wanted.group_id, asked)
    except (Refused, StreamCoreError) as error:
        return OffsetFetchResponseGroup(group_id=wanted.group_id, topics=[], error_code=code_of(error))
    if topics is None:
        by_topic: dict[str, list[int]] = {}
        for place in sorted(found):
            by_topic.setdefault(place.topic, []).append(place.partition)
        answers = [
            OffsetFetchResponseTopics(
                name=name,
                topic_id=call.broker.topics[name].topic_id.bytes if name in call.broker.topics else bytes(16),
                partitions=[_position(TopicPartition(name, number), found) for number in numbers],
            )
            for name, numbers in by_topic.items()
        ]
    else:
        answers = [
            OffsetFetchResponseTopics(
                name=topic.name,
                topic_id=topic.topic_id,
                partitions=[
                    _position(TopicPartition(names[index] or "", number), found)
                    for number in topic.partition_indexes
                ],
            )
            for index, topic in enumerate(topics)
        ]
    return OffsetFetchResponseGroup(group_id=wanted.group_id, topics=answers)


def _position(
    place: TopicPartition, found: Mapping[TopicPartition, CommittedPosition]
) -> OffsetFetchResponsePartitions:
    position = found.get(place)
    return OffsetFetchResponsePartitions(
        partition_index=place.partition,
        committed_offset=_NO_OFFSET if position is None else position.offset,
        metadata="" if position is None else position.metadata,
        error_code=ErrorCode.NONE,
    )


def offset_delete(request: OffsetDeleteRequest, call: Call) -> Operation[OffsetDeleteResponse]:
    """Forget positions in topics that no member subscribes to."""
    topics: list[OffsetDeleteResponseTopic] = []
    for topic in request.topics:
        places = [TopicPartition(topic.name, each.partition_index) for each in topic.partitions]
        code = ErrorCode.NONE
        try:
            yield from call.broker.groups.delete_positions(request.group_id, places)
        except (Refused, StreamCoreError) as error:
            code = code_of(error)
        topics.append(
            OffsetDeleteResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetDeleteResponsePartition(partition_index=place.partition, error_code=code)
                    for place in places
                ],
            )
        )
    return OffsetDeleteResponse(error_code=ErrorCode.NONE, throttle_time_ms=0, topics=topics)
