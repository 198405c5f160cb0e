"""A bounded number of data files that are open for reading.

A log may have many thousands of closed segments, but a process has few file descriptors. The files that were
read last stay open. Files that are being written are not held here: their segment owns them until they are
completely synced.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from streamcore.log.storage.files import File, FileSystem
from streamcore.log.storage.segment.removed_files import RemovedFiles


class OpenFiles:
    """The data files that were read last."""

    def __init__(self, file_system: FileSystem, *, files_max: int) -> None:
        assert files_max > 0
        self._file_system = file_system
        self._files_max = files_max
        self._files: OrderedDict[Path, File] = OrderedDict()
        self._used: set[Path] = set()
        self.removed = RemovedFiles(file_system)
        """Receives a file that is not read any more."""

    def __len__(self) -> int:
        return len(self._files)

    def get(self, path: Path) -> File:
        """Return the open file at ``path``; it is valid until the next call of any method here."""
        self._used.add(path)
        file = self._files.get(path)
        if file is None:
            file = self._file_system.open(path)
            self._files[path] = file
            if len(self._files) > self._files_max:
                oldest_path, oldest = self._files.popitem(last=False)
                self._used.discard(oldest_path)
                oldest.close()
        else:
            self._files.move_to_end(path)
        return file

    def forget(self, path: Path) -> None:
        """Close the file if it is open, because it is about to be replaced, removed or written."""
        self._used.discard(path)
        file = self._files.pop(path, None)
        if file is not None:
            file.close()

    def close_idle(self) -> None:
        """Close the files that were not read since the last call, so that an idle log has no open files."""
        for path in self._files.keys() - self._used:
            self._files.pop(path).close()
        self._used.clear()

    def close(self) -> None:
        """Close all files."""
        while self._files:
            self._files.popitem()[1].close()
