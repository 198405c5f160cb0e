"""The broker's access to its partitions: every append goes through here, and is noted as unsynced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from streamcore.clock import Clock
from streamcore.errors import (
    OutOfOrderSequenceError,
    RequestTimeoutError,
    StreamCoreError,
    with_facts,
)
from streamcore.log.broker.operations import DurableUntil, Unsynced
from streamcore.log.records.batch import NO_PRODUCER_ID, BatchHeader, WritableBytes
from streamcore.log.records.builder import encode_batch
from streamcore.log.storage.log_manager import LogManager
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.partition.partition_replies import BatchAppended
from streamcore.model import Offset, ProducerId, TopicPartition


class Partitions:
    """All partitions of a log, open for appending."""

    def __init__(self, logs: LogManager, clock: Clock) -> None:
        self.logs = logs
        self.unsynced = Unsynced()
        self._clock = clock

    def get(self, partition: TopicPartition) -> PartitionLog:
        """Return a partition.

        Raises:
            UnknownTopicError: there is no such partition.
        """
        return self.logs.partition(partition)

    def exists(self, partition: TopicPartition) -> bool:
        """Whether there is such a partition."""
        return self.logs.catalog.find(partition) is not None

    def all(self) -> list[TopicPartition]:
        """Return every partition of every topic."""
        return [log.topic_partition for log in self.logs.catalog.all_logs()]

    def append(
        self, log: PartitionLog, batch: WritableBytes, *, from_client: bool = True, has_all_keys: bool = False
    ) -> BatchAppended:
        """Append one batch; durable only once the partition is synced."""
        appended = log.append(
            batch, now_ms=self._clock.now_ms(), from_client=from_client, has_all_keys=has_all_keys
        )
        self.unsynced.add(log)
        return appended

    def append_all(
        self, log: PartitionLog, batches: Sequence[WritableBytes]
    ) -> list[BatchAppended | StreamCoreError]:
        """Append clients' batches to a partition; each succeeds or fails separately. See
        ``PartitionLog.append_all``.
        """
        appended = log.append_all(batches, now_ms=self._clock.now_ms())
        if log.has_unsynced:
            self.unsynced.add(log)
        return appended

    def append_records(
        self,
        log: PartitionLog,
        records: list[tuple[bytes, bytes | None]],
        *,
        producer_id: ProducerId = NO_PRODUCER_ID,
        producer_epoch: int = -1,
    ) -> Offset:
        """Append the broker's own records as one batch; return the first record's offset.

        With a producer id they belong to that producer's transaction. They carry no sequence: the broker does
        not retry, so there are no duplicates.
        """
        now_ms = self._clock.now_ms()
        batch = encode_batch(
            [key for key, _ in records],
            [value for _, value in records],
            [now_ms] * len(records),
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            transactional=producer_id != NO_PRODUCER_ID,
        )
        return self.append(log, batch, from_client=False).base_offset

    def ensure_first_or_known(self, partition: TopicPartition, header: BatchHeader) -> None:
        """Refuse a producer's batch from the middle of a transaction that has nothing in the partition.

        Where each transaction has its own epoch, sequence numbers begin at 0 with it, so a batch before this
        one is missing. Otherwise a partition that has no sequence of a producer accepts any.
        """
        state = self.get(partition).producer_states.get(header.producer_id)
        has_begun = state is not None and state.epoch == header.producer_epoch and state.batches
        if header.base_sequence and not has_begun:
            raise OutOfOrderSequenceError(
                with_facts(
                    "the first batch of a transaction in a partition has sequence 0: a batch before is "
                    "missing",
                    partition=partition,
                    producer_id=header.producer_id,
                    sequence=header.base_sequence,
                )
            )

    def append_marker(
        self,
        log: PartitionLog,
        producer_id: ProducerId,
        producer_epoch: int,
        *,
        commit: bool,
        coordinator_epoch: int,
    ) -> None:
        """Write a requested marker; a marker that is older than the partition's state is refused."""
        log.append_marker(producer_id, producer_epoch, commit, coordinator_epoch, now_ms=self._clock.now_ms())
        self.unsynced.add(log)

    def end_transaction(
        self, log: PartitionLog, producer_id: ProducerId, producer_epoch: int, *, commit: bool
    ) -> None:
        """Write the marker that the broker's own coordinator has decided; none is newer."""
        state = log.producer_states.get(producer_id)
        coordinator_epoch = 0
        if state is not None:
            # Another coordinator wrote here: the folder was Apache Kafka's, or a client wrote a marker.
            coordinator_epoch = max(coordinator_epoch, state.coordinator_epoch)
            producer_epoch = max(producer_epoch, state.epoch)
        with suppress(RequestTimeoutError):  # no room for a marker that would end nothing
            self.append_marker(
                log, producer_id, producer_epoch, commit=commit, coordinator_epoch=coordinator_epoch
            )

    def has_open_transaction(self, log: PartitionLog, producer_id: ProducerId) -> bool:
        """Whether the producer has records in the partition that no marker has decided."""
        state = log.producer_states.get(producer_id)
        return state is not None and state.transaction_first_offset is not None

    def open_transactions(self, log: PartitionLog) -> dict[ProducerId, int]:
        """The epochs of the producers that have undecided records in the partition."""
        return {
            state.producer_id: state.epoch
            for state in log.producer_states.values()
            if state.transaction_first_offset is not None
        }

    def producer_ids(self) -> Iterator[ProducerId]:
        """Return the producer ids in the partitions' states."""
        for log in self.logs.catalog.all_logs():
            yield from log.producer_states

    def written(self, logs: Iterable[PartitionLog]) -> DurableUntil:
        """Return the wait for everything that was written to these partitions so far."""
        return DurableUntil(tuple((log, log.offsets.log_end) for log in logs))
