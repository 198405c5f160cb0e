"""ListGroups (key 16): lists groups of all types."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Message, V


class ListGroupsRequest(Message):
    """The request."""

    states_filter: A[list[str], V("4+")] = []
    types_filter: A[list[str], V("5+")] = []


class ListedGroup(Message):
    group_id: str
    protocol_type: str
    group_state: A[str, V("4+")] = ""
    group_type: A[str, V("5+")] = ""


class ListGroupsResponse(Message):
    """The response."""

    throttle_time_ms: A[Int32, V("1+")] = 0
    error_code: Int16
    groups: list[ListedGroup]
