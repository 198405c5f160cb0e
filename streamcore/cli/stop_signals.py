"""SIGTERM and SIGINT: the first signal stops a worker or a server in order, the second ends the process.

Before anything is processed (a restore can take long), the first signal interrupts; the next start continues
the restore. The handlers are Python's own, not the event loop's, because application code can block the
loop. If stopping takes longer than it may, because code blocks the loop or a broker does not answer, the
process is ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from streamcore.cli.output import print_note
from streamcore.cli.worker_display import tell_stop

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Handle the signals while the block lasts."""

    def __init__(
        self,
        stopping: str = "committing and stopping",
        *,
        limit_s: float | None = None,
        obstacle: str = "something takes too long",
    ) -> None:
        """Set what a signal prints, and the limit.

        Args:
            stopping: what the program does after the first signal, for the message.
            limit_s: how long stopping may take; then the process ends with status 1.
            obstacle: why stopping takes longer than that, for the message.
        """
        self._stopping = stopping
        self._limit_s = limit_s
        self._obstacle = obstacle
        self._limit: threading.Timer | None = None
        self.is_stopped = False
        self._ask: Callable[[], None] | None = None
        self._before: dict[signal.Signals, object] = {}

    def ask_with(self, ask: Callable[[], None]) -> None:
        """Call a function at a signal instead of interrupting; it must be safe in a signal handler."""
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
            with contextlib.suppress(OSError):  # the reader of the output may be gone
                tell_stop(name, self._stopping)
            if self._limit_s is not None:
                self._limit = threading.Timer(self._limit_s, self._end_at_limit)
                self._limit.daemon = True
                self._limit.start()
            self._ask()
        else:
            # No committed work is lost: the next start processes again what is not committed.
            os._exit(128 + number)

    def _end_at_limit(self) -> None:
        print_note(
            f"{self._obstacle}; ended without waiting for it, what is not committed is processed at the next "
            "start"
        )
        sys.stderr.flush()
        os._exit(1)

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._received)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self._limit is not None:
            self._limit.cancel()
