"""The steps of a stream that need equal keys together: aggregations, windows, joins.

Where the key was changed before, they go through a repartition topic (``flow.keyed``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args, overload

from streamcore.durations import duration_ms
from streamcore.errors import TopologyError, fact_text
from streamcore.processing.dsl.declaration import return_type
from streamcore.processing.dsl.declared_aggregation import declare_aggregation
from streamcore.processing.dsl.flow import Flow
from streamcore.processing.dsl.table import GlobalTableView, Table
from streamcore.processing.dsl.windowed_stream import WindowedStream
from streamcore.processing.topology import aggregations
from streamcore.processing.topology.aggregations import Aggregator
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import TableJoin
from streamcore.processing.topology.windows import TimeWindows

if TYPE_CHECKING:
    from streamcore.processing.dsl.stream import Stream

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")
T = TypeVar("T")


class KeyedSteps(Generic[K, V]):
    """What can be done with the keys of a stream."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow

    def count(self, name: str) -> Table[K, int]:
        """Count the records of each key, running."""
        return self._aggregate(name, {"count": aggregations.count()}, None, single=True)

    def sum(self, name: str, of: Callable[[V], Any]) -> Table[K, Any]:
        """Sum ``of`` over the records of each key, running."""
        return self._aggregate(name, {"sum": aggregations.sum(of)}, None, single=True)

    def aggregate(self, name: str, *, into: Any = None, **named: Aggregator) -> Table[K, Any]:
        """Fold the values of each key into several aggregations at once.

        The name is the identity of the state: the store, its changelog and its files are called after
        it, so it must stay the same from one release to the next. The table's values have the given
        names as attributes; ``into=SomeClass`` makes them objects of that class.
        """
        return self._aggregate(name, named, into, single=False)

    def reduce(self, name: str, function: Callable[[V, V], V]) -> Table[K, V]:
        """Fold the values of each key with a function of two values; the first is the start."""
        return self._aggregate(name, {"reduce": aggregations.reducer(function)}, None, single=True)

    def fold(
        self, name: str, initial: T | Callable[[], T], function: Callable[[T, V], T], *, value: Any = None
    ) -> Table[K, T]:
        """Fold the values of each key into an accumulator; ``value=`` is its type, if not plain data."""
        stored = value or return_type(function)
        return self._aggregate(
            name, {"fold": aggregations.folder(initial, function)}, None, single=True, kept_type=stored
        )

    def _aggregate(
        self, name: str, named: dict[str, Aggregator], into: Any, *, single: bool, kept_type: Any = None
    ) -> Table[K, Any]:
        return Table(
            *declare_aggregation(self.flow, name, named, into=into, single=single, kept_type=kept_type)
        )

    def tumbling(
        self,
        size: str | timedelta | int,
        *,
        grace: str | timedelta | int = 0,
        retention: str | timedelta | int | None = None,
    ) -> WindowedStream[K, V]:
        """Windows of one size, side by side. See ``hopping`` for ``grace`` and ``retention``."""
        return self.hopping(size, size, grace=grace, retention=retention)

    def hopping(
        self,
        size: str | timedelta | int,
        advance: str | timedelta | int,
        *,
        grace: str | timedelta | int = 0,
        retention: str | timedelta | int | None = None,
    ) -> WindowedStream[K, V]:
        """Windows of one size, one starting every ``advance``.

        ``grace`` is how long after its end a window still takes records; ``retention`` how long after
        its end it can be queried (always, by default).
        """
        windows = TimeWindows(
            duration_ms(size),
            duration_ms(advance),
            duration_ms(grace),
            None if retention is None else duration_ms(retention),
        )
        return WindowedStream(self.flow, windows)

    @overload
    def join(
        self,
        table: Table[K, W] | GlobalTableView[Any, W],
        function: Callable[[V, W], T],
        *,
        how: str = ...,
        on: Callable[[V], Any] | None = ...,
        name: str | None = ...,
        on_error: ErrorPolicy | None = ...,
        value: Any = ...,
    ) -> Stream[K, T]: ...
    @overload
    def join(
        self,
        table: Table[K, W] | GlobalTableView[Any, W],
        *,
        how: str = ...,
        on: Callable[[V], Any] | None = ...,
        name: str | None = ...,
        on_error: ErrorPolicy | None = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V, W], T]], Stream[K, T]]: ...
    def join(
        self,
        table: Any,
        function: Callable[..., Any] | None = None,
        *,
        how: str = "inner",
        on: Callable[[V], Any] | None = None,
        name: str | None = None,
        on_error: ErrorPolicy | None = None,
        value: Any = None,
    ) -> Any:
        """Join each value with a table's value of the same key.

        ``how="left"`` also gives records without a match, with ``None`` for the table's value. A global
        table may be looked up by another key, ``on=``.
        """
        from streamcore.processing.dsl import stream

        if how not in ("inner", "left"):
            raise TopologyError(
                f"a stream joins a table with how='inner' or 'left': {fact_text(how=repr(how))}"
            )
        if not isinstance(table, Table | GlobalTableView):
            raise TopologyError(
                f"streams join tables, topic.table(name) or topic.global_table(name), in this release: "
                f"{fact_text(given=type(table).__name__)}"
            )
        is_global = isinstance(table, GlobalTableView)
        if on is not None and not is_global:
            raise TopologyError("only a global table is joined on=; use group_by for the others")

        if isinstance(table, Table):
            _refuse_other_keys(self.flow, table)

        def declare(function: Callable[..., Any]) -> Stream[K, Any]:
            step = self.flow.step_name(name, function, "join")
            flow = self.flow if is_global else self.flow.keyed(step, beside=table.store.source_topic)
            node = TableJoin(
                name=step,
                parents=(flow.node,),
                on_error=on_error,
                table=table.node,
                store=table.store,
                function=function,
                left=how == "left",
                on=on,
            )
            return stream.Stream(flow.then(node, flow.shape.with_values(value or return_type(function))))

        return declare if function is None else declare(function)


def _refuse_other_keys(flow: Flow, table: Table[Any, Any]) -> None:
    """Refuse a join of keys that cannot be equal, where both types are known."""
    ours, theirs = flow.shape.key_type, table.flow.shape.key_type
    if ours is not None and theirs is not None and ours != theirs:
        raise TopologyError(
            "the stream and the table have keys of different types; change the stream's with group_by: "
            + fact_text(
                stream=flow.node.name,
                stream_keys=_type_name(ours),
                table=table.name,
                table_keys=_type_name(theirs),
            )
        )


def _type_name(found: Any) -> str:
    return str(found) if get_args(found) else getattr(found, "__name__", str(found))
