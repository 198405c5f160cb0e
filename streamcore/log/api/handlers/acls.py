"""Access rules (ACLs): described, added, deleted. Without an authorizer each request is answered
SECURITY_DISABLED.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, TypeVar

from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode, code_of, text_of
from streamcore.log.broker.access.acl import (
    AccessRule,
    AccessRuleFilter,
    AclOperation,
    PatternType,
    Permission,
    ResourcePattern,
    ResourceType,
)
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.operations import Operation
from streamcore.log.protocol.messages.create_acls import (
    AclCreation,
    AclCreationResult,
    CreateAclsRequest,
    CreateAclsResponse,
)
from streamcore.log.protocol.messages.delete_acls import (
    DeleteAclsFilter,
    DeleteAclsFilterResult,
    DeleteAclsMatchingAcl,
    DeleteAclsRequest,
    DeleteAclsResponse,
)
from streamcore.log.protocol.messages.describe_acls import (
    AclDescription,
    DescribeAclsRequest,
    DescribeAclsResource,
    DescribeAclsResponse,
)

_UNKNOWN: Final = 0
"""Kafka's number for an unknown type."""

N = TypeVar("N", bound=IntEnum)


def describe_acls(request: DescribeAclsRequest, call: Call) -> DescribeAclsResponse:
    """Return the rules that match a filter, by their resources."""
    try:
        _ensure_secured(call, AclOperation.DESCRIBE)
        wanted = _filter_of(request)
    except ApiError as refused:
        return DescribeAclsResponse(
            throttle_time_ms=0, error_code=code_of(refused), error_message=text_of(refused), resources=[]
        )
    by_resource: dict[ResourcePattern, list[AclDescription]] = {}
    for rule in [] if wanted is None else call.broker.access_rules.chosen(wanted):
        by_resource.setdefault(rule.resource, []).append(
            AclDescription(
                principal=rule.principal,
                host=rule.host,
                operation=rule.operation,
                permission_type=rule.permission,
            )
        )
    resources = [
        DescribeAclsResource(
            resource_type=resource.type,
            resource_name=resource.name,
            pattern_type=resource.pattern,
            acls=descriptions,
        )
        for resource, descriptions in by_resource.items()
    ]
    return DescribeAclsResponse(
        throttle_time_ms=0, error_code=ErrorCode.NONE, error_message="", resources=resources
    )


def create_acls(request: CreateAclsRequest, call: Call) -> Operation[CreateAclsResponse]:
    """Add rules; each rule has its own result."""
    fates: list[ApiError | None] = []
    try:
        _ensure_secured(call, AclOperation.ALTER)
    except ApiError as refused:
        fates = [refused] * len(request.creations)
    else:
        read = [_rule_of(each) for each in request.creations]
        added = yield from call.broker.access_rules.add([rule for rule in read if rule is not None])
        of_known = iter(added)
        fates = [ApiError(ErrorName.INVALID_REQUEST) if rule is None else next(of_known) for rule in read]
    return CreateAclsResponse(
        throttle_time_ms=0,
        results=[
            AclCreationResult(
                error_code=ErrorCode.NONE if fate is None else code_of(fate),
                error_message="" if fate is None else text_of(fate),
            )
            for fate in fates
        ],
    )


def delete_acls(request: DeleteAclsRequest, call: Call) -> Operation[DeleteAclsResponse]:
    """Delete the rules that match filters; the answer names them."""
    try:
        _ensure_secured(call, AclOperation.ALTER)
        wanted = [_filter_of(each) for each in request.filters]
    except ApiError as refused:
        return _deleted([_refused(refused) for _ in request.filters])
    deleted = yield from call.broker.access_rules.delete([each for each in wanted if each is not None])
    of_known = iter(deleted)
    return _deleted([_chosen([] if each is None else next(of_known)) for each in wanted])


def _ensure_secured(call: Call, operation: AclOperation) -> None:
    if call.caller.authorizer is None:
        raise ApiError(ErrorName.SECURITY_DISABLED)
    call.ensure(operation, ResourceType.CLUSTER)


def _rule_of(creation: AclCreation) -> AccessRule | None:
    """Return the rule, or ``None`` if one of its numbers is unknown."""
    kind = _member(ResourceType, creation.resource_type)
    pattern = _member(PatternType, creation.resource_pattern_type)
    operation = _member(AclOperation, creation.operation)
    permission = _member(Permission, creation.permission_type)
    if kind is None or pattern is None or operation is None or permission is None:
        return None
    resource = ResourcePattern(kind, creation.resource_name, pattern)
    return AccessRule(resource, creation.principal, creation.host, operation, permission)


def _filter_of(wanted: DescribeAclsRequest | DeleteAclsFilter) -> AccessRuleFilter | None:
    """Return the filter, or ``None`` if it asks for a type that has no rules here.

    Raises:
        Refused: the filter asks for the type "unknown".
    """
    numbers = (
        wanted.resource_type_filter,
        wanted.pattern_type_filter,
        wanted.operation,
        wanted.permission_type,
    )
    if _UNKNOWN in numbers:
        raise ApiError(ErrorName.INVALID_REQUEST, type=numbers[0], pattern=numbers[1])
    kind = _member(ResourceType, wanted.resource_type_filter)
    pattern = _member(PatternType, wanted.pattern_type_filter)
    operation = _member(AclOperation, wanted.operation)
    permission = _member(Permission, wanted.permission_type)
    if kind is None or pattern is None or operation is None or permission is None:
        return None
    return AccessRuleFilter(
        type=kind,
        name=wanted.resource_name_filter,
        pattern=pattern,
        principal=wanted.principal_filter,
        host=wanted.host_filter,
        operation=operation,
        permission=permission,
    )


def _member(kind: type[N], number: int) -> N | None:
    try:
        return kind(number)
    except ValueError:
        return None


def _chosen(rules: Sequence[AccessRule]) -> DeleteAclsFilterResult:
    return DeleteAclsFilterResult(
        error_code=ErrorCode.NONE,
        error_message=None,
        matching_acls=[
            DeleteAclsMatchingAcl(
                error_code=ErrorCode.NONE,
                error_message=None,
                resource_type=rule.resource.type,
                resource_name=rule.resource.name,
                pattern_type=rule.resource.pattern,
                principal=rule.principal,
                host=rule.host,
                operation=rule.operation,
                permission_type=rule.permission,
            )
            for rule in rules
        ],
    )


def _refused(refused: ApiError) -> DeleteAclsFilterResult:
    return DeleteAclsFilterResult(
        error_code=code_of(refused), error_message=text_of(refused), matching_acls=[]
    )


def _deleted(results: list[DeleteAclsFilterResult]) -> DeleteAclsResponse:
    return DeleteAclsResponse(throttle_time_ms=0, filter_results=results)
