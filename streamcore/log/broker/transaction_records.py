"""The records of ``__transaction_state``, as Kafka writes them.

Key   := version int16 = 0 | transactional id string
Value := version int16 = 0 | producer id int64 | producer epoch int16 | timeout ms int32 | state int8
       | count int32 (-1 in state Empty), then per topic: name string | count int32 | partition int32 *
       | last update ms int64 | start ms int64

A null value forgets the transactional id. Version 1 (the same with compact lengths and optional
fields) is read, version 0 is written.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from streamcore.errors import UnsupportedVersionError, fact_text
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.broker.stored_fields import FieldReader, FieldWriter
from streamcore.model import TimestampMs, TopicPartition


class TransactionState(Enum):
    """Where the transaction of a transactional id stands; the values are Kafka's."""

    EMPTY = 0
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3
    COMPLETE_COMMIT = 4
    COMPLETE_ABORT = 5
    DEAD = 6
    PREPARE_EPOCH_FENCE = 7


_S = TransactionState

TRANSITIONS: Final[dict[TransactionState, frozenset[TransactionState]]] = {
    _S.EMPTY: frozenset({_S.EMPTY, _S.ONGOING}),
    _S.ONGOING: frozenset({_S.ONGOING, _S.PREPARE_COMMIT, _S.PREPARE_ABORT}),
    _S.PREPARE_COMMIT: frozenset({_S.COMPLETE_COMMIT}),
    _S.PREPARE_ABORT: frozenset({_S.COMPLETE_ABORT}),
    _S.COMPLETE_COMMIT: frozenset({_S.EMPTY, _S.ONGOING}),
    _S.COMPLETE_ABORT: frozenset({_S.EMPTY, _S.ONGOING}),
    _S.DEAD: frozenset(),
    _S.PREPARE_EPOCH_FENCE: frozenset({_S.PREPARE_ABORT}),
}
"""From each state, the states that may follow."""


@dataclass(frozen=True, slots=True)
class TransactionRecord:
    """All that is known of one transactional id: each record replaces the one before."""

    transactional_id: str
    identity: ProducerIdentity
    timeout_ms: int
    state: TransactionState
    partitions: frozenset[TopicPartition]
    updated_ms: TimestampMs
    started_ms: TimestampMs

    def moved_to(self, state: TransactionState, now_ms: TimestampMs) -> TransactionRecord:
        """The same in another state."""
        assert state in TRANSITIONS[self.state], f"no way from {self.state} to {state}"
        return replace(self, state=state, updated_ms=now_ms)

    @property
    def is_preparing(self) -> bool:
        """Whether the outcome is decided, and its markers are still to be written."""
        return self.state in (_S.PREPARE_COMMIT, _S.PREPARE_ABORT)


def encode_key(transactional_id: str) -> bytes:
    """The key of a transactional id's records."""
    return bytes(FieldWriter().int16(0).string(transactional_id).data)


def encode_value(record: TransactionRecord) -> bytes:
    """A record's value."""
    writer = FieldWriter().int16(0)
    writer.int64(record.identity.producer_id).int16(record.identity.epoch)
    writer.int32(record.timeout_ms).int8(record.state.value)
    by_topic: dict[str, list[int]] = {}
    for partition in sorted(record.partitions):
        by_topic.setdefault(partition.topic, []).append(partition.partition)
    writer.int32(-1 if record.state is _S.EMPTY else len(by_topic))
    for topic, indexes in by_topic.items():
        writer.string(topic).int32(len(indexes))
        for index in indexes:
            writer.int32(index)
    return bytes(writer.int64(record.updated_ms).int64(record.started_ms).data)


def decode_key(key: bytes) -> str | None:
    """The transactional id that a key names; ``None`` for a key of another kind."""
    reader = FieldReader(key)
    return reader.string() if reader.int16() == 0 else None


def decode_value(transactional_id: str, value: bytes) -> TransactionRecord:
    """A record from its stored value.

    Raises:
        UnsupportedVersionError: a newer program wrote it.
    """
    reader = FieldReader(value)
    version = reader.int16()
    if version not in (0, 1):
        raise UnsupportedVersionError(
            "a transaction record is of a newer version; upgrade this program. "
            + fact_text(version=version, transactional_id=transactional_id)
        )
    identity = ProducerIdentity(reader.int64(), reader.int16())
    timeout_ms = reader.int32()
    state = TransactionState(reader.int8())
    partitions: list[TopicPartition] = []
    for _ in range(max(0, reader.unsigned_varint() - 1) if version else reader.count()):
        topic = reader.compact_string() if version else reader.string()
        for _ in range(max(0, reader.unsigned_varint() - 1) if version else reader.count()):
            partitions.append(TopicPartition(topic, reader.int32()))
        if version:
            reader.skip_tagged_fields()
    return TransactionRecord(
        transactional_id, identity, timeout_ms, state, frozenset(partitions), reader.int64(), reader.int64()
    )
