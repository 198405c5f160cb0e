"""The records of groups of the newer protocol in ``__consumer_offsets``, as Kafka 4.3 writes them.

Keys are in plain encoding, values in the compact one with tagged fields at the end of each structure
(``stored_fields``), each after a version int16 of 0. A null value deletes.

Key := kind int16 | group string | member id or pattern string (kinds 5, 7, 8, 16)

    3   epoch       := epoch int32 | [0: hash of the subscribed topics int64]
    5   profile     := instance id string? | rack string? | client id string | client host string
                     | topic string * | pattern string? | rebalance timeout ms int32 | assignor string?
                     | [0: 1 varint | session timeout ms int32 | (protocol string | metadata bytes) *]
    6   target      := epoch int32 | [0: computed ms int64]
    7   target of a member    := places
    8   holding     := epoch int32 | previous epoch int32 | state int8 | places with epochs * 2
    16  pattern     := topic string * | version int64 | resolved ms int64

places := (topic id | partition int32 *) *, each with [0: epoch int32 *] where epochs are kept.

Optional fields that may be null (those of 5 and of places) say so by a single 0 where they are: to Kafka,
one that is left out is not null, but empty.

Kind 4, which Kafka wrote before 4.1, says what the hash of kind 3 says; it is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from streamcore.errors import UnsupportedVersionError, fact_text
from streamcore.log.broker.groups.consumer_group_member import (
    ClassicTraits,
    Epochs,
    Holding,
    MemberProfile,
    MemberState,
)
from streamcore.log.broker.place_id import PlaceId
from streamcore.log.broker.stored_fields import FieldReader, FieldWriter
from streamcore.model import TimestampMs, TopicName

_VERSION: Final = 0
_ONLY_TAG: Final = 0


class Kind(Enum):
    """What a record says; the values are those of Kafka's keys."""

    EPOCH = 3
    PROFILE = 5
    TARGET = 6
    MEMBER_TARGET = 7
    HOLDING = 8
    PATTERN = 16


_OF_THE_GROUP: Final = frozenset({Kind.EPOCH, Kind.TARGET})


@dataclass(frozen=True, slots=True)
class ConsumerGroupKey:
    """What a record is about; ``part`` is a member id, or for ``PATTERN`` a regular expression."""

    kind: Kind
    group: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class GroupEpoch:
    """The epoch of a group: it grows with every change that asks for a new target."""

    epoch: int
    topics_hash: int = 0
    """Of the topics subscribed to, as the epoch knows them."""


@dataclass(frozen=True, slots=True)
class TargetEpoch:
    """The group epoch that the target assignment is for."""

    epoch: int
    computed_ms: TimestampMs = 0


@dataclass(frozen=True, slots=True)
class MemberTarget:
    """The partitions that a member is to have."""

    places: frozenset[PlaceId] = frozenset()


@dataclass(frozen=True, slots=True)
class ResolvedPattern:
    """The topics that a regular expression has matched."""

    topics: tuple[TopicName, ...]
    version: int = 0
    resolved_ms: TimestampMs = 0


ConsumerGroupValue: TypeAlias = (
    GroupEpoch | MemberProfile | TargetEpoch | MemberTarget | Holding | ResolvedPattern
)
ConsumerGroupRecord: TypeAlias = tuple[ConsumerGroupKey, ConsumerGroupValue | None]


def encode_consumer_group_record(record: ConsumerGroupRecord) -> tuple[bytes, bytes | None]:
    """A record as bytes."""
    key, value = record
    writer = FieldWriter().int16(key.kind.value).string(key.group)
    if key.kind not in _OF_THE_GROUP:
        writer.string(key.part)
    if value is None:
        return bytes(writer.data), None
    body = FieldWriter().int16(_VERSION)
    _LAYOUTS[key.kind].encode(body, value)
    return bytes(writer.data), bytes(body.data)


def decode_consumer_group_key(key: bytes) -> ConsumerGroupKey | None:
    """What a key stands for; ``None`` for kinds that are not of this module."""
    reader = FieldReader(key)
    number = reader.int16()
    if number not in _KINDS:
        return None
    kind = Kind(number)
    return ConsumerGroupKey(kind, reader.string(), "" if kind in _OF_THE_GROUP else reader.string())


def decode_consumer_group_value(kind: Kind, value: bytes) -> ConsumerGroupValue:
    """A record's value. Raises ``UnsupportedVersionError``."""
    reader = FieldReader(value)
    version = reader.int16()
    if version != _VERSION:
        raise UnsupportedVersionError(
            "a consumer group's record is of a newer version; upgrade this program. "
            + fact_text(kind=kind.name, version=version, version_max=_VERSION)
        )
    decoded: ConsumerGroupValue = _LAYOUTS[kind].decode(reader)
    return decoded


# --- values -------------------------------------------------------------------------------------------


def _write_epoch(writer: FieldWriter, value: GroupEpoch) -> None:
    writer.int32(value.epoch).tagged_fields(
        _tagged(FieldWriter().int64(value.topics_hash), value.topics_hash)
    )


def _read_epoch(reader: FieldReader) -> GroupEpoch:
    epoch, hashed = reader.int32(), reader.tagged_fields().get(_ONLY_TAG)
    return GroupEpoch(epoch, 0 if hashed is None else FieldReader(hashed).int64())


def _write_target(writer: FieldWriter, value: TargetEpoch) -> None:
    writer.int32(value.epoch).tagged_fields(
        _tagged(FieldWriter().int64(value.computed_ms), value.computed_ms)
    )


def _read_target(reader: FieldReader) -> TargetEpoch:
    epoch, computed = reader.int32(), reader.tagged_fields().get(_ONLY_TAG)
    return TargetEpoch(epoch, 0 if computed is None else FieldReader(computed).int64())


def _write_profile(writer: FieldWriter, value: MemberProfile) -> None:
    writer.compact_string(value.instance_id).compact_string(value.rack)
    writer.compact_string(value.client_id).compact_string(value.client_host)
    _write_names(writer, value.topics)
    writer.compact_string(value.pattern).int32(value.rebalance_timeout_ms).compact_string(value.assignor)
    traits = FieldWriter()
    if value.classic is None:
        traits.unsigned_varint(0)
    else:
        traits.unsigned_varint(1).int32(value.classic.session_timeout_ms).compact_count(
            len(value.classic.protocols)
        )
        for name, metadata in value.classic.protocols:
            traits.compact_string(name).compact_bytes(metadata).tagged_fields()
        traits.tagged_fields()
    writer.tagged_fields({_ONLY_TAG: bytes(traits.data)})


def _read_profile(reader: FieldReader) -> MemberProfile:
    instance_id, rack = reader.compact_nullable_string(), reader.compact_nullable_string()
    client_id, client_host = reader.compact_string(), reader.compact_string()
    topics, pattern = reader.compact_array(FieldReader.compact_string), reader.compact_string()
    rebalance_timeout_ms, assignor = reader.int32(), reader.compact_nullable_string()
    traits = reader.tagged_fields().get(_ONLY_TAG)
    return MemberProfile(
        instance_id=instance_id,
        rack=rack,
        client_id=client_id,
        client_host=client_host,
        topics=tuple(sorted(set(topics))),
        pattern=pattern,
        rebalance_timeout_ms=rebalance_timeout_ms,
        assignor=assignor,
        classic=None if traits is None else _read_traits(FieldReader(traits)),
    )


def _read_traits(reader: FieldReader) -> ClassicTraits | None:
    if reader.unsigned_varint() == 0:
        return None
    return ClassicTraits(reader.int32(), reader.compact_array(_read_protocol))


def _read_protocol(reader: FieldReader) -> tuple[str, bytes]:
    protocol = reader.compact_string(), reader.compact_bytes()
    reader.skip_tagged_fields()
    return protocol


def _write_member_target(writer: FieldWriter, value: MemberTarget) -> None:
    _write_places(writer, value.places, None)
    writer.tagged_fields()


def _read_member_target(reader: FieldReader) -> MemberTarget:
    return MemberTarget(frozenset(_read_places(reader)))


def _write_holding(writer: FieldWriter, value: Holding) -> None:
    writer.int32(value.epoch).int32(value.previous_epoch).int8(value.state.value)
    _write_places(writer, value.assigned, value.assigned)
    _write_places(writer, value.revoking, value.revoking)
    writer.tagged_fields()


def _read_holding(reader: FieldReader) -> Holding:
    epoch, previous_epoch, state = reader.int32(), reader.int32(), reader.int8()
    assigned, revoking = _read_places(reader, epoch), _read_places(reader, epoch)
    known = state in _STATES
    return Holding(
        epoch, previous_epoch, MemberState(state) if known else MemberState.UNKNOWN, assigned, revoking
    )


def _write_pattern(writer: FieldWriter, value: ResolvedPattern) -> None:
    _write_names(writer, value.topics)
    writer.int64(value.version).int64(value.resolved_ms).tagged_fields()


def _read_pattern(reader: FieldReader) -> ResolvedPattern:
    return ResolvedPattern(reader.compact_array(FieldReader.compact_string), reader.int64(), reader.int64())


# --- parts of values ----------------------------------------------------------------------------------


def _write_names(writer: FieldWriter, names: Iterable[str]) -> None:
    names = sorted(names)
    writer.compact_count(len(names))
    for name in names:
        writer.compact_string(name)


def _write_places(writer: FieldWriter, places: Iterable[PlaceId], epochs: Epochs | None) -> None:
    by_topic: dict[bytes, list[PlaceId]] = {}
    for place in sorted(places):
        by_topic.setdefault(place.topic_id, []).append(place)
    writer.compact_count(len(by_topic))
    for topic_id, of_topic in by_topic.items():
        writer.raw(topic_id)
        _write_numbers(writer, [place.partition for place in of_topic])
        numbers = FieldWriter()
        if epochs is not None:
            _write_numbers(numbers, [epochs[place] for place in of_topic])
        writer.tagged_fields(_tagged(numbers, epochs))


def _read_places(reader: FieldReader, default_epoch: int = 0) -> dict[PlaceId, int]:
    """Places with their epochs; written before 4.2 they have none, and count as of the member's epoch."""
    found: dict[PlaceId, int] = {}
    for _ in range(reader.compact_count()):
        topic_id, partitions = reader.uuid(), reader.compact_array(FieldReader.int32)
        tagged = reader.tagged_fields().get(_ONLY_TAG)
        epochs = () if tagged is None else FieldReader(tagged).compact_array(FieldReader.int32)
        if len(epochs) != len(partitions):
            epochs = (default_epoch,) * len(partitions)
        found.update({PlaceId(topic_id, each): epoch for each, epoch in zip(partitions, epochs, strict=True)})
    return found


def _write_numbers(writer: FieldWriter, numbers: list[int]) -> None:
    writer.compact_count(len(numbers))
    for number in numbers:
        writer.int32(number)


def _tagged(writer: FieldWriter, value: object) -> dict[int, bytes]:
    """The only optional field, unless it has its default."""
    return {_ONLY_TAG: bytes(writer.data)} if value else {}


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the values of a kind are written and read."""

    encode: Callable[[FieldWriter, Any], None]
    decode: Callable[[FieldReader], Any]


_LAYOUTS: Final[Mapping[Kind, _Layout]] = MappingProxyType(
    {
        Kind.EPOCH: _Layout(_write_epoch, _read_epoch),
        Kind.PROFILE: _Layout(_write_profile, _read_profile),
        Kind.TARGET: _Layout(_write_target, _read_target),
        Kind.MEMBER_TARGET: _Layout(_write_member_target, _read_member_target),
        Kind.HOLDING: _Layout(_write_holding, _read_holding),
        Kind.PATTERN: _Layout(_write_pattern, _read_pattern),
    }
)
_KINDS: Final = frozenset(kind.value for kind in Kind)
_STATES: Final = frozenset(state.value for state in MemberState)
