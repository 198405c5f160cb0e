"""The words of access control: resources, operations, and rules about who may do what.

Numbers and names are those of Kafka's protocol and tools. A *principal* is who asks, ``User:alice``; a rule
says of one principal and one host that an operation on the resources of a pattern is allowed or
denied. Filters choose rules, to show or to delete them.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

ANYBODY: Final = "User:*"
ANYWHERE: Final = "*"
ANYTHING: Final = "*"
"""As the name of a literal pattern."""
CLUSTER_NAME: Final = "kafka-cluster"
"""The one resource of type ``CLUSTER``."""
ANONYMOUS: Final = "User:ANONYMOUS"
"""The principal of whoever came without authentication."""


class ResourceType(IntEnum):
    """What there is to protect; ``ANY`` is for filters."""

    ANY = 1
    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6
    USER = 7


class PatternType(IntEnum):
    """How a name stands for resources; ``ANY`` and ``MATCH`` are for filters."""

    ANY = 1
    MATCH = 2
    """Whatever applies to the resource of the filter's name: its own, wildcards, prefixes."""
    LITERAL = 3
    PREFIXED = 4


class AclOperation(IntEnum):
    """What can be done with resources; ``ANY`` is for filters."""

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
    """What a rule says; ``ANY`` is for filters."""

    ANY = 1
    DENY = 2
    ALLOW = 3


_O = AclOperation

IMPLYING: Final[dict[AclOperation, frozenset[AclOperation]]] = {
    _O.DESCRIBE: frozenset({_O.READ, _O.WRITE, _O.DELETE, _O.ALTER}),
    _O.DESCRIBE_CONFIGS: frozenset({_O.ALTER_CONFIGS}),
}
"""Operations that are allowed, too, where one of these is. What is denied implies nothing."""

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
"""What can be done with each type of resource."""


@dataclass(frozen=True, slots=True, order=True)
class ResourcePattern:
    """The resources that a rule is about: the one of a name, all (``*``), or those whose names begin so."""

    type: ResourceType
    name: str
    pattern: PatternType = PatternType.LITERAL

    def covers(self, name: str) -> bool:
        """Whether the resource of this name, and of the type, is one of them."""
        if self.pattern is PatternType.PREFIXED:
            return name.startswith(self.name)
        return self.name in (name, ANYTHING)


@dataclass(frozen=True, slots=True, order=True)
class AccessRule:
    """One rule."""

    resource: ResourcePattern
    principal: str
    host: str
    operation: AclOperation
    permission: Permission

    def speaks_of(self, principal: str, host: str) -> bool:
        """Whether it is about this client."""
        return self.principal in (principal, ANYBODY) and (
            self.host in (host, ANYWHERE) or _is_same_address(self.host, host)
        )

    def includes(self, operation: AclOperation) -> bool:
        """Whether it is about this operation; to allow one may be to allow another."""
        if self.operation in (operation, AclOperation.ALL):
            return True
        return self.permission is Permission.ALLOW and self.operation in IMPLYING.get(operation, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRuleFilter:
    """Chooses rules: those that agree in everything that is given."""

    type: ResourceType = ResourceType.ANY
    name: str | None = None
    pattern: PatternType = PatternType.ANY
    principal: str | None = None
    host: str | None = None
    operation: AclOperation = AclOperation.ANY
    permission: Permission = Permission.ANY

    def chooses(self, rule: AccessRule) -> bool:
        """Whether a rule is one of them."""
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
    """Whether two ways to write an IPv6 address mean the same."""
    if ":" not in one or ":" not in other:
        return False
    try:
        return ipaddress.IPv6Address(one) == ipaddress.IPv6Address(other)
    except ValueError:
        return False
