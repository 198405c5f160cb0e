"""Checks of the arguments of declarations: functions, policies, names, numbers, durations.

Each check raises ``TopologyError`` with the step and what to write instead; ``topology.code_locations``
adds the user's file and line.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, get_args

from streamcore.durations import duration_ms
from streamcore.errors import TopologyError, UsageError, fact_text
from streamcore.processing.topology.code_locations import shown
from streamcore.processing.topology.error_policy import (
    DeadLetter,
    ErrorPolicy,
    Retry,
    Skip,
    Stop,
    dead_letter,
    retry,
)

PARTITION_COUNT_MAX: Final = 10_000
CONCURRENCY_MAX: Final = 10_000
DURATION_MS_MAX: Final = 1_000 * 366 * 86_400_000
"""A thousand years: sums of declared durations and times stay far below 2**63."""

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def type_name(found: Any) -> str:
    """Return a declared type as errors and reprs show it; ``Any`` where none is declared."""
    if found is None:
        return "Any"
    return str(found) if get_args(found) else getattr(found, "__name__", str(found))


# -- names


def legal_name(name: Any, what: str, *, length_max: int = 200) -> str:
    """Return the name, if it can be part of names of topics and files.

    Raises:
        TopologyError: the name is empty or too long, or has characters other than letters, digits, dot, dash
            and underscore.
    """
    legal = isinstance(name, str) and _NAME.fullmatch(name) and name not in (".", "..")
    if not legal or len(name) > length_max:
        raise TopologyError(
            f"name the {what} with letters, digits, '.', '_' and '-', at most {length_max}: "
            + fact_text(name=shown(name))
        )
    return str(name)


# -- functions


def check_function(
    function: Any, *, step: str, takes: Sequence[str] = ("value",), may_yield: bool = False
) -> None:
    """Refuse an object that cannot be called once for each record, with the arguments ``takes``.

    Args:
        may_yield: whether a generator function is allowed.

    Raises:
        TopologyError: the object is not callable, is a coroutine or generator function, or takes other
            arguments.
    """
    if not callable(function):
        wanted = f"of ({', '.join(takes)})" if takes else "without parameters, such as 'lambda: 0'"
        raise TopologyError(f"give a function {wanted}: {fact_text(step=step, given=shown(function))}")
    body = called_function(function)
    if inspect.iscoroutinefunction(body) or inspect.isasyncgenfunction(body):
        raise TopologyError(
            "the function of this step is called, not awaited: write 'def' instead of 'async def', or await "
            f"in an agent, @app.agent(stream): {fact_text(step=step, function=shown(function))}"
        )
    if not may_yield and inspect.isgeneratorfunction(body):
        raise TopologyError(
            "the function of this step returns its result and has no 'yield'; for several values of one use "
            f"flat_map: {fact_text(step=step, function=shown(function))}"
        )
    check_parameters(function, step=step, takes=takes)


def check_parameters(function: Any, *, step: str, takes: Sequence[str]) -> None:
    """Refuse a function that cannot be called with these arguments, as far as its signature shows.

    Raises:
        TopologyError: its parameters do not fit.
    """
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (ValueError, TypeError):  # many functions written in C have no signature
        return
    try:
        signature.bind(*takes)
    except TypeError:
        raise TopologyError(
            f"the function is called with ({', '.join(takes)}): "
            + fact_text(step=step, function=shown(function), parameters=signature)
        ) from None


def called_function(function: Any) -> Any:
    """Return the function that a call of an object runs: that of a partial, or ``__call__`` of an object."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, type) or inspect.isroutine(function):
        return function
    return getattr(type(function), "__call__", function)  # noqa: B004 - it is looked at, not called


def check_agent_function(function: Any, agent: str) -> None:
    """Refuse an object that is not a coroutine function of one argument, the events.

    Raises:
        TopologyError: it is something else.
    """
    if not callable(function) or not inspect.iscoroutinefunction(called_function(function)):
        raise TopologyError(
            "an agent is 'async def' with 'async for event in events', without 'yield': "
            + fact_text(agent=agent, given=shown(function))
        )
    check_parameters(function, step=agent, takes=("events",))


def check_sink_function(function: Any, *, step: str) -> None:
    """Refuse an object that cannot be called with a list, ``def`` or ``async def``.

    Raises:
        TopologyError: it is something else.
    """
    check_called(function, step=step)
    check_parameters(function, step=step, takes=("values",))


def check_called(function: Any, **place: object) -> None:
    """Refuse an object that a call does not run to its end: not a function, or a generator function.

    Raises:
        TopologyError: the object is neither a function nor a coroutine function.
    """
    body = called_function(function)
    if not callable(function) or inspect.isgeneratorfunction(body) or inspect.isasyncgenfunction(body):
        raise TopologyError(
            "give a function, 'def' or 'async def', without 'yield': "
            + fact_text(**place, given=shown(function))
        )


# -- policies, numbers, durations


def check_policy(policy: Any, **place: object) -> None:
    """Refuse an ``on_error`` that is not an error policy; ``None`` means the policy of the application.

    Raises:
        TopologyError: it is something else; the message says what to write.
    """
    if policy is None or isinstance(policy, Stop | Skip | Retry | DeadLetter):
        return
    written = "sc.stop, sc.skip, sc.retry(times=3) or sc.dead_letter('topic')"
    if policy is retry or policy is Retry:
        written = "sc.retry(times=3), with its arguments"
    elif policy is dead_letter or policy is DeadLetter:
        written = "sc.dead_letter('topic'), with the name of a topic"
    elif policy in ("stop", "skip") if isinstance(policy, str) else policy in (Stop, Skip):
        written = f"sc.{policy if isinstance(policy, str) else policy.__name__.lower()}"
    raise TopologyError(f"on_error is {written}: {fact_text(**place, on_error=shown(policy))}")


def app_policy(policy: Any, **place: object) -> ErrorPolicy:
    """Return the policy of an application, which has no policy above it.

    Raises:
        TopologyError: it is not an error policy.
    """
    if policy is None:
        raise TopologyError(f"an application has an error policy: {fact_text(**place, on_error=None)}")
    check_policy(policy, **place)
    return policy  # type: ignore[no-any-return]


def check_count(value: Any, what: str, count_max: int, **place: object) -> int:
    """Return a count that is an integer of at least 1.

    Raises:
        TopologyError: the value is not an integer, or is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= count_max:
        raise TopologyError(
            f"{what} is an integer from 1 to {count_max:,}: {fact_text(**place, given=shown(value))}"
        )
    return value


def check_flag(value: Any, what: str, **place: object) -> None:
    """Refuse a switch that is neither true nor false.

    Raises:
        TopologyError: the value is not a bool.
    """
    if not isinstance(value, bool):
        raise TopologyError(f"{what} is True or False: {fact_text(**place, given=shown(value))}")


def declared_ms(value: Any, what: str, *, least_ms: int = 1, **place: object) -> int:
    """Return a declared duration in milliseconds.

    Raises:
        TopologyError: the value is not a duration, is shorter than ``least_ms``, or longer than a thousand
        years.
    """
    try:
        found = duration_ms(value)
    except UsageError as error:
        raise TopologyError(f"{what}: {error}") from None
    except OverflowError:
        found = DURATION_MS_MAX + 1
    if not least_ms <= found <= DURATION_MS_MAX:
        limit = f"at least {least_ms} ms" if found < least_ms else "at most 1,000 years"
        raise TopologyError(f"{what} is {limit}: {fact_text(**place, given=shown(value))}")
    return found


Duration = str | timedelta | int


def check_config(config: Any, **place: object) -> dict[str, str]:
    """Return the settings of a topic.

    Raises:
        TopologyError: the settings are not a mapping of text to text.
    """
    if config is None:
        return {}
    if not isinstance(config, Mapping):
        raise TopologyError(
            f"config= maps settings to text, such as {{'retention.ms': '-1'}}: "
            f"{fact_text(**place, given=shown(config))}"
        )
    for name, value in config.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TopologyError(
                f"settings and their values are text, such as {{'retention.ms': '-1'}}: "
                f"{fact_text(**place, setting=shown(name), given=shown(value))}"
            )
    return dict(config)
