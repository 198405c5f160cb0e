"""Consumer groups (KIP-848): a member's heartbeat, and the description of groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of, shortened, text_of
from streamcore.log.api.handlers.group_membership import host_of
from streamcore.log.api.handlers.groups import may_describe
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.consumer_group import ConsumerGroup
from streamcore.log.broker.groups.consumer_group_member import ConsumerMember
from streamcore.log.broker.groups.target_assignment import ASSIGNORS
from streamcore.log.broker.groups.topics import GroupTopics
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.partition_id import PartitionId
from streamcore.log.broker.requests import ConsumerHeartbeat
from streamcore.log.protocol.messages import consumer_group_heartbeat as heartbeats
from streamcore.log.protocol.messages.consumer_group_describe import (
    Assignment,
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    DescribedGroup,
    Member,
    TopicPartitions,
)

_MEMBER_ID_FROM: Final = 1
_JOIN: Final = 0
_LEAVE: Final = -1
_LEAVE_FOR_A_WHILE: Final = -2
_CLASSIC_MEMBER: Final = 0
_CONSUMER_MEMBER: Final = 1


def consumer_group_heartbeat(
    request: heartbeats.ConsumerGroupHeartbeatRequest, call: Call
) -> Operation[heartbeats.ConsumerGroupHeartbeatResponse]:
    """Join, stay or leave; return the member's assignment when it changes."""
    owned = request.topic_partitions
    try:
        _ensure_allowed(request, call)
        _ensure_makes_sense(request, call)
        reply = yield from call.broker.groups.consumer_heartbeat(
            ConsumerHeartbeat(
                group=request.group_id,
                member_id=request.member_id,
                epoch=request.member_epoch,
                instance_id=request.instance_id,
                rack=request.rack_id,
                rebalance_timeout_ms=request.rebalance_timeout_ms,
                topics=request.subscribed_topic_names,
                pattern=request.subscribed_topic_regex,
                assignor=request.server_assignor,
                owned=None
                if owned is None
                else {PartitionId(each.topic_id, number) for each in owned for number in each.partitions},
                client_id=call.client_id or "",
                client_host=host_of(call),
                may_see=call.may_describe,
            )
        )
    except (ApiError, StreamCoreError) as error:
        return heartbeats.ConsumerGroupHeartbeatResponse(
            throttle_time_ms=0,
            error_code=code_of(error),
            error_message=text_of(error),
            member_epoch=0,
            heartbeat_interval_ms=0,
        )
    return heartbeats.ConsumerGroupHeartbeatResponse(
        throttle_time_ms=0,
        error_code=ErrorCode.NONE,
        member_id=reply.member_id,
        member_epoch=reply.epoch,
        heartbeat_interval_ms=reply.heartbeat_interval_ms,
        assignment=None
        if reply.assigned is None
        else heartbeats.Assignment(
            topic_partitions=[
                heartbeats.TopicPartitions(topic_id=topic_id, partitions=numbers)
                for topic_id, numbers in _by_topic(reply.assigned).items()
            ]
        ),
    )


def _ensure_allowed(request: heartbeats.ConsumerGroupHeartbeatRequest, call: Call) -> None:
    call.ensure(AclOperation.READ, ResourceType.GROUP, request.group_id)
    for topic in request.subscribed_topic_names or ():
        call.ensure(AclOperation.DESCRIBE, ResourceType.TOPIC, topic)


def _ensure_makes_sense(request: heartbeats.ConsumerGroupHeartbeatRequest, call: Call) -> None:
    """Run the checks that need no group, in Kafka's order."""
    epoch = request.member_epoch
    if call.version >= _MEMBER_ID_FROM or epoch > _JOIN or epoch == _LEAVE:
        _ensure_said(request.member_id, "member id")
    _ensure_said(request.group_id, "group id")
    _ensure_said(request.instance_id, "instance id")
    _ensure_said(request.rack_id, "rack")
    if request.member_epoch == _JOIN:
        if request.rebalance_timeout_ms == -1:
            raise _nonsense("a first heartbeat says the rebalance timeout")
        if request.topic_partitions is None or request.topic_partitions:
            raise _nonsense("who joins owns no partitions, and says so")
        if request.subscribed_topic_names is None and request.subscribed_topic_regex is None:
            raise _nonsense("who joins subscribes to something, if only to nothing")
    elif request.member_epoch == _LEAVE_FOR_A_WHILE and request.instance_id is None:
        raise _nonsense("only a static member leaves for a while")
    elif request.member_epoch < _LEAVE_FOR_A_WHILE:
        raise _nonsense("there is no such epoch")
    assignor = request.server_assignor
    if assignor is not None and assignor not in ASSIGNORS:
        raise ApiError(ErrorName.UNSUPPORTED_ASSIGNOR, assignor=assignor, known=",".join(ASSIGNORS))


def _ensure_said(text: str | None, what: str) -> None:
    if text is not None and not text.strip():
        raise _nonsense(f"the {what} is empty")


def _nonsense(because: str) -> ApiError:
    return ApiError(ErrorName.INVALID_REQUEST, because=because)


def consumer_group_describe(
    request: ConsumerGroupDescribeRequest, call: Call
) -> ConsumerGroupDescribeResponse:
    """Describe groups with their members, assignments, and target assignments."""
    return ConsumerGroupDescribeResponse(
        throttle_time_ms=0, groups=[_described(name, request, call) for name in request.group_ids]
    )


def _described(name: str, request: ConsumerGroupDescribeRequest, call: Call) -> DescribedGroup:
    if not may_describe(name, call):
        return _failed(name, ErrorCode.GROUP_AUTHORIZATION_FAILED)
    group = call.broker.groups.group(name)
    if not isinstance(group, ConsumerGroup):
        if not name:
            return _failed(name, ErrorCode.INVALID_GROUP_ID)
        return _failed(name, ErrorCode.GROUP_ID_NOT_FOUND, shortened(f"there is no consumer group {name}"))
    shown = _shown(name, group, call)
    if not all(map(call.may_describe, _topics_of(shown))):
        return _failed(
            name, ErrorCode.TOPIC_AUTHORIZATION_FAILED, "the group has topics that the client may not know of"
        )
    if request.include_authorized_operations:
        shown.authorized_operations = call.operations(ResourceType.GROUP, name)
    return shown


def _failed(name: str, code: ErrorCode, message: str | None = None) -> DescribedGroup:
    return DescribedGroup(
        error_code=code,
        error_message=message,
        group_id=name,
        group_state="",
        group_epoch=0,
        assignment_epoch=0,
        assignor_name="",
        members=[],
    )


def _topics_of(group: DescribedGroup) -> set[str]:
    """Return the topics that members subscribe to, own, or have as target."""
    return {
        topic
        for member in group.members
        for topic in (
            *member.subscribed_topic_names,
            *(each.topic_name for each in member.assignment.topic_partitions),
            *(each.topic_name for each in member.target_assignment.topic_partitions),
        )
    }


def _shown(name: str, group: ConsumerGroup, call: Call) -> DescribedGroup:
    return DescribedGroup(
        error_code=ErrorCode.NONE,
        group_id=name,
        group_state=group.state.value,
        group_epoch=group.epoch,
        assignment_epoch=group.target_epoch,
        assignor_name=group.assignor,
        members=[_member(group, each, call.broker.groups.topics) for each in group.members.values()],
    )


def _member(group: ConsumerGroup, member: ConsumerMember, topics: GroupTopics) -> Member:
    profile = member.profile
    return Member(
        member_id=member.member_id,
        instance_id=profile.instance_id,
        rack_id=profile.rack,
        member_epoch=member.holding.epoch,
        client_id=profile.client_id,
        client_host=profile.client_host,
        subscribed_topic_names=list(profile.topics),
        subscribed_topic_regex=profile.pattern,
        assignment=_assignment(member.holding.partitions, topics),
        target_assignment=_assignment(group.target_of(member.member_id), topics),
        member_type=_CLASSIC_MEMBER if member.is_classic else _CONSUMER_MEMBER,
    )


def _assignment(partitions: Iterable[PartitionId], topics: GroupTopics) -> Assignment:
    """Return partitions by topic, without those of deleted topics."""
    return Assignment(
        topic_partitions=[
            TopicPartitions(topic_id=topic_id, topic_name=name, partitions=numbers)
            for topic_id, numbers in _by_topic(partitions).items()
            if (name := topics.name_of(topic_id)) is not None
        ]
    )


def _by_topic(partitions: Iterable[PartitionId]) -> dict[bytes, list[int]]:
    by_topic: dict[bytes, list[int]] = {}
    for partition in sorted(partitions):
        by_topic.setdefault(partition.topic_id, []).append(partition.partition)
    return by_topic
