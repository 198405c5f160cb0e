"""Groups as a whole: listed, shown, deleted."""

from __future__ import annotations

from streamcore.errors import StreamCoreError
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.refusals import Refused
from streamcore.log.broker.requests import GroupDescription
from streamcore.log.wire.calls import Call
from streamcore.log.wire.error_codes import ErrorCode, code_of
from streamcore.log.wire.messages.delete_groups import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
)
from streamcore.log.wire.messages.describe_groups import (
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
)
from streamcore.log.wire.messages.list_groups import ListedGroup, ListGroupsRequest, ListGroupsResponse


def list_groups(request: ListGroupsRequest, call: Call) -> ListGroupsResponse:
    """List groups, of some states and types or of all."""
    described = [call.broker.groups.describe(name) for name in call.broker.groups.names()]
    states = {state.lower() for state in request.states_filter}
    types = {kind.lower() for kind in request.types_filter}
    return ListGroupsResponse(
        error_code=ErrorCode.NONE,
        groups=[
            ListedGroup(
                group_id=group.group,
                protocol_type=group.protocol_type,
                group_state=group.state,
                group_type="classic",
            )
            for group in described
            if (not states or group.state.lower() in states) and (not types or "classic" in types)
        ],
    )


def describe_groups(request: DescribeGroupsRequest, call: Call) -> DescribeGroupsResponse:
    """Show groups with their members."""
    return DescribeGroupsResponse(
        groups=[_described(call.broker.groups.describe(name)) for name in request.groups]
    )


def _described(group: GroupDescription) -> DescribedGroup:
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
    for name in request.groups_names:
        code = ErrorCode.NONE
        try:
            yield from call.broker.groups.delete(name)
        except (Refused, StreamCoreError) as error:
            code = code_of(error)
        results.append(DeletableGroupResult(group_id=name, error_code=code))
    return DeleteGroupsResponse(throttle_time_ms=0, results=results)
