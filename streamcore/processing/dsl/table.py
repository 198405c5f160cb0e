"""Tables: the latest value per key counts. Declared here, kept by the tasks, written by agents."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from streamcore.durations import duration_ms
from streamcore.errors import TopologyError, fact_text
from streamcore.model import Windowed
from streamcore.processing.context import table_in_task, window_start_now
from streamcore.processing.dsl.declaration import Declaration
from streamcore.processing.dsl.flow import Flow
from streamcore.processing.topology.nodes import Final, Node, StoreSpec
from streamcore.processing.topology.windows import TimeWindows

if TYPE_CHECKING:
    from streamcore.processing.dsl.stream import Stream

K = TypeVar("K")
V = TypeVar("V")


class Table(Generic[K, V]):
    """A table that the topology keeps: an aggregation, or a topic's newest values."""

    def __init__(self, flow: Flow, store: StoreSpec) -> None:
        self.flow = flow
        self.store = store

    @property
    def node(self) -> Node:
        """The step that keeps the table."""
        return self.flow.node

    @property
    def name(self) -> str:
        """The name of the table, its store and its changelog."""
        return self.store.name

    def updates(self) -> Stream[K, V]:
        """Each change, in order: the key and its new value (``None`` where the key is deleted)."""
        from streamcore.processing.dsl.stream import Stream

        return Stream(self.flow)

    def to_stream(self) -> Stream[K, V]:
        """The same as ``updates``."""
        return self.updates()


class WindowedTable(Generic[K, V]):
    """An aggregation by key and window. Both its streams are keyed by ``sc.Windowed``."""

    def __init__(self, flow: Flow, store: StoreSpec) -> None:
        inner = flow.shape.key_type
        windowed: Any = Windowed
        key_type = windowed if inner is None else windowed[inner]
        self.flow = Flow(flow.declaration, flow.node, replace(flow.shape, key_type=key_type))
        self.store = store
        self._final: Flow | None = None

    @property
    def node(self) -> Node:
        """The step that keeps the table."""
        return self.flow.node

    @property
    def name(self) -> str:
        """The name of the table, its store and its changelog."""
        return self.store.name

    def updates(self) -> Stream[Windowed[K], V]:
        """Each change of each window, as it happens."""
        from streamcore.processing.dsl.stream import Stream

        return Stream(self.flow)

    def final(self) -> Stream[Windowed[K], V]:
        """One result per key and window, when the window closes; never changed afterwards."""
        from streamcore.processing.dsl.stream import Stream

        if self._final is None:
            name = self.flow.declaration.node_name(None, None, f"{self.store.name}.final")
            self._final = self.flow.then(Final(name=name, parents=(self.node,), store=self.store))
        return Stream(self._final)


class GlobalTableView(Generic[K, V]):
    """A topic held whole on every worker, to be joined."""

    def __init__(self, node: Node, store: StoreSpec) -> None:
        self.node = node
        self.store = store

    @property
    def name(self) -> str:
        """The name of the table and its store."""
        return self.store.name


class AppTable(Generic[K, V]):
    """A table that agents write: ``t[k]``, ``t[k] = v``, ``t[k] += 1``, ``del t[k]``, ``k in t``.

    It is split like the topic whose agent writes it: an agent sees the keys of its own partition. A
    changed value must be assigned back; mutating it in place does nothing.
    """

    def __init__(self, declaration: Declaration, store: StoreSpec) -> None:
        self._declaration = declaration
        self.store = store

    @property
    def name(self) -> str:
        """The name of the table, its store and its changelog."""
        return self.store.name

    def tumbling(
        self, size: str | timedelta | int, *, retention: str | timedelta | int | None = None
    ) -> AppTable[K, V]:
        """Make the table windowed: ``t[k]`` is the value in the window of the agent's current event.

        The table itself is then not to be used any more. Windows older than ``retention`` are dropped.
        """
        windows = TimeWindows(
            duration_ms(size),
            duration_ms(size),
            retention_ms=None if retention is None else duration_ms(retention),
        )
        tables = self._declaration.app_tables
        if not any(store is self.store for store in tables):
            raise TopologyError(f"the table is windowed already: {fact_text(table=self.name)}")
        windowed = replace(self.store, windows=windows)
        tables[:] = [windowed if store is self.store else store for store in tables]
        return AppTable(self._declaration, windowed)

    def __getitem__(self, key: K) -> V:
        value = table_in_task(self.store).get(self._place(key))
        if value is not None:
            return value  # type: ignore[no-any-return]
        default = self.store.default
        if default is None:
            raise KeyError(key)
        return default() if callable(default) else default  # type: ignore[no-any-return]

    def __setitem__(self, key: K, value: V) -> None:
        if value is None:
            raise ValueError("None deletes a key: use del table[key]")
        table_in_task(self.store).put(self._place(key), value)

    def __delitem__(self, key: K) -> None:
        store = table_in_task(self.store)
        place = self._place(key)
        if store.get(place) is None:
            raise KeyError(key)
        store.delete(place)

    def __contains__(self, key: K) -> bool:
        return table_in_task(self.store).get(self._place(key)) is not None

    def get(self, key: K, default: V | None = None) -> V | None:
        """The value of a key, or ``default``; the table's own default does not count here."""
        value = table_in_task(self.store).get(self._place(key))
        return default if value is None else value

    def pop(self, key: K, default: V | None = None) -> V | None:
        """Remove a key; return its value, or ``default`` if there was none."""
        value = self.get(key)
        if value is None:
            return default
        table_in_task(self.store).delete(self._place(key))
        return value

    def items(self) -> Iterator[tuple[Any, V]]:
        """What this partition holds, in the order of the stored keys; windows as ``sc.Windowed``."""
        pairs = table_in_task(self.store).items()
        windows = self.store.windows
        if windows is None:
            return iter(pairs)
        size_ms = windows.size_ms
        return ((Windowed(key, start, start + size_ms), value) for (key, start), value in pairs)

    def keys(self) -> Iterator[Any]:
        """The keys of this partition."""
        return (key for key, _ in self.items())

    def __iter__(self) -> Iterator[Any]:
        return self.keys()

    def _place(self, key: K) -> Any:
        """The key in the store: of a windowed table with the start of the current window."""
        return key if self.store.windows is None else (key, window_start_now(self.store))
