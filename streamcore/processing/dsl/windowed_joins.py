"""Joins of windowed tables: the rows of one key and one window meet.

The result is a windowed table with a store of its own, whose windows close when those of both tables do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from streamcore.errors import TopologyError, UsageError, fact_text
from streamcore.processing.dsl.checks import check_function, check_policy, type_name
from streamcore.processing.dsl.copartitioning import tables_of_join
from streamcore.processing.dsl.declaration import Declaration, named_after, return_type
from streamcore.processing.dsl.flow import Flow, Shape, writable
from streamcore.processing.dsl.steps import Policy
from streamcore.processing.dsl.table_access import TableAccess
from streamcore.processing.topology.code_locations import add_fact, declares, shown
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.nodes import DerivedTable, Node, RowJoin, StoreSpec
from streamcore.processing.topology.windows import AnyWindows, CalendarWindows, TimeWindows

if TYPE_CHECKING:
    from streamcore.processing.dsl.table import WindowedTable

K = TypeVar("K")
V = TypeVar("V")
W = TypeVar("W")
T = TypeVar("T")


class WindowedJoins(TableAccess[K, V], Generic[K, V]):
    """The joins of a windowed table."""

    flow: Flow

    @property
    def declaration(self) -> Declaration:
        """The application that the table belongs to."""
        return self.flow.declaration

    @overload
    def join(
        self,
        other: WindowedTable[K, W],
        function: Callable[[V, W], T | None],
        *,
        how: Literal["inner"] = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> WindowedTable[K, T]: ...
    @overload
    def join(
        self,
        other: WindowedTable[K, W],
        function: Callable[[V, W | None], T | None],
        *,
        how: Literal["left"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> WindowedTable[K, T]: ...
    @overload
    def join(
        self,
        other: WindowedTable[K, W],
        function: Callable[[V | None, W | None], T | None],
        *,
        how: Literal["outer"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> WindowedTable[K, T]: ...
    @overload
    def join(
        self,
        other: WindowedTable[K, W],
        *,
        how: Literal["inner"] = ...,
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V, W], T | None]], WindowedTable[K, T]]: ...
    @overload
    def join(
        self,
        other: WindowedTable[K, W],
        *,
        how: Literal["left"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V, W | None], T | None]], WindowedTable[K, T]]: ...
    @overload
    def join(
        self,
        other: WindowedTable[K, W],
        *,
        how: Literal["outer"],
        name: str | None = ...,
        on_error: Policy = ...,
        value: Any = ...,
    ) -> Callable[[Callable[[V | None, W | None], T | None]], WindowedTable[K, T]]: ...
    @declares
    def join(
        self,
        other: Any,
        function: Any = ...,
        *,
        how: str = "inner",
        name: str | None = None,
        on_error: Policy = None,
        value: Any = None,
    ) -> Any:
        """Return the table of the rows of both tables by key and window: ``function(value, other value)``.

        ``how="left"`` also has the rows of this table without another, ``how="outer"`` those of both; the
        missing value is ``None``. A result of ``None`` is no row. ``updates()`` of the result gives each
        change, ``None`` for a row that goes; ``final()`` gives each row once, when the window closes.

        Both tables have windows of one kind, length and grace. Sessions and sliding windows are refused:
        their bounds follow from the records of each table.

        Args:
            other: the other windowed table.
            function: makes the value of a row; without one, the result is a decorator.
            how: ``"inner"``, ``"left"`` or ``"outer"``.
            name: the name of the table; by default that of the function.
            on_error: the policy of records for which the function fails.
            value: the type of the values, where no annotation says it.
        """
        step = self.flow.label(name, function, "join")
        windows = _windows_of_join(self, other, how, step)
        check_policy(on_error, step=step)

        @declares
        def declare(function: Any) -> Any:
            label = self.flow.label(name, function, "join")
            try:
                check_function(function, step=label, takes=("value", "other_value"))
                table = named_after(function) if name is None else name
                if table is None:
                    raise TopologyError(
                        "a table keeps its name for ever: give it one, name='…', or use a function that is "
                        f"no lambda: {fact_text(table=self.name)}"
                    )
                self.declaration.store_name(table)
                key_type = other.store.key_type if self.store.key_type is None else self.store.key_type
                shape = replace(self.flow.shape, key_type=key_type).with_values(
                    return_type(function) if value is None else value, is_annotation=value is None
                )
                left, right = tables_of_join(self.flow, other.flow, table)
                pairs = [(left, other.store, False), (right, self.store, True)]
                read = [right.node, left.node]
                halves = [
                    RowJoin(
                        name=self.declaration.node_name(
                            None, None, f"{table}.{'right' if is_right else 'left'}"
                        ),
                        parents=(own.node,),
                        on_error=on_error,
                        table=node,
                        store=store,
                        function=function,
                        is_right=is_right,
                        needs_own=how == "inner" or (how == "left" and not is_right),
                        needs_other=how == "inner" or (how == "left" and is_right),
                    )
                    for (own, store, is_right), node in zip(pairs, read, strict=True)
                ]
                return self._kept_windows(table, halves, shape, windows, on_error)
            except UsageError as error:
                add_fact(error, "step", label)
                raise

        return declare if function is ... else declare(function)

    def _kept_windows(
        self,
        name: str,
        rows: list[RowJoin],
        shape: Shape,
        windows: TimeWindows | CalendarWindows,
        on_error: ErrorPolicy | None,
    ) -> WindowedTable[Any, Any]:
        """Return the windowed table that keeps the rows which these steps emit."""
        from streamcore.processing.dsl.table import WindowedTable

        declaration = self.declaration
        parents: list[Node] = [declaration.add(half) for half in rows]
        store = StoreSpec(
            name=name,
            key_type=shape.key_type,
            value_serde=writable(shape.value_serde),
            windows=windows,
            is_derived=True,
        )
        step = declaration.node_name(None, None, f"{name}.table")
        node = DerivedTable(name=step, parents=tuple(parents), on_error=on_error, store=store)
        return WindowedTable(Flow(declaration, declaration.add(node), shape), store)


def _windows_of_join(
    table: WindowedJoins[Any, Any], other: Any, how: Any, step: str
) -> TimeWindows | CalendarWindows:
    """Return the windows of the result of a join, and refuse a join that cannot be declared.

    Raises:
        TopologyError: ``how`` is unknown, the other is no windowed table of this application, or its keys or
            windows differ.
    """
    if not isinstance(how, str) or how not in ("inner", "left", "outer"):
        raise TopologyError(
            "a windowed table joins a windowed table with how='inner', 'left' or 'outer': "
            + fact_text(step=step, how=shown(how))
        )
    if not isinstance(other, WindowedJoins):
        raise TopologyError(
            "a windowed table joins a windowed table, such as stream.tumbling('1h').count(name); to join its "
            "results with a stream or a table, take final(), give them a key and use join: "
            + fact_text(step=step, given=shown(other))
        )
    table.flow.ensure_same_app(other.declaration, step=step, table=other.name)
    ours, theirs = table.store.key_type, other.store.key_type
    if ours is not None and theirs is not None and ours != theirs:
        raise TopologyError(
            "two windowed tables are joined by equal keys, and theirs are of different types; give the "
            "streams keys of one type with group_by: "
            + fact_text(
                step=step,
                table=table.name,
                keys=type_name(ours),
                other=other.name,
                other_keys=type_name(theirs),
            )
        )
    left, right = table.store.windows, other.store.windows
    if not isinstance(left, TimeWindows | CalendarWindows) or not isinstance(
        right, TimeWindows | CalendarWindows
    ):
        raise TopologyError(
            "the bounds of sessions and sliding windows follow from the records of each table, so those of "
            "two tables differ; join tables with tumbling, hopping or calendar windows: "
            + fact_text(
                step=step,
                table=table.name,
                windows=_text(left),
                other=other.name,
                other_windows=_text(right),
            )
        )
    if replace(left, retention_ms=None) != replace(right, retention_ms=None):
        raise TopologyError(
            "rows of equal windows are joined, and the windows of the tables differ; declare both with one "
            "kind, length and grace: "
            + fact_text(
                step=step,
                table=table.name,
                windows=_text(left),
                other=other.name,
                other_windows=_text(right),
            )
        )
    kept_ms = [found.retention_ms for found in (left, right) if found.retention_ms is not None]
    return replace(left, retention_ms=max(kept_ms) if len(kept_ms) == 2 else None)


def _text(windows: AnyWindows | None) -> str:
    return "none" if windows is None else f"{windows.text}, grace {windows.grace_ms}ms"
