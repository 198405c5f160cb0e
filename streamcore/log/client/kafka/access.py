"""Users and access rules of a broker, by Kafka's admin calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from confluent_kafka import admin as kafka

from streamcore.errors import UsageError, with_facts
from streamcore.log.broker.access.acl import (
    AccessRule,
    AccessRuleFilter,
    AclOperation,
    PatternType,
    Permission,
    ResourcePattern,
    ResourceType,
)
from streamcore.log.broker.access.scram_credentials import ITERATIONS
from streamcore.log.client.kafka.connection import KafkaConnection

_MECHANISMS = {
    kafka.ScramMechanism.SCRAM_SHA_256: "SCRAM-SHA-256",
    kafka.ScramMechanism.SCRAM_SHA_512: "SCRAM-SHA-512",
}


class KafkaAccess:
    """The users of a broker that can log in, and the rules that say what they may do."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection

    # --- users ----------------------------------------------------------------------------------

    def users(self) -> Mapping[str, Mapping[str, int]]:
        """Return all users, each with the iterations of its credentials by the mechanism's name."""
        admin, timeout_s = self._connection.admin, self._connection.settings.request_timeout_s
        described = self._connection.answer(
            lambda: admin.describe_user_scram_credentials(request_timeout=timeout_s), "list users"
        )
        return {
            name: {
                _MECHANISMS[found.mechanism]: found.iterations
                for found in user.scram_credential_infos
                if found.mechanism in _MECHANISMS
            }
            for name, user in sorted(described.items())
        }

    def set_password(self, user: str, password: str) -> None:
        """Set the password of a user for every mechanism; a missing user is created. Raises
        ``UsageError``.
        """
        if not user or not password:
            raise UsageError(with_facts("a user has a name and a password", user=repr(user)))
        self._alter(
            user,
            [
                kafka.UserScramCredentialUpsertion(
                    user, kafka.ScramCredentialInfo(mechanism, ITERATIONS), password.encode()
                )
                for mechanism in _MECHANISMS
            ],
            "set a password",
        )

    def delete_user(self, user: str) -> None:
        """Delete a user's credentials, so that it cannot log in. Raises ``UsageError`` if it has none."""
        known = self.users().get(user)
        if not known:
            raise UsageError(with_facts("the user does not exist", user=user))
        self._alter(
            user,
            [
                kafka.UserScramCredentialDeletion(user, mechanism)
                for mechanism, name in _MECHANISMS.items()
                if name in known
            ],
            "delete the user",
        )

    def _alter(self, user: str, alterations: list[object], doing: str) -> None:
        admin, timeout_s = self._connection.admin, self._connection.settings.request_timeout_s

        def ask(alteration: object) -> None:
            answers = admin.alter_user_scram_credentials([alteration], request_timeout=timeout_s)
            answers[user].result(timeout_s)

        for alteration in alterations:  # Kafka accepts one alteration of a user in a request
            self._connection.retried(partial(ask, alteration), doing, user=user)

    # --- rules ----------------------------------------------------------------------------------

    def rules(self, wanted: AccessRuleFilter) -> list[AccessRule]:
        """Return the rules that match a filter."""
        admin, timeout_s = self._connection.admin, self._connection.settings.request_timeout_s
        found = self._connection.answer(
            lambda: admin.describe_acls(_filter(wanted), request_timeout=timeout_s), "list rules"
        )
        return sorted(map(_rule, found))

    def add_rules(self, rules: Sequence[AccessRule]) -> None:
        """Add rules; existing ones stay. Raises ``UsageError`` for a rule that is not valid."""
        admin, timeout_s = self._connection.admin, self._connection.settings.request_timeout_s
        bindings = [_binding(rule) for rule in dict.fromkeys(rules)]

        def ask() -> None:
            for answer in admin.create_acls(bindings, request_timeout=timeout_s).values():
                answer.result(timeout_s)

        if bindings:
            self._connection.retried(ask, "add rules")

    def delete_rules(self, wanted: Sequence[AccessRuleFilter]) -> list[AccessRule]:
        """Delete the rules that match any of the filters; return the deleted rules."""
        admin, timeout_s = self._connection.admin, self._connection.settings.request_timeout_s
        filters = [_filter(each) for each in dict.fromkeys(wanted)]

        def ask() -> list[AccessRule]:
            answers = admin.delete_acls(filters, request_timeout=timeout_s).values()
            return sorted({_rule(found) for answer in answers for found in answer.result(timeout_s)})

        return self._connection.retried(ask, "delete rules") if filters else []


def _rule(found: kafka.AclBinding) -> AccessRule:
    return AccessRule(
        ResourcePattern(
            ResourceType(found.restype.value), found.name, PatternType(found.resource_pattern_type.value)
        ),
        found.principal,
        found.host,
        AclOperation(found.operation.value),
        Permission(found.permission_type.value),
    )


def _binding(rule: AccessRule) -> kafka.AclBinding:
    resource = rule.resource
    try:
        return kafka.AclBinding(
            int(resource.type),
            resource.name,
            int(resource.pattern),
            rule.principal,
            rule.host,
            int(rule.operation),
            int(rule.permission),
        )
    except ValueError as error:
        raise _unknown_to_librdkafka(error) from error


def _filter(wanted: AccessRuleFilter) -> kafka.AclBindingFilter:
    try:
        return kafka.AclBindingFilter(
            int(wanted.type),
            wanted.name,
            int(wanted.pattern),
            wanted.principal,
            wanted.host,
            int(wanted.operation),
            int(wanted.permission),
        )
    except ValueError as error:
        raise _unknown_to_librdkafka(error) from error


def _unknown_to_librdkafka(error: ValueError) -> UsageError:
    return UsageError(
        f"over a network there are rules for topics, groups, the cluster and transactional ids. {error}"
    )
