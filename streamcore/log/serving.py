"""``serve``: opens a log in this process and lets Kafka's clients in.

The log can be used here meanwhile, as by ``connect``; the folder opens the same way when nobody serves it.
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
from streamcore.log.connect import ConnectedLog, connect
from streamcore.log.node.node import Durability
from streamcore.log.server.advertised_config import advertised_config
from streamcore.log.server.listeners import parse_listeners
from streamcore.log.server.security import Security
from streamcore.log.server.server import Server
from streamcore.log.server.settings import ServerSettings
from streamcore.log.server.switch_interval import short_switch_interval

DEFAULT_LISTEN: Final = "127.0.0.1:9092"

_LOOK_S: Final = 1.0
"""How late the end of a server that failed may be noticed."""


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

    @property
    def listeners(self) -> list[str]:
        """Where clients reach it and how: ``scheme://HOST:PORT`` for each listening address, in order."""
        return self._server.listening

    def reload_certificates(self) -> None:
        """Read the files of the TLS certificates again, for connections to come.

        Raises:
            UsageError: something is wrong with them; what was read before stays in use.
        """
        self._server.reload_certificates()

    def wait(self, stopping: threading.Event) -> None:
        """Serve until the event is set.

        Raises:
            ServerFailedError: serving has ended by itself.
        """
        while not stopping.wait(_LOOK_S):
            self._server.ensure_serving()

    def close(self) -> None:
        """Take no more requests, answer those under way, make everything durable. Again does nothing.

        Raises:
            ServerFailedError: serving had ended by itself; all the rest is done.
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
        data: the folder, which is created if it is new.
        listen: ``HOST:PORT`` or ``SCHEME://HOST:PORT``, or several; the schemes are ``plaintext``, ``ssl``,
            ``sasl_plaintext`` and ``sasl_ssl``; port 0 is any free one.
        advertise: the ``HOST:PORT`` that clients are told, where it is not the one listened to; for several
            listeners, one for each in their order, or with the scheme of the one that is meant. At
            ``0.0.0.0`` without it, each client is told the address that it has come to.
        durability: as for ``connect``.
        settings: limits on connections and requests.
        security: certificates, how clients authenticate, whether what they do needs a rule that allows it.
        config: settings of the broker by Kafka's names, such as ``{"log.retention.hours": "24"}``; they are
            listed in ``docs/broker-settings.md``.
        clock: for tests.

    Raises:
        InvalidConfigError: a setting is unknown, impossible, or cannot be set.
        DirectoryInUseError: another process has the folder; the message names its pid.
        UsageError: an address is not free, or none; or a certificate is not good.
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
