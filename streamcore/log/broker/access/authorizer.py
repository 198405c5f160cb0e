"""Decision whether a client may do something: deny unless a rule allows it, and deny where a rule denies it.

Super users may do anything. For other principals all rules about the resource are evaluated: a denying rule
wins over any allowing rule, and without a matching rule the operation is denied. ``allows_where_no_rule_is``
allows everything on resources that have no rule at all.

A bounded number of decisions is cached until a rule changes.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from streamcore.log.broker.access.acl import (
    ANYTHING,
    OPERATIONS,
    AccessRule,
    AclOperation,
    PatternType,
    Permission,
    ResourceType,
)
from streamcore.log.broker.access.rules import AccessRules

_logger = logging.getLogger(__name__)

_DECISIONS_MAX: Final = 20_000

_Question = tuple[str, str, AclOperation, ResourceType, str]


class Authorizer:
    """Decides for every request what its client may do."""

    def __init__(
        self,
        rules: AccessRules,
        *,
        super_users: Collection[str] = (),
        allows_where_no_rule_is: bool = False,
        decisions_max: int = _DECISIONS_MAX,
    ) -> None:
        self._rules = rules
        self._super_users = frozenset(super_users)
        self._allows_where_no_rule_is = allows_where_no_rule_is
        self._decisions_max = decisions_max
        self._decisions: dict[_Question, bool] = {}
        self._decided_at_change = rules.change_count

    def is_super_user(self, principal: str) -> bool:
        """Whether a principal may do anything."""
        return principal in self._super_users

    def allows(
        self, principal: str, host: str, operation: AclOperation, resource_type: ResourceType, name: str
    ) -> bool:
        """Whether a principal, from a host, may do an operation on a resource."""
        if self._decided_at_change != self._rules.change_count:
            self._decisions.clear()
            self._decided_at_change = self._rules.change_count
        question = (principal, host, operation, resource_type, name)
        decision = self._decisions.get(question)
        if decision is None:
            decision = self._decide(principal, host, operation, resource_type, name)
            if len(self._decisions) >= self._decisions_max:
                self._decisions.clear()
            self._decisions[question] = decision
        return decision

    def allows_somewhere(
        self, principal: str, host: str, operation: AclOperation, resource_type: ResourceType
    ) -> bool:
        """Whether there may be a resource of a type on which the principal may do the operation (KIP-679).

        A denying rule that covers everything that an allowing rule covers cancels it; any other denying rule
        leaves some resources.
        """
        if self.is_super_user(principal):
            return True
        if self._allows_where_no_rule_is and not any(self._rules.about(resource_type, ANYTHING)):
            return True
        spoken = [
            rule
            for rule in self._rules.of_type(resource_type)
            if rule.speaks_of(principal, host) and rule.operation in (operation, AclOperation.ALL)
        ]
        denials = [rule for rule in spoken if rule.permission is Permission.DENY]
        return any(
            not any(_takes_away(denial, rule) for denial in denials)
            for rule in spoken
            if rule.permission is Permission.ALLOW
        )

    def operations(self, principal: str, host: str, resource_type: ResourceType, name: str) -> int:
        """Return the allowed operations on a resource, a bit for each operation by its number."""
        return sum(
            1 << operation
            for operation in OPERATIONS[resource_type]
            if self.allows(principal, host, operation, resource_type, name)
        )

    def _decide(
        self, principal: str, host: str, operation: AclOperation, resource_type: ResourceType, name: str
    ) -> bool:
        if self.is_super_user(principal):
            return True
        has_rules = is_allowed = is_denied = False
        for rule in self._rules.about(resource_type, name):
            has_rules = True
            if rule.speaks_of(principal, host) and rule.includes(operation):
                is_denied |= rule.permission is Permission.DENY
                is_allowed |= rule.permission is Permission.ALLOW
        if is_denied or not (is_allowed or (self._allows_where_no_rule_is and not has_rules)):
            _logger.info(
                "denied, principal=%s host=%s operation=%s resource=%s:%s",
                principal,
                host,
                operation.name,
                resource_type.name,
                name,
            )
            return False
        return True


def all_operations(resource_type: ResourceType) -> int:
    """Return the bits of all operations on a type of resource."""
    return sum(1 << operation for operation in OPERATIONS[resource_type])


def _takes_away(denial: AccessRule, allowing: AccessRule) -> bool:
    """Whether a denying rule covers everything that an allowing rule covers."""
    denied, allowed = denial.resource, allowing.resource
    if denied.pattern is PatternType.PREFIXED:
        return allowed.name.startswith(denied.name) and not _is_everything(allowing)
    return denied.name in (ANYTHING, allowed.name) and (
        denied.name == ANYTHING or allowed.pattern is PatternType.LITERAL
    )


def _is_everything(rule: AccessRule) -> bool:
    return rule.resource.pattern is PatternType.LITERAL and rule.resource.name == ANYTHING
