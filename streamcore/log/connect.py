"""``connect``: opens a log and returns what programs use of it.

A process opens a folder once: a second ``connect`` shares the open log, and the last ``close`` releases the
folder. Another process is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from streamcore.clock import Clock, SystemClock
from streamcore.errors import UsageError, with_facts
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.client.kafka.settings import (
    SCHEME,
    KafkaSettings,
    broker_addresses,
    client_properties,
    is_broker,
)
from streamcore.log.connected_log import ConnectedLog
from streamcore.log.node.directory_lock import DirectoryLock
from streamcore.log.node.node import Durability
from streamcore.log.node.shared_node import SharedNode


def connect(
    where: str | Path,
    *,
    durability: Durability = "durable",
    security: Mapping[str, str] | None = None,
    config: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> ConnectedLog:
    """Open the log in a folder, which is created if it does not exist, or connect to a broker.

    Args:
        where: the data folder, or a broker: ``HOST:PORT``, or ``kafka://HOST:PORT,HOST:PORT``.
        durability: ``durable`` acknowledges after the record is on disk. ``relaxed`` acknowledges at once: a
            power failure may lose the last seconds; the end of this process alone loses nothing. For a
            folder; a broker has its own.
        security: for a broker: ``security.protocol``, ``sasl.*``, ``ssl.*``, by Kafka's names.
        config: for a folder: settings of the broker by Kafka's names, fixed while the log is open.
        clock: for tests.

    Raises:
        DirectoryInUseError: another process has the folder open; the message names its pid.
        RequestTimeoutError: the broker does not answer.
        InvalidConfigError: a setting is unknown, impossible, or cannot be set.
        UsageError: an address is not valid, or the authentication at the broker failed.
    """
    clock = clock or SystemClock()
    if isinstance(where, str) and is_broker(where):
        if durability != "durable":
            raise UsageError(
                with_facts(
                    "durability is set at the broker: leave durability out",
                    broker=where,
                    durability=durability,
                )
            )
        if config:
            raise UsageError(
                with_facts(
                    "settings of a broker are set at the broker: leave config out",
                    broker=where,
                    settings=",".join(config),
                )
            )
        return _connect_to_broker(where, security or {}, clock)
    if security is not None:
        raise UsageError(with_facts("a folder has no login: leave security out", folder=where))
    if not where:
        raise UsageError("name the data folder: connect('streamcore-data')")
    shared = SharedNode.acquire(Path(where), durability, dict(config or {}), clock)
    return ConnectedLog(EmbeddedLog(shared.node, clock), clock, shared.release)


def broker_place(broker: str) -> str:
    """Return a broker's address in the form by which ``connect`` knows it from a folder.

    Raises:
        UsageError: it is no address.
    """
    return f"{SCHEME}{broker_addresses(broker)}"


def hold_folder(folder: Path) -> AbstractContextManager[object]:
    """Lock a folder that holds state, but no log, against other processes.

    Raises:
        DirectoryInUseError: another process has the folder open; the message names its pid.
    """
    return DirectoryLock(folder)


def _connect_to_broker(where: str, security: Mapping[str, str], clock: Clock) -> ConnectedLog:
    settings = KafkaSettings(brokers=broker_addresses(where), properties=client_properties(security))
    # Loaded here: librdkafka is large, and a log in a folder does without.
    from streamcore.log.client.kafka.log import KafkaLog

    log = KafkaLog(settings, clock=clock)
    return ConnectedLog(log, clock, log.close)
