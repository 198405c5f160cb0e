"""The state of each idempotent producer in a partition: detects duplicates, gaps and old epochs.

The states also follow transactions: the open ones and their first offsets, from which the last stable offset
is computed.

``check`` decides and changes nothing; ``note_batch`` and ``note_marker`` apply what is in the log. Appending
and opening run the same two functions, so they cannot disagree.

An unknown producer (a new one, or one removed after ``producer.id.expiration.ms`` or at the limit of
``producer_limit``) may begin with any sequence number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from streamcore.errors import (
    FencedError,
    InvalidTransactionStateError,
    OutOfOrderSequenceError,
    ProducerFencedError,
    with_facts,
)
from streamcore.log.records.batch import NO_SEQUENCE, BatchHeader
from streamcore.log.storage.producers.producer_limit import ProducerLimit
from streamcore.model import Offset, ProducerId, TimestampMs

BATCHES_KEPT = 5
"""The maximum number of batches that a producer has in flight, and so of those that it can send again."""

NO_EPOCH = -1


class NotedBatch(NamedTuple):
    """A batch of a producer that is in the log."""

    first_sequence: int
    last_sequence: int
    base_offset: Offset
    last_offset: Offset
    append_time_ms: TimestampMs
    """The log's append time in the first answer, -1 if the records carry their own times."""


class EndedTransaction(NamedTuple):
    """A transaction that a marker has just ended: its records and marker are in ``[first, last]``."""

    producer_id: ProducerId
    first_offset: Offset
    last_offset: Offset
    is_commit: bool


@dataclass(slots=True)
class ProducerState:
    """The state of one producer in this partition."""

    producer_id: ProducerId
    epoch: int = NO_EPOCH
    batches: list[NotedBatch] = field(default_factory=list)
    """The newest batches of this epoch, at most ``BATCHES_KEPT``, in order."""
    coordinator_epoch: int = -1
    transaction_first_offset: Offset | None = None
    """The first offset of the open transaction, ``None`` if the producer has none open here."""
    last_seen_ms: TimestampMs = 0
    begins_anew: bool = False
    """Whether a marker has raised the epoch and no batch followed: the next sequence number is then 0."""

    @property
    def last_sequence(self) -> int:
        """The last sequence number of the present epoch, -1 if there is none."""
        return self.batches[-1].last_sequence if self.batches else NO_SEQUENCE


class ProducerStates:
    """All producers of one partition."""

    def __init__(self, states: Iterable[ProducerState] = ()) -> None:
        self._states = {state.producer_id: state for state in states}
        self._open = {
            state.producer_id: state.transaction_first_offset
            for state in self._states.values()
            if state.transaction_first_offset is not None
        }
        self._room: ProducerLimit | None = None

    def limit_by(self, room: ProducerLimit) -> None:
        """Apply a bound, which other partitions may share."""
        self._room = room
        room.add_partition(self)

    def __len__(self) -> int:
        return len(self._states)

    def __iter__(self) -> Iterator[ProducerState]:
        return iter(self._states.values())

    @property
    def by_id(self) -> Mapping[ProducerId, ProducerState]:
        """The states by producer id, for reading only."""
        return self._states

    def check(self, header: BatchHeader, *, from_client: bool) -> NotedBatch | None:
        """Decide whether a batch may be appended.

        Args:
            header: of the batch; it has a producer id.
            from_client: whether sequence numbers are checked; the log's own coordinators write without them.

        Returns:
            The batch in the log that this one repeats, if there is one; the batch must not be appended again.

        Raises:
            ProducerFencedError: a newer epoch of this producer id has written.
            OutOfOrderSequenceError: a batch before it is missing.
            InvalidTransactionStateError: the batch is outside the open transaction of its producer.
            RequestTimeoutError: no producer can be removed to make room for this one.
        """
        state = self._states.get(header.producer_id)
        if state is None:
            if self._room is not None:
                self._room.ensure_one_more(self)
            return None
        if header.producer_epoch < state.epoch:
            raise ProducerFencedError(
                with_facts(
                    "a newer producer with the same id has taken over",
                    producer_id=header.producer_id,
                    epoch=header.producer_epoch,
                    newest_epoch=state.epoch,
                )
            )
        if from_client and header.base_sequence != NO_SEQUENCE:
            duplicate = _repeated(state, header)
            if duplicate is not None:
                return duplicate
            _ensure_in_sequence(state, header)
        if state.transaction_first_offset is not None and not header.is_transactional:
            raise InvalidTransactionStateError(
                with_facts(
                    "a batch is outside the open transaction of its producer: commit or abort it first",
                    producer_id=header.producer_id,
                )
            )
        return None

    def check_marker(self, producer_id: ProducerId, epoch: int, coordinator_epoch: int) -> None:
        """Decide whether a marker may be appended.

        Raises:
            FencedError: a newer producer or a newer coordinator has written.
            RequestTimeoutError: no producer can be removed to make room for this one, which has no state
            here.
        """
        state = self._states.get(producer_id)
        if state is None:
            if self._room is not None:
                self._room.ensure_one_more(self)
            return
        if epoch < state.epoch:
            raise ProducerFencedError(
                with_facts(
                    "a newer producer with the same id has taken over",
                    producer_id=producer_id,
                    epoch=epoch,
                    newest_epoch=state.epoch,
                )
            )
        if coordinator_epoch < state.coordinator_epoch:
            raise FencedError(
                with_facts(
                    "a newer transaction coordinator has written",
                    producer_id=producer_id,
                    coordinator_epoch=coordinator_epoch,
                )
            )

    def note_batch(self, header: BatchHeader, append_time_ms: TimestampMs, now_ms: TimestampMs) -> None:
        """Apply a batch with a producer id that is in the log."""
        state = self._state(header.producer_id, header.producer_epoch, now_ms)
        if header.base_sequence != NO_SEQUENCE:
            if len(state.batches) == BATCHES_KEPT:
                del state.batches[0]
            state.batches.append(
                NotedBatch(
                    header.base_sequence,
                    header.last_sequence,
                    header.base_offset,
                    header.last_offset,
                    append_time_ms,
                )
            )
        if header.is_transactional and state.transaction_first_offset is None:
            state.transaction_first_offset = header.base_offset
            self._open[header.producer_id] = header.base_offset

    def note_marker(
        self, header: BatchHeader, *, is_commit: bool, coordinator_epoch: int, now_ms: TimestampMs
    ) -> EndedTransaction | None:
        """Apply a marker that is in the log; return the transaction that it ends here, if any."""
        before = self._states.get(header.producer_id)
        has_moved = before is not None and before.epoch != header.producer_epoch
        state = self._state(header.producer_id, header.producer_epoch, now_ms)
        state.begins_anew = state.begins_anew or has_moved
        state.coordinator_epoch = coordinator_epoch
        first_offset = state.transaction_first_offset
        if first_offset is None:
            return None
        state.transaction_first_offset = None
        del self._open[header.producer_id]
        return EndedTransaction(header.producer_id, first_offset, header.last_offset, is_commit)

    def first_open_offset(self) -> Offset | None:
        """The first offset of the earliest open transaction."""
        return min(self._open.values()) if self._open else None

    def expire(self, *, now_ms: TimestampMs, expiry_ms: int) -> int:
        """Remove producers not seen for so long, unless they have an open transaction; return their
        number.
        """
        expired = [producer_id for seen_ms, producer_id in self.idle() if now_ms - seen_ms >= expiry_ms]
        for producer_id in expired:
            self.forget(producer_id)
        return len(expired)

    def idle(self) -> Iterator[tuple[TimestampMs, ProducerId]]:
        """Return the producers without an open transaction, with the time when each was seen last."""
        for state in self._states.values():
            if state.transaction_first_offset is None:
                yield state.last_seen_ms, state.producer_id

    def forget(self, producer_id: ProducerId) -> None:
        """Remove a producer without an open transaction."""
        assert producer_id not in self._open
        del self._states[producer_id]

    def _state(self, producer_id: ProducerId, epoch: int, now_ms: TimestampMs) -> ProducerState:
        state = self._states.get(producer_id)
        if state is None:
            state = self._states[producer_id] = ProducerState(producer_id)
            if self._room is not None:
                self._room.note_new()
        if epoch != state.epoch:
            state.epoch = epoch
            state.batches.clear()
            state.begins_anew = False
        state.last_seen_ms = max(state.last_seen_ms, now_ms)
        return state


def _repeated(state: ProducerState, header: BatchHeader) -> NotedBatch | None:
    if header.producer_epoch != state.epoch:
        return None
    for batch in state.batches:
        if batch.first_sequence == header.base_sequence and batch.last_sequence == header.last_sequence:
            return batch
    return None


def _ensure_in_sequence(state: ProducerState, header: BatchHeader) -> None:
    is_new_epoch = header.producer_epoch != state.epoch
    if not state.batches and not is_new_epoch and not state.begins_anew:
        # Known only through a marker or batches without sequence numbers: nothing to compare with.
        # Its records may be deleted, and it then continues with its next sequence number.
        return
    last_sequence = NO_SEQUENCE if is_new_epoch else state.last_sequence
    expected = (last_sequence + 1) & 0x7FFFFFFF
    if header.base_sequence != expected:
        raise OutOfOrderSequenceError(
            with_facts(
                "a producer's batches are out of order, a batch before this one is missing",
                producer_id=header.producer_id,
                epoch=header.producer_epoch,
                sequence=header.base_sequence,
                expected_sequence=expected,
            )
        )
