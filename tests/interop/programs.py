"""Runs other people's programs: as processes of their own that tell facts, one line of JSON each.

Every wait is bounded, and every process is ended by its own id, with what it started: each is the leader of
a group of processes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent.parent
STEP_LIMIT_S = 40.0
"""How long a program may take for what takes it seconds."""

Fact = dict[str, Any]


class Process:
    """A process and what it started. Its output goes to a file, which is quoted when it fails."""

    def __init__(
        self,
        command: Sequence[str],
        output: Path,
        *,
        environment: Mapping[str, str] | None = None,
        folder: Path = PROJECT,
        stdin: int | None = subprocess.DEVNULL,
        stdout: int | None = None,
    ) -> None:
        self.output = output
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab") as file:
            self.process = subprocess.Popen(
                list(command),
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=stdin,
                stdout=file if stdout is None else stdout,
                stderr=file if stdout is not None else subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it at once, and everything that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STEP_LIMIT_S)

    def terminate(self, limit_s: float = STEP_LIMIT_S) -> int:
        """Ask it to end, and wait until it has."""
        self.process.terminate()
        return self.wait(limit_s)

    def wait(self, limit_s: float = STEP_LIMIT_S) -> int:
        """Wait for its end; a process that does not end in time is killed, and fails the test."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"not over after {limit_s} s: {self.complaint()}") from None

    def complaint(self) -> str:
        """The end of what it printed."""
        return f"{self.output}:\n{self.output.read_text('utf-8', 'replace')[-4000:]}"


class Program(Process):
    """One step of a client program, started."""

    def __init__(
        self,
        command: Sequence[str],
        address: str,
        step: str,
        arguments: Mapping[str, object],
        output: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            [*command, address, step],
            output,
            environment=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.facts: list[Fact] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(arguments).encode() + b"\n")
            self.process.stdin.flush()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            # Faust hides and shows the cursor, even of a pipe, before and after it lets others print.
            if b"{" in line:
                self.facts.append(json.loads(line[line.index(b"{") :]))

    def check(self) -> None:
        """Fail the test if the program has ended with an error, and was not killed by the test."""
        status = self.process.poll()
        assert status in (None, 0, -signal.SIGKILL), self._end(status)

    def found(self, name: str) -> list[Any]:
        """What it told so far under this name."""
        return [fact[name] for fact in list(self.facts) if name in fact]

    def finish(self, limit_s: float = STEP_LIMIT_S) -> list[Fact]:
        """Wait for its end; everything that it told. An error of the program fails the test."""
        status = self.wait(limit_s)
        self._reader.join(limit_s)
        assert status == 0, self._end(status)
        return self.facts

    def _end(self, status: int) -> str:
        return f"ended with {status} after {self.facts[-3:]}: {self.complaint()}"

    def stop(self) -> list[Fact]:
        """Ask it to stop, and wait for its end."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        return self.finish()


def wait_until(is_so: Callable[[], bool], what: Callable[[], str], limit_s: float = STEP_LIMIT_S) -> None:
    """Look again and again until it is so. ``what`` says what was seen instead, when time is over."""
    end_s = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end_s, f"not seen within {limit_s} s: {what()}"
        time.sleep(0.05)
