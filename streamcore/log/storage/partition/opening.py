"""Opening of one partition's directory: finishes what a crash interrupted and reads the partition's state.

After a clean stop the data is not read: the indexes and the producer snapshot hold everything needed.
Otherwise every batch from the recovery point on is read:

* Bad bytes *after* the recovery point are a torn tail. They and all bytes after them are cut off: a segment
  is made durable only after the one before it, so nothing there was acknowledged. If valid batches follow in
  the same file, it may have been damage after all (the recovery point is written only from time to time): the
  cut bytes are kept in a file beside it, see ``torn_tail``.
* Bad bytes *before* it were durable once, and are corruption. The partition is refused; nothing is
  changed and no later segment is dropped.

Invariant: all visible records are durable after opening. The part that was read is synced before any record
of it can be read by others; the owner does that, for many partitions at once. The part past the recovery
point is written again before that sync: the process that wrote it may have ended because a sync failed, and
then the bytes may be readable, count as written, and yet not be on the disk.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec import Struct

from streamcore.errors import CorruptBatchError, CorruptDataError, CorruptIndexError, with_facts
from streamcore.log.records.batch import NO_TIMESTAMP
from streamcore.log.records.decode import batch_marker
from streamcore.log.storage.checkpoints import LOG_STARTS, RECOVERY_POINTS
from streamcore.log.storage.compaction.segment_replacement import complete_replacements
from streamcore.log.storage.files import read_whole
from streamcore.log.storage.partition.leader_epochs import LeaderEpochs, stored_epochs
from streamcore.log.storage.partition.leadership import read_epochs
from streamcore.log.storage.partition.log_parts import LogParts, OpenedLog
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.producers.producer_snapshot import decode_snapshot
from streamcore.log.storage.producers.producer_states import ProducerStates
from streamcore.log.storage.segment.log_files import (
    INDEX_KINDS,
    PARTITION_METADATA,
    FileKind,
    file_path,
    parse_name,
    partition_metadata,
)
from streamcore.log.storage.segment.scanning import StoredBatch, scan_batches
from streamcore.log.storage.segment.segment import Segment
from streamcore.log.storage.segment.torn_tail import keep_if_valuable
from streamcore.log.storage.segment.transaction_index import aborted_entry
from streamcore.log.storage.sync_batch import SyncBatch
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.model import Offset, TimestampMs, TopicPartition

_log = logging.getLogger(__name__)

_NEW_NAMES: Final = frozenset({PARTITION_METADATA, file_path(Path(), 0, FileKind.DATA).name})
"""The parts of a partition to which nothing was ever written."""


class Opening(Struct, frozen=True, kw_only=True):
    """The facts about a partition that are known before its directory is read."""

    topic_partition: TopicPartition
    directory: Path
    config: TopicConfig
    was_clean: bool
    now_ms: TimestampMs
    syncs: SyncBatch
    """Collects the files that must be synced before the partition is visible."""


def make_partition(directory: Path, topic_id: UUID, parts: LogParts) -> None:
    """Create the folder of a new partition with its first segment.

    The caller then syncs the metadata file and the folder. Creating many folders and then syncing them is
    much faster than creating and syncing them one after the other.
    """
    parts.file_system.make_directory(directory)
    file = parts.file_system.open(directory / PARTITION_METADATA, create=True)
    try:
        file.append([partition_metadata(topic_id)])
    finally:
        file.close()
    parts.file_system.open(file_path(directory, 0, FileKind.DATA), create=True).close()


def new_log(
    partition: TopicPartition, topic_id: UUID, directory: Path, config: TopicConfig, parts: LogParts
) -> PartitionLog:
    """Return the partition of a folder that was just created."""
    segment = Segment(
        directory, 0, file_system=parts.file_system, open_files=parts.open_files, end_offset=0, size_bytes=0
    )
    segment.start_over()
    opened = OpenedLog(
        segments=[segment],
        states=ProducerStates(),
        log_start=0,
        epochs=LeaderEpochs(),
        snapshots=[],
        is_settled=True,
    )
    return PartitionLog(partition, topic_id, directory, config, opened, parts)


def open_partition(opening: Opening, parts: LogParts) -> OpenedLog:
    """Return the content of a partition's directory, repaired after a crash.

    Raises:
        CorruptDataError: durable data is damaged or missing.
        UnsupportedVersionError: a newer program wrote a part of it.
        StorageError: the disk refused.
    """
    directory = opening.directory
    try:
        names = parts.file_system.list_directory(directory)
    except FileNotFoundError as error:
        raise CorruptDataError(
            with_facts("the folder of a partition is missing: restore it from a copy", path=directory)
        ) from error
    is_untouched = set(names) == _NEW_NAMES
    if complete_replacements(parts.file_system, directory, names):
        names = parts.file_system.list_directory(directory)
    bases = _tidy(names, opening, parts)
    recovery_point = parts.checkpoints.get(RECOVERY_POINTS, opening.topic_partition)
    log_start = max(parts.checkpoints.get(LOG_STARTS, opening.topic_partition), bases[0])
    segments = _segments(bases, opening, parts)
    _remove_deleted(segments, log_start, opening, parts)
    snapshots = [
        parsed[0] for name in names if (parsed := parse_name(name)) and parsed[1] is FileKind.SNAPSHOT
    ]
    if opening.was_clean:
        segments[-1].load_end()
        states = _replayed(segments, sorted(snapshots), opening, parts)
        epochs = read_epochs(parts.file_system, directory) or stored_epochs(segments)
    else:
        states, epochs = _recovered(segments, sorted(snapshots), recovery_point, opening, parts)
    log_end = segments[-1].end_offset
    if log_end < recovery_point:
        raise _missing(opening, log_end, recovery_point)
    if log_end < log_start:
        _start_again(segments, log_start, opening, parts)
        log_end = log_start
    epochs.cut_start(log_start)
    for offset in snapshots:
        if offset > log_end:
            parts.file_system.remove(file_path(directory, offset, FileKind.SNAPSHOT))
    is_untouched = is_untouched and log_end == 0
    if not (opening.was_clean or is_untouched):
        # The names that a killed process has written, and the repairs.
        opening.syncs.add_folder(directory)
    return OpenedLog(
        segments=segments,
        states=states,
        log_start=log_start,
        epochs=epochs,
        snapshots=sorted(offset for offset in snapshots if offset <= log_end),
        is_settled=is_untouched or (opening.was_clean and log_end in snapshots and not epochs.is_changed),
    )


def _tidy(names: list[str], opening: Opening, parts: LogParts) -> list[Offset]:
    """Remove the leftovers of a crash; return the base offsets of the segments."""
    parsed = [(name, found) for name in names if (found := parse_name(name))]
    bases = sorted(base for _, (base, kind, _) in parsed if kind is FileKind.DATA)
    for name in names:
        if name.endswith(".tmp"):
            parts.file_system.remove(opening.directory / name)
    for name, (base, kind, _) in parsed:
        if kind in INDEX_KINDS and base not in bases:
            parts.file_system.remove(opening.directory / name)
    if not bases:
        raise CorruptDataError(
            with_facts(
                "a partition has no data files: restore its folder from a copy, or delete the topic",
                path=opening.directory,
            )
        )
    return bases


def _segments(bases: list[Offset], opening: Opening, parts: LogParts) -> list[Segment]:
    segments: list[Segment] = []
    for index, base in enumerate(bases):
        path = file_path(opening.directory, base, FileKind.DATA)
        file = parts.file_system.open(path)
        size_bytes = file.size()
        file.close()
        segments.append(
            Segment(
                opening.directory,
                base,
                file_system=parts.file_system,
                open_files=parts.open_files,
                end_offset=bases[index + 1] if index + 1 < len(bases) else base,
                size_bytes=size_bytes,
            )
        )
    return segments


def _remove_deleted(segments: list[Segment], log_start: Offset, opening: Opening, parts: LogParts) -> None:
    """Remove segments that are entirely before the log start: a crash may have brought some of them back.

    Some of them may be missing: then there is a hole, and batches before a hole must not be replayed.
    """
    deleted = [segment for segment in segments[:-1] if segment.end_offset <= log_start]
    if deleted:
        _remove(deleted, opening, parts)
        del segments[: len(deleted)]


def _replayed(
    segments: list[Segment], snapshots: list[Offset], opening: Opening, parts: LogParts
) -> ProducerStates:
    """Return the producer states at the log end, from the newest snapshot and the batches after it."""
    states, start = _newest_states(
        snapshots, segments[0].base_offset, segments[-1].end_offset, opening, parts
    )
    for segment in segments:
        if segment.end_offset > start:
            for batch in segment.batches(start=start):
                if batch.header.end_offset > start:
                    _note(batch, states, opening, None)
    return states


def _recovered(
    segments: list[Segment],
    snapshots: list[Offset],
    recovery_point: Offset,
    opening: Opening,
    parts: LogParts,
) -> tuple[ProducerStates, LeaderEpochs]:
    """Read every batch from the recovery point on; cut ``segments`` to the valid ones."""
    # A segment that ends at the recovery point is read, too: its data is durable, but it may
    # have been closed since, and the indexes that were written then may be torn.
    first = next(
        (index for index, segment in enumerate(segments[:-1]) if segment.end_offset >= recovery_point),
        len(segments) - 1,
    )
    states, start = _newest_states(
        snapshots, segments[0].base_offset, segments[first].base_offset, opening, parts
    )
    for segment in segments[:first]:
        if segment.end_offset > start:
            for batch in segment.batches(start=start):
                if batch.header.end_offset > start:
                    _note(batch, states, opening, None)
    end_offset = segments[first].base_offset
    # The stored epochs may be older than the batches that were read, or newer than those that are left.
    epochs = read_epochs(parts.file_system, opening.directory) or stored_epochs(segments[:first])
    epochs.cut_end(end_offset)
    is_torn = False
    for index in range(first, len(segments)):
        segment = segments[index]
        is_torn = segment.base_offset != end_offset
        if not is_torn:
            next_base = segment.end_offset
            is_torn = _walk(segment, states, epochs, opening, recovery_point, parts)
            if not is_torn and segment.end_offset < next_base <= recovery_point:
                # Compaction may have removed the last offsets of a durable, closed segment.
                segment.end_offset = next_base
            end_offset = segment.end_offset
            index += 1
        if is_torn:
            _drop(segments[index:], opening, parts)
            del segments[index:]
            break
    for segment in segments[first:]:
        if segment.size_bytes or is_torn:
            opening.syncs.add_open(segment.file_to_write(), segment.release_file)
            for file in segment.write_indexes():
                opening.syncs.add_open(file, file.close)
        else:
            segment.release_file()
    return states, epochs


def _walk(
    segment: Segment,
    states: ProducerStates,
    epochs: LeaderEpochs,
    opening: Opening,
    recovery_point: Offset,
    parts: LogParts,
) -> bool:
    """Note every batch of a segment; cut off a torn tail and return whether there was one."""
    file = segment.file_to_write()
    size_bytes = segment.size_bytes
    unsure_from: int | None = None
    is_torn = False
    segment.start_over()
    try:
        for batch in scan_batches(file, 0, size_bytes):
            if batch.header.base_offset < segment.end_offset:
                raise CorruptBatchError(
                    with_facts(
                        "the offsets of a batch are before those of the batch before it",
                        base_offset=batch.header.base_offset,
                    )
                )
            if unsure_from is None and batch.header.end_offset > recovery_point:
                unsure_from = batch.position
            segment.note(batch.header, opening.config.index_interval_bytes)
            _note(batch, states, opening, segment)
            epochs.note(batch.header.leader_epoch, batch.header.base_offset)
    except CorruptBatchError as error:
        if segment.end_offset < recovery_point:
            segment.release_file()
            raise CorruptDataError(
                with_facts(
                    "a data file is damaged before the recovery point, where its bytes were durable: restore "
                    "the file from a copy; nothing was changed",
                    path=segment.data_path,
                    position=segment.size_bytes,
                    offset=segment.end_offset,
                    recovery_point=recovery_point,
                )
            ) from error
        _log.warning(
            "cut a torn tail off %s at position %d, offset %d: %d bytes (%s)",
            segment.data_path,
            segment.size_bytes,
            segment.end_offset,
            size_bytes - segment.size_bytes,
            error,
        )
        kept = keep_if_valuable(parts.file_system, segment.data_path, file, segment.size_bytes, size_bytes)
        if kept is not None:
            _log.error(
                "valid batches followed the bad bytes: the bytes that were cut off are kept in %s", kept
            )
        file.truncate(segment.size_bytes)
        is_torn = True
    if unsure_from is not None:
        file.write_again(unsure_from)
    return is_torn


def _drop(segments: list[Segment], opening: Opening, parts: LogParts) -> None:
    """Remove the segments after a torn one: none of them was ever synced."""
    for segment in segments:
        _log.warning("removed %s: it follows a torn tail and was never acknowledged", segment.data_path)
    _remove(segments, opening, parts)


def _remove(segments: list[Segment], opening: Opening, parts: LogParts) -> None:
    for segment in segments:
        segment.remove_data()
    parts.file_system.sync_directory(opening.directory)
    for segment in segments:
        segment.remove_indexes()


def _note(batch: StoredBatch, states: ProducerStates, opening: Opening, segment: Segment | None) -> None:
    """Apply a stored batch to the producer states, and an abort to the segment's index."""
    header = batch.header
    if not header.has_producer:
        return
    if not header.is_control:
        append_time_ms = header.max_timestamp_ms if header.has_append_time else NO_TIMESTAMP
        states.note_batch(header, append_time_ms, opening.now_ms)
    elif header.record_count:
        marker = batch_marker(batch.data, 0, header)
        ended = states.note_marker(
            header,
            is_commit=marker.is_commit,
            coordinator_epoch=marker.coordinator_epoch,
            now_ms=opening.now_ms,
        )
        if segment is not None and ended is not None and not ended.is_commit:
            segment.note_aborted(aborted_entry(ended, states.first_open_offset()))


def _newest_states(
    snapshots: list[Offset], first_base: Offset, before: Offset, opening: Opening, parts: LogParts
) -> tuple[ProducerStates, Offset]:
    """Return the states of the newest readable snapshot from ``first_base`` to ``before``, and its offset."""
    for offset in reversed(snapshots):
        # A snapshot from before the first segment is useless: the batches after it are partly deleted,
        # and an old sequence number of a producer would be expected to continue.
        if not first_base <= offset <= before:
            continue
        path = file_path(opening.directory, offset, FileKind.SNAPSHOT)
        try:
            return ProducerStates(decode_snapshot(read_whole(parts.file_system, path), offset=offset)), offset
        except CorruptIndexError as error:
            _log.warning("a producer snapshot cannot be read and is rebuilt: %s", error)
    return ProducerStates(), 0


def _start_again(segments: list[Segment], log_start: Offset, opening: Opening, parts: LogParts) -> None:
    """Continue at the log start if a power cut took all (relaxed, unsynced) data after it."""
    new = Segment.create(
        opening.directory, log_start, file_system=parts.file_system, open_files=parts.open_files
    )
    new.release_file()
    parts.file_system.sync_directory(opening.directory)
    _drop(segments, opening, parts)
    segments[:] = [new]


def _missing(opening: Opening, log_end: Offset, recovery_point: Offset) -> CorruptDataError:
    return CorruptDataError(
        with_facts(
            "data that was already durable is missing from a partition: restore its folder from a copy",
            path=opening.directory,
            log_end=log_end,
            recovery_point=recovery_point,
        )
    )
