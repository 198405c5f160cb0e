"""Closed segments that are not yet completely on disk, with their open index and snapshot files.

Several syncs may run at a time, in other threads. A file is closed only when no sync runs, because each may
use it.
"""

from __future__ import annotations

from streamcore.log.storage.files import File
from streamcore.log.storage.partition.sync_ticket import SyncTicket
from streamcore.log.storage.segment.segment import Segment
from streamcore.model import Offset


class ClosingSegments:
    """A queue: the oldest segment is synced first, and released first."""

    def __init__(self) -> None:
        self._closing: list[tuple[Segment, list[File]]] = []
        self._synced_count = 0
        self._syncs_in_flight = 0

    def __len__(self) -> int:
        return len(self._closing)

    @property
    def is_syncing(self) -> bool:
        """Whether a ticket is not completed yet."""
        return self._syncs_in_flight > 0

    def add(self, segment: Segment, files: list[File]) -> None:
        """Add a segment that was just closed, with its index and snapshot files."""
        self._closing.append((segment, files))

    def first_end_offset(self) -> Offset | None:
        """The end offset of the oldest segment."""
        return self._closing[0][0].end_offset if self._closing else None

    def files_to_sync(self, active: File) -> list[File]:
        """Return all data files in the order of their offsets, then their index and snapshot files."""
        data = [segment.file_to_write() for segment, _ in self._closing]
        return [*data, active, *(file for _, files in self._closing for file in files)]

    def begin_sync(self) -> None:
        """Count a new ticket over all segments here."""
        self._syncs_in_flight += 1

    def end_sync(self, ticket: SyncTicket) -> None:
        """Count a completed ticket, synced or not."""
        self._syncs_in_flight -= 1
        if ticket.is_synced:
            self._synced_count = max(self._synced_count, ticket.closing_count)

    def release_synced(self) -> bool:
        """Close the files of synced segments, unless another ticket is open; return whether there were
        any.
        """
        if not self._synced_count or self._syncs_in_flight:
            return False
        self._release(self._synced_count)
        return True

    def release_all(self) -> None:
        """Close the files of all segments, synced or not."""
        self._release(len(self._closing))

    def _release(self, count: int) -> None:
        for segment, files in self._closing[:count]:
            segment.release_file()
            for file in files:
                file.close()
        del self._closing[:count]
        self._synced_count = 0
