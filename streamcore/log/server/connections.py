"""The connections of a server: their limits, and the end of those that are silent for too long."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from streamcore.log.server.settings import ServerSettings

_logger = logging.getLogger(__name__)


class Peer(Protocol):
    """A connection, as the limits use it."""

    last_active_s: float
    deadline_s: float
    """The time by which the peer must have authenticated."""

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way."""

    @property
    def is_inside_frame(self) -> bool:
        """Whether a frame has begun and is not complete."""

    @property
    def is_stuck(self) -> bool:
        """Whether an answer waits that the peer does not take."""

    @property
    def is_working(self) -> bool:
        """Whether a request is under way that does not wait for other clients."""

    def close(self) -> None:
        """Close the connection after the answers that are ready were sent."""

    def abort(self) -> None:
        """Close the connection at once."""


class Connections:
    """All connections of a server."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._peers: set[Peer] = set()
        self._by_address: Counter[str] = Counter()
        self._is_full_told = False

    def __len__(self) -> int:
        return len(self._peers)

    def __iter__(self) -> Iterator[Peer]:
        return iter(list(self._peers))

    def admit(self, peer: Peer, address: str, instead_of: Peer | None = None) -> bool:
        """Register a connection; return false if there are too many, in all or from its address.

        ``instead_of`` is removed: the entry of the same connection during its TLS handshake.
        """
        if instead_of is not None:
            self.remove(instead_of, address)
        self._peers.add(peer)
        self._by_address[address] += 1
        is_admitted = (
            len(self._peers) <= self._settings.connections_max
            and self._by_address[address] <= self._settings.connections_per_address_max
        )
        if not is_admitted and not self._is_full_told:
            _logger.warning(
                "refused a connection, there are too many: raise connections_max or "
                "connections_per_address_max, address=%s connections=%d of_the_address=%d",
                address,
                len(self._peers) - 1,
                self._by_address[address] - 1,
            )
        self._is_full_told = not is_admitted
        return is_admitted

    def remove(self, peer: Peer, address: str) -> None:
        """Remove a closed connection; a second call does nothing."""
        if peer not in self._peers:
            return
        self._peers.remove(peer)
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    def end_silent(self, now_s: float) -> None:
        """Close the connections that are idle, stopped inside a frame, or late to authenticate."""
        for peer in self:
            silent_s = now_s - peer.last_active_s
            if now_s >= peer.deadline_s:
                peer.abort()
            elif peer.is_inside_frame:
                if silent_s > self._settings.unfinished_frame_s:
                    peer.abort()
            elif silent_s > self._settings.idle_s and (peer.is_idle or peer.is_stuck):
                peer.abort()
