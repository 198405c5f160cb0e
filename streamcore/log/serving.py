"""``serve``: opens a log in this process and serves it to Kafka clients.

This process can use the log at the same time, as by ``connect``. The folder is the same as without a server.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from streamcore.clock import Clock, SystemClock
from streamcore.log.broker.config.broker_settings import Meaning, checked
from streamcore.log.broker.config.texts import configured
from streamcore.log.connect import connect
from streamcore.log.connected_log import ConnectedLog
from streamcore.log.node.node import Durability
from streamcore.log.server.advertised_config import advertised_config
from streamcore.log.server.listeners import parse_listeners
from streamcore.log.server.security import Security
from streamcore.log.server.server import Server
from streamcore.log.server.settings import ServerSettings
from streamcore.log.server.switch_interval import short_switch_interval

DEFAULT_LISTEN: Final = "127.0.0.1:9092"

_LOOK_S: Final = 1.0
"""How late the end of a failed server may be noticed, in seconds."""


class ServedLog:
    """A log that is served until it is closed. ``serve`` returns it."""

    def __init__(self, log: ConnectedLog, server: Server, resources: ExitStack) -> None:
        self._server = server
        self._resources = resources
        self.log = log
        """The log, for use in this process."""

    @property
    def address(self) -> str:
        """Where clients connect: ``HOST:PORT``, several separated by commas."""
        return ",".join(f"{each.host}:{each.port}" for each in self._server.addresses)

    @property
    def listeners(self) -> list[str]:
        """Where clients connect, and how: ``scheme://HOST:PORT`` for each listener, in order."""
        return self._server.listening

    def reload_certificates(self) -> None:
        """Read the files of the TLS certificates again, for new connections.

        Raises:
            UsageError: a file is not valid; the certificates read before stay in use.
        """
        self._server.reload_certificates()

    def wait(self, stopping: threading.Event) -> None:
        """Serve until the event is set.

        Raises:
            ServerFailedError: the server has stopped because of an error.
        """
        while not stopping.wait(_LOOK_S):
            self._server.ensure_serving()

    def close(self) -> None:
        """Accept no more requests, answer those under way, make everything durable. A second call does
        nothing.

        Raises:
            ServerFailedError: the server had stopped because of an error; the rest of the close is done.
        """
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
    advertise: str | Sequence[str] = (),
    durability: Durability = "durable",
    settings: ServerSettings | None = None,
    security: Security | None = None,
    config: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> ServedLog:
    """Open the log in a folder and serve it over Kafka's protocol.

    Args:
        data: the folder, which is created if it does not exist.
        listen: ``HOST:PORT`` or ``SCHEME://HOST:PORT``, or several; the schemes are ``plaintext``, ``ssl``,
            ``sasl_plaintext`` and ``sasl_ssl``; port 0 is any free one.
        advertise: the ``HOST:PORT`` that clients get, if it differs from the address listened to; for several
            listeners, one for each in their order, or with the scheme of its listener. At
            ``0.0.0.0`` without it, each client gets the address that it has connected to.
        durability: as for ``connect``.
        settings: limits on connections and requests.
        security: certificates, how clients authenticate, whether access rules are checked.
        config: settings of the broker by Kafka's names, such as ``{"log.retention.hours": "24"}``; they are
            listed in ``docs/broker-settings.md``.
        clock: for tests.

    Raises:
        InvalidConfigError: a setting is unknown, impossible, or cannot be set.
        DirectoryInUseError: another process has the folder open; the message names its pid.
        UsageError: an address is in use or not valid, or a certificate is not valid.
    """
    clock = clock or SystemClock()
    listeners = parse_listeners(_texts(listen), _texts(advertise))
    security = security or Security()
    config = config or {}
    meanings = {name: checked(name, value).meaning for name, value in config.items()}
    settings = configured(settings or ServerSettings(), Meaning.SERVER, config)
    of_log = {name: value for name, value in config.items() if meanings[name] is not Meaning.SERVER}
    with ExitStack() as resources:
        log = resources.enter_context(connect(data, durability=durability, config=of_log, clock=clock))
        resources.enter_context(short_switch_interval())
        node = log.embedded.node
        server = Server(node, listeners, clock, settings, security)
        server.start()
        resources.callback(server.stop)
        advertised = advertised_config(listeners, server.listening, settings, security)
        with node.driver:
            node.broker.configuration.advertise(advertised)
        node.publish_address(f"{server.addresses[0].host}:{server.addresses[0].port}")
        resources.callback(node.publish_address, None)
        return ServedLog(log, server, resources.pop_all())


def _texts(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)
