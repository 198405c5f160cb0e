"""Tables made of tables: mapped, filtered, joined. Each is a method and a decorator.

A derived table has a store and a changelog of its own under its name: that of its function, or ``name=``.
Only the rows of a table count, so a change of a row replaces what it had caused: a row that no longer
passes a filter is deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from streamcore.errors import TopologyError, UsageError, fact_text
from streamcore.processing.dsl.checks import (
    Duration,
    check_count,
    check_function,
    check_policy,
    declared_ms,
    type_name,
)
from streamcore.processing.dsl.copartitioning import tables_of_join
from streamcore.processing.dsl.declaration import (
    named_after,
    return_type,
)
from streamcore.processing.dsl.declared_reference_join import check_foreign_key, declare_reference_join
from streamcore.processing.dsl.flow import Flow, Shape, writable
from streamcore.processing.dsl.periodic import periodic
from streamcore.processing.dsl.steps import Policy, Steps
from streamcore.processing.dsl.table_access import TableAccess
from streamcore.processing.topology.code_locations import add_fact, declares, shown
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import (
    DerivedTable,
    Node,
    RowFilter,
    RowJoin,
    RowMap,
    StoreSpec,
    own_stores,
)

if TYPE_CHECKING:
    from streamcore.processing.dsl.table import Table

K = TypeVar("K")
K2 = TypeVar("K2")
V = TypeVar("V")
W = TypeVar("W")
T = TypeVar("T")

KEYS_MAX = 10_000_000
"""The largest limit of the keys that ``suppress`` holds changes of."""


class TableSteps(TableAccess[K, V], Steps[K, V], Generic[K, V]):
    """The steps of a table. Arguments that a step cannot take raise ``TopologyError``."""

    @property
    def name(self) -> str:
        """The name of the table, its store and its changelog."""
        return self.store.name

    @overload
    def map(
        self,
        function: Callable[[V], W | None],
        *,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Table[K, W]: ...
    @overload
    def map(
        self, *, name: str | None = ..., on_error: Policy = ..., value: Any = ...
    ) -> Callable[[Callable[[V], W | None]], Table[K, W]]: ...
    @declares
    def map(
        self, function: Any = ..., *, name: str | None = None, on_error: Policy = None, value: Any = None
    ) -> Any:
        """Return the table of these rows with other values; ``None`` is no row.

        ``value=`` is the type of the values where no annotation says it.
        """

        def build(function: Any, table: str, on_error: ErrorPolicy | None) -> Table[K, Any]:
            shape = self.flow.shape.with_values(
                return_type(function) if value is None else value, is_annotation=value is None
            )
            step = self.declaration.node_name(None, None, table)
            mapped = RowMap(name=step, parents=(self.node,), on_error=on_error, function=function)
            return self._kept(table, [self.declaration.add(mapped)], shape, on_error)

        return self._derived("map", build, function, name, on_error)

    @overload
    def filter(
        self, function: Callable[[V], object], *, name: str | None = ..., on_error: Policy = ...
    ) -> Table[K, V]: ...
    @overload
    def filter(
        self, *, name: str | None = ..., on_error: Policy = ...
    ) -> Callable[[Callable[[V], object]], Table[K, V]]: ...
    @declares
    def filter(self, function: Any = ..., *, name: str | None = None, on_error: Policy = None) -> Any:
        """Return the table of the rows for which the function is true."""
        return self._filtered("filter", function, name, on_error, negated=False)

    @overload
    def filter_not(
        self, function: Callable[[V], object], *, name: str | None = ..., on_error: Policy = ...
    ) -> Table[K, V]: ...
    @overload
    def filter_not(
        self, *, name: str | None = ..., on_error: Policy = ...
    ) -> Callable[[Callable[[V], object]], Table[K, V]]: ...
    @declares
    def filter_not(self, function: Any = ..., *, name: str | None = None, on_error: Policy = None) -> Any:
        """Return the table of the rows for which the function is false."""
        return self._filtered("filter_not", function, name, on_error, negated=True)

    def _filtered(
        self, verb: str, function: Any, name: str | None, on_error: Policy, *, negated: bool
    ) -> Any:
        def build(function: Any, table: str, on_error: ErrorPolicy | None) -> Table[K, V]:
            step = self.declaration.node_name(None, None, table)
            passing = RowFilter(
                name=step, parents=(self.node,), on_error=on_error, function=function, negated=negated
            )
            return self._kept(table, [self.declaration.add(passing)], self.flow.shape, on_error)

        return self._derived(verb, build, function, name, on_error)

    @overload
    def join(
        self,
        other: Table[K, W],
        function: Callable[[V, W], T | None],
        *,
        how: Literal["inner"] = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Table[K, T]: ...
    @overload
    def join(
        self,
        other: Table[K, W],
        function: Callable[[V, W | None], T | None],
        *,
        how: Literal["left"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Table[K, T]: ...
    @overload
    def join(
        self,
        other: Table[K, W],
        function: Callable[[V | None, W | None], T | None],
        *,
        how: Literal["outer"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Table[K, T]: ...
    @overload
    def join(
        self,
        other: Table[K, W],
        *,
        how: Literal["inner"] = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V, W], T | None]], Table[K, T]]: ...
    @overload
    def join(
        self,
        other: Table[K, W],
        *,
        how: Literal["left"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V, W | None], T | None]], Table[K, T]]: ...
    @overload
    def join(
        self,
        other: Table[K, W],
        *,
        how: Literal["outer"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V | None, W | None], T | None]], Table[K, T]]: ...
    @overload
    def join(
        self,
        other: Table[K2, W],
        function: Callable[[V, W], T | None],
        *,
        on: Callable[[V], K2 | None],
        how: Literal["inner"] = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Table[K, T]: ...
    @overload
    def join(
        self,
        other: Table[K2, W],
        *,
        on: Callable[[V], K2 | None],
        how: Literal["inner"] = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V, W], T | None]], Table[K, T]]: ...
    @overload
    def join(
        self,
        other: Table[K2, W],
        function: Callable[[V, W | None], T | None],
        *,
        on: Callable[[V], K2 | None],
        how: Literal["left"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Table[K, T]: ...
    @overload
    def join(
        self,
        other: Table[K2, W],
        *,
        on: Callable[[V], K2 | None],
        how: Literal["left"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V, W | None], T | None]], Table[K, T]]: ...
    @declares
    def join(
        self,
        other: Any,
        function: Any = ...,
        *,
        on: Any = None,
        how: str = "inner",
        name: str | None = None,
        on_error: Policy = None,
        value: Any = None,
    ) -> Any:
        """Return the table of the rows of both tables by key: ``function(value, other value)``.

        ``how="left"`` also has the rows of this table without another, ``how="outer"`` those of both; the
        missing value is ``None``. Where equal keys of the two tables may be in different partitions, one of
        them goes through a repartition topic, and is kept once more in the store ``<name>.left`` or
        ``<name>.right``.

        *By a foreign key*, with ``on=``: each row of this table is joined with the row of the other one whose
        key is ``on(value)``; ``None`` is no key. The result has the keys of this table. A change of a row of
        the other table changes all rows that refer to it.

        Args:
            other: the other table.
            function: makes the result of the two values; without one, the result is a decorator.
            on: makes of a value the key of the other table's row.
            how: ``"inner"``, ``"left"`` or, without ``on=``, ``"outer"``.
            name: the name of the table; by default that of the function.
            on_error: the policy of changes for which a function fails.
            value: the type of the results, where no annotation says it.
        """
        step = self.flow.label(name, function, "join")
        self._check_join(other, how, step=step, has_equal_keys=on is None)
        if on is not None:
            check_foreign_key(other.flow, on, how, step=step, other=other.name)

        def build_by_foreign_key(function: Any, table: str, on_error: ErrorPolicy | None) -> Table[K, Any]:
            shape = self.flow.shape.with_values(
                return_type(function) if value is None else value, is_annotation=value is None
            )
            rows = declare_reference_join(
                self.flow,
                other.flow,
                other.store,
                function,
                on=on,
                name=table,
                on_error=on_error,
                is_left=how == "left",
            )
            return self._kept(table, [rows], shape, on_error)

        def build(function: Any, table: str, on_error: ErrorPolicy | None) -> Table[K, Any]:
            key_type = self.flow.shape.key_type
            shape = replace(
                self.flow.shape, key_type=other.flow.shape.key_type if key_type is None else key_type
            ).with_values(return_type(function) if value is None else value, is_annotation=value is None)
            left, right = tables_of_join(self.flow, other.flow, table)
            halves: list[Node] = []
            for own, read, is_right in ((left, right, False), (right, left, True)):
                half = RowJoin(
                    name=self.declaration.node_name(None, None, f"{table}.{'right' if is_right else 'left'}"),
                    parents=(own.node,),
                    on_error=on_error,
                    table=read.node,
                    store=_store_of(read.node),
                    function=function,
                    is_right=is_right,
                    needs_own=how == "inner" or (how == "left" and not is_right),
                    needs_other=how == "inner" or (how == "left" and is_right),
                )
                halves.append(self.declaration.add(half))
            return self._kept(table, halves, shape, on_error)

        return self._derived(
            "join",
            build if on is None else build_by_foreign_key,
            function,
            name,
            on_error,
            takes=("value", "other_value"),
        )

    @declares
    def suppress(
        self, duration: Duration, *, max_keys: int | None = None, name: str | None = None
    ) -> Table[K, V]:
        """Return the table of the same rows whose changes come at most once per key in a span of event time.

        Spans of this length are aligned to 1970. When one ends by the watermark, the newest change of each
        key that changed in it comes, in the order of the bytes of the keys. What is held back is in the store
        ``<name>.held``, with a changelog.

        Args:
            duration: the length of a span, such as ``"10s"``.
            max_keys: how many keys a task holds changes of; the change of a further key emits all of them
                before the end of the span. Without it their number has no limit.
            name: the name of the table; by default ``<table>-suppressed``.

        Raises:
            TopologyError: the duration or the number is invalid, or another table has the name.
        """
        table = f"{self.name}-suppressed" if name is None else name
        every_ms = declared_ms(duration, "the duration", table=table)
        if max_keys is not None:
            check_count(max_keys, "max_keys=", KEYS_MAX, table=table)
        self.declaration.store_name(table)
        held = periodic(self.flow, f"{table}.held", every_ms, keys_max=max_keys)
        return self._kept(table, [held.node], self.flow.shape, None)

    def _check_join(self, other: Any, how: Any, *, step: str, has_equal_keys: bool) -> None:
        if not isinstance(how, str) or how not in ("inner", "left", "outer"):
            raise TopologyError(
                "a table joins a table with how='inner', 'left' or 'outer': "
                + fact_text(step=step, how=shown(how))
            )
        if not isinstance(other, TableSteps):
            raise TopologyError(
                "a table joins a table of one value for each key: topic.table(name), an aggregation without "
                "windows, or a table made of these; a stream joins a table, or a global table, "
                "stream.join(table): " + fact_text(step=step, given=shown(other))
            )
        self.flow.ensure_same_app(other.declaration, step=step, table=other.name)
        ours, theirs = self.flow.shape.key_type, other.flow.shape.key_type
        if has_equal_keys and ours is not None and theirs is not None and ours != theirs:
            raise TopologyError(
                "two tables are joined by equal keys, and theirs are of different types; declare the topics "
                "with one type of keys, or name the key of the other table with on=: "
                + fact_text(
                    step=step,
                    table=self.name,
                    keys=type_name(ours),
                    other=other.name,
                    other_keys=type_name(theirs),
                )
            )

    def _derived(
        self,
        verb: str,
        build: Callable[[Any, str, ErrorPolicy | None], Any],
        function: Any,
        name: str | None,
        on_error: Policy,
        *,
        takes: tuple[str, ...] = ("value",),
    ) -> Any:
        """Check and declare a derived table; without a function, return the decorator that does so."""
        check_policy(on_error, step=self.flow.label(name, function, verb))

        @declares
        def declare(function: Any) -> Any:
            label = self.flow.label(name, function, verb)
            try:
                check_function(function, step=label, takes=takes)
                table = named_after(function) if name is None else name
                if table is None:
                    raise TopologyError(
                        "a table keeps its name for ever: give it one, name='…', or use a function that is "
                        f"no lambda: {fact_text(table=self.name)}"
                    )
                return build(function, self.declaration.store_name(table), on_error)
            except UsageError as error:
                add_fact(error, "step", label)
                raise

        return declare if function is ... else declare(function)

    def _kept(
        self, name: str, rows: list[Node], shape: Shape, on_error: ErrorPolicy | None
    ) -> Table[Any, Any]:
        """Return the table that keeps the rows which these steps emit."""
        from streamcore.processing.dsl.table import Table

        store = StoreSpec(
            name=name,
            key_type=shape.key_type,
            value_serde=writable(shape.value_serde),
            is_derived=True,
        )
        step = self.declaration.node_name(None, None, f"{name}.table")
        node = DerivedTable(name=step, parents=tuple(rows), on_error=on_error, store=store)
        return Table(Flow(self.declaration, self.declaration.add(node), shape), store)


def _store_of(node: Node) -> StoreSpec:
    """Return the store of the step that keeps a table: its rows, before what else it may keep."""
    return own_stores(node)[0]
