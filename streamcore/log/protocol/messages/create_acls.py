"""CreateAcls (key 30): adds access rules."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int8, Int16, Int32, Message


class AclCreation(Message):
    resource_type: Int8
    resource_name: str
    resource_pattern_type: Int8 = 3
    principal: str
    host: str
    operation: Int8
    permission_type: Int8


class CreateAclsRequest(Message):
    """The request."""

    creations: list[AclCreation]


class AclCreationResult(Message):
    error_code: Int16
    error_message: str | None


class CreateAclsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    results: list[AclCreationResult]
