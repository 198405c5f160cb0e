"""Processes that are started for a measurement, and ended by their pid in every case.

A child gets its own session, so that Ctrl-C reaches only the benchmark, which then ends its children. A
signal that arrives while a child is being started waits until the child is registered: no child can be left
running. A timer kills a child that outlives its limit; the reader of its output then sees the end.
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, TypeAlias

from bench.environments import ROOT

Numbers: TypeAlias = Mapping[str, float]
"""The numbers of a measurement, by name."""

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STOP_LIMIT_S = 180.0
_SAID_BYTES = 2_000


class Child:
    """A running process, started by ``Children``; as a context manager it ends the process."""

    def __init__(self, command: Sequence[str], *, log: Path, limit_s: float) -> None:
        """Start the process.

        Args:
            command: the command, run in the root of the repository.
            log: the file for its standard error.
            limit_s: the process is killed after this time.
        """
        self._command = command
        self._log = log
        self._limit_s = limit_s
        self._was_late = False
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self._timer = threading.Timer(limit_s, self._end_late)
        self._timer.daemon = True
        self._timer.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def line(self) -> str:
        """Wait for the next line that it prints. Raises ``SystemExit`` if it ends without one."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self.failure("ended too early")
        return line.rstrip("\n")

    def lines(self) -> list[str]:
        """Wait for its end; return all remaining lines. Raises ``SystemExit`` if it failed."""
        assert self._process.stdout is not None
        lines = self._process.stdout.read().splitlines()
        if self._process.wait():
            raise self.failure("failed")
        return lines

    def numbers(self) -> Numbers:
        """Wait for its end; return the numbers of its last line. Raises ``SystemExit`` if it failed."""
        lines = self.lines()
        if not lines:
            raise self.failure("said nothing")
        numbers: Numbers = json.loads(lines[-1])
        return numbers

    def ask_to_end(self) -> None:
        """Send SIGTERM; ``numbers`` or ``stop`` wait for the end."""
        self._process.terminate()

    def stop(self) -> int:
        """End it in order; return its exit code. A process that does not end is killed."""
        self.ask_to_end()
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise self.failure(f"did not end within {_STOP_LIMIT_S:.0f} s of SIGTERM") from None
        finally:
            self.kill()
        return self._process.returncode

    def kill(self) -> None:
        """End it at once if it runs, and close its pipes. A second call does nothing."""
        self._timer.cancel()
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def failure(self, what: str) -> SystemExit:
        """Return an error with the process's command and output."""
        if self._was_late:
            what = f"took more than {self._limit_s:.0f} s"
        said = self._log.read_bytes()[-_SAID_BYTES:].decode(errors="replace")
        return SystemExit(f"a process {what}: {' '.join(self._command)}\n{said}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _end_late(self) -> None:
        self._was_late = True
        self._process.kill()


class Children:
    """All processes of a run. As a context manager it ends all of them.

    Inside the block SIGINT, SIGTERM and SIGHUP unwind this process. Only its main thread may use it.
    """

    def __init__(self) -> None:
        self._started: list[Child] = []
        self._is_starting = False
        self._waiting_signal: int | None = None
        self._handlers: dict[int, Any] = {}

    def start(self, command: Sequence[str], *, log: Path, limit_s: float) -> Child:
        """Start a process; the arguments are those of ``Child``."""
        self._is_starting = True
        try:
            child = Child(command, log=log, limit_s=limit_s)
            self._started.append(child)
        finally:
            self._is_starting = False
        if self._waiting_signal is not None:
            raise SystemExit(128 + self._waiting_signal)
        return child

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._leave) for number in _ENDING_SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in _ENDING_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        for child in self._started:
            child.kill()
        for ending, handler in self._handlers.items():
            signal.signal(ending, handler)

    def _leave(self, number: int, frame: FrameType | None) -> None:
        if self._is_starting:
            self._waiting_signal = number
        else:
            raise SystemExit(128 + number)
