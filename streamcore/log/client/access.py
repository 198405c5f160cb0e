"""Users and access rules of a log, for tools: one interface for both adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from streamcore.log.broker.access.acl import AccessRule, AccessRuleFilter
from streamcore.log.broker.broker import Broker
from streamcore.log.node.operation_driver import OperationDriver


class AccessControl(Protocol):
    """The users that can log in, and the rules that say what they may do."""

    def users(self) -> Mapping[str, Mapping[str, int]]:
        """Return all users, each with the iterations of its credentials by the mechanism's name."""

    def set_password(self, user: str, password: str) -> None:
        """Set the password of a user; a user that does not exist is created. Raises ``UsageError``."""

    def delete_user(self, user: str) -> None:
        """Delete a user's credentials, so that it cannot log in. Raises ``UsageError`` if it has none."""

    def rules(self, wanted: AccessRuleFilter) -> list[AccessRule]:
        """Return the rules that match a filter."""

    def add_rules(self, rules: Sequence[AccessRule]) -> None:
        """Add rules; existing ones stay. Raises ``UsageError`` for a rule that is not valid."""

    def delete_rules(self, wanted: Sequence[AccessRuleFilter]) -> list[AccessRule]:
        """Delete the rules that match any of the filters; return the deleted rules."""


class EmbeddedAccess:
    """The users and rules of a log in this process."""

    def __init__(self, broker: Broker, driver: OperationDriver) -> None:
        self._broker = broker
        self._driver = driver

    def users(self) -> Mapping[str, Mapping[str, int]]:
        """Return all users, each with the iterations of its credentials by the mechanism's name."""
        users = self._broker.users
        with self._driver:
            return {
                name: {
                    mechanism.value: credential.iterations
                    for mechanism, credential in users.credentials(name).items()
                }
                for name in users.names()
            }

    def set_password(self, user: str, password: str) -> None:
        """Set the password of a user; a user that does not exist is created. Raises ``UsageError``."""
        self._driver.run(self._broker.users.set_password(user, password))

    def delete_user(self, user: str) -> None:
        """Delete a user's credentials, so that it cannot log in. Raises ``UsageError`` if it has none."""
        self._driver.run(self._broker.users.delete(user))

    def rules(self, wanted: AccessRuleFilter) -> list[AccessRule]:
        """Return the rules that match a filter."""
        with self._driver:
            return self._broker.access_rules.chosen(wanted)

    def add_rules(self, rules: Sequence[AccessRule]) -> None:
        """Add rules; existing ones stay. Raises ``UsageError`` for a rule that is not valid."""
        fates = self._driver.run(self._broker.access_rules.add(rules))
        for fate in fates:
            if fate is not None:
                raise fate.error() from fate

    def delete_rules(self, wanted: Sequence[AccessRuleFilter]) -> list[AccessRule]:
        """Delete the rules that match any of the filters; return the deleted rules."""
        deleted = self._driver.run(self._broker.access_rules.delete(wanted))
        return sorted({rule for rules in deleted for rule in rules})
