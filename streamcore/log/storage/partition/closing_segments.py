"""Segments that were closed but are not yet on disk whole, with their index and snapshot files, open.

Several syncs may be under way at a time, in other threads. A file is closed only when none is, as
each may be using it.
"""

from __future__ import annotations

from streamcore.log.storage.files import File
from streamcore.log.storage.partition.sync_ticket import SyncTicket
from streamcore.log.storage.segment.segment import Segment
from streamcore.model import Offset


class ClosingSegments:
    """A queue: the oldest is synced first, and let go first."""

    def __init__(self) -> None:
        self._closing: list[tuple[Segment, list[File]]] = []
        self._synced_count = 0
        self._syncs_in_flight = 0

    def __len__(self) -> int:
        return len(self._closing)

    @property
    def is_syncing(self) -> bool:
        """Whether a ticket is out that has not come back."""
        return self._syncs_in_flight > 0

    def add(self, segment: Segment, files: list[File]) -> None:
        """Take in a segment that was just closed, and the files that go with it."""
        self._closing.append((segment, files))

    def first_end_offset(self) -> Offset | None:
        """Where the oldest of them ends."""
        return self._closing[0][0].end_offset if self._closing else None

    def files_to_sync(self, active: File) -> list[File]:
        """All data files in the order of their offsets, then what goes with them."""
        data = [segment.file_to_write() for segment, _ in self._closing]
        return [*data, active, *(file for _, files in self._closing for file in files)]

    def begin_sync(self) -> None:
        """A ticket over all that is here goes out."""
        self._syncs_in_flight += 1

    def end_sync(self, ticket: SyncTicket) -> None:
        """A ticket comes back, synced or not."""
        self._syncs_in_flight -= 1
        if ticket.is_synced:
            self._synced_count = max(self._synced_count, ticket.closing_count)

    def release_synced(self) -> bool:
        """Let go of what is synced, unless another ticket is out; return whether there was any."""
        if not self._synced_count or self._syncs_in_flight:
            return False
        self._release(self._synced_count)
        return True

    def release_all(self) -> None:
        """Let go of all, synced or not."""
        self._release(len(self._closing))

    def _release(self, count: int) -> None:
        for segment, files in self._closing[:count]:
            segment.release_file()
            for file in files:
                file.close()
        del self._closing[:count]
        self._synced_count = 0
