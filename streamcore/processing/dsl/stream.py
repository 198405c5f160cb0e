"""Streams: every record counts. Each operator is a method and a decorator; a declaration runs nothing.

``big = orders.filter(is_big)`` and ``@orders.filter`` over a function ``big`` declare the same step.
Aggregations and windows are in ``aggregating``.

Every operator raises ``TopologyError``, with the step and the user's file and line, for invalid arguments:
``async def`` functions (steps call functions and do not await them), objects that are not error policies,
topics and tables of other applications, names that are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, Literal, TypeVar, overload

from streamcore.errors import TopologyError, UsageError, fact_text
from streamcore.model import Record
from streamcore.processing.dsl.aggregating import Aggregating
from streamcore.processing.dsl.checks import (
    PARTITION_COUNT_MAX,
    check_count,
    check_function,
    check_policy,
    legal_name,
)
from streamcore.processing.dsl.declaration import (
    Declaration,
    check_key_type,
    ensure_hashable_keys,
    item_type,
    return_type,
    value_serde_for,
)
from streamcore.processing.dsl.declared_join import check_join, declare_join
from streamcore.processing.dsl.flow import Destination, Shape
from streamcore.processing.dsl.table import GlobalTable, Table
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import (
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
    To,
)
from streamcore.processing.topology.places import add_fact, declares, shown

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")
K2 = TypeVar("K2")
T = TypeVar("T")

Policy = ErrorPolicy | None


class Stream(Aggregating[K, V], Generic[K, V]):
    """A declared stream of records with keys ``K`` and values ``V``."""

    def __repr__(self) -> str:
        return f"<Stream {self.name!r} {self.flow.shape}>"

    @property
    def declaration(self) -> Declaration:
        """The application that the stream belongs to."""
        return self.flow.declaration

    @property
    def node(self) -> Node:
        """The step that emits this stream."""
        return self.flow.node

    @property
    def name(self) -> str:
        """The name of the step that emits this stream."""
        return self.flow.name

    # -- on the value

    @overload
    def map(
        self, function: Callable[[V], W], *, name: str | None = ..., on_error: Policy = ..., value: Any = ...
    ) -> Stream[K, W]: ...
    @overload
    def map(
        self, *, name: str | None = ..., on_error: Policy = ..., value: Any = ...
    ) -> Callable[[Callable[[V], W]], Stream[K, W]]: ...
    @declares
    def map(
        self, function: Any = ..., *, name: str | None = None, on_error: Policy = None, value: Any = None
    ) -> Any:
        """Replace each value; the key stays. ``value=`` is the new type where no annotation says it."""

        def build(function: Any, **step: Any) -> Stream[K, Any]:
            return self._with_values(
                Map(function=function, **step),
                return_type(function) if value is None else value,
                is_annotation=value is None,
            )

        return self._declared("map", build, function, name, on_error)

    @overload
    def flat_map(
        self,
        function: Callable[[V], Iterable[W]],
        *,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Stream[K, W]: ...
    @overload
    def flat_map(
        self, *, name: str | None = ..., on_error: Policy = ..., value: Any = ...
    ) -> Callable[[Callable[[V], Iterable[W]]], Stream[K, W]]: ...
    @declares
    def flat_map(
        self, function: Any = ..., *, name: str | None = None, on_error: Policy = None, value: Any = None
    ) -> Any:
        """Replace each value by any number of values under the same key."""

        def build(function: Any, **step: Any) -> Stream[K, Any]:
            item = item_type(return_type(function)) if value is None else value
            return self._with_values(FlatMap(function=function, **step), item, is_annotation=value is None)

        return self._declared("flat_map", build, function, name, on_error, may_yield=True)

    @overload
    def filter(
        self, function: Callable[[V], object], *, name: str | None = ..., on_error: Policy = ...
    ) -> Stream[K, V]: ...
    @overload
    def filter(
        self, *, name: str | None = ..., on_error: Policy = ...
    ) -> Callable[[Callable[[V], object]], Stream[K, V]]: ...
    @declares
    def filter(self, function: Any = ..., *, name: str | None = None, on_error: Policy = None) -> Any:
        """Keep the values for which the function is true."""

        def build(function: Any, **step: Any) -> Stream[K, V]:
            return Stream(self.flow.then(Filter(function=function, **step)))

        return self._declared("filter", build, function, name, on_error)

    @overload
    def filter_not(
        self, function: Callable[[V], object], *, name: str | None = ..., on_error: Policy = ...
    ) -> Stream[K, V]: ...
    @overload
    def filter_not(
        self, *, name: str | None = ..., on_error: Policy = ...
    ) -> Callable[[Callable[[V], object]], Stream[K, V]]: ...
    @declares
    def filter_not(self, function: Any = ..., *, name: str | None = None, on_error: Policy = None) -> Any:
        """Keep the values for which the function is false."""

        def build(function: Any, **step: Any) -> Stream[K, V]:
            return Stream(self.flow.then(Filter(function=function, negated=True, **step)))

        return self._declared("filter_not", build, function, name, on_error)

    @overload
    def peek(
        self, function: Callable[[V], object], *, name: str | None = ..., on_error: Policy = ...
    ) -> Stream[K, V]: ...
    @overload
    def peek(
        self, *, name: str | None = ..., on_error: Policy = ...
    ) -> Callable[[Callable[[V], object]], Stream[K, V]]: ...
    @declares
    def peek(self, function: Any = ..., *, name: str | None = None, on_error: Policy = None) -> Any:
        """Call a function on each value and pass the value on."""

        def build(function: Any, **step: Any) -> Stream[K, V]:
            return Stream(self.flow.then(Peek(function=function, **step)))

        return self._declared("peek", build, function, name, on_error)

    @overload
    def foreach(
        self, function: Callable[[V], object], *, name: str | None = ..., on_error: Policy = ...
    ) -> None: ...
    @overload
    def foreach(
        self, *, name: str | None = ..., on_error: Policy = ...
    ) -> Callable[[Callable[[V], object]], None]: ...
    @declares
    def foreach(self, function: Any = ..., *, name: str | None = None, on_error: Policy = None) -> Any:
        """Call a function on each value; nothing follows this step."""

        def build(function: Any, **step: Any) -> None:
            self.flow.then(Foreach(function=function, **step))

        return self._declared("foreach", build, function, name, on_error)

    # -- on the record

    @overload
    def map_record(
        self,
        function: Callable[[Record[K, V]], Record[K2, W]],
        *,
        name: str | None = ...,
        on_error: Policy = ...,
        key: Any = ...,
        value: Any = ...,
    ) -> Stream[K2, W]: ...
    @overload
    def map_record(
        self, *, name: str | None = ..., on_error: Policy = ..., key: Any = ..., value: Any = ...
    ) -> Callable[[Callable[[Record[K, V]], Record[K2, W]]], Stream[K2, W]]: ...
    @declares
    def map_record(
        self,
        function: Any = ...,
        *,
        name: str | None = None,
        on_error: Policy = None,
        key: Any = None,
        value: Any = None,
    ) -> Any:
        """Replace each record: key, value, time and headers. ``key=`` and ``value=`` are the new types."""

        def build(function: Any, **step: Any) -> Stream[Any, Any]:
            return self._with_records(MapRecord(function=function, **step), key, value)

        return self._declared("map_record", build, function, name, on_error, takes=("record",))

    @overload
    def flat_map_record(
        self,
        function: Callable[[Record[K, V]], Iterable[Record[K2, W]]],
        *,
        name: str | None = ...,
        on_error: Policy = ...,
        key: Any = ...,
        value: Any = ...,
    ) -> Stream[K2, W]: ...
    @overload
    def flat_map_record(
        self, *, name: str | None = ..., on_error: Policy = ..., key: Any = ..., value: Any = ...
    ) -> Callable[[Callable[[Record[K, V]], Iterable[Record[K2, W]]]], Stream[K2, W]]: ...
    @declares
    def flat_map_record(
        self,
        function: Any = ...,
        *,
        name: str | None = None,
        on_error: Policy = None,
        key: Any = None,
        value: Any = None,
    ) -> Any:
        """Replace each record by any number of records."""

        def build(function: Any, **step: Any) -> Stream[Any, Any]:
            return self._with_records(FlatMapRecord(function=function, **step), key, value)

        return self._declared(
            "flat_map_record", build, function, name, on_error, takes=("record",), may_yield=True
        )

    @overload
    def group_by(
        self,
        function: Callable[[V], K2 | None],
        *,
        name: str | None = ...,
        on_error: Policy = ...,
        key: Any = ...,
    ) -> Stream[K2, V]: ...
    @overload
    def group_by(
        self, *, name: str | None = ..., on_error: Policy = ..., key: Any = ...
    ) -> Callable[[Callable[[V], K2 | None]], Stream[K2, V]]: ...
    @declares
    def group_by(
        self, function: Any = ..., *, name: str | None = None, on_error: Policy = None, key: Any = None
    ) -> Any:
        """Give each record a new key. A repartition topic is added only where a later step needs it.

        Keyed steps leave out records whose new key is ``None``.
        """

        def build(function: Any, **step: Any) -> Stream[Any, V]:
            check_key_type(key, step=step["name"])
            key_type = return_type(function) if key is None else key
            ensure_hashable_keys(key_type, step=step["name"])
            return Stream(
                self.flow.then(GroupBy(function=function, **step), self.flow.shape.with_keys(key_type))
            )

        return self._declared("group_by", build, function, name, on_error)

    # -- split, unite, write

    @declares
    def branch(self, *, on_error: Policy = None, **arms: Callable[[V], object]) -> Branches[K, V]:
        """Split the stream: each value is in the first arm whose function is true, or in ``.rest``."""
        if not arms or "rest" in arms:
            raise TopologyError(
                "name at least one arm, and none of them 'rest', stream.branch(big=is_big): "
                + fact_text(step=f"{self.name}.branch", arms=",".join(arms))
            )
        check_policy(on_error, step=f"{self.name}.branch")
        for arm, tested in arms.items():
            legal_name(arm, "arm")
            check_function(tested, step=f"{self.name}.{arm}")
        streams: dict[str, Stream[K, V]] = {}
        earlier: tuple[Callable[[V], object], ...] = ()
        for arm, function in [*arms.items(), ("rest", None)]:
            node = Branch(
                name=self.declaration.node_name(None, None, f"{self.name}.{arm}"),
                parents=(self.node,),
                on_error=on_error,
                function=function,
                earlier=earlier,
            )
            streams[arm] = Stream(self.flow.then(node))
            if function is not None:
                earlier = (*earlier, function)
        return Branches(streams)

    @declares
    def merge(self, *others: Stream[K, V], name: str | None = None) -> Stream[K, V]:
        """Unite streams; records made of one event keep the order of the streams, this stream's first."""
        step = self.flow.label(name, None, "merge")
        if not others:
            raise TopologyError(f"name the streams to unite, a.merge(b): {fact_text(step=step)}")
        for other in others:
            if not isinstance(other, Stream):
                raise TopologyError(
                    f"streams are merged with streams: {fact_text(step=step, given=shown(other))}"
                )
            self.flow.ensure_same_app(other.declaration, step=step, stream=other.name)
        parents = (self.node, *(other.node for other in others))
        node = Merge(name=self.flow.step_name(name, None, "merge"), parents=parents)
        first = self.flow.shape
        rest = [other.flow.shape for other in others]
        same_values = all(shape.value_type == first.value_type for shape in rest)
        shape = Shape(
            key_type=first.key_type if all(shape.key_type == first.key_type for shape in rest) else None,
            value_type=first.value_type if same_values else None,
            value_serde=first.value_serde if same_values else value_serde_for(None),
            key_changed=any(shape.key_changed for shape in [first, *rest]),
        )
        return Stream(self.flow.then(node, shape))

    @declares
    def to(
        self,
        topic: Destination[K | None, V | None] | str,
        *,
        name: str | None = None,
        on_error: Policy = None,
    ) -> None:
        """Write to a topic. A topic given by name only is written with this stream's types."""
        step = self.flow.label(name, None, "to")
        check_policy(on_error, step=step)
        spec = self.flow.output_topic(topic, step=step)
        self.flow.then(
            To(
                name=self.declaration.node_name(name, None, f"{self.name}.to.{spec.name}"),
                parents=(self.node,),
                on_error=on_error,
                topic=spec,
            )
        )

    @declares
    def through(
        self, topic: Stream[K, V], *, name: str | None = None, on_error: Policy = None
    ) -> Stream[K, V]:
        """Write to a declared topic and return the stream of that topic."""
        if not isinstance(topic, Destination):
            raise TopologyError(
                "go on through a declared topic, app.topic(...): "
                + fact_text(step=self.flow.label(name, None, "through"), given=shown(topic))
            )
        self.to(topic, name=name, on_error=on_error)
        return topic

    @declares
    def repartition(
        self, partitions: int | None = None, *, name: str | None = None, on_error: Policy = None
    ) -> Stream[K, V]:
        """Write to an internal topic and return the stream of that topic.

        Args:
            partitions: the number of partitions; by default that of the source topic.
            name: the topic is ``<app>-<name>-repartition``. By default the name of the function of the
                previous step, or that of the topic that the stream reads.

        Raises:
            TopologyError: no name is given, and the previous step has no name of a function or topic.
        """
        name = legal_name(self.flow.durable_name() if name is None else name, "repartition topic")
        check_policy(on_error, step=name)
        if partitions is not None:
            check_count(partitions, "partitions=", PARTITION_COUNT_MAX, step=name)
        return Stream(self.flow.repartitioned(name, partitions, on_error=on_error))

    # -- join

    @overload
    def join(
        self,
        table: Table[K, W] | GlobalTable[K2, W],
        function: Callable[[V, W], T],
        *,
        how: Literal["inner"] = ...,
        on: Callable[[V], K2 | None] | None = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Stream[K, T]: ...
    @overload
    def join(
        self,
        table: Table[K, W] | GlobalTable[K2, W],
        function: Callable[[V, W | None], T],
        *,
        how: Literal["left"],
        on: Callable[[V], K2 | None] | None = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Stream[K, T]: ...
    @overload
    def join(
        self,
        table: Table[K, W] | GlobalTable[K2, W],
        *,
        how: Literal["inner"] = ...,
        on: Callable[[V], K2 | None] | None = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V, W], T]], Stream[K, T]]: ...
    @overload
    def join(
        self,
        table: Table[K, W] | GlobalTable[K2, W],
        *,
        how: Literal["left"],
        on: Callable[[V], K2 | None] | None = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V, W | None], T]], Stream[K, T]]: ...
    @declares
    def join(
        self,
        table: Any,
        function: Any = ...,
        *,
        how: str = "inner",
        on: Callable[[V], Any] | None = None,
        name: str | None = None,
        on_error: Policy = None,
        value: Any = None,
    ) -> Any:
        """Join each value with a table's value of the same key.

        ``how="left"`` also emits records without a match, with ``None`` for the table's value. ``on=``
        computes the key to look up; only global tables take it.
        """
        step = self.flow.label(name, function, "join")
        check_join(self.flow, table, how=how, on=on, step=step)
        if on is not None:
            check_function(on, step=step)

        def build(function: Any, *, parents: tuple[Node, ...], **step: Any) -> Stream[K, Any]:
            return Stream(
                declare_join(self.flow, table, function, left=how == "left", on=on, value_type=value, **step)
            )

        return self._declared("join", build, function, name, on_error, takes=("value", "table_value"))

    # -- for the steps above

    def _declared(
        self,
        verb: str,
        build: Callable[..., Any],
        function: Any,
        name: str | None,
        on_error: Policy,
        *,
        takes: tuple[str, ...] = ("value",),
        may_yield: bool = False,
    ) -> Any:
        """Check and declare a step; without a function, return the decorator that does so."""
        check_policy(on_error, step=self.flow.label(name, function, verb))

        @declares
        def declare(function: Any) -> Any:
            label = self.flow.label(name, function, verb)
            try:
                check_function(function, step=label, takes=takes, may_yield=may_yield)
                step = self.flow.step_name(name, function, verb)
                return build(function, name=step, parents=(self.node,), on_error=on_error)
            except UsageError as error:
                add_fact(error, "step", label)
                raise

        return declare if function is ... else declare(function)

    def _with_values(self, node: Node, value_type: Any, *, is_annotation: bool) -> Stream[K, Any]:
        shape = self.flow.shape.with_values(value_type, is_annotation=is_annotation)
        return Stream(self.flow.then(node, shape))

    def _with_records(self, node: Node, key_type: Any, value_type: Any) -> Stream[Any, Any]:
        check_key_type(key_type, step=node.name)
        return Stream(self.flow.then(node, self.flow.shape.with_values(value_type).with_keys(key_type)))


class Branches(Generic[K, V]):
    """The arms of a split, as attributes; ``rest`` has the values that no arm took."""

    def __init__(self, streams: dict[str, Stream[K, V]]) -> None:
        self._streams = streams

    def __repr__(self) -> str:
        return f"<Branches {', '.join(self._streams)}>"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._streams]

    def __getattr__(self, arm: str) -> Stream[K, V]:
        streams: dict[str, Stream[K, V]] = self.__dict__.get("_streams", {})
        try:
            return streams[arm]
        except KeyError:
            raise AttributeError(f"no such arm: {fact_text(arm=arm, arms=','.join(streams))}") from None
