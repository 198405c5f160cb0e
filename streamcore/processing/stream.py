"""Streams: every record counts. Each operator is a method and a decorator; building runs nothing.

``big = orders.filter(is_big)`` and ``@orders.filter`` over a function ``big`` declare the same step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from streamcore.durations import duration_ms
from streamcore.errors import TopologyError, fact_text
from streamcore.model import Record
from streamcore.processing import aggregations
from streamcore.processing.aggregation_store import aggregation_store
from streamcore.processing.aggregations import Aggregator
from streamcore.processing.declaration import (
    Declaration,
    internal_key_serde,
    item_type,
    legal_name,
    named_after,
    output_key_serde,
    return_type,
    value_serde_for,
)
from streamcore.processing.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import (
    Aggregate,
    Branch,
    Filter,
    FlatMap,
    FlatMapRecord,
    Foreach,
    GroupBy,
    Map,
    MapRecord,
    Merge,
    Node,
    Peek,
    Repartition,
    TableJoin,
    To,
    TopicSpec,
)
from streamcore.processing.windows import TimeWindows
from streamcore.serde import Serde

if TYPE_CHECKING:
    from streamcore.processing.table import GlobalTableView, Table, WindowedTable
    from streamcore.processing.topic import Topic

REPARTITION_CONFIG = {
    "cleanup.policy": "delete",
    "segment.bytes": str(64 << 20),
}
"""The worker deletes what it has processed, in whole segments."""

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")
K2 = TypeVar("K2")
T = TypeVar("T")


class Stream(Generic[K, V]):
    """A declared stream of records with keys ``K`` and values ``V``."""

    def __init__(
        self,
        declaration: Declaration,
        node: Node,
        *,
        key_type: Any,
        value_type: Any,
        value_serde: Serde[Any],
        key_changed: bool = False,
    ) -> None:
        self._declaration = declaration
        self._node = node
        self._key_type = key_type
        self._value_type = value_type
        self._value_serde = value_serde
        self._key_changed = key_changed
        self._repartitioned: Stream[K, V] | None = None

    @property
    def node(self) -> Node:
        """The step that gives this stream."""
        return self._node

    @property
    def name(self) -> str:
        """The name of the step that gives this stream."""
        return self.node.name

    # -- on the value

    @overload
    def map(
        self,
        function: Callable[[V], W],
        *,
        name: str | None = ...,
        on_error: ErrorPolicy | None = ...,
        value: Any = ...,
    ) -> Stream[K, W]: ...
    @overload
    def map(
        self, *, name: str | None = ..., on_error: ErrorPolicy | None = ..., value: Any = ...
    ) -> Callable[[Callable[[V], W]], Stream[K, W]]: ...
    def map(
        self,
        function: Callable[[V], Any] | None = None,
        *,
        name: str | None = None,
        on_error: ErrorPolicy | None = None,
        value: Any = None,
    ) -> Any:
        """Replace each value; the key stays. ``value=`` tells the new type where no annotation does."""

        def declare(function: Callable[[V], Any]) -> Stream[K, Any]:
            node = Map(
                name=self._name(name, function, "map"),
                parents=(self.node,),
                on_error=on_error,
                function=function,
            )
            return self._with_values(node, value or return_type(function))

        return declare if function is None else declare(function)

    @overload
    def flat_map(
        self,
        function: Callable[[V], Iterable[W]],
        *,
        name: str | None = ...,
        on_error: ErrorPolicy | None = ...,
        value: Any = ...,
    ) -> Stream[K, W]: ...
    @overload
    def flat_map(
        self, *, name: str | None = ..., on_error: ErrorPolicy | None = ..., value: Any = ...
    ) -> Callable[[Callable[[V], Iterable[W]]], Stream[K, W]]: ...
    def flat_map(
        self,
        function: Callable[[V], Iterable[Any]] | None = None,
        *,
        name: str | None = None,
        on_error: ErrorPolicy | None = None,
        value: Any = None,
    ) -> Any:
        """Replace each value by any number of values under the same key."""

        def declare(function: Callable[[V], Iterable[Any]]) -> Stream[K, Any]:
            node = FlatMap(
                name=self._name(name, function, "flat_map"),
                parents=(self.node,),
                on_error=on_error,
                function=function,
            )
            return self._with_values(node, value or item_type(return_type(function)))

        return declare if function is None else declare(function)

    @overload
    def filter(
        self, function: Callable[[V], object], *, name: str | None = ..., on_error: ErrorPolicy | None = ...
    ) -> Stream[K, V]: ...
    @overload
    def filter(
        self, *, name: str | None = ..., on_error: ErrorPolicy | None = ...
    ) -> Callable[[Callable[[V], object]], Stream[K, V]]: ...
    def filter(
        self,
        function: Callable[[V], object] | None = None,
        *,
        name: str | None = None,
        on_error: ErrorPolicy | None = None,
    ) -> Any:
        """Keep the values for which the function is true."""
        return self._filter(function, name, on_error, negated=False)

    @overload
    def filter_not(
        self, function: Callable[[V], object], *, name: str | None = ..., on_error: ErrorPolicy | None = ...
    ) -> Stream[K, V]: ...
    @overload
    def filter_not(
        self, *, name: str | None = ..., on_error: ErrorPolicy | None = ...
    ) -> Callable[[Callable[[V], object]], Stream[K, V]]: ...
    def filter_not(
        self,
        function: Callable[[V], object] | None = None,
        *,
        name: str | None = None,
        on_error: ErrorPolicy | None = None,
    ) -> Any:
        """Keep the values for which the function is false."""
        return self._filter(function, name, on_error, negated=True)

    @overload
    def peek(
        self, function: Callable[[V], object], *, name: str | None = ..., on_error: ErrorPolicy | None = ...
    ) -> Stream[K, V]: ...
    @overload
    def peek(
        self, *, name: str | None = ..., on_error: ErrorPolicy | None = ...
    ) -> Callable[[Callable[[V], object]], Stream[K, V]]: ...
    def peek(
        self,
        function: Callable[[V], object] | None = None,
        *,
        name: str | None = None,
        on_error: ErrorPolicy | None = None,
    ) -> Any:
        """Call a function on each value and pass the value on."""

        def declare(function: Callable[[V], object]) -> Stream[K, V]:
            return self._same(
                Peek(
                    name=self._name(name, function, "peek"),
                    parents=(self.node,),
                    on_error=on_error,
                    function=function,
                )
            )

        return declare if function is None else declare(function)

    def foreach(
        self, function: Callable[[V], object], *, name: str | None = None, on_error: ErrorPolicy | None = None
    ) -> None:
        """Call a function on each value: the end of the stream."""
        self._declaration.add(
            Foreach(
                name=self._name(name, function, "foreach"),
                parents=(self.node,),
                on_error=on_error,
                function=function,
            )
        )

    # -- on the record

    def map_record(
        self,
        function: Callable[[Record[K, V]], Record[Any, Any]],
        *,
        name: str | None = None,
        on_error: ErrorPolicy | None = None,
        key: Any = None,
        value: Any = None,
    ) -> Stream[Any, Any]:
        """Replace each record: key, value, time and headers. ``key=`` and ``value=`` tell the new types."""
        node = MapRecord(
            name=self._name(name, function, "map_record"),
            parents=(self.node,),
            on_error=on_error,
            function=function,
        )
        return self._with_records(node, key, value)

    def flat_map_record(
        self,
        function: Callable[[Record[K, V]], Iterable[Record[Any, Any]]],
        *,
        name: str | None = None,
        on_error: ErrorPolicy | None = None,
        key: Any = None,
        value: Any = None,
    ) -> Stream[Any, Any]:
        """Replace each record by any number of records."""
        node = FlatMapRecord(
            name=self._name(name, function, "flat_map_record"),
            parents=(self.node,),
            on_error=on_error,
            function=function,
        )
        return self._with_records(node, key, value)

    @overload
    def group_by(
        self,
        function: Callable[[V], K2 | None],
        *,
        name: str | None = ...,
        on_error: ErrorPolicy | None = ...,
        key: Any = ...,
    ) -> Stream[K2, V]: ...
    @overload
    def group_by(
        self, *, name: str | None = ..., on_error: ErrorPolicy | None = ..., key: Any = ...
    ) -> Callable[[Callable[[V], K2 | None]], Stream[K2, V]]: ...
    def group_by(
        self,
        function: Callable[[V], Any] | None = None,
        *,
        name: str | None = None,
        on_error: ErrorPolicy | None = None,
        key: Any = None,
    ) -> Any:
        """Give each record a new key. A repartition topic comes only where a later step needs it.

        Records whose new key is ``None`` are left out by keyed steps.
        """

        def declare(function: Callable[[V], Any]) -> Stream[Any, V]:
            node = GroupBy(
                name=self._name(name, function, "group_by"),
                parents=(self.node,),
                on_error=on_error,
                function=function,
            )
            return Stream(
                self._declaration,
                self._declaration.add(node),
                key_type=key or return_type(function),
                value_type=self._value_type,
                value_serde=self._value_serde,
                key_changed=True,
            )

        return declare if function is None else declare(function)

    # -- split, unite, write

    def branch(self, **arms: Callable[[V], object]) -> Branches[K, V]:
        """Split: each value goes to the first arm whose function is true, or to ``.rest``."""
        if not arms or "rest" in arms:
            raise TopologyError("name at least one arm, and none of them 'rest': stream.branch(big=is_big)")
        streams: dict[str, Stream[K, V]] = {}
        earlier: tuple[Callable[[V], object], ...] = ()
        base = self.node.name
        for arm, function in [*arms.items(), ("rest", None)]:
            node = Branch(
                name=self._declaration.node_name(None, None, f"{base}.{arm}"),
                parents=(self.node,),
                function=function,
                earlier=earlier,
            )
            streams[arm] = self._same(node)
            if function is not None:
                earlier = (*earlier, function)
        return Branches(streams)

    def merge(self, *others: Stream[K, V], name: str | None = None) -> Stream[K, V]:
        """Unite streams; records that come from one event keep its order, this stream's first."""
        parents = (self.node, *(other.node for other in others))
        node = Merge(name=self._name(name, None, "merge"), parents=parents)
        same_values = all(other._value_type == self._value_type for other in others)
        same_keys = all(other._key_type == self._key_type for other in others)
        return Stream(
            self._declaration,
            self._declaration.add(node),
            key_type=self._key_type if same_keys else None,
            value_type=self._value_type if same_values else None,
            value_serde=self._value_serde if same_values else value_serde_for(None),
            key_changed=self._key_changed or any(other._key_changed for other in others),
        )

    def to(
        self, topic: Topic[Any, Any] | str, *, name: str | None = None, on_error: ErrorPolicy | None = None
    ) -> None:
        """Write to a topic. One given by name alone is written in this stream's own types."""
        spec = self._topic_spec(topic)
        self._declaration.add(
            To(
                name=self._declaration.node_name(name, None, f"{self.node.name}.to.{spec.name}"),
                parents=(self.node,),
                on_error=on_error,
                topic=spec,
            )
        )

    def through(self, topic: Topic[K2, W], *, name: str | None = None) -> Stream[K2, W]:
        """Write to a topic and go on from there."""
        self.to(topic, name=name)
        return topic

    def repartition(self, partitions: int | None = None, *, name: str) -> Stream[K, V]:
        """Go on through an internal topic, with its own number of partitions."""
        return self._through_repartition(legal_name(name, "repartition topic"), partitions)

    # -- keyed

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
        from streamcore.processing.table import Table

        keyed = self.keyed(name)
        store, result_type = aggregation_store(
            name,
            named,
            key_type=self._key_type,
            value_type=self._value_type,
            windows=None,
            into=into,
            single=single,
            kept_type=kept_type,
        )
        node = Aggregate(
            name=self._declaration.node_name(None, None, name), parents=(keyed.node,), store=store
        )
        return Table(self._declaration, self._declaration.add(node), store, self._key_type, result_type)

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
        return WindowedStream(self, windows)

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
        from streamcore.processing.table import GlobalTableView, Table

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

        def declare(function: Callable[..., Any]) -> Stream[K, Any]:
            step = self._name(name, function, "join")
            keyed = self if is_global else self.keyed(step)
            node = TableJoin(
                name=step,
                parents=(keyed.node,),
                on_error=on_error,
                table=table.node,
                store=table.store,
                function=function,
                left=how == "left",
                on=on,
            )
            return keyed._with_values(node, value or return_type(function))

        return declare if function is None else declare(function)

    # -- for the steps above and for tables

    def keyed(self, for_step: str) -> Stream[K, V]:
        """This stream where equal keys meet: itself, or behind a repartition topic if its key was changed."""
        if not self._key_changed:
            return self
        if self._repartitioned is None:
            function = getattr(self.node, "function", None)
            name = self.node.name if named_after(function) else for_step
            self._repartitioned = self._through_repartition(name, None)
        return self._repartitioned

    def _through_repartition(self, name: str, partitions: int | None) -> Stream[K, V]:
        topic = self._declaration.topic(
            TopicSpec(
                name=f"{self._declaration.app_id}-{name}-repartition",
                key_serde=internal_key_serde(self._key_type),
                value_serde=self._value_serde,
                key_type=self._key_type,
                value_type=self._value_type,
                partition_count=partitions,
                internal=True,
                config=REPARTITION_CONFIG,
            )
        )
        node = Repartition(
            name=self._declaration.node_name(None, None, f"{name}.repartition"),
            parents=(self.node,),
            topic=topic,
        )
        return Stream(
            self._declaration,
            self._declaration.add(node),
            key_type=self._key_type,
            value_type=self._value_type,
            value_serde=self._value_serde,
        )

    def _topic_spec(self, topic: Topic[Any, Any] | str) -> TopicSpec:
        if not isinstance(topic, str):
            return topic.spec
        declared = self._declaration.topics.get(topic)
        if declared is not None:
            return declared
        return self._declaration.topic(
            TopicSpec(
                name=topic,
                key_serde=output_key_serde(self._key_type),
                value_serde=self._value_serde,
                key_type=self._key_type,
                value_type=self._value_type,
            )
        )

    def _name(self, wanted: str | None, function: Callable[..., Any] | None, kind: str) -> str:
        return self._declaration.node_name(wanted, function, f"{self.node.name}.{kind}")

    def _filter(
        self,
        function: Callable[[V], object] | None,
        name: str | None,
        on_error: ErrorPolicy | None,
        *,
        negated: bool,
    ) -> Any:
        def declare(function: Callable[[V], object]) -> Stream[K, V]:
            node = Filter(
                name=self._name(name, function, "filter_not" if negated else "filter"),
                parents=(self.node,),
                on_error=on_error,
                function=function,
                negated=negated,
            )
            return self._same(node)

        return declare if function is None else declare(function)

    def _same(self, node: Node) -> Stream[K, V]:
        return Stream(
            self._declaration,
            self._declaration.add(node),
            key_type=self._key_type,
            value_type=self._value_type,
            value_serde=self._value_serde,
            key_changed=self._key_changed,
        )

    def _with_values(self, node: Node, value_type: Any) -> Stream[K, Any]:
        return Stream(
            self._declaration,
            self._declaration.add(node),
            key_type=self._key_type,
            value_type=value_type,
            value_serde=value_serde_for(value_type),
            key_changed=self._key_changed,
        )

    def _with_records(self, node: Node, key_type: Any, value_type: Any) -> Stream[Any, Any]:
        return Stream(
            self._declaration,
            self._declaration.add(node),
            key_type=key_type,
            value_type=value_type,
            value_serde=value_serde_for(value_type),
            key_changed=True,
        )


class Branches(Generic[K, V]):
    """The arms of a split, as attributes; ``rest`` takes what no arm took."""

    def __init__(self, streams: dict[str, Stream[K, V]]) -> None:
        self._streams = streams

    def __getattr__(self, arm: str) -> Stream[K, V]:
        try:
            return self._streams[arm]
        except KeyError:
            raise AttributeError(f"no such arm: {fact_text(arm=arm, arms=','.join(self._streams))}") from None


class WindowedStream(Generic[K, V]):
    """A stream whose next aggregation is by key and window."""

    def __init__(self, stream: Stream[K, V], windows: TimeWindows) -> None:
        self._stream = stream
        self._windows = windows

    def count(self, name: str, *, late: Topic[Any, Any] | str | None = None) -> WindowedTable[K, int]:
        """Count the records of each key and window."""
        return self._aggregate(name, {"count": aggregations.count()}, None, late, single=True)

    def sum(
        self, name: str, of: Callable[[V], Any], *, late: Topic[Any, Any] | str | None = None
    ) -> WindowedTable[K, Any]:
        """Sum ``of`` over the records of each key and window."""
        return self._aggregate(name, {"sum": aggregations.sum(of)}, None, late, single=True)

    def aggregate(
        self,
        name: str,
        *,
        into: Any = None,
        late: Topic[Any, Any] | str | None = None,
        **named: Aggregator,
    ) -> WindowedTable[K, Any]:
        """Fold the values of each key and window; see ``Stream.aggregate``.

        ``late=topic`` receives the records whose windows are closed; they are counted either way.
        """
        return self._aggregate(name, named, into, late, single=False)

    def reduce(
        self, name: str, function: Callable[[V, V], V], *, late: Topic[Any, Any] | str | None = None
    ) -> WindowedTable[K, V]:
        """Fold the values of each key and window with a function of two values."""
        return self._aggregate(name, {"reduce": aggregations.reducer(function)}, None, late, single=True)

    def fold(
        self,
        name: str,
        initial: T | Callable[[], T],
        function: Callable[[T, V], T],
        *,
        value: Any = None,
        late: Topic[Any, Any] | str | None = None,
    ) -> WindowedTable[K, T]:
        """Fold the values of each key and window into an accumulator."""
        stored = value or return_type(function)
        return self._aggregate(
            name, {"fold": aggregations.folder(initial, function)}, None, late, single=True, kept_type=stored
        )

    def _aggregate(
        self,
        name: str,
        named: dict[str, Aggregator],
        into: Any,
        late: Topic[Any, Any] | str | None,
        *,
        single: bool,
        kept_type: Any = None,
    ) -> WindowedTable[K, Any]:
        from streamcore.processing.table import WindowedTable

        stream = self._stream.keyed(name)
        declaration = stream._declaration
        store, result_type = aggregation_store(
            name,
            named,
            key_type=stream._key_type,
            value_type=stream._value_type,
            windows=self._windows,
            into=into,
            single=single,
            kept_type=kept_type,
        )
        node = Aggregate(
            name=declaration.node_name(None, None, name),
            parents=(stream.node,),
            store=store,
            late=None if late is None else stream._topic_spec(late),
        )
        return WindowedTable(declaration, declaration.add(node), store, stream._key_type, result_type)
