"""LeaveGroup (key 13): removes members from their group."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Message, V


class MemberIdentity(Message):
    member_id: str
    group_instance_id: str | None = None
    reason: A[str | None, V("5+")] = None


class LeaveGroupRequest(Message):
    """The request."""

    group_id: str
    member_id: A[str, V("0-2")] = ""
    members: A[list[MemberIdentity], V("3+")] = []


class MemberResponse(Message):
    member_id: str
    group_instance_id: str | None
    error_code: Int16


class LeaveGroupResponse(Message):
    """The response."""

    throttle_time_ms: A[Int32, V("1+")] = 0
    error_code: Int16
    members: A[list[MemberResponse], V("3+")] = []
