"""When timers and cron entries are due, and how they are run: one call at a time of each."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from datetime import UTC, datetime

from croniter import croniter

from streamcore.errors import UserCodeError, fact_text
from streamcore.processing.context import UserContext, user_context
from streamcore.processing.dsl.app import Timer


def next_due_ms(timer: Timer, after_ms: int) -> int:
    """The first time after ``after_ms`` at which a timer is due."""
    if timer.interval_ms is not None:
        return after_ms + timer.interval_ms
    start = datetime.fromtimestamp(after_ms / 1000, UTC)
    due: datetime = croniter(timer.crontab, start).get_next(datetime)
    return int(due.timestamp() * 1000)


class Timers:
    """The timers of a worker. A call that takes longer than its interval leaves calls out, never overlaps."""

    def __init__(self, timers: Sequence[Timer], context: UserContext, now_ms: int) -> None:
        self._context = context
        self._due = [(timer, next_due_ms(timer, now_ms)) for timer in timers]
        self._running: dict[str, asyncio.Task[None]] = {}

    def next_due_ms(self) -> int | None:
        """When the next timer is due; ``None`` without timers."""
        return min((due for _, due in self._due), default=None)

    def start_due(self, now_ms: int) -> int:
        """Start the timers that are due; return how many.

        Raises:
            UserCodeError: a timer started before has failed.
        """
        started = 0
        for index, (timer, due_ms) in enumerate(self._due):
            if due_ms > now_ms:
                continue
            self._due[index] = (timer, next_due_ms(timer, max(due_ms, now_ms - (timer.interval_ms or 0))))
            running = self._running.get(timer.name)
            if running is None or running.done():
                with user_context(self._context):
                    self._running[timer.name] = asyncio.get_running_loop().create_task(_call(timer))
                started += 1
        self.raise_failed()
        return started

    def raise_failed(self) -> None:
        """Raise what a timer that has ended raised, if any did."""
        for name, running in list(self._running.items()):
            if running.done():
                del self._running[name]
                running.result()

    async def wait(self) -> None:
        """Wait for the calls under way."""
        if self._running:
            await asyncio.wait(list(self._running.values()))
        self.raise_failed()

    async def close(self) -> None:
        """Cancel what is under way."""
        for running in self._running.values():
            running.cancel()
        if self._running:
            await asyncio.wait(list(self._running.values()))
        self._running.clear()


async def _call(timer: Timer) -> None:
    try:
        result = timer.function()
        if inspect.isawaitable(result):
            await result
    except Exception as error:
        raise UserCodeError(f"a timer failed: {fact_text(timer=timer.name, error=repr(error))}") from error
