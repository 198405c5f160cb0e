"""The interface to the disk: a ``FileSystem`` object, which tests replace by a simulated disk.

The protocols promise only what a file system can promise about a crash:

* ``File.append`` and ``truncate`` are durable once a later ``sync`` of that file has returned.
* That a name exists, is gone, or points to another file is durable once ``sync_directory`` of its
  parent has returned.
* Nothing else is ordered: unsynced writes may survive in any order, torn, or as zeros.

A failed ``append`` may have written a part; the caller truncates the file back. After a failed ``sync`` the
bytes may be lost although a later ``sync`` would succeed, so ``sync`` is never retried. Until the machine
restarts the bytes can still be read; ``write_again`` gives the next ``sync`` data to write.

Every error of the operating system (disk full, read-only, input/output error) is raised as a ``StorageError``
that says what to do. Reading a missing file raises ``FileNotFoundError``, because callers branch on it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from streamcore.errors import StorageError, with_facts

Bytes: TypeAlias = bytes | bytearray | memoryview

_ADVICE = {
    errno.ENOSPC: "no space left on the disk: free some, then start again",
    errno.EDQUOT: "the disk quota is used up: free some space, then start again",
    errno.EFBIG: "the file would pass the size limit of this process: raise it (ulimit -f)",
    errno.EROFS: "the file system is read-only: mount it writable or use another folder",
    errno.EACCES: "permission denied: give this user the right to read and write the folder",
    errno.EPERM: "permission denied: give this user the right to read and write the folder",
    errno.ENOENT: "the system allows no folder there: use another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder: use another folder",
    errno.EEXIST: "a file has the name of the folder: move it away or use another folder",
    errno.EMFILE: "too many open files: raise the limit (ulimit -n)",
    errno.EIO: "the disk reports an input/output error: check the disk before using it again",
}

# One writev takes at most this many buffers (IOV_MAX on Linux).
_BUFFERS_PER_WRITE = 1024

_COPY_BYTES = 1024 * 1024

_READ_WHAT_IS_CACHED = getattr(os, "RWF_NOWAIT", 0)
"""Linux can report that a read would wait for the disk; on other systems the read waits."""


class DiskSpace(NamedTuple):
    """The size of a disk, and the part of it that this process may still fill, in bytes."""

    total_bytes: int
    usable_bytes: int


class File(Protocol):
    """One open file: appended at its end, read anywhere. ``sync`` may run in parallel with ``append``."""

    def append(self, buffers: Sequence[Bytes]) -> None:
        """Write the buffers, one after the other, at the end of the file."""

    def read_at(self, position: int, size: int) -> bytes:
        """Read ``size`` bytes from byte ``position`` on; fewer only at the end of the file."""

    def read_ready(self, position: int, size: int) -> Bytes | None:
        """Read up to ``size`` bytes if the read does not wait for the disk; otherwise return ``None``."""

    def duplicate(self) -> File:
        """Return another handle on the same file; it works after this handle is closed or the name is
        removed.
        """

    def sync(self) -> None:
        """Return once everything appended or truncated before the call is durable (fdatasync)."""

    def write_again(self, position: int) -> None:
        """Write the bytes from byte ``position`` to the end again, unchanged."""

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes, which is at most its present size."""

    def size(self) -> int:
        """Return the size in bytes, with appended bytes that are not yet synced."""

    def close(self) -> None:
        """Close the file without a sync. A second call does nothing."""


class FileSystem(Protocol):
    """Files and directories by path."""

    def open(self, path: Path, *, create: bool = False) -> File:
        """Open a file to read and append; if it is missing and ``create`` is set, create it empty.

        Raises:
            FileNotFoundError: the file is missing and ``create`` is not set.
        """

    def list_directory(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted.

        Raises:
            FileNotFoundError: there is no such directory.
        """

    def exists(self, path: Path) -> bool:
        """Whether there is a file or directory of this name."""

    def is_directory(self, path: Path) -> bool:
        """Whether there is a directory of this name."""

    def make_directory(self, path: Path) -> None:
        """Create a directory and its missing parents. The directory may exist."""

    def rename(self, source: Path, target: Path) -> None:
        """Rename in one step; a file with the new name is replaced. Open files stay open."""

    def remove(self, path: Path) -> None:
        """Remove a file.

        Raises:
            FileNotFoundError: there is no such file.
        """

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory.

        Raises:
            FileNotFoundError: there is no such directory.
        """

    def sync_directory(self, path: Path) -> None:
        """Return once all names created, changed and removed in the directory are durable."""

    def space(self, path: Path) -> DiskSpace:
        """Return the space of the disk of a file or directory."""

    def modified_ms(self, path: Path) -> int:
        """Return the time of a file's last write, in milliseconds since 1970.

        Raises:
            FileNotFoundError: there is no such file.
        """


def read_whole(file_system: FileSystem, path: Path) -> bytes:
    """Read a whole file.

    Raises:
        FileNotFoundError: there is no such file.
    """
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
    """Run the first step of ``write_whole``; return the open file for the caller to sync and close."""
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
    """Run the step of ``write_whole`` after the sync of the file; the sync of the folder follows."""
    file_system.rename(_temporary(path), path)


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


def make_directory_durably(file_system: FileSystem, path: Path) -> None:
    """Create a directory and its missing parents, each durable in its parent."""
    if not file_system.exists(path):
        make_directory_durably(file_system, path.parent)
        file_system.make_directory(path)
        file_system.sync_directory(path.parent)


def remove_tree(file_system: FileSystem, path: Path) -> None:
    """Remove a directory and its content. Durable once the parent is synced."""
    for name in file_system.list_directory(path):
        if file_system.is_directory(path / name):
            remove_tree(file_system, path / name)
            continue
        # Another thread that discards a round of compaction may remove the file first.
        with contextlib.suppress(FileNotFoundError):
            file_system.remove(path / name)
    file_system.remove_directory(path)


@contextlib.contextmanager
def storage_errors(action: str, path: Path) -> Iterator[None]:
    """Convert errors of the operating system to a ``StorageError`` that says what to do."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise storage_error(action, path, error) from error


def storage_error(action: str, path: Path, error: OSError) -> StorageError:
    """Return the error that says what the operating system refused and what to do about it."""
    advice = _ADVICE.get(error.errno or 0, f"the file system refused ({error.strerror})")
    code = errno.errorcode.get(error.errno or 0, "unknown")
    return StorageError(with_facts(f"cannot {action}: {advice}", path=path, errno=code))


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
                # in one piece; if the disk is full, this call raises the error.
                rest = memoryview(b"".join(buffers))[written:]
                while rest:
                    count = os.pwrite(self._descriptor, rest, self._size + written)
                    written += count
                    rest = rest[count:]
        except OSError as error:
            # A part was written: the size must include it so that the caller can cut it off.
            with contextlib.suppress(OSError):
                self._size = os.fstat(self._descriptor).st_size
            raise storage_error("write", self._path, error) from error
        self._size += written

    def read_at(self, position: int, size: int) -> bytes:
        """Read ``size`` bytes from byte ``position`` on; fewer only at the end of the file."""
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
        """Read up to ``size`` bytes if the read does not wait for the disk; otherwise return ``None``."""
        data = bytearray(size)
        try:
            count = os.preadv(self._descriptor, [data], position, _READ_WHAT_IS_CACHED)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                return None  # this file system does not support it; the caller then reads in a thread
            raise storage_error("read", self._path, error) from error
        return data if count == size else memoryview(data)[:count]

    def duplicate(self) -> File:
        """Return another handle on the same file; it works after this handle is closed or the name is
        removed.
        """
        with storage_errors("open", self._path):
            return PosixFile(self._path, fcntl.fcntl(self._descriptor, fcntl.F_DUPFD_CLOEXEC, 0))

    def sync(self) -> None:
        """Return once everything appended or truncated before the call is durable (fdatasync)."""
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise storage_error("sync", self._path, error) from error

    def write_again(self, position: int) -> None:
        """Write the bytes from byte ``position`` to the end again, unchanged."""
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
        """Return the size in bytes, with appended bytes that are not yet synced."""
        return self._size

    def close(self) -> None:
        """Close the file without a sync. A second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class PosixFileSystem:
    """The files of the operating system."""

    def open(self, path: Path, *, create: bool = False) -> File:
        """Open a file to read and append; if it is missing and ``create`` is set, create it empty."""
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        with storage_errors("open", path):
            return PosixFile(path, os.open(path, flags, 0o644))

    def list_directory(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted. Raises ``FileNotFoundError``."""
        with storage_errors("list", path):
            return sorted(os.listdir(path))

    def exists(self, path: Path) -> bool:
        """Whether there is a file or directory of this name."""
        return os.path.lexists(path)

    def is_directory(self, path: Path) -> bool:
        """Whether there is a directory of this name."""
        return os.path.isdir(path)

    def make_directory(self, path: Path) -> None:
        """Create a directory and its missing parents. The directory may exist."""
        try:
            with storage_errors("create a directory", path):
                path.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError as error:
            # For folders of the operating system, such as /proc: the caller has no alternative.
            raise storage_error("create a directory", path, error) from error

    def rename(self, source: Path, target: Path) -> None:
        """Rename in one step; a file with the new name is replaced. Open files stay open."""
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
        """Return once all names created, changed and removed in the directory are durable."""
        with storage_errors("sync a directory", path):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def space(self, path: Path) -> DiskSpace:
        """Return the space of the disk of a file or directory."""
        with storage_errors("read the disk space of", path):
            found = os.statvfs(path)
        return DiskSpace(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    def modified_ms(self, path: Path) -> int:
        """Return the time of a file's last write, in milliseconds since 1970. Raises
        ``FileNotFoundError``.
        """
        with storage_errors("read the modification time of", path):
            return os.stat(path).st_mtime_ns // 1_000_000
