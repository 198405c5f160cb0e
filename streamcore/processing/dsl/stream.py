"""Streams: every record counts. Each operator is a method and a decorator; building runs nothing.

``big = orders.filter(is_big)`` and ``@orders.filter`` over a function ``big`` declare the same step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from streamcore.errors import TopologyError, fact_text
from streamcore.model import Record
from streamcore.processing.dsl.declaration import (
    ensure_hashable_keys,
    item_type,
    legal_name,
    return_type,
    value_serde_for,
)
from streamcore.processing.dsl.flow import Shape
from streamcore.processing.dsl.keyed_steps import KeyedSteps
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
    TopicSpec,
)

if TYPE_CHECKING:
    from streamcore.processing.dsl.topic import Topic

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")
K2 = TypeVar("K2")
T = TypeVar("T")


class Stream(KeyedSteps[K, V], Generic[K, V]):
    """A declared stream of records with keys ``K`` and values ``V``."""

    @property
    def node(self) -> Node:
        """The step that gives this stream."""
        return self.flow.node

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
                name=self.flow.step_name(name, function, "map"),
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
                name=self.flow.step_name(name, function, "flat_map"),
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
            node = Peek(
                name=self.flow.step_name(name, function, "peek"),
                parents=(self.node,),
                on_error=on_error,
                function=function,
            )
            return Stream(self.flow.then(node))

        return declare if function is None else declare(function)

    def foreach(
        self, function: Callable[[V], object], *, name: str | None = None, on_error: ErrorPolicy | None = None
    ) -> None:
        """Call a function on each value: the end of the stream."""
        self.flow.then(
            Foreach(
                name=self.flow.step_name(name, function, "foreach"),
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
            name=self.flow.step_name(name, function, "map_record"),
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
            name=self.flow.step_name(name, function, "flat_map_record"),
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
            key_type = key or return_type(function)
            step = self.flow.step_name(name, function, "group_by")
            ensure_hashable_keys(key_type, step=step)
            node = GroupBy(
                name=step,
                parents=(self.node,),
                on_error=on_error,
                function=function,
            )
            return Stream(self.flow.then(node, self.flow.shape.with_keys(key_type)))

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
                name=self.flow.declaration.node_name(None, None, f"{base}.{arm}"),
                parents=(self.node,),
                function=function,
                earlier=earlier,
            )
            streams[arm] = Stream(self.flow.then(node))
            if function is not None:
                earlier = (*earlier, function)
        return Branches(streams)

    def merge(self, *others: Stream[K, V], name: str | None = None) -> Stream[K, V]:
        """Unite streams; records that come from one event keep its order, this stream's first."""
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

    def to(
        self, topic: Topic[Any, Any] | str, *, name: str | None = None, on_error: ErrorPolicy | None = None
    ) -> None:
        """Write to a topic. One given by name alone is written in this stream's own types."""
        spec = self.flow.output_topic(_spec_of(topic))
        self.flow.then(
            To(
                name=self.flow.declaration.node_name(name, None, f"{self.node.name}.to.{spec.name}"),
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
        return Stream(self.flow.repartitioned(legal_name(name, "repartition topic"), partitions))

    # -- for the steps above

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
                name=self.flow.step_name(name, function, "filter_not" if negated else "filter"),
                parents=(self.node,),
                on_error=on_error,
                function=function,
                negated=negated,
            )
            return Stream(self.flow.then(node))

        return declare if function is None else declare(function)

    def _with_values(self, node: Node, value_type: Any) -> Stream[K, Any]:
        return Stream(self.flow.then(node, self.flow.shape.with_values(value_type)))

    def _with_records(self, node: Node, key_type: Any, value_type: Any) -> Stream[Any, Any]:
        return Stream(self.flow.then(node, self.flow.shape.with_values(value_type).with_keys(key_type)))


class Branches(Generic[K, V]):
    """The arms of a split, as attributes; ``rest`` takes what no arm took."""

    def __init__(self, streams: dict[str, Stream[K, V]]) -> None:
        self._streams = streams

    def __getattr__(self, arm: str) -> Stream[K, V]:
        try:
            return self._streams[arm]
        except KeyError:
            raise AttributeError(f"no such arm: {fact_text(arm=arm, arms=','.join(self._streams))}") from None


def _spec_of(topic: Topic[Any, Any] | str) -> TopicSpec | str:
    return topic if isinstance(topic, str) else topic.spec
