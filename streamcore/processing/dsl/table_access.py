"""Reading of tables in user code: by key, and as a mapping.

Which keys a read sees depends on the code that reads:

* in an agent, or in the function of a step: the keys of its task, with all writes so far;
* in a timer: the keys of all tasks of its worker, as of the last commit;
* of a global table: all keys, in both.

Elsewhere reading raises ``UsageError``; outside of the application use ``running.table(name)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Generic, TypeVar, overload

from streamcore.durations import time_ms
from streamcore.errors import UsageError, fact_text
from streamcore.processing.context import table_in_task, window_starts_now
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.windows import RecordWindows

K = TypeVar("K")
V = TypeVar("V")

Time = datetime | str | int


class TableAccess(Generic[K, V]):
    """The reading methods of a table."""

    store: StoreSpec

    @property
    def name(self) -> str:
        """The name of the table, its store and its changelog."""
        return self.store.name

    @overload
    def get(self, key: K, default: V, *, at: Time | None = ...) -> V: ...
    @overload
    def get(self, key: K, default: V | None = ..., *, at: Time | None = ...) -> V | None: ...
    def get(self, key: K, default: V | None = None, *, at: Time | None = None) -> V | None:
        """Return the value of a key, or ``default``.

        Args:
            at: for a windowed table, a time in the window to read; by default the time of the agent's event.
                Of several windows that hold the time, the last one that has a value is read.

        Raises:
            UsageError: the table cannot be read here, or ``at`` is left out where no event is at hand.
        """
        value = self._read(self._store_keys(key) if at is None else self._store_keys_at(key, time_ms(at)))
        return default if value is None else value

    def __getitem__(self, key: K) -> V:
        value = self._read(self._store_keys(key))
        if value is None:
            raise KeyError(key)
        return value

    def __contains__(self, key: K) -> bool:
        return self._read(self._store_keys(key)) is not None

    def items(self) -> Iterator[tuple[Any, V]]:
        """Return keys and values, in the order of the stored keys; keys of windows as ``sc.Windowed``."""
        pairs = table_in_task(self.store).items()
        windows = self.store.windows
        if windows is None:
            return iter(pairs)
        return ((windows.windowed(*window), value) for window, value in pairs)

    def keys(self) -> Iterator[Any]:
        """Return the keys, in the order of ``items``."""
        return (key for key, _ in self.items())

    def values(self) -> Iterator[V]:
        """Return the values, in the order of ``items``."""
        return (value for _, value in self.items())

    def __iter__(self) -> Iterator[Any]:
        return self.keys()

    def __len__(self) -> int:
        """Return the number of keys. Reads all of them: the stores keep no count."""
        return sum(1 for _ in self.items())

    def __bool__(self) -> bool:
        return next(self.items(), None) is not None

    def _store_key(self, key: K) -> Any:
        """Return the key in the store; for a windowed table with the start of the current event's window."""
        return key if self.store.windows is None else (key, window_starts_now(self.store)[-1])

    def _store_keys(self, key: K) -> list[Any]:
        """Return the key in the store; for a windowed table with each start of a window of the current event,
        the last first.
        """
        if self.store.windows is None:
            return [key]
        return [(key, start_ms) for start_ms in reversed(window_starts_now(self.store))]

    def _store_keys_at(self, key: K, at_ms: int) -> list[Any]:
        """Return the keys in the store for the windows of a time, that of the last window first."""
        if self.store.windows is None:
            raise UsageError(f"at= is for windowed tables: {fact_text(table=self.name)}")
        if isinstance(self.store.windows, RecordWindows):
            return [(key, at_ms)]
        return [(key, start_ms) for start_ms in reversed(self.store.windows.starts_of(at_ms))]

    def _read(self, store_keys: list[Any]) -> V | None:
        """Return the value of the first of these keys in the store that has one."""
        table = table_in_task(self.store)
        for store_key in store_keys:
            value: V | None = table.get(store_key)
            if value is not None:
                return value
        return None
