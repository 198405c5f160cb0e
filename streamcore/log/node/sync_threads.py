"""Syncs the partitions of a round side by side.

A file system writes its journal once for all syncs that are under way together, so a round of many partitions
takes a fraction of the time that they take one after the other. The threads take from one list until it is
empty: a round wakes each of them once at most, however many partitions it has.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Self, TypeAlias

from streamcore.errors import StorageError
from streamcore.log.storage.partition.sync_ticket import SyncTicket

_logger = logging.getLogger(__name__)

SYNC_THREADS: Final = 4
"""With more of them a round of 16 partitions is a little shorter and costs more processor time: each sync
that ends wants the interpreter for itself."""

_Work: TypeAlias = tuple[deque[SyncTicket], SimpleQueue[None]]


class SyncThreads:
    """Threads that do nothing but sync, beside the one that leads a round. Started when first needed."""

    def __init__(self, count: int = SYNC_THREADS) -> None:
        """``count`` threads sync at a time, the leader of the round among them."""
        self._count = count
        self._threads: list[threading.Thread] = []
        self._work: SimpleQueue[_Work | None] = SimpleQueue()

    def sync(self, tickets: Sequence[SyncTicket]) -> None:
        """Sync all tickets; a failure is left to the ticket and its partition. One caller at a time."""
        remaining = deque(tickets)
        ended: SimpleQueue[None] = SimpleQueue()
        others_count = min(self._count, len(tickets)) - 1
        for number in range(others_count):
            if number == len(self._threads):
                self._start_one()
            self._work.put((remaining, ended))
        try:
            _sync_each(remaining)
        finally:
            for _ in range(others_count):
                ended.get()

    def close(self) -> None:
        """End the threads. Again does nothing."""
        threads, self._threads = self._threads, []
        for _ in threads:
            self._work.put(None)
        for thread in threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start_one(self) -> None:
        thread = threading.Thread(target=self._run, name="streamcore-sync", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            remaining, ended = work
            del work
            try:
                _sync_each(remaining)
            except Exception:
                # Its partition has not moved on, so whoever waits for it has it synced again.
                _logger.exception("syncing a partition has failed in a way that is not the disk's")
            finally:
                ended.put(None)


def _sync_each(remaining: deque[SyncTicket]) -> None:
    """Sync tickets until there is none that nobody has taken."""
    while True:
        try:
            ticket = remaining.popleft()
        except IndexError:
            return
        with suppress(StorageError):  # whoever needs the partition learns of it by the next round
            ticket.sync()
