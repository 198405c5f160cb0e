"""The records of groups of the newer protocol in ``__consumer_offsets``, as Kafka 4.3 writes them.

The tables are in ``log.protocol.coordinator_records``; this module converts them to and from the values that
groups work with. A null value deletes. Kind 4, which Kafka wrote before 4.1, repeats the hash of kind 3;
such records are skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from itertools import groupby
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from msgspec import Struct

from streamcore.log.broker.groups.consumer_group_member import (
    ClassicTraits,
    Epochs,
    Holding,
    MemberProfile,
    MemberState,
)
from streamcore.log.broker.partition_id import PartitionId
from streamcore.log.protocol.coordinator_records import (
    ClassicMemberMetadata,
    ClassicProtocol,
    ConsumerGroupCurrentMemberAssignmentValue,
    ConsumerGroupMemberMetadataValue,
    ConsumerGroupMetadataValue,
    ConsumerGroupPartKey,
    ConsumerGroupRegularExpressionValue,
    ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataValue,
    CurrentTopicPartitions,
    GroupMetadataKey,
    RecordFormat,
    TargetTopicPartitions,
    record_version,
)
from streamcore.log.protocol.fields import Message
from streamcore.model import TimestampMs, TopicName


class Kind(Enum):
    """The kinds of records; the values are those of Kafka's keys."""

    EPOCH = 3
    PROFILE = 5
    TARGET = 6
    MEMBER_TARGET = 7
    HOLDING = 8
    PATTERN = 16


_OF_THE_GROUP: Final = frozenset({Kind.EPOCH, Kind.TARGET})


class ConsumerGroupKey(Struct, frozen=True):
    """The key of a record; ``part`` is a member id, or for ``PATTERN`` a regular expression."""

    kind: Kind
    group: str
    part: str = ""


class GroupEpoch(Struct, frozen=True):
    """The epoch of a group: it grows with every change that needs a new target."""

    epoch: int
    topics_hash: int = 0
    """The hash of the subscribed topics at this epoch."""


class TargetEpoch(Struct, frozen=True):
    """The group epoch that the target assignment is for."""

    epoch: int
    computed_ms: TimestampMs = 0


class MemberTarget(Struct, frozen=True):
    """The partitions that a member is to have."""

    partitions: frozenset[PartitionId] = frozenset()


class ResolvedPattern(Struct, frozen=True):
    """The topics that match a regular expression."""

    topics: tuple[TopicName, ...]
    version: int = 0
    resolved_ms: TimestampMs = 0


ConsumerGroupValue: TypeAlias = (
    GroupEpoch | MemberProfile | TargetEpoch | MemberTarget | Holding | ResolvedPattern
)
ConsumerGroupRecord: TypeAlias = tuple[ConsumerGroupKey, ConsumerGroupValue | None]


def encode_consumer_group_record(record: ConsumerGroupRecord) -> tuple[bytes, bytes | None]:
    """Encode a record as the bytes of its key and of its value."""
    key, value = record
    kind = key.kind.value
    if key.kind in _OF_THE_GROUP:
        key_data = RecordFormat(GroupMetadataKey, kind, kind).encode(GroupMetadataKey(group=key.group))
    else:
        part = ConsumerGroupPartKey(group=key.group, part=key.part)
        key_data = RecordFormat(ConsumerGroupPartKey, kind, kind).encode(part)
    return key_data, None if value is None else _VALUES[key.kind].encode(_message_of(value))


def decode_consumer_group_key(key: bytes) -> ConsumerGroupKey | None:
    """Decode a key; return ``None`` for a kind that is not of this module. Raises ``CorruptDataError``."""
    number = record_version(key)
    if number not in _KINDS:
        return None
    kind = Kind(number)
    if kind in _OF_THE_GROUP:
        return ConsumerGroupKey(kind, RecordFormat(GroupMetadataKey, number, number).decode(key).group)
    named = RecordFormat(ConsumerGroupPartKey, number, number).decode(key)
    return ConsumerGroupKey(kind, named.group, named.part)


def decode_consumer_group_value(kind: Kind, value: bytes) -> ConsumerGroupValue:
    """Decode a record's value. Raises ``UnsupportedVersionError``, ``CorruptDataError``."""
    return _value_of(_VALUES[kind].decode(value))


# --- between values and messages ----------------------------------------------------------------------


def _message_of(value: ConsumerGroupValue) -> Message:
    match value:
        case GroupEpoch(epoch, topics_hash):
            return ConsumerGroupMetadataValue(epoch=epoch, metadata_hash=topics_hash)
        case TargetEpoch(epoch, computed_ms):
            return ConsumerGroupTargetAssignmentMetadataValue(
                assignment_epoch=epoch, assignment_timestamp=computed_ms
            )
        case MemberTarget(partitions):
            topics = [
                TargetTopicPartitions(topic_id=topic_id, partitions=[each.partition for each in of_topic])
                for topic_id, of_topic in _by_topic(partitions)
            ]
            return ConsumerGroupTargetAssignmentMemberValue(topic_partitions=topics)
        case ResolvedPattern(names, version, resolved_ms):
            return ConsumerGroupRegularExpressionValue(
                topics=sorted(names), version=version, timestamp=resolved_ms
            )
        case MemberProfile():
            return _profile_message(value)
        case Holding():
            return ConsumerGroupCurrentMemberAssignmentValue(
                member_epoch=value.epoch,
                previous_member_epoch=value.previous_epoch,
                state=value.state.value,
                assigned_partitions=_with_epochs(value.assigned),
                partitions_pending_revocation=_with_epochs(value.revoking),
            )


def _value_of(message: Message) -> ConsumerGroupValue:
    match message:
        case ConsumerGroupMetadataValue():
            return GroupEpoch(message.epoch, message.metadata_hash)
        case ConsumerGroupTargetAssignmentMetadataValue():
            return TargetEpoch(message.assignment_epoch, message.assignment_timestamp)
        case ConsumerGroupTargetAssignmentMemberValue():
            return MemberTarget(
                frozenset(
                    PartitionId(topic.topic_id, partition)
                    for topic in message.topic_partitions
                    for partition in topic.partitions
                )
            )
        case ConsumerGroupRegularExpressionValue():
            return ResolvedPattern(tuple(message.topics), message.version, message.timestamp)
        case ConsumerGroupMemberMetadataValue():
            return _profile(message)
        case ConsumerGroupCurrentMemberAssignmentValue():
            is_known = message.state in _STATES
            return Holding(
                message.member_epoch,
                message.previous_member_epoch,
                MemberState(message.state) if is_known else MemberState.UNKNOWN,
                _epochs(message.assigned_partitions, message.member_epoch),
                _epochs(message.partitions_pending_revocation, message.member_epoch),
            )
        case _:
            raise AssertionError(f"no value is stored as {type(message).__name__}")


def _profile_message(profile: MemberProfile) -> ConsumerGroupMemberMetadataValue:
    classic = profile.classic
    return ConsumerGroupMemberMetadataValue(
        instance_id=profile.instance_id,
        rack_id=profile.rack,
        client_id=profile.client_id,
        client_host=profile.client_host,
        subscribed_topic_names=sorted(profile.topics),
        subscribed_topic_regex=profile.pattern,
        rebalance_timeout_ms=profile.rebalance_timeout_ms,
        server_assignor=profile.assignor,
        classic_member_metadata=None
        if classic is None
        else ClassicMemberMetadata(
            session_timeout_ms=classic.session_timeout_ms,
            supported_protocols=[
                ClassicProtocol(name=name, metadata=metadata) for name, metadata in classic.protocols
            ],
        ),
    )


def _profile(message: ConsumerGroupMemberMetadataValue) -> MemberProfile:
    classic = message.classic_member_metadata
    return MemberProfile(
        instance_id=message.instance_id,
        rack=message.rack_id,
        client_id=message.client_id,
        client_host=message.client_host,
        topics=tuple(sorted(set(message.subscribed_topic_names))),
        pattern=message.subscribed_topic_regex or "",
        rebalance_timeout_ms=message.rebalance_timeout_ms,
        assignor=message.server_assignor,
        classic=None
        if classic is None
        else ClassicTraits(
            classic.session_timeout_ms,
            tuple((each.name, each.metadata) for each in classic.supported_protocols),
        ),
    )


def _by_topic(partitions: Iterable[PartitionId]) -> Iterable[tuple[bytes, list[PartitionId]]]:
    for topic_id, of_topic in groupby(sorted(partitions), key=lambda partition: partition.topic_id):
        yield topic_id, list(of_topic)


def _with_epochs(epochs: Epochs) -> list[CurrentTopicPartitions]:
    return [
        CurrentTopicPartitions(
            topic_id=topic_id,
            partitions=[partition.partition for partition in of_topic],
            assignment_epochs=[epochs[partition] for partition in of_topic],
        )
        for topic_id, of_topic in _by_topic(epochs)
    ]


def _epochs(topics: Iterable[CurrentTopicPartitions], default_epoch: int) -> dict[PartitionId, int]:
    """Partitions with their epochs. Records of Kafka before 4.2 have none; the member's epoch counts then."""
    found: dict[PartitionId, int] = {}
    for topic in topics:
        epochs = topic.assignment_epochs or []
        if len(epochs) != len(topic.partitions):
            epochs = [default_epoch] * len(topic.partitions)
        found.update(
            (PartitionId(topic.topic_id, partition), epoch)
            for partition, epoch in zip(topic.partitions, epochs, strict=True)
        )
    return found


def _value_format(message: type[Message]) -> RecordFormat[Any]:
    return RecordFormat(message, written=0, last=0, flexible_from=0)


_VALUES: Final[Mapping[Kind, RecordFormat[Any]]] = MappingProxyType(
    {
        Kind.EPOCH: _value_format(ConsumerGroupMetadataValue),
        Kind.PROFILE: _value_format(ConsumerGroupMemberMetadataValue),
        Kind.TARGET: _value_format(ConsumerGroupTargetAssignmentMetadataValue),
        Kind.MEMBER_TARGET: _value_format(ConsumerGroupTargetAssignmentMemberValue),
        Kind.HOLDING: _value_format(ConsumerGroupCurrentMemberAssignmentValue),
        Kind.PATTERN: _value_format(ConsumerGroupRegularExpressionValue),
    }
)
_KINDS: Final = frozenset(kind.value for kind in Kind)
_STATES: Final = frozenset(state.value for state in MemberState)
