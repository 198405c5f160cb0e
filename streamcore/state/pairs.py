"""A store of pairs that are also read by their first part: ``WriteBack`` over ``(first, second)`` bytes.

The encoded first part marks its end, so the pairs of one first part are a range of keys. What changed since
the last commit is grouped by first part, so a read costs what it returns, however much has changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any, TypeAlias, TypeVar

from streamcore.state.engine import StoreWrites
from streamcore.state.write_back import WriteBack

V = TypeVar("V")

Pair: TypeAlias = tuple[bytes, bytes]
_Changed: TypeAlias = defaultdict[bytes, dict[Pair, None]]


class PairStore(WriteBack[Pair, V]):
    """The pairs of one store of one task, written by ``put_many`` and ``delete_many``.

    Not for sharing between threads.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Add write-back to one store of pairs; the arguments are those of ``WriteBack``."""
        super().__init__(*arguments, **options)
        self._dirty_pairs: _Changed = defaultdict(dict)
        self._draining_pairs: _Changed = defaultdict(dict)

    @property
    def is_empty(self) -> bool:
        """Whether there is no pair; ``False`` if that is not known without a look at all of them."""
        if self._dirty_pairs or self._draining_pairs:
            return False
        return next(self._engine.scan(self.store, None, None), None) is None

    def of(self, first: bytes) -> Iterator[tuple[bytes, V]]:
        """Return the second parts of the pairs with this first part, in their order, with their values."""
        start, end = self._keys.encode((first, b"")), self._keys.encode((first + b"\x00", b""))
        changed = [*self._draining_pairs.get(first, ()), *self._dirty_pairs.get(first, ())]
        for (_, second), value in self._decoded(self._merged(start, end, changed)):
            yield second, value

    def drain(self) -> StoreWrites | None:
        """As in ``WriteBack``."""
        writes = super().drain()
        if writes is not None:
            self._draining_pairs, self._dirty_pairs = self._dirty_pairs, defaultdict(dict)
        return writes

    def committed(self) -> None:
        """As in ``WriteBack``."""
        self._draining_pairs = defaultdict(dict)
        super().committed()

    def abort(self) -> None:
        """As in ``WriteBack``."""
        self._dirty_pairs = defaultdict(dict)
        self._draining_pairs = defaultdict(dict)
        super().abort()

    def _refuse(self, keys: Collection[Pair]) -> None:
        """Accept all pairs: the step that makes them makes them of bytes."""

    def _note_changed(self, keys: Iterable[Pair]) -> None:
        super()._note_changed(keys)
        dirty = self._dirty_pairs
        for pair in keys:
            dirty[pair[0]][pair] = None
