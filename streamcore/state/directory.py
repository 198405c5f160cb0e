"""The folder of the state of tasks.

::

    <root>/<app id>/<task>/      the database of one task (``rocks``)

Names are written in a form that every file system accepts and that can be read back: letters, digits, ``_``,
``-`` and, except in the first place, ``.`` stand for themselves, every other byte of the UTF-8 is ``%`` and
two hex digits.

The module deletes no state by itself. A task that is not assigned now may be assigned again, and its folder
then saves a restore; ``remove`` is for people.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from streamcore.errors import (
    CorruptStoreError,
    StorageError,
    UnsupportedVersionError,
    UsageError,
    with_facts,
)
from streamcore.state.rocks import RocksEngine
from streamcore.state.rocks_settings import RocksSettings

_PLAIN = re.compile(rb"[A-Za-z0-9_\-.]")
_ESCAPED = re.compile(r"%([0-9A-F]{2})")
_FILE_NAME_BYTES_MAX = 255


@dataclass(frozen=True, slots=True, order=True)
class TaskFolder:
    """The folder of one task's state."""

    app: str
    task: str
    path: Path


class StateDirectory:
    """The states of all tasks below one root."""

    def __init__(self, root: Path, *, settings: RocksSettings | None = None) -> None:
        """``root`` is ``DATA/state``; it need not exist."""
        self.root = root
        self._settings = settings

    def folder(self, app: str, task: str) -> TaskFolder:
        """Return the folder of a task's state; it need not exist."""
        return TaskFolder(app, task, self.root / file_name_of(app) / file_name_of(task))

    def folders(self, app: str | None = None) -> list[TaskFolder]:
        """Return the tasks that have state here, of one application or of all, sorted."""
        found = (
            TaskFolder(name_of(app_path.name), name_of(path.name), path)
            for app_path in _subfolders(self.root)
            for path in _subfolders(app_path)
            if (path / "CURRENT").exists()
        )
        return sorted(folder for folder in found if app is None or folder.app == app)

    def open(self, app: str, task: str, *, read_only: bool = False) -> RocksEngine:
        """Open the state of a task; without ``read_only`` it is created if it is missing.

        Raises: as ``RocksEngine.open``.
        """
        path = self.folder(app, task).path
        return RocksEngine.open(path, settings=self._settings, read_only=read_only)

    def remove(self, app: str, task: str) -> None:
        """Delete the state of a task; the next start restores it from its changelogs.

        Raises:
            DirectoryInUseError: another engine has it open.
            StorageError: the folder cannot be deleted.
        """
        path = self.folder(app, task).path
        if not path.exists():
            return
        # Damaged state may be deleted; state that an engine has open may not.
        with contextlib.suppress(CorruptStoreError, UnsupportedVersionError):
            RocksEngine.open(path, settings=self._settings).close()
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise StorageError(with_facts(f"cannot delete the state: {error}", folder=path)) from error


def file_name_of(name: str) -> str:
    """Convert any name to a file name.

    Raises:
        UsageError: the name is empty, or longer than a file name may be.
    """
    escaped = "".join(
        chr(byte) if _PLAIN.match(bytes((byte,))) and not (byte == 0x2E and index == 0) else f"%{byte:02X}"
        for index, byte in enumerate(name.encode())
    )
    if not 0 < len(escaped) <= _FILE_NAME_BYTES_MAX:
        raise UsageError(
            with_facts(
                f"choose a name that makes a file name of 1 to {_FILE_NAME_BYTES_MAX} bytes",
                name=repr(name)[:100],
            )
        )
    return escaped


def name_of(file_name: str) -> str:
    """Convert a file name back to the name, the inverse of ``file_name_of``."""
    unescaped = _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), file_name)
    return unescaped.encode("latin-1").decode("utf-8", errors="replace")


def _subfolders(path: Path) -> Iterator[Path]:
    return (child for child in path.iterdir() if child.is_dir()) if path.is_dir() else iter(())
