"""Joins of a stream with a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from streamcore.processing.dsl.checks import check_function
from streamcore.processing.dsl.declared_join import check_join, declare_join
from streamcore.processing.dsl.steps import Policy, Steps
from streamcore.processing.dsl.table import GlobalTable, Table
from streamcore.processing.topology.nodes import Node
from streamcore.processing.topology.places import declares

if TYPE_CHECKING:
    from streamcore.processing.dsl.stream import Stream

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")
K2 = TypeVar("K2")
T = TypeVar("T")


class Joining(Steps[K, V], Generic[K, V]):
    """The joins of a stream."""

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
            return self._stream(
                declare_join(self.flow, table, function, left=how == "left", on=on, value_type=value, **step)
            )

        return self._declared("join", build, function, name, on_error, takes=("value", "table_value"))
