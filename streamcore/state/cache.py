"""Remembers what a store holds for the keys used lately, in bounded memory and at a flat cost per key.

Two generations: ``hot`` holds what was used since the last change of generation, ``cold`` what was hot
before that. Whoever uses a cold key makes it hot. When both together are too many, the oldest of the
cold go; when the cold are used up, the hot become cold. No entry is touched to keep an order, and
trimming costs what it takes away. Keys that the store is known not to hold are remembered, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class TwoGenerationCache(Generic[K, V]):
    """Keys with values, and keys known to have none. Owned by one ``WriteBack``, which works on ``hot``."""

    __slots__ = ("absent", "cold", "entries_max", "hot")

    def __init__(self, entries_max: int) -> None:
        assert entries_max >= 1
        self.entries_max = entries_max
        self.hot: dict[K, V] = {}
        self.cold: dict[K, V] = {}
        self.absent: set[K] = set()

    def unknown(self, keys: Iterable[K]) -> list[K]:
        """Make the cold ones of these keys hot; return those of which nothing is known.

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
        """Take over a new value, as a hot one."""
        self.hot[key] = value
        self.cold.pop(key, None)
        self.absent.discard(key)

    def set_absent(self, key: K) -> None:
        """Remember that the key has no value."""
        self.hot.pop(key, None)
        self.cold.pop(key, None)
        self.absent.add(key)

    def trim(self, pinned: Collection[K]) -> None:
        """Forget what is too much, but nothing about the ``pinned`` keys, which are hot or absent."""
        excess = len(self.hot) + len(self.cold) - self.entries_max
        if excess > 0:
            if excess >= len(self.cold):
                self.cold = self.hot
                self.hot = {key: self.cold.pop(key) for key in pinned if key in self.cold}
                excess = len(self.hot) + len(self.cold) - self.entries_max
            for key in list(islice(self.cold, max(0, excess))):
                del self.cold[key]
        if len(self.absent) > self.entries_max:
            self.absent = {key for key in pinned if key in self.absent}

    def clear(self) -> None:
        """Forget everything."""
        self.hot = {}
        self.cold = {}
        self.absent = set()
