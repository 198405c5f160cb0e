"""The access rules of a log, stored in its cluster state and indexed by resource.

Value of kind ``access-rules``, by ``TYPE:PATTERN:name`` of the resources: an array of rules, each
``{principal, host, operation, permission}`` with Kafka's names for the last two. The value is deleted with a
resource's last rule.

Lookups are far more frequent than changes of rules: a literal name is one lookup, and prefixes are found by
cutting the name to each length that any prefix has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from streamcore.errors import CorruptDataError, with_facts
from streamcore.log.broker.access.acl import (
    ANYTHING,
    CLUSTER_NAME,
    AccessRule,
    AccessRuleFilter,
    AclOperation,
    PatternType,
    Permission,
    ResourcePattern,
    ResourceType,
)
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.cluster_state import ClusterState, StateTable
from streamcore.log.broker.operations import Operation

_RULES_OF_RESOURCE_MAX: Final = 1_000
"""The maximum number of rules of one resource pattern, because they are one record."""
_TEXT_BYTES_MAX: Final = 1_024
"""The maximum length of a name, a principal or a host."""


class _StoredRule(msgspec.Struct, frozen=True):
    principal: str
    host: str
    operation: str
    permission: str


class AccessRules:
    """All rules."""

    def __init__(self, state: ClusterState, *, rule_count_max: int) -> None:
        self._state = state
        self._rule_count_max = rule_count_max
        self._table = state.add(StateTable("access-rules", list[_StoredRule], listener=self._replay))
        self._by_resource: dict[ResourcePattern, frozenset[AccessRule]] = {}
        self._prefix_lengths: dict[ResourceType, Counter[int]] = {}
        self._count = 0
        self.change_count = 0
        """The number of changes, for caches of decisions."""

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[AccessRule]:
        for rules in list(self._by_resource.values()):
            yield from rules

    def about(self, resource_type: ResourceType, name: str) -> Iterator[AccessRule]:
        """Return the rules that cover one resource."""
        found = self._by_resource
        yield from found.get(ResourcePattern(resource_type, name), ())
        if name != ANYTHING:
            yield from found.get(ResourcePattern(resource_type, ANYTHING), ())
        for length in self._prefix_lengths.get(resource_type, ()):
            if length <= len(name):
                prefix = ResourcePattern(resource_type, name[:length], PatternType.PREFIXED)
                yield from found.get(prefix, ())

    def of_type(self, resource_type: ResourceType) -> Iterator[AccessRule]:
        """Return the rules about resources of a type."""
        return (rule for rule in self if rule.resource.type is resource_type)

    def chosen(self, wanted: AccessRuleFilter) -> list[AccessRule]:
        """Return the rules that a filter selects, in order."""
        return sorted(rule for rule in self if wanted.chooses(rule))

    def add(self, rules: Sequence[AccessRule]) -> Operation[list[ApiError | None]]:
        """Add rules; an existing rule is no error. Each rule succeeds or fails separately."""
        fates: list[ApiError | None] = []
        changed: dict[ResourcePattern, set[AccessRule]] = {}
        new_count = 0
        for rule in rules:
            ruled = changed.get(rule.resource) or set(self._by_resource.get(rule.resource, ()))
            try:
                _ensure_sensible(rule)
                if rule not in ruled:
                    self._ensure_room(rule, len(ruled), new_count)
                    changed[rule.resource] = ruled | {rule}
                    new_count += 1
                fates.append(None)
            except ApiError as refused:
                fates.append(refused)
        yield from self._write(changed)
        return fates

    def delete(self, filters: Sequence[AccessRuleFilter]) -> Operation[list[list[AccessRule]]]:
        """Delete the rules that each filter selects; return them, filter by filter."""
        chosen = [self.chosen(each) for each in filters]
        changed: dict[ResourcePattern, set[AccessRule]] = {}
        for rule in {rule for rules in chosen for rule in rules}:
            changed.setdefault(rule.resource, set(self._by_resource[rule.resource])).discard(rule)
        yield from self._write(changed)
        return chosen

    # --- keeping them ---------------------------------------------------------------------------

    def _write(self, changed: dict[ResourcePattern, set[AccessRule]]) -> Operation[None]:
        yield from self._state.write(
            [
                self._table.put(_name_of(resource), _stored(rules))
                if rules
                else self._table.delete(_name_of(resource))
                for resource, rules in changed.items()
            ]
        )

    def _replay(self, name: str, stored: list[_StoredRule] | None) -> None:
        resource = _resource_of(name)
        rules = frozenset(_rule_of(resource, each) for each in stored or ())
        before = self._by_resource.pop(resource, frozenset())
        if rules:
            self._by_resource[resource] = rules
        self._count += len(rules) - len(before)
        if resource.pattern is PatternType.PREFIXED:
            lengths = self._prefix_lengths.setdefault(resource.type, Counter())
            lengths[len(resource.name)] += bool(rules) - bool(before)
            lengths += Counter()  # keeps the counts above zero
        self.change_count += 1

    def _ensure_room(self, rule: AccessRule, resource_count: int, new_count: int) -> None:
        count = self._count + new_count
        if count >= self._rule_count_max or resource_count >= _RULES_OF_RESOURCE_MAX:
            raise ApiError(
                ErrorName.POLICY_VIOLATION,
                rules=count,
                of_the_resource=resource_count,
                name=rule.resource.name,
            )


def _ensure_sensible(rule: AccessRule) -> None:
    resource = rule.resource
    facts: dict[str, object] = {}
    if not resource.name:
        facts = {"name": repr(resource.name)}
    elif resource.type is ResourceType.CLUSTER and resource.name != CLUSTER_NAME:
        facts = {"cluster": resource.name, "wanted": CLUSTER_NAME}
    elif resource.type is ResourceType.ANY or resource.pattern in (PatternType.ANY, PatternType.MATCH):
        facts = {"type": resource.type.name, "pattern": resource.pattern.name}
    elif AclOperation.ANY is rule.operation or Permission.ANY is rule.permission:
        facts = {"operation": rule.operation.name, "permission": rule.permission.name}
    elif ":" not in rule.principal:
        facts = {"principal": repr(rule.principal), "wanted": "User:NAME"}
    elif max(len(text.encode()) for text in (resource.name, rule.principal, rule.host)) > _TEXT_BYTES_MAX:
        facts = {"text_bytes_max": _TEXT_BYTES_MAX}
    if facts:
        raise ApiError(ErrorName.INVALID_REQUEST, **facts)


def _name_of(resource: ResourcePattern) -> str:
    return f"{resource.type.name}:{resource.pattern.name}:{resource.name}"


def _resource_of(name: str) -> ResourcePattern:
    kind, _, rest = name.partition(":")
    pattern, _, resource = rest.partition(":")
    try:
        return ResourcePattern(ResourceType[kind], resource, PatternType[pattern])
    except KeyError as error:
        raise _unreadable(name) from error


def _stored(rules: Iterable[AccessRule]) -> list[_StoredRule]:
    return [
        _StoredRule(rule.principal, rule.host, rule.operation.name, rule.permission.name)
        for rule in sorted(rules)
    ]


def _rule_of(resource: ResourcePattern, stored: _StoredRule) -> AccessRule:
    try:
        operation, permission = AclOperation[stored.operation], Permission[stored.permission]
    except KeyError as error:
        raise _unreadable(_name_of(resource)) from error
    return AccessRule(resource, stored.principal, stored.host, operation, permission)


def _unreadable(name: str) -> CorruptDataError:
    return CorruptDataError(
        with_facts("an access rule cannot be read: restore the log from a copy", resource=repr(name))
    )
