"""The types of access control: resources, operations, and access rules.

Numbers and names are those of Kafka's protocol and tools. A *principal* is the name of a client's user in
rules, ``User:alice``. A rule allows or denies one principal, from one host, an operation on the resources of
a pattern. Filters select rules, to list or to delete them.
"""

from __future__ import annotations

import ipaddress
from enum import IntEnum
from typing import Final

from msgspec import Struct

ANYBODY: Final = "User:*"
ANYWHERE: Final = "*"
ANYTHING: Final = "*"
"""As a literal pattern's name: all resources."""
CLUSTER_NAME: Final = "kafka-cluster"
"""The name of the only resource of type ``CLUSTER``."""
ANONYMOUS: Final = "User:ANONYMOUS"
"""The principal of a client without authentication."""


class ResourceType(IntEnum):
    """The types of protected resources; ``ANY`` is for filters."""

    ANY = 1
    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6
    USER = 7


class PatternType(IntEnum):
    """How a name selects resources; ``ANY`` and ``MATCH`` are for filters."""

    ANY = 1
    MATCH = 2
    """All patterns that match the filter's name: literal, wildcard and prefix."""
    LITERAL = 3
    PREFIXED = 4


class AclOperation(IntEnum):
    """The operations on resources; ``ANY`` is for filters."""

    ANY = 1
    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12
    CREATE_TOKENS = 13
    DESCRIBE_TOKENS = 14
    TWO_PHASE_COMMIT = 15


class Permission(IntEnum):
    """Whether a rule allows or denies; ``ANY`` is for filters."""

    ANY = 1
    DENY = 2
    ALLOW = 3


_O = AclOperation

IMPLYING: Final[dict[AclOperation, frozenset[AclOperation]]] = {
    _O.DESCRIBE: frozenset({_O.READ, _O.WRITE, _O.DELETE, _O.ALTER}),
    _O.DESCRIBE_CONFIGS: frozenset({_O.ALTER_CONFIGS}),
}
"""The operations that allow another operation, too. Denying an operation implies nothing."""

OPERATIONS: Final[dict[ResourceType, tuple[AclOperation, ...]]] = {
    ResourceType.TOPIC: (
        _O.READ,
        _O.WRITE,
        _O.CREATE,
        _O.DELETE,
        _O.ALTER,
        _O.DESCRIBE,
        _O.DESCRIBE_CONFIGS,
        _O.ALTER_CONFIGS,
    ),
    ResourceType.GROUP: (_O.READ, _O.DELETE, _O.DESCRIBE, _O.DESCRIBE_CONFIGS, _O.ALTER_CONFIGS),
    ResourceType.CLUSTER: (
        _O.CREATE,
        _O.ALTER,
        _O.DESCRIBE,
        _O.CLUSTER_ACTION,
        _O.DESCRIBE_CONFIGS,
        _O.ALTER_CONFIGS,
        _O.IDEMPOTENT_WRITE,
    ),
    ResourceType.TRANSACTIONAL_ID: (_O.WRITE, _O.DESCRIBE, _O.TWO_PHASE_COMMIT),
    ResourceType.DELEGATION_TOKEN: (_O.DESCRIBE,),
    ResourceType.USER: (_O.CREATE_TOKENS, _O.DESCRIBE_TOKENS),
}
"""The operations on each type of resource."""


class ResourcePattern(Struct, frozen=True, order=True):
    """The resources of a rule: one by name, all (``*``), or those whose names have a prefix."""

    type: ResourceType
    name: str
    pattern: PatternType = PatternType.LITERAL

    def covers(self, name: str) -> bool:
        """Whether the resource of this type and name matches the pattern."""
        if self.pattern is PatternType.PREFIXED:
            return name.startswith(self.name)
        return self.name in (name, ANYTHING)


class AccessRule(Struct, frozen=True, order=True):
    """One rule."""

    resource: ResourcePattern
    principal: str
    host: str
    operation: AclOperation
    permission: Permission

    def speaks_of(self, principal: str, host: str) -> bool:
        """Whether the rule applies to this client."""
        return self.principal in (principal, ANYBODY) and (
            self.host in (host, ANYWHERE) or _is_same_address(self.host, host)
        )

    def includes(self, operation: AclOperation) -> bool:
        """Whether the rule applies to this operation; to allow one operation may allow others."""
        if self.operation in (operation, AclOperation.ALL):
            return True
        return self.permission is Permission.ALLOW and self.operation in IMPLYING.get(operation, ())


class AccessRuleFilter(Struct, frozen=True, kw_only=True):
    """Selects the rules that match in every given field."""

    type: ResourceType = ResourceType.ANY
    name: str | None = None
    pattern: PatternType = PatternType.ANY
    principal: str | None = None
    host: str | None = None
    operation: AclOperation = AclOperation.ANY
    permission: Permission = Permission.ANY

    def chooses(self, rule: AccessRule) -> bool:
        """Whether the filter selects a rule."""
        return (
            self._chooses_resource(rule.resource)
            and self.principal in (None, rule.principal)
            and self.host in (None, rule.host)
            and self.operation in (AclOperation.ANY, rule.operation)
            and self.permission in (Permission.ANY, rule.permission)
        )

    def _chooses_resource(self, resource: ResourcePattern) -> bool:
        if self.type not in (ResourceType.ANY, resource.type):
            return False
        if self.pattern is PatternType.MATCH:
            return self.name is None or resource.covers(self.name)
        return self.pattern in (PatternType.ANY, resource.pattern) and self.name in (None, resource.name)


def _is_same_address(one: str, other: str) -> bool:
    """Whether two texts are the same IPv6 address."""
    if ":" not in one or ":" not in other:
        return False
    try:
        return ipaddress.IPv6Address(one) == ipaddress.IPv6Address(other)
    except ValueError:
        return False
