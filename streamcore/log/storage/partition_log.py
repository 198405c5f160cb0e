"""One partition: an ordered, append-only log of record batches with its marks.

The owner calls everything here, one call at a time; only a ``SyncTicket`` may be synced beside it.

The life of a batch: ``append`` checks it (``appending``, ``producer_states``), gives it offsets and
writes it; a sync makes it durable; ``complete_sync`` moves the high watermark past it, and readers
see it. With relaxed flushing they see it at once.

A transaction is undecided for readers of committed data until its marker is behind the high
watermark: until then the last stable offset stays where the transaction began.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from streamcore.errors import OffsetOutOfRangeError, StorageError, fact_text
from streamcore.log.records.batch import (
    NO_TIMESTAMP,
    BatchHeader,
    parse_header,
    patch_append_time,
    patch_offsets,
)
from streamcore.log.records.builder import encode_marker
from streamcore.log.records.decode import AbortedTransaction, batch_records
from streamcore.log.storage.appending import checked_header, recompressed, roll_reason
from streamcore.log.storage.checkpoints import CLEANED_TO, LOG_STARTS, RECOVERY_POINTS
from streamcore.log.storage.files import File
from streamcore.log.storage.log_files import FileKind, file_path
from streamcore.log.storage.log_parts import LogParts
from streamcore.log.storage.producer_snapshot import encode_snapshot
from streamcore.log.storage.producer_states import EndedTransaction, ProducerState, ProducerStates
from streamcore.log.storage.retention import RetentionPolicy, expired_count, is_outlived
from streamcore.log.storage.segment import Segment
from streamcore.log.storage.swapping import CleanedSegment, swap_in
from streamcore.log.storage.sync_ticket import PartitionHealth, SyncTicket
from streamcore.log.storage.topic_config import TopicConfig
from streamcore.log.storage.transaction_index import AbortedEntry, overlapping
from streamcore.model import Isolation, LogOffsets, Offset, ProducerId, TimestampMs, TopicPartition

_SNAPSHOTS_KEPT = 2


@dataclass(frozen=True, slots=True)
class BatchAppended:
    """Where a batch stands now; ``last_offset`` is inclusive."""

    base_offset: Offset
    last_offset: Offset
    log_append_time_ms: TimestampMs
    """The time that the log stamped the records with, -1 if they carry their own."""
    is_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Whole stored batches, and what a reader of committed data must drop from them."""

    data: bytes
    aborted: tuple[AbortedTransaction, ...]
    offsets: LogOffsets
    next_offset: Offset
    """Where to read on: past the batches, or past a hole that compaction left."""


@dataclass(slots=True)
class OpenedLog:
    """What opening a partition's directory found; becomes a ``PartitionLog``."""

    segments: list[Segment]
    states: ProducerStates
    log_start: Offset
    leader_epoch: int
    snapshots: list[Offset]


class PartitionLog:
    """The log of one partition."""

    def __init__(
        self,
        topic_partition: TopicPartition,
        topic_id: UUID,
        directory: Path,
        config: TopicConfig,
        opened: OpenedLog,
        parts: LogParts,
    ) -> None:
        self.topic_partition = topic_partition
        self.topic_id = topic_id
        self.config = config
        self.directory = directory
        self.leader_epoch = opened.leader_epoch
        self._parts = parts
        self._health = PartitionHealth(str(topic_partition))
        self._segments = opened.segments
        self._states = opened.states
        self._snapshots = opened.snapshots
        self._log_start = opened.log_start
        self._log_end = self._synced_end = self._high_watermark = self.active.end_offset
        # Closed but not yet synced segments, each with its index and snapshot files, open.
        self._closing: list[tuple[Segment, list[File]]] = []
        self._closing_synced = 0
        self._syncs_in_flight = 0
        # Transactions whose marker is not yet behind the high watermark.
        self._undecided: deque[EndedTransaction] = deque()
        self._is_relaxed = parts.settings.flush == "relaxed"
        self._offsets = self._computed_offsets()

    @property
    def offsets(self) -> LogOffsets:
        """The four marks, as they stand now."""
        return self._offsets

    @property
    def active(self) -> Segment:
        """The segment that is appended to."""
        return self._segments[-1]

    @property
    def closed_segments(self) -> Sequence[Segment]:
        """All segments but the active one, oldest first."""
        return self._segments[:-1]

    @property
    def producer_states(self) -> Mapping[ProducerId, ProducerState]:
        """What is known of each producer, for looking, not for changing."""
        return self._states.by_id

    @property
    def size_bytes(self) -> int:
        """Bytes of all data files."""
        return sum(segment.size_bytes for segment in self._segments)

    @property
    def has_unsynced(self) -> bool:
        """Whether ``begin_sync`` would have something to sync."""
        return self._log_end > self._synced_end or bool(self._closing)

    # Appending

    def append(self, batch: bytearray, *, now_ms: TimestampMs, from_client: bool = True) -> BatchAppended:
        """Write one batch at the end; its offsets are patched in place.

        A batch that its producer sent before is not written again; the answer is the first one's.
        It is durable, and visible, once a sync begun after this has been completed.

        Raises:
            CorruptBatchError: the bytes are not one valid batch.
            InvalidRecordError: the batch breaks a rule of the topic.
            ProducerFencedError: a newer epoch of its producer has written.
            OutOfOrderSequenceError: a batch before it is missing.
            InvalidTransactionStateError: it is outside its producer's open transaction.
            StorageError: the disk refused; nothing was written.
        """
        self._health.ensure()
        header = checked_header(batch, self.config, now_ms=now_ms, from_client=from_client)
        if header.has_producer:
            repeated = self._states.check(header, from_client=from_client)
            if repeated is not None:
                return BatchAppended(
                    repeated.base_offset, repeated.last_offset, repeated.append_time_ms, is_duplicate=True
                )
        changed = recompressed(batch, header, self.config) if from_client else batch
        append_time_ms = NO_TIMESTAMP
        if self.config.has_append_time and from_client:
            append_time_ms = now_ms
            patch_append_time(changed, now_ms)
        if changed is not batch or append_time_ms != NO_TIMESTAMP:
            header = parse_header(changed)
        header = self._write(changed, header)
        if header.has_producer:
            self._states.note_batch(header, append_time_ms, now_ms)
        self._after_append()
        return BatchAppended(header.base_offset, header.last_offset, append_time_ms)

    def append_marker(
        self,
        producer_id: ProducerId,
        producer_epoch: int,
        commit: bool,
        coordinator_epoch: int,
        now_ms: TimestampMs,
    ) -> BatchAppended:
        """Write the marker that commits or aborts a producer's transaction here.

        Without an open transaction it is written all the same and changes nothing, so that a
        coordinator may repeat it.

        Raises:
            FencedError: a newer producer or coordinator has written.
            StorageError: the disk refused; nothing was written.
        """
        self._health.ensure()
        self._states.check_marker(producer_id, producer_epoch, coordinator_epoch)
        batch = encode_marker(producer_id, producer_epoch, commit, coordinator_epoch, now_ms)
        header = self._write(batch, parse_header(batch))
        ended = self._states.note_marker(
            header, is_commit=commit, coordinator_epoch=coordinator_epoch, now_ms=now_ms
        )
        if ended is not None:
            self._undecided.append(ended)
            if not commit:
                self.active.note_aborted(aborted_entry(ended, self._states))
        self._after_append()
        return BatchAppended(header.base_offset, header.last_offset, NO_TIMESTAMP)

    def _write(self, batch: bytearray, header: BatchHeader) -> BatchHeader:
        header = header._replace(base_offset=self._log_end, leader_epoch=self.leader_epoch)
        active = self.active
        reason = roll_reason(
            segment_bytes=active.size_bytes,
            batch_bytes=len(batch),
            batch_timestamp_ms=header.max_timestamp_ms,
            first_timestamp_ms=active.first_timestamp_ms(),
            index_entry_count=active.index_entry_count(),
            relative_last_offset=header.last_offset - active.base_offset,
            config=self.config,
        )
        if reason is not None:
            self.roll()
            active = self.active
        patch_offsets(batch, header.base_offset, header.leader_epoch)
        try:
            active.append(batch, header, self.config.index_interval_bytes)
        except StorageError as error:
            if active.is_damaged:
                self._health.fail(error)
            raise
        self._log_end = header.end_offset
        return header

    def _after_append(self) -> None:
        if self._is_relaxed:
            self._raise_high_watermark(self._log_end)
        else:
            self._offsets = self._computed_offsets()

    def roll(self) -> None:
        """Close the active segment and open the next. A failure leaves the log as it was."""
        self._health.ensure()
        closing = self.active
        if closing.size_bytes == 0:
            return
        files = closing.write_indexes()
        try:
            files.append(self._write_snapshot())
            segment = Segment.create(
                self.directory,
                self._log_end,
                file_system=self._parts.file_system,
                open_files=self._parts.open_files,
            )
        except StorageError:
            for file in files:
                file.close()
            raise
        self._segments.append(segment)
        self._closing.append((closing, files))

    # Making durable

    def begin_sync(self) -> SyncTicket | None:
        """Return what must reach the disk so that all that is appended is durable; ``None`` if it is."""
        self._health.ensure()
        if not self.has_unsynced:
            return None
        files = [segment.file_to_write() for segment, _ in self._closing]
        files.append(self.active.file_to_write())
        files += [file for _, index_files in self._closing for file in index_files]
        self._syncs_in_flight += 1
        return SyncTicket(
            files,
            self.directory if self._closing else None,
            end_offset=self._log_end,
            closing_count=len(self._closing),
            file_system=self._parts.file_system,
            health=self._health,
        )

    def complete_sync(self, ticket: SyncTicket) -> None:
        """Show what a synced ticket has made durable.

        Raises:
            StorageError: the ticket's sync failed; the partition is given up.
        """
        self._syncs_in_flight -= 1
        self._health.ensure()
        assert ticket.is_synced, "a ticket is synced before it is completed"
        self._synced_end = max(self._synced_end, ticket.end_offset)
        self._raise_high_watermark(self._synced_end)
        self._closing_synced = max(self._closing_synced, ticket.closing_count)
        # Other tickets may still be syncing these files; the last one to come back closes them.
        if self._closing_synced and not self._syncs_in_flight:
            self._release_closed(self._closing_synced)

    def sync(self) -> None:
        """Make all that is appended durable, and wait for it."""
        ticket = self.begin_sync()
        if ticket is not None:
            try:
                ticket.sync()
            finally:
                self.complete_sync(ticket)

    def _release_closed(self, count: int) -> None:
        released, self._closing = self._closing[:count], self._closing[count:]
        self._closing_synced = 0
        for segment, files in released:
            segment.release_file()
            for file in files:
                file.close()
        self._parts.checkpoints.put(RECOVERY_POINTS, self.topic_partition, self._synced_end)
        self._drop_old_snapshots()

    def _raise_high_watermark(self, end: Offset) -> None:
        self._high_watermark = max(self._high_watermark, end)
        while self._undecided and self._undecided[0].last_offset < self._high_watermark:
            self._undecided.popleft()
        self._offsets = self._computed_offsets()

    def _computed_offsets(self) -> LogOffsets:
        last_stable = self._high_watermark
        first_open = self._states.first_open_offset()
        if first_open is not None:
            last_stable = min(last_stable, first_open)
        for ended in self._undecided:
            last_stable = min(last_stable, ended.first_offset)
        return LogOffsets(
            self._log_start, max(last_stable, self._log_start), self._high_watermark, self._log_end
        )

    # Reading

    def read(self, start: Offset, *, bytes_max: int, isolation: Isolation) -> ReadResult:
        """Read whole batches from the one that holds ``start``, up to the visible end.

        At least one batch is returned if there is any, even if it is larger than ``bytes_max``;
        otherwise a reader with a small buffer would stop for ever.

        Raises:
            OffsetOutOfRangeError: ``start`` is before the log start or after the log end.
        """
        self._health.ensure()
        offsets = self._offsets
        if not offsets.log_start <= start <= offsets.log_end:
            raise OffsetOutOfRangeError(
                f"there is no such offset in {self.topic_partition}, "
                + fact_text(offset=start, log_start=offsets.log_start, log_end=offsets.log_end)
            )
        end = offsets.visible_end(isolation)
        if start >= end:
            return ReadResult(b"", (), offsets, start)
        for index in range(self._segment_index(start), len(self._segments)):
            data, next_offset = self._segments[index].read(start, end=end, bytes_max=bytes_max)
            if data:
                aborted: tuple[AbortedTransaction, ...] = ()
                if isolation is Isolation.READ_COMMITTED:
                    indexes = (segment.aborted() for segment in self._segments[index:])
                    aborted = overlapping(indexes, start=start, end=next_offset)
                return ReadResult(data, aborted, offsets, next_offset)
        return ReadResult(b"", (), offsets, end)

    def offset_for_time(self, timestamp_ms: TimestampMs) -> Offset | None:
        """The first visible offset whose record is not earlier than ``timestamp_ms``; ``None`` if none is."""
        self._health.ensure()
        offsets = self._offsets
        for segment in self._segments[self._segment_index(offsets.log_start) :]:
            found = self._offset_for_time_in(segment, timestamp_ms, offsets)
            if found is not None:
                return found
        return None

    def _offset_for_time_in(
        self, segment: Segment, timestamp_ms: TimestampMs, offsets: LogOffsets
    ) -> Offset | None:
        first = segment.first_batch_at_or_after(timestamp_ms)
        if first is None:
            return None
        for batch in segment.batches(start=max(first, offsets.log_start)):
            header = batch.header
            if header.base_offset >= offsets.high_watermark:
                return None
            if header.is_control or header.max_timestamp_ms < timestamp_ms:
                continue
            for record in batch_records(batch.data, 0, header):
                time_ms = header.max_timestamp_ms if header.has_append_time else record.timestamp
                if time_ms >= timestamp_ms and record.offset >= offsets.log_start:
                    return record.offset
        return None

    def _segment_index(self, offset: Offset) -> int:
        low, high = 0, len(self._segments)
        while high - low > 1:
            middle = (low + high) // 2
            if self._segments[middle].base_offset <= offset:
                low = middle
            else:
                high = middle
        return low

    # Cutting off the beginning

    def delete_records_before(self, offset: Offset) -> None:
        """Move the log start forward, durably. Moving it back is silently not done.

        Raises:
            OffsetOutOfRangeError: ``offset`` is after the high watermark.
        """
        self._health.ensure()
        if offset > self._high_watermark:
            raise OffsetOutOfRangeError(
                f"records of {self.topic_partition} can be deleted only up to the high watermark, "
                + fact_text(offset=offset, high_watermark=self._high_watermark)
            )
        self._raise_log_start(offset)
        self._delete_expired(RetentionPolicy(retention_ms=None, retention_bytes=None), now_ms=0)

    def apply_retention(self, now_ms: TimestampMs) -> None:
        """Delete the oldest segments as far as the topic's settings say."""
        self._health.ensure()
        policy = RetentionPolicy.of(self.config)
        if self._synced_end == self._log_end and is_outlived(self.active, policy, now_ms=now_ms):
            self.roll()
            self.sync()
        self._delete_expired(policy, now_ms=now_ms)

    def _raise_log_start(self, offset: Offset) -> None:
        if offset <= self._log_start:
            return
        # Durable before anything is removed: a crash may bring removed files back, but they are
        # before the log start then and go again.
        self._parts.checkpoints.put(LOG_STARTS, self.topic_partition, offset)
        self._log_start = offset
        self._offsets = self._computed_offsets()

    def _delete_expired(self, policy: RetentionPolicy, *, now_ms: TimestampMs) -> None:
        count = expired_count(
            self._segments,
            policy,
            log_start=self._log_start,
            high_watermark=min(self._high_watermark, self._synced_end),
            now_ms=now_ms,
        )
        if not count or self._closing:
            return
        self._raise_log_start(self._segments[count].base_offset)
        for segment in self._segments[:count]:
            segment.remove_data()
        self._parts.file_system.sync_directory(self.directory)
        for segment in self._segments[:count]:
            segment.remove_indexes()
        del self._segments[:count]

    # Compaction

    @property
    def cleaned_to(self) -> Offset:
        """How far compaction has come: the first offset that no round has seen."""
        return self._parts.checkpoints.get(CLEANED_TO, self.topic_partition)

    def note_cleaned_to(self, offset: Offset) -> None:
        """Remember durably how far compaction has come."""
        self._parts.checkpoints.put(CLEANED_TO, self.topic_partition, offset)

    def begin_replacement(self, base_offset: Offset) -> CleanedSegment:
        """Start to write the segment that will replace those from ``base_offset`` on."""
        self._health.ensure()
        return CleanedSegment(self.directory, base_offset, self._parts.file_system)

    def aborted_entries(self) -> Iterator[AbortedEntry]:
        """The aborted transactions of all segments whose markers are still there."""
        for segment in self._segments:
            yield from segment.aborted()

    @property
    def synced_stable_offset(self) -> Offset:
        """Up to here all is decided and on disk, also where readers see more than what is synced."""
        return min(self._offsets.last_stable, self._synced_end)

    def replace_segments(
        self, old: Sequence[Segment], cleaned: CleanedSegment, aborted: Sequence[AbortedEntry]
    ) -> None:
        """Put a cleaned segment, with these aborted transactions, in the place of neighbouring closed ones.

        A crash leaves the old ones or the new one. A failure on the way gives the partition up; the
        next opening finishes what was decided.

        Raises:
            StorageError: the disk refused.
        """
        self._health.ensure()
        first = self._segments.index(old[0])
        assert list(old) == self._segments[first : first + len(old)], "neighbours, in order"
        assert old[-1] is not self.active
        assert cleaned.base_offset == old[0].base_offset
        assert cleaned.end_offset <= old[-1].end_offset
        if any(segment is waiting for segment in old for waiting, _ in self._closing):
            self.sync()
        # Offsets may be missing in the new segment, which only recovery before this point accepts.
        self._parts.checkpoints.put(RECOVERY_POINTS, self.topic_partition, self._synced_end)
        try:
            cleaned.finish(aborted)
            new = swap_in(
                self.directory,
                cleaned,
                old,
                file_system=self._parts.file_system,
                open_files=self._parts.open_files,
            )
        except StorageError as error:
            self._health.fail(error)
            raise
        self._segments[first : first + len(old)] = [new]

    # Housekeeping

    def expire_producers(self, now_ms: TimestampMs) -> int:
        """Forget producers that have been silent for long; return how many."""
        return self._states.expire(now_ms=now_ms, expiry_ms=self._parts.settings.producer_expiry_ms)

    def release_memory(self) -> None:
        """Give back what an idle partition does not need: index memory and the active file."""
        for segment in self._segments[:-1]:
            segment.forget_indexes()
        if not self.has_unsynced and not self._syncs_in_flight:
            self.active.release_file()

    def note_recovery_point(self) -> bool:
        """Put the synced end into the recovery checkpoint, in memory; return whether it changed."""
        return self._parts.checkpoints.note(RECOVERY_POINTS, self.topic_partition, self._synced_end)

    def close(self) -> None:
        """Sync everything and leave files that open again without reading the data."""
        self._health.ensure()
        self.sync()
        files = self.active.write_indexes()
        try:
            files.append(self._write_snapshot())
            for file in files:
                file.sync()
        finally:
            for file in files:
                file.close()
        self._parts.file_system.sync_directory(self.directory)
        self.release_files()

    def release_files(self) -> None:
        """Close all files, whatever state they are in."""
        for segment, files in self._closing:
            segment.release_file()
            for file in files:
                file.close()
        self._closing = []
        self.active.release_file()
        for segment in self._segments:
            self._parts.open_files.forget(segment.data_path)

    def _write_snapshot(self) -> File:
        path = file_path(self.directory, self._log_end, FileKind.SNAPSHOT)
        file = self._parts.file_system.open(path, create=True)
        try:
            file.truncate(0)
            file.append([encode_snapshot(self._states)])
        except StorageError:
            file.close()
            raise
        if self._log_end not in self._snapshots:
            self._snapshots.append(self._log_end)
        return file

    def _drop_old_snapshots(self) -> None:
        while (
            len(self._snapshots) > _SNAPSHOTS_KEPT and self._snapshots[-_SNAPSHOTS_KEPT] <= self._synced_end
        ):
            offset = self._snapshots.pop(0)
            path = file_path(self.directory, offset, FileKind.SNAPSHOT)
            if self._parts.file_system.exists(path):
                self._parts.file_system.remove(path)


def aborted_entry(ended: EndedTransaction, states: ProducerStates) -> AbortedEntry:
    """The index entry of a transaction that was just aborted."""
    first_open = states.first_open_offset()
    last_stable = ended.last_offset + 1 if first_open is None else first_open
    return AbortedEntry(ended.producer_id, ended.first_offset, ended.last_offset, last_stable)
