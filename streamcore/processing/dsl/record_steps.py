"""Steps that see or change whole records and their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from streamcore.model import Record
from streamcore.processing.dsl.declaration import check_key_type, ensure_hashable_keys, return_type
from streamcore.processing.dsl.steps import Policy, Steps
from streamcore.processing.topology.code_locations import declares
from streamcore.processing.topology.nodes import FlatMapRecord, GroupBy, MapRecord

if TYPE_CHECKING:
    from streamcore.processing.dsl.stream import Stream

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")
K2 = TypeVar("K2")


class RecordSteps(Steps[K, V], Generic[K, V]):
    """Steps whose function takes or makes records, or makes their keys."""

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
            return self._stream(
                self.flow.then(GroupBy(function=function, **step), self.flow.shape.with_keys(key_type))
            )

        return self._declared("group_by", build, function, name, on_error)
