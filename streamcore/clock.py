"""The source of time: a ``Clock`` is passed to all code that reads time, so that tests control it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for timestamps and retention, monotonic time for waiting."""

    def now_ms(self) -> int:
        """Return the wall time in milliseconds since 1970, UTC."""

    def monotonic_s(self) -> float:
        """Return seconds that never go back, for timeouts."""


class SystemClock:
    """The operating system's clock."""

    def now_ms(self) -> int:
        """Return the wall time in milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000

    monotonic_s = staticmethod(time.monotonic)
    """Return seconds that never go back, for timeouts. The agents of an application call it per event."""


class ManualClock:
    """A clock that moves only by ``advance``; for tests and the topology driver."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Return the wall time in milliseconds since 1970, UTC."""
        return self._now_ms

    def monotonic_s(self) -> float:
        """Return seconds that never go back, for timeouts."""
        return self._now_ms / 1000

    def advance(self, duration_ms: int) -> None:
        """Move both times forward."""
        assert duration_ms >= 0
        self._now_ms += duration_ms
