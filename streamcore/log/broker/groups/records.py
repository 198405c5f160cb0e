"""The records of ``__consumer_offsets``, as Kafka writes them: committed positions, and groups.

Position key   := version int16 = 1 | group string | topic string | partition int32
Position value := version int16 = 3 | offset int64 | leader epoch int32 | metadata string
                | commit time ms int64
Group key      := version int16 = 2 | group string
Group value    := version int16 = 3 | protocol type string | generation int32 | protocol string?
                | leader string? | state since ms int64 | member count int32 | member *
member         := member id string | instance id string? | client id string | client host string
                | rebalance timeout ms int32 | session timeout ms int32 | subscription bytes
                | assignment bytes

``string?`` may be null. A null value deletes. Values of versions 0 to 4 are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from streamcore.errors import UnsupportedVersionError, fact_text
from streamcore.log.broker.stored_fields import FieldReader, FieldWriter
from streamcore.model import CommittedPosition, TimestampMs, TopicPartition

_POSITION_KEY_VERSIONS: Final = (0, 1)
_GROUP_KEY_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class PositionKey:
    """Whose position, and where."""

    group: str
    partition: TopicPartition


@dataclass(frozen=True, slots=True)
class GroupKey:
    """Which group."""

    group: str


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """A committed position, and when it was committed."""

    position: CommittedPosition
    committed_ms: TimestampMs


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMember:
    """One member of a stored generation."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    subscription: bytes
    assignment: bytes


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group's generation, as its leader's assignment made it; without members it is empty."""

    protocol_type: str
    generation: int
    protocol: str | None
    leader_id: str | None
    since_ms: TimestampMs
    members: tuple[StoredMember, ...]


def encode_position_key(group: str, partition: TopicPartition) -> bytes:
    """The key of a group's position in a partition."""
    writer = FieldWriter().int16(1).string(group).string(partition.topic)
    return bytes(writer.int32(partition.partition).data)


def encode_position(stored: StoredPosition) -> bytes:
    """The value of a committed position."""
    writer = FieldWriter().int16(3).int64(stored.position.offset).int32(stored.position.leader_epoch)
    return bytes(writer.string(stored.position.metadata).int64(stored.committed_ms).data)


def encode_group_key(group: str) -> bytes:
    """The key of a group's generations."""
    return bytes(FieldWriter().int16(_GROUP_KEY_VERSION).string(group).data)


def encode_group(stored: StoredGroup) -> bytes:
    """The value of a group's generation."""
    writer = FieldWriter().int16(3).string(stored.protocol_type).int32(stored.generation)
    writer.string(stored.protocol).string(stored.leader_id).int64(stored.since_ms)
    writer.int32(len(stored.members))
    for member in stored.members:
        writer.string(member.member_id).string(member.instance_id)
        writer.string(member.client_id).string(member.client_host)
        writer.int32(member.rebalance_timeout_ms).int32(member.session_timeout_ms)
        writer.sized_bytes(member.subscription).sized_bytes(member.assignment)
    return bytes(writer.data)


def decode_key(key: bytes) -> PositionKey | GroupKey | None:
    """What a key stands for; ``None`` for kinds that this program does not know."""
    reader = FieldReader(key)
    version = reader.int16()
    if version in _POSITION_KEY_VERSIONS:
        return PositionKey(reader.string(), TopicPartition(reader.string(), reader.int32()))
    if version == _GROUP_KEY_VERSION:
        return GroupKey(reader.string())
    return None


def decode_position(value: bytes) -> StoredPosition:
    """A committed position from its stored value. Raises ``UnsupportedVersionError``."""
    reader = FieldReader(value)
    version = _checked_version(reader, 4)
    offset = reader.int64()
    leader_epoch = reader.int32() if version >= 3 else -1
    metadata = reader.compact_string() if version >= 4 else reader.string()
    return StoredPosition(CommittedPosition(offset, metadata, leader_epoch), reader.int64())


def decode_group(value: bytes) -> StoredGroup:
    """A group's generation from its stored value. Raises ``UnsupportedVersionError``."""
    reader = FieldReader(value)
    version = _checked_version(reader, 3)
    protocol_type, generation = reader.string(), reader.int32()
    protocol, leader_id = reader.nullable_string(), reader.nullable_string()
    since_ms = reader.int64() if version >= 2 else -1
    members = tuple(_decode_member(reader, version) for _ in range(reader.count()))
    return StoredGroup(protocol_type, generation, protocol, leader_id, since_ms, members)


def _decode_member(reader: FieldReader, version: int) -> StoredMember:
    member_id = reader.string()
    instance_id = reader.nullable_string() if version >= 3 else None
    client_id, client_host = reader.string(), reader.string()
    rebalance_timeout_ms = reader.int32() if version >= 1 else -1
    session_timeout_ms = reader.int32()
    return StoredMember(
        member_id=member_id,
        instance_id=instance_id,
        client_id=client_id,
        client_host=client_host,
        rebalance_timeout_ms=session_timeout_ms if rebalance_timeout_ms < 0 else rebalance_timeout_ms,
        session_timeout_ms=session_timeout_ms,
        subscription=reader.sized_bytes(),
        assignment=reader.sized_bytes(),
    )


def _checked_version(reader: FieldReader, version_max: int) -> int:
    version = reader.int16()
    if not 0 <= version <= version_max:
        raise UnsupportedVersionError(
            "a group's record is of a newer version; upgrade this program. "
            + fact_text(version=version, version_max=version_max)
        )
    return version
