"""Two kinds of records of ``__consumer_offsets``: committed offsets, and generations of classic groups.

The tables are in ``log.protocol.coordinator_records``; this module converts them to and from the values that
groups work with.
"""

from __future__ import annotations

from msgspec import Struct

from streamcore.log.protocol.coordinator_records import (
    GROUP_KEY,
    GROUP_VALUE,
    OFFSET_KEY,
    OFFSET_VALUE,
    GroupMetadataKey,
    GroupMetadataValue,
    MemberMetadata,
    OffsetCommitKey,
    OffsetCommitValue,
    record_version,
)
from streamcore.model import CommittedOffset, TimestampMs, TopicPartition


class OffsetKey(Struct, frozen=True):
    """The key of a committed offset."""

    group: str
    partition: TopicPartition


class GroupKey(Struct, frozen=True):
    """The key of a group's generations."""

    group: str


class StoredOffset(Struct, frozen=True):
    """A committed offset, and when it was committed."""

    committed: CommittedOffset
    committed_ms: TimestampMs


class StoredMember(Struct, frozen=True, kw_only=True):
    """One member of a stored generation."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    rebalance_timeout_ms: int
    session_timeout_ms: int
    subscription: bytes
    assignment: bytes


class StoredGroup(Struct, frozen=True):
    """A group's generation, as its leader's assignment made it; without members it is empty."""

    protocol_type: str
    generation: int
    protocol: str | None
    leader_id: str | None
    since_ms: TimestampMs
    members: tuple[StoredMember, ...]


def encode_offset_key(group: str, partition: TopicPartition) -> bytes:
    """Encode the key of a group's committed offset in a partition."""
    return OFFSET_KEY.encode(
        OffsetCommitKey(group=group, topic=partition.topic, partition=partition.partition)
    )


def encode_offset(stored: StoredOffset) -> bytes:
    """Encode the value of a committed offset."""
    return OFFSET_VALUE.encode(
        OffsetCommitValue(
            offset=stored.committed.offset,
            leader_epoch=stored.committed.leader_epoch,
            metadata=stored.committed.metadata,
            commit_timestamp=stored.committed_ms,
        )
    )


def encode_group_key(group: str) -> bytes:
    """Encode the key of a group's generations."""
    return GROUP_KEY.encode(GroupMetadataKey(group=group))


def encode_group(stored: StoredGroup) -> bytes:
    """Encode the value of a group's generation."""
    return GROUP_VALUE.encode(
        GroupMetadataValue(
            protocol_type=stored.protocol_type,
            generation=stored.generation,
            protocol=stored.protocol,
            leader=stored.leader_id,
            current_state_timestamp=stored.since_ms,
            members=[
                MemberMetadata(
                    member_id=member.member_id,
                    group_instance_id=member.instance_id,
                    client_id=member.client_id,
                    client_host=member.client_host,
                    rebalance_timeout=member.rebalance_timeout_ms,
                    session_timeout=member.session_timeout_ms,
                    subscription=member.subscription,
                    assignment=member.assignment,
                )
                for member in stored.members
            ],
        )
    )


def decode_key(key: bytes) -> OffsetKey | GroupKey | None:
    """Decode a key; return ``None`` for a kind that is not of this module. Raises ``CorruptDataError``."""
    kind = record_version(key)
    if kind <= OFFSET_KEY.last:
        named = OFFSET_KEY.decode(key)
        return OffsetKey(named.group, TopicPartition(named.topic, named.partition))
    if kind == GROUP_KEY.written:
        return GroupKey(GROUP_KEY.decode(key).group)
    return None


def decode_offset(value: bytes) -> StoredOffset:
    """Decode a committed offset. Raises ``UnsupportedVersionError``, ``CorruptDataError``."""
    stored = OFFSET_VALUE.decode(value)
    committed = CommittedOffset(stored.offset, stored.metadata, stored.leader_epoch)
    return StoredOffset(committed, stored.commit_timestamp)


def decode_group(value: bytes) -> StoredGroup:
    """Decode a group's generation. Raises ``UnsupportedVersionError``, ``CorruptDataError``."""
    stored = GROUP_VALUE.decode(value)
    return StoredGroup(
        stored.protocol_type,
        stored.generation,
        stored.protocol,
        stored.leader,
        stored.current_state_timestamp,
        tuple(map(_stored_member, stored.members)),
    )


def _stored_member(member: MemberMetadata) -> StoredMember:
    has_own_timeout = member.rebalance_timeout >= 0
    return StoredMember(
        member_id=member.member_id,
        instance_id=member.group_instance_id,
        client_id=member.client_id,
        client_host=member.client_host,
        rebalance_timeout_ms=member.rebalance_timeout if has_own_timeout else member.session_timeout,
        session_timeout_ms=member.session_timeout,
        subscription=member.subscription,
        assignment=member.assignment,
    )
