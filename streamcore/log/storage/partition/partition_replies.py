"""Results of a partition: the offsets of an appended batch, and stored batches."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from streamcore.errors import StorageError
from streamcore.log.records.decode import AbortedTransaction
from streamcore.log.storage.files import Bytes, File
from streamcore.model import LogOffsets, Offset, TimestampMs


class BatchAppended(NamedTuple):
    """The offsets of an appended batch; ``last_offset`` is inclusive."""

    base_offset: Offset
    last_offset: Offset
    log_append_time_ms: TimestampMs
    """The log's append time, -1 if the records carry their own times."""
    is_duplicate: bool = False


class StoredRecords:
    """Complete batches in their data file, which the caller reads piece by piece.

    They can be read even if the partition is deleted meanwhile. ``close`` closes the file.
    """

    __slots__ = ("_file", "_position", "_size_bytes")

    def __init__(self, file: File, position: int, size_bytes: int) -> None:
        """This object owns the handle ``file``."""
        self._file = file
        self._position = position
        self._size_bytes = size_bytes

    def __len__(self) -> int:
        return self._size_bytes

    def take_ready(self, bytes_max: int) -> Bytes | None:
        """Return the next bytes if reading does not wait for the disk; otherwise ``None``."""
        data = self._file.read_ready(self._position, min(bytes_max, self._size_bytes))
        return None if data is None else self._taken(data)

    def take(self, bytes_max: int) -> Bytes:
        """Return the next bytes; wait for the disk if needed."""
        return self._taken(self._file.read_at(self._position, min(bytes_max, self._size_bytes)))

    def _taken(self, data: Bytes) -> Bytes:
        if not data:
            raise StorageError("a data file became shorter while it was read: check the disk")
        self._position += len(data)
        self._size_bytes -= len(data)
        return data

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._file.close()


class LocateResult(Struct, frozen=True):
    """The byte ranges of stored batches, and the aborted transactions in them."""

    records: StoredRecords | None
    aborted: tuple[AbortedTransaction, ...]
    offsets: LogOffsets


class ReadResult(Struct, frozen=True):
    """Complete stored batches, and the aborted transactions in them."""

    data: Bytes
    aborted: tuple[AbortedTransaction, ...]
    offsets: LogOffsets
    next_offset: Offset
    """The offset at which to read next: after the batches, or after a hole that compaction left."""
