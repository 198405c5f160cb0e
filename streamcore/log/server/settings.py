"""The settings of a server: limits on what a peer can make it keep."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Limits as in Kafka, and some that Kafka does not have."""

    frame_bytes_max: int = 100 * 1024 * 1024
    """The most bytes of a request; a larger one closes its connection (``socket.request.max.bytes``)."""
    request_bytes_max: int = 256 * 1024 * 1024
    """Memory for requests of all connections; above it connections are not read from until memory is free."""
    connections_max: int = 10_000
    connections_per_address_max: int = 10_000
    pipelined_requests_max: int = 100
    """Requests of one connection that are received and not answered; above it nothing is read."""
    idle_s: float = 600.0
    """A connection without activity for this time is closed (``connections.max.idle.ms``)."""
    unfinished_frame_s: float = 60.0
    """How long an unfinished frame may stay without a new byte."""
    tls_handshake_s: float = 10.0
    """How long the TLS handshake of a new connection may take."""
    tls_shutdown_s: float = 5.0
    """How long a peer may take to confirm the end of a TLS connection."""
    authentication_s: float = 30.0
    """How long a new connection may take to authenticate, if it has to."""
    authentication_frame_bytes_max: int = 64 * 1024
    """The most bytes of a frame before authentication."""
    authentication_requests_max: int = 4
    """The most unanswered requests of a connection before authentication."""
    paces_fetches: bool = True
    """Whether answers to clients that pause when they are full are paced, so that they pause less."""
    sweep_s: float = 5.0
    """How often silent connections are looked for."""
    stop_s: float = 5.0
    """How long a stop waits for requests that are under way."""
