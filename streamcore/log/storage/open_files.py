"""Keeps a bounded number of data files open for reading.

A log may have many thousands of closed segments, but a process only so many file descriptors. The
files that were read last stay open. Files that are being written are not held here: their segment
owns them until everything in them is synced.

A file that is about to be removed is kept open a little longer. The system frees its blocks when the
last descriptor goes, which takes a quarter of a second for a gigabyte: long to hold a lock for.
``close_removed`` is for who has the time, and is the one method here that any thread may call.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from contextlib import suppress
from pathlib import Path

from streamcore.log.storage.files import File, FileSystem

_REMOVED_MAX = 64


class OpenFiles:
    """The data files that were read last."""

    def __init__(self, file_system: FileSystem, *, files_max: int) -> None:
        assert files_max > 0
        self._file_system = file_system
        self._files_max = files_max
        self._files: OrderedDict[Path, File] = OrderedDict()
        self._removed: deque[File] = deque()

    def __len__(self) -> int:
        return len(self._files)

    def get(self, path: Path) -> File:
        """The open file at ``path``; of use until the next call of any method here."""
        file = self._files.get(path)
        if file is None:
            file = self._file_system.open(path)
            self._files[path] = file
            if len(self._files) > self._files_max:
                _, oldest = self._files.popitem(last=False)
                oldest.close()
        else:
            self._files.move_to_end(path)
        return file

    def forget(self, path: Path) -> None:
        """Close the file if it is open: it is about to be replaced, removed or written."""
        file = self._files.pop(path, None)
        if file is not None:
            file.close()

    def keep_until_removed(self, path: Path) -> None:
        """Hold a file that is about to lose its name, if not too many are held already."""
        self.forget(path)
        if len(self._removed) < _REMOVED_MAX:
            self._removed.append(self._file_system.open(path))

    def close_removed(self) -> None:
        """Let the files go that were removed."""
        while self._removed:
            with suppress(IndexError):  # another thread was faster
                self._removed.popleft().close()

    def close(self) -> None:
        """Close all files."""
        self.close_removed()
        while self._files:
            self._files.popitem()[1].close()
