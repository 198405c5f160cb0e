"""The HTTP server, in a thread of its own, because user code can block the worker's event loop."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import uvicorn

from streamcore.errors import UsageError, with_facts
from streamcore.processing.runtime.running import Worker
from streamcore.web.api import make_api
from streamcore.web.peers import Peers

_ADDRESS = re.compile(r"(?:\[(?P<bracketed>[0-9a-fA-F:.%]+)\]|(?P<host>[^:\[\]/]*)):(?P<port>\d{1,5})")
_CONNECTIONS_MAX = 256
_STOP_S = 2
_REQUEST_LINE_BYTES_MAX = 1 << 20
"""The request line holds the key: 100 KB of any bytes fit, each percent-encoded."""


class WebServer:
    """Answers requests from construction until ``close``, also while the worker starts and stops."""

    def __init__(self, worker: Worker, address: str, restores: Mapping[str, tuple[int, int]]) -> None:
        """Listen at ``HOST:PORT``; port 0 chooses a free port.

        Raises:
            UsageError: the address is malformed, taken, or not one of this machine.
        """
        host, port = host_and_port(address)
        self._socket = _listen(host, port)
        if worker.broker is not None:
            worker.announce(self._reachable_address(worker.broker))
        self._peers = Peers()
        config = uvicorn.Config(
            make_api(worker, restores, self._peers),
            http="h11",
            h11_max_incomplete_event_size=_REQUEST_LINE_BYTES_MAX,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            limit_concurrency=_CONNECTIONS_MAX,
            timeout_graceful_shutdown=_STOP_S,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="streamcore-http", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The URL of the server."""
        host, port = self._socket.getsockname()[:2]
        return f"http://{_address_text(host, port)}"

    def _reachable_address(self, broker: str) -> str:
        """Return the address for other workers. A server that listens at all addresses of the machine is
        reached at the one that the broker is reached from.
        """
        host, port = self._socket.getsockname()[:2]
        if host in ("0.0.0.0", "::"):
            host = own_address(broker)
        return _address_text(host, port)

    def close(self) -> None:
        """Finish the running requests, for at most two seconds, and stop."""
        self._server.should_exit = True
        self._thread.join(_STOP_S + 1)
        self._socket.close()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._peers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def host_and_port(address: str) -> tuple[str, int]:
    """Parse ``HOST:PORT``; an empty host is 127.0.0.1.

    Raises:
        UsageError: the address is malformed.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found["port"]) > 65535:
        raise UsageError(
            with_facts("write the address as HOST:PORT, for example 127.0.0.1:8080", given=repr(address))
        )
    return found["bracketed"] or found["host"] or "127.0.0.1", int(found["port"])


def own_address(broker: str) -> str:
    """Return the address of this machine from which it reaches a broker; its name if that is not known.

    Nothing is sent: the system chooses the address when a datagram socket is connected.
    """
    host, _, port = broker.rpartition("//")[2].split(",")[0].rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
        with socket.socket(found[0], found[1]) as probe:
            probe.connect(found[4])
            address: str = probe.getsockname()[0]
            return address
    except OSError:
        return socket.gethostname()


def _address_text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sets TCP_NODELAY for each connection: else the end of every answer,
    # which uvicorn writes apart from its head, would wait for the client's delayed acknowledgement (40 ms).
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((host, port))
        listening.listen(_CONNECTIONS_MAX)
    except OSError as error:
        listening.close()
        raise UsageError(
            with_facts(
                "cannot listen here for HTTP, choose another --http HOST:PORT",
                host=host,
                port=port,
                reason=error.strerror or error,
            )
        ) from error
    return listening
