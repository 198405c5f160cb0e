"""Decides transactions: who may write them, and when all of one is committed or none.

The state of each transactional id is its newest record in ``__transaction_state``. A commit takes
these steps, each durable before the next is written; a crash after a step leaves what stands
behind the arrow:

1. data and positions are appended, as transactional records      → an open transaction: aborted
2. they are durable in all partitions                             → still open: aborted
3. PrepareCommit is durable: **the decision**                     → committed: the next start goes on here
4. a commit marker is durable in every partition                  → committed, readers see it
5. CompleteCommit is appended, durable with whatever comes next   → committed; 4 is found to be done

Why each waits for the one before: PrepareCommit before the data (2) would commit records that a
crash takes. CompleteCommit before the markers (4) would forget that they are still to be written.
And a new transaction of the same id must not begin before CompleteCommit is durable: a start that
found PrepareCommit would commit what the new transaction had written by then. So ``join`` waits for
it, in the same fsync as for the record that begins the transaction.

Later partitions of a transaction are recorded without waiting. A crash may therefore leave
records of an open transaction that the coordinator has not heard of; ``recover`` looks for those in
the partitions' own producer states and adopts or aborts them, so none stays undecided for ever.

An abort goes the same way, though nothing depends on its order: without PrepareAbort an open
transaction is aborted all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from streamcore.clock import Clock
from streamcore.errors import UnknownTopicError
from streamcore.log.broker.internal_topic import InternalTopic, ReplayedRecord
from streamcore.log.broker.operations import Kept, Operation, Promise
from streamcore.log.broker.partitions import Partitions
from streamcore.log.broker.producer_ids import ProducerIds
from streamcore.log.broker.refusals import Refusal, Refused
from streamcore.log.broker.requests import ProducerIdentity, TransactionDescription
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.broker.transaction_records import (
    TransactionRecord,
    TransactionState,
    decode_key,
    decode_value,
    encode_key,
    encode_value,
)
from streamcore.log.storage.partition_log import PartitionLog
from streamcore.model import ProducerId, TopicPartition

TOPIC: Final = "__transaction_state"
_EPOCH_MAX: Final = 32_767
_COMPLETION_WAIT_S: Final = 30.0

_S = TransactionState

MarkerListener = Callable[[TopicPartition, ProducerId, bool], None]


class TransactionCoordinator:
    """The transactions of a log, by transactional id."""

    def __init__(
        self,
        topic: InternalTopic,
        partitions: Partitions,
        producer_ids: ProducerIds,
        clock: Clock,
        settings: BrokerSettings,
        on_marker: MarkerListener,
    ) -> None:
        self._topic = topic
        self._partitions = partitions
        self._producer_ids = producer_ids
        self._clock = clock
        self._settings = settings
        self._on_marker = on_marker
        self._records: dict[str, TransactionRecord] = {}
        # By the monotonic clock, because the wall clock may be set: when an open one began.
        self._began_s: dict[str, float] = {}
        # The ids for which an operation is between two steps of an ending.
        self._endings: dict[str, Promise[object]] = {}

    # --- state --------------------------------------------------------------------------------

    def replay(self, transactional_id: str, record: TransactionRecord | None) -> None:
        """Apply one record; ``None`` forgets the id."""
        if record is None:
            self._records.pop(transactional_id, None)
        else:
            self._records[transactional_id] = record
        if record is None or record.state is not _S.ONGOING:
            self._began_s.pop(transactional_id, None)
        else:
            self._began_s.setdefault(transactional_id, self._clock.monotonic_s())

    def _write(self, record: TransactionRecord) -> None:
        name = record.transactional_id
        self._topic.append(name, [(encode_key(name), encode_value(record))])
        self.replay(name, record)

    def describe_all(self) -> list[TransactionDescription]:
        """Every transactional id, sorted."""
        return [
            TransactionDescription(
                name,
                record.state.name,
                record.identity,
                record.timeout_ms,
                record.started_ms,
                tuple(sorted(record.partitions)),
            )
            for name, record in sorted(self._records.items())
        ]

    # --- identities ---------------------------------------------------------------------------

    def init_producer_id(
        self,
        transactional_id: str | None,
        timeout_ms: int | None = None,
        expected: ProducerIdentity | None = None,
    ) -> Operation[ProducerIdentity]:
        """Give a producer its identity; for a transactional id, fence the older ones first.

        Fencing is the new epoch: once its record is written every call with an older one is
        refused. What the older producer left open is aborted, what it had decided is completed,
        before the identity is given out. ``expected`` is what a producer thinks it is, when it
        asks for a new epoch after an error of its own.
        """
        if transactional_id is None:
            return ProducerIdentity((yield from self._producer_ids.next_id()), 0)
        timeout_ms = self._checked_timeout(transactional_id, timeout_ms)
        identity: ProducerIdentity | None = None
        while identity is None:
            yield from self._ended(transactional_id)
            current = self._records.get(transactional_id)
            if expected is not None and current is not None and current.identity != expected:
                raise Refused(Refusal.PRODUCER_FENCED, transactional_id=transactional_id)
            if current is not None and current.state is _S.ONGOING:
                yield from self._end(_fenced(current), commit=False)
                expected = None  # it was checked, and the abort has moved the epoch on
            elif current is not None and current.is_preparing:
                yield from self._complete(current)
            elif current is None or current.identity.epoch >= _EPOCH_MAX - 2:
                producer_id = yield from self._producer_ids.next_id()
                if self._records.get(transactional_id) is current:
                    identity = ProducerIdentity(producer_id, 0)
            else:
                identity = _fenced(current).identity
        now_ms = self._clock.now_ms()
        self._write(
            TransactionRecord(transactional_id, identity, timeout_ms, _S.EMPTY, frozenset(), now_ms, now_ms)
        )
        yield self._topic.written(transactional_id)
        return identity

    def _checked_timeout(self, transactional_id: str, timeout_ms: int | None) -> int:
        if not transactional_id:
            raise Refused(Refusal.INVALID_REQUEST, transactional_id=repr(transactional_id))
        if timeout_ms is None:
            return self._settings.transaction_timeout_ms
        limit_ms = self._settings.transaction_timeout_ms_max
        if not 0 < timeout_ms <= limit_ms:
            raise Refused(Refusal.INVALID_TRANSACTION_TIMEOUT, timeout_ms=timeout_ms, limit_ms=limit_ms)
        return timeout_ms

    def _owned(self, transactional_id: str, identity: ProducerIdentity) -> TransactionRecord:
        current = self._records.get(transactional_id)
        if current is None or current.identity.producer_id != identity.producer_id:
            raise Refused(Refusal.INVALID_PRODUCER_ID_MAPPING, transactional_id=transactional_id)
        if current.identity.epoch != identity.epoch:
            raise Refused(
                Refusal.PRODUCER_FENCED,
                transactional_id=transactional_id,
                epoch=identity.epoch,
                current_epoch=current.identity.epoch,
            )
        return current

    # --- the open transaction -----------------------------------------------------------------

    def join(
        self, transactional_id: str, identity: ProducerIdentity, joining: Collection[TopicPartition]
    ) -> Operation[None]:
        """Make partitions part of the transaction, beginning one if none is open.

        Only the beginning is waited for; see the module.
        """
        current = self._owned(transactional_id, identity)
        if current.is_preparing or transactional_id in self._endings:
            raise Refused(Refusal.CONCURRENT_TRANSACTIONS, transactional_id=transactional_id)
        if current.state is _S.ONGOING and current.partitions.issuperset(joining):
            return
        for partition in joining:
            self._partitions.get(partition)
        now_ms = self._clock.now_ms()
        begins = current.state is not _S.ONGOING
        before: frozenset[TopicPartition] = frozenset() if begins else current.partitions
        self._write(
            replace(
                current.moved_to(_S.ONGOING, now_ms),
                partitions=before.union(joining),
                started_ms=now_ms if begins else current.started_ms,
            )
        )
        if begins:
            yield self._topic.written(transactional_id)
            self._owned(transactional_id, identity)

    def add_partitions(
        self, transactional_id: str, identity: ProducerIdentity, adding: Collection[TopicPartition]
    ) -> Operation[None]:
        """Make partitions part of the transaction, and wait until that is durable."""
        yield from self.join(transactional_id, identity, adding)
        yield self._topic.written(transactional_id)

    def ensure_may_write(
        self, transactional_id: str, identity: ProducerIdentity, target: TopicPartition
    ) -> None:
        """Refuse a transactional batch that no open transaction covers: nobody would ever decide it."""
        current = self._owned(transactional_id, identity)
        if transactional_id in self._endings:
            raise Refused(Refusal.CONCURRENT_TRANSACTIONS, transactional_id=transactional_id)
        if current.state is not _S.ONGOING or target not in current.partitions:
            raise Refused(Refusal.INVALID_TXN_STATE, transactional_id=transactional_id, partition=target)

    def transactional_id_of(self, producer_id: ProducerId) -> str | None:
        """The transactional id that a producer id belongs to now."""
        for name, record in self._records.items():
            if record.identity.producer_id == producer_id:
                return name
        return None

    # --- ending -------------------------------------------------------------------------------

    def end_transaction(
        self, transactional_id: str, identity: ProducerIdentity, *, commit: bool
    ) -> Operation[None]:
        """Commit or abort the open transaction; done when its markers are durable.

        Asked again, because the answer was lost or a disk refused, it goes on or answers the same.
        """
        current = self._owned(transactional_id, identity)
        if transactional_id in self._endings:
            raise Refused(Refusal.CONCURRENT_TRANSACTIONS, transactional_id=transactional_id)
        if current.state is (_S.COMPLETE_COMMIT if commit else _S.COMPLETE_ABORT):
            return
        if current.state is (_S.PREPARE_COMMIT if commit else _S.PREPARE_ABORT):
            yield from self._complete(current)
            return
        if current.state is not _S.ONGOING:
            raise Refused(
                Refusal.INVALID_TXN_STATE, transactional_id=transactional_id, state=current.state.name
            )
        yield from self._end(current, commit=commit)

    def _end(self, current: TransactionRecord, *, commit: bool) -> Operation[None]:
        name = current.transactional_id
        with self._ending(name):
            if commit:
                yield self._partitions.written(log for _, log in self._logs_of(current))
            state = _S.PREPARE_COMMIT if commit else _S.PREPARE_ABORT
            prepared = current.moved_to(state, self._clock.now_ms())
            self._write(prepared)
            yield self._topic.written(name)
            yield from self._write_markers(prepared)

    def _complete(self, prepared: TransactionRecord) -> Operation[None]:
        """Go on with an ending that a crash or a full disk interrupted."""
        with self._ending(prepared.transactional_id):
            yield self._topic.written(prepared.transactional_id)
            yield from self._write_markers(prepared)

    def _write_markers(self, prepared: TransactionRecord) -> Operation[None]:
        """Write the markers that are missing, and once they are durable, that all is complete.

        A partition in which the producer has nothing open has its marker already, or no data.
        """
        commit = prepared.state is _S.PREPARE_COMMIT
        identity = prepared.identity
        logs = list(self._logs_of(prepared))
        for partition, log in logs:
            if self._partitions.has_open_transaction(log, identity.producer_id):
                self._partitions.append_marker(log, identity.producer_id, identity.epoch, commit=commit)
                self._on_marker(partition, identity.producer_id, commit)
        yield self._partitions.written(log for _, log in logs)
        state = _S.COMPLETE_COMMIT if commit else _S.COMPLETE_ABORT
        complete = prepared.moved_to(state, self._clock.now_ms())
        self._write(replace(complete, partitions=frozenset()))

    def _logs_of(self, record: TransactionRecord) -> Iterator[tuple[TopicPartition, PartitionLog]]:
        for partition in sorted(record.partitions):
            try:
                yield partition, self._partitions.get(partition)
            except UnknownTopicError:
                continue  # deleted while the transaction was open: nothing is left to decide there

    @contextmanager
    def _ending(self, transactional_id: str) -> Iterator[None]:
        """Mark an ending as under way, so that no other operation on the id comes between."""
        promise: Promise[object] = Promise()
        self._endings[transactional_id] = promise
        try:
            yield
        finally:
            del self._endings[transactional_id]
            promise.keep(None)

    def _ended(self, transactional_id: str) -> Operation[None]:
        """Wait while another operation is ending the id's transaction."""
        deadline_s = self._clock.monotonic_s() + _COMPLETION_WAIT_S
        while (ending := self._endings.get(transactional_id)) is not None:
            yield Kept(ending, deadline_s)
            if not ending.is_kept:
                raise Refused(Refusal.CONCURRENT_TRANSACTIONS, transactional_id=transactional_id)

    # --- time and restarts --------------------------------------------------------------------

    def expire_due(self) -> Operation[None]:
        """Abort what stayed open too long, complete what was interrupted, forget ids that nobody uses.

        The epoch moves on with the abort, so the producer that was too slow is fenced: it must
        not believe that its next records belong to the transaction it had begun.
        """
        now_s = self._clock.monotonic_s()
        for name in list(self._began_s):
            if name not in self._began_s:
                continue  # ended while another one was being ended
            current, began_s = self._records[name], self._began_s[name]
            is_late = (now_s - began_s) * 1000 > current.timeout_ms
            if is_late and current.state is _S.ONGOING and name not in self._endings:
                yield from self._end(_fenced(current), commit=False)
        for name, current in list(self._records.items()):
            if current.is_preparing and name not in self._endings and self._records.get(name) is current:
                yield from self._complete(current)
        unused_since_ms = self._clock.now_ms() - self._settings.transactional_id_expiration_ms
        for name, current in list(self._records.items()):
            is_idle = current.state in (_S.EMPTY, _S.COMPLETE_COMMIT, _S.COMPLETE_ABORT)
            if is_idle and current.updated_ms < unused_since_ms and name not in self._endings:
                self._topic.append(name, [(encode_key(name), None)])
                self.replay(name, None)

    def load(self) -> None:
        """Replay ``__transaction_state``."""
        for entry in self._topic.replay():
            if not isinstance(entry, ReplayedRecord):
                continue
            name = decode_key(entry.key)
            if name is not None:
                self.replay(name, None if entry.value is None else decode_value(name, entry.value))

    def recover(self) -> Operation[None]:
        """After ``load``: finish what is decided, and take in hand whatever is open in a partition."""
        owners = {record.identity.producer_id: name for name, record in self._records.items()}
        for partition in self._partitions.all():
            log = self._partitions.get(partition)
            for producer_id, epoch in self._partitions.open_transactions(log).items():
                current = self._records.get(owners.get(producer_id, ""))
                if current is None or not self._is_adopted(current, epoch, partition):
                    # Its owner is fenced, or its transaction never became known: nobody can commit it.
                    self._partitions.append_marker(log, producer_id, epoch, commit=False)
                    self._on_marker(partition, producer_id, False)
        for record in list(self._records.values()):
            if record.is_preparing:
                yield from self._complete(record)

    def _is_adopted(self, current: TransactionRecord, epoch: int, partition: TopicPartition) -> bool:
        if partition in current.partitions and (current.is_preparing or current.state is _S.ONGOING):
            return True
        if current.state is _S.ONGOING and current.identity.epoch == epoch:
            # The record that names this partition was lost; its producer may still commit the transaction.
            self._write(replace(current, partitions=current.partitions | {partition}))
            return True
        return False


def _fenced(current: TransactionRecord) -> TransactionRecord:
    """The same under the next epoch, so that whoever uses the present one is refused."""
    identity = current.identity
    assert identity.epoch < _EPOCH_MAX
    return replace(current, identity=ProducerIdentity(identity.producer_id, identity.epoch + 1))
