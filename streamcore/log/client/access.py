"""Users and access rules of a log, as tools use them: one small interface for every sort of log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from streamcore.log.broker.access.acl import AccessRule, AccessRuleFilter
from streamcore.log.broker.broker import Broker
from streamcore.log.node.operation_driver import OperationDriver


class AccessControl(Protocol):
    """Who may log in, and who may do what."""

    def users(self) -> Mapping[str, Mapping[str, int]]:
        """All users: for each, the iterations of its credentials by the mechanism's name."""

    def set_password(self, user: str, password: str) -> None:
        """Give a user, old or new, a password. Raises ``UsageError``."""

    def delete_user(self, user: str) -> None:
        """Let a user log in no more. Raises ``UsageError`` if there is none."""

    def rules(self, wanted: AccessRuleFilter) -> list[AccessRule]:
        """The rules that a filter chooses."""

    def add_rules(self, rules: Sequence[AccessRule]) -> None:
        """Add rules; those that are there already stay. Raises ``UsageError`` for one that makes no sense."""

    def delete_rules(self, wanted: Sequence[AccessRuleFilter]) -> list[AccessRule]:
        """Delete what any of the filters chooses; return it."""


class EmbeddedAccess:
    """Those of a log in this process."""

    def __init__(self, broker: Broker, driver: OperationDriver) -> None:
        self._broker = broker
        self._driver = driver

    def users(self) -> Mapping[str, Mapping[str, int]]:
        """All users: for each, the iterations of its credentials by the mechanism's name."""
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
        """Give a user, old or new, a password. Raises ``UsageError``."""
        self._driver.run(self._broker.users.set_password(user, password))

    def delete_user(self, user: str) -> None:
        """Let a user log in no more. Raises ``UsageError`` if there is none."""
        self._driver.run(self._broker.users.delete(user))

    def rules(self, wanted: AccessRuleFilter) -> list[AccessRule]:
        """The rules that a filter chooses."""
        with self._driver:
            return self._broker.access_rules.chosen(wanted)

    def add_rules(self, rules: Sequence[AccessRule]) -> None:
        """Add rules; those that are there already stay. Raises ``UsageError`` for one that makes no sense."""
        fates = self._driver.run(self._broker.access_rules.add(rules))
        for fate in fates:
            if fate is not None:
                raise fate.error() from fate

    def delete_rules(self, wanted: Sequence[AccessRuleFilter]) -> list[AccessRule]:
        """Delete what any of the filters chooses; return it."""
        deleted = self._driver.run(self._broker.access_rules.delete(wanted))
        return sorted({rule for rules in deleted for rule in rules})
