"""Heartbeat (key 12): keeps a member's session, and tells it when to join again."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Message, V


class HeartbeatRequest(Message):
    """What a client asks."""

    group_id: str
    generation_id: Int32
    member_id: str
    group_instance_id: A[str | None, V("3+")] = None


class HeartbeatResponse(Message):
    """What it is answered."""

    throttle_time_ms: A[Int32, V("1+")] = 0
    error_code: Int16
