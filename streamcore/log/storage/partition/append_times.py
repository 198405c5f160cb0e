"""The time of the last append to each segment of a partition, kept over restarts.

Retention never deletes a segment with an append less than ``retention.ms`` ago, however old the records' own
times are. In memory a segment has the time of its last append. The file ``append-times`` keeps it for the
next process: ASCII, one item per line: the version (0), the number of rows, then for each segment
``base offset SP end offset SP time``.

A row is valid for a segment with the same end offset. Otherwise, and without a file (a folder of an older
version or of Apache Kafka, a restored copy, a crash before the file was written), the modification time of
the data file is used, which is never earlier than the last append.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from streamcore.errors import CorruptDataError
from streamcore.log.storage.checkpoints import checkpoint_bytes, checkpoint_rows
from streamcore.log.storage.files import FileSystem, read_whole, write_whole
from streamcore.log.storage.segment.segment import Segment
from streamcore.log.storage.sync_batch import SyncBatch
from streamcore.model import Offset, TimestampMs

APPEND_TIMES_NAME: Final = "append-times"

_log = logging.getLogger(__name__)


class AppendTimes:
    """The file of one partition. It is read at first use, because most partitions never delete by time."""

    __slots__ = ("_directory", "_file_system", "_rows")

    def __init__(self, file_system: FileSystem, directory: Path) -> None:
        self._file_system = file_system
        self._directory = directory
        self._rows: dict[tuple[Offset, Offset], TimestampMs] | None = None

    def look_up(self, segments: Iterable[Segment]) -> None:
        """Set ``last_append_ms`` of the segments where it is unknown.

        Raises:
            CorruptDataError: a data file is missing.
            UnsupportedVersionError: a newer program wrote the file.
            StorageError: the disk refused.
        """
        for segment in segments:
            if segment.last_append_ms < 0:
                saved_ms = self._saved().get((segment.base_offset, segment.end_offset))
                segment.last_append_ms = segment.modified_ms() if saved_ms is None else saved_ms

    def save(self, closed: Sequence[Segment]) -> None:
        """Write the file if it lacks a closed segment; durable when it returns.

        Raises the errors of ``look_up``.
        """
        saved = self._saved()
        if any((segment.base_offset, segment.end_offset) not in saved for segment in closed):
            write_whole(self._file_system, self._directory / APPEND_TIMES_NAME, self._encoded(closed))

    def save_with(self, syncs: SyncBatch, segments: Sequence[Segment]) -> None:
        """Write the file; durable once the batch has run, to which the caller adds the partition's folder.

        Raises the errors of ``look_up``.
        """
        syncs.add_whole(self._directory / APPEND_TIMES_NAME, self._encoded(segments))

    def _encoded(self, segments: Sequence[Segment]) -> bytes:
        self.look_up(segments)
        self._rows = {(each.base_offset, each.end_offset): each.last_append_ms for each in segments}
        return checkpoint_bytes([f"{base} {end} {time_ms}" for (base, end), time_ms in self._rows.items()])

    def _saved(self) -> dict[tuple[Offset, Offset], TimestampMs]:
        if self._rows is None:
            self._rows = self._read()
        return self._rows

    def _read(self) -> dict[tuple[Offset, Offset], TimestampMs]:
        path = self._directory / APPEND_TIMES_NAME
        try:
            rows = checkpoint_rows(read_whole(self._file_system, path), path, columns=3)
            return {(int(base), int(end)): int(time_ms) for base, end, time_ms in rows}
        except FileNotFoundError:
            return {}
        except (CorruptDataError, ValueError) as error:
            _log.warning(
                "the modification times of the data files are used, because append-times cannot be read: %s",
                error,
            )
            return {}
