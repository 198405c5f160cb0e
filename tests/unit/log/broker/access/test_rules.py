"""Access rules: what is kept, what is refused, which ones a filter chooses."""

from __future__ import annotations

import pytest

from streamcore.log.broker.access.acl import (
    AccessRule,
    AccessRuleFilter,
    AclOperation,
    PatternType,
    Permission,
    ResourcePattern,
    ResourceType,
)
from streamcore.log.broker.api_errors import ErrorName
from streamcore.log.broker.settings import BrokerSettings
from tests.support.state_fixture import StatefulBroker

TOPIC, GROUP, CLUSTER = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.CLUSTER


def rule(
    name: str = "orders",
    *,
    of: ResourceType = TOPIC,
    pattern: PatternType = PatternType.LITERAL,
    principal: str = "User:alice",
    host: str = "*",
    operation: AclOperation = AclOperation.READ,
    permission: Permission = Permission.ALLOW,
) -> AccessRule:
    return AccessRule(ResourcePattern(of, name, pattern), principal, host, operation, permission)


LITERAL = rule()
PREFIXED = rule("ord", pattern=PatternType.PREFIXED)
EVERY = rule("*")
OTHER = rule("payments", principal="User:bob", host="10.0.0.1", operation=AclOperation.WRITE)
DENIED = rule(of=GROUP, permission=Permission.DENY)
ALL = [LITERAL, PREFIXED, EVERY, OTHER, DENIED]


def ruled(*rules: AccessRule) -> StatefulBroker:
    place = StatefulBroker()
    assert set(place.run(place.broker.access_rules.add(rules))) == {None}
    return place


def test_rules_survive_a_crash() -> None:
    place = ruled(*ALL)

    place.crash()

    assert set(place.broker.access_rules) == set(ALL)
    assert len(place.broker.access_rules) == len(ALL)


def test_a_rule_that_is_there_already_is_not_there_twice() -> None:
    place = ruled(LITERAL, LITERAL)
    changes = place.broker.access_rules.change_count

    place.run(place.broker.access_rules.add([LITERAL]))

    assert list(place.broker.access_rules) == [LITERAL]
    assert place.broker.access_rules.change_count == changes


def test_rules_about_a_resource_are_its_own_those_of_all_and_those_of_its_beginnings() -> None:
    rules = ruled(*ALL).broker.access_rules

    assert set(rules.about(TOPIC, "orders")) == {LITERAL, PREFIXED, EVERY}
    assert set(rules.about(TOPIC, "ord")) == {PREFIXED, EVERY}
    assert set(rules.about(TOPIC, "or")) == {EVERY}
    assert set(rules.about(GROUP, "orders")) == {DENIED}
    assert set(rules.about(TOPIC, "*")) == {EVERY}


def test_deleting_the_last_rule_of_a_prefix_leaves_the_others() -> None:
    longer = rule("orders-", pattern=PatternType.PREFIXED)
    place = ruled(PREFIXED, longer)

    deleted = place.run(
        place.broker.access_rules.delete([AccessRuleFilter(name="ord", pattern=PatternType.PREFIXED)])
    )
    place.crash()

    assert deleted == [[PREFIXED]]
    assert list(place.broker.access_rules.about(TOPIC, "orders-1")) == [longer]
    assert list(place.broker.access_rules.about(TOPIC, "orders")) == []


def test_filters_that_match_the_same_rule_each_return_it() -> None:
    place = ruled(*ALL)
    one = AccessRuleFilter(name="orders", type=TOPIC, pattern=PatternType.LITERAL)

    deleted = place.run(place.broker.access_rules.delete([one, one, AccessRuleFilter(name="none")]))

    assert deleted == [[LITERAL], [LITERAL], []]
    assert set(place.broker.access_rules) == set(ALL) - {LITERAL}


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (AccessRuleFilter(), ALL),
        (AccessRuleFilter(type=GROUP), [DENIED]),
        (AccessRuleFilter(name="orders"), [LITERAL, DENIED]),
        (AccessRuleFilter(name="orders", pattern=PatternType.LITERAL, type=TOPIC), [LITERAL]),
        (AccessRuleFilter(name="orders", pattern=PatternType.PREFIXED), []),
        (AccessRuleFilter(pattern=PatternType.PREFIXED), [PREFIXED]),
        (AccessRuleFilter(name="orders", pattern=PatternType.MATCH), [LITERAL, PREFIXED, EVERY, DENIED]),
        (AccessRuleFilter(pattern=PatternType.MATCH), ALL),
        (AccessRuleFilter(principal="User:bob"), [OTHER]),
        (AccessRuleFilter(host="10.0.0.1"), [OTHER]),
        (AccessRuleFilter(host="*"), [LITERAL, PREFIXED, EVERY, DENIED]),
        (AccessRuleFilter(operation=AclOperation.WRITE), [OTHER]),
        (AccessRuleFilter(operation=AclOperation.ALL), []),
        (AccessRuleFilter(permission=Permission.DENY), [DENIED]),
    ],
)
def test_a_filter_matches_rules_that_agree_in_all_its_fields(
    wanted: AccessRuleFilter, chosen: list[AccessRule]
) -> None:
    assert ruled(*ALL).broker.access_rules.chosen(wanted) == sorted(chosen)


@pytest.mark.parametrize(
    "wrong",
    [
        rule(""),
        rule(of=ResourceType.ANY),
        rule(pattern=PatternType.MATCH),
        rule(pattern=PatternType.ANY),
        rule(principal="alice"),
        rule(operation=AclOperation.ANY),
        rule(permission=Permission.ANY),
        rule("orders", of=CLUSTER),
        rule("*", of=CLUSTER),
        rule("x" * 1_025),
        rule(host="h" * 1_025),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_and_takes_no_other_with_it(wrong: AccessRule) -> None:
    place = StatefulBroker()

    fates = place.run(place.broker.access_rules.add([LITERAL, wrong, EVERY]))

    assert [fate and fate.refusal for fate in fates] == [None, ErrorName.INVALID_REQUEST, None]
    assert set(place.broker.access_rules) == {LITERAL, EVERY}


def test_there_are_only_so_many_rules_in_all_and_of_one_resource() -> None:
    place = StatefulBroker(BrokerSettings(access_rule_count_max=1_001))
    of_one = [rule(principal=f"User:{number}") for number in range(1_001)]

    fates = place.run(place.broker.access_rules.add([*of_one, EVERY, OTHER]))
    again = place.run(place.broker.access_rules.add([LITERAL, of_one[0]]))

    refused = [index for index, fate in enumerate(fates) if fate is not None]
    assert refused == [1_000, 1_002]
    assert [fate and fate.refusal for fate in again] == [ErrorName.POLICY_VIOLATION, None]
