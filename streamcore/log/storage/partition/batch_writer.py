"""Writing of batches at the end of a partition, and updates of the state that depends on them.

All appends go through here. Each batch is checked (``appending``, ``producer_states``), gets its offsets, and
is written together with its neighbours (``batch_group``); then producers, marks and syncs are updated. A
segment that has no room for a batch is closed first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from streamcore.errors import StorageError, StreamCoreError
from streamcore.log.records.batch import (
    NO_TIMESTAMP,
    BatchHeader,
    WritableBytes,
    parse_header,
    patch_append_time,
    patch_offsets,
)
from streamcore.log.storage.partition.appending import (
    NO_ROOM,
    Room,
    checked_header,
    must_roll,
    recompressed,
    room_in,
)
from streamcore.log.storage.partition.batch_group import BatchGroup, Result
from streamcore.log.storage.partition.leadership import PartitionEpochs
from streamcore.log.storage.partition.marks import Marks
from streamcore.log.storage.partition.partition_replies import BatchAppended
from streamcore.log.storage.partition.sync_ticket import PartitionHealth
from streamcore.log.storage.partition.syncing import Syncing
from streamcore.log.storage.producers.producer_states import ProducerStates
from streamcore.log.storage.segment.segment import Segment
from streamcore.log.storage.segment.segments import Segments
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.model import Offset, TimestampMs, TopicPartition


class BatchWriter:
    """The appending half of a ``PartitionLog``, which owns this object and all of its parts."""

    __slots__ = (
        "_epochs",
        "_health",
        "_is_relaxed",
        "_known_room",
        "_marks",
        "_partition",
        "_roll",
        "_room_of",
        "_segments",
        "_states",
        "_syncing",
    )

    def __init__(
        self,
        partition: TopicPartition,
        segments: Segments,
        states: ProducerStates,
        epochs: PartitionEpochs,
        marks: Marks,
        syncing: Syncing,
        health: PartitionHealth,
        *,
        is_relaxed: bool,
        roll: Callable[[], None],
    ) -> None:
        """``roll`` closes the active segment and opens the next; with ``is_relaxed`` written batches are
        shown.
        """
        self._partition = partition
        self._segments = segments
        self._states = states
        self._epochs = epochs
        self._marks = marks
        self._syncing = syncing
        self._health = health
        self._is_relaxed = is_relaxed
        self._roll = roll
        self._known_room = NO_ROOM
        self._room_of: tuple[Segment, TopicConfig] | None = None

    def append_all(
        self,
        batches: Iterable[WritableBytes],
        config: TopicConfig,
        now_ms: TimestampMs,
        *,
        from_client: bool,
        has_all_keys: bool,
    ) -> list[Result]:
        """Write batches in order; see ``PartitionLog.append_all``."""
        group = BatchGroup(self._marks.offsets.log_end, config, now_ms)
        leader_epoch = self._epochs.current
        active, room = self._segments.active, self._room(config)
        for batch in batches:
            try:
                self._health.ensure()
                header = checked_header(
                    batch,
                    config,
                    self._partition,
                    now_ms=now_ms,
                    from_client=from_client,
                    has_all_keys=has_all_keys,
                )
                if header.producer_id >= 0:
                    if group.must_precede(header.producer_id, self._states.by_id):
                        self._write(group)
                    repeated = self._states.check(header, from_client=from_client)
                    if repeated is not None:
                        group.results.append(BatchAppended(*repeated[2:], is_duplicate=True))
                        continue
                stored, append_time_ms = batch, NO_TIMESTAMP
                if from_client and (config.has_append_time or config.compression_type != "producer"):
                    stored = recompressed(batch, header, config)
                    if config.has_append_time:
                        append_time_ms = now_ms
                        patch_append_time(stored, now_ms)
                    header = parse_header(stored)
                header = header.at(group.end_offset, leader_epoch)
                if (
                    active.size_bytes + group.size_bytes + len(stored) > room.size_bytes
                    or header.max_timestamp_ms > room.timestamp_ms
                    or group.end_offset + header.last_offset_delta > room.last_offset
                ):
                    header = self._make_room(stored, header, group)
                    active, room = self._segments.active, self._room(config)
            except StreamCoreError as error:
                group.results.append(error)
                continue
            patch_offsets(stored, header.base_offset, leader_epoch)
            group.add(stored, header, append_time_ms)
        self._write(group)
        return group.results

    def append_marker(self, batch: WritableBytes, config: TopicConfig, now_ms: TimestampMs) -> BatchHeader:
        """Write a marker; return its header. The caller applies its effect, then calls ``show``.

        Raises:
            StorageError: the disk refused; nothing was written.
        """
        group = BatchGroup(self._marks.offsets.log_end, config, now_ms)
        header = parse_header(batch).at(group.end_offset, self._epochs.current)
        header = self._make_room(batch, header, group)
        patch_offsets(batch, header.base_offset, header.leader_epoch)
        group.add(batch, header)
        self._write_bytes(group)
        return header

    def show(self, group_end: Offset, config: TopicConfig, now_ms: TimestampMs) -> None:
        """Move the marks to the end of the written batches."""
        active = self._segments.active
        active.last_append_ms = max(active.last_append_ms, now_ms)
        self._syncing.note_time(now_ms)
        self._marks.append(group_end)
        if self._is_relaxed and not self._syncing.is_flush_due(config, now_ms):
            self._marks.show(group_end)

    def _write(self, group: BatchGroup) -> None:
        """Write a group and begin the next; a failure becomes the result of each of its batches."""
        if not group.batches:
            return
        try:
            self._write_bytes(group)
        except StorageError as error:
            group.refuse(error)
        else:
            if group.producer_ids:
                self._note_producers(group)
            self.show(group.end_offset, group.config, group.now_ms)
        group.begin(self._marks.offsets.log_end)

    def _write_bytes(self, group: BatchGroup) -> None:
        self._health.ensure()
        active = self._segments.active
        try:
            active.append(group.batches, group.headers, group.config.index_interval_bytes)
        except StorageError as error:
            if active.is_damaged:
                self._health.fail(error)
            raise
        first = group.headers[0]
        self._epochs.note(first.leader_epoch, first.base_offset)
        self._syncing.note_written(group.size_bytes)

    def _note_producers(self, group: BatchGroup) -> None:
        is_transactional = False
        for header, append_time_ms in zip(group.headers, group.append_times_ms, strict=True):
            if header.producer_id >= 0:
                self._states.note_batch(header, append_time_ms, group.now_ms)
                is_transactional = is_transactional or header.is_transactional
        if is_transactional:
            self._marks.follow_transactions(self._states.first_open_offset())

    def _room(self, config: TopicConfig) -> Room:
        """Return the bounds within which the active segment takes batches without a check."""
        active = self._segments.active
        if self._room_of is None or self._room_of[0] is not active or self._room_of[1] is not config:
            self._room_of, self._known_room = (active, config), NO_ROOM
        if active.size_bytes >= self._known_room.size_bytes:
            self._known_room = room_in(active, config)
        return self._known_room

    def _make_room(self, batch: WritableBytes, header: BatchHeader, group: BatchGroup) -> BatchHeader:
        """Roll the segment if it has no room for a batch after the group; return the batch's header, which
        may change.

        Raises:
            StorageError: the next segment cannot be opened; the log is unchanged.
        """
        if group.batches:
            self._write(group)
            header = header.at(
                group.end_offset, header.leader_epoch
            )  # after a failure these offsets are free again
        if must_roll(self._segments.active, len(batch), header, group.config):
            self._roll()
        return header
