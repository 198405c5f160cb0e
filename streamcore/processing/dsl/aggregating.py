"""The aggregations and windows of a stream: steps that need all records of a key in one partition.

Where an earlier step changed the key, such a step reads from a repartition topic (``flow.keyed``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from streamcore.processing.dsl.checks import Duration, check_function
from streamcore.processing.dsl.declaration import return_type
from streamcore.processing.dsl.declared_aggregation import declare_aggregation, named_aggregations
from streamcore.processing.dsl.flow import Flow
from streamcore.processing.dsl.steps import Policy, Steps
from streamcore.processing.dsl.table import Table
from streamcore.processing.dsl.windowed_stream import (
    WindowedStream,
    declared_calendar,
    declared_sessions,
    declared_sliding,
    declared_windows,
)
from streamcore.processing.topology import aggregations
from streamcore.processing.topology.aggregator import Aggregator
from streamcore.processing.topology.code_locations import declares, shown
from streamcore.state.calendar import CalendarUnit

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class Contribution(Generic[K, T_co]):
    """A stream, and the function that adds its values to an accumulator: what ``stream.by`` returns."""

    flow: Flow
    add: Callable[[Any, Any], T_co]


class Aggregating(Steps[K, V], Generic[K, V]):
    """The aggregations and windows of a stream, by its keys.

    Arguments that an aggregation cannot take raise ``TopologyError``.
    """

    @declares
    def count(self, name: str, *, on_error: Policy = None) -> Table[K, int]:
        """Count the records of each key, running."""
        return self._aggregate(name, {"count": aggregations.count()}, on_error)

    @declares
    def sum(
        self, name: str, of: Callable[[V], T | None], *, value: type[T] | None = None, on_error: Policy = None
    ) -> Table[K, T]:
        """Sum ``of`` over the records of each key, running."""
        return self._aggregate(name, {"sum": aggregations.sum(of, value=value)}, on_error)

    @overload
    def aggregate(
        self, name: str, /, *, into: type[T], on_error: Policy = ..., **named: Aggregator[V, object]
    ) -> Table[K, T]: ...
    @overload
    def aggregate(
        self, name: str, /, *, into: None = ..., on_error: Policy = ..., **named: Aggregator[V, object]
    ) -> Table[K, Any]: ...
    @declares
    def aggregate(
        self, name: Any = ..., /, *, into: Any = None, on_error: Policy = None, **named: Aggregator[V, object]
    ) -> Table[K, Any]:
        """Fold the values of each key into several aggregations at once.

        The name is the identity of the state: the store, its changelog and its files have this name, so it
        must stay the same from one release to the next. The table's values have the given names as
        attributes; ``into=SomeClass`` makes them objects of that class.
        """
        name, named = named_aggregations(name, named, into=into, on_error=on_error)
        return self._aggregate(name, named, on_error, into=into, single=False)

    @declares
    def reduce(
        self, name: str, function: Callable[[V, V], V], *, value: Any = None, on_error: Policy = None
    ) -> Table[K, V]:
        """Fold the values of each key with a function of two values; the first is the start.

        ``value=`` is their type, where the stream does not know it.
        """
        check_function(function, step=shown(name), takes=("first", "second"))
        return self._aggregate(name, {"reduce": aggregations.reducer(function)}, on_error, kept_type=value)

    @declares
    def fold(
        self,
        name: str,
        initial: T | Callable[[], T],
        function: Callable[[T, V], T],
        *,
        value: Any = None,
        on_error: Policy = None,
    ) -> Table[K, T]:
        """Fold the values of each key into an accumulator; ``value=`` is its type, if not plain data."""
        check_function(function, step=shown(name), takes=("accumulator", "value"))
        named = {"fold": aggregations.folder(initial, function)}
        return self._aggregate(
            name, named, on_error, kept_type=return_type(function) if value is None else value
        )

    @declares
    def by(self, add: Callable[[Any, V], T]) -> Contribution[K, T]:
        """Say how the values of this stream are added to the accumulator of ``sc.cogroup``.

        ``add(accumulator, value)`` returns the next accumulator.
        """
        check_function(add, step=f"{self.name}.by", takes=("accumulator", "value"))
        return Contribution(self.flow, add)

    @declares
    def tumbling(
        self, size: Duration, *, grace: Duration = 0, retention: Duration | None = None
    ) -> WindowedStream[K, V]:
        """Cut the stream into windows of one size, side by side. See ``hopping`` for ``grace`` and
        ``retention``.
        """
        return self.hopping(size, size, grace=grace, retention=retention)

    @declares
    def hopping(
        self, size: Duration, advance: Duration, *, grace: Duration = 0, retention: Duration | None = None
    ) -> WindowedStream[K, V]:
        """Cut the stream into windows of one size that start every ``advance``.

        ``grace`` is how long after its end a window still accepts records; ``retention`` how long after
        its end it can be queried (always, by default).
        """
        return WindowedStream(
            self.flow, declared_windows(size, advance, grace, retention, stream=self.flow.name)
        )

    @declares
    def sliding(
        self, size: Duration, *, grace: Duration = 0, retention: Duration | None = None
    ) -> WindowedStream[K, V]:
        """Cut the stream into windows that slide over the records of each key.

        Records that are at most ``size`` apart are in one window. Each record has a window that ends with it,
        and one that starts 1 ms after it, if that holds records: every set of records within ``size`` that
        the sliding window meets is one result. See ``hopping`` for ``grace`` and ``retention``.
        """
        return WindowedStream(self.flow, declared_sliding(size, grace, retention, stream=self.flow.name))

    @declares
    def session(
        self, gap: Duration, *, grace: Duration = 0, retention: Duration | None = None
    ) -> WindowedStream[K, V]:
        """Cut the stream into sessions: records of a key that are at most ``gap`` apart are in one.

        A session reaches from its first record to the gap after its last. A record that comes out of order
        may unite two sessions. See ``hopping`` for ``grace`` and ``retention``.
        """
        return WindowedStream(self.flow, declared_sessions(gap, grace, retention, stream=self.flow.name))

    @declares
    def calendar(
        self,
        unit: CalendarUnit,
        *,
        tz: str = "UTC",
        grace: Duration = 0,
        retention: Duration | None = None,
    ) -> WindowedStream[K, V]:
        """Cut the stream into the days, weeks or months of a time zone.

        Windows begin at the zone's midnight, weeks on Monday. With summer time a day has 23 or 25 hours.
        ``tz`` is a name of the IANA database, such as ``Europe/Berlin``. See ``hopping`` for ``grace`` and
        ``retention``.
        """
        return WindowedStream(self.flow, declared_calendar(unit, tz, grace, retention, stream=self.flow.name))

    def _aggregate(
        self,
        name: str,
        named: dict[str, Aggregator[Any, Any]],
        on_error: Policy,
        *,
        into: Any = None,
        single: bool = True,
        kept_type: Any = None,
    ) -> Table[K, Any]:
        return Table(
            *declare_aggregation(
                self.flow, name, named, into=into, single=single, kept_type=kept_type, on_error=on_error
            )
        )
