"""Batches and committed offsets on their way into partitions, with the transactions that they belong to.

A transactional batch is written only where a coordinator will decide it (KIP-890). The rules of transactions
are in ``transactions.coordinator``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from streamcore.errors import (
    CorruptBatchError,
    StreamCoreError,
    UnknownTopicError,
    with_facts,
)
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.coordinator import GroupCoordinator
from streamcore.log.broker.operations import DurableUntil, Operation
from streamcore.log.broker.partitions import Partitions
from streamcore.log.broker.requests import AppendedBatch, ProducerIdentity
from streamcore.log.broker.serial_queue import SerialQueue
from streamcore.log.broker.transactions.coordinator import TransactionCoordinator
from streamcore.log.broker.transactions.rules import EPOCH_PER_TRANSACTION
from streamcore.log.records.batch import BatchHeader, WritableBytes, parse_header
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.partition.partition_replies import BatchAppended
from streamcore.model import CommittedOffset, Membership, Offset, TopicPartition


class Batches:
    """Appends batches to partitions, and groups' committed offsets to transactions."""

    def __init__(
        self, partitions: Partitions, transactions: TransactionCoordinator, groups: GroupCoordinator
    ) -> None:
        self._partitions = partitions
        self._transactions = transactions
        self._groups = groups
        self._queues = SerialQueue()

    def append_each(
        self,
        batches: Sequence[tuple[TopicPartition, WritableBytes]],
        transactional_id: str | None = None,
        *,
        joins_as: int | None = 0,
    ) -> Operation[list[AppendedBatch]]:
        """Write encoded batches; each succeeds or fails separately, and none is durable yet.

        Args:
            transactional_id: the transactional id of the transactional batches.
            joins_as: the client's version of transactions, if their partitions are to be added to the
                transaction first; ``None`` if they must be part of it already.
        """
        if transactional_id is None or joins_as is None:
            return self._append_each(batches, transactional_id, {})
        turn = yield from self._queues.take(transactional_id)
        try:
            unjoined = yield from self._join_partitions(batches, transactional_id, joins_as)
            return self._append_each(batches, transactional_id, unjoined, joins_as=joins_as)
        finally:
            self._queues.end(transactional_id, turn)

    def _append_each(
        self,
        batches: Sequence[tuple[TopicPartition, WritableBytes]],
        transactional_id: str | None,
        unjoined: Mapping[ProducerIdentity, ApiError | StreamCoreError],
        *,
        joins_as: int = 0,
    ) -> list[AppendedBatch]:
        appended: list[AppendedBatch] = []
        for partition, batch in batches:
            try:
                header = parse_header(batch)
                if header.is_transactional:
                    self._ensure_covered(partition, header, transactional_id, unjoined)
                    if joins_as >= EPOCH_PER_TRANSACTION:
                        self._partitions.ensure_first_or_known(partition, header)
                appended.append(self.append(partition, batch, header))
            except ApiError as refused:
                appended.append(AppendedBatch(partition, error=refused.error()))
            except StreamCoreError as error:
                appended.append(AppendedBatch(partition, error=error))
        return appended

    def append(
        self,
        partition: TopicPartition,
        batch: WritableBytes,
        header: BatchHeader | None = None,
        *,
        has_all_keys: bool = False,
    ) -> AppendedBatch:
        """Write one encoded batch, whose transaction is already checked.

        ``has_all_keys`` is for a caller in this process that encoded the batch and knows that each record has
        a key.
        """
        written = self._partitions.append(self._partitions.get(partition), batch, has_all_keys=has_all_keys)
        return AppendedBatch(
            partition,
            written.base_offset,
            written.last_offset + 1,
            written.log_append_time_ms,
            written.is_duplicate,
        )

    def append_group(
        self, log: PartitionLog, batches: Sequence[WritableBytes]
    ) -> list[BatchAppended | StreamCoreError]:
        """Write clients' batches without a transaction to one partition; none is durable yet.

        Each succeeds or fails separately, also if the partition was deleted since the caller found it.
        """
        partition = log.topic_partition
        if self._partitions.logs.catalog.find(partition) is not log:
            error = UnknownTopicError(with_facts("the topic was deleted meanwhile", topic=partition.topic))
            return [error] * len(batches)
        return self._partitions.append_all(log, batches)

    def _join_partitions(
        self,
        batches: Sequence[tuple[TopicPartition, WritableBytes]],
        transactional_id: str,
        client_version: int,
    ) -> Operation[dict[ProducerIdentity, ApiError | StreamCoreError]]:
        """Add the partitions of transactional batches to the transaction; return the refused ones with
        their errors.
        """
        joining: dict[ProducerIdentity, list[TopicPartition]] = {}
        for partition, batch in batches:
            with suppress(CorruptBatchError):  # the check at its append refuses it
                header = parse_header(batch)
                if header.is_transactional and self._partitions.exists(partition):
                    joining.setdefault(_identity(header), []).append(partition)
        unjoined: dict[ProducerIdentity, ApiError | StreamCoreError] = {}
        for identity, partitions in joining.items():
            try:
                yield from self._transactions.join(
                    transactional_id, identity, partitions, version=client_version
                )
            except (ApiError, StreamCoreError) as error:
                unjoined[identity] = error
        return unjoined

    def _ensure_covered(
        self,
        partition: TopicPartition,
        header: BatchHeader,
        transactional_id: str | None,
        unjoined: Mapping[ProducerIdentity, ApiError | StreamCoreError],
    ) -> None:
        """Ensure that a coordinator will decide the batch (KIP-890); otherwise it would stay undecided."""
        identity = _identity(header)
        if identity in unjoined:
            raise unjoined[identity]
        if transactional_id is None:
            owner = self._transactions.table.of_producer(header.producer_id)
            if owner is None:
                raise ApiError(ErrorName.INVALID_PRODUCER_ID_MAPPING, producer_id=header.producer_id)
            transactional_id = owner.transactional_id
        self._transactions.ensure_may_write(transactional_id, identity, partition)

    def durable(self, appended: Sequence[AppendedBatch]) -> Operation[None]:
        """Wait until batches are durable; batches with an error are skipped."""
        ends: dict[TopicPartition, Offset] = {}
        for batch in appended:
            if batch.error is None:
                ends[batch.partition] = max(batch.end_offset, ends.get(batch.partition, 0))
        yield DurableUntil(tuple((self._partitions.get(partition), end) for partition, end in ends.items()))

    def commit_offsets(
        self,
        transactional_id: str,
        identity: ProducerIdentity,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        membership: Membership | None = None,
        *,
        joins_as: int | None = 0,
    ) -> Operation[None]:
        """Add a group's committed offsets to the transaction, as ``append_each`` does with records."""
        partition = self._groups.partition_for(group)
        if joins_as is not None:
            yield from self._transactions.join(transactional_id, identity, (partition,), version=joins_as)
        self._transactions.ensure_may_write(transactional_id, identity, partition)
        self._groups.append_in_transaction(group, offsets, identity, membership)


def _identity(header: BatchHeader) -> ProducerIdentity:
    return ProducerIdentity(header.producer_id, header.producer_epoch)
