"""The sync of a partition, the only work that runs in parallel with the partition's owner.

The owner takes a ticket (``PartitionLog.begin_sync``), any thread syncs it, and the owner completes
it. Appends continue meanwhile and belong to the next ticket.

After a failed sync the partition is unusable until it is opened again: the operating system may have
dropped the bytes and marked them clean, so that a second sync would succeed without writing them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from streamcore.errors import StorageError, with_facts
from streamcore.log.storage.files import File, FileSystem
from streamcore.model import Offset


class PartitionHealth:
    """The reason why a partition can no longer be used, if there is one. Shared by the owner and its
    tickets.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.error: StorageError | None = None

    def fail(self, error: StorageError) -> None:
        """Give the partition up; the first reason stays."""
        if self.error is None:
            self.error = error

    def ensure(self) -> None:
        """Raise ``StorageError`` if the partition was given up."""
        if self.error is not None:
            raise StorageError(
                f"partition {self._name} was given up because its disk failed: repair the disk and restart; "
                f"everything acknowledged before is kept: first_failure={self.error}"
            ) from self.error


class SyncTicket:
    """The files to sync so that everything before ``end_offset`` is durable.

    ``closing_count`` is the number of closed segments, the oldest first, that the ticket covers.
    """

    def __init__(
        self,
        files: Sequence[File],
        directory: Path | None,
        *,
        end_offset: Offset,
        closing_count: int,
        file_system: FileSystem,
        health: PartitionHealth,
    ) -> None:
        self.end_offset = end_offset
        self.closing_count = closing_count
        self.is_synced = False
        self._files = files
        self._directory = directory
        self._file_system = file_system
        self._health = health

    def sync(self) -> None:
        """Wait until the ticket's bytes are on disk. May run in any thread.

        Raises:
            StorageError: the disk failed; the partition is given up.
        """
        try:
            for file in self._files:
                file.sync()
            if self._directory is not None:
                self._file_system.sync_directory(self._directory)
        except StorageError as error:
            self._health.fail(error)
            raise
        except FileNotFoundError as error:
            # Deleted meanwhile, or removed from outside: there is nothing to sync.
            failure = StorageError(with_facts("the folder of a partition is missing", path=self._directory))
            self._health.fail(failure)
            raise failure from error
        self.is_synced = True
