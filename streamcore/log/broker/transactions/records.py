"""The records of ``__transaction_state``, as Kafka writes them.

Key   := version int16 = 0 | transactional id string
Value := version int16 = 1 | producer id int64 | producer epoch int16 | timeout ms int32 | state int8
       | topics, null in state Empty: name | partitions: int32 * | no tagged fields
       | last update ms int64 | start ms int64 (-1 in state Empty)
       | tagged fields: 0 previous producer id int64 | 1 next producer id int64 | 2 client's version int16

Lengths and names are compact (``stored_fields``). A null value forgets the transactional id. Version 0,
the same with plain lengths and without tagged fields, is read.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Final

import msgspec
from msgspec.structs import replace

from streamcore.errors import UnsupportedVersionError, fact_text
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.broker.stored_fields import FieldReader, FieldWriter
from streamcore.log.records.batch import NO_PRODUCER_ID
from streamcore.model import ProducerId, TimestampMs, TopicPartition

NO_EPOCH: Final = -1
NOT_STARTED: Final = -1

_PLAIN_VERSION: Final = 0
_COMPACT_VERSION: Final = 1
_HEAD: Final = struct.Struct(">hqhib")
_TIMES: Final = struct.Struct(">qq")
_INT64: Final = struct.Struct(">q")
_INT16: Final = struct.Struct(">h")
_PREVIOUS_ID: Final = 0
_NEXT_ID: Final = 1
_CLIENT_VERSION: Final = 2


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
"""From each state, the states that may follow. A client whose epoch moves with each transaction (version 2)
may abort one that it has not begun."""


class TransactionRecord(msgspec.Struct, frozen=True):
    """All that is known of one transactional id: each record replaces the one before."""

    transactional_id: str
    identity: ProducerIdentity
    timeout_ms: int
    state: TransactionState
    partitions: frozenset[TopicPartition]
    updated_ms: TimestampMs
    started_ms: TimestampMs = NOT_STARTED
    previous_producer_id: ProducerId = NO_PRODUCER_ID
    """The producer id of the record before this one: it may be another only where epochs were used up."""
    next_producer_id: ProducerId = NO_PRODUCER_ID
    """While an ending is prepared that uses up the epochs: the producer id from then on."""
    client_version: int = 0
    """The version of transactions (KIP-890) that the client uses: 2 if its epoch moves with each."""
    last_epoch: int = NO_EPOCH
    """The epoch before this one, if the producer that had it may go on with this one; not stored."""

    def moved_to(self, state: TransactionState, now_ms: TimestampMs) -> TransactionRecord:
        """The same in another state."""
        assert state in TRANSITIONS[self.state], f"no way from {self.state} to {state}"
        producer_id = self.identity.producer_id
        return replace(self, state=state, updated_ms=now_ms, previous_producer_id=producer_id)

    @property
    def is_preparing(self) -> bool:
        """Whether the outcome is decided, and its markers are still to be written."""
        return self.state in (_S.PREPARE_COMMIT, _S.PREPARE_ABORT)


def encode_key(transactional_id: str) -> bytes:
    """The key of a transactional id's records."""
    return bytes(FieldWriter().int16(0).string(transactional_id).data)


def encode_value(record: TransactionRecord) -> bytes:
    """A record's value."""
    identity = record.identity
    writer = FieldWriter().raw(
        _HEAD.pack(
            _COMPACT_VERSION, identity.producer_id, identity.epoch, record.timeout_ms, record.state.value
        )
    )
    if record.state is _S.EMPTY:
        writer.unsigned_varint(0)
    else:
        by_topic: dict[str, list[int]] = {}
        for partition in sorted(record.partitions):
            by_topic.setdefault(partition.topic, []).append(partition.partition)
        writer.compact_count(len(by_topic))
        for topic, indexes in by_topic.items():
            writer.compact_string(topic).compact_count(len(indexes))
            writer.raw(struct.pack(f">{len(indexes)}i", *indexes)).tagged_fields()
    writer.raw(_TIMES.pack(record.updated_ms, record.started_ms))
    tagged: dict[int, bytes] = {}
    if record.previous_producer_id != NO_PRODUCER_ID:
        tagged[_PREVIOUS_ID] = _INT64.pack(record.previous_producer_id)
    if record.next_producer_id != NO_PRODUCER_ID:
        tagged[_NEXT_ID] = _INT64.pack(record.next_producer_id)
    if record.client_version:
        tagged[_CLIENT_VERSION] = _INT16.pack(record.client_version)
    return bytes(writer.tagged_fields(tagged).data)


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
    if version not in (_PLAIN_VERSION, _COMPACT_VERSION):
        raise UnsupportedVersionError(
            "a transaction record is of a newer version; upgrade this program. "
            + fact_text(version=version, transactional_id=transactional_id)
        )
    identity = ProducerIdentity(reader.int64(), reader.int16())
    timeout_ms = reader.int32()
    state = TransactionState(reader.int8())
    partitions = _compact_partitions(reader) if version else _plain_partitions(reader)
    updated_ms, started_ms = reader.int64(), reader.int64()
    tagged = reader.tagged_fields() if version else {}
    return TransactionRecord(
        transactional_id,
        identity,
        timeout_ms,
        state,
        partitions,
        updated_ms,
        started_ms,
        previous_producer_id=_unpacked_id(tagged.get(_PREVIOUS_ID)),
        next_producer_id=_unpacked_id(tagged.get(_NEXT_ID)),
        client_version=FieldReader(tagged[_CLIENT_VERSION]).int16() if _CLIENT_VERSION in tagged else 0,
    )


def _unpacked_id(field: bytes | None) -> ProducerId:
    return NO_PRODUCER_ID if field is None else FieldReader(field).int64()


def _compact_partitions(reader: FieldReader) -> frozenset[TopicPartition]:
    partitions: list[TopicPartition] = []
    for _ in range(reader.compact_count()):
        topic = reader.compact_string()
        partitions += [TopicPartition(topic, reader.int32()) for _ in range(reader.compact_count())]
        reader.skip_tagged_fields()
    return frozenset(partitions)


def _plain_partitions(reader: FieldReader) -> frozenset[TopicPartition]:
    partitions: list[TopicPartition] = []
    for _ in range(reader.count()):
        topic = reader.string()
        partitions += [TopicPartition(topic, reader.int32()) for _ in range(reader.count())]
    return frozenset(partitions)
