"""A disk in memory that loses unsynced bytes, fills up and fails, all by one seed.

``SimDisk`` is a ``FileSystem``, so a whole log runs on it: in one thread, in microseconds, and in the same
way each time for the same seed. It makes only the promises of a file system:

* Bytes are safe once their file was synced, names once their directory was synced. ``crash`` may
  lose, tear or reorder everything else (see ``sim_content.py``), and undo any creation, rename and
  removal.
* After a failed sync the bytes may be lost although a later sync succeeds.
* A write to a full disk may write a part.

A test looks like this::

    disk = SimDisk(seed=7)
    disk.crash_at(random.randrange(1, 100))     # cut the power at some operation
    try:
        run(disk)
    except PowerCut:
        disk.crash()                            # the power is back; check what is left

Every change and every sync counts as one operation. Reads do not count, because a crash at a read equals a
crash at the next change. The methods may be called from several threads.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import NoReturn

from streamcore.clock import Clock
from streamcore.errors import StorageError
from streamcore.log.storage.files import Bytes, DiskSpace, File, storage_error
from streamcore.testing.sim_content import SimContent

_DISK_BYTES = 2**40


class PowerCut(BaseException):
    """The simulated machine lost power. No code of it may run on, so ``except Exception`` does not catch
    it.
    """


@dataclass(eq=False, slots=True)
class _Directory:
    entries: dict[str, _Node] = field(default_factory=dict)
    durable: dict[str, _Node] = field(default_factory=dict)


_Node = SimContent | _Directory


@dataclass(frozen=True, slots=True, eq=False)
class _NameChange:
    """Names that change together: directory, name, and what the name refers to from now on."""

    changes: tuple[tuple[_Directory, str, _Node | None], ...]

    def apply_durably(self) -> None:
        for directory, name, node in self.changes:
            if node is None:
                directory.durable.pop(name, None)
            else:
                directory.durable[name] = node


class SimDisk:
    """A file system in memory with crashes and faults."""

    def __init__(self, seed: int = 0, *, clock: Clock | None = None) -> None:
        """Make an empty disk.

        Args:
            seed: decides what crashes and failed syncs leave.
            clock: the machine's clock for the times of files; without it their times are 0.
        """
        self._random = Random(seed)
        self._clock = clock
        self._lock = threading.RLock()
        self._root = _Directory()
        self._unsynced_names: list[_NameChange] = []
        self._trace = blake2b(digest_size=16)
        self._process = 0
        self._has_power = True
        self._operations_to_crash = -1
        self._syncs_to_failure = -1
        self._free_bytes: int | None = None
        self.operation_count = 0
        """Changes and syncs so far: ``crash_at`` counts them."""

    # Faults

    def crash_at(self, operation_count: int | None) -> None:
        """Cut the power at the ``operation_count``-th operation from now; ``None`` cancels this."""
        self._operations_to_crash = -1 if operation_count is None else operation_count

    def fill_after(self, free_bytes: int | None) -> None:
        """Fill the disk after this many more written bytes; ``None`` removes the limit."""
        self._free_bytes = free_bytes

    def fail_sync(self, sync_count: int | None = 1) -> None:
        """Fail the ``sync_count``-th sync of a file or directory from now; ``None`` cancels this."""
        self._syncs_to_failure = -1 if sync_count is None else sync_count

    def damage(self, path: Path, position: int, data: bytes) -> None:
        """Overwrite bytes of a file durably, as a failing disk might."""
        with self._lock:
            self._file(path).overwrite(position, data)

    def crash(self) -> None:
        """Cut the power and restore it: only synced bytes and names are sure to exist.

        Files opened before can only be closed. Planned faults are cancelled.
        """
        with self._lock:
            self._note("crash", "")
            self._process += 1
            self._has_power = True
            self._take_back_faults()
            self._keep_some_names()
            self._unsynced_names.clear()
            self._restart(self._root)

    def kill(self) -> None:
        """End the process but not the machine: everything that was written can be read.

        Files opened before can only be closed. Bytes that a failed sync has dropped can still be read, until
        the next ``crash``. Planned faults are cancelled.
        """
        with self._lock:
            self._note("kill", "")
            self._process += 1
            self._take_back_faults()

    def _take_back_faults(self) -> None:
        self._operations_to_crash = self._syncs_to_failure = -1
        self._free_bytes = None

    def trace_digest(self) -> str:
        """Return a digest of all operations so far: equal seeds and calls give equal digests."""
        return self._trace.hexdigest()

    # FileSystem

    def open(self, path: Path, *, create: bool = False) -> File:
        """Open a file, or create it empty if it is missing and ``create`` is set."""
        with self._lock:
            self._ensure_power()
            directory = self._directory(path.parent)
            node = directory.entries.get(path.name)
            if node is None:
                if not create:
                    raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
                node = SimContent(modified_ms=self._now_ms())
                with _Operation(self, "create", path):
                    self._change_names((directory, path.name, node))
            if isinstance(node, _Directory):
                raise storage_error("open", path, OSError(errno.EISDIR, "is a directory"))
            return _SimFile(self, path, node, self._process)

    def list_directory(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted. Raises ``FileNotFoundError``."""
        with self._lock:
            self._ensure_power()
            return sorted(self._directory(path).entries)

    def exists(self, path: Path) -> bool:
        """Whether a file or directory of this name exists."""
        with self._lock:
            return self._find(path) is not None

    def is_directory(self, path: Path) -> bool:
        """Whether a directory of this name exists."""
        with self._lock:
            return isinstance(self._find(path), _Directory)

    def make_directory(self, path: Path) -> None:
        """Make a directory and its missing parents. It may exist already."""
        with self._lock:
            node: _Node = self._root
            for name in _names(path):
                if not isinstance(node, _Directory):
                    raise storage_error("make a directory", path, OSError(errno.ENOTDIR, "not a directory"))
                if name not in node.entries:
                    with _Operation(self, "mkdir", path):
                        self._change_names((node, name, _Directory()))
                node = node.entries[name]

    def rename(self, source: Path, target: Path) -> None:
        """Rename atomically; a file of the new name is replaced. Open files stay open."""
        with self._lock:
            source_directory, target_directory = (
                self._directory(source.parent),
                self._directory(target.parent),
            )
            node = self._node(source)
            replaced = target_directory.entries.get(target.name)
            if isinstance(replaced, _Directory) and (replaced.entries or isinstance(node, SimContent)):
                raise storage_error("rename", source, OSError(errno.ENOTEMPTY, "target is a directory"))
            with _Operation(self, "rename", source, str(target)):
                self._change_names(
                    (source_directory, source.name, None), (target_directory, target.name, node)
                )

    def remove(self, path: Path) -> None:
        """Remove a file. Raises ``FileNotFoundError``."""
        with self._lock:
            self._file(path)
            with _Operation(self, "remove", path):
                self._change_names((self._directory(path.parent), path.name, None))

    def remove_directory(self, path: Path) -> None:
        """Remove an empty directory. Raises ``FileNotFoundError``."""
        with self._lock:
            if self._directory(path).entries:
                raise storage_error("remove a directory", path, OSError(errno.ENOTEMPTY, "not empty"))
            with _Operation(self, "rmdir", path):
                self._change_names((self._directory(path.parent), path.name, None))

    def space(self, path: Path) -> DiskSpace:
        """Return the space of the disk: a terabyte, or what ``fill_after`` sets."""
        with self._lock:
            self._node(path)
            free_bytes = _DISK_BYTES if self._free_bytes is None else self._free_bytes
            return DiskSpace(_DISK_BYTES, max(0, free_bytes))

    def modified_ms(self, path: Path) -> int:
        """Return the time of a file's last change, in ms since 1970. Raises ``FileNotFoundError``."""
        with self._lock:
            return self._file(path).modified_ms

    def sync_directory(self, path: Path) -> None:
        """Return once all names made, changed and removed in the directory are durable."""
        with self._lock:
            directory = self._directory(path)
            with _Operation(self, "sync directory", path):
                if self._sync_fails():
                    raise storage_error("sync a directory", path, OSError(errno.EIO, "simulated"))
                waiting = []
                for change in self._unsynced_names:
                    if any(changed is directory for changed, _, _ in change.changes):
                        change.apply_durably()
                    else:
                        waiting.append(change)
                self._unsynced_names = waiting

    # What files and operations call

    def _ensure_power(self) -> None:
        if not self._has_power:
            raise PowerCut

    def _cut_power(self) -> NoReturn:
        self._has_power = False
        raise PowerCut

    def _now_ms(self) -> int:
        return 0 if self._clock is None else self._clock.now_ms()

    def _sync_fails(self) -> bool:
        if self._syncs_to_failure > 0:
            self._syncs_to_failure -= 1
            return self._syncs_to_failure == 0
        return False

    def _note(self, *facts: object) -> None:
        self._trace.update(repr(facts).encode())

    def _append(self, path: Path, content: SimContent, data: bytes) -> None:
        with _Operation(self, "append", path, len(data)):
            content.modified_ms = self._now_ms()
            if self._free_bytes is None:
                content.append(data)
                return
            written = data[: self._free_bytes]
            self._free_bytes -= len(written)
            if written:
                content.append(written)
            if len(written) < len(data):
                raise storage_error("write", path, OSError(errno.ENOSPC, "simulated"))

    def _sync(self, path: Path, content: SimContent) -> None:
        with _Operation(self, "sync", path):
            if self._sync_fails():
                content.fail_sync(self._random)
                raise storage_error("sync", path, OSError(errno.EIO, "simulated"))
            content.sync()

    def _write_again(self, path: Path, content: SimContent, position: int) -> None:
        with _Operation(self, "write again", path, position):
            content.write_again(position)
            content.modified_ms = self._now_ms()

    def _truncate(self, path: Path, content: SimContent, size: int) -> None:
        with _Operation(self, "truncate", path, size):
            if self._free_bytes is not None:
                self._free_bytes += len(content.current) - size
            content.truncate(size)
            content.modified_ms = self._now_ms()

    def _change_names(self, *changes: tuple[_Directory, str, _Node | None]) -> None:
        for directory, name, node in changes:
            if node is None:
                directory.entries.pop(name)
            else:
                directory.entries[name] = node
        self._unsynced_names.append(_NameChange(changes))

    def _keep_some_names(self) -> None:
        """Keep all unsynced name changes, none, the first few or any; a rename stays whole."""
        changes = self._unsynced_names
        choice = self._random.random()
        if choice < 0.2:
            kept = changes
        elif choice < 0.4:
            kept = []
        elif choice < 0.7:
            kept = changes[: self._random.randint(0, len(changes))]
        else:
            kept = [change for change in changes if self._random.random() < 0.5]
        for change in kept:
            change.apply_durably()

    def _restart(self, directory: _Directory) -> None:
        for name, node in sorted(directory.durable.items()):
            if isinstance(node, SimContent):
                directory.durable[name] = node.after_crash(self._random)
            else:
                self._restart(node)
        directory.entries = dict(directory.durable)

    def _find(self, path: Path) -> _Node | None:
        self._ensure_power()
        node: _Node | None = self._root
        for name in _names(path):
            if not isinstance(node, _Directory):
                return None
            node = node.entries.get(name)
        return node

    def _node(self, path: Path) -> _Node:
        node = self._find(path)
        if node is None:
            raise FileNotFoundError(errno.ENOENT, "no such file or directory", str(path))
        return node

    def _directory(self, path: Path) -> _Directory:
        node = self._node(path)
        if isinstance(node, SimContent):
            raise storage_error("enter", path, OSError(errno.ENOTDIR, "not a directory"))
        return node

    def _file(self, path: Path) -> SimContent:
        node = self._node(path)
        if isinstance(node, _Directory):
            raise storage_error("open", path, OSError(errno.EISDIR, "is a directory"))
        return node


class _Operation:
    """One change or sync: counted, traced, and the last one if the power is cut at it.

    The power is cut before or after the change: the program cannot know which, and must survive both.
    """

    __slots__ = ("_cuts_after", "_disk")

    def __init__(self, disk: SimDisk, kind: str, path: Path, *facts: object) -> None:
        disk._ensure_power()
        disk.operation_count += 1
        disk._note(kind, str(path), *facts)
        self._disk = disk
        self._cuts_after = False
        if disk._operations_to_crash > 0:
            disk._operations_to_crash -= 1
            if disk._operations_to_crash == 0:
                if disk._random.random() < 0.5:
                    disk._cut_power()
                self._cuts_after = True

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        if self._cuts_after:
            self._disk._cut_power()


class _SimFile:
    """An open file of a ``SimDisk``."""

    __slots__ = ("_content", "_disk", "_is_open", "_path", "_process")

    def __init__(self, disk: SimDisk, path: Path, content: SimContent, process: int) -> None:
        self._disk = disk
        self._path = path
        self._content = content
        self._process = process
        self._is_open = True

    def append(self, buffers: Sequence[Bytes]) -> None:
        """Write the buffers, in order, at the end of the file."""
        with self._disk._lock:
            self._disk._append(self._path, self._usable_content(), b"".join(buffers))

    def read_at(self, position: int, size: int) -> bytes:
        """Read ``size`` bytes from ``position``; fewer only where the file ends."""
        with self._disk._lock:
            return bytes(self._usable_content().current[position : position + size])

    def read_ready(self, position: int, size: int) -> Bytes | None:
        """Read up to ``size`` bytes; a simulated file never waits."""
        return self.read_at(position, size)

    def duplicate(self) -> File:
        """Return another handle on the same file, which works after this one is closed or the file is
        removed.
        """
        with self._disk._lock:
            return _SimFile(self._disk, self._path, self._usable_content(), self._process)

    def sync(self) -> None:
        """Return once everything appended or truncated before the call is durable."""
        with self._disk._lock:
            self._disk._sync(self._path, self._usable_content())

    def write_again(self, position: int) -> None:
        """Write the bytes from ``position`` to the end again, in place."""
        with self._disk._lock:
            self._disk._write_again(self._path, self._usable_content(), position)

    def truncate(self, size: int) -> None:
        """Truncate the file to ``size`` bytes, at most its present size."""
        with self._disk._lock:
            content = self._usable_content()
            assert size <= len(content.current)
            self._disk._truncate(self._path, content, size)

    def size(self) -> int:
        """The size in bytes, including appended bytes that are not synced."""
        with self._disk._lock:
            return len(self._usable_content().current)

    def close(self) -> None:
        """Close the file without a sync. A second call does nothing."""
        self._is_open = False

    def _usable_content(self) -> SimContent:
        self._disk._ensure_power()
        if not self._is_open:
            raise StorageError(f"the file is closed: path={self._path}")
        if self._process != self._disk._process:
            raise StorageError(f"the file was opened by a process that has ended: path={self._path}")
        return self._content


def _names(path: Path) -> tuple[str, ...]:
    return tuple(name for name in path.parts if name not in ("/", "."))
