"""The port to the database of one task's state: named stores of sorted byte keys and values.

An engine belongs to one task. Only the task's owner calls ``apply`` and ``close``; any thread may read. A
read that meets ``close`` is answered as before it, or raises ``ClosedError``. The content of an ``apply``
becomes visible at once and as a whole: data of all stores, the positions that the data reaches, and the
notes. A crash may undo a suffix of the applies, never a part of one.

Positions are numbers under a name, notes are bytes under a name. ``changelog`` (checkpoints),
``queries`` (store descriptions) and the task define the names.

There are two implementations, ``MemoryEngine`` and ``RocksEngine``. One contract suite runs on both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field


class StoreWrites(Struct, frozen=True):
    """The writes of one ``apply`` to one store: keys with new values, and ranges to delete.

    ``values`` is parallel to ``keys``; ``None`` deletes the key. A key is in ``keys`` at most once. Ranges
    are ``[start, end)`` and are deleted *before* the keys are written, so a key that is written in the same
    ``apply`` survives.
    """

    store: str
    keys: list[bytes]
    values: list[bytes | None]
    deleted_ranges: list[tuple[bytes, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert len(self.keys) == len(self.values)

    def __len__(self) -> int:
        return len(self.keys)


class KeyValueEngine(Protocol):
    """Named stores of one task, with the positions that they reach. A store exists once it is written."""

    def get(self, store: str, key: bytes) -> bytes | None:
        """Return the value of a key, or ``None``."""

    def get_many(self, store: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys, in their order."""

    def scan(
        self, store: str, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Return the pairs with ``start <= key < end`` in the order of key bytes, as of this call.

        ``None`` leaves a side open. Later applies are not visible.
        """

    def apply(
        self,
        writes: Sequence[StoreWrites],
        positions: Mapping[str, int] = ...,
        notes: Mapping[str, bytes] = ...,
    ) -> None:
        """Apply writes, positions and notes atomically. Only the owner calls it.

        Raises:
            StorageError: the disk refused the write; nothing of this call is applied.
        """

    def position(self, name: str) -> int | None:
        """Return the number that ``apply`` last stamped under this name."""

    def note(self, name: str) -> bytes | None:
        """Return the bytes that ``apply`` last wrote under this name."""

    def stores(self) -> list[str]:
        """Return the names of the existing stores, sorted."""

    def drop_store(self, store: str) -> None:
        """Delete a store with all its data; positions and notes stay. Only the owner calls it."""

    def flush(self) -> None:
        """Make everything applied so far survive a power cut."""

    def close(self) -> None:
        """Flush and release all resources; every later call raises ``ClosedError``."""
