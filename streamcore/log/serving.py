"""``serve``: opens a log in this process and lets Kafka's clients in.

The log can be used here meanwhile, as by ``connect``; the folder opens the same way when nobody serves it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streamcore.clock import Clock, SystemClock
from streamcore.log.connect import ConnectedLog, Durability, connect
from streamcore.log.server.listeners import parse_listener
from streamcore.log.server.server import Server
from streamcore.log.server.settings import ServerSettings

DEFAULT_LISTEN: Final = "127.0.0.1:9092"

_SWITCH_INTERVAL_S: Final = 0.001
"""How long one thread may keep the interpreter while another wants it. Python's own 5 ms would be added to
each sync that ends while requests are worked on."""


class ServedLog:
    """A log that is being served, until it is closed. Made by ``serve``."""

    def __init__(self, log: ConnectedLog, server: Server, resources: ExitStack) -> None:
        self._server = server
        self._resources = resources
        self.log = log
        """The log, for use in this process."""

    @property
    def address(self) -> str:
        """Where clients reach it: ``HOST:PORT``, several with commas between."""
        return ",".join(f"{each.host}:{each.port}" for each in self._server.addresses)

    def close(self) -> None:
        """Take no more requests, answer those under way, make everything durable. Again does nothing."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(
    data: str | Path,
    *,
    listen: str | Sequence[str] = DEFAULT_LISTEN,
    advertise: str | None = None,
    durability: Durability = "durable",
    settings: ServerSettings | None = None,
    clock: Clock | None = None,
) -> ServedLog:
    """Open the log in a folder and serve it over Kafka's protocol.

    Args:
        data: the folder, which is created if it is new.
        listen: ``HOST:PORT``, or several; port 0 is any free one.
        advertise: the ``HOST:PORT`` that clients are told, where it is not the one listened to.
        durability: as for ``connect``.
        settings: limits on connections and requests.
        clock: for tests.

    Raises:
        DirectoryInUseError: another process has the folder; the message names its pid.
        UsageError: an address is not free, or none.
    """
    clock = clock or SystemClock()
    addresses = [listen] if isinstance(listen, str) else list(listen)
    listeners = [parse_listener(address, advertise) for address in addresses]
    with ExitStack() as resources:
        log = resources.enter_context(connect(data, durability=durability, clock=clock))
        sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL_S))
        server = Server(log.embedded, listeners, clock, settings or ServerSettings())
        server.start()
        resources.callback(server.stop)
        return ServedLog(log, server, resources.pop_all())
