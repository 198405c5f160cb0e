"""Reduces the work of Python's garbage collector while at least one worker is open.

A fetched batch is some ten thousand objects that live until the batch is processed and are then freed
by their reference counts. By default the collector searches for cycles after each 700 new objects (2,000
since Python 3.13), so it traverses the batch again and again and finds nothing: that was a third to
a half of the CPU time of a count by key. With the wider thresholds it runs once in a batch or two. Cycles
made by the application's code are still collected, only later.

The collector belongs to the whole process, so its thresholds are restored when the last worker closes,
and are not changed where the program has set wider ones or disabled the collector.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

YOUNG_OBJECTS_MAX: Final = 50_000
"""The surplus of created over freed container objects after which the collector runs."""

_OLDER_GENERATIONS: Final = (10, 10)


class CollectorPace:
    """Counts the open workers; the first sets the thresholds, the last restores them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder_count = 0
        self._before: tuple[int, int, int] | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Use the wider thresholds while the block lasts."""
        with self._lock:
            self._holder_count += 1
            found = gc.get_threshold()
            if self._holder_count == 1 and 0 < found[0] < YOUNG_OBJECTS_MAX:
                self._before = found
                gc.set_threshold(YOUNG_OBJECTS_MAX, *_OLDER_GENERATIONS)
        try:
            yield
        finally:
            with self._lock:
                self._holder_count -= 1
                if self._holder_count == 0 and self._before is not None:
                    gc.set_threshold(*self._before)
                    self._before = None


COLLECTOR_PACE: Final = CollectorPace()
"""That of this process: there is one collector."""
