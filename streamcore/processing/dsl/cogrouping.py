"""Several streams into one table: each stream has a function that adds its values to one accumulator.

::

    sc.cogroup(orders.by(add_order), refunds.by(add_refund)).aggregate("accounts", initial=Account)

It is declared as steps that exist: behind the repartition topic that a stream needs, each value is marked
with the number of its stream, the marked streams are merged, and the aggregation calls the function of the
mark. A mark is never written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, Generic, TypeVar

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.dsl.aggregating import Contribution
from streamcore.processing.dsl.checks import Duration, check_policy, legal_name
from streamcore.processing.dsl.copartitioning import brought_together
from streamcore.processing.dsl.declaration import return_type
from streamcore.processing.dsl.declared_aggregation import declare_aggregation
from streamcore.processing.dsl.flow import Destination, Flow, late_topic
from streamcore.processing.dsl.stream import Stream
from streamcore.processing.dsl.table import Table, WindowedTable
from streamcore.processing.dsl.windowed_stream import WindowedStream
from streamcore.processing.topology.aggregator import Aggregator, CopyOf
from streamcore.processing.topology.code_locations import declares, shown
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import Map, Merge
from streamcore.state.calendar import CalendarUnit

K = TypeVar("K")
A = TypeVar("A")

Cut = Callable[["Stream[Any, Any]"], WindowedStream[Any, Any]]


@declares
def cogroup(*contributions: Contribution[K, A]) -> Cogroup[K, A]:
    """Unite streams that add to one accumulator for each key: ``sc.cogroup(a.by(add_a), b.by(add_b))``.

    Raises:
        TopologyError: an argument is not ``stream.by(add)``, or the streams have keys of several types, or
            belong to several applications.
    """
    if not contributions:
        raise TopologyError("name the streams, sc.cogroup(a.by(add_a), b.by(add_b))")
    for number, contribution in enumerate(contributions):
        if not isinstance(contribution, Contribution):
            raise TopologyError(
                "each stream says how it adds, sc.cogroup(a.by(add_a), b.by(add_b)): "
                + fact_text(argument=number, given=shown(contribution))
            )
    first = contributions[0].flow
    for contribution in contributions[1:]:
        flow = contribution.flow
        first.ensure_same_app(flow.declaration, step="cogroup", stream=flow.name)
        mine, other = first.shape.key_type, flow.shape.key_type
        if mine != other:
            raise TopologyError(
                "streams of a cogroup have keys of one type; give the others a key by group_by: "
                + fact_text(stream=first.name, key=shown(mine), other=flow.name, other_key=shown(other))
            )
    return Cogroup(contributions)


class _United(Generic[K, A]):
    """Streams that add to one accumulator."""

    def __init__(self, contributions: Sequence[Contribution[K, A]]) -> None:
        self._contributions = contributions

    def __repr__(self) -> str:
        names = ", ".join(repr(contribution.flow.name) for contribution in self._contributions)
        return f"<{type(self).__name__} of {names}>"

    def _united(
        self,
        name: str,
        initial: Any,
        merge: Callable[[Any, Any], Any] | None,
        value: Any,
        on_error: ErrorPolicy | None,
    ) -> tuple[Flow, Aggregator[Any, Any], Any]:
        """Return the flow of the marked values of all streams, their aggregation, and its declared type."""
        legal_name(name, "table")
        check_policy(on_error, step=name)
        adds = [contribution.add for contribution in self._contributions]
        flows = [
            _marked(flow, name, number)
            for number, flow in enumerate(
                brought_together([contribution.flow for contribution in self._contributions], name)
            )
        ]
        first = flows[0]
        node = Merge(
            name=first.declaration.node_name(None, None, f"{name}.merge"),
            parents=tuple(flow.node for flow in flows),
        )
        kept = value if value is not None else return_type(adds[0])
        return first.then(node), _adding(adds, initial, merge), kept


class Cogroup(_United[K, A]):
    """Streams that add to one accumulator for each key."""

    @declares
    def aggregate(
        self,
        name: str,
        *,
        initial: A | Callable[[], A],
        value: Any = None,
        on_error: ErrorPolicy | None = None,
    ) -> Table[K, A]:
        """Fold the values of all streams into the table ``name``.

        Args:
            initial: the accumulator of a key without values, or a function that makes one.
            value: the type of the accumulator, if it is not plain data and the functions have no annotation.

        Raises:
            TopologyError: the name is taken, or an argument is invalid.
        """
        flow, aggregator, kept = self._united(name, initial, None, value, on_error)
        named = {"cogroup": aggregator}
        return Table(
            *declare_aggregation(flow, name, named, into=None, single=True, kept_type=kept, on_error=on_error)
        )

    @declares
    def tumbling(
        self, size: Duration, *, grace: Duration = 0, retention: Duration | None = None
    ) -> WindowedCogroup[K, A]:
        """Cut the streams into windows; see ``Stream.tumbling``."""
        return self._cut(lambda stream: stream.tumbling(size, grace=grace, retention=retention))

    @declares
    def hopping(
        self, size: Duration, advance: Duration, *, grace: Duration = 0, retention: Duration | None = None
    ) -> WindowedCogroup[K, A]:
        """Cut the streams into windows; see ``Stream.hopping``."""
        return self._cut(lambda stream: stream.hopping(size, advance, grace=grace, retention=retention))

    @declares
    def sliding(
        self, size: Duration, *, grace: Duration = 0, retention: Duration | None = None
    ) -> WindowedCogroup[K, A]:
        """Cut the streams into sliding windows; see ``Stream.sliding``."""
        return self._cut(lambda stream: stream.sliding(size, grace=grace, retention=retention))

    @declares
    def session(
        self, gap: Duration, *, grace: Duration = 0, retention: Duration | None = None
    ) -> WindowedCogroup[K, A]:
        """Cut the streams into sessions; see ``Stream.session``. The aggregation needs ``merge=``."""
        return self._cut(lambda stream: stream.session(gap, grace=grace, retention=retention))

    @declares
    def calendar(
        self,
        unit: CalendarUnit,
        *,
        tz: str = "UTC",
        grace: Duration = 0,
        retention: Duration | None = None,
    ) -> WindowedCogroup[K, A]:
        """Cut the streams into days, weeks or months; see ``Stream.calendar``."""
        return self._cut(lambda stream: stream.calendar(unit, tz=tz, grace=grace, retention=retention))

    def _cut(self, cut: Cut) -> WindowedCogroup[K, A]:
        cut(Stream(self._contributions[0].flow))  # durations are checked here, by the line of this call
        return WindowedCogroup(self._contributions, cut)


class WindowedCogroup(_United[K, A]):
    """Streams that add to one accumulator for each key and window."""

    def __init__(self, contributions: Sequence[Contribution[K, A]], cut: Cut) -> None:
        super().__init__(contributions)
        self._windows = cut

    @declares
    def aggregate(
        self,
        name: str,
        *,
        initial: A | Callable[[], A],
        merge: Callable[[A, A], A] | None = None,
        value: Any = None,
        late: Destination[K | None, Any] | str | None = None,
        on_error: ErrorPolicy | None = None,
    ) -> WindowedTable[K, A]:
        """Fold the values of all streams into the windowed table ``name``.

        Args:
            initial: the accumulator of a window without values, or a function that makes one.
            merge: ``merge(earlier, later)`` unites the accumulators of two sessions.
            value: the type of the accumulator, if it is not plain data and the functions have no annotation.
            late: the topic that receives the records of all streams whose windows are closed; they are
                counted in any case. Where the streams have values of several types, it is a declared topic.

        Raises:
            TopologyError: the name is taken, an argument is invalid, or sessions have no ``merge``.
        """
        flow, aggregator, kept = self._united(name, initial, merge, value, on_error)
        flows = [contribution.flow for contribution in self._contributions]
        topic = None if late is None else late_topic(flows, late, step=name)
        return self._windows(Stream(flow)).cogrouped(name, aggregator, kept, topic, on_error)


def _marked(flow: Flow, name: str, number: int) -> Flow:
    node = Map(
        name=flow.declaration.node_name(None, None, f"{name}.{number}"),
        parents=(flow.node,),
        function=partial(_mark, number),
    )
    return flow.then(node, flow.shape.with_values(None))


def _mark(number: int, value: Any) -> tuple[int, Any] | None:
    return None if value is None else (number, value)


def _adding(
    adds: Sequence[Callable[[Any, Any], Any]], initial: Any, merge: Callable[[Any, Any], Any] | None
) -> Aggregator[Any, Any]:
    """Return the aggregation of marked values."""

    def add(accumulator: Any, marked: tuple[int, Any]) -> Any:
        number, value = marked
        return adds[number](accumulator, value)

    return Aggregator(
        kind="cogroup",
        # A copy for each key: a function that changes its accumulator in place must not reach the others.
        initial=initial if callable(initial) else CopyOf(initial),
        add=add,
        add_many=lambda accumulator, values: reduce(add, values, accumulator),
        merge=merge,
        counts_none=True,
    )
