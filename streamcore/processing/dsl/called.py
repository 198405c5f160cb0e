"""Functions of an application that no record calls: timers, cron entries, hooks, commands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.dsl.checks import (
    Duration,
    check_called,
    check_flag,
    check_parameters,
    declared_ms,
    legal_name,
)
from streamcore.processing.dsl.declaration import Declaration, named_after
from streamcore.processing.topology.code_locations import declares, shown
from streamcore.processing.topology.crontab import is_crontab, next_time
from streamcore.processing.topology.timers import Hook, Timer

F = TypeVar("F", bound=Callable[..., Any])


class CalledFunctions:
    """The declarations of functions that the worker or the command line calls."""

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        self.timers: list[Timer] = []
        self.start_hooks: list[Hook] = []
        self.stop_hooks: list[Hook] = []
        self.commands: dict[str, Callable[..., Any]] = {}

    @declares
    def timer(self, interval: Duration, *, name: str | None = None, leader: bool = False) -> Callable[[F], F]:
        """Call a function every ``interval``, on each worker, one call at a time.

        Args:
            interval: the time between calls.
            name: the name of the timer; that of the function by default.
            leader: one of the workers calls the function, the one that runs the application's first task.
                When that task moves, a call of the former worker can still be under way.

        Raises:
            TopologyError: the interval is not a duration of at least 1 ms, or the name is taken.
        """
        if callable(interval):
            raise TopologyError(f"write @app.timer('30s'): {fact_text(given=shown(interval))}")
        interval_ms = declared_ms(interval, "a timer's interval")
        return self._timer_decorator(name, leader=leader, interval_ms=interval_ms)

    @declares
    def crontab(
        self,
        expression: str,
        *,
        timezone: str | tzinfo | None = None,
        name: str | None = None,
        leader: bool = False,
    ) -> Callable[[F], F]:
        """Call a function at the times of a cron expression, on each worker.

        Args:
            expression: minute, hour, day of the month, month, day of the week.
            timezone: the time zone of these times, such as ``"Europe/Berlin"``; UTC by default. A time that
                a change to summer time skips fires at the change; a time that a change back repeats fires
                twice.
            name: the name of the timer; that of the function by default.
            leader: one of the workers calls the function, as with ``timer``.

        Raises:
            TopologyError: the expression is invalid or never matches, the time zone is unknown, or the
                name is taken.
        """
        if callable(expression):
            raise TopologyError(f"write @app.crontab('*/5 * * * *'): {fact_text(given=shown(expression))}")
        if not isinstance(expression, str) or not is_crontab(expression):
            raise TopologyError(
                f"write a cron expression such as '*/5 * * * *': {fact_text(given=shown(expression))}"
            )
        try:
            next_time(expression, datetime(2000, 1, 1, tzinfo=UTC))
        except ValueError as error:
            raise TopologyError(
                f"the time of the cron expression never comes: {fact_text(given=shown(expression))}"
            ) from error
        return self._timer_decorator(name, leader=leader, crontab=expression, timezone=_time_zone(timezone))

    @declares
    def on_start(self, function: F) -> F:
        """Call a function on each worker when its tables are restored, before the first record.

        The function is plain or ``async``, may send to topics, and belongs to no partition, as a timer does.
        The worker waits for its end; an error stops the worker.

        Raises:
            TopologyError: the object is not a function without parameters.
        """
        self.start_hooks.append(self._hook(function, "on_start"))
        return function

    @declares
    def on_stop(self, function: F) -> F:
        """Call a function on each worker that ends, after its last commit, also after an error.

        Functions are called in the reverse order of their declaration. An error is logged, and raised after
        all functions were called.

        Raises:
            TopologyError: the object is not a function without parameters.
        """
        self.stop_hooks.append(self._hook(function, "on_stop"))
        return function

    def _hook(self, function: Any, kind: str) -> Hook:
        check_called(function, hook=kind)
        label = named_after(function) or kind
        check_parameters(function, step=label, takes=())
        return Hook(label, function)

    @declares
    def command(self, name: str | None = None) -> Callable[[F], F]:
        """Make a function a command, ``streamcore app MODULE:APP NAME ...``; its parameters are arguments.

        Raises:
            TopologyError: the name is taken, or the object is not a function that can be called.
        """
        if name is not None and not isinstance(name, str):
            raise TopologyError(
                f"write @app.command(), or @app.command('name'): {fact_text(given=shown(name))}"
            )

        @declares
        def declare(function: F) -> F:
            command = (named_after(function) or "").replace("_", "-") if name is None else name
            legal_name(command, "command")
            if command.startswith("-"):
                raise TopologyError(f"a command's name does not begin with '-': {fact_text(command=command)}")
            check_called(function, command=command)
            if command in self.commands:
                raise TopologyError(f"two commands have one name, rename one: {fact_text(command=command)}")
            self.commands[command] = function
            return function

        return declare

    def _timer_decorator(
        self,
        name: str | None,
        *,
        leader: bool,
        interval_ms: int | None = None,
        crontab: str | None = None,
        timezone: tzinfo | None = None,
    ) -> Callable[[F], F]:
        check_flag(leader, "leader=")

        @declares
        def declare(function: F) -> F:
            label = name or named_after(function) or "timer"
            check_called(function, timer=label)
            check_parameters(function, step=label, takes=())
            timer_name = self.declaration.name("timer", name, label)
            self.timers.append(
                Timer(
                    timer_name,
                    function,
                    interval_ms=interval_ms,
                    crontab=crontab,
                    timezone=timezone,
                    leader=leader,
                )
            )
            return function

        return declare


def _time_zone(given: str | tzinfo | None) -> tzinfo | None:
    if given is None or isinstance(given, tzinfo):
        return given
    try:
        return ZoneInfo(given)
    except (ValueError, TypeError, OSError, LookupError) as error:
        raise TopologyError(
            f"name a time zone such as 'Europe/Berlin': {fact_text(given=shown(given))}"
        ) from error
