"""Tables: the latest value per key counts. Declared here, kept by the tasks, written by agents."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from streamcore.model import Windowed
from streamcore.processing.declaration import Declaration, value_serde_for
from streamcore.processing.runtime.context import table_in_task
from streamcore.processing.stream import Stream
from streamcore.processing.topology.nodes import Final, Node, StoreSpec

K = TypeVar("K")
V = TypeVar("V")


class Table(Generic[K, V]):
    """A table that the topology keeps: an aggregation, or a topic's newest values."""

    def __init__(
        self, declaration: Declaration, node: Node, store: StoreSpec, key_type: Any, value_type: Any
    ) -> None:
        self._declaration = declaration
        self.node = node
        self.store = store
        self._key_type = key_type
        self._value_type = value_type

    @property
    def name(self) -> str:
        """The name of the table, its store and its changelog."""
        return self.store.name

    def updates(self) -> Stream[K, V]:
        """Each change, in order: the key and its new value (``None`` where the key is deleted)."""
        return Stream(
            self._declaration,
            self.node,
            key_type=self._key_type,
            value_type=self._value_type,
            value_serde=value_serde_for(self._value_type)
            if self.store.source_topic is None
            else self.store.value_serde,
        )

    def to_stream(self) -> Stream[K, V]:
        """The same as ``updates``."""
        return self.updates()


class WindowedTable(Generic[K, V]):
    """An aggregation by key and window. Both its streams are keyed by ``sc.Windowed``."""

    def __init__(
        self, declaration: Declaration, node: Node, store: StoreSpec, key_type: Any, value_type: Any
    ) -> None:
        self._declaration = declaration
        self.node = node
        self.store = store
        self._key_type = key_type
        self._value_type = value_type
        self._final: Node | None = None

    @property
    def name(self) -> str:
        """The name of the table, its store and its changelog."""
        return self.store.name

    def updates(self) -> Stream[Windowed[K], V]:
        """Each change of each window, as it happens."""
        return self._stream(self.node)

    def final(self) -> Stream[Windowed[K], V]:
        """One result per key and window, when the window closes; never changed afterwards."""
        if self._final is None:
            name = self._declaration.node_name(None, None, f"{self.store.name}.final")
            self._final = self._declaration.add(Final(name=name, parents=(self.node,), store=self.store))
        return self._stream(self._final)

    def _stream(self, node: Node) -> Stream[Windowed[K], V]:
        inner = self._key_type
        key_type: Any = Windowed if inner is None else types.GenericAlias(Windowed, (inner,))
        return Stream(
            self._declaration,
            node,
            key_type=key_type,
            value_type=self._value_type,
            value_serde=value_serde_for(self._value_type),
        )


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

    def __init__(self, store: StoreSpec) -> None:
        self.store = store

    @property
    def name(self) -> str:
        """The name of the table, its store and its changelog."""
        return self.store.name

    def __getitem__(self, key: K) -> V:
        value = table_in_task(self.store).get(key)
        if value is not None:
            return value  # type: ignore[no-any-return]
        default = self.store.default
        if default is None:
            raise KeyError(key)
        return default() if callable(default) else default  # type: ignore[no-any-return]

    def __setitem__(self, key: K, value: V) -> None:
        if value is None:
            raise ValueError("None deletes a key: use del table[key]")
        table_in_task(self.store).put(key, value)

    def __delitem__(self, key: K) -> None:
        store = table_in_task(self.store)
        if store.get(key) is None:
            raise KeyError(key)
        store.delete(key)

    def __contains__(self, key: K) -> bool:
        return table_in_task(self.store).get(key) is not None

    def get(self, key: K, default: V | None = None) -> V | None:
        """The value of a key, or ``default``; the table's own default does not count here."""
        value = table_in_task(self.store).get(key)
        return default if value is None else value

    def pop(self, key: K, default: V | None = None) -> V | None:
        """Remove a key; return its value, or ``default`` if there was none."""
        value = self.get(key)
        if value is None:
            return default
        table_in_task(self.store).delete(key)
        return value

    def items(self) -> Iterator[tuple[K, V]]:
        """The keys and values of this partition, in the order of the keys' stored bytes."""
        return iter(table_in_task(self.store).items())

    def keys(self) -> Iterator[K]:
        """The keys of this partition."""
        return (key for key, _ in self.items())

    def __iter__(self) -> Iterator[K]:
        return self.keys()
