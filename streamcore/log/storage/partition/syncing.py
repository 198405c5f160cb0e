"""The syncs of a partition: which bytes are to be synced, and which are synced.

A ticket covers everything that is written when it is created. The marks move only when the ticket is
completed; a closed segment's files are closed only when no ticket uses them any more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from streamcore.log.storage.files import File, FileSystem
from streamcore.log.storage.partition.closing_segments import ClosingSegments
from streamcore.log.storage.partition.marks import Marks
from streamcore.log.storage.partition.sync_ticket import PartitionHealth, SyncTicket
from streamcore.log.storage.segment.segment import Segment
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.model import Offset, TimestampMs

_RECOVERY_POINT_BYTES: Final = 64 * 1024 * 1024
"""How many bytes may be synced before the recovery point is written again. Opening after a crash has to read
these bytes, and cannot distinguish a torn write from damage in them. Maintenance writes the recovery point
more often.
"""


class Syncing:
    """The syncs of one partition. Owned by its ``PartitionLog``."""

    def __init__(
        self, directory: Path, file_system: FileSystem, marks: Marks, health: PartitionHealth
    ) -> None:
        self._directory = directory
        self._file_system = file_system
        self._marks = marks
        self._health = health
        self._closing = ClosingSegments()
        self._bytes_since_recovery_point = 0
        self._unsynced_since_ms: TimestampMs = 0

    @property
    def closing_count(self) -> int:
        """The number of closed segments that are not completely on disk."""
        return len(self._closing)

    @property
    def is_under_way(self) -> bool:
        """Whether a ticket is not completed yet."""
        return self._closing.is_syncing

    @property
    def has_unsynced(self) -> bool:
        """Whether ``begin`` would have something to sync."""
        return self._marks.offsets.log_end > self._marks.synced_end or bool(self._closing)

    def note_written(self, size_bytes: int) -> None:
        """Count appended bytes."""
        self._bytes_since_recovery_point += size_bytes

    def note_time(self, now_ms: TimestampMs) -> None:
        """Record the time of an append."""
        if not self.has_unsynced:
            self._unsynced_since_ms = now_ms

    def is_flush_due(self, config: TopicConfig, now_ms: TimestampMs) -> bool:
        """Whether a relaxed log must sync before it shows more records."""
        unsynced_count = self._marks.offsets.log_end - self._marks.synced_end
        return unsynced_count >= config.flush_messages or now_ms - self._unsynced_since_ms >= config.flush_ms

    def add_closing(self, segment: Segment, files: list[File]) -> None:
        """Add a segment that was just closed, with its index and snapshot files."""
        self._closing.add(segment, files)

    def begin(self, active: Segment) -> SyncTicket:
        """Return a ticket for everything that is written."""
        ticket = SyncTicket(
            self._closing.files_to_sync(active.file_to_write()),
            self._directory if self._closing else None,
            end_offset=self._marks.offsets.log_end,
            closing_count=len(self._closing),
            file_system=self._file_system,
            health=self._health,
        )
        self._closing.begin_sync()
        return ticket

    def complete(self, ticket: SyncTicket) -> bool:
        """Show the records that a ticket has made durable; return whether to write the recovery point.

        Raises:
            StorageError: the partition is given up.
        """
        self._closing.end_sync(ticket)
        self._health.ensure()
        if not ticket.is_synced:
            return False  # The wait was interrupted: whether the bytes are durable is unknown.
        self._marks.synced_end = max(self._marks.synced_end, ticket.end_offset)
        self._marks.show(self._marks.synced_end)
        is_due = self._bytes_since_recovery_point > _RECOVERY_POINT_BYTES
        if not (self._closing.release_synced() or is_due):
            return False
        self._bytes_since_recovery_point = 0
        return True

    def recovery_point(self) -> Offset:
        """The offset from which opening after a crash must read the data."""
        end_offset = self._closing.first_end_offset()
        if end_offset is None:
            return self._marks.synced_end
        # The data of a closed segment may be synced before its indexes are.
        return min(self._marks.synced_end, end_offset - 1)

    def release_all(self) -> None:
        """Close the files of closed segments, synced or not."""
        self._closing.release_all()
