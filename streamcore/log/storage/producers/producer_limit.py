"""Bounds how many producers a log remembers: anybody may come as a new producer, as often as they like.

There is a bound for each partition and one for the whole log. Where one is reached, those go that have been
silent for longest, several at once. What a producer loses that is forgotten is only this: a batch that it
sends twice is not recognised any more, and it may go on with any sequence number.

A producer with an open transaction in the partition is never forgotten: where that transaction began is what
the last stable offset goes by, and its marker has to find it. Where nobody else is left, new ones are
refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import nsmallest
from operator import itemgetter
from typing import Final, Protocol
from weakref import WeakSet

from streamcore.errors import RequestTimeoutError, fact_text
from streamcore.model import ProducerId, TimestampMs

_SHARE_FORGOTTEN: Final = 8
"""One in so many is forgotten at once, so that room is not made for each new producer anew."""


class Remembered(Protocol):
    """The producers that one partition remembers."""

    def __len__(self) -> int: ...

    def idle(self) -> Iterator[tuple[TimestampMs, ProducerId]]:
        """Those without an open transaction, and when each was seen last."""

    def forget(self, producer_id: ProducerId) -> None:
        """Drop one."""


class ProducerRoom:
    """Room for the producers of all partitions of a log."""

    def __init__(self, *, partition_count_max: int = 20_000, count_max: int = 200_000) -> None:
        self._partition_count_max = partition_count_max
        self._count_max = count_max
        self._partitions: WeakSet[Remembered] = WeakSet()
        # Not less than there are: producers that go, and partitions that are deleted, are not taken off.
        self._count = 0

    def add_partition(self, producers: Remembered) -> None:
        """Count a partition's producers from now on."""
        self._partitions.add(producers)
        self._count += len(producers)

    def note_new(self) -> None:
        """A partition remembers one more."""
        self._count += 1

    def ensure_one_more(self, producers: Remembered) -> None:
        """Have room for one more in a partition.

        Raises:
            RequestTimeoutError: there is none, and all that are remembered have transactions open.
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
                "as many producers are remembered as may be, all with open transactions: send again later, "
                + fact_text(producers_max=count_max)
            )
        going = nsmallest(max(count_min, count_max // _SHARE_FORGOTTEN), idle, key=itemgetter(0))
        for _, producer_id, producers in going:
            producers.forget(producer_id)
        return len(going)
