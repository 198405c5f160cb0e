"""The port to what keeps the state of one task: named stores of sorted byte keys and values.

An engine belongs to one task. The task's owner alone calls ``apply``; any thread may read. What
``apply`` was given is visible at once and as a whole: data of all stores, the positions that say how
far the data reaches, and the notes. A crash may take back a suffix of the applies, never half of one.

Positions are numbers under a name, notes are bytes under a name; what the names mean is decided by
``changelog`` (checkpoints), ``queries`` (store descriptions) and the task.

Two implementations: ``MemoryEngine`` and ``RocksEngine``. One contract suite runs on both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoreWrites:
    """What one store takes over in one ``apply``: keys with new values, and ranges that disappear.

    ``values`` runs parallel to ``keys``; ``None`` deletes the key. A key stands in ``keys`` once.
    Ranges are ``[start, end)`` and are deleted *before* the keys are written, so a key that is
    written in the same ``apply`` survives.
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
    """Named stores of one task, with the positions they reach. A store exists once it is written."""

    def get(self, store: str, key: bytes) -> bytes | None:
        """The value of a key, or ``None``."""

    def get_many(self, store: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values of keys, in their order."""

    def scan(
        self, store: str, start: bytes | None = None, end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """The pairs with ``start <= key < end`` in the order of key bytes, as they are at this call.

        ``None`` leaves a side open. Later applies do not show.
        """

    def apply(
        self,
        writes: Sequence[StoreWrites],
        positions: Mapping[str, int] = ...,
        notes: Mapping[str, bytes] = ...,
    ) -> None:
        """Take over writes, positions and notes in one atomic step. For the owner only.

        Raises:
            StorageError: the disk refused; nothing of this call has happened.
        """

    def position(self, name: str) -> int | None:
        """The number that ``apply`` last stamped under this name."""

    def note(self, name: str) -> bytes | None:
        """The bytes that ``apply`` last wrote under this name."""

    def stores(self) -> list[str]:
        """The names of the stores that exist, sorted."""

    def drop_store(self, store: str) -> None:
        """Delete a store with all its data; positions and notes stay. For the owner only."""

    def flush(self) -> None:
        """Make everything applied so far survive a power cut."""

    def close(self) -> None:
        """Flush and give everything back; every later call raises ``ClosedError``."""
