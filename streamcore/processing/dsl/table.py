"""Tables that steps of the topology write: aggregations, topics as tables, and tables made of tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from streamcore.errors import TopologyError, fact_text
from streamcore.model import Windowed
from streamcore.processing.dsl.checks import Duration, check_function
from streamcore.processing.dsl.declaration import (
    Declaration,
    check_key_type,
    ensure_hashable_keys,
    return_type,
)
from streamcore.processing.dsl.flow import Flow
from streamcore.processing.dsl.periodic import periodic_updates
from streamcore.processing.dsl.table_access import TableAccess
from streamcore.processing.dsl.table_steps import TableSteps
from streamcore.processing.dsl.windowed_joins import WindowedJoins
from streamcore.processing.topology.code_locations import declares
from streamcore.processing.topology.nodes import Final, Node, StoreSpec

if TYPE_CHECKING:
    from streamcore.processing.dsl.grouped_table import GroupedTable
    from streamcore.processing.dsl.stream import Stream

K = TypeVar("K")
K2 = TypeVar("K2")
V = TypeVar("V")


class Table(TableSteps[K, V], Generic[K, V]):
    """A table that a step of the topology writes: an aggregation, the newest values of a topic, or rows that
    are made of those of other tables.

    Agents, timers and functions of steps may read it, see ``get``; only its step writes it.
    """

    def __init__(self, flow: Flow, store: StoreSpec) -> None:
        super().__init__(flow)
        self.store = store

    def __repr__(self) -> str:
        return f"<Table {self.name!r} {self.flow.shape}>"

    @declares
    def updates(self, *, every: Duration | None = None) -> Stream[K, V]:
        """Return the stream of changes, in order: the key and its new value (``None`` for a deleted key).

        With ``every`` it has the newest change of each key at most once in each interval of event time.
        """
        from streamcore.processing.dsl.stream import Stream

        return Stream(self.flow if every is None else periodic_updates(self.flow, self.name, every))

    @declares
    def group_by(self, function: Callable[[V], K2 | None], *, key: Any = None) -> GroupedTable[K2, V]:
        """Group the rows by the key that ``function`` makes of their values.

        Aggregations of the result follow the rows: what a row added is taken back when it changes or goes.
        Rows whose new key is ``None`` are left out.

        Args:
            key: the type of the new keys, where no annotation names it.

        Raises:
            TopologyError: the function does not take a value, or the keys cannot be keys.
        """
        from streamcore.processing.dsl.grouped_table import GroupedTable

        step = f"{self.name}.group_by"
        check_function(function, step=step)
        check_key_type(key, step=step)
        key_type = return_type(function) if key is None else key
        ensure_hashable_keys(key_type, step=step)
        return GroupedTable(self.flow, function, key_type)

    @declares
    def to_stream(self) -> Stream[K, V]:
        """Return the same stream as ``updates``."""
        return self.updates()


class WindowedTable(WindowedJoins[K, V], Generic[K, V]):
    """An aggregation by key and window, or a join of two. Both its streams are keyed by ``sc.Windowed``.

    Agents, timers and functions of steps may read it, see ``get``; only its step writes it.
    """

    def __init__(self, flow: Flow, store: StoreSpec) -> None:
        inner = flow.shape.key_type
        windowed: Any = Windowed
        key_type = windowed if inner is None else windowed[inner]
        self.flow = Flow(flow.declaration, flow.node, replace(flow.shape, key_type=key_type))
        self.store = store
        self._final: Flow | None = None

    def __repr__(self) -> str:
        return f"<WindowedTable {self.name!r} {self.flow.shape}>"

    @property
    def node(self) -> Node:
        """The step that writes the table."""
        return self.flow.node

    @declares
    def updates(self, *, every: Duration | None = None) -> Stream[Windowed[K], V]:
        """Return the stream of changes of each window, as they happen.

        With ``every`` it has the newest change of each window at most once in each interval of event time.
        """
        from streamcore.processing.dsl.stream import Stream

        return Stream(self.flow if every is None else periodic_updates(self.flow, self.name, every))

    @declares
    def suppress(self, *_: object, **__: object) -> NoReturn:
        """Refuse the step: a windowed table has ``final`` and ``updates(every=)``.

        Raises:
            TopologyError: always; the message says what to write instead.
        """
        raise TopologyError(
            "a windowed table gives one result per window with final(), and the newest change of each window "
            f"once in an interval with updates(every='10s'): {fact_text(table=self.name)}"
        )

    @declares
    def final(self) -> Stream[Windowed[K], V]:
        """Return one result per key and window, when the window closes; a result never changes later."""
        from streamcore.processing.dsl.stream import Stream

        if self._final is None:
            name = self.flow.declaration.node_name(None, None, f"{self.store.name}.final")
            self._final = self.flow.then(Final(name=name, parents=(self.node,), store=self.store))
        return Stream(self._final)


class GlobalTable(TableAccess[K, V], Generic[K, V]):
    """A topic held whole on every worker: streams join it, agents, timers and steps read it."""

    def __init__(self, flow: Flow, node: Node, store: StoreSpec) -> None:
        self.flow = flow
        self.node = node
        self.store = store

    def __repr__(self) -> str:
        return f"<GlobalTable {self.name!r} {self.flow.shape}>"

    @property
    def declaration(self) -> Declaration:
        """The application that the table belongs to."""
        return self.flow.declaration
