"""What a handler knows of its request: the version, the client, and the broker that decides.

A handler is ``handler(request, call)``. It returns the response, or an operation if it has to wait, or
``None`` if the client wants no answer.

Handlers check access here: ``call.may`` where a response has a result for each resource, ``call.ensure``
where a refusal is the whole answer. Without an authorizer everything is allowed, except access to the topic
that holds the credentials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from msgspec import Struct

from streamcore.clock import Clock
from streamcore.log.api.authentication.failed_logins import FailedLogins
from streamcore.log.api.authentication.sasl import SaslSession
from streamcore.log.api.authentication.sasl_steps import PasswordCheck
from streamcore.log.broker.access.acl import ANONYMOUS, CLUSTER_NAME, AclOperation, ResourceType
from streamcore.log.broker.access.authorizer import Authorizer, all_operations
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.cluster_state import TOPIC as STATE_TOPIC
from streamcore.log.broker.operations import Operation, OperationFuture
from streamcore.log.protocol.fields import Message


class Endpoint(Struct, frozen=True):
    """The address at which clients reach the broker."""

    host: str
    port: int


class PasswordChecker(Protocol):
    """Checks passwords outside the broker's lock and event loop."""

    def check(self, check: PasswordCheck) -> OperationFuture[bool]:
        """Begin a check; the future is completed under the driver's lock."""

    def give_up(self, promise: OperationFuture[bool]) -> None:
        """Drop a check whose result is not needed any more."""


class Login(Struct, frozen=True):
    """What the authentication of a client by SASL needs."""

    session: SaslSession
    passwords: PasswordChecker
    failures: FailedLogins


@dataclass(slots=True, kw_only=True)
class Caller:
    """The client behind a connection."""

    host: str
    endpoint: Endpoint
    """The address at which this client reaches the broker, as answered to it."""
    principal: str = ANONYMOUS
    """Changes once, after the client has authenticated."""
    authorizer: Authorizer | None = None
    """Decides what the client may do; without one, everything is allowed."""
    login: Login | None = None
    """Without one, the client is anonymous, or has sent a certificate."""


_REFUSALS: Final = {
    ResourceType.TOPIC: ErrorName.TOPIC_AUTHORIZATION_FAILED,
    ResourceType.GROUP: ErrorName.GROUP_AUTHORIZATION_FAILED,
    ResourceType.CLUSTER: ErrorName.CLUSTER_AUTHORIZATION_FAILED,
    ResourceType.TRANSACTIONAL_ID: ErrorName.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}


class Call(Struct, frozen=True):
    """One request being handled."""

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
        """Whether the client may do an operation on at least one possible resource."""
        caller = self.caller
        return caller.authorizer is None or caller.authorizer.allows_somewhere(
            caller.principal, caller.host, operation, resource_type
        )

    def ensure(self, operation: AclOperation, resource_type: ResourceType, name: str = CLUSTER_NAME) -> None:
        """Check that the client may do an operation on a resource.

        Raises:
            Refused: the client may not; with the refusal of this type of resource.
        """
        if not self.may(operation, resource_type, name):
            facts = {resource_type.name.lower(): name, "operation": operation.name}
            raise ApiError(_REFUSALS[resource_type], **facts)

    def may_describe(self, topic: str) -> bool:
        """Whether the client may describe a topic."""
        return self.may(AclOperation.DESCRIBE, ResourceType.TOPIC, topic)

    def operations(self, resource_type: ResourceType, name: str = CLUSTER_NAME) -> int:
        """Return the operations that the client may do on a resource, as bits by operation number."""
        caller = self.caller
        if caller.authorizer is None:
            return all_operations(resource_type)
        return caller.authorizer.operations(caller.principal, caller.host, resource_type, name)


OPERATIONS_NOT_ASKED: Final = -(2**31)
"""The bits of operations in a response to a request that did not ask for them."""

Reply: TypeAlias = Message | None
Handler: TypeAlias = Callable[[Any, Call], Reply | Operation[Reply]]


class ConnectionRefusedByHandler(Exception):
    """The request can only be answered by closing its connection."""
