"""What a partition answers: where a batch was put, and what was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from streamcore.errors import StorageError
from streamcore.log.records.decode import AbortedTransaction
from streamcore.log.storage.files import Bytes, File
from streamcore.model import LogOffsets, Offset, TimestampMs


class BatchAppended(NamedTuple):
    """Where a batch stands now; ``last_offset`` is inclusive."""

    base_offset: Offset
    last_offset: Offset
    log_append_time_ms: TimestampMs
    """The time that the log stamped the records with, -1 if they carry their own."""
    is_duplicate: bool = False


class StoredRecords:
    """Whole batches that still stand in their data file, to be read piece by piece as somebody takes them.

    They can be read whatever becomes of the partition meanwhile. ``close`` gives the file back.
    """

    __slots__ = ("_file", "_position", "_size_bytes")

    def __init__(self, file: File, position: int, size_bytes: int) -> None:
        """``file`` is a handle of this object's own."""
        self._file = file
        self._position = position
        self._size_bytes = size_bytes

    def __len__(self) -> int:
        return self._size_bytes

    def take_ready(self, bytes_max: int) -> Bytes | None:
        """The next bytes, if they can be had without waiting for the disk; otherwise ``None``."""
        data = self._file.read_ready(self._position, min(bytes_max, self._size_bytes))
        return None if data is None else self._taken(data)

    def take(self, bytes_max: int) -> Bytes:
        """The next bytes; waits for the disk."""
        return self._taken(self._file.read_at(self._position, min(bytes_max, self._size_bytes)))

    def _taken(self, data: Bytes) -> Bytes:
        if not data:
            raise StorageError("a data file became shorter while it was read: check the disk")
        self._position += len(data)
        self._size_bytes -= len(data)
        return data

    def close(self) -> None:
        """Give the file back. A second call does nothing."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class LocateResult:
    """Stored batches, found but not read, and what a reader of committed data must drop from them."""

    records: StoredRecords | None
    aborted: tuple[AbortedTransaction, ...]
    offsets: LogOffsets


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Whole stored batches, and what a reader of committed data must drop from them."""

    data: bytes
    aborted: tuple[AbortedTransaction, ...]
    offsets: LogOffsets
    next_offset: Offset
    """Where to read on: past the batches, or past a hole that compaction left."""
