"""One round of compaction of one partition: reads its closed segments, writes cleaned ones.

``compaction_plan`` defines which records compaction keeps, ``compaction_round`` decides on each batch,
``segment_replacement`` installs the new segments so that a crash leaves the old ones or the new. This module
iterates over the files.

A round has three parts, like a ``SyncTicket``: the partition's owner begins it, any thread runs it while the
partition is in use (closed segments do not change), and the owner completes it. ``compact`` runs all three,
for an owner that can wait.

Memory: the keys of the dirty part up to ``bytes_max``, and one batch. If the keys do not all fit, the round
ends at the first key that does not, and the next round continues from there.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from streamcore.errors import CorruptDataError, StorageError
from streamcore.log.records.batch import BatchHeader, parse_header
from streamcore.log.records.builder import rewrite_batch
from streamcore.log.records.decode import batch_marker, batch_records
from streamcore.log.storage.compaction.compaction_plan import (
    CleanablePart,
    NewestOffsets,
    cleanable_part,
    is_due,
    segment_groups,
)
from streamcore.log.storage.compaction.compaction_round import (
    CompactionRound,
    Drop,
    Keep,
    Outcome,
    ProducerEnd,
    Rewrite,
    TransactionFollower,
)
from streamcore.log.storage.compaction.segment_replacement import CleanedSegment
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.producers.producer_states import ProducerState
from streamcore.log.storage.segment.scanning import StoredBatch
from streamcore.log.storage.segment.segment import Segment
from streamcore.log.storage.segment.transaction_index import AbortedEntry
from streamcore.model import Offset, TimestampMs


def compact(log: PartitionLog, *, now_ms: TimestampMs, bytes_max: int) -> bool:
    """Compact a partition if a round is due; return whether a round was made.

    Raises:
        StorageError: the disk refused. Before anything was replaced, the partition stays usable.
        CorruptDataError: a stored batch is damaged; nothing was replaced.
    """
    compaction = Compaction.begin(log, now_ms=now_ms, bytes_max=bytes_max)
    if compaction is None:
        return False
    compaction.run()
    compaction.complete()
    return True


class _Replacement(Struct, frozen=True):
    """Some closed segments and the cleaned segment that replaces them."""

    old: tuple[Segment, ...]
    cleaned: CleanedSegment


class Compaction:
    """A round that was begun: ``run`` writes cleaned segments, ``complete`` installs them."""

    def __init__(
        self, log: PartitionLog, part: CleanablePart, *, now_ms: TimestampMs, bytes_max: int
    ) -> None:
        self.log = log
        self._part = part
        self._now_ms = now_ms
        self._bytes_max = bytes_max
        # Taken here because the partition changes while the round runs.
        self._config = log.config
        self._closed_segments = tuple(log.closed_segments)
        self._aborted = tuple(log.segments.aborted_entries())
        self._oldest_snapshot = log.oldest_snapshot
        self._producers = {state.producer_id: _producer_end(state) for state in log.producer_states.values()}
        self._replacements: list[_Replacement] = []
        self._cleaned_to = part.first_dirty
        self._failure: StorageError | CorruptDataError | None = None

    @classmethod
    def begin(cls, log: PartitionLog, *, now_ms: TimestampMs, bytes_max: int) -> Compaction | None:
        """Return a round, or ``None`` if none is due. For the owner.

        Args:
            log: the partition.
            now_ms: the time of the round.
            bytes_max: memory for keys.
        """
        config = log.config
        closed_segments = log.closed_segments
        part = cleanable_part(
            closed_segments,
            first_dirty=log.cleaned_to,
            last_stable=log.offsets.last_stable,
            now_ms=now_ms,
            min_lag_ms=config.min_compaction_lag_ms,
        )
        is_worth_it = is_due(
            part,
            min_dirty_ratio=config.min_cleanable_dirty_ratio,
            oldest_dirty_ms=_oldest_dirty_ms(closed_segments, part) if part.dirty_bytes else None,
            now_ms=now_ms,
            max_lag_ms=config.max_compaction_lag_ms,
        )
        if not is_worth_it:
            return None
        if log.shows_unsynced:
            # A crash could lose an unsynced newer record or marker after the older records are gone.
            log.sync()
        return cls(log, part, now_ms=now_ms, bytes_max=bytes_max)

    def run(self) -> None:
        """Write the cleaned segments. May run in parallel with the owner, in any thread.

        ``complete`` raises the failures, because only the owner knows their meaning.
        """
        try:
            self._run()
        except FileNotFoundError as error:
            # The folder of a partition that was deleted meanwhile: the round is not completed.
            self._failure = StorageError(f"a partition's folder is missing, {error}")
        except (StorageError, CorruptDataError) as error:
            self._failure = error

    def _run(self) -> None:
        newest = self._collect_newest()
        segments = [s for s in self._closed_segments if s.base_offset < newest.end_offset]
        groups = segment_groups(segments, segment_bytes_max=self._config.segment_bytes)
        cleaning = CompactionRound(
            newest,
            self._aborted,
            self._producers,
            group_ends=[segments[group[-1]].end_offset for group in groups],
            oldest_snapshot=self._oldest_snapshot,
            now_ms=self._now_ms,
            delete_retention_ms=self._config.delete_retention_ms,
        )
        for group in groups:
            self._clean(tuple(segments[index] for index in group), cleaning)
        self._cleaned_to = newest.end_offset

    def complete(self) -> None:
        """Install the cleaned segments. For the owner; raises the errors of ``complete_next``."""
        while self.complete_next():
            pass

    def complete_next(self) -> bool:
        """Install the next cleaned segment; return whether more follow. For the owner.

        Segments that retention removed meanwhile stay removed: the replacements that contain them are
        dropped.

        Raises:
            StorageError: the disk refused. If it refused in ``run``, the partition keeps its segments;
                otherwise the partition is given up, and repaired by the next opening.
            CorruptDataError: a stored batch is damaged, or a file is missing; nothing was replaced.
        """
        present = set(self.log.closed_segments)
        if self._failure is not None:
            self.discard()
            # Files deleted while they were read are no damage. Real damage is found again.
            if isinstance(self._failure, CorruptDataError) and not present.issuperset(self._closed_segments):
                return False
            raise self._failure
        if not self._replacements:
            self.log.note_cleaned_to(self._cleaned_to)
            return False
        replacement = self._replacements.pop(0)
        if present.issuperset(replacement.old):
            self.log.replace_segments(replacement.old, replacement.cleaned)
        else:
            replacement.cleaned.discard()
        return True

    def discard(self) -> None:
        """Remove the files that the round has written."""
        for replacement in self._replacements:
            replacement.cleaned.discard()
        self._replacements.clear()

    def _collect_newest(self) -> NewestOffsets:
        """Run the first pass: the newest offset of each key of the dirty part."""
        first_dirty = self._part.first_dirty
        newest = NewestOffsets(bytes_max=self._bytes_max)
        newest.end_offset = first_dirty
        follower = TransactionFollower(e for e in self._aborted if e.last_offset >= first_dirty)
        for segment in self._closed_segments:
            if segment.end_offset <= first_dirty or segment.base_offset >= self._part.end:
                continue
            for batch in segment.batches():
                header = batch.header
                if header.end_offset <= first_dirty:
                    continue
                if not newest.has_room(header.record_count):
                    return newest
                if header.is_control:
                    if header.record_count:
                        follower.outlives_data(
                            header, is_commit=batch_marker(batch.data, 0, header).is_commit
                        )
                elif not follower.is_aborted(header):
                    for record in batch_records(batch.data, 0, header):
                        if record.key is not None and record.offset >= first_dirty:
                            newest.note(record.key, record.offset)
                newest.end_offset = header.end_offset
        newest.end_offset = self._part.end
        return newest

    def _clean(self, old: tuple[Segment, ...], cleaning: CompactionRound) -> None:
        """Run the second pass over one group: copy the records that stay into one new segment."""
        cleaned = self.log.begin_replacement(old[0].base_offset)
        listed = {
            (entry.producer_id, entry.last_offset): entry
            for entry in self._aborted
            if old[0].base_offset <= entry.last_offset < old[-1].end_offset
        }
        aborted: list[AbortedEntry] = []
        self._replacements.append(_Replacement(old, cleaned))
        for segment in old:
            for batch in segment.batches():
                outcome = _outcome(batch, cleaning)
                match outcome:
                    case Drop():
                        continue
                    case Keep():
                        cleaned.append(batch.data, batch.header)
                    case Rewrite():
                        data = rewrite_batch(
                            batch.header,
                            outcome.records,
                            compression=batch.header.compression if outcome.records else 0,
                            delete_horizon_ms=outcome.delete_horizon_ms,
                        )
                        cleaned.append(data, parse_header(data))
                entry = listed.get((batch.header.producer_id, batch.header.last_offset))
                is_emptied = isinstance(outcome, Rewrite) and not outcome.records
                if entry is not None and batch.header.is_control and not is_emptied:
                    # The entry is dropped with its marker; a reader without the marker would take the
                    # producer's later committed records for aborted. The marker stays a round longer than
                    # the data, so no segment that a crash brings back holds aborted records without an entry.
                    aborted.append(entry)
        cleaned.finish(aborted)


def _outcome(batch: StoredBatch, cleaning: CompactionRound) -> Outcome:
    header = batch.header
    records = batch_records(batch.data, 0, header)
    if not header.is_control:
        return cleaning.data(header, records)
    if not records:
        return cleaning.emptied_marker(header)
    return cleaning.marker(header, records, is_commit=batch_marker(batch.data, 0, header).is_commit)


def _producer_end(state: ProducerState) -> ProducerEnd:
    return ProducerEnd(state.batches[-1].last_offset if state.batches else None, state.epoch)


def _oldest_dirty_ms(segments: Sequence[Segment], part: CleanablePart) -> TimestampMs | None:
    """Return the time of the first batch of the dirty part, in place of its oldest record's."""
    for segment in segments:
        if part.first_dirty < segment.end_offset <= part.end:
            header = _first_header(segment, part.first_dirty)
            if header is not None and header.max_timestamp_ms >= 0:
                return header.max_timestamp_ms
    return None


def _first_header(segment: Segment, start: Offset) -> BatchHeader | None:
    for batch in segment.batches(start=start, check=False):
        return batch.header
    return None
