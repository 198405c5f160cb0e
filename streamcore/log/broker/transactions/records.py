"""The state of a transactional id, and its records in ``__transaction_state``.

The table of the records is in ``log.protocol.coordinator_records``. Each record replaces the one before; a
null value removes the transactional id. Partitions are null in state Empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from itertools import groupby
from typing import Final

import msgspec
from msgspec.structs import replace

from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.protocol.coordinator_records import (
    TRANSACTION_KEY,
    TRANSACTION_VALUE,
    TransactionLogKey,
    TransactionLogValue,
    TransactionPartitions,
    record_version,
)
from streamcore.log.records.batch import NO_PRODUCER_ID
from streamcore.model import ProducerId, TimestampMs, TopicPartition

NO_EPOCH: Final = -1
NOT_STARTED: Final = -1


class TransactionState(Enum):
    """The state of the transaction of a transactional id; the values are Kafka's."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5
    DEAD = 6
    PREPARE_EPOCH_FENCE = 7

    @property
    def kafka_name(self) -> str:
        """The state's name in answers to clients: ``CompleteCommit``."""
        return self.name.title().replace("_", "")


_S = TransactionState

TRANSITIONS: Final[dict[TransactionState, frozenset[TransactionState]]] = {
    _S.EMPTY: frozenset({_S.EMPTY, _S.ONGOING, _S.PREPARE_ABORT}),
    _S.ONGOING: frozenset({_S.ONGOING, _S.PREPARE_COMMIT, _S.PREPARE_ABORT}),
    _S.PREPARE_COMMIT: frozenset({_S.COMPLETE_COMMIT}),
    _S.PREPARE_ABORT: frozenset({_S.COMPLETE_ABORT}),
    _S.COMPLETE_COMMIT: frozenset({_S.EMPTY, _S.ONGOING, _S.PREPARE_ABORT}),
    _S.COMPLETE_ABORT: frozenset({_S.EMPTY, _S.ONGOING, _S.PREPARE_ABORT}),
    _S.DEAD: frozenset(),
    _S.PREPARE_EPOCH_FENCE: frozenset({_S.PREPARE_ABORT}),
}
"""The possible next states of each state. A client whose epoch is raised with each transaction (version 2)
may abort a transaction that it has not begun.
"""


class TransactionRecord(msgspec.Struct, frozen=True):
    """The state of one transactional id; each record replaces the one before."""

    transactional_id: str
    identity: ProducerIdentity
    timeout_ms: int
    state: TransactionState
    partitions: frozenset[TopicPartition]
    updated_ms: TimestampMs
    started_ms: TimestampMs = NOT_STARTED
    previous_producer_id: ProducerId = NO_PRODUCER_ID
    """The producer id of the record before this one; it differs only where the epochs of that id were used
    up.
    """
    next_producer_id: ProducerId = NO_PRODUCER_ID
    """The next producer id, while an ending is prepared that uses up the epochs."""
    client_version: int = 0
    """The client's version of transactions (KIP-890): 2 if each ending raises the epoch."""
    last_epoch: int = NO_EPOCH
    """The epoch before this one, if the producer that had it may continue with this one; not stored."""

    def moved_to(self, state: TransactionState, now_ms: TimestampMs) -> TransactionRecord:
        """Return the record with another state."""
        assert state in TRANSITIONS[self.state], f"no way from {self.state} to {state}"
        producer_id = self.identity.producer_id
        return replace(self, state=state, updated_ms=now_ms, previous_producer_id=producer_id)

    @property
    def is_preparing(self) -> bool:
        """Whether the outcome is decided, and its markers are still to be written."""
        return self.state in (_S.PREPARE_COMMIT, _S.PREPARE_ABORT)


def encode_key(transactional_id: str) -> bytes:
    """Encode the key of a transactional id's records."""
    return TRANSACTION_KEY.encode(TransactionLogKey(transactional_id=transactional_id))


def encode_value(record: TransactionRecord) -> bytes:
    """Encode a record's value."""
    return TRANSACTION_VALUE.encode(
        TransactionLogValue(
            producer_id=record.identity.producer_id,
            producer_epoch=record.identity.epoch,
            transaction_timeout_ms=record.timeout_ms,
            transaction_status=record.state.value,
            transaction_partitions=None if record.state is _S.EMPTY else _by_topic(record.partitions),
            transaction_last_update_timestamp_ms=record.updated_ms,
            transaction_start_timestamp_ms=record.started_ms,
            previous_producer_id=record.previous_producer_id,
            next_producer_id=record.next_producer_id,
            client_transaction_version=record.client_version,
        )
    )


def decode_key(key: bytes) -> str | None:
    """Decode the transactional id of a key; return ``None`` for another kind.

    Raises:
        CorruptDataError: the bytes are not a key.
    """
    if record_version(key) != TRANSACTION_KEY.written:
        return None
    return TRANSACTION_KEY.decode(key).transactional_id


def decode_value(transactional_id: str, value: bytes) -> TransactionRecord:
    """Decode a record's value.

    Raises:
        UnsupportedVersionError: a newer program wrote the record.
        CorruptDataError: the bytes do not fit its version.
    """
    stored = TRANSACTION_VALUE.decode(value)
    return TransactionRecord(
        transactional_id,
        ProducerIdentity(stored.producer_id, stored.producer_epoch),
        stored.transaction_timeout_ms,
        TransactionState(stored.transaction_status),
        frozenset(
            TopicPartition(each.topic, partition)
            for each in stored.transaction_partitions or ()
            for partition in each.partition_ids
        ),
        stored.transaction_last_update_timestamp_ms,
        stored.transaction_start_timestamp_ms,
        previous_producer_id=stored.previous_producer_id,
        next_producer_id=stored.next_producer_id,
        client_version=stored.client_transaction_version,
    )


def _by_topic(partitions: Iterable[TopicPartition]) -> list[TransactionPartitions]:
    return [
        TransactionPartitions(topic=topic, partition_ids=[each.partition for each in of_topic])
        for topic, of_topic in groupby(sorted(partitions), key=lambda each: each.topic)
    ]
