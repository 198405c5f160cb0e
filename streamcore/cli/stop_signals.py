"""SIGTERM and SIGINT for a worker: the first asks it to stop in order, a second one ends it at once.

While nothing is processed yet (a restore may take its time), the first one interrupts: a restore goes on
where it was. The handlers are Python's own, not the event loop's, because application code may hold the
loop for long.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from streamcore.cli.worker_display import tell_stop

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Watches for the signals while the block lasts."""

    def __init__(self, stopping: str = "committing and stopping") -> None:
        """``stopping`` is what people are told that the program does now."""
        self._stopping = stopping
        self.is_stopped = False
        self._ask: Callable[[], None] | None = None
        self._before: dict[signal.Signals, object] = {}

    def ask_with(self, ask: Callable[[], None]) -> None:
        """From now on a signal calls this instead of interrupting; it must be fit for a signal handler."""
        self._ask = ask
        if self.is_stopped:
            ask()

    def _received(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._ask is None:
            self.is_stopped = True
            raise KeyboardInterrupt
        if not self.is_stopped:
            self.is_stopped = True
            tell_stop(name, self._stopping)
            self._ask()
        else:
            # Nothing is lost: what is not committed is processed again at the next start.
            os._exit(128 + number)

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._received)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
