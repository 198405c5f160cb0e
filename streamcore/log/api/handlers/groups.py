"""ListGroups, DescribeGroups, DeleteGroups."""

from __future__ import annotations

from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of, shortened
from streamcore.log.broker.access.acl import CLUSTER_NAME, AclOperation, ResourceType
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.requests import GroupDescription
from streamcore.log.protocol.messages.delete_groups import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)
from streamcore.log.protocol.messages.describe_groups import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)
from streamcore.log.protocol.messages.list_groups import ListedGroup, ListGroupsRequest, ListGroupsResponse

_NOT_FOUND_FROM: Final = 6
_DEAD: Final = "Dead"
_CLASSIC: Final = "classic"


def may_describe(group: str, call: Call) -> bool:
    """Whether the client may describe a group."""
    return call.may(AclOperation.DESCRIBE, ResourceType.GROUP, group)


def list_groups(request: ListGroupsRequest, call: Call) -> ListGroupsResponse:
    """List groups, of some states and types or of all."""
    may_see_all = call.may(AclOperation.DESCRIBE, ResourceType.CLUSTER, CLUSTER_NAME)
    groups = [
        call.broker.groups.summary(name)
        for name in call.broker.groups.names()
        if may_see_all or may_describe(name, call)
    ]
    states = {state.lower() for state in request.states_filter}
    types = {kind.lower() for kind in request.types_filter}
    return ListGroupsResponse(
        error_code=ErrorCode.NONE,
        groups=[
            ListedGroup(
                group_id=group.group,
                protocol_type=group.protocol_type,
                group_state=group.state,
                group_type=group.kind,
            )
            for group in groups
            if (not states or group.state.lower() in states) and (not types or group.kind in types)
        ],
    )


def describe_groups(request: DescribeGroupsRequest, call: Call) -> DescribeGroupsResponse:
    """Describe groups of the classic protocol with their members."""
    return DescribeGroupsResponse(groups=[_described(name, request, call) for name in request.groups])


def _described(name: str, request: DescribeGroupsRequest, call: Call) -> DescribedGroup:
    if not may_describe(name, call):
        return DescribedGroup(
            error_code=ErrorCode.GROUP_AUTHORIZATION_FAILED,
            group_id=name,
            group_state="",
            protocol_type="",
            protocol_data="",
            members=[],
        )
    shown = _found(name, call)
    if request.include_authorized_operations and shown.error_code == ErrorCode.NONE:
        shown.authorized_operations = call.operations(ResourceType.GROUP, name)
    return shown


def _found(name: str, call: Call) -> DescribedGroup:
    group = call.broker.groups.describe(name)
    if group.kind == _CLASSIC and group.state != _DEAD:
        return _shown(group)
    is_said = call.version >= _NOT_FOUND_FROM
    return DescribedGroup(
        error_code=ErrorCode.GROUP_ID_NOT_FOUND if is_said else ErrorCode.NONE,
        error_message=shortened(f"there is no classic group {name}") if is_said else None,
        group_id=name,
        group_state=_DEAD,
        protocol_type="",
        protocol_data="",
        members=[],
    )


def _shown(group: GroupDescription) -> DescribedGroup:
    return DescribedGroup(
        error_code=ErrorCode.NONE,
        group_id=group.group,
        group_state=group.state,
        protocol_type=group.protocol_type,
        protocol_data=group.protocol,
        members=[
            DescribedGroupMember(
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                member_metadata=member.subscription,
                member_assignment=member.assignment,
            )
            for member in group.members
        ],
    )


def delete_groups(request: DeleteGroupsRequest, call: Call) -> Operation[DeleteGroupsResponse]:
    """Delete groups that have no members."""
    results: list[DeletableGroupResult] = []
    for name in dict.fromkeys(request.groups_names):
        code = ErrorCode.NONE
        try:
            call.ensure(AclOperation.DELETE, ResourceType.GROUP, name)
            yield from call.broker.groups.delete(name)
        except (ApiError, StreamCoreError) as error:
            code = code_of(error)
        results.append(DeletableGroupResult(group_id=name, error_code=code))
    return DeleteGroupsResponse(throttle_time_ms=0, results=results)
