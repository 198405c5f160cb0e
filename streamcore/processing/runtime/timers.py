"""The due times of timers and cron entries, and their calls: one call at a time of each.

The application's error policy decides about a call that fails: it stops the worker, is tried again, or is
logged; ``dead_letter`` logs it, too, because a timer has no record to write.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

from streamcore.errors import UserCodeError, fact_text
from streamcore.processing.context import UserContext, user_context
from streamcore.processing.operators.guard import ENDS_WORKER
from streamcore.processing.runtime.failures import FailureLog
from streamcore.processing.topology.crontab import next_time
from streamcore.processing.topology.error_policy import ErrorPolicy, Retry, Skip, Stop
from streamcore.processing.topology.timers import Hook, Timer


def next_due_ms(timer: Timer, after_ms: int) -> int:
    """Return the first time after ``after_ms`` at which a timer is due."""
    if timer.interval_ms is not None:
        return after_ms + timer.interval_ms
    zone: tzinfo = UTC if timer.timezone is None else timer.timezone
    start = datetime.fromtimestamp(after_ms / 1000, zone)
    assert timer.crontab is not None, "a timer has an interval or a cron expression"
    return int(next_time(timer.crontab, start).timestamp() * 1000)


class Timers:
    """The timers of a worker. A call that takes longer than its interval skips calls; calls never overlap."""

    def __init__(
        self,
        timers: Sequence[Timer],
        context: UserContext,
        now_ms: int,
        *,
        on_error: ErrorPolicy,
        failures: FailureLog,
        ended: Callable[[], None],
        wait_ms: Callable[[int], None] | None = None,
        is_leader: Callable[[], bool] = lambda: True,
    ) -> None:
        """Create the timers of an application.

        Args:
            context: the context in which the functions run.
            ended: called when a call has ended, with or without an error.
            wait_ms: waits before a retry; ``None`` is the event loop's sleep.
            is_leader: whether this worker calls the functions that one worker alone calls.
        """
        self._is_leader = is_leader
        self._context = context
        self._on_error = on_error
        self._failures = failures
        self._ended = ended
        self._wait_ms = wait_ms
        self._due = [(timer, next_due_ms(timer, now_ms)) for timer in timers]
        self._running: dict[int, asyncio.Task[None]] = {}

    def next_due_ms(self) -> int | None:
        """Return the time at which the next timer is due; ``None`` without timers."""
        return min((due for _, due in self._due), default=None)

    def start_due(self, now_ms: int) -> int:
        """Start the timers that are due; return their number.

        Raises:
            UserCodeError: a timer started before has failed, under the policy ``stop``.
        """
        self.raise_failed()
        started = 0
        for index, (timer, due_ms) in enumerate(self._due):
            if due_ms > now_ms:
                continue
            # Times that a late worker has missed are passed over; an interval keeps its rhythm.
            late_ms = 0 if timer.interval_ms is None else (now_ms - due_ms) % timer.interval_ms
            self._due[index] = (timer, next_due_ms(timer, now_ms - late_ms))
            if index not in self._running and (not timer.leader or self._is_leader()):
                with user_context(self._context):
                    call = asyncio.get_running_loop().create_task(self._call(timer), name=timer.name)
                call.add_done_callback(lambda _: self._ended())
                self._running[index] = call
                started += 1
        return started

    def raise_failed(self) -> None:
        """Raise the error of a timer that has ended, if there is one."""
        for index, running in list(self._running.items()):
            if running.done():
                del self._running[index]
                if running.cancelled():
                    raise _failed(self._due[index][0], asyncio.CancelledError())
                running.result()

    async def wait(self) -> None:
        """Wait for the calls under way."""
        if self._running:
            await asyncio.wait(list(self._running.values()))
        self.raise_failed()

    async def close(self) -> None:
        """Cancel the calls under way. A call that does not end within a second is abandoned."""
        running = list(self._running.values())
        self._running.clear()
        for call in running:
            call.cancel()
        if running:
            await asyncio.wait(running, timeout=1)
        for call in running:
            if call.done() and not call.cancelled():
                call.exception()

    async def _call(self, timer: Timer) -> None:
        attempts = 0
        while (error := await _attempt(timer.function)) is not None:
            policy = self._on_error
            attempts += 1
            if isinstance(error, ENDS_WORKER) or isinstance(policy, Stop):
                raise _failed(timer, error) from error
            if not isinstance(policy, Retry):
                self._failures.count_timer(
                    timer.name, "skip" if isinstance(policy, Skip) else "dead_letter", error
                )
                return
            if attempts > policy.times:
                raise _failed(timer, error) from error
            self._failures.count_timer(timer.name, "retry", error)
            if self._wait_ms is not None:
                self._wait_ms(policy.wait_ms(attempts))
            else:
                await asyncio.sleep(policy.wait_ms(attempts) / 1000)


async def call_hook(hook: Hook, context: UserContext) -> None:
    """Call a function that the application declared for the start or the stop.

    Raises:
        UserCodeError: it failed.
    """
    with user_context(context):
        error = await _attempt(hook.function)
    if error is not None:
        raise UserCodeError(
            "a function that is called at start or stop failed; mend its code: "
            + fact_text(function=hook.name, error=f"{type(error).__name__}: {error}")
        ) from error


async def _attempt(function: Callable[[], Any]) -> BaseException | None:
    """Call a function once; return the error that it raised."""
    try:
        result = function()
        if inspect.isawaitable(result):
            await result
    except asyncio.CancelledError as error:
        call = asyncio.current_task()
        if call is not None and call.cancelling():
            raise  # cancelled by the worker, which closes
        return error
    except Exception as error:  # noqa: BLE001 - application code may raise anything
        return error
    except (KeyboardInterrupt, SystemExit, GeneratorExit, BaseExceptionGroup) as error:
        return error
    return None


def _failed(timer: Timer, error: BaseException) -> UserCodeError:
    return UserCodeError(
        "a timer failed; mend its code, or set on_error= of the application: "
        + fact_text(timer=timer.name, error=f"{type(error).__name__}: {error}")
    )
