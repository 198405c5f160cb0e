"""StreamCore and Apache Kafka as processes: start, observe from outside, stop.

A broker counts as started when it answers a Metadata request with itself and all partitions that its folder
has. Processor time and memory are those of its process with all threads, as Linux reports them.
"""

from __future__ import annotations

import socket
import sys
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from bench.broker import kafka
from bench.broker.children import Child, Children
from bench.broker.topics import connect, is_ready
from bench.usage import cpu_s_of, resident_bytes

_START_LIMIT_S = 300.0
_FORMAT_LIMIT_S = 60.0
_LIFE_LIMIT_S = 7_200.0
_LOOK_S = 0.005
_CLEAN_EXITS = (0, 143)
"""A JVM exits with 143 after SIGTERM even if everything went well."""


class Kind(Enum):
    """The broker program and the durability of its acknowledgement."""

    DURABLE = "StreamCore, durable"
    RELAXED = "StreamCore, relaxed"
    KAFKA = "Apache Kafka"


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker."""

    kind: Kind
    address: str
    started_in_s: float
    """The time from the start of its process to its first complete answer."""
    child: Child
    _log_folder: Path

    @property
    def cpu_s(self) -> float:
        """The CPU time of its process so far."""
        return cpu_s_of(self.child.pid)

    @property
    def resident_bytes(self) -> int:
        """The resident memory of its process now."""
        return resident_bytes(self.child.pid)

    def segment_files(self, topic: str) -> list[Path]:
        """Return the files that hold the records of a topic."""
        return sorted(self._log_folder.glob(f"{topic}-*/*.log"))

    def stop(self) -> None:
        """Stop it in order. Raises ``SystemExit`` if it does not end well."""
        if (status := self.child.stop()) not in _CLEAN_EXITS:
            raise self.child.failure(f"ended with {status}")


def start(
    children: Children, kind: Kind, folder: Path, jars: Path | None, *, partition_count: int = 0
) -> Broker:
    """Start a broker in a new folder, or in one of a stopped broker of the same kind.

    Args:
        children: the processes of this run, to which it is added.
        kind: the kind of broker.
        folder: the folder for all of its files, including its log of warnings.
        jars: Apache Kafka's jars, for that kind.
        partition_count: how many partitions the folder has.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{_free_port()}"
    if kind is Kind.KAFKA:
        assert jars is not None
        command = _kafka_command(children, folder, address, jars)
        log_folder = kafka.log_folder(folder)
    else:
        durability = "relaxed" if kind is Kind.RELAXED else "durable"
        command = [sys.executable, "-m", "streamcore.cli.main", "serve", "--data", str(folder)]
        command += ["--listen", address, "--durability", durability]
        log_folder = folder / "log"
    began_s = time.perf_counter()
    child = children.start(command, log=folder / "broker.txt", limit_s=_LIFE_LIMIT_S)
    _wait_until_ready(child, address, partition_count)
    return Broker(kind, address, time.perf_counter() - began_s, child, log_folder)


def _kafka_command(children: Children, folder: Path, address: str, jars: Path) -> list[str]:
    is_new = not kafka.log_folder(folder).exists()
    kafka.prepare(folder, int(address.partition(":")[2]), _free_port())
    if is_new:
        command = kafka.format_command(jars, folder)
        with children.start(command, log=folder / "format.txt", limit_s=_FORMAT_LIMIT_S) as formatting:
            formatting.lines()
    return kafka.broker_command(jars, folder)


def _wait_until_ready(child: Child, address: str, partition_count: int) -> None:
    deadline_s = time.monotonic() + _START_LIMIT_S
    while not _answers(address, partition_count):
        if not child.is_running:
            raise child.failure("ended at its start")
        if time.monotonic() > deadline_s:
            raise child.failure(f"was not ready after {_START_LIMIT_S:.0f} s")
        time.sleep(_LOOK_S)


def _answers(address: str, partition_count: int) -> bool:
    try:
        with connect(address) as client:
            return is_ready(client, partition_count)
    except OSError:  # it does not listen yet, or closes the connection
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
        assert isinstance(port, int)
        return port
