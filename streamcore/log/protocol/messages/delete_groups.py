"""DeleteGroups (key 42): deletes groups."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int16, Int32, Message


class DeleteGroupsRequest(Message):
    """The request."""

    groups_names: list[str]


class DeletableGroupResult(Message):
    group_id: str
    error_code: Int16


class DeleteGroupsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    results: list[DeletableGroupResult]
