"""Errors of RocksDB by their text: another owner, a disk that refuses, damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from rocksdict import DbClosedError

from streamcore.errors import ClosedError, CorruptStoreError, DirectoryInUseError, StorageError
from streamcore.state.rocks_errors import error_at_open, error_while_open

FOLDER = Path("state/app/task")


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (
            Exception("IO error: While lock file: /x/LOCK: unavailable"),
            DirectoryInUseError,
        ),
        (Exception("IO error: lock hold by current process"), DirectoryInUseError),
        (Exception("IO error: No space left on device: While appending"), StorageError),
        (Exception("IO error: Permission denied"), StorageError),
        (OSError(24, "Too many open files"), StorageError),
        (Exception("Corruption: CURRENT file does not end with newline"), CorruptStoreError),
        (Exception("Invalid argument: unknown column family"), CorruptStoreError),
    ],
)
def test_an_error_at_the_opening(raised: Exception, kind: type[Exception]) -> None:
    error = error_at_open(FOLDER, raised)

    assert type(error) is kind
    assert f"folder={FOLDER}" in str(error)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (DbClosedError("closed"), ClosedError),
        (Exception("Corruption: block checksum mismatch"), CorruptStoreError),
        (Exception("IO error: No space left on device"), StorageError),
    ],
)
def test_an_error_of_an_open_database(raised: Exception, kind: type[Exception]) -> None:
    assert type(error_while_open(FOLDER, raised)) is kind


def test_damage_says_that_the_folder_can_be_deleted() -> None:
    assert "delete the folder" in str(error_while_open(FOLDER, Exception("Corruption: bad block")))


def test_an_error_of_our_own_stays_as_it_is() -> None:
    error = ClosedError("closed before")

    assert error_while_open(FOLDER, error) is error
