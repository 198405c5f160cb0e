"""The logs that the contract of the port is tried on: each can be closed and opened again by a test."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from streamcore.clock import ManualClock, SystemClock
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.client.kafka.log import KafkaLog
from streamcore.log.client.kafka.settings import KafkaSettings
from streamcore.log.client.port import Log
from streamcore.log.server.listeners import parse_listeners
from streamcore.log.server.security import Security
from streamcore.log.server.server import Server
from streamcore.log.server.settings import ServerSettings
from streamcore.testing.sim_disk import SimDisk

NOW_MS = int(time.time() * 1000)
"""Of today, because a broker with a clock of its own deletes what is old."""

WAIT_S = 10.0

R = TypeVar("R")


class LogHouse(Protocol):
    """A log that a test can close and open again."""

    log: Log
    is_remote: bool
    """Whether what was written travels before it is seen, and acknowledgements come by themselves."""
    is_foreign: bool
    """Whether the broker is Apache Kafka."""

    def reopen(self) -> Log:
        """Close the log, and what stands behind it if that is ours; open it again."""

    def close(self) -> None:
        """Leave nothing behind."""


class EmbeddedHouse:
    """The log in this process, on a real or on a simulated disk."""

    is_remote = False
    is_foreign = False

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder or Path("/data")
        self._clock = ManualClock(NOW_MS)
        self._disk = SimDisk(1, clock=self._clock) if folder is None else None
        self.log: Log = self._open()

    def _open(self) -> EmbeddedLog:
        return EmbeddedLog.open(
            self._folder,
            clock=self._clock,
            file_system=self._disk,
            settings=BrokerSettings(unstable_wait_ms=0),
            maintenance=False,
        )

    def reopen(self) -> Log:
        self.log.close()
        self.log = self._open()
        return self.log

    def close(self) -> None:
        self.log.close()


class ServedHouse:
    """A log of ours that a server in this process serves, reached over Kafka's protocol."""

    is_remote = True
    is_foreign = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.log: Log = self._open()

    def _open(self) -> KafkaLog:
        self._embedded = EmbeddedLog.open(
            self._folder, settings=BrokerSettings(unstable_wait_ms=0), maintenance=False
        )
        listeners = parse_listeners(["127.0.0.1:0"])
        self._server = Server(self._embedded.node, listeners, SystemClock(), ServerSettings(), Security())
        self._server.start()
        (address,) = self._server.addresses
        return KafkaLog(remote_settings(f"{address.host}:{address.port}"))

    def reopen(self) -> Log:
        self.close()
        self.log = self._open()
        return self.log

    def close(self) -> None:
        self.log.close()
        self._server.stop()
        self._embedded.close()


class KafkaHouse:
    """A node of Apache Kafka, of which a test uses what no other test has: its topics are deleted."""

    is_remote = True
    is_foreign = True

    def __init__(self, address: str) -> None:
        self._address = address
        self.log: Log = KafkaLog(remote_settings(address))
        self._before = set(self.log.topics())

    def reopen(self) -> Log:
        self.log.close()
        self.log = KafkaLog(remote_settings(self._address))
        return self.log

    def close(self) -> None:
        with KafkaLog(remote_settings(self._address)) as log:
            for name in set(log.topics()) - self._before:
                if not name.startswith("__"):
                    log.delete_topic(name)
            for group in ("g", "h"):
                if group in log.group_names():
                    log.delete_group(group)
        self.log.close()


def remote_settings(address: str) -> KafkaSettings:
    """How the tests connect."""
    return KafkaSettings(brokers=address, stable_wait_s=0.2)


def eventually(call: Callable[[], R], expected: R) -> R:
    """What a call returns, asked again while it is not what is expected: brokers tell a moment later."""
    deadline_s = time.monotonic() + WAIT_S
    while (found := call()) != expected and time.monotonic() < deadline_s:
        time.sleep(0.005)
    return found
