"""Syncing of the partitions of a round in several threads.

A file system writes its journal once for all syncs that run at the same time, so a round of many partitions
takes a fraction of the time of the same syncs one after the other. The threads take partitions from one list
until the list is empty: a round wakes each thread at most once, however many partitions it has.
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
"""With more threads a round of 16 partitions is a little shorter but costs more processor time: each sync
that ends needs the interpreter.
"""

_Work: TypeAlias = tuple[deque[SyncTicket], SimpleQueue[None]]


class SyncThreads:
    """Threads that only sync, besides the thread that leads a round. Started when first needed."""

    def __init__(self, count: int = SYNC_THREADS) -> None:
        """``count`` threads sync at a time; the leader of the round is one of them."""
        self._count = count
        self._threads: list[threading.Thread] = []
        self._work: SimpleQueue[_Work | None] = SimpleQueue()

    def sync(self, tickets: Sequence[SyncTicket]) -> None:
        """Sync all tickets; the ticket and its partition record a failure. One caller at a time."""
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
        """End the threads. A second call does nothing."""
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
                # The partition's synced offset has not moved, so threads that wait for it start another sync.
                _logger.exception(
                    "syncing a partition failed with an unexpected error, the next round tries again"
                )
            finally:
                ended.put(None)


def _sync_each(remaining: deque[SyncTicket]) -> None:
    """Sync tickets until all are taken."""
    while True:
        try:
            ticket = remaining.popleft()
        except IndexError:
            return
        with suppress(
            StorageError
        ):  # the next round reports the failure to threads that wait for the partition
            ticket.sync()
