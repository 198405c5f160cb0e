"""A cache of a store's recently used keys, with bounded memory and a constant cost per key.

The cache has two generations: ``hot`` holds the keys used since the last change of generation, ``cold`` those
that were hot before. Using a cold key makes it hot. When both together are too many, the oldest cold keys are
evicted; when no cold key is left, the hot keys become the cold ones. No entry is moved to keep an order, and
trimming costs as much as it evicts. Keys that the store is known not to hold are cached, too; none has to be
while the cache holds all keys of the store.

Too many are more than ``entries_max`` keys, or more than take ``bytes_max`` with values of the mean encoded
size. The sizes are those of the values that were written or read lately: ``weigh`` notes them. An object in
memory takes two to four times its encoded size.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Final, Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

BYTES_MAX: Final = 32 << 20
_WEIGHED_MAX: Final = 1 << 16
"""After so many values the earlier ones count half."""


class TwoGenerationCache(Generic[K, V]):
    """Keys with values, and keys known to have none. One ``WriteBack`` owns it and uses ``hot`` directly."""

    __slots__ = (
        "_weighed_bytes",
        "_weighed_count",
        "absent",
        "bytes_max",
        "cold",
        "entries_max",
        "holds_all",
        "hot",
    )

    def __init__(self, entries_max: int, bytes_max: int = BYTES_MAX) -> None:
        assert entries_max >= 1
        self.entries_max = entries_max
        self.bytes_max = bytes_max
        self._weighed_bytes = 0
        self._weighed_count = 0
        self.hot: dict[K, V] = {}
        self.cold: dict[K, V] = {}
        self.absent: set[K] = set()
        self.holds_all: bool | None = None
        """Whether every key of the store is cached, so that no other is looked up; ``None``: not known."""

    def unknown(self, keys: Iterable[K]) -> list[K]:
        """Make the cold ones of these keys hot; return the keys that are not cached.

        The keys must not be hot.
        """
        hot, cold, absent = self.hot, self.cold, self.absent
        unknown = []
        for key in keys:
            if key in cold:
                hot[key] = cold.pop(key)
            elif key not in absent:
                unknown.append(key)
        return unknown

    def set(self, key: K, value: V) -> None:
        """Set a value; its key is then hot."""
        self.hot[key] = value
        self.cold.pop(key, None)
        self.absent.discard(key)

    def set_many(self, values: Mapping[K, V]) -> None:
        """Set values; their keys are then hot."""
        hot, cold = self.hot, self.cold
        if cold:
            for key in values:
                if key not in hot:
                    cold.pop(key, None)
        self.absent.difference_update(values)
        hot.update(values)

    def set_absent(self, key: K) -> None:
        """Cache that the key has no value."""
        self.hot.pop(key, None)
        self.cold.pop(key, None)
        self.absent.add(key)

    def set_absent_many(self, keys: Iterable[K]) -> None:
        """Cache that the keys have no value."""
        for key in keys:
            self.set_absent(key)

    def weigh(self, values: Iterable[bytes | None]) -> None:
        """Note the sizes of encoded values, of which ``None`` are none."""
        sizes = [len(value) for value in values if value is not None]
        self._weighed_bytes += sum(sizes)
        self._weighed_count += len(sizes)
        if self._weighed_count > _WEIGHED_MAX:
            self._weighed_bytes //= 2
            self._weighed_count //= 2

    def entries_wanted(self) -> int:
        """Return the highest number of keys with values that trimming leaves, apart from pinned ones."""
        if self._weighed_bytes * self.entries_max <= self.bytes_max * self._weighed_count:
            return self.entries_max
        return max(1, self.bytes_max * self._weighed_count // self._weighed_bytes)

    def trim(self, pinned: Collection[K]) -> None:
        """Evict keys above the limit, but none of the ``pinned`` keys, which are hot or absent."""
        entries_max = self.entries_wanted()
        excess = len(self.hot) + len(self.cold) - entries_max
        if excess > 0:
            self.holds_all = False
            if excess >= len(self.cold):
                self.cold = self.hot
                self.hot = {key: self.cold.pop(key) for key in pinned if key in self.cold}
                excess = len(self.hot) + len(self.cold) - entries_max
            for key in list(islice(self.cold, max(0, excess))):
                del self.cold[key]
        if len(self.absent) > self.entries_max:
            self.absent = {key for key in pinned if key in self.absent}

    def clear(self) -> None:
        """Evict everything."""
        self.hot = {}
        self.cold = {}
        self.absent = set()
        self.holds_all = None
