"""Who may do what: deny unless allowed, deny where denied; held against the rules read one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.log.broker.access.acl import (
    OPERATIONS,
    AccessRule,
    AccessRuleFilter,
    AclOperation,
    PatternType,
    Permission,
    ResourcePattern,
    ResourceType,
)
from streamcore.log.broker.access.authorizer import Authorizer, all_operations
from tests.support.state_fixture import StatefulBroker
from tests.unit.log.broker.access.test_rules import rule

O = AclOperation  # noqa: E741 - as Kafka's tables have it
TOPIC, GROUP, CLUSTER = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.CLUSTER
HOST = "10.0.0.1"


def authorizer(*rules: AccessRule, super_users: Sequence[str] = (), opens: bool = False) -> Authorizer:
    place = StatefulBroker()
    place.run(place.broker.access_rules.add(rules))
    return Authorizer(
        place.broker.access_rules, super_users=super_users, allows_where_no_rule_is=opens, decisions_max=8
    )


def allows(decider: Authorizer, operation: AclOperation, *, who: str = "alice", host: str = HOST) -> bool:
    return decider.allows(f"User:{who}", host, operation, TOPIC, "orders")


def test_without_a_rule_nothing_is_allowed() -> None:
    assert not any(allows(authorizer(), operation) for operation in AclOperation)


def test_a_super_user_may_do_anything_whatever_the_rules_say() -> None:
    decider = authorizer(
        rule(principal="User:*", operation=O.ALL, permission=Permission.DENY), super_users=["User:root"]
    )

    assert all(allows(decider, operation, who="root") for operation in AclOperation)
    assert not allows(decider, O.READ)


def test_a_rule_allows_one_principal_from_one_host_one_operation() -> None:
    decider = authorizer(rule(host=HOST))

    assert allows(decider, O.READ)
    assert not allows(decider, O.WRITE)
    assert not allows(decider, O.READ, who="bob")
    assert not allows(decider, O.READ, host="10.0.0.2")
    assert not decider.allows("User:alice", HOST, O.READ, TOPIC, "orders-2")
    assert not decider.allows("User:alice", HOST, O.READ, GROUP, "orders")


def test_wildcard_principals_hosts_and_resources_have_names() -> None:
    decider = authorizer(rule("*", principal="User:*", host="*"))

    assert allows(decider, O.READ)
    assert decider.allows("User:ANONYMOUS", "::1", O.READ, TOPIC, "anything")
    assert not decider.allows("Group:alice", HOST, O.WRITE, TOPIC, "orders")


def test_an_ipv6_address_is_the_same_however_it_is_written() -> None:
    decider = authorizer(rule(host="0:0:0:0:0:0:0:1"), rule(host="not:an:address"))

    assert allows(decider, O.READ, host="::1")
    assert not allows(decider, O.READ, host="::2")


def test_a_denial_wins_over_any_allowance() -> None:
    decider = authorizer(
        rule("*", operation=O.ALL),
        rule(operation=O.ALL),
        rule("ord", pattern=PatternType.PREFIXED, operation=O.WRITE, permission=Permission.DENY),
    )

    assert allows(decider, O.READ)
    assert not allows(decider, O.WRITE)


@pytest.mark.parametrize("allowed", [O.READ, O.WRITE, O.DELETE, O.ALTER])
def test_the_right_to_use_a_resource_implies_the_right_to_describe_it(allowed: AclOperation) -> None:
    assert allows(authorizer(rule(operation=allowed)), O.DESCRIBE)


def test_the_right_to_alter_settings_implies_the_right_to_describe_them() -> None:
    decider = authorizer(rule(operation=O.ALTER_CONFIGS))

    assert allows(decider, O.DESCRIBE_CONFIGS)
    assert not allows(decider, O.DESCRIBE)


def test_a_denial_implies_nothing() -> None:
    decider = authorizer(rule(operation=O.DESCRIBE), rule(operation=O.READ, permission=Permission.DENY))

    assert allows(decider, O.DESCRIBE)
    assert not allows(decider, O.READ)


def test_a_resource_without_any_rule_can_be_open() -> None:
    decider = authorizer(rule("payments", principal="User:bob"), opens=True)

    assert allows(decider, O.WRITE)
    assert not decider.allows("User:alice", HOST, O.READ, TOPIC, "payments")
    assert decider.allows("User:bob", HOST, O.READ, TOPIC, "payments")


def test_a_decision_is_made_anew_when_a_rule_changes() -> None:
    place = StatefulBroker()
    decider = Authorizer(place.broker.access_rules)
    before = allows(decider, O.READ)

    place.run(place.broker.access_rules.add([rule()]))
    between = allows(decider, O.READ)
    place.run(place.broker.access_rules.delete([AccessRuleFilter()]))

    assert (before, between, allows(decider, O.READ)) == (False, True, False)


def test_allowed_operations_are_answered_as_bits() -> None:
    decider = authorizer(rule(operation=O.READ), rule(operation=O.ALTER_CONFIGS))

    bits = decider.operations("User:alice", HOST, TOPIC, "orders")

    assert bits == 1 << O.READ | 1 << O.DESCRIBE | 1 << O.ALTER_CONFIGS | 1 << O.DESCRIBE_CONFIGS
    assert decider.operations("User:bob", HOST, TOPIC, "orders") == 0


@pytest.mark.parametrize(
    ("resource_type", "bits"),
    [(TOPIC, 3576), (GROUP, 3400), (CLUSTER, 8096), (ResourceType.TRANSACTIONAL_ID, 33040)],
)
def test_all_operations_have_the_bits_of_kafka(resource_type: ResourceType, bits: int) -> None:
    assert all_operations(resource_type) == bits


# --- somewhere ----------------------------------------------------------------------------------

DENY = Permission.DENY


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], False),
        ([rule(operation=O.WRITE)], True),
        ([rule(operation=O.ALL)], True),
        ([rule(operation=O.READ)], False),
        ([rule(operation=O.WRITE, principal="User:bob")], False),
        ([rule(operation=O.WRITE), rule(operation=O.WRITE, permission=DENY)], False),
        ([rule(operation=O.WRITE), rule("*", operation=O.ALL, permission=DENY)], False),
        ([rule("*", operation=O.WRITE), rule("*", operation=O.WRITE, permission=DENY)], False),
        ([rule("*", operation=O.WRITE), rule(operation=O.WRITE, permission=DENY)], True),
        ([rule(operation=O.WRITE), rule("payments", operation=O.WRITE, permission=DENY)], True),
        (
            [
                rule(operation=O.WRITE),
                rule("ord", pattern=PatternType.PREFIXED, operation=O.WRITE, permission=DENY),
            ],
            False,
        ),
        (
            [
                rule("orders", pattern=PatternType.PREFIXED, operation=O.WRITE),
                rule("ord", pattern=PatternType.PREFIXED, operation=O.WRITE, permission=DENY),
            ],
            False,
        ),
        (
            [
                rule("ord", pattern=PatternType.PREFIXED, operation=O.WRITE),
                rule("orders", pattern=PatternType.PREFIXED, operation=O.WRITE, permission=DENY),
            ],
            True,
        ),
        (
            [
                rule("ord", pattern=PatternType.PREFIXED, operation=O.WRITE),
                rule("ord", operation=O.WRITE, permission=DENY),
            ],
            True,
        ),
        (
            [
                rule("*", operation=O.WRITE),
                rule("o", pattern=PatternType.PREFIXED, operation=O.WRITE, permission=DENY),
            ],
            True,
        ),
    ],
)
def test_something_is_allowed_somewhere_unless_a_denial_covers_all_of_it(
    rules: list[AccessRule], expected: bool
) -> None:
    assert authorizer(*rules).allows_somewhere("User:alice", HOST, O.WRITE, TOPIC) is expected


def test_open_resources_are_somewhere_unless_all_of_them_have_a_rule() -> None:
    somewhere = [
        authorizer(*rules, opens=True).allows_somewhere("User:alice", HOST, O.WRITE, TOPIC)
        for rules in ([], [rule(principal="User:bob")], [rule("*", principal="User:bob")])
    ]

    assert somewhere == [True, True, False]


# --- against the rules, read one by one ---------------------------------------------------------

NAMES = st.sampled_from(["a", "ab", "abc", "b", "*"])
RULES = st.builds(
    AccessRule,
    resource=st.builds(
        ResourcePattern,
        type=st.sampled_from([TOPIC, GROUP]),
        name=NAMES,
        pattern=st.sampled_from([PatternType.LITERAL, PatternType.PREFIXED]),
    ),
    principal=st.sampled_from(["User:alice", "User:bob", "User:*"]),
    host=st.sampled_from([HOST, "10.0.0.2", "*"]),
    operation=st.sampled_from([O.ALL, *OPERATIONS[TOPIC]]),
    permission=st.sampled_from([Permission.ALLOW, Permission.ALLOW, Permission.DENY]),
)


def plainly_allowed(
    rules: Sequence[AccessRule], opens: bool, who: str, operation: AclOperation, of: ResourceType, name: str
) -> bool:
    """The definition, as Kafka's documentation has it."""
    about = [
        each
        for each in rules
        if each.resource.type is of
        and (
            name.startswith(each.resource.name)
            if each.resource.pattern is PatternType.PREFIXED
            else each.resource.name in ("*", name)
        )
    ]
    if not about:
        return opens
    speaking = [each for each in about if each.principal in (who, "User:*") and each.host in (HOST, "*")]
    implied = {operation, O.ALL}
    if operation is O.DESCRIBE:
        implied |= {O.READ, O.WRITE, O.DELETE, O.ALTER}
    if operation is O.DESCRIBE_CONFIGS:
        implied |= {O.ALTER_CONFIGS}
    if any(each.permission is DENY and each.operation in (operation, O.ALL) for each in speaking):
        return False
    return any(each.permission is Permission.ALLOW and each.operation in implied for each in speaking)


@given(
    rules=st.lists(RULES, max_size=8),
    deleted=RULES,
    opens=st.booleans(),
    questions=st.lists(
        st.tuples(
            st.sampled_from(["User:alice", "User:bob"]),
            st.sampled_from(OPERATIONS[TOPIC]),
            st.sampled_from([TOPIC, GROUP]),
            st.sampled_from(["a", "ab", "abc", "abcd", "b", "c"]),
        ),
        max_size=20,
    ),
)
@pytest.mark.slow
def test_every_decision_is_that_of_the_rules_read_one_by_one(
    rules: list[AccessRule],
    deleted: AccessRule,
    opens: bool,
    questions: list[tuple[str, AclOperation, ResourceType, str]],
) -> None:
    place = StatefulBroker()
    place.run(place.broker.access_rules.add([*rules, deleted]))
    decider = Authorizer(place.broker.access_rules, allows_where_no_rule_is=opens, decisions_max=5)

    def decided() -> list[bool]:
        return [decider.allows(who, HOST, operation, of, name) for who, operation, of, name in questions]

    before = decided()
    chosen = AccessRuleFilter(
        type=deleted.resource.type, name=deleted.resource.name, pattern=deleted.resource.pattern
    )
    place.run(place.broker.access_rules.delete([chosen]))
    left = [each for each in rules if each.resource != deleted.resource]

    assert before == [plainly_allowed([*rules, deleted], opens, *question) for question in questions]
    assert decided() == [plainly_allowed(left, opens, *question) for question in questions]
