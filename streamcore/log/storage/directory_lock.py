"""One process owns a data folder: a lock that the operating system lets go when the process dies.

The file ``lock`` holds the owner's pid as text, for the message that the next one gets. The file
stays after the owner is gone; it is the lock on it that counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType

from streamcore.errors import DirectoryInUseError, fact_text
from streamcore.log.storage.files import PosixFileSystem, make_directory_durably, storage_errors

LOCK_NAME = "lock"


class DirectoryLock:
    """The exclusive right to a data folder, from construction until ``release``."""

    def __init__(self, directory: Path) -> None:
        """Take the lock, making the directory if it is missing.

        Raises:
            DirectoryInUseError: another process, or another object of this one, holds it.
            StorageError: the folder cannot be written.
        """
        self._path = directory / LOCK_NAME
        make_directory_durably(PosixFileSystem(), directory)
        with storage_errors("lock the data folder", directory):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._descriptor = descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            self._descriptor = -1
            raise DirectoryInUseError(
                "another process uses this data folder: stop it, ask it for what is needed, "
                "or use another folder, " + fact_text(path=directory, pid=owner)
            ) from error
        with storage_errors("write the lock file", self._path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let the folder go. A second call does nothing."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> DirectoryLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
