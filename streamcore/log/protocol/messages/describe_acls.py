"""DescribeAcls (key 29): lists access rules."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int8, Int16, Int32, Message


class DescribeAclsRequest(Message):
    """The request."""

    resource_type_filter: Int8
    resource_name_filter: str | None
    pattern_type_filter: Int8 = 3
    principal_filter: str | None
    host_filter: str | None
    operation: Int8
    permission_type: Int8


class AclDescription(Message):
    principal: str
    host: str
    operation: Int8
    permission_type: Int8


class DescribeAclsResource(Message):
    resource_type: Int8
    resource_name: str
    pattern_type: Int8 = 3
    acls: list[AclDescription]


class DescribeAclsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: Int16
    error_message: str | None
    resources: list[DescribeAclsResource]
