"""The classic group protocol: join, sync, heartbeat, leave."""

from __future__ import annotations

from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of
from streamcore.log.broker.access.acl import AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.requests import JoinReply, JoinRequest, Leaving, SyncRequest
from streamcore.log.protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse
from streamcore.log.protocol.messages.join_group import (
    JoinGroupRequest,
    JoinGroupResponse,
    JoinGroupResponseMember,
)
from streamcore.log.protocol.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberResponse
from streamcore.log.protocol.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from streamcore.model import Membership

_MEMBER_ID_REQUIRED_FROM: Final = 4
_LEAVE_BATCHED_FROM: Final = 3
_SYNC_PROTOCOL_FROM: Final = 5
_NULL_PROTOCOL_FROM: Final = 7
_SKIP_ASSIGNMENT_FROM: Final = 9
_WITHOUT_MEMBER_ID: Final = frozenset(
    {ErrorName.GROUP_MAX_SIZE_REACHED, ErrorName.GROUP_AUTHORIZATION_FAILED}
)


def host_of(call: Call) -> str:
    """Return the client's host in Kafka's form."""
    return f"/{call.caller.host}"


def _ensure_may_read(group: str, call: Call) -> None:
    call.ensure(AclOperation.READ, ResourceType.GROUP, group)


def join_group(request: JoinGroupRequest, call: Call) -> Operation[JoinGroupResponse]:
    """Join; the answer is sent when the generation begins."""
    rebalance_timeout_ms = request.rebalance_timeout_ms
    joining = JoinRequest(
        group=request.group_id,
        protocols=tuple((each.name, each.metadata) for each in request.protocols),
        member_id=request.member_id,
        instance_id=request.group_instance_id,
        protocol_type=request.protocol_type,
        session_timeout_ms=request.session_timeout_ms,
        rebalance_timeout_ms=request.session_timeout_ms if rebalance_timeout_ms < 0 else rebalance_timeout_ms,
        client_id=call.client_id or "",
        client_host=host_of(call),
        is_member_id_required=call.version >= _MEMBER_ID_REQUIRED_FROM,
        can_skip_assignment=call.version >= _SKIP_ASSIGNMENT_FROM,
        may_see=call.may_describe,
    )
    try:
        _ensure_may_read(request.group_id, call)
        reply = yield from call.broker.groups.join(joining)
    except (ApiError, StreamCoreError) as error:
        return _join_refused(error, request, call)
    return _joined(reply, call)


def _joined(reply: JoinReply, call: Call) -> JoinGroupResponse:
    return JoinGroupResponse(
        error_code=ErrorCode.NONE,
        generation_id=reply.generation,
        protocol_type=reply.protocol_type,
        protocol_name=reply.protocol or _no_protocol(call),
        leader=reply.leader_id,
        skip_assignment=reply.skip_assignment,
        member_id=reply.member_id,
        members=[
            JoinGroupResponseMember(
                member_id=each.member_id, group_instance_id=each.instance_id, metadata=each.subscription
            )
            for each in reply.members
        ],
    )


def _no_protocol(call: Call) -> str | None:
    return None if call.version >= _NULL_PROTOCOL_FROM else ""


def _join_refused(error: Exception, request: JoinGroupRequest, call: Call) -> JoinGroupResponse:
    member_id = request.member_id
    if isinstance(error, ApiError) and error.refusal is ErrorName.MEMBER_ID_REQUIRED:
        member_id = str(error.facts["member_id"])
    elif isinstance(error, ApiError) and error.refusal in _WITHOUT_MEMBER_ID:
        member_id = ""
    return JoinGroupResponse(
        error_code=code_of(error),
        protocol_name=_no_protocol(call),
        leader="",
        member_id=member_id,
        members=[],
    )


def sync_group(request: SyncGroupRequest, call: Call) -> Operation[SyncGroupResponse]:
    """Return the member's assignment; the leader sends the assignments of all members."""
    if call.version >= _SYNC_PROTOCOL_FROM and None in (request.protocol_type, request.protocol_name):
        return SyncGroupResponse(error_code=ErrorCode.INCONSISTENT_GROUP_PROTOCOL, assignment=b"")
    syncing = SyncRequest(
        request.group_id,
        Membership(request.member_id, request.generation_id, request.group_instance_id),
        {each.member_id: each.assignment for each in request.assignments},
        request.protocol_type,
        request.protocol_name,
    )
    try:
        _ensure_may_read(request.group_id, call)
        reply = yield from call.broker.groups.sync(syncing)
    except (ApiError, StreamCoreError) as error:
        return SyncGroupResponse(error_code=code_of(error), assignment=b"")
    return SyncGroupResponse(
        error_code=ErrorCode.NONE,
        protocol_type=reply.protocol_type,
        protocol_name=reply.protocol,
        assignment=reply.assignment,
    )


def heartbeat(request: HeartbeatRequest, call: Call) -> Operation[HeartbeatResponse]:
    """Renew the member's session; refuse it if the member must join again."""
    membership = Membership(request.member_id, request.generation_id, request.group_instance_id)
    try:
        _ensure_may_read(request.group_id, call)
        yield from call.broker.groups.heartbeat(request.group_id, membership)
    except (ApiError, StreamCoreError) as error:
        return HeartbeatResponse(error_code=code_of(error))
    return HeartbeatResponse(error_code=ErrorCode.NONE)


def leave_group(request: LeaveGroupRequest, call: Call) -> Operation[LeaveGroupResponse]:
    """Remove members from their group at once."""
    leaving = [Leaving(each.member_id, each.group_instance_id) for each in request.members]
    if call.version < _LEAVE_BATCHED_FROM:
        leaving = [Leaving(request.member_id)]
    try:
        _ensure_may_read(request.group_id, call)
        api_errors = yield from call.broker.groups.leave_all(request.group_id, leaving)
    except (ApiError, StreamCoreError) as error:
        return LeaveGroupResponse(error_code=code_of(error))
    codes = [ErrorCode.NONE if each is None else ErrorCode[each.name] for each in api_errors]
    if call.version < _LEAVE_BATCHED_FROM:
        return LeaveGroupResponse(error_code=codes[0])
    return LeaveGroupResponse(
        error_code=ErrorCode.NONE,
        members=[
            MemberResponse(
                member_id=each.member_id, group_instance_id=each.group_instance_id, error_code=code
            )
            for each, code in zip(request.members, codes, strict=True)
        ],
    )
