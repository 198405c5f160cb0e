"""What the connections of one server share."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, field

from streamcore.clock import Clock
from streamcore.log.broker.broker import Broker
from streamcore.log.server.connections import Connections
from streamcore.log.server.request_memory import RequestMemory
from streamcore.log.server.runner import OperationRunner
from streamcore.log.server.settings import ServerSettings
from streamcore.log.wire.calls import Endpoint

_SCRATCH_BYTES = 256 * 1024


@dataclass(slots=True, kw_only=True)
class ServerParts:
    """Made by the server, used by its connections."""

    broker: Broker
    clock: Clock
    settings: ServerSettings
    runner: OperationRunner
    readers: Executor
    """Threads that read what is not in the system's page cache."""
    connections: Connections
    memory: RequestMemory
    scratch: bytearray = field(default_factory=lambda: bytearray(_SCRATCH_BYTES))


@dataclass(frozen=True, slots=True)
class ListenerParts:
    """What the connections of one listening address share."""

    server: ServerParts
    endpoint: Endpoint
