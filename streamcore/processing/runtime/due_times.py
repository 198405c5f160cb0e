"""When a worker has work without new input, and how long it may wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamcore.processing.runtime.parts import Part
from streamcore.processing.runtime.timers import Timers

IDLE_WAIT_S: Final = 0.5
_TURN_WAIT_S: Final = 0.001


def next_due_ms(timers: Timers, parts: Sequence[Part], now_ms: int) -> int | None:
    """Return when there is work without new input; ``None`` if there is none."""
    dues = [timers.next_due_ms(), *(part.idle_time.next_due_ms(now_ms) for part in parts)]
    dues += [part.clock_due_ms() for part in parts if not part.is_busy]
    return min((due for due in dues if due is not None), default=None)


def wait_s(timers: Timers, parts: Sequence[Part], now_ms: int, commit_interval_ms: int) -> float:
    """Return how long a worker without work may wait until it looks again."""
    dues = [next_due_ms(timers, parts, now_ms), *(part.commit_due_ms() for part in parts)]
    dues += [
        part.last_commit_ms + commit_interval_ms
        for part in parts
        if not part.is_busy and part.is_idle and part.has_changes
    ]
    due_ms = min((due for due in dues if due is not None), default=None)
    if due_ms is None:
        return IDLE_WAIT_S
    return max(_TURN_WAIT_S, min(IDLE_WAIT_S, (due_ms - now_ms) / 1000))
