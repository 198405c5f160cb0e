"""What a handler knows of the request it answers: its version, who asks, and the broker that decides.

A handler is ``handler(request, call)``. It returns the response; or an operation, where something has to
be waited for; or ``None``, if the client wants no answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from streamcore.clock import Clock
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.operations import Operation
from streamcore.log.wire.fields import Message

ANONYMOUS: Final = "User:ANONYMOUS"
"""The principal of whoever came without authentication."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where clients reach the broker."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The client behind a connection."""

    host: str
    endpoint: Endpoint
    """The address that it was told, or will be told, to reach this broker by."""
    principal: str = ANONYMOUS


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way to an answer."""

    version: int
    client_id: str | None
    caller: Caller
    broker: Broker
    clock: Clock


Reply: TypeAlias = Message | None
Handler: TypeAlias = Callable[[Any, Call], Reply | Operation[Reply]]


class ConnectionRefusedByHandler(Exception):
    """The request can only be answered by closing its connection."""
