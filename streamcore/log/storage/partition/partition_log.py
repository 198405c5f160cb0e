"""One partition: an ordered, append-only log of record batches with its marks.

The owner calls all methods, one call at a time; only a ``SyncTicket`` may be synced in parallel.

The life of a batch: ``append`` checks it (``appending``, ``producer_states``), assigns its offsets and
writes it; a sync makes it durable; ``complete_sync`` moves the high watermark past it, and readers
see it. In relaxed mode readers see it at once.

``marks`` computes which offsets are visible, ``segments`` finds and reads the stored batches. This module
defines the order of the steps, and the state after a failure between them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from uuid import UUID

from streamcore.errors import StorageError, StreamCoreError
from streamcore.log.records.batch import (
    NO_TIMESTAMP,
    WritableBytes,
)
from streamcore.log.records.builder import encode_marker
from streamcore.log.storage.checkpoints import CLEANED_TO, RECOVERY_POINTS
from streamcore.log.storage.compaction.segment_replacement import CleanedSegment, replace_segments
from streamcore.log.storage.partition.append_times import AppendTimes
from streamcore.log.storage.partition.batch_writer import BatchWriter
from streamcore.log.storage.partition.leader_epochs import EpochEnd
from streamcore.log.storage.partition.leadership import PartitionEpochs
from streamcore.log.storage.partition.log_parts import LogParts, OpenedLog
from streamcore.log.storage.partition.log_start import LogStart
from streamcore.log.storage.partition.marks import Marks
from streamcore.log.storage.partition.partition_replies import (
    BatchAppended,
    LocateResult,
    ReadResult,
    StoredRecords,
)
from streamcore.log.storage.partition.retention import (
    FutureTimes,
    RetentionPolicy,
    is_outlived,
)
from streamcore.log.storage.partition.sync_ticket import PartitionHealth, SyncTicket
from streamcore.log.storage.partition.syncing import Syncing
from streamcore.log.storage.producers.producer_states import ProducerState
from streamcore.log.storage.producers.snapshot_files import SnapshotFiles
from streamcore.log.storage.segment.segment import Segment
from streamcore.log.storage.segment.segments import Segments
from streamcore.log.storage.segment.transaction_index import aborted_entry
from streamcore.log.storage.sync_batch import SyncBatch
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.model import Isolation, LogOffsets, Offset, ProducerId, TimestampMs, TopicPartition

_log = logging.getLogger(__name__)


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
        self._parts = parts
        self.health = PartitionHealth(str(topic_partition))
        """Whether the partition was given up, and why; a caller that finds a reason may give it up here."""
        self._segments = Segments(opened.segments)
        self._states = opened.states
        self._states.limit_by(parts.producer_limit)
        self._epochs = PartitionEpochs(opened.epochs, parts.leadership, parts.file_system, directory)
        self._append_times = AppendTimes(parts.file_system, directory)
        self._future_times = FutureTimes(topic_partition)
        self._snapshots = SnapshotFiles(parts.file_system, directory, opened.snapshots)
        self._marks = Marks(opened.log_start, self._segments.active.end_offset)
        self._marks.follow_transactions(self._states.first_open_offset())
        self._start = LogStart(topic_partition, directory, parts, self._segments, self._marks, self._epochs)
        self._is_left = False
        self._is_settled = opened.is_settled
        self._syncing = Syncing(directory, parts.file_system, self._marks, self.health)
        self._writer = BatchWriter(
            topic_partition,
            self._segments,
            self._states,
            self._epochs,
            self._marks,
            self._syncing,
            self.health,
            is_relaxed=parts.settings.flush == "relaxed",
            roll=self.roll,
        )

    @property
    def leader_epoch(self) -> int:
        """The leader epoch of new batches."""
        return self._epochs.current

    @property
    def offsets(self) -> LogOffsets:
        """The four marks."""
        return self._marks.offsets

    @property
    def shows_unsynced(self) -> bool:
        """Whether readers may see records that a crash can still take; only in relaxed mode."""
        return self._marks.offsets.high_watermark > self._marks.synced_end

    @property
    def active(self) -> Segment:
        """The segment that receives appends."""
        return self._segments.active

    @property
    def closed_segments(self) -> Sequence[Segment]:
        """The segments that are completely on disk, oldest first: without the active one and those still
        syncing.
        """
        return self._segments.leading(len(self._segments) - 1 - self._syncing.closing_count)

    @property
    def producer_states(self) -> Mapping[ProducerId, ProducerState]:
        """The state of each producer, for reading only."""
        return self._states.by_id

    @property
    def oldest_snapshot(self) -> Offset | None:
        """The offset of the oldest producer snapshot from which an opening after a crash may begin."""
        return self._snapshots.oldest

    @property
    def size_bytes(self) -> int:
        """The size of all data files in bytes."""
        return self._segments.size_bytes

    @property
    def has_unsynced(self) -> bool:
        """Whether ``begin_sync`` would have something to sync."""
        return self._syncing.has_unsynced and not self._is_left

    # Appending

    def append(
        self,
        batch: WritableBytes,
        *,
        now_ms: TimestampMs,
        from_client: bool = True,
        has_all_keys: bool = False,
    ) -> BatchAppended:
        """Write one batch at the end; its offsets are patched in place.

        A batch that its producer sent before is not written again; its first result is returned.

        The batch is durable, and visible, once a sync begun after this call has been completed.

        Args:
            has_all_keys: the caller encoded the batch itself and knows that each record has a key.

        Raises:
            CorruptBatchError: the bytes are not one valid batch.
            InvalidRecordError: the batch breaks a rule of the topic.
            ProducerFencedError: a newer epoch of its producer has written.
            OutOfOrderSequenceError: a batch before it is missing.
            InvalidTransactionStateError: it is outside its producer's open transaction.
            StorageError: the disk refused; nothing was written.
        """
        (result,) = self.append_all(
            (batch,), now_ms=now_ms, from_client=from_client, has_all_keys=has_all_keys
        )
        if isinstance(result, StreamCoreError):
            raise result
        return result

    def append_all(
        self,
        batches: Iterable[WritableBytes],
        *,
        now_ms: TimestampMs,
        from_client: bool = True,
        has_all_keys: bool = False,
    ) -> list[BatchAppended | StreamCoreError]:
        """Write batches at the end, in order; return the result or the error of each.

        Each batch succeeds or fails separately, as by ``append``. Neighbours are written in one piece, so
        that many small batches cost one call of the file system; if that call fails, none of them is written.
        """
        before = self._marks.offsets.log_end
        results = self._writer.append_all(
            batches, self.config, now_ms, from_client=from_client, has_all_keys=has_all_keys
        )
        if self._marks.offsets.log_end != before:
            self._is_settled = False
        return results

    def append_marker(
        self,
        producer_id: ProducerId,
        producer_epoch: int,
        commit: bool,
        coordinator_epoch: int,
        now_ms: TimestampMs,
    ) -> BatchAppended:
        """Write the marker that commits or aborts a producer's transaction here.

        Without an open transaction the marker is also written, and changes nothing, so that a
        coordinator may repeat it.

        Raises:
            FencedError: a newer producer or coordinator has written.
            StorageError: the disk refused; nothing was written.
        """
        self.health.ensure()
        self._states.check_marker(producer_id, producer_epoch, coordinator_epoch)
        batch = encode_marker(producer_id, producer_epoch, commit, coordinator_epoch, now_ms)
        header = self._writer.append_marker(batch, self.config, now_ms)
        self._is_settled = False
        ended = self._states.note_marker(
            header, is_commit=commit, coordinator_epoch=coordinator_epoch, now_ms=now_ms
        )
        if ended is not None and not commit:
            self.active.note_aborted(aborted_entry(ended, self._states.first_open_offset()))
        self._marks.follow_transactions(self._states.first_open_offset(), ended)
        self._writer.show(header.end_offset, self.config, now_ms)
        return BatchAppended(header.base_offset, header.last_offset, NO_TIMESTAMP)

    def roll(self) -> None:
        """Close the active segment and open the next. On failure the log is unchanged."""
        self.health.ensure()
        closing = self.active
        if closing.size_bytes == 0:
            return
        self._epochs.save()
        files = closing.write_indexes()
        try:
            files.append(self._snapshots.write(self._marks.offsets.log_end, self._states))
            segment = Segment.create(
                self.directory,
                self._marks.offsets.log_end,
                file_system=self._parts.file_system,
                open_files=self._parts.open_files,
            )
        except StorageError:
            for file in files:
                file.close()
            raise
        self._segments.add(segment)
        self._syncing.add_closing(closing, files)
        self._is_settled = False

    # Making durable

    def begin_sync(self) -> SyncTicket | None:
        """Return a ticket for everything unsynced; ``None`` if everything is durable."""
        self.health.ensure()
        return self._syncing.begin(self.active) if self.has_unsynced else None

    def complete_sync(self, ticket: SyncTicket) -> None:
        """Show the records that a synced ticket has made durable.

        Raises:
            StorageError: the ticket's sync failed; the partition is given up.
        """
        if self._syncing.complete(ticket):
            self.note_recovery_point()
            self._parts.checkpoints.write(RECOVERY_POINTS)
            self._snapshots.drop_old(self._marks.synced_end)

    def sync(self) -> None:
        """Make everything appended durable, and wait for it."""
        ticket = self.begin_sync()
        if ticket is not None:
            try:
                ticket.sync()
            finally:
                self.complete_sync(ticket)

    # Reading

    def read(self, start: Offset, *, bytes_max: int, isolation: Isolation) -> ReadResult:
        """Read complete batches from the one that holds ``start``, up to the visible end.

        At least one batch is returned if there is any, even if it is larger than ``bytes_max``;
        otherwise a reader with a small buffer would never advance.

        Raises:
            OffsetOutOfRangeError: ``start`` is before the log start or after the log end.
        """
        self.health.ensure()
        offsets = self._marks.ensure_readable(start, self.topic_partition)
        end = offsets.visible_end(isolation)
        if start >= end:
            return ReadResult(b"", (), offsets, start)
        found = self._segments.read(start, end=end, bytes_max=bytes_max, isolation=isolation)
        return ReadResult(found.data, found.aborted, offsets, found.next_offset)

    def locate(
        self, start: Offset, *, bytes_max: int, isolation: Isolation, at_least_one: bool = True
    ) -> LocateResult:
        """Return the byte ranges of the batches that ``read`` would return.

        Without ``at_least_one`` a first batch that is larger than ``bytes_max`` is left out, too.

        Raises:
            OffsetOutOfRangeError: ``start`` is before the log start or after the log end.
        """
        self.health.ensure()
        offsets = self._marks.ensure_readable(start, self.topic_partition)
        end = offsets.visible_end(isolation)
        if start >= end:
            return LocateResult(None, (), offsets)
        found = self._segments.locate(start, end=end, bytes_max=bytes_max, isolation=isolation)
        if found is None or (found.stored.size_bytes > bytes_max and not at_least_one):
            return LocateResult(None, (), offsets)
        file = found.segment.file_to_read().duplicate()
        return LocateResult(StoredRecords(file, *found.stored[:2]), found.aborted, offsets)

    @property
    def segments(self) -> Segments:
        """All segments, for reading only."""
        self.health.ensure()
        return self._segments

    def epoch_at(self, offset: Offset) -> int:
        """Return the leader epoch of the batch at an offset, or of the next one at the log end."""
        return self._epochs.epoch_at(offset, self._marks.offsets.log_end)

    def end_of_epoch(self, epoch: int) -> EpochEnd:
        """Return the end of a leader epoch, or of the last one before it that has records."""
        return self._epochs.end_of(epoch, self._marks.offsets.log_end)

    # Cutting off the beginning

    def begin_deletion(self, offset: Offset) -> None:
        """Note the future log start; ``delete_records_before`` is quick once the checkpoint is written.

        Raises:
            OffsetOutOfRangeError: ``offset`` is after the high watermark.
        """
        self.health.ensure()
        self._start.begin(offset)

    def delete_records_before(self, offset: Offset) -> None:
        """Move the log start forward, durably. An offset before the log start changes nothing.

        Raises:
            OffsetOutOfRangeError: ``offset`` is after the high watermark.
        """
        self.begin_deletion(offset)
        self._start.move_to(offset)
        self._delete_expired(RetentionPolicy(retention_ms=None, retention_bytes=None), now_ms=0)

    def apply_retention(self, now_ms: TimestampMs) -> None:
        """Delete the oldest segments according to the topic's settings, and log what is deleted.

        Raises:
            CorruptDataError: a data file is missing.
            StorageError: the disk refused.
        """
        self.health.ensure()
        policy = RetentionPolicy.of(self.config)
        if policy.retention_ms is not None:
            self._append_times.look_up(self._segments)
            self._append_times.save(self.closed_segments)
            self._future_times.look_at(self._segments.leading(1)[0], policy, now_ms=now_ms)
        if not self.has_unsynced and is_outlived(self.active, policy, now_ms=now_ms):
            self.roll()
            self.sync()
        self._delete_expired(policy, now_ms=now_ms)

    def _delete_expired(self, policy: RetentionPolicy, *, now_ms: TimestampMs) -> None:
        # A segment that is still syncing stays: its files are in use.
        segments = [*self.closed_segments, self.active]
        self._start.delete_expired(segments, policy, self.config, now_ms=now_ms)

    # Compaction

    @property
    def cleaned_to(self) -> Offset:
        """The offset up to which compaction has cleaned: the first one that no round has cleaned."""
        return self._parts.checkpoints.get(CLEANED_TO, self.topic_partition)

    def note_cleaned_to(self, offset: Offset) -> None:
        """Record durably the offset up to which compaction has cleaned."""
        self._parts.checkpoints.put(CLEANED_TO, self.topic_partition, offset)

    def begin_replacement(self, base_offset: Offset) -> CleanedSegment:
        """Begin to write the segment that will replace those from ``base_offset`` on."""
        self.health.ensure()
        return CleanedSegment(
            self.directory,
            base_offset,
            file_system=self._parts.file_system,
            open_files=self._parts.open_files,
            index_interval_bytes=self.config.index_interval_bytes,
        )

    def replace_segments(self, old: Sequence[Segment], cleaned: CleanedSegment) -> None:
        """Replace neighbouring closed segments by a cleaned one.

        A crash leaves the old segments or the new one. A failure in between gives the partition up; the
        next opening finishes a decided replacement.

        Args:
            old: some of ``closed_segments``, neighbours.
            cleaned: finished; begins where the first of them does, ends where the last does or before.

        Raises:
            StorageError: the disk refused.
        """
        self.health.ensure()
        first = self._segments.index_of(old)
        assert cleaned.base_offset == old[0].base_offset
        assert cleaned.end_offset <= old[-1].end_offset
        try:
            self._append_times.look_up(old)
            # Offsets may be missing in the new segment, which opening accepts only before this offset.
            self.note_recovery_point()
            self._parts.checkpoints.write(RECOVERY_POINTS)
            cleaned.decide()
            new = replace_segments(
                self.directory,
                cleaned,
                old,
                file_system=self._parts.file_system,
                delay_ms=self.config.file_delete_delay_ms,
            )
        except StorageError as error:
            self.health.fail(error)
            raise
        new.last_append_ms = max(segment.last_append_ms for segment in old)
        self._segments.replace(first, len(old), new)

    # Maintenance

    def expire_producers(self, now_ms: TimestampMs) -> int:
        """Remove producers that have not written for their expiry time; return their number."""
        return self._states.expire(now_ms=now_ms, expiry_ms=self._parts.settings.producer_expiry_ms)

    def release_memory(self) -> None:
        """Free what an idle partition does not need: index memory and the active file."""
        for segment in self.closed_segments:
            segment.forget_indexes()
        if not self.has_unsynced and not self._syncing.is_under_way:
            self.active.release_file()

    def note_recovery_point(self) -> None:
        """Put the recovery point into its checkpoint, in memory."""
        if self._is_left:
            return  # so that a late sync does not touch a new partition of the same name
        self._parts.checkpoints.note(RECOVERY_POINTS, self.topic_partition, self._syncing.recovery_point())

    def close(self, syncs: SyncBatch) -> None:
        """Sync everything appended, and write the files that make the next opening fast.

        Both are durable once ``syncs`` has run; only then may the stop be marked as clean.
        """
        self.health.ensure()
        if self._is_settled:
            self.release_files()
            return
        self.sync()
        self._epochs.save_with(syncs)
        for file in self.active.write_indexes():
            syncs.add_open(file, file.close)
        snapshot = self._snapshots.write(self._marks.offsets.log_end, self._states)
        syncs.add_open(snapshot, snapshot.close)
        if RetentionPolicy.of(self.config).retention_ms is not None:
            self._append_times.save_with(syncs, list(self._segments))
        syncs.add_folder(self.directory)
        self.release_files()

    def leave(self) -> None:
        """Close all files for good: the partition is deleted, and a new one may get its name."""
        self._is_left = True
        self.release_files()

    def release_files(self) -> None:
        """Close all files, whether they are synced or not."""
        self._syncing.release_all()
        self.active.release_file()
        for segment in self._segments:
            self._parts.open_files.forget(segment.data_path)
