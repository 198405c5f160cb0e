"""Requests to the HTTP servers of other workers, from the event loop of this one's server.

h11 has the protocol, asyncio the sockets. A connection is kept for the next request for a few seconds, less
than the other side keeps it. Requests that wait at the other worker hold no thread here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import h11

_CONNECT_S: Final = 2.0
_IDLE_S: Final = 3.0
"""How long a connection is kept; uvicorn closes one after 5 s without a request."""
_CHUNK_BYTES: Final = 1 << 16
REQUESTS_MAX: Final = 100
"""Requests to one worker at a time; with more, some would find all of its connections taken."""


class PeerError(Exception):
    """The other worker did not answer: nothing listens there, it is too busy, or it is no HTTP server."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: the status, the headers with lower-case names, and the content."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))
    idle_since_s: float = 0.0
    has_answered: bool = False


class Peers:
    """Sends ``GET`` requests. For one event loop."""

    def __init__(self) -> None:
        self._idle: dict[str, list[_Connection]] = {}
        self._looked_s = 0.0
        """When the kept connections were last looked through."""
        self._under_way: Counter[str] = Counter()

    async def get(self, address: str, target: str, headers: dict[str, str], timeout_s: float) -> Reply:
        """Request a target, path and parameters, from ``HOST:PORT``.

        Raises:
            PeerError: there is no answer within ``timeout_s``, or too many requests wait for this worker.
        """
        if self._under_way[address] >= REQUESTS_MAX:
            raise PeerError("too many queries wait for it")
        self._under_way[address] += 1
        try:
            async with asyncio.timeout(timeout_s):
                return await self._get(address, target, headers)
        except TimeoutError as error:
            raise PeerError(f"no answer within {timeout_s:g} s") from error
        except (OSError, h11.ProtocolError, asyncio.IncompleteReadError) as error:
            raise PeerError(str(error) or type(error).__name__) from error
        finally:
            self._under_way[address] -= 1

    def close(self) -> None:
        """Close the connections that are kept."""
        for kept in self._idle.values():
            for connection in kept:
                connection.writer.close()
        self._idle.clear()

    async def _get(self, address: str, target: str, headers: dict[str, str]) -> Reply:
        while True:
            connection = self._kept(address) or await self._connected(address)
            try:
                reply = await _exchange(connection, address, target, headers)
            except (OSError, h11.RemoteProtocolError):
                connection.writer.close()
                if connection.has_answered:  # The other side had closed it: the request goes out again.
                    continue
                raise
            except BaseException:
                connection.writer.close()
                raise
            self._keep(address, connection)
            return reply

    def _kept(self, address: str) -> _Connection | None:
        kept = self._idle.get(address, [])
        while kept:
            connection = kept.pop()
            if time.monotonic() - connection.idle_since_s < _IDLE_S and not connection.reader.at_eof():
                return connection
            connection.writer.close()
        return None

    async def _connected(self, address: str) -> _Connection:
        host, _, port = address.rpartition(":")
        async with asyncio.timeout(_CONNECT_S):
            return _Connection(*await asyncio.open_connection(host.strip("[]"), int(port)))

    def _keep(self, address: str, connection: _Connection) -> None:
        try:
            connection.protocol.start_next_cycle()
        except h11.LocalProtocolError:  # One of the two sides wants to close it.
            connection.writer.close()
            return
        connection.has_answered = True
        connection.idle_since_s = now_s = time.monotonic()
        self._idle.setdefault(address, []).append(connection)
        if now_s - self._looked_s > _IDLE_S:
            self._looked_s = now_s
            self._close_old(now_s)

    def _close_old(self, now_s: float) -> None:
        """Close connections that were kept too long, also those to workers that are gone."""
        for address, kept in list(self._idle.items()):
            for connection in kept:
                if now_s - connection.idle_since_s >= _IDLE_S:
                    connection.writer.close()
            self._idle[address] = [each for each in kept if now_s - each.idle_since_s < _IDLE_S]
            if not self._idle[address]:
                del self._idle[address]


async def _exchange(connection: _Connection, address: str, target: str, headers: dict[str, str]) -> Reply:
    protocol, writer = connection.protocol, connection.writer
    request = h11.Request(method="GET", target=target, headers=[("host", address), *headers.items()])
    with contextlib.suppress(ConnectionError):  # What the other side says before it closes is read below.
        writer.write((protocol.send(request) or b"") + (protocol.send(h11.EndOfMessage()) or b""))
        await writer.drain()
    status, found, body = 0, {}, bytearray()
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await connection.reader.read(_CHUNK_BYTES))
        elif isinstance(event, h11.Response):
            status = event.status_code
            found = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return Reply(status, found, bytes(body))
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionResetError("the connection was closed before the answer")
