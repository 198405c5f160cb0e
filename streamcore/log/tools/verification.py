"""Verification of a log's files: ``streamcore log verify``.

Per data file: every batch is complete, passes its checksum and decodes; offsets and leader epochs ascend from
batch to batch and from file to file, and the epochs agree with the partition's list of leader epochs. Per
index: every entry points at its batch, and every aborted transaction is listed. The verification reads
everything and changes nothing; it reads index files with its own code, not with the code that writes them.

A ``Problem`` with ``is_mended_at_start`` is a normal result of an unclean stop, and the next start repairs
it. Any other problem means that the stored bytes are not those that were written.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

from msgspec import Struct

from streamcore.errors import CorruptDataError, UnsupportedVersionError
from streamcore.log.records.batch import BatchHeader, check_batch
from streamcore.log.storage.checkpoints import RECOVERY_POINTS, read_checkpoint
from streamcore.log.storage.files import FileSystem, read_whole
from streamcore.log.storage.partition.leader_epochs import NO_EPOCH, LeaderEpochs, decode_epochs
from streamcore.log.storage.partition.leadership import EPOCHS_NAME
from streamcore.log.storage.segment.log_files import FileKind, parse_name
from streamcore.log.storage.segment.scanning import StoredBatch
from streamcore.log.storage.segment.transaction_index import AbortedEntry, decode_entries
from streamcore.log.tools.dump import (
    BrokenTail,
    DumpedRecord,
    ReadOnlyFileSystem,
    data_files,
    decoded_marker,
    decoded_records,
    stored_batches,
)
from streamcore.model import Offset, ProducerId, TimestampMs, TopicPartition

_OFFSET_ENTRY: Final = struct.Struct(">II")
_TIME_ENTRY: Final = struct.Struct(">qI")


class Problem(Struct, frozen=True):
    """A deviation, and the file and byte position where it is."""

    file: Path
    position: int | None
    text: str
    is_mended_at_start: bool = False

    def __str__(self) -> str:
        location = f"{self.file}" if self.position is None else f"{self.file} at {self.position}"
        remedy = " (the next start puts this right)" if self.is_mended_at_start else ""
        return f"{location}: {self.text}{remedy}"


def verify(path: Path, *, file_system: FileSystem | None = None) -> Iterator[Problem]:
    """Check a data file with its indexes, a partition's folder, or a whole log, file by file.

    Raises:
        UsageError: there is no data file at or below ``path``.
    """
    files = file_system or ReadOnlyFileSystem()
    for _, partition in groupby(data_files(files, path), key=lambda file: file.parent):
        transactions = _OpenTransactions()
        end_offset, is_broken = 0, False
        segments = list(partition)
        epochs = _EpochCheck(files, segments[0].parent)
        if epochs.failure is not None:
            yield epochs.failure
        # Read before the data: a log in use only moves the recovery point forward.
        recovery_point = _recovery_point(files, segments[0].parent)
        for segment in segments:
            torn_from = recovery_point if segment == segments[-1] else None
            check = _SegmentCheck(files, segment, transactions, epochs, end_offset, torn_from=torn_from)
            yield from check.problems()
            end_offset, is_broken = check.end_offset, check.is_broken
        is_whole = path not in segments
        if is_whole and end_offset < recovery_point and not is_broken:
            yield Problem(
                segments[-1],
                None,
                f"ends at offset {end_offset}, but records up to {recovery_point} were stored",
            )


class _EpochCheck:
    """A comparison of a partition's list of leader epochs with the epochs in its batches; the list may be
    missing.
    """

    def __init__(self, file_system: FileSystem, folder: Path) -> None:
        self.path = folder / EPOCHS_NAME
        self.failure: Problem | None = None
        self._listed = LeaderEpochs()
        self._highest = NO_EPOCH
        self._reported: set[int] = set()
        try:
            self._listed = decode_epochs(read_whole(file_system, self.path), self.path)
        except FileNotFoundError:
            pass
        except (CorruptDataError, UnsupportedVersionError) as error:
            self.failure = Problem(self.path, None, str(error), isinstance(error, CorruptDataError))

    def wrong_with(self, header: BatchHeader) -> str | None:
        """Return what does not agree with the batches before, at most once for each epoch."""
        before, self._highest = self._highest, max(self._highest, header.leader_epoch)
        if header.leader_epoch < before:
            return f"leader epoch {header.leader_epoch} comes after {before}"
        starts = self._listed.starts
        # Epochs before the log start are not listed, and their batches may still be stored.
        if not starts or header.base_offset < starts[0][1] or header.leader_epoch in self._reported:
            return None
        listed = self._listed.epoch_at(header.base_offset)
        if listed == header.leader_epoch:
            return None
        self._reported.add(header.leader_epoch)
        return f"has leader epoch {header.leader_epoch}, and {self.path.name} has {listed}"


def _recovery_point(file_system: FileSystem, folder: Path) -> Offset:
    """Return the offset up to which a partition was synced, by the checkpoint beside its folder; 0 without
    one.
    """
    topic, _, number = folder.name.rpartition("-")
    if not topic or not number.isdigit():
        return 0
    points = read_checkpoint(file_system, folder.parent / RECOVERY_POINTS)
    return points.get(TopicPartition(topic, int(number)), 0)


@dataclass(slots=True)
class _OpenTransactions:
    """The first offset of each producer's open transaction, as far as it is still stored."""

    first_offsets: dict[ProducerId, Offset] = field(default_factory=dict)

    def data(self, header: BatchHeader) -> None:
        if header.is_transactional:
            self.first_offsets.setdefault(header.producer_id, header.base_offset)

    def end(self, producer_id: ProducerId) -> Offset | None:
        return self.first_offsets.pop(producer_id, None)


class _SegmentCheck:
    """A check of one data file and its indexes, in one pass over the data."""

    def __init__(
        self,
        file_system: FileSystem,
        path: Path,
        transactions: _OpenTransactions,
        epochs: _EpochCheck,
        previous_end: Offset,
        *,
        torn_from: Offset | None,
    ) -> None:
        """``torn_from`` is the offset from which an unclean stop may have torn the file; ``None`` for a
        closed segment.
        """
        parsed = parse_name(path.name)
        assert parsed is not None
        self._files = file_system
        self._path = path
        self._base_offset = parsed[0]
        self._transactions = transactions
        self._epochs = epochs
        self._torn_from = torn_from
        self.is_broken = False
        self._previous_end = previous_end
        self.end_offset = max(self._base_offset, previous_end)
        self._max_timestamp_ms: TimestampMs = -1
        self._positions: dict[int, Offset] = {}
        """Of the offset index: last offset by byte position; entries are removed as their batches are
        read.
        """
        self._times: dict[Offset, TimestampMs] = {}
        """Of the time index: timestamp by last offset; entries are removed as their batches are read."""
        self._aborts: dict[Offset, AbortedEntry] = {}
        """Of the transaction index, by the marker's offset; entries are removed as their batches are read."""
        self._lists_aborts = False

    def problems(self) -> Iterator[Problem]:
        """Yield all problems; ``end_offset`` is known when the iteration has ended."""
        if self._base_offset < self._previous_end:
            yield self._problem(None, f"begins before the end of the file before it, {self._previous_end}")
        yield from self._read_indexes()
        for found in stored_batches(self._files, self._path):
            if isinstance(found, BrokenTail):
                self.is_broken = True
                is_torn = self._torn_from is not None and self.end_offset >= self._torn_from
                yield self._problem(found.position, found.text, is_mended=is_torn)
                return
            yield from self._check_batch(found)
        yield from self._unmet_entries()

    def _check_batch(self, batch: StoredBatch) -> Iterator[Problem]:
        header = batch.header
        if header.base_offset < self.end_offset:
            yield self._problem(
                batch.position, f"offset {header.base_offset} comes after {self.end_offset - 1}"
            )
        self.end_offset = max(self.end_offset, header.end_offset)
        wrong = self._epochs.wrong_with(header)
        if wrong is not None:
            # An unclean start takes the epochs of the last segment from its batches.
            yield self._problem(batch.position, wrong, is_mended=self._torn_from is not None)
        try:
            check_batch(batch.data, 0, header)
            records = decoded_records(batch)
            marker = decoded_marker(batch)
        except CorruptDataError as error:
            yield self._problem(batch.position, str(error))
            yield from self._check_entries(batch)
            return
        if not header.is_control:
            self._transactions.data(header)
            yield from self._check_records(batch, records)
        elif marker is not None:
            first_offset = self._transactions.end(header.producer_id)
            if not marker.is_commit:
                yield from self._check_abort(batch, first_offset)
        yield from self._check_entries(batch)

    def _check_records(self, batch: StoredBatch, records: tuple[DumpedRecord, ...]) -> Iterator[Problem]:
        header = batch.header
        if len(records) != header.record_count:
            yield self._problem(
                batch.position,
                f"holds {len(records)} records, and its header has a count of {header.record_count}",
            )
        offsets = [header.base_offset - 1, *(record.offset for record in records), header.end_offset]
        if any(earlier >= later for earlier, later in pairwise(offsets)):
            yield self._problem(batch.position, "the offsets of its records are not in order")
        latest_ms = max((record.timestamp_ms for record in records), default=header.max_timestamp_ms)
        if latest_ms != header.max_timestamp_ms:
            yield self._problem(
                batch.position,
                f"its latest timestamp is {latest_ms}, and its header has {header.max_timestamp_ms}",
            )

    def _check_abort(self, batch: StoredBatch, first_offset: Offset | None) -> Iterator[Problem]:
        entry = self._aborts.pop(batch.header.last_offset, None)
        if entry is None:
            if first_offset is not None and self._lists_aborts:
                yield self._problem(
                    batch.position, "an aborted transaction is not in the transaction index", is_mended=True
                )
            return
        is_other = entry.producer_id != batch.header.producer_id
        starts_late = first_offset is not None and entry.first_offset > first_offset
        if is_other or starts_late:
            yield self._problem(
                batch.position, f"the transaction index has {entry} for this abort marker", is_mended=True
            )

    def _check_entries(self, batch: StoredBatch) -> Iterator[Problem]:
        header = batch.header
        self._max_timestamp_ms = max(self._max_timestamp_ms, header.max_timestamp_ms)
        indexed_offset = self._positions.pop(batch.position, None)
        if indexed_offset is not None and indexed_offset != header.last_offset:
            yield self._index_problem(
                FileKind.OFFSET_INDEX,
                f"has offset {indexed_offset} at {batch.position}, where {header.last_offset} is",
            )
        indexed_ms = self._times.pop(header.last_offset, None)
        if indexed_ms is not None and indexed_ms != self._max_timestamp_ms:
            yield self._index_problem(
                FileKind.TIME_INDEX,
                f"has {indexed_ms} for offset {header.last_offset}, and it is {self._max_timestamp_ms}",
            )

    def _read_indexes(self) -> Iterator[Problem]:
        """Read the existing index files; indexes are caches, so a missing file is no problem."""
        data = self._read(FileKind.OFFSET_INDEX)
        if data is not None:
            if len(data) % _OFFSET_ENTRY.size:
                yield self._index_problem(FileKind.OFFSET_INDEX, "is cut off")
            else:
                for relative, position in _OFFSET_ENTRY.iter_unpack(data):
                    self._positions[position] = self._base_offset + relative
        data = self._read(FileKind.TIME_INDEX)
        if data is not None:
            if len(data) % _TIME_ENTRY.size:
                yield self._index_problem(FileKind.TIME_INDEX, "is cut off")
            else:
                for timestamp_ms, relative in _TIME_ENTRY.iter_unpack(data):
                    self._times[self._base_offset + relative] = timestamp_ms
        data = self._read(FileKind.TRANSACTION_INDEX)
        if data is not None:
            try:
                entries = decode_entries(data, base_offset=self._base_offset)
            except (CorruptDataError, UnsupportedVersionError) as error:
                yield self._index_problem(FileKind.TRANSACTION_INDEX, str(error))
            else:
                self._aborts = {entry.last_offset: entry for entry in entries}
        # A closed segment without this file has no aborted transaction; the active one has a list in memory.
        self._lists_aborts = data is not None or self._torn_from is None

    def _unmet_entries(self) -> Iterator[Problem]:
        for position, offset in self._positions.items():
            yield self._index_problem(
                FileKind.OFFSET_INDEX, f"has offset {offset} at byte position {position}, where no batch is"
            )
        for offset, timestamp_ms in self._times.items():
            yield self._index_problem(
                FileKind.TIME_INDEX, f"has timestamp {timestamp_ms} for offset {offset}, where no batch ends"
            )
        for entry in self._aborts.values():
            yield self._index_problem(FileKind.TRANSACTION_INDEX, f"lists {entry}, and there is no marker")

    def _read(self, kind: FileKind) -> bytes | None:
        try:
            return read_whole(self._files, self._path.with_suffix(f".{kind.value}"))
        except FileNotFoundError:
            return None

    def _problem(self, position: int | None, text: str, *, is_mended: bool = False) -> Problem:
        return Problem(self._path, position, text, is_mended)

    def _index_problem(self, kind: FileKind, text: str) -> Problem:
        return Problem(self._path.with_suffix(f".{kind.value}"), None, text, is_mended_at_start=True)
