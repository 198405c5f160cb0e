"""DescribeGroups (key 15): describes classic groups and their members."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Message, V


class DescribeGroupsRequest(Message):
    """The request."""

    groups: list[str]
    include_authorized_operations: A[bool, V("3+")] = False


class DescribedGroupMember(Message):
    member_id: str
    group_instance_id: A[str | None, V("4+")] = None
    client_id: str
    client_host: str
    member_metadata: bytes
    member_assignment: bytes


class DescribedGroup(Message):
    error_code: Int16
    error_message: A[str | None, V("6+")] = None
    group_id: str
    group_state: str
    protocol_type: str
    protocol_data: str
    members: list[DescribedGroupMember]
    authorized_operations: A[Int32, V("3+")] = -2_147_483_648


class DescribeGroupsResponse(Message):
    """The response."""

    throttle_time_ms: A[Int32, V("1+")] = 0
    groups: list[DescribedGroup]
