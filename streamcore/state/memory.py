"""A ``KeyValueEngine`` in memory: for tests, the topology driver, and state that may be lost.

Each store is a dict and a sorted list of its keys. Only a scan updates the list, by sorting the new keys in:
Python's sort merges two sorted sequences in linear time.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from streamcore.errors import ClosedError
from streamcore.state.engine import StoreWrites


class MemoryEngine:
    """Stores, positions and notes as dicts; nothing outlives the object."""

    def __init__(self) -> None:
        self._stores: dict[str, _SortedStore] = {}
        self._positions: dict[str, int] = {}
        self._notes: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def get(self, store: str, key: bytes) -> bytes | None:
        """Return the value of a key, or ``None``."""
        found = self._stores.get(store)
        # In this order: ``close``, of another thread, makes every store look as if it did not exist.
        self._ensure_open()
        return None if found is None else found.values.get(key)

    def get_many(self, store: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys, in their order."""
        found = self._stores.get(store)
        self._ensure_open()
        if found is None:
            return [None] * len(keys)
        return list(map(found.values.get, keys))

    def scan(
        self, store: str, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Return the pairs with ``start <= key < end``, as of this call."""
        with self._lock:
            found = self._stores.get(store)
            self._ensure_open()
            pairs = [] if found is None else found.pairs(start, end)
        return reversed(pairs) if reverse else iter(pairs)

    def apply(
        self,
        writes: Sequence[StoreWrites],
        positions: Mapping[str, int] | None = None,
        notes: Mapping[str, bytes] | None = None,
    ) -> None:
        """Apply writes, positions and notes in one step."""
        self._ensure_open()
        with self._lock:
            for store_writes in writes:
                self._stores.setdefault(store_writes.store, _SortedStore()).write(store_writes)
            self._positions.update(positions or {})
            self._notes.update(notes or {})

    def position(self, name: str) -> int | None:
        """Return the number that ``apply`` last stamped under this name."""
        self._ensure_open()
        return self._positions.get(name)

    def note(self, name: str) -> bytes | None:
        """Return the bytes that ``apply`` last wrote under this name."""
        self._ensure_open()
        return self._notes.get(name)

    def stores(self) -> list[str]:
        """Return the names of the existing stores, sorted."""
        names = sorted(self._stores)
        self._ensure_open()
        return names

    def drop_store(self, store: str) -> None:
        """Delete a store with all its data; positions and notes stay."""
        self._ensure_open()
        with self._lock:
            self._stores.pop(store, None)

    def flush(self) -> None:
        """Do nothing: there is no disk."""
        self._ensure_open()

    def close(self) -> None:
        """Release everything."""
        self._is_closed = True
        self._stores = {}

    def _ensure_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the state of this task was closed before the call")


class _SortedStore:
    """One store: ``values`` has the data; ``_sorted`` has the keys in order, except those in ``_changed``."""

    __slots__ = ("_changed", "_has_removed", "_sorted", "values")

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._sorted: list[bytes] = []
        self._changed: set[bytes] = set()
        self._has_removed = False

    def write(self, writes: StoreWrites) -> None:
        for start, end in writes.deleted_ranges:
            self._delete_range(start, end)
        values, changed = self.values, self._changed
        for key, value in zip(writes.keys, writes.values, strict=True):
            if value is not None:
                if key not in values:
                    changed.add(key)
                values[key] = value
            elif key in values:
                del values[key]
                changed.add(key)
                self._has_removed = True

    def pairs(self, start: bytes | None, end: bytes | None) -> list[tuple[bytes, bytes]]:
        low, high = self._bounds(start, end)
        values = self.values
        return [(key, values[key]) for key in self._sorted[low:high]]

    def _delete_range(self, start: bytes, end: bytes) -> None:
        low, high = self._bounds(start, end)
        for key in self._sorted[low:high]:
            del self.values[key]
        del self._sorted[low:high]

    def _bounds(self, start: bytes | None, end: bytes | None) -> tuple[int, int]:
        self._sort_in_changes()
        low = 0 if start is None else bisect_left(self._sorted, start)
        high = len(self._sorted) if end is None else bisect_left(self._sorted, end)
        return low, max(low, high)

    def _sort_in_changes(self) -> None:
        changed = self._changed
        if not changed:
            return
        if self._has_removed:
            self._sorted = [key for key in self._sorted if key not in changed]
        self._sorted.extend(sorted(key for key in changed if key in self.values))
        self._sorted.sort()
        self._changed, self._has_removed = set(), False
