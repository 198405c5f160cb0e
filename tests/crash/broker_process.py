"""A broker in a process of its own, to be killed, paused and started again on the same folder and port.

It is ``streamcore serve``; or, so that a round of some seconds sees retention, compaction and timeouts at
work, the same server with maintenance several times a second (``tests.crash.eager_broker``).
"""

from __future__ import annotations

import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PROJECT: Final = Path(__file__).resolve().parent.parent.parent
START_S_MAX: Final = 30.0
STOP_S_MAX: Final = 30.0
_POLL_S: Final = 0.01
_PORTS: Final = (20_000, 32_000)
FAULTS: Final = ("Traceback", "a request failed", "the server has stopped because of an error")
"""What the log of a sound broker never has."""


def free_port() -> int:
    """A port that nobody listens to, and that the system does not give to connections.

    While the broker is down, a connection could otherwise come to have its port, even one to itself.
    """
    while True:
        port = random.randrange(*_PORTS)
        with socket.socket() as listening, suppress(OSError):
            listening.bind(("127.0.0.1", port))
            return port


class BrokerProcess:
    """One folder, one port, and the process that serves it now."""

    def __init__(
        self, data: Path, log_file: Path, *, durability: str = "durable", is_eager: bool = True
    ) -> None:
        self.data = data
        self.port = free_port()
        self._log_file = log_file
        program = ["tests.crash.eager_broker"] if is_eager else ["streamcore.cli.main", "serve"]
        self._command = [
            *(sys.executable, "-m", *program, "--data", str(data)),
            *("--listen", f"127.0.0.1:{self.port}", "--durability", durability),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that serves now."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and wait until connections are taken."""
        process = self._launch()
        deadline_s = time.monotonic() + START_S_MAX
        while not self._is_listening():
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise AssertionError(f"the broker does not start:\n{self.output[-3000:]}")
            time.sleep(_POLL_S)

    def start_and_kill(self, after_s: float) -> None:
        """Start, and kill it perhaps before it is ready."""
        self._launch()
        time.sleep(after_s)
        self.kill()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it in good order."""
        assert self._process is not None
        self._process.terminate()
        try:
            code = self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the broker does not stop:\n{self.output[-3000:]}") from None
        assert code == 0, f"the broker ended with {code}:\n{self.output[-3000:]}"

    def pause(self) -> None:
        """Have the system give it no time, until ``resume``."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def limit_files(self, size_bytes: int | None) -> None:
        """Have the system refuse to let any file grow beyond a size, as on a full disk; ``None``: no more."""
        limit = resource.RLIM_INFINITY if size_bytes is None else size_bytes
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (limit, hard))

    @property
    def output(self) -> str:
        """Whatever the processes have written."""
        return self._log_file.read_text("utf-8", "replace") if self._log_file.exists() else ""

    def faults(self) -> list[str]:
        """Lines of its log that only a bug can have written, each with what follows it."""
        lines = self.output.splitlines()
        return [
            "\n".join(lines[index : index + 30])
            for index, line in enumerate(lines)
            if any(fault in line for fault in FAULTS)
        ]

    def _launch(self) -> subprocess.Popen[bytes]:
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        return self._process

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
