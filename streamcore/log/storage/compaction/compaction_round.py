"""Decision about each batch in one round of compaction.

The caller passes every batch of the cleaned part to ``CompactionRound``, in the order of the log, and gets an
``Outcome`` for each. ``compaction_plan`` explains the rules. Pure: ``compaction`` reads the batches and
writes the outcomes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct

from streamcore.log.records.batch import BatchHeader
from streamcore.log.records.decode import BatchRecord
from streamcore.log.storage.compaction.compaction_plan import NewestOffsets
from streamcore.model import Offset, ProducerId, TimestampMs


class AbortedSpan(Protocol):
    """An aborted transaction of one producer: its first offset, and its marker."""

    @property
    def producer_id(self) -> ProducerId: ...  # noqa: D102
    @property
    def first_offset(self) -> Offset: ...  # noqa: D102
    @property
    def last_offset(self) -> Offset: ...  # noqa: D102


class ProducerEnd(NamedTuple):
    """The last data batch of a known producer, if any is left, and its epoch."""

    last_data_offset: Offset | None
    epoch: int


class Keep(NamedTuple):
    """Copy the batch unchanged."""


class Drop(NamedTuple):
    """Leave the batch out."""


class Rewrite(Struct, frozen=True):
    """Write the batch with these of its records; set a delete horizon if one is given."""

    records: Sequence[BatchRecord]
    delete_horizon_ms: TimestampMs | None = None


Outcome = Keep | Drop | Rewrite
_KEEP = Keep()
_DROP = Drop()


class TransactionFollower:
    """Follows, batch by batch, which data is aborted and which markers have no data left."""

    def __init__(self, aborted: Iterable[AbortedSpan]) -> None:
        self._waiting = sorted(aborted, key=lambda span: span.first_offset, reverse=True)
        self._open_aborts: dict[ProducerId, bool] = {}
        """Producers in an aborted transaction; the value is whether any of its data was seen."""
        self._open_commits: set[ProducerId] = set()

    def is_aborted(self, header: BatchHeader) -> bool:
        """Take a data batch; return whether its transaction was aborted."""
        self._open_up_to(header.last_offset)
        if not header.is_transactional:
            return False
        if header.producer_id in self._open_aborts:
            self._open_aborts[header.producer_id] = True
            return True
        self._open_commits.add(header.producer_id)
        return False

    def outlives_data(self, header: BatchHeader, *, is_commit: bool) -> bool:
        """Take a marker; return whether no data of its transaction is left before it."""
        self._open_up_to(header.last_offset)
        if is_commit:
            had_data = header.producer_id in self._open_commits
            self._open_commits.discard(header.producer_id)
            return not had_data
        return not self._open_aborts.pop(header.producer_id, False)

    def _open_up_to(self, offset: Offset) -> None:
        while self._waiting and self._waiting[-1].first_offset <= offset:
            self._open_aborts.setdefault(self._waiting.pop().producer_id, False)


class CompactionRound:
    """The decisions about the batches in ``[log start, end)``, taken in the order of the log.

    Args:
        newest: the newest offset of each key of the dirty part.
        aborted: all aborted transactions with records in the part.
        producers: the known producers.
        group_ends: the end offsets of the new segments; the last batch of each keeps its header, so that
            a segment is never empty and always ends where the segments that it replaces did.
        oldest_snapshot: the offset of the oldest producer snapshot; a recovery may begin there, with open
            transactions that only a marker after it ends. So those markers stay.
        now_ms: the time of the round.
        delete_retention_ms: how long tombstones and markers without data are kept from now on.
    """

    def __init__(
        self,
        newest: NewestOffsets,
        aborted: Iterable[AbortedSpan],
        producers: Mapping[ProducerId, ProducerEnd],
        *,
        group_ends: Collection[Offset],
        oldest_snapshot: Offset | None,
        now_ms: TimestampMs,
        delete_retention_ms: int,
    ) -> None:
        self._newest = newest
        self._follower = TransactionFollower(aborted)
        self._producers = producers
        self._group_ends = frozenset(group_ends)
        self._oldest_snapshot = oldest_snapshot
        self._now_ms = now_ms
        self._delete_retention_ms = delete_retention_ms

    def marker(self, header: BatchHeader, records: Sequence[BatchRecord], *, is_commit: bool) -> Outcome:
        """Decide on a control batch."""
        outlives_data = self._follower.outlives_data(header, is_commit=is_commit)
        if not outlives_data:
            return _KEEP
        if header.delete_horizon_ms is None:
            return Rewrite(records, self._now_ms + self._delete_retention_ms)
        is_needed = self._oldest_snapshot is not None and header.base_offset >= self._oldest_snapshot
        if is_needed or self._now_ms < header.delete_horizon_ms:
            return _KEEP
        return Rewrite(()) if self._keeps_header(header) else _DROP

    def emptied_marker(self, header: BatchHeader) -> Outcome:
        """Decide on a control batch of which an earlier round kept only the header."""
        return _KEEP if self._keeps_header(header) else _DROP

    def data(self, header: BatchHeader, records: Sequence[BatchRecord]) -> Outcome:
        """Decide on a batch of records, which may be empty already."""
        if self._follower.is_aborted(header):
            kept: Sequence[BatchRecord] = ()
        elif header.base_offset >= self._newest.end_offset:
            return _KEEP
        else:
            kept = [record for record in records if self._stays(header, record)]
        if not kept:
            if not self._keeps_header(header):
                return _DROP
            return _KEEP if not records else Rewrite(())
        if header.delete_horizon_ms is None and any(record.value is None for record in kept):
            return Rewrite(kept, self._now_ms + self._delete_retention_ms)
        return _KEEP if len(kept) == len(records) else Rewrite(kept)

    def _stays(self, header: BatchHeader, record: BatchRecord) -> bool:
        if record.offset >= self._newest.end_offset:
            return True
        key = record.key
        if key is None or record.offset < self._newest.newest(key):
            return False
        horizon_ms = header.delete_horizon_ms
        return record.value is not None or horizon_ms is None or self._now_ms < horizon_ms

    def _keeps_header(self, header: BatchHeader) -> bool:
        if header.end_offset in self._group_ends:
            return True
        end = self._producers.get(header.producer_id) if header.has_producer else None
        if end is None:
            return False
        if end.last_data_offset is not None:
            return header.last_offset == end.last_data_offset
        # Only a marker is left of this producer; it alone holds the epoch that fences.
        return header.is_control and header.producer_epoch == end.epoch
