"""Accepts connections of a listener with TLS, and hands them over after the TLS handshake.

They count in the limits from the accept on, so that peers that never finish the handshake use up only the
limit of their own address; and each handshake has a time limit.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Final

from streamcore.log.server.connection import Connection
from streamcore.log.server.parts import ListenerParts
from streamcore.log.server.tls import TlsContexts

_logger = logging.getLogger(__name__)

_NO_MORE: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_RETRY_S: Final = 1.0


class Arrival:
    """A connection during its TLS handshake."""

    is_idle = False
    is_inside_frame = False
    is_stuck = False
    is_working = False
    deadline_s = float("inf")

    def __init__(self, now_s: float, end: Callable[[], object]) -> None:
        self.last_active_s = now_s
        self._end = end

    def close(self) -> None:
        """Abort the handshake."""
        self._end()

    def abort(self) -> None:
        """Abort the handshake."""
        self._end()


class TlsAcceptor:
    """Accepts the connections of one listening socket."""

    def __init__(self, parts: ListenerParts, listening: socket.socket, contexts: TlsContexts) -> None:
        self._parts = parts
        self._listening = listening
        self._contexts = contexts
        self._arriving: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Accept connections until cancelled; then abort the handshakes that are under way."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    peer, address = await loop.sock_accept(self._listening)
                except OSError as error:
                    if error.errno in _NO_MORE:
                        _logger.warning("cannot accept connections for now: %s", error)
                        await asyncio.sleep(_RETRY_S)
                    continue
                task = loop.create_task(self._arrive(peer, str(address[0])))
                self._arriving.add(task)
                task.add_done_callback(self._arriving.discard)
        finally:
            for task in self._arriving:
                task.cancel()

    async def _arrive(self, peer: socket.socket, host: str) -> None:
        server = self._parts.server
        task = asyncio.current_task()
        assert task is not None
        arrival = Arrival(server.clock.monotonic_s(), task.cancel)
        if not server.connections.admit(arrival, host):
            server.connections.remove(arrival, host)
            peer.close()
            return
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self._parts, arrival),
                peer,
                ssl=self._contexts.of(self._parts.listener.scheme),
                ssl_handshake_timeout=server.settings.tls_handshake_s,
                ssl_shutdown_timeout=server.settings.tls_shutdown_s,
            )
        except OSError as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else str(error)
            _logger.info("closed a connection whose TLS handshake failed: %s peer=%s", reason, host)
        finally:
            server.connections.remove(arrival, host)
