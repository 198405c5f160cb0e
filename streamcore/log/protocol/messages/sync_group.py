"""SyncGroup (key 14): carries the leader's assignment, and returns a member's part of it."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Message, V


class SyncGroupRequestAssignment(Message):
    member_id: str
    assignment: bytes


class SyncGroupRequest(Message):
    """The request."""

    group_id: str
    generation_id: Int32
    member_id: str
    group_instance_id: A[str | None, V("3+")] = None
    protocol_type: A[str | None, V("5+")] = None
    protocol_name: A[str | None, V("5+")] = None
    assignments: list[SyncGroupRequestAssignment]


class SyncGroupResponse(Message):
    """The response."""

    throttle_time_ms: A[Int32, V("1+")] = 0
    error_code: Int16
    protocol_type: A[str | None, V("5+")] = None
    protocol_name: A[str | None, V("5+")] = None
    assignment: bytes
