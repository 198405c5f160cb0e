"""A stream cut into windows: its next step is an aggregation by key and window."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar, overload

from streamcore.errors import TopologyError, UsageError, fact_text
from streamcore.processing.dsl.checks import Duration, check_function, declared_ms
from streamcore.processing.dsl.declaration import return_type
from streamcore.processing.dsl.declared_aggregation import declare_aggregation, named_aggregations
from streamcore.processing.dsl.flow import Destination, Flow
from streamcore.processing.dsl.table import WindowedTable
from streamcore.processing.topology import aggregations
from streamcore.processing.topology.aggregator import Aggregator
from streamcore.processing.topology.code_locations import declares, shown
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.windows import (
    AnyWindows,
    CalendarWindows,
    SessionWindows,
    SlidingWindows,
    TimeWindows,
)
from streamcore.state.calendar import Calendar, CalendarUnit

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

WINDOWS_OF_A_RECORD_MAX: Final = 100_000
"""Each record is written to all windows that hold its time."""


def declared_windows(
    size: Duration, advance: Duration, grace: Duration, retention: Duration | None, **place: Any
) -> TimeWindows:
    """Return the windows that a user declared; ``place`` names the stream or the table.

    Raises:
        TopologyError: a duration is invalid, or there are gaps between the windows.
    """
    size_ms = declared_ms(size, "a window's size", **place)
    advance_ms = declared_ms(advance, "a window's advance", **place)
    grace_ms = declared_ms(grace, "grace", least_ms=0, **place)
    kept_ms = None if retention is None else declared_ms(retention, "retention", least_ms=0, **place)
    if advance_ms > size_ms:
        raise TopologyError(
            "windows advance by at most their size, or events would fall between them: "
            + fact_text(**place, size=shown(size), advance=shown(advance))
        )
    if size_ms > advance_ms * WINDOWS_OF_A_RECORD_MAX:
        raise TopologyError(
            f"each record would fall in more than {WINDOWS_OF_A_RECORD_MAX:,} windows; advance by more: "
            + fact_text(**place, size=shown(size), advance=shown(advance))
        )
    return TimeWindows(size_ms, advance_ms, grace_ms, kept_ms)


def declared_calendar(
    unit: CalendarUnit, tz: str, grace: Duration, retention: Duration | None, **place: Any
) -> CalendarWindows:
    """Return the calendar windows that a user declared.

    Raises:
        TopologyError: the unit or the time zone is unknown, or a duration is invalid.
    """
    grace_ms = declared_ms(grace, "grace", least_ms=0, **place)
    kept_ms = None if retention is None else declared_ms(retention, "retention", least_ms=0, **place)
    try:
        return CalendarWindows(Calendar(unit, tz), grace_ms, kept_ms)
    except UsageError as error:
        raise TopologyError(f"{error} {fact_text(**place)}") from None


def declared_sessions(
    gap: Duration, grace: Duration, retention: Duration | None, **place: Any
) -> SessionWindows:
    """Return the sessions that a user declared.

    Raises:
        TopologyError: a duration is invalid.
    """
    gap_ms = declared_ms(gap, "a session's gap", **place)
    grace_ms = declared_ms(grace, "grace", least_ms=0, **place)
    kept_ms = None if retention is None else declared_ms(retention, "retention", least_ms=0, **place)
    return SessionWindows(gap_ms, grace_ms, kept_ms)


def declared_sliding(
    size: Duration, grace: Duration, retention: Duration | None, **place: Any
) -> SlidingWindows:
    """Return the sliding windows that a user declared.

    Raises:
        TopologyError: a duration is invalid.
    """
    size_ms = declared_ms(size, "a window's size", **place)
    grace_ms = declared_ms(grace, "grace", least_ms=0, **place)
    kept_ms = None if retention is None else declared_ms(retention, "retention", least_ms=0, **place)
    return SlidingWindows(size_ms, grace_ms, kept_ms)


class WindowedStream(Generic[K, V]):
    """A stream whose next aggregation is by key and window.

    In every aggregation ``late=topic`` receives the records whose windows are closed; they are counted
    in any case. Arguments that an aggregation cannot take raise ``TopologyError``.
    """

    def __init__(self, flow: Flow, windows: AnyWindows) -> None:
        self._flow = flow
        self._windows = windows

    def __repr__(self) -> str:
        windows = self._windows
        return (
            f"<WindowedStream of {self._flow.name!r} {self._flow.shape} windows={windows.text!r} "
            f"grace_ms={windows.grace_ms}>"
        )

    @declares
    def count(
        self,
        name: str,
        *,
        late: Destination[K | None, V | None] | str | None = None,
        on_error: ErrorPolicy | None = None,
    ) -> WindowedTable[K, int]:
        """Count the records of each key and window."""
        return self._aggregate(name, {"count": aggregations.count()}, late, on_error)

    @declares
    def sum(
        self,
        name: str,
        of: Callable[[V], T | None],
        *,
        value: type[T] | None = None,
        late: Destination[K | None, V | None] | str | None = None,
        on_error: ErrorPolicy | None = None,
    ) -> WindowedTable[K, T]:
        """Sum ``of`` over the records of each key and window."""
        return self._aggregate(name, {"sum": aggregations.sum(of, value=value)}, late, on_error)

    @overload
    def aggregate(
        self,
        name: str,
        /,
        *,
        into: type[T],
        late: Destination[K | None, V | None] | str | None = ...,
        on_error: ErrorPolicy | None = ...,
        **named: Aggregator[V, object],
    ) -> WindowedTable[K, T]: ...
    @overload
    def aggregate(
        self,
        name: str,
        /,
        *,
        into: None = ...,
        late: Destination[K | None, V | None] | str | None = ...,
        on_error: ErrorPolicy | None = ...,
        **named: Aggregator[V, object],
    ) -> WindowedTable[K, Any]: ...
    @declares
    def aggregate(
        self,
        name: Any = ...,
        /,
        *,
        into: Any = None,
        late: Destination[K | None, V | None] | str | None = None,
        on_error: ErrorPolicy | None = None,
        **named: Aggregator[V, object],
    ) -> WindowedTable[K, Any]:
        """Fold the values of each key and window; see ``Stream.aggregate``."""
        name, named = named_aggregations(name, named, into=into, on_error=on_error, late=late)
        return self._aggregate(name, named, late, on_error, into=into, single=False)

    @declares
    def reduce(
        self,
        name: str,
        function: Callable[[V, V], V],
        *,
        value: Any = None,
        late: Destination[K | None, V | None] | str | None = None,
        on_error: ErrorPolicy | None = None,
    ) -> WindowedTable[K, V]:
        """Fold the values of each key and window with a function of two values."""
        check_function(function, step=shown(name), takes=("first", "second"))
        return self._aggregate(
            name, {"reduce": aggregations.reducer(function)}, late, on_error, kept_type=value
        )

    @declares
    def fold(
        self,
        name: str,
        initial: T | Callable[[], T],
        function: Callable[[T, V], T],
        *,
        value: Any = None,
        late: Destination[K | None, V | None] | str | None = None,
        on_error: ErrorPolicy | None = None,
    ) -> WindowedTable[K, T]:
        """Fold the values of each key and window into an accumulator."""
        check_function(function, step=shown(name), takes=("accumulator", "value"))
        named = {"fold": aggregations.folder(initial, function)}
        return self._aggregate(
            name, named, late, on_error, kept_type=return_type(function) if value is None else value
        )

    def cogrouped(
        self,
        name: str,
        aggregator: Aggregator[Any, Any],
        kept_type: Any,
        late: TopicSpec | None,
        on_error: ErrorPolicy | None,
    ) -> WindowedTable[K, Any]:
        """Declare the aggregation of a cogroup, whose values are pairs of a mark and a value."""
        named = {"cogroup": aggregator}
        return self._aggregate(name, named, late, on_error, kept_type=kept_type, late_value=itemgetter(1))

    def _aggregate(
        self,
        name: str,
        named: dict[str, Aggregator[Any, Any]],
        late: Destination[Any, Any] | TopicSpec | str | None,
        on_error: ErrorPolicy | None,
        *,
        late_value: Callable[[Any], Any] | None = None,
        into: Any = None,
        single: bool = True,
        kept_type: Any = None,
    ) -> WindowedTable[K, Any]:
        return WindowedTable(
            *declare_aggregation(
                self._flow,
                name,
                named,
                into=into,
                single=single,
                kept_type=kept_type,
                windows=self._windows,
                merges=isinstance(self._windows, SessionWindows),
                late=late,
                late_value=late_value,
                on_error=on_error,
            )
        )
