"""Data files that were taken out of the log and wait for their end.

A file is taken out by a name that ends in ``.deleted``, which is quick. It is removed when its topic's
``file.delete.delay.ms`` is over, by whoever has the time: the system needs a quarter of a second to free
the blocks of a gigabyte, long to hold a lock for. What a stop or a crash leaves, the next opening removes.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from itertools import count
from pathlib import Path

from streamcore.log.storage.files import FileSystem
from streamcore.log.storage.segment.log_files import DELETED
from streamcore.model import TimestampMs


class RemovedFiles:
    """The files of one log that wait; each is on the disk, so there are as many as the disk holds."""

    def __init__(self, file_system: FileSystem) -> None:
        self._file_system = file_system
        self._numbers = count()
        self._turn = threading.Lock()
        self._new: list[tuple[Path, int]] = []
        self._waiting: list[tuple[TimestampMs, Path]] = []

    def take_out(self, path: Path, *, delay_ms: int) -> None:
        """Take a file's name away, which is durable once the folder is synced. For the owner."""
        renamed = path.with_name(f"{path.name}.{next(self._numbers)}{DELETED}")
        self._file_system.rename(path, renamed)
        with self._turn:
            self._new.append((renamed, delay_ms))

    def remove_due(self, now_ms: TimestampMs) -> None:
        """Remove what has waited long enough. For any thread.

        A file's time counts from the first call after it was taken out.
        """
        with self._turn:
            self._waiting += [(now_ms + delay_ms, path) for path, delay_ms in self._new]
            self._new.clear()
            due = [path for due_ms, path in self._waiting if due_ms <= now_ms]
            self._waiting = [entry for entry in self._waiting if entry[0] > now_ms]
        for path in due:
            with suppress(FileNotFoundError):  # its topic is deleted
                self._file_system.remove(path)
