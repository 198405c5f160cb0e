"""What a handler knows of the request it answers: its version, who asks, and the broker that decides.

A handler is ``handler(request, call)``. It returns the response; or an operation, where something has to
be waited for; or ``None``, if the client wants no answer.

What a client may do is asked here: ``call.may`` where a response tells of each resource by itself,
``call.ensure`` where a refusal is the whole answer. Without an authorizer everything is allowed but
to touch the topic that holds what passwords are checked against.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from streamcore.clock import Clock
from streamcore.log.api.authentication.failed_logins import FailedLogins
from streamcore.log.api.authentication.sasl import SaslSession
from streamcore.log.api.authentication.sasl_steps import PasswordCheck
from streamcore.log.broker.access.acl import ANONYMOUS, CLUSTER_NAME, AclOperation, ResourceType
from streamcore.log.broker.access.authorizer import Authorizer, all_operations
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.cluster_state import TOPIC as STATE_TOPIC
from streamcore.log.broker.operations import Operation, Promise
from streamcore.log.broker.refusals import Refusal, Refused
from streamcore.log.protocol.fields import Message


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where clients reach the broker."""

    host: str
    port: int


class PasswordChecker(Protocol):
    """Checks passwords where nobody waits for it."""

    def check(self, check: PasswordCheck) -> Promise[bool]:
        """Begin to check; the promise is kept under the driver's lock."""

    def give_up(self, promise: Promise[bool]) -> None:
        """Nobody waits for this one any more."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a client that has to authenticate by SASL is authenticated with."""

    session: SaslSession
    passwords: PasswordChecker
    failures: FailedLogins


@dataclass(slots=True, kw_only=True)
class Caller:
    """The client behind a connection."""

    host: str
    endpoint: Endpoint
    """The address that it was told, or will be told, to reach this broker by."""
    principal: str = ANONYMOUS
    """Changes once, when the client has proved who it is."""
    authorizer: Authorizer | None = None
    """Who decides what it may do; with none, it may do everything."""
    login: Login | None = None
    """With none, it is not asked who it is, or has shown a certificate."""


_REFUSALS: Final = {
    ResourceType.TOPIC: Refusal.TOPIC_AUTHORIZATION_FAILED,
    ResourceType.GROUP: Refusal.GROUP_AUTHORIZATION_FAILED,
    ResourceType.CLUSTER: Refusal.CLUSTER_AUTHORIZATION_FAILED,
    ResourceType.TRANSACTIONAL_ID: Refusal.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way to an answer."""

    version: int
    client_id: str | None
    caller: Caller
    broker: Broker
    clock: Clock

    def may(self, operation: AclOperation, resource_type: ResourceType, name: str) -> bool:
        """Whether the client may do an operation on a resource."""
        if name == STATE_TOPIC and resource_type is ResourceType.TOPIC:
            return False
        caller = self.caller
        return caller.authorizer is None or caller.authorizer.allows(
            caller.principal, caller.host, operation, resource_type, name
        )

    def may_somewhere(self, operation: AclOperation, resource_type: ResourceType) -> bool:
        """Whether there may be a resource on which the client may do an operation."""
        caller = self.caller
        return caller.authorizer is None or caller.authorizer.allows_somewhere(
            caller.principal, caller.host, operation, resource_type
        )

    def ensure(self, operation: AclOperation, resource_type: ResourceType, name: str = CLUSTER_NAME) -> None:
        """Do nothing if the client may do an operation on a resource.

        Raises:
            Refused: it may not; with the refusal of this type of resource.
        """
        if not self.may(operation, resource_type, name):
            facts = {resource_type.name.lower(): name, "operation": operation.name}
            raise Refused(_REFUSALS[resource_type], **facts)

    def may_describe(self, topic: str) -> bool:
        """Whether the client may know of a topic."""
        return self.may(AclOperation.DESCRIBE, ResourceType.TOPIC, topic)

    def operations(self, resource_type: ResourceType, name: str = CLUSTER_NAME) -> int:
        """What the client may do with a resource: a bit for each operation, by its number."""
        caller = self.caller
        if caller.authorizer is None:
            return all_operations(resource_type)
        return caller.authorizer.operations(caller.principal, caller.host, resource_type, name)


OPERATIONS_NOT_ASKED: Final = -(2**31)
"""Stands in a response for the bits of operations that nobody asked for."""

Reply: TypeAlias = Message | None
Handler: TypeAlias = Callable[[Any, Call], Reply | Operation[Reply]]


class ConnectionRefusedByHandler(Exception):
    """The request can only be answered by closing its connection."""
