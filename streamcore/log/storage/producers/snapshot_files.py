"""The producer snapshots of one partition: written when a segment is closed, the newest two are kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from streamcore.errors import StorageError
from streamcore.log.storage.files import File, FileSystem
from streamcore.log.storage.producers.producer_snapshot import encode_snapshot
from streamcore.log.storage.producers.producer_states import ProducerState
from streamcore.log.storage.segment.log_files import FileKind, file_path
from streamcore.model import Offset

_KEPT = 2
"""The newest snapshot may be torn after a crash; the one before it is durable."""


class SnapshotFiles:
    """The snapshots of one partition, by the offset up to which each holds the states."""

    def __init__(self, file_system: FileSystem, directory: Path, offsets: Sequence[Offset]) -> None:
        self._file_system = file_system
        self._directory = directory
        self._offsets = sorted(offsets)

    @property
    def oldest(self) -> Offset | None:
        """The lowest offset of a snapshot."""
        return self._offsets[0] if self._offsets else None

    def write(self, offset: Offset, states: Iterable[ProducerState]) -> File:
        """Write the states before ``offset``; return the open file, for the caller to sync and close."""
        file = self._file_system.open(file_path(self._directory, offset, FileKind.SNAPSHOT), create=True)
        try:
            file.truncate(0)
            file.append([encode_snapshot(states)])
        except StorageError:
            file.close()
            raise
        if offset not in self._offsets:
            self._offsets.append(offset)
        return file

    def drop_old(self, synced_end: Offset) -> None:
        """Remove all but the newest snapshots, once those are synced."""
        while len(self._offsets) > _KEPT and self._offsets[-_KEPT] <= synced_end:
            path = file_path(self._directory, self._offsets.pop(0), FileKind.SNAPSHOT)
            if self._file_system.exists(path):
                self._file_system.remove(path)
