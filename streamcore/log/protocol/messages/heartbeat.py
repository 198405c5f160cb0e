"""Heartbeat (key 12): extends a member's session, and reports a rebalance to the member."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Message, V


class HeartbeatRequest(Message):
    """The request."""

    group_id: str
    generation_id: Int32
    member_id: str
    group_instance_id: A[str | None, V("3+")] = None


class HeartbeatResponse(Message):
    """The response."""

    throttle_time_ms: A[Int32, V("1+")] = 0
    error_code: Int16
