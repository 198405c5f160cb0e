"""DeleteAcls (key 31): removes access rules that match filters."""

from __future__ import annotations

from streamcore.log.protocol.fields import Int8, Int16, Int32, Message


class DeleteAclsFilter(Message):
    resource_type_filter: Int8
    resource_name_filter: str | None
    pattern_type_filter: Int8 = 3
    principal_filter: str | None
    host_filter: str | None
    operation: Int8
    permission_type: Int8


class DeleteAclsRequest(Message):
    """The request."""

    filters: list[DeleteAclsFilter]


class DeleteAclsMatchingAcl(Message):
    error_code: Int16
    error_message: str | None
    resource_type: Int8
    resource_name: str
    pattern_type: Int8 = 3
    principal: str
    host: str
    operation: Int8
    permission_type: Int8


class DeleteAclsFilterResult(Message):
    error_code: Int16
    error_message: str | None
    matching_acls: list[DeleteAclsMatchingAcl]


class DeleteAclsResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    filter_results: list[DeleteAclsFilterResult]
