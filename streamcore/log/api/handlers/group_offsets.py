"""OffsetCommit, OffsetFetch, OffsetDelete: the committed offsets of groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from streamcore.errors import StreamCoreError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.offsets import FetchedOffsets
from streamcore.log.broker.operations import Operation
from streamcore.log.protocol.fields import ZERO_UUID
from streamcore.log.protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from streamcore.log.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)
from streamcore.log.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
)
from streamcore.model import CommittedOffset, Membership, TopicName, TopicPartition

_COMMIT_TOPIC_IDS_FROM: Final = 10
_COMMIT_EPOCHS_FROM: Final = 9
_FETCH_GROUPS_FROM: Final = 8
_FETCH_TOPIC_IDS_FROM: Final = 10
_FETCH_GROUP_ERROR_FROM: Final = 2
_NO_OFFSET: Final = -1


# --- committing ---------------------------------------------------------------------------------------


def offset_commit(request: OffsetCommitRequest, call: Call) -> Operation[OffsetCommitResponse]:
    """Commit the offsets that can be committed; each other one gets its error, and delays none."""
    if not call.may(AclOperation.READ, ResourceType.GROUP, request.group_id):
        return _commit_denied(request)
    answers: list[OffsetCommitResponseTopic] = []
    wanted: list[tuple[TopicPartition, CommittedOffset, OffsetCommitResponsePartition]] = []
    for topic in request.topics:
        answer = OffsetCommitResponseTopic(name=topic.name, topic_id=topic.topic_id, partitions=[])
        answers.append(answer)
        name, unknown = _committed_topic(topic, call)
        may_read = name is None or call.may(AclOperation.READ, ResourceType.TOPIC, name)
        for each in topic.partitions:
            outcome = OffsetCommitResponsePartition(
                partition_index=each.partition_index, error_code=ErrorCode.NONE
            )
            answer.partitions.append(outcome)
            partition = TopicPartition(name or "", each.partition_index)
            if name is None:
                outcome.error_code = unknown
            elif not may_read:
                outcome.error_code = ErrorCode.TOPIC_AUTHORIZATION_FAILED
            elif not call.broker.has_partition(partition):
                outcome.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            else:
                committed = CommittedOffset(
                    each.committed_offset, each.committed_metadata or "", each.committed_leader_epoch
                )
                wanted.append((partition, committed, outcome))
    if wanted or not request.topics:
        yield from _commit(request, call, wanted)
    return OffsetCommitResponse(topics=answers)


def _commit_denied(request: OffsetCommitRequest) -> OffsetCommitResponse:
    return OffsetCommitResponse(
        topics=[
            OffsetCommitResponseTopic(
                name=topic.name,
                topic_id=topic.topic_id,
                partitions=[
                    OffsetCommitResponsePartition(
                        partition_index=each.partition_index, error_code=ErrorCode.GROUP_AUTHORIZATION_FAILED
                    )
                    for each in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )


def _committed_topic(topic: OffsetCommitRequestTopic, call: Call) -> tuple[TopicName | None, ErrorCode]:
    """Return a topic's name, and the error if it does not exist."""
    if call.version >= _COMMIT_TOPIC_IDS_FROM:
        return call.broker.topic_name(topic.topic_id), ErrorCode.UNKNOWN_TOPIC_ID
    return topic.name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def _commit(
    request: OffsetCommitRequest,
    call: Call,
    wanted: Sequence[tuple[TopicPartition, CommittedOffset, OffsetCommitResponsePartition]],
) -> Operation[None]:
    groups = call.broker.groups
    accepted = {
        partition: committed for partition, committed, _ in wanted if not groups.is_too_long(committed)
    }
    membership = Membership(
        request.member_id, request.generation_id_or_member_epoch, request.group_instance_id
    )
    code = ErrorCode.NONE
    try:
        yield from groups.commit_offsets(
            request.group_id, accepted, membership, knows_epochs=call.version >= _COMMIT_EPOCHS_FROM
        )
    except (ApiError, StreamCoreError) as error:
        code = _commit_code(error, call.version)
    for partition, _, outcome in wanted:
        is_refused = code is not ErrorCode.NONE or partition in accepted
        outcome.error_code = code if is_refused else ErrorCode.OFFSET_METADATA_TOO_LARGE


def _commit_code(error: Exception, version: int) -> ErrorCode:
    """Return the code of an error; older clients get another one for errors of consumer groups."""
    is_stale = isinstance(error, ApiError) and error.refusal is ErrorName.STALE_MEMBER_EPOCH
    if is_stale and version < _COMMIT_EPOCHS_FROM:
        return ErrorCode.UNSUPPORTED_VERSION
    return code_of(error)


# --- telling ------------------------------------------------------------------------------------------


class _AskedTopic(Struct, frozen=True):
    """A topic whose committed offsets are asked for; the name is missing if no topic has the id."""

    name: TopicName | None
    topic_id: bytes
    partitions: Sequence[int]
    is_denied: bool = False
    """Whether the client may not describe the topic."""


def offset_fetch(request: OffsetFetchRequest, call: Call) -> Operation[OffsetFetchResponse]:
    """Return the committed offsets of one group, or of several."""
    if call.version >= _FETCH_GROUPS_FROM:
        groups: list[OffsetFetchResponseGroup] = []
        for wanted in request.groups:
            groups.append((yield from _group_offsets(wanted, request.require_stable, call)))
        return OffsetFetchResponse(groups=groups)
    return (yield from _single_group(request, call))


def _group_offsets(
    wanted: OffsetFetchRequestGroup, require_stable: bool, call: Call
) -> Operation[OffsetFetchResponseGroup]:
    has_ids = call.version >= _FETCH_TOPIC_IDS_FROM
    asked: list[_AskedTopic] | None = None
    if wanted.topics is not None:
        asked = [
            _asked(
                call.broker.topic_name(each.topic_id) if has_ids else each.name,
                each.topic_id,
                each.partition_indexes,
                call,
            )
            for each in wanted.topics
        ]
    try:
        call.ensure(AclOperation.DESCRIBE, ResourceType.GROUP, wanted.group_id)
        fetched = yield from call.broker.groups.fetch_offsets(
            wanted.group_id, member_id=wanted.member_id, epoch=wanted.member_epoch
        )
    except (ApiError, StreamCoreError) as error:
        return OffsetFetchResponseGroup(group_id=wanted.group_id, topics=[], error_code=code_of(error))
    return OffsetFetchResponseGroup(
        group_id=wanted.group_id,
        topics=[
            OffsetFetchResponseTopics(
                name=topic.name or "",
                topic_id=topic.topic_id,
                partitions=[
                    _fetched_offset(topic, each, fetched, require_stable) for each in topic.partitions
                ],
            )
            for topic in (_all_topics(fetched, call, has_ids) if asked is None else asked)
        ],
    )


def _asked(name: TopicName | None, topic_id: bytes, partitions: Sequence[int], call: Call) -> _AskedTopic:
    is_denied = name is not None and not call.may_describe(name)
    return _AskedTopic(name, topic_id, partitions, is_denied)


def _all_topics(fetched: FetchedOffsets, call: Call, has_ids: bool) -> list[_AskedTopic]:
    """Return all topics with committed offsets that the client may describe; by id, only those that still
    exist.
    """
    numbers: dict[TopicName, list[int]] = {}
    for partition in sorted(fetched.found):
        numbers.setdefault(partition.topic, []).append(partition.partition)
    topics = call.broker.topics
    return [
        _AskedTopic(name, topics[name].topic_id.bytes if name in topics else ZERO_UUID, partitions)
        for name, partitions in numbers.items()
        if (name in topics or not has_ids) and call.may_describe(name)
    ]


def _fetched_offset(
    topic: _AskedTopic, number: int, fetched: FetchedOffsets, require_stable: bool
) -> OffsetFetchResponsePartitions:
    code, committed = ErrorCode.NONE, None
    if topic.name is None:
        code = ErrorCode.UNKNOWN_TOPIC_ID
    elif topic.is_denied:
        code = ErrorCode.TOPIC_AUTHORIZATION_FAILED
    else:
        partition = TopicPartition(topic.name, number)
        if require_stable and partition in fetched.unstable:
            code = ErrorCode.UNSTABLE_OFFSET_COMMIT
        else:
            committed = fetched.found.get(partition)
    return OffsetFetchResponsePartitions(
        partition_index=number,
        committed_offset=_NO_OFFSET if committed is None else committed.offset,
        committed_leader_epoch=-1 if committed is None else committed.leader_epoch,
        metadata="" if committed is None else committed.metadata,
        error_code=code,
    )


def _single_group(request: OffsetFetchRequest, call: Call) -> Operation[OffsetFetchResponse]:
    """Return the answer in the older form, for a request of one group."""
    asked: list[_AskedTopic] | None = None
    if request.topics is not None:
        asked = [_asked(each.name, ZERO_UUID, each.partition_indexes, call) for each in request.topics]
    code, fetched = ErrorCode.NONE, FetchedOffsets({}, frozenset())
    try:
        call.ensure(AclOperation.DESCRIBE, ResourceType.GROUP, request.group_id)
        fetched = yield from call.broker.groups.fetch_offsets(request.group_id)
    except (ApiError, StreamCoreError) as error:
        code = code_of(error)
    topics = _all_topics(fetched, call, has_ids=False) if asked is None else asked
    answers: list[OffsetFetchResponseTopic] = []
    for topic in topics if code is ErrorCode.NONE or call.version < _FETCH_GROUP_ERROR_FROM else ():
        found = [_fetched_offset(topic, each, fetched, request.require_stable) for each in topic.partitions]
        partitions = [
            OffsetFetchResponsePartition(
                partition_index=each.partition_index,
                committed_offset=each.committed_offset,
                committed_leader_epoch=each.committed_leader_epoch,
                metadata=each.metadata,
                error_code=each.error_code if code is ErrorCode.NONE else code,
            )
            for each in found
        ]
        answers.append(OffsetFetchResponseTopic(name=topic.name or "", partitions=partitions))
    return OffsetFetchResponse(error_code=code, topics=answers)


# --- forgetting ---------------------------------------------------------------------------------------

_OF_THE_GROUP: Final = frozenset(
    {ErrorName.INVALID_GROUP_ID, ErrorName.GROUP_ID_NOT_FOUND, ErrorName.NON_EMPTY_GROUP}
)
"""Refusals that concern the group, not a topic."""


def offset_delete(request: OffsetDeleteRequest, call: Call) -> Operation[OffsetDeleteResponse]:
    """Delete committed offsets in topics to which no member subscribes."""
    if not call.may(AclOperation.DELETE, ResourceType.GROUP, request.group_id):
        return OffsetDeleteResponse(
            error_code=ErrorCode.GROUP_AUTHORIZATION_FAILED, throttle_time_ms=0, topics=[]
        )
    topics: list[OffsetDeleteResponseTopic] = []
    if not request.topics:
        try:
            yield from call.broker.groups.delete_offsets(request.group_id, [])
        except ApiError as refused:
            return OffsetDeleteResponse(error_code=code_of(refused), throttle_time_ms=0, topics=[])
    for topic in request.topics:
        partitions = [TopicPartition(topic.name, each.partition_index) for each in topic.partitions]
        may_read = call.may(AclOperation.READ, ResourceType.TOPIC, topic.name)
        existing = [
            partition for partition in partitions if may_read and call.broker.has_partition(partition)
        ]
        absent = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if may_read else ErrorCode.TOPIC_AUTHORIZATION_FAILED
        code = ErrorCode.NONE
        try:
            yield from call.broker.groups.delete_offsets(request.group_id, existing)
        except ApiError as refused:
            if refused.refusal in _OF_THE_GROUP:
                return OffsetDeleteResponse(error_code=code_of(refused), throttle_time_ms=0, topics=[])
            code = code_of(refused)
        except StreamCoreError as error:
            code = code_of(error)
        topics.append(
            OffsetDeleteResponseTopic(
                name=topic.name,
                partitions=[
                    OffsetDeleteResponsePartition(
                        partition_index=partition.partition,
                        error_code=code if partition in existing else absent,
                    )
                    for partition in partitions
                ],
            )
        )
    return OffsetDeleteResponse(error_code=ErrorCode.NONE, throttle_time_ms=0, topics=topics)
