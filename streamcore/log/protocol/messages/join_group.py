"""JoinGroup (key 11): adds a member to its group's next generation."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Message, Null, V


class JoinGroupRequestProtocol(Message):
    name: str
    metadata: bytes


class JoinGroupRequest(Message):
    """The request."""

    group_id: str
    session_timeout_ms: Int32
    rebalance_timeout_ms: A[Int32, V("1+")] = -1
    member_id: str
    group_instance_id: A[str | None, V("5+")] = None
    protocol_type: str
    protocols: list[JoinGroupRequestProtocol]
    reason: A[str | None, V("8+")] = None


class JoinGroupResponseMember(Message):
    member_id: str
    group_instance_id: A[str | None, V("5+")] = None
    metadata: bytes


class JoinGroupResponse(Message):
    """The response."""

    throttle_time_ms: A[Int32, V("2+")] = 0
    error_code: Int16
    generation_id: Int32 = -1
    protocol_type: A[str | None, V("7+")] = None
    protocol_name: A[str | None, Null("7+")]
    leader: str
    skip_assignment: A[bool, V("9+")] = False
    member_id: str
    members: list[JoinGroupResponseMember]
