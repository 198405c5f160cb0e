"""A batch of files and folders to sync, which several threads sync at the same time.

A file system writes its journal once for all syncs that run at the same time. One after the other, the three
or four syncs of a partition take minutes for thousands of partitions on a busy disk.

Order: within a batch all files are synced before any file is renamed, all files are renamed before any folder
is synced, and nothing else is ordered. So a batch is not for two things of which the second must not be
durable without the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from streamcore.log.storage.files import Bytes, File, FileSystem, put_in_place, write_beside


class SyncBatch:
    """Files and folders to sync, and the steps to run after their syncs."""

    def __init__(self, file_system: FileSystem, thread_count: int) -> None:
        self._file_system = file_system
        self._thread_count = thread_count
        self._files: list[Callable[[], None]] = []
        self._names: list[Callable[[], None]] = []
        self._folders: list[Callable[[], None]] = []
        self._endings: list[Callable[[], None]] = []

    @property
    def open_file_count(self) -> int:
        """The number of files that stay open until ``run``."""
        return len(self._endings)

    def add_open(self, file: File, close: Callable[[], None]) -> None:
        """Add an open file; ``close`` is called after its sync."""
        self._files.append(file.sync)
        self._endings.append(close)

    def add_closed(self, path: Path) -> None:
        """Add a file that is opened only for its sync."""
        self._files.append(partial(self._sync_closed, path))

    def add_whole(self, path: Path, data: Bytes) -> None:
        """Add a file whose content is replaced in one step, as by ``write_whole``. Add its folder, too."""
        file = write_beside(self._file_system, path, data)
        self.add_open(file, file.close)
        self._names.append(partial(put_in_place, self._file_system, path))

    def add_folder(self, path: Path) -> None:
        """Add a folder, so that the names in it become durable."""
        self._folders.append(partial(self._file_system.sync_directory, path))

    def run(self) -> None:
        """Sync everything in the batch, and empty the batch.

        Raises:
            StorageError: the disk refused; which files are durable is unknown.
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
