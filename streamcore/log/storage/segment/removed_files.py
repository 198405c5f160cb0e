"""Data files that were removed from the log but not yet from the disk.

A file is removed from the log by renaming it to a name that ends in ``.deleted``, which is quick. It is
removed from the disk when its topic's ``file.delete.delay.ms`` is over, in any thread: the operating system
needs a quarter of a second to free the blocks of a gigabyte, too long to hold a lock. Files that a stop or a
crash leaves are removed by the next opening.
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
    """The removed files of one log. Each is still on the disk, so the disk bounds their number."""

    def __init__(self, file_system: FileSystem) -> None:
        self._file_system = file_system
        self._numbers = count()
        self._turn = threading.Lock()
        self._new: list[tuple[Path, int]] = []
        self._waiting: list[tuple[TimestampMs, Path]] = []

    def take_out(self, path: Path, *, delay_ms: int) -> None:
        """Rename a file away; durable once the folder is synced. For the owner."""
        renamed = path.with_name(f"{path.name}.{next(self._numbers)}{DELETED}")
        self._file_system.rename(path, renamed)
        with self._turn:
            self._new.append((renamed, delay_ms))

    def remove_due(self, now_ms: TimestampMs) -> None:
        """Remove the files whose delay is over. For any thread.

        A file's delay begins at the first call after it was renamed.
        """
        with self._turn:
            self._waiting += [(now_ms + delay_ms, path) for path, delay_ms in self._new]
            self._new.clear()
            due = [path for due_ms, path in self._waiting if due_ms <= now_ms]
            self._waiting = [entry for entry in self._waiting if entry[0] > now_ms]
        for path in due:
            with suppress(FileNotFoundError):  # its topic was deleted
                self._file_system.remove(path)
