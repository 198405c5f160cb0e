"""Producers of columns over the broker in this process.

Columns are encoded into batches of about ``BATCH_BYTES`` outside the lock, so that the work under the lock
costs per batch, not per record. Every producer is idempotent: a batch carries the producer id and a sequence
number of its partition, which show the log a missing batch.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from msgspec import Struct

from streamcore.errors import (
    ClosedError,
    InvalidTransactionStateError,
    RecordTooLargeError,
    StreamCoreError,
    with_facts,
)
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.operations import DurableUntil, Operation
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.client.port import Appended, Outcome
from streamcore.log.client.producer.batch_cuts import BATCH_BYTES, cut_into_parts
from streamcore.log.client.producer.record_times import ensure_writable
from streamcore.log.node.operation_driver import OperationDriver
from streamcore.log.records.builder import encode_batch
from streamcore.log.records.compression import codec_number
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.model import CommittedOffset, Membership, RecordColumns, TopicPartition


class EmbeddedAcknowledgement:
    """The future of columns that are written; ``result`` waits until they are durable."""

    __slots__ = ("_appended", "_driver", "_log")

    def __init__(self, driver: OperationDriver, log: PartitionLog, appended: Appended) -> None:
        self._driver = driver
        self._log = log
        self._appended = appended

    def result(self, timeout_s: float | None = None) -> Appended:
        """Wait until the records are durable, and return their offsets.

        The timeout bounds the wait for fsyncs of other threads; a sync that this call leads is completed.
        """
        self._driver.run(_until_durable({self._log: self._appended.end_offset}), timeout_s=timeout_s)
        return self._appended

    def outcomes(self, timeout_s: float | None = None) -> Sequence[Outcome]:
        """Wait like ``result``; the records have consecutive offsets."""
        return _in_one_piece(self.result(timeout_s))

    def done(self) -> bool:
        """Whether ``result`` would return or raise at once."""
        with self._driver:
            try:
                return self._log.offsets.high_watermark >= self._appended.end_offset
            except StreamCoreError:
                return True


class AppendedColumns(Struct, frozen=True):
    """Columns appended in a transaction: their offsets are known at once; the commit makes them durable."""

    appended: Appended

    def result(self, timeout_s: float | None = None) -> Appended:
        """Return the offsets of the records."""
        return self.appended

    def outcomes(self, timeout_s: float | None = None) -> Sequence[Outcome]:
        """Return the offsets of the records; they are consecutive."""
        return _in_one_piece(self.appended)

    def done(self) -> bool:
        """Return true: the offsets are known."""
        return True


@dataclass(slots=True)
class _OpenTransaction:
    """The state of a producer's open transaction."""

    has_joined: bool = False
    is_over: bool = False
    logs: dict[TopicPartition, PartitionLog] = field(default_factory=dict)


class EmbeddedProducer:
    """Appends columns: idempotent, and with a transactional id in transactions. Safe to share between
    threads, except for its transaction.
    """

    time_min_ms = 0

    def __init__(
        self,
        driver: OperationDriver,
        broker: Broker,
        identity: ProducerIdentity,
        transactional_id: str | None,
        compression: str,
    ) -> None:
        codec_number(compression)
        self._driver = driver
        self._broker = broker
        self.identity = identity
        self.transactional_id = transactional_id
        self._compression = compression
        # Sequence numbers must reach the log in the order in which they are assigned.
        self._order = threading.Lock()
        self._sequences: dict[TopicPartition, int] = {}
        self._unflushed: dict[PartitionLog, int] = {}
        self._transaction: _OpenTransaction | None = None
        self._is_closed = False

    def append_columns(
        self,
        partition: TopicPartition,
        columns: RecordColumns,
    ) -> EmbeddedAcknowledgement:
        """Append records outside any transaction; appends to one partition keep their order."""
        if self.transactional_id is not None:
            raise InvalidTransactionStateError(
                with_facts(
                    "a transactional producer appends inside a transaction",
                    transactional_id=self.transactional_id,
                )
            )
        appended, log = self._append(partition, columns, None)
        with self._order:
            self._unflushed[log] = max(appended.end_offset, self._unflushed.get(log, 0))
        return EmbeddedAcknowledgement(self._driver, log, appended)

    @contextmanager
    def transaction(self) -> Iterator[EmbeddedTransaction]:
        """Begin a transaction that commits when the block ends and aborts when it raises."""
        self._ensure_open()
        if self.transactional_id is None:
            raise InvalidTransactionStateError("transactions need a producer with a transactional id")
        if self._transaction is not None:
            raise InvalidTransactionStateError(
                with_facts(
                    "the producer has a transaction open already", transactional_id=self.transactional_id
                )
            )
        state = self._transaction = _OpenTransaction()
        try:
            yield EmbeddedTransaction(self, state)
        except BaseException:
            self._end(state, commit=False, is_failing=True)
            raise
        self._end(state, commit=True)

    def flush(self) -> None:
        """Wait until everything appended so far is durable."""
        with self._order:
            ends, self._unflushed = self._unflushed, {}
        if ends:
            self._driver.run(_until_durable(ends))

    def close(self) -> None:
        """Flush and close; an open transaction is aborted."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._transaction is not None:
            self._end(self._transaction, commit=False)
        self.flush()

    # --- inside -------------------------------------------------------------------------------

    def _append(
        self, partition: TopicPartition, columns: RecordColumns, transaction: _OpenTransaction | None
    ) -> tuple[Appended, PartitionLog]:
        self._ensure_open()
        with self._driver:
            log = self._broker.partition(partition)
        if not len(columns):
            end = log.offsets.log_end
            return Appended(partition, end, end), log
        ensure_writable(columns.timestamps_ms, self.time_min_ms)
        with self._order:
            batches = self._encoded(partition, columns, log.config.max_message_bytes, transaction is not None)
            # Only compacted topics need keys; where this is not known, the log looks at each record.
            has_all_keys = log.config.is_compacted and None not in columns.keys
            return self._driver.run(self._append_batches(partition, batches, transaction, has_all_keys)), log

    def _encoded(
        self, partition: TopicPartition, columns: RecordColumns, bytes_max: int, is_transactional: bool
    ) -> list[tuple[bytearray, int]]:
        """Return the columns as batches, each with its count of records."""
        sequence = self._sequences.get(partition, 0)
        batches: list[tuple[bytearray, int]] = []
        waiting = list(reversed(cut_into_parts(columns, min(BATCH_BYTES, bytes_max))))
        while waiting:
            part = waiting.pop()
            count = len(part)
            batch = encode_batch(
                part.keys,
                part.values,
                part.timestamps_ms,
                part.headers,
                compression=self._compression,
                producer_id=self.identity.producer_id,
                producer_epoch=self.identity.epoch,
                base_sequence=sequence,
                transactional=is_transactional,
            )
            if len(batch) > bytes_max:
                if count == 1:
                    raise RecordTooLargeError(
                        with_facts(
                            "a record is larger than the topic allows: "
                            "make it smaller or raise max.message.bytes",
                            partition=partition,
                            size_bytes=len(batch),
                            max_message_bytes=bytes_max,
                        )
                    )
                half = (count + 1) // 2
                waiting += [part.slice(half, count), part.slice(0, half)]
                continue
            batches.append((batch, count))
            sequence = (sequence + count) & 0x7FFFFFFF
        return batches

    def _append_batches(
        self,
        partition: TopicPartition,
        batches: list[tuple[bytearray, int]],
        transaction: _OpenTransaction | None,
        has_all_keys: bool,
    ) -> Operation[Appended]:
        if transaction is not None:
            assert self.transactional_id is not None
            transaction.has_joined = True
            yield from self._broker.transactions.join(self.transactional_id, self.identity, (partition,))
        base_offset = -1
        end_offset = -1
        log_append_time_ms = -1
        for batch, count in batches:
            appended = self._broker.batches.append(partition, batch, has_all_keys=has_all_keys)
            if base_offset < 0:
                base_offset = appended.base_offset
            log_append_time_ms = appended.log_append_time_ms
            end_offset = appended.end_offset
            self._sequences[partition] = (self._sequences.get(partition, 0) + count) & 0x7FFFFFFF
        return Appended(partition, base_offset, end_offset, log_append_time_ms)

    def _commit_offsets(
        self,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        membership: Membership | None,
        transaction: _OpenTransaction,
    ) -> None:
        self._ensure_open()
        assert self.transactional_id is not None
        if offsets:
            transaction.has_joined = True
            self._driver.run(
                self._broker.batches.commit_offsets(
                    self.transactional_id, self.identity, group, offsets, membership
                )
            )

    def _end(self, state: _OpenTransaction, *, commit: bool, is_failing: bool = False) -> None:
        if state.is_over:
            return
        state.is_over = True
        self._transaction = None
        if not state.has_joined:
            return
        assert self.transactional_id is not None
        try:
            self._driver.run(
                self._broker.transactions.end_transaction(self.transactional_id, self.identity, commit=commit)
            )
        except StreamCoreError:
            # The block's own error matters more. A transaction that cannot be aborted now, because this
            # producer is fenced or the disk fails, is never committed: the next producer aborts it.
            if not is_failing:
                raise

    def _ensure_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the producer is closed")


class EmbeddedTransaction:
    """One open transaction of a producer. For one thread."""

    __slots__ = ("_producer", "_state")

    def __init__(self, producer: EmbeddedProducer, state: _OpenTransaction) -> None:
        self._producer = producer
        self._state = state

    def append_columns(
        self,
        partition: TopicPartition,
        columns: RecordColumns,
    ) -> AppendedColumns:
        """Append records in the transaction; they become visible when it commits."""
        self._ensure_not_over()
        return AppendedColumns(self._producer._append(partition, columns, self._state)[0])

    def commit_offsets(
        self,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        *,
        membership: Membership | None = None,
    ) -> None:
        """Add a group's committed offsets to the transaction; they change only if it commits."""
        self._ensure_not_over()
        self._producer._commit_offsets(group, offsets, membership, self._state)

    def _ensure_not_over(self) -> None:
        if self._state.is_over:
            raise InvalidTransactionStateError("the transaction is over; begin another")


def _in_one_piece(appended: Appended) -> Sequence[Outcome]:
    count = appended.end_offset - appended.base_offset
    return [(count, appended)] if count else []


def _until_durable(ends: Mapping[PartitionLog, int]) -> Operation[None]:
    yield DurableUntil(tuple(ends.items()))
