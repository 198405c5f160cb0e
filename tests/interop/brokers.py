"""The broker that clients are let loose on: ``streamcore serve``, as a process of its own.

With ``INTEROP_BROKER=HOST:PORT`` it is another one, which must be there already: the same programs are held
against a real Apache Kafka that way, which shows that they are right. That one is not killed.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Final

from tests.interop.programs import STEP_LIMIT_S, Process, wait_until

OTHER_BROKER: Final = os.environ.get("INTEROP_BROKER")


class ServedBroker:
    """A server on a free port, over a folder that outlives its processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.log = folder / "serve.log"
        self._port = free_port()
        self._process: Process | None = None

    @property
    def address(self) -> str:
        """Where clients reach it, also after it was started again."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        command = [str(Path(sys.executable).parent / "streamcore"), "serve"]
        options = ["--data", str(self._folder / "data"), "--listen", self.address]
        process = Process([*command, *options], self.log)
        self._process = process

        def listens() -> bool:
            assert process.process.poll() is None, process.complaint()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self._port)) == 0

        wait_until(listens, process.complaint)

    def kill(self) -> None:
        """End it as a crash would."""
        assert self._process is not None
        self._process.kill()

    def stop(self) -> None:
        """End it in good order."""
        assert self._process is not None
        assert self._process.terminate(STEP_LIMIT_S) == 0, self._process.complaint()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
        assert isinstance(port, int)
        return port
