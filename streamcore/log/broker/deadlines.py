"""The next deadline of each group.

A heap of times, of which a group's earliest counts. Postponing a group's deadline does not change the heap:
the group is woken too early once, and then adds its real deadline. So a heartbeat, which only postpones,
costs nothing here.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

NEVER_S: Final = float("inf")
_STALE_MIN: Final = 64


class Deadlines:
    """Groups by the time of their next wake-up."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._wanted: dict[str, float] = {}

    def wake(self, name: str, moment_s: float) -> None:
        """Wake a group at this time, or before."""
        if moment_s >= self._wanted.get(name, NEVER_S):
            return
        self._wanted[name] = moment_s
        if len(self._heap) > 2 * len(self._wanted) + _STALE_MIN:
            self._heap = [(each_s, each) for each, each_s in self._wanted.items()]
            heapify(self._heap)
        else:
            heappush(self._heap, (moment_s, name))

    def take_due(self, now_s: float) -> list[str]:
        """Return the groups whose time has come; each is returned once."""
        due: list[str] = []
        while self.next_s <= now_s:
            _, name = heappop(self._heap)
            del self._wanted[name]
            due.append(name)
        return due

    @property
    def next_s(self) -> float:
        """Return the next time; infinity if there is none."""
        while self._heap and self._wanted.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else NEVER_S
