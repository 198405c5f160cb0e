"""Functions that no record calls: called by the clock, or at the start and the stop of a worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from typing import Any

from msgspec import Struct


class Timer(Struct, frozen=True):
    """A function to call every ``interval_ms``, or at the times of a cron expression in a time zone."""

    name: str
    function: Callable[[], Any]
    interval_ms: int | None = None
    crontab: str | None = None
    timezone: tzinfo | None = None
    """The time zone of the cron expression; ``None`` is UTC."""
    leader: bool = False
    """Whether one worker alone calls the function: the one that runs the first task of the application."""


class Hook(Struct, frozen=True):
    """A function to call when a worker has started, or before it closes."""

    name: str
    function: Callable[[], Any]
