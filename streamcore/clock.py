"""Where time comes from: a ``Clock`` is passed in wherever time matters, so that tests own it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for timestamps and retention, monotonic time for waiting."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""

    def monotonic_s(self) -> float:
        """Seconds that never go back, for timeouts."""


class SystemClock:
    """The machine's own clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds that never go back, for timeouts."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to; for tests and the topology driver."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return self._now_ms

    def monotonic_s(self) -> float:
        """Seconds that never go back, for timeouts."""
        return self._now_ms / 1000

    def advance(self, duration_ms: int) -> None:
        """Move time forward."""
        assert duration_ms >= 0
        self._now_ms += duration_ms
