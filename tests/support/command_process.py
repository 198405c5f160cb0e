"""A command in a process of its own, for tests of signals, locks and what is printed as it happens."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

PROJECT = Path(__file__).resolve().parent.parent.parent
TIMEOUT_S = 30.0


class CommandProcess:
    """``streamcore`` with some words; killed at the end of the block if it still runs."""

    def __init__(self, *words: str, cwd: Path = PROJECT) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "streamcore.cli.main", *words],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def read_until(self, text: str) -> str:
        """Read lines up to one that holds this text; return that line."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError("".join(self.lines))

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and all that was said."""
        rest, _ = self._process.communicate(timeout=TIMEOUT_S)
        return self._process.returncode, "".join(self.lines) + rest

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.communicate()
