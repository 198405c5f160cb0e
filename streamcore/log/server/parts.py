"""The objects that the connections of one server share, and what a connection knows of its client."""

from __future__ import annotations

import asyncio
import secrets
from concurrent.futures import Executor
from dataclasses import dataclass, field

from msgspec import Struct

from streamcore.clock import Clock
from streamcore.log.api.authentication.failed_logins import FailedLogins
from streamcore.log.api.authentication.sasl import SaslSession, SaslSettings
from streamcore.log.api.calls import Caller, Endpoint, Login
from streamcore.log.broker.access.acl import ANONYMOUS
from streamcore.log.broker.access.authorizer import Authorizer
from streamcore.log.broker.broker import Broker
from streamcore.log.server.certificates import certificate_facts
from streamcore.log.server.connections import Connections
from streamcore.log.server.grouped_produce import GroupedProduce
from streamcore.log.server.listeners import Listener, Scheme
from streamcore.log.server.passwords import PasswordThread
from streamcore.log.server.request_memory import RequestMemory
from streamcore.log.server.runner import OperationRunner
from streamcore.log.server.settings import ServerSettings

_SCRATCH_BYTES = 256 * 1024
_NONCE_BYTES = 24


@dataclass(slots=True, kw_only=True)
class ServerParts:
    """The shared objects of a server, for its connections."""

    broker: Broker
    clock: Clock
    settings: ServerSettings
    runner: OperationRunner
    produce: GroupedProduce
    readers: Executor
    """Threads that read data outside the system's page cache."""
    connections: Connections
    memory: RequestMemory
    passwords: PasswordThread
    authorizer: Authorizer | None
    failed_logins: FailedLogins = field(default_factory=FailedLogins)
    scratch: bytearray = field(default_factory=lambda: bytearray(_SCRATCH_BYTES))


class ListenerParts(Struct, frozen=True):
    """The shared objects of one listener, for its connections."""

    server: ServerParts
    listener: Listener
    port: int
    sasl: SaslSettings | None
    """How clients authenticate, where the listener requires it."""

    def caller_of(self, transport: asyncio.Transport) -> Caller:
        """Return the client of a connection, as far as it is known before SASL."""
        peer = transport.get_extra_info("peername")
        server = self.server
        login = None
        if self.sasl is not None:
            session = SaslSession(self.sasl, server.broker.users, _new_nonce)
            login = Login(session, server.passwords, server.failed_logins)
        return Caller(
            host=str(peer[0]) if peer else "",
            endpoint=self._endpoint_of(transport),
            principal=_principal_of(transport) if self.listener.scheme is Scheme.SSL else ANONYMOUS,
            authorizer=server.authorizer,
            login=login,
        )

    def _endpoint_of(self, transport: asyncio.Transport) -> Endpoint:
        host = self.listener.advertised_host or transport.get_extra_info("sockname")[0]
        return Endpoint(host, self.listener.advertised_port or self.port)


def _principal_of(transport: asyncio.Transport) -> str:
    """Return the principal of the client's certificate, if the client has sent one."""
    certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return ANONYMOUS if certificate is None else f"User:{certificate_facts(certificate).subject}"


def _new_nonce() -> str:
    return secrets.token_urlsafe(_NONCE_BYTES)
