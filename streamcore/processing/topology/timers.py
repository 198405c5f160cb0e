"""Functions of an application that run by the clock, as they were declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Timer:
    """A function to call every ``interval_ms``, or at the times of a cron expression in a time zone."""

    name: str
    function: Callable[[], Any]
    interval_ms: int | None = None
    crontab: str | None = None
    timezone: ZoneInfo | None = None
    """Of the cron expression; ``None`` is UTC."""
