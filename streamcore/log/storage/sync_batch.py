"""Collects what must be on disk before something is said, and syncs it side by side.

A file system writes its journal once for many syncs that come together. One after the other, the three or
four syncs of a partition take minutes for thousands of partitions on a busy disk.

Not for two things of which the second may not be durable without the first: within a batch, all files are
synced before any name is given, all names are given before any folder is synced, and nothing else is ordered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from streamcore.log.storage.files import Bytes, File, FileSystem, put_in_place, write_beside


class SyncBatch:
    """Files and folders that are to be synced, and what is to be done after that."""

    def __init__(self, file_system: FileSystem, thread_count: int) -> None:
        self._file_system = file_system
        self._thread_count = thread_count
        self._files: list[Callable[[], None]] = []
        self._names: list[Callable[[], None]] = []
        self._folders: list[Callable[[], None]] = []
        self._endings: list[Callable[[], None]] = []

    @property
    def open_file_count(self) -> int:
        """How many files are open until ``run``."""
        return len(self._endings)

    def add_open(self, file: File, close: Callable[[], None]) -> None:
        """An open file, which ``close`` gives back afterwards."""
        self._files.append(file.sync)
        self._endings.append(close)

    def add_closed(self, path: Path) -> None:
        """A file that is opened for its sync only."""
        self._files.append(partial(self._sync_closed, path))

    def add_whole(self, path: Path, data: Bytes) -> None:
        """A file whose content is replaced in one step, as by ``write_whole``. Add its folder, too."""
        file = write_beside(self._file_system, path, data)
        self.add_open(file, file.close)
        self._names.append(partial(put_in_place, self._file_system, path))

    def add_folder(self, path: Path) -> None:
        """Which names a folder has."""
        self._folders.append(partial(self._file_system.sync_directory, path))

    def run(self) -> None:
        """Sync all of it, and begin anew.

        Raises:
            StorageError: the disk refused; what is durable is not known.
        """
        files, names, folders, endings = self._files, self._names, self._folders, self._endings
        self._files, self._names, self._folders, self._endings = [], [], [], []
        try:
            self._side_by_side(files)
            for give_name in names:
                give_name()
            self._side_by_side(folders)
        finally:
            for ending in endings:
                ending()

    def _sync_closed(self, path: Path) -> None:
        file = self._file_system.open(path)
        try:
            file.sync()
        finally:
            file.close()

    def _side_by_side(self, actions: Sequence[Callable[[], None]]) -> None:
        if len(actions) <= 1 or self._thread_count == 1:
            for action in actions:
                action()
            return
        with ThreadPoolExecutor(self._thread_count, "streamcore-sync-batch") as pool:
            for done in [pool.submit(action) for action in actions]:
                done.result()
