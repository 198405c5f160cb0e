"""The one door to the disk: a ``FileSystem`` object, so that a simulated disk can stand in.

What the protocols promise is the little that a crash lets a file system promise:

* ``File.append`` and ``truncate`` are durable once a later ``sync`` of that file has returned.
* That a name exists, is gone, or points to another file is durable once ``sync_directory`` of its
  parent has returned.
* Nothing else is ordered: unsynced writes may survive in any order, torn, or as zeros.

A failed ``append`` may have written a part; the caller truncates back. A failed ``sync`` means that
the bytes may be lost although a later ``sync`` would succeed: it is never retried. Until the machine
restarts they can still be read; ``write_again`` gives the next ``sync`` something to write.

Every refusal of the system (disk full, read-only, input/output error) is a ``StorageError`` that
says what to do. Reading a file that is not there is ``FileNotFoundError``, as callers branch on it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from streamcore.errors import StorageError, fact_text

Bytes: TypeAlias = bytes | bytearray | memoryview

_ADVICE = {
    errno.ENOSPC: "no space left on the disk: free some, then start again",
    errno.EDQUOT: "the disk quota is used up: free some space, then start again",
    errno.EFBIG: "the file would pass the size limit of this process: raise it (ulimit -f)",
    errno.EROFS: "the file system is read-only: mount it writable or use another folder",
    errno.EACCES: "permission denied: give this user the right to read and write the folder",
    errno.EPERM: "permission denied: give this user the right to read and write the folder",
    errno.ENOENT: "the system lets nobody make a folder there: use another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder: use another folder",
    errno.EEXIST: "a file stands where a folder should be: move it away or use another folder",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
    errno.EIO: "the disk reports an input/output error: check the disk before using it again",
}

# One writev takes at most this many buffers (IOV_MAX on Linux).
_BUFFERS_PER_WRITE = 1024

_COPY_BYTES = 1024 * 1024

_READ_WHAT_IS_CACHED = getattr(os, "RWF_NOWAIT", 0)
"""Linux can say that a read would wait for the disk; elsewhere it waits."""


class DiskSpace(NamedTuple):
    """How much a disk holds, and how much of it this process may still fill."""

    total_bytes: int
    usable_bytes: int


class File(Protocol):
    """One open file: appended at its end, read anywhere. ``sync`` may run beside ``append``."""

    def append(self, buffers: Sequence[Bytes]) -> None:
        """Write the buffers, one after the other, at the end of the file."""

    def read_at(self, position: int, size: int) -> bytes:
        """Read ``size`` bytes from ``position``; fewer only where the file ends."""

    def read_ready(self, position: int, size: int) -> Bytes | None:
        """Read up to ``size`` bytes if the disk need not be waited for; otherwise ``None``."""

    def duplicate(self) -> File:
        """Another handle on the same file, of use when this one is closed or the file has lost its name."""

    def sync(self) -> None:
        """Return once everything appended or truncated before the call is durable (fdatasync)."""

    def write_again(self, position: int) -> None:
        """Write what stands from ``position`` to the end once more, in its place."""

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes, which is at most its present size."""

    def size(self) -> int:
        """The size in bytes, with what is appended but not yet synced."""

    def close(self) -> None:
        """Give the file back; does not sync. A second call does nothing."""


class FileSystem(Protocol):
    """Files and directories by path."""

    def open(self, path: Path, *, create: bool = False) -> File:
        """Open a file to read and append, or create it empty if it is missing and ``create`` is set.

        Raises:
            FileNotFoundError: it is missing and ``create`` is not set.
        """

    def list_directory(self, path: Path) -> list[str]:
        """The names in a directory, sorted. Raises ``FileNotFoundError``."""

    def exists(self, path: Path) -> bool:
        """Whether a file or directory of this name is there."""

    def is_directory(self, path: Path) -> bool:
        """Whether a directory of this name is there."""

    def make_directory(self, path: Path) -> None:
        """Make a directory, and the parents that are missing. It may be there already."""

    def rename(self, source: Path, target: Path) -> None:
        """Rename in one step; a file of the target's name is replaced. Open files stay open."""

    def remove(self, path: Path) -> None:
        """Remove a file. Raises ``FileNotFoundError``."""

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory. Raises ``FileNotFoundError``."""

    def sync_directory(self, path: Path) -> None:
        """Return once all names made, changed and removed in the directory are durable."""

    def space(self, path: Path) -> DiskSpace:
        """The space of the disk that a file or directory is on."""

    def modified_ms(self, path: Path) -> int:
        """When a file's bytes last changed, in milliseconds since 1970. Raises ``FileNotFoundError``."""


def read_whole(file_system: FileSystem, path: Path) -> bytes:
    """Read a file from start to end. Raises ``FileNotFoundError``."""
    file = file_system.open(path)
    try:
        return file.read_at(0, file.size())
    finally:
        file.close()


def write_whole(file_system: FileSystem, path: Path, data: Bytes) -> None:
    """Replace a file's content, durably and in one step.

    A crash leaves the old content or the new, and perhaps a ``.tmp`` file beside it.
    """
    file = write_beside(file_system, path, data)
    try:
        file.sync()
    finally:
        file.close()
    put_in_place(file_system, path)
    file_system.sync_directory(path.parent)


def write_beside(file_system: FileSystem, path: Path, data: Bytes) -> File:
    """The first step of ``write_whole``; return the file, open, for the caller to sync and close."""
    temporary = _temporary(path)
    if file_system.exists(temporary):
        file_system.remove(temporary)
    file = file_system.open(temporary, create=True)
    try:
        file.append([data])
    except StorageError:
        file.close()
        raise
    return file


def put_in_place(file_system: FileSystem, path: Path) -> None:
    """The step of ``write_whole`` after the sync of the file; the folder's follows."""
    file_system.rename(_temporary(path), path)


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def make_directory_durably(file_system: FileSystem, path: Path) -> None:
    """Make a directory and the parents that are missing, each durable in the one above it."""
    if not file_system.exists(path):
        make_directory_durably(file_system, path.parent)
        file_system.make_directory(path)
        file_system.sync_directory(path.parent)


def remove_tree(file_system: FileSystem, path: Path) -> None:
    """Remove a directory and all that is in it. Durable once the parent is synced."""
    for name in file_system.list_directory(path):
        if file_system.is_directory(path / name):
            remove_tree(file_system, path / name)
            continue
        # A round of compaction that is being given up may be faster.
        with contextlib.suppress(FileNotFoundError):
            file_system.remove(path / name)
    file_system.remove_directory(path)


@contextlib.contextmanager
def storage_errors(action: str, path: Path) -> Iterator[None]:
    """Turn what the system refuses into a ``StorageError`` that says what to do."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise storage_error(action, path, error) from error


def storage_error(action: str, path: Path, error: OSError) -> StorageError:
    """Return the error that tells a person what the system refused and what to do about it."""
    advice = _ADVICE.get(error.errno or 0, f"the file system refused ({error.strerror})")
    code = errno.errorcode.get(error.errno or 0, "unknown")
    return StorageError(f"cannot {action}: {advice}, " + fact_text(path=path, errno=code))


class PosixFile:
    """A file of the operating system."""

    __slots__ = ("_descriptor", "_path", "_size")

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size

    def append(self, buffers: Sequence[Bytes]) -> None:
        """Write the buffers, one after the other, at the end of the file."""
        for first in range(0, len(buffers), _BUFFERS_PER_WRITE):
            self._append(buffers[first : first + _BUFFERS_PER_WRITE])

    def _append(self, buffers: Sequence[Bytes]) -> None:
        wanted = sum(map(len, buffers))
        try:
            written = os.pwritev(self._descriptor, buffers, self._size)
            if written != wanted:
                # A short write is legal (a limit, a signal, a nearly full disk): write the rest
                # in one piece; if the disk is full, this call says so.
                rest = memoryview(b"".join(buffers))[written:]
                while rest:
                    count = os.pwrite(self._descriptor, rest, self._size + written)
                    written += count
                    rest = rest[count:]
        except OSError as error:
            # The part that was written is there: the size must say so for the caller to cut it.
            with contextlib.suppress(OSError):
                self._size = os.fstat(self._descriptor).st_size
            raise storage_error("write", self._path, error) from error
        self._size += written

    def read_at(self, position: int, size: int) -> bytes:
        """Read ``size`` bytes from ``position``; fewer only where the file ends."""
        try:
            data = os.pread(self._descriptor, size, position)
            if len(data) < size and position + len(data) < self._size:
                parts = [data]
                read = len(data)
                while read < size and (part := os.pread(self._descriptor, size - read, position + read)):
                    parts.append(part)
                    read += len(part)
                data = b"".join(parts)
        except OSError as error:
            raise storage_error("read", self._path, error) from error
        return data

    def read_ready(self, position: int, size: int) -> Bytes | None:
        """Read up to ``size`` bytes if the disk need not be waited for; otherwise ``None``."""
        data = bytearray(size)
        try:
            count = os.preadv(self._descriptor, [data], position, _READ_WHAT_IS_CACHED)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return None  # by this file system; whoever asks will read in a thread
            raise storage_error("read", self._path, error) from error
        return data if count == size else memoryview(data)[:count]

    def duplicate(self) -> File:
        """Another handle on the same file, of use when this one is closed or the file has lost its name."""
        with storage_errors("open", self._path):
            return PosixFile(self._path, fcntl.fcntl(self._descriptor, fcntl.F_DUPFD_CLOEXEC, 0))

    def sync(self) -> None:
        """Return once everything appended or truncated before the call is durable (fdatasync)."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise storage_error("sync", self._path, error) from error

    def write_again(self, position: int) -> None:
        """Write what stands from ``position`` to the end once more, in its place."""
        while rest := memoryview(self.read_at(position, _COPY_BYTES)):
            try:
                position += os.pwrite(self._descriptor, rest, position)
            except OSError as error:
                raise storage_error("write", self._path, error) from error

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes, which is at most its present size."""
        assert size <= self._size
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise storage_error("truncate", self._path, error) from error
        self._size = size

    def size(self) -> int:
        """The size in bytes, with what is appended but not yet synced."""
        return self._size

    def close(self) -> None:
        """Give the file back; does not sync. A second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class PosixFileSystem:
    """The files of the operating system."""

    def open(self, path: Path, *, create: bool = False) -> File:
        """Open a file to read and append, or create it empty if it is missing and ``create`` is set."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        with storage_errors("open", path):
            return PosixFile(path, os.open(path, flags, 0o644))

    def list_directory(self, path: Path) -> list[str]:
        """The names in a directory, sorted. Raises ``FileNotFoundError``."""
        with storage_errors("list", path):
            return sorted(os.listdir(path))

    def exists(self, path: Path) -> bool:
        """Whether a file or directory of this name is there."""
        return os.path.lexists(path)

    def is_directory(self, path: Path) -> bool:
        """Whether a directory of this name is there."""
        return os.path.isdir(path)

    def make_directory(self, path: Path) -> None:
        """Make a directory, and the parents that are missing. It may be there already."""
        try:
            with storage_errors("make a directory", path):
                path.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:
            # Of a system's own folders, such as /proc: no caller has anything else to try.
            raise storage_error("make a directory", path, error) from error

    def rename(self, source: Path, target: Path) -> None:
        """Rename in one step; a file of the target's name is replaced. Open files stay open."""
        with storage_errors("rename", source):
            os.rename(source, target)

    def remove(self, path: Path) -> None:
        """Remove a file. Raises ``FileNotFoundError``."""
        with storage_errors("remove", path):
            os.unlink(path)

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory. Raises ``FileNotFoundError``."""
        with storage_errors("remove a directory", path):
            os.rmdir(path)

    def sync_directory(self, path: Path) -> None:
        """Return once all names made, changed and removed in the directory are durable."""
        with storage_errors("sync a directory", path):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def space(self, path: Path) -> DiskSpace:
        """The space of the disk that a file or directory is on."""
        with storage_errors("look at the disk of", path):
            found = os.statvfs(path)
        return DiskSpace(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    def modified_ms(self, path: Path) -> int:
        """When a file's bytes last changed, in milliseconds since 1970. Raises ``FileNotFoundError``."""
        with storage_errors("look at", path):
            return os.stat(path).st_mtime_ns // 1_000_000
