"""The settings of a server: what it listens to, and limits on whatever a peer can make it keep."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Limits by Kafka's habits, and some that Kafka does not have."""

    frame_bytes_max: int = 100 * 1024 * 1024
    """A request that is larger closes its connection (``socket.request.max.bytes``)."""
    request_bytes_max: int = 256 * 1024 * 1024
    """Memory for requests of all connections; beyond it they are not read from until there is some again."""
    connections_max: int = 10_000
    connections_per_address_max: int = 10_000
    pipelined_requests_max: int = 100
    """Requests of one connection that are received and not yet answered; beyond it nothing is read."""
    idle_s: float = 600.0
    """A connection on which nothing happens for so long is closed (``connections.max.idle.ms``)."""
    unfinished_frame_s: float = 60.0
    """So long a frame may take from its first byte to its last but one chunk, without any byte coming."""
    tls_handshake_s: float = 10.0
    """So long the encryption of a new connection may take to begin."""
    tls_shutdown_s: float = 5.0
    """So long a peer may take to agree to the end of an encrypted connection."""
    authentication_s: float = 30.0
    """So long a new connection may take to authenticate, where it has to."""
    authentication_frame_bytes_max: int = 64 * 1024
    """A frame of a connection that has not authenticated."""
    authentication_requests_max: int = 4
    """Requests of a connection that has not authenticated which are received and not yet answered."""
    paces_fetches: bool = True
    """Whether answers to clients that pause when they are full are paced, so that they pause less."""
    sweep_s: float = 5.0
    """How often silent connections are looked for."""
    stop_s: float = 5.0
    """So long a stop waits for requests that are under way."""
