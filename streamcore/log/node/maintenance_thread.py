"""A thread that maintains a log: syncs writes that no caller waits for, expires, retains, compacts.

The thread is a convenience for long-running programs: a program or a simulation can make the same calls
itself. A failed pass is logged once per kind of failure and tried again; a failing disk also fails the
appends, whose callers can react to it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from streamcore.clock import Clock
from streamcore.errors import StreamCoreError
from streamcore.log.node.maintenance_schedule import Job, MaintenanceSchedule

_logger = logging.getLogger(__name__)


class MaintenanceThread:
    """Calls ``sync`` every second, and ``maintain`` with the jobs that are due, until stopped."""

    def __init__(
        self,
        maintain: Callable[[Job], None],
        sync: Callable[[], None],
        schedule: MaintenanceSchedule,
        clock: Clock,
        *,
        sync_interval_s: float = 1.0,
    ) -> None:
        self._maintain = maintain
        self._sync = sync
        self._schedule = schedule
        self._clock = clock
        self._sync_interval_s = sync_interval_s
        self._stopping = threading.Event()
        self._seen_failures: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="streamcore-maintenance", daemon=True)

    def start(self) -> MaintenanceThread:
        """Start the thread."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop the thread after the present pass."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._sync_interval_s):
            self._attempt(self._sync)
            if jobs := self._schedule.take_due(self._clock.monotonic_s()):
                self._attempt(partial(self._maintain, jobs))

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            kind = type(error).__name__
            if kind not in self._seen_failures:
                self._seen_failures.add(kind)
                is_bug = not isinstance(error, StreamCoreError)
                _logger.warning(
                    "maintenance of the log failed, the next pass tries again: %s", error, exc_info=is_bug
                )
