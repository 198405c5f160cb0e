"""The transaction coordinator: who may write a transaction, and when all of it is committed or none.

The state of each transactional id is its newest record in ``__transaction_state``. A commit takes
these steps, each durable before the next is written; a crash after a step has the result after the arrow:

1. data and committed offsets are appended, as transactional records  → an open transaction: aborted
2. they are durable in all partitions                             → still open: aborted
3. PrepareCommit is durable: **the decision**                     → committed: the next start continues here
4. a commit marker is durable in every partition                  → committed, readers see it
5. CompleteCommit is appended, durable with whatever comes next   → committed; step 4 is found to be done

Why each waits for the one before: PrepareCommit before the data (2) would commit records that a
crash takes. CompleteCommit before the markers (4) would lose that they are still to be written.
And a new transaction of the same id must not begin before CompleteCommit is durable: a start that
found PrepareCommit would commit what the new transaction had written by then. So ``join`` waits for
it, in the same fsync as for the record that begins the transaction.

Where each ending raises the epoch (``rules``), PrepareCommit holds the new epoch, and, where epochs are used
up, the next producer id, which is reserved durably before. So step 5 needs nothing that is not in step 3: a
start that continues at 3 gives the producer the same identity as the answer did. The answer is sent after
step 4. A producer that did not receive it repeats the request with the epoch before, and gets the same
answer, before and after a crash.

Later partitions of a transaction are recorded without waiting. A crash may therefore leave records of an open
transaction in partitions that the coordinator's records do not name; ``recover`` looks for those in the
partitions' own producer states and adopts or aborts them, so that none stays undecided for ever. While the
log is open every transactional batch is covered: ``ensure_may_write`` is called last, with nothing between it
and the append.

An abort takes the same steps, although nothing depends on their order: without PrepareAbort an open
transaction is aborted all the same.

No operation here waits for another one: where another operation is ending the id's transaction, the answer is
``CONCURRENT_TRANSACTIONS``. Kafka's clients repeat the request; other callers use ``ended``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

from msgspec.structs import replace

from streamcore.clock import Clock
from streamcore.errors import UnknownTopicError
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.internal_topic import InternalTopic, ReplayedRecord
from streamcore.log.broker.operations import Completed, Operation, OperationFuture
from streamcore.log.broker.partitions import Partitions
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.broker.transactions import rules
from streamcore.log.broker.transactions.producer_ids import ProducerIds
from streamcore.log.broker.transactions.records import (
    TransactionRecord,
    TransactionState,
    decode_key,
    decode_value,
    encode_key,
    encode_value,
)
from streamcore.log.broker.transactions.table import TransactionTable
from streamcore.log.records.batch import NO_PRODUCER_ID
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.model import ProducerId, TopicPartition

TOPIC: Final = "__transaction_state"

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
        self._table = TransactionTable()
        # When an open transaction began, by the monotonic clock, because the wall clock may be set.
        self._began_s: dict[str, float] = {}
        # The ids for which an operation is between two steps of an ending.
        self._endings: dict[str, OperationFuture[object]] = {}

    # --- state --------------------------------------------------------------------------------

    def replay(self, transactional_id: str, record: TransactionRecord | None) -> None:
        """Apply one record; ``None`` removes the id."""
        self._table.put(transactional_id, record)
        if record is None or record.state is not _S.ONGOING:
            self._began_s.pop(transactional_id, None)
        else:
            self._began_s.setdefault(transactional_id, self._clock.monotonic_s())

    def _write(self, record: TransactionRecord) -> None:
        name = record.transactional_id
        self._topic.append(name, [(encode_key(name), encode_value(record))])
        self.replay(name, record)

    def _forget(self, name: str) -> None:
        self._topic.append(name, [(encode_key(name), None)])
        self.replay(name, None)

    @property
    def table(self) -> TransactionTable:
        """Every transactional id with its newest record, for reading only."""
        return self._table

    # --- identities ---------------------------------------------------------------------------

    def init_producer_id(
        self,
        transactional_id: str | None,
        timeout_ms: int | None = None,
        expected: ProducerIdentity | None = None,
    ) -> Operation[ProducerIdentity]:
        """Give a producer its identity; for a transactional id, fence older producers first.

        The new epoch fences: once its record is written every call with an older one is refused. Before the
        identity is returned, an open transaction of the older producer is aborted and a decided one is
        completed. ``expected`` is the identity that a producer has when it requests a new epoch after an
        error.
        """
        if transactional_id is None:
            return ProducerIdentity((yield from self._producer_ids.next_id()), 0)
        self._ensure_settled(transactional_id)
        timeout_ms = self._checked_timeout(timeout_ms)
        new_id: ProducerId | None = None
        while True:
            self._ensure_settled(transactional_id)
            current = self._table.get(transactional_id)
            if current is not None and expected is not None:
                rules.ensure_may_go_on(current, expected)
            if current is not None and current.state is _S.ONGOING:
                yield from self._abort_for_others(current)
            elif current is not None and current.is_preparing:
                yield from self._complete(current)
            elif new_id is None and (current is None or rules.is_used_up(current)):
                new_id = yield from self._producer_ids.next_id()
            else:
                break
        now_ms = self._clock.now_ms()
        if current is None:
            assert new_id is not None
            self._make_room()
            record = rules.first_record(transactional_id, new_id, timeout_ms, now_ms)
        else:
            record = rules.initialized(
                current,
                timeout_ms=timeout_ms,
                expected=expected,
                new_producer_id=new_id if rules.is_used_up(current) else None,
                now_ms=now_ms,
            )
        self._write(record)
        yield self._topic.written(transactional_id)
        return record.identity

    def _checked_timeout(self, timeout_ms: int | None) -> int:
        if timeout_ms is None:
            return self._settings.transaction_timeout_ms
        limit_ms = self._settings.transaction_timeout_ms_max
        if not 0 < timeout_ms <= limit_ms:
            raise ApiError(ErrorName.INVALID_TRANSACTION_TIMEOUT, timeout_ms=timeout_ms, limit_ms=limit_ms)
        return timeout_ms

    def _make_room(self) -> None:
        """Remove the id that was idle for the longest time, if the limit is reached."""
        while len(self._table) >= self._settings.transactional_id_count_max:
            idle = next((each for each in self._table if self._is_idle(each)), None)
            if idle is None:
                raise ApiError(ErrorName.COORDINATOR_NOT_AVAILABLE, transactional_ids=len(self._table))
            self._forget(idle.transactional_id)

    def _is_idle(self, record: TransactionRecord) -> bool:
        is_over = record.state in (_S.EMPTY, _S.COMPLETE_COMMIT, _S.COMPLETE_ABORT)
        return is_over and record.transactional_id not in self._endings

    # --- the open transaction -----------------------------------------------------------------

    def join(
        self,
        transactional_id: str,
        identity: ProducerIdentity,
        joining: Collection[TopicPartition],
        *,
        version: int = 0,
    ) -> Operation[None]:
        """Add partitions to the transaction; begin one if none is open.

        Only the beginning is waited for; see the module. ``version`` is the client's.
        """
        self._ensure_settled(transactional_id)
        current = rules.owned(self._table.get(transactional_id), transactional_id, identity)
        if current.is_preparing:
            raise ApiError(ErrorName.CONCURRENT_TRANSACTIONS, transactional_id=transactional_id)
        if current.state is _S.ONGOING and current.partitions.issuperset(joining):
            return
        for partition in joining:
            self._partitions.get(partition)
        self._write(rules.joined(current, frozenset(joining), version=version, now_ms=self._clock.now_ms()))
        if current.state is not _S.ONGOING:
            yield self._topic.written(transactional_id)
            for partition in joining:
                self.ensure_may_write(transactional_id, identity, partition)

    def add_partitions(
        self, transactional_id: str, identity: ProducerIdentity, adding: Collection[TopicPartition]
    ) -> Operation[None]:
        """Add partitions to the transaction, and wait until that is durable."""
        yield from self.join(transactional_id, identity, adding)
        yield self._topic.written(transactional_id)

    def ensure_may_write(
        self, transactional_id: str, identity: ProducerIdentity, partition: TopicPartition
    ) -> None:
        """Refuse a transactional batch that no open transaction covers: it would stay undecided."""
        self._ensure_settled(transactional_id)
        current = rules.owned(self._table.get(transactional_id), transactional_id, identity)
        if current.is_preparing:
            raise ApiError(ErrorName.CONCURRENT_TRANSACTIONS, transactional_id=transactional_id)
        if current.state is not _S.ONGOING or partition not in current.partitions:
            raise ApiError(
                ErrorName.TRANSACTION_ABORTABLE, transactional_id=transactional_id, partition=partition
            )

    # --- ending -------------------------------------------------------------------------------

    def end_transaction(
        self, transactional_id: str, identity: ProducerIdentity, *, commit: bool, version: int = 0
    ) -> Operation[ProducerIdentity]:
        """Commit or abort the open transaction; complete when its markers are durable.

        A repeated call, after a lost answer or a disk error, continues the ending or returns the same answer.

        Returns:
            The producer's identity from now on: under version 2 of transactions it differs from the one
                before.
        """
        self._ensure_settled(transactional_id)
        current = self._table.get(transactional_id)
        step = rules.ending(current, transactional_id, identity, commit=commit, version=version)
        assert current is not None
        match step:
            case rules.Prepare(state):
                yield from self._end(current, state, version)
            case rules.GoOn():
                yield from self._complete(current)
            case rules.AlreadyEnded():
                pass
        return self._table[transactional_id].identity

    def _end(self, current: TransactionRecord, state: TransactionState, version: int) -> Operation[None]:
        with self._ending(current.transactional_id):
            next_producer_id = NO_PRODUCER_ID
            if version >= rules.EPOCH_PER_TRANSACTION and rules.is_used_up(current):
                next_producer_id = yield from self._producer_ids.next_id()
            if state is _S.PREPARE_COMMIT:
                yield self._partitions.written(log for _, log in self._logs_of(current))
            now_ms = self._clock.now_ms()
            prepared = rules.prepared(
                current, state, version=version, next_producer_id=next_producer_id, now_ms=now_ms
            )
            yield from self._carry_out(prepared)

    def _abort_for_others(self, current: TransactionRecord) -> Operation[None]:
        """Abort an open transaction because of a newer producer or its timeout."""
        with self._ending(current.transactional_id):
            yield from self._carry_out(rules.prepared_for_others(current, self._clock.now_ms()))

    def _carry_out(self, prepared: TransactionRecord) -> Operation[None]:
        self._write(prepared)
        yield self._topic.written(prepared.transactional_id)
        yield from self._write_markers(prepared, list(self._logs_of(prepared)))

    def _complete(self, prepared: TransactionRecord) -> Operation[None]:
        """Continue an ending that a crash or a full disk interrupted.

        A partition in which the producer has nothing open has its marker already, or no data.
        """
        with self._ending(prepared.transactional_id):
            yield self._topic.written(prepared.transactional_id)
            producer_id = prepared.identity.producer_id
            missing = [
                (partition, log)
                for partition, log in self._logs_of(prepared)
                if self._partitions.has_open_transaction(log, producer_id)
            ]
            yield from self._write_markers(prepared, missing)

    def _write_markers(
        self, prepared: TransactionRecord, missing: list[tuple[TopicPartition, PartitionLog]]
    ) -> Operation[None]:
        """Write markers, and once all of the transaction's are durable, the record of completion."""
        commit = prepared.state is _S.PREPARE_COMMIT
        identity = prepared.identity
        for partition, log in missing:
            self._partitions.end_transaction(log, identity.producer_id, identity.epoch, commit=commit)
            self._on_marker(partition, identity.producer_id, commit)
        yield self._partitions.written(log for _, log in self._logs_of(prepared))
        self._write(rules.completed(prepared, self._clock.now_ms()))

    def _logs_of(self, record: TransactionRecord) -> Iterator[tuple[TopicPartition, PartitionLog]]:
        for partition in sorted(record.partitions):
            try:
                yield partition, self._partitions.get(partition)
            except UnknownTopicError:
                continue  # deleted while the transaction was open: nothing is left to decide there

    @contextmanager
    def _ending(self, transactional_id: str) -> Iterator[None]:
        """Mark an ending as running, so that no other operation on the id comes between its steps."""
        promise: OperationFuture[object] = OperationFuture()
        self._endings[transactional_id] = promise
        try:
            yield
        finally:
            del self._endings[transactional_id]
            promise.keep(None)

    def _ensure_settled(self, transactional_id: str) -> None:
        """Refuse a request between two steps of another operation."""
        if not transactional_id:
            raise ApiError(ErrorName.INVALID_REQUEST, transactional_id=repr(transactional_id))
        if transactional_id in self._endings:
            raise ApiError(ErrorName.CONCURRENT_TRANSACTIONS, transactional_id=transactional_id)

    def ended(self, transactional_id: str, deadline_s: float) -> Operation[bool]:
        """Wait while another operation is ending the id's transaction; false if it takes too long."""
        while (ending := self._endings.get(transactional_id)) is not None:
            yield Completed(ending, deadline_s)
            if not ending.is_done:
                return False
        return True

    def write_marker(
        self,
        partition: TopicPartition,
        identity: ProducerIdentity,
        *,
        commit: bool,
        coordinator_epoch: int,
        version: int,
    ) -> None:
        """End a producer's transaction in one partition, on the request of an administrator.

        Raises:
            UnknownTopicError: there is no such partition.
            FencedError: a newer producer or coordinator has written there.
        """
        log = self._partitions.get(partition)
        is_open = self._partitions.open_transactions(log).get(identity.producer_id) == identity.epoch
        if is_open and version >= rules.EPOCH_PER_TRANSACTION:
            # The marker of a transaction has the epoch after its own: this is of the one before.
            raise ApiError(ErrorName.PRODUCER_FENCED, partition=partition, epoch=identity.epoch)
        self._partitions.append_marker(
            log, identity.producer_id, identity.epoch, commit=commit, coordinator_epoch=coordinator_epoch
        )
        self._on_marker(partition, identity.producer_id, commit)

    # --- time and restarts --------------------------------------------------------------------

    def end_late(self) -> Operation[None]:
        """Abort transactions after their timeout, and complete those that were interrupted."""
        now_s = self._clock.monotonic_s()
        for name in list(self._began_s):
            if name not in self._began_s:
                continue  # ended while another one was being ended
            current, began_s = self._table[name], self._began_s[name]
            is_late = (now_s - began_s) * 1000 > current.timeout_ms
            if is_late and current.state is _S.ONGOING and name not in self._endings:
                yield from self._abort_for_others(current)
        for current in self._table.preparing():
            name = current.transactional_id
            if name not in self._endings and self._table.get(name) is current:
                yield from self._complete(current)

    def forget_unused(self) -> None:
        """Remove transactional ids that no producer has used for ``transactional.id.expiration.ms``."""
        unused_since_ms = self._clock.now_ms() - self._settings.transactional_id_expiration_ms
        for current in self._table.not_written_since(unused_since_ms):
            if self._is_idle(current):
                self._forget(current.transactional_id)

    def load(self) -> None:
        """Replay ``__transaction_state``."""
        for entry in self._topic.replay():
            if not isinstance(entry, ReplayedRecord):
                continue
            name = decode_key(entry.key)
            if name is not None:
                self.replay(name, None if entry.value is None else decode_value(name, entry.value))
        self._table.put_in_order()

    def recover(self) -> Operation[None]:
        """After ``load``: complete decided transactions, and adopt or abort transactions that are open in
        a partition.
        """
        for partition in self._partitions.all():
            log = self._partitions.get(partition)
            for producer_id, epoch in self._partitions.open_transactions(log).items():
                current = self._table.of_producer(producer_id)
                if current is None or not self._is_adopted(current, epoch, partition):
                    # Its owner is fenced, or its transaction was never recorded: no producer can commit it.
                    self._partitions.end_transaction(log, producer_id, epoch, commit=False)
                    self._on_marker(partition, producer_id, False)
        for record in self._table.preparing():
            yield from self._complete(record)

    def _is_adopted(self, current: TransactionRecord, epoch: int, partition: TopicPartition) -> bool:
        if current.is_preparing:
            return partition in current.partitions
        if current.state is not _S.ONGOING or current.identity.epoch != epoch:
            return False
        if partition not in current.partitions:
            # The record that names this partition was lost; its producer may still commit the transaction.
            self._write(replace(current, partitions=current.partitions | {partition}))
        return True
