"""A bound on the producers that a log remembers, because any client may appear as any number of producers.

There is a bound for each partition and one for the whole log. At a bound the producers that have not written
for the longest time are removed, several at once. A removed producer loses only this: a batch that it sends
twice is not recognised any more, and it may continue with any sequence number.

A producer with an open transaction in the partition is never removed: the last stable offset depends on the
start of that transaction, and its marker has to find it. If all remembered producers have open transactions,
new producers are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nsmallest
from operator import itemgetter
from typing import Final, Protocol
from weakref import WeakSet

from streamcore.errors import RequestTimeoutError, with_facts
from streamcore.model import ProducerId, TimestampMs

_SHARE_FORGOTTEN: Final = 8
"""One producer in so many is removed at once, so that not every new producer causes a removal."""


class Remembered(Protocol):
    """The producers that one partition remembers."""

    def __len__(self) -> int: ...

    def idle(self) -> Iterator[tuple[TimestampMs, ProducerId]]:
        """Return the producers without an open transaction, with the time when each was seen last."""

    def forget(self, producer_id: ProducerId) -> None:
        """Remove one producer."""


class ProducerLimit:
    """The bound on the producers of all partitions of a log."""

    def __init__(self, *, partition_count_max: int = 20_000, count_max: int = 200_000) -> None:
        self._partition_count_max = partition_count_max
        self._count_max = count_max
        self._partitions: WeakSet[Remembered] = WeakSet()
        # An upper bound: removed producers and deleted partitions are not subtracted.
        self._count = 0

    def add_partition(self, producers: Remembered) -> None:
        """Count a partition's producers from now on."""
        self._partitions.add(producers)
        self._count += len(producers)

    def note_new(self) -> None:
        """Count one more producer of a partition."""
        self._count += 1

    def ensure_one_more(self, producers: Remembered) -> None:
        """Make room for one more producer in a partition.

        Raises:
            RequestTimeoutError: there is no room, and all remembered producers have open transactions.
        """
        if len(producers) >= self._partition_count_max:
            forget_count = len(producers) - self._partition_count_max + 1
            self._forget([producers], forget_count, self._partition_count_max)
        if self._count >= self._count_max:
            self._count = sum(map(len, self._partitions))
            if self._count >= self._count_max:
                forget_count = self._count - self._count_max + 1
                self._count -= self._forget(list(self._partitions), forget_count, self._count_max)

    def _forget(self, partitions: list[Remembered], count_min: int, count_max: int) -> int:
        idle = [(seen_ms, each, producers) for producers in partitions for seen_ms, each in producers.idle()]
        if len(idle) < count_min:
            raise RequestTimeoutError(
                with_facts(
                    "the limit of producers is reached, and all have open transactions: send again later",
                    producers_max=count_max,
                )
            )
        going = nsmallest(max(count_min, count_max // _SHARE_FORGOTTEN), idle, key=itemgetter(0))
        for _, producer_id, producers in going:
            producers.forget(producer_id)
        return len(going)
