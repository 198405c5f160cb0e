"""FindCoordinator (key 10): returns the broker that coordinates a group or a transactional id."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int8, Int16, Int32, Message, V


class FindCoordinatorRequest(Message):
    """The request."""

    key: A[str, V("0-3")] = ""
    key_type: A[Int8, V("1+")] = 0
    coordinator_keys: A[list[str], V("4+")] = []


class Coordinator(Message):
    key: str
    node_id: Int32
    host: str
    port: Int32
    error_code: Int16
    error_message: str | None


class FindCoordinatorResponse(Message):
    """The response."""

    throttle_time_ms: A[Int32, V("1+")] = 0
    error_code: A[Int16, V("0-3")] = 0
    error_message: A[str | None, V("1-3")] = None
    node_id: A[Int32, V("0-3")] = 0
    host: A[str, V("0-3")] = ""
    port: A[Int32, V("0-3")] = 0
    coordinators: A[list[Coordinator], V("4+")] = []
