"""Kafka's consumer protocol, which the members of a group exchange: subscriptions and assignments.

StreamCore's members and those of every Kafka client read and write these bytes. In a group of the classic
protocol the coordinator passes the bytes on unread, with two exceptions: it reads the topics that a group
subscribes to, and it converts the bytes where members of both protocols share a group.

Bytes := version int16 | fields of the message

Version 3 is written. A newer version is read as version 3, because newer versions only append fields. A null
from a client is read as an empty list in a list that must not be null.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Annotated as A
from typing import Final, TypeVar

from msgspec import Struct

from streamcore.errors import CorruptDataError, with_facts
from streamcore.log.protocol.codec import Codec, MalformedMessageError, codec_of
from streamcore.log.protocol.fields import Int32, Message, V
from streamcore.model import TopicName, TopicPartition

M = TypeVar("M", bound=Message)

_VERSION: Final = 3
_INT16: Final = struct.Struct(">h")


class TopicPartitions(Message):
    """Partitions of one topic."""

    topic: str
    partitions: list[Int32] | None


class ConsumerProtocolSubscription(Message):
    """The topics that a member subscribes to."""

    topics: list[str] | None
    user_data: bytes | None
    owned_partitions: A[list[TopicPartitions] | None, V("1+")] = None
    generation_id: A[Int32, V("2+")] = -1
    rack_id: A[str | None, V("3+")] = None


class ConsumerProtocolAssignment(Message):
    """The partitions assigned to a member."""

    assigned_partitions: list[TopicPartitions] | None
    user_data: bytes | None


class StickyUserData(Message):
    """The user data of Kafka's sticky assignor: the former assignment and its generation."""

    previous_assignment: list[TopicPartitions] | None
    generation: Int32


class CooperativeStickyUserData(Message):
    """The user data of Kafka's cooperative sticky assignor: the generation of the owned partitions."""

    generation: Int32


class Subscription(Struct, frozen=True):
    """The subscription of a joining member, and the partitions that it owns from the generation before."""

    topics: tuple[TopicName, ...]
    owned: tuple[TopicPartition, ...] = ()
    generation: int = -1
    user_data: bytes | None = None
    rack: str | None = None


def encode_subscription(subscription: Subscription) -> bytes:
    """Encode a subscription in version 3."""
    message = ConsumerProtocolSubscription(
        topics=list(subscription.topics),
        user_data=subscription.user_data,
        owned_partitions=by_topic(subscription.owned),
        generation_id=subscription.generation,
        rack_id=subscription.rack,
    )
    return _INT16.pack(_VERSION) + encode_user_data(message, version=_VERSION)


def decode_subscription(data: bytes) -> Subscription:
    """Decode a subscription of any version.

    Raises:
        CorruptDataError: the bytes are not a subscription.
    """
    message = decode_user_data(ConsumerProtocolSubscription, data, _INT16.size, subscription_version(data))
    return Subscription(
        tuple(message.topics or ()),
        partitions_of(message.owned_partitions),
        message.generation_id,
        message.user_data,
        message.rack_id,
    )


def subscription_version(data: bytes) -> int:
    """Return the version in which a subscription was written, at most the newest version known here.

    Raises:
        CorruptDataError: there are fewer than two bytes.
    """
    if len(data) < _INT16.size:
        raise CorruptDataError(
            with_facts("the bytes of a subscription or assignment are cut off", size_bytes=len(data))
        )
    version: int = _INT16.unpack_from(data)[0]
    return max(0, min(version, _VERSION))


def encode_assignment(
    partitions: Sequence[TopicPartition], user_data: bytes | None = None, *, version: int = _VERSION
) -> bytes:
    """Encode an assignment; the fields are the same in all versions up to 3."""
    message = ConsumerProtocolAssignment(assigned_partitions=by_topic(partitions), user_data=user_data)
    return _INT16.pack(version) + encode_user_data(message)


def decode_assignment(data: bytes) -> tuple[TopicPartition, ...]:
    """Decode the partitions of an assignment; zero bytes are an empty assignment.

    Raises:
        CorruptDataError: the bytes are not an assignment.
    """
    return partitions_of(_assignment(data).assigned_partitions) if data else ()


def has_user_data(data: bytes) -> bool:
    """Whether an assignment carries data of its assignor.

    Raises:
        CorruptDataError: the bytes are not an assignment.
    """
    return bool(_assignment(data).user_data) if data else False


def _assignment(data: bytes) -> ConsumerProtocolAssignment:
    return decode_user_data(ConsumerProtocolAssignment, data, _INT16.size)


def encode_user_data(message: Message, *, version: int = 0) -> bytes:
    """Encode the fields of a message without a version before them: the user data of an assignor."""
    return bytes(codec_of(type(message), version, False).encode(message))


def decode_user_data(message: type[M], data: bytes, start: int = 0, version: int = 0) -> M:
    """Decode fields from byte ``start`` on; bytes after the fields are ignored.

    Raises:
        CorruptDataError: the bytes do not fit the message.
    """
    codec: Codec[M] = codec_of(message, version, False)
    try:
        return codec.decode(data, start, may_have_rest=True)
    except MalformedMessageError as error:
        raise CorruptDataError(
            with_facts("a member's bytes cannot be read", as_a=message.__name__, because=str(error))
        ) from error


def by_topic(partitions: Iterable[TopicPartition]) -> list[TopicPartitions]:
    """Group partitions by topic, topics in order of first appearance."""
    numbers: dict[TopicName, list[int]] = {}
    for partition in partitions:
        numbers.setdefault(partition.topic, []).append(partition.partition)
    return [TopicPartitions(topic=topic, partitions=of_topic) for topic, of_topic in numbers.items()]


def partitions_of(topics: Iterable[TopicPartitions] | None) -> tuple[TopicPartition, ...]:
    """Return the partitions of several topics, in order."""
    return tuple(
        TopicPartition(each.topic, partition) for each in topics or () for partition in each.partitions or ()
    )
