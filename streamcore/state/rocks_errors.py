"""Classify RocksDB's errors by their text, because rocksdict raises plain ``Exception``.

Callers react by kind: they wait for another owner, people make room after a refusal of the disk, and damage
is repaired by deleting the folder and restoring from the changelogs.
"""

from __future__ import annotations

from pathlib import Path

from rocksdict import DbClosedError

from streamcore.errors import (
    ClosedError,
    CorruptStoreError,
    DirectoryInUseError,
    StorageError,
    StreamCoreError,
    with_facts,
)

_LOCKED = ("While lock file", "lock hold by")
_REFUSED = ("No space left", "Permission denied", "Read-only file system", "Disk quota", "Too many open")


def error_at_open(directory: Path, error: Exception) -> StreamCoreError:
    """Return the error for a database that does not open; neither lock nor disk means damage."""
    text = str(error)
    if any(locked in text for locked in _LOCKED):
        return DirectoryInUseError(
            with_facts(
                "this state is in use: stop the worker that runs the task, or ask it over HTTP",
                folder=directory,
                reason=repr(text),
            )
        )
    if isinstance(error, OSError) or any(refused in text for refused in _REFUSED):
        return StorageError(with_facts(f"the state cannot be opened: {text}", folder=directory))
    return CorruptStoreError(corrupt_text(directory, error))


def error_while_open(directory: Path, error: Exception) -> StreamCoreError:
    """Return the error for a call that failed on an open database."""
    if isinstance(error, StreamCoreError):
        return error
    if isinstance(error, DbClosedError):
        return ClosedError("the state of this task was closed before the call")
    if "Corruption" in str(error):
        return CorruptStoreError(corrupt_text(directory, error))
    return StorageError(with_facts(f"the state store failed: {error}", folder=directory))


def corrupt_text(directory: Path, reason: object) -> str:
    """Return the text of an error about a damaged folder, with what to do."""
    return with_facts(
        f"the state in this folder cannot be read: {reason}; delete the folder, the state will be restored"
        f" from its changelogs",
        folder=directory,
    )
