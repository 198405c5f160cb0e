"""Joins of a stream with a table or with another stream."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from streamcore.errors import TopologyError, fact_text
from streamcore.processing.dsl.checks import Duration, check_function
from streamcore.processing.dsl.declared_join import check_join, declare_join
from streamcore.processing.dsl.declared_stream_join import check_stream_join, declare_stream_join
from streamcore.processing.dsl.flow import Destination
from streamcore.processing.dsl.steps import Policy, Steps
from streamcore.processing.dsl.table import GlobalTable, Table
from streamcore.processing.topology.code_locations import declares
from streamcore.processing.topology.nodes import Node

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
        other: Table[K, W] | GlobalTable[K2, W],
        function: Callable[[V, W], T],
        *,
        how: Literal["inner"] = ...,
        on: Callable[[V], K2 | None] | None = ...,
        as_of: bool = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Stream[K, T]: ...
    @overload
    def join(
        self,
        other: Table[K, W] | GlobalTable[K2, W],
        function: Callable[[V, W | None], T],
        *,
        how: Literal["left"],
        on: Callable[[V], K2 | None] | None = ...,
        as_of: bool = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Stream[K, T]: ...
    @overload
    def join(
        self,
        other: Table[K, W] | GlobalTable[K2, W],
        *,
        how: Literal["inner"] = ...,
        on: Callable[[V], K2 | None] | None = ...,
        as_of: bool = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V, W], T]], Stream[K, T]]: ...
    @overload
    def join(
        self,
        other: Table[K, W] | GlobalTable[K2, W],
        *,
        how: Literal["left"],
        on: Callable[[V], K2 | None] | None = ...,
        as_of: bool = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V, W | None], T]], Stream[K, T]]: ...
    @overload
    def join(
        self,
        other: Stream[K, W],
        function: Callable[[V, W], T],
        *,
        before: Duration,
        after: Duration,
        grace: Duration = ...,
        late: Destination[K | None, Any] | str | None = ...,
        how: Literal["inner"] = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Stream[K, T]: ...
    @overload
    def join(
        self,
        other: Stream[K, W],
        *,
        before: Duration,
        after: Duration,
        grace: Duration = ...,
        late: Destination[K | None, Any] | str | None = ...,
        how: Literal["inner"] = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V, W], T]], Stream[K, T]]: ...
    @overload
    def join(
        self,
        other: Stream[K, W],
        function: Callable[[V, W | None], T],
        *,
        before: Duration,
        after: Duration,
        grace: Duration = ...,
        late: Destination[K | None, Any] | str | None = ...,
        how: Literal["left"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Stream[K, T]: ...
    @overload
    def join(
        self,
        other: Stream[K, W],
        *,
        before: Duration,
        after: Duration,
        grace: Duration = ...,
        late: Destination[K | None, Any] | str | None = ...,
        how: Literal["left"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V, W | None], T]], Stream[K, T]]: ...
    @overload
    def join(
        self,
        other: Stream[K, W],
        function: Callable[[V | None, W | None], T],
        *,
        before: Duration,
        after: Duration,
        grace: Duration = ...,
        late: Destination[K | None, Any] | str | None = ...,
        how: Literal["outer"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Stream[K, T]: ...
    @overload
    def join(
        self,
        other: Stream[K, W],
        *,
        before: Duration,
        after: Duration,
        grace: Duration = ...,
        late: Destination[K | None, Any] | str | None = ...,
        how: Literal["outer"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V | None, W | None], T]], Stream[K, T]]: ...
    @declares
    def join(
        self,
        other: Any = None,
        function: Any = ...,
        *,
        how: str = "inner",
        on: Callable[[V], Any] | None = None,
        as_of: bool = False,
        before: Duration | None = None,
        after: Duration | None = None,
        grace: Duration | None = None,
        late: Any = None,
        name: str | None = None,
        on_error: Policy = None,
        value: Any = None,
        table: Any = None,
    ) -> Any:
        """Join each value with the value of the same key in a table, or with those near in time in a stream.

        *With a table*: ``how="left"`` also emits records without a match, with ``None`` for the table's
        value. ``on=`` computes the key to look up; only global tables take it. ``as_of=True`` joins the value
        that the key had at the event time of the record, from the history of the table,
        ``topic.table(name, history="1d")``; a record that is older than the history has no match.

        *With a stream*: a record of this stream at time t and one of ``other`` at time u join if
        ``t - before <= u <= t + after``, once, in whatever order they come. The result has the later of both
        times. ``how="left"`` also emits records of this stream without a match, ``how="outer"`` those of
        both, with ``None`` for the other value, when no match in time can come any more: once the watermark
        is beyond their time, ``before``, ``after`` and ``grace``.

        A record is late, left out, counted and written to the topic ``late`` if its time, ``after`` (for
        ``other``: ``before``) and ``grace`` are before the stream time of its source partition. Records
        without a value are left out. Records without a key have no match. Where equal keys of the two streams
        may be in different partitions, a repartition topic is inserted. The rows of both streams are kept in
        the stores ``<name>.left`` and ``<name>.right``, where the name is ``name=`` or that of the function.

        Args:
            other: the table or stream.
            function: makes the result of the two values; without one, the result is a decorator.
            how: ``"inner"``, ``"left"`` or, for streams, ``"outer"``.
            on: makes the key to look up in a global table.
            as_of: whether the value of the table is the one at the record's event time, not the newest.
            before: how far before this stream's record the other record may be, such as ``"10s"``.
            after: how far after it.
            grace: how much longer records out of order are joined; by default 0.
            late: the topic that receives late records of both streams; they are counted in any case. Where
                the streams have values of different types, it is a declared topic.
            name: the name of the step; by default that of the function.
            on_error: the policy of records for which a function fails.
            value: the type of the results, where no annotation says it.
            table: the former name of ``other``, with a ``DeprecationWarning``.
        """
        if other is None and table is not None:
            warnings.warn("join(table=...) is now join(other=...)", DeprecationWarning, stacklevel=3)
            other = table
        step = self.flow.label(name, function, "join")
        takes = ("left_value", "right_value") if isinstance(other, Joining) else ("value", "table_value")
        build: Callable[..., Stream[K, Any]]
        if isinstance(other, Joining):
            span = check_stream_join(
                self.flow,
                other.flow,
                how=how,
                on=on,
                as_of=as_of,
                before=before,
                after=after,
                grace=grace,
                step=step,
            )

            def build(function: Any, *, parents: tuple[Node, ...], **step: Any) -> Stream[K, Any]:
                flow = declare_stream_join(
                    self.flow,
                    other.flow,
                    function,
                    span=span,
                    how=how,
                    late=late,
                    value_type=value,
                    named=name,
                    **step,
                )
                return self._stream(flow)
        else:
            check_join(self.flow, other, how=how, on=on, as_of=as_of, step=step)
            if (before, after, grace, late) != (None, None, None, None):
                raise TopologyError(
                    "a table has one row of a key, without before=, after=, grace=, late=; these are for "
                    "streams: " + fact_text(step=step, table=other.name)
                )
            if on is not None:
                check_function(on, step=step)

            def build(function: Any, *, parents: tuple[Node, ...], **step: Any) -> Stream[K, Any]:
                left = how == "left"
                return self._stream(
                    declare_join(
                        self.flow,
                        other,
                        function,
                        left=left,
                        on=on,
                        as_of=as_of,
                        value_type=value,
                        named=name,
                        **step,
                    )
                )

        return self._declared("join", build, function, name, on_error, takes=takes)
