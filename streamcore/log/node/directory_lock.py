"""The lock of a data folder: one process owns a folder until it releases the lock or dies.

The file ``lock`` holds the owner's pid as text. A second line holds the address at which the owner serves the
folder, if it does. Both are for the error message that another process gets. The file stays when the owner
has ended; only the operating system's lock on the file counts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType

from streamcore.errors import DirectoryInUseError, with_facts
from streamcore.log.storage.files import PosixFileSystem, make_directory_durably, storage_errors

LOCK_NAME = "lock"

_TEXT_BYTES_MAX = 1024


class DirectoryLock:
    """The exclusive right to a data folder, from construction until ``release``."""

    def __init__(self, directory: Path) -> None:
        """Take the lock; create the folder if it is missing.

        Raises:
            DirectoryInUseError: another process, or another object of this process, holds the lock.
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
            pid, _, address = (
                os.pread(descriptor, _TEXT_BYTES_MAX, 0).decode("utf-8", "replace").partition("\n")
            )
            os.close(descriptor)
            self._descriptor = -1
            raise DirectoryInUseError(
                with_facts(_advice(address.strip()), path=directory, pid=pid.strip() or "unknown")
            ) from error
        self.publish_address(None)

    def publish_address(self, address: str | None) -> None:
        """Write the served address into the lock file, for refused processes; ``None`` removes it."""
        text = f"{os.getpid()}\n" if address is None else f"{os.getpid()}\n{address}\n"
        with storage_errors("write the lock file", self._path):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text.encode("utf-8")[:_TEXT_BYTES_MAX], 0)

    def release(self) -> None:
        """Release the folder. A second call does nothing."""
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


def _advice(address: str) -> str:
    if address:
        return f"a server has this data folder open: use it with --broker {address}, or stop it"
    return "another process uses this data folder: stop it, or use another folder"
