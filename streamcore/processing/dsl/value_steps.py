"""Steps on values: the key stays. Each is a method and a decorator."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from streamcore.processing.dsl.declaration import item_type, return_type
from streamcore.processing.dsl.steps import Policy, Steps
from streamcore.processing.topology.code_locations import declares
from streamcore.processing.topology.nodes import Filter, FlatMap, Foreach, Map, Peek

if TYPE_CHECKING:
    from streamcore.processing.dsl.stream import Stream

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")


class ValueSteps(Steps[K, V], Generic[K, V]):
    """Steps whose function takes a value."""

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
            return self._stream(self.flow.then(Filter(function=function, **step)))

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
            return self._stream(self.flow.then(Filter(function=function, negated=True, **step)))

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
            return self._stream(self.flow.then(Peek(function=function, **step)))

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
