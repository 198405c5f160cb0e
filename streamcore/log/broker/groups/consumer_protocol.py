"""What group members tell each other, in the bytes of Kafka's consumer protocol.

Members write and read them, ours and those of any Kafka client. In a group of the classic protocol the
coordinator passes them along; it reads them to know which topics a group subscribes to, and where members
of both protocols share a group.

Subscription := version int16 | topics | user data | owned partitions (v1) | generation int32 (v2) | rack (v3)
Assignment   := version int16 | partitions by topic | user data
Partitions by topic := array of (topic string, array of int32)

Strings are int16 length and UTF-8, user data int32 length and bytes (-1: null), arrays int32 count and items,
all big endian. Version 3 is written; newer ones are read as 3, because they only append.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streamcore.errors import CorruptDataError, fact_text
from streamcore.model import TopicName, TopicPartition

_VERSION = 3
_INT16 = struct.Struct(">h")
_INT32 = struct.Struct(">i")


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a member asks for when it joins, and what it still holds from before."""

    topics: tuple[TopicName, ...]
    owned: tuple[TopicPartition, ...] = ()
    generation: int = -1
    user_data: bytes | None = None
    rack: str | None = None


def encode_subscription(subscription: Subscription) -> bytes:
    """Write a subscription, version 3."""
    parts = [_INT16.pack(_VERSION), _INT32.pack(len(subscription.topics))]
    parts.extend(_string(topic) for topic in subscription.topics)
    parts.append(_nullable_bytes(subscription.user_data))
    parts.append(encode_partitions(subscription.owned))
    parts.append(_INT32.pack(subscription.generation))
    parts.append(_INT16.pack(-1) if subscription.rack is None else _string(subscription.rack))
    return b"".join(parts)


def decode_subscription(data: bytes) -> Subscription:
    """Read a subscription of any version.

    Raises:
        CorruptDataError: the bytes are not one.
    """
    reader = BytesReader(data)
    version = reader.int16()
    topics = tuple(reader.string() for _ in range(reader.array_length()))
    user_data = reader.nullable_bytes()
    owned = reader.partitions() if version >= 1 else ()
    generation = reader.int32() if version >= 2 else -1
    rack = reader.nullable_string() if version >= 3 else None
    return Subscription(topics, owned, generation, user_data, rack)


def subscription_version(data: bytes) -> int:
    """The version that a subscription was written in, as far as it is known here.

    Raises:
        CorruptDataError: the bytes are not one.
    """
    return max(0, min(BytesReader(data).int16(), _VERSION))


def encode_assignment(
    partitions: Sequence[TopicPartition], user_data: bytes | None = None, *, version: int = _VERSION
) -> bytes:
    """Write an assignment; all versions up to 3 look the same."""
    return _INT16.pack(version) + encode_partitions(partitions) + _nullable_bytes(user_data)


def decode_assignment(data: bytes) -> tuple[TopicPartition, ...]:
    """Read the partitions of an assignment; no bytes at all is an empty one.

    Raises:
        CorruptDataError: the bytes are not one.
    """
    if not data:
        return ()
    reader = BytesReader(data)
    reader.int16()
    return reader.partitions()


def has_user_data(data: bytes) -> bool:
    """Whether an assignment carries something of its assignor's own.

    Raises:
        CorruptDataError: the bytes are not one.
    """
    if not data:
        return False
    reader = BytesReader(data)
    reader.int16()
    reader.partitions()
    return bool(reader.nullable_bytes())


def encode_partitions(partitions: Iterable[TopicPartition]) -> bytes:
    """Write partitions grouped by topic, topics in order of first appearance."""
    by_topic: dict[TopicName, list[int]] = {}
    for place in partitions:
        by_topic.setdefault(place.topic, []).append(place.partition)
    parts = [_INT32.pack(len(by_topic))]
    for topic, numbers in by_topic.items():
        parts.append(_string(topic))
        parts.append(struct.pack(f">i{len(numbers)}i", len(numbers), *numbers))
    return b"".join(parts)


def _string(text: str) -> bytes:
    encoded = text.encode()
    return _INT16.pack(len(encoded)) + encoded


def _nullable_bytes(data: bytes | None) -> bytes:
    return _INT32.pack(-1) if data is None else _INT32.pack(len(data)) + data


class BytesReader:
    """Takes the protocol's primitive values off the front of some bytes.

    Every length is checked against what is there, since the bytes come from other members.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def int16(self) -> int:
        """The next two bytes."""
        return int.from_bytes(self._take(2), "big", signed=True)

    def int32(self) -> int:
        """The next four bytes."""
        return int.from_bytes(self._take(4), "big", signed=True)

    def array_length(self) -> int:
        """The number of items that follow; a null array has none."""
        length = self.int32()
        if length > len(self._data) - self._place:
            raise CorruptDataError(f"a member sent an impossible array {fact_text(length=length)}")
        return max(length, 0)

    def string(self) -> str:
        """The next string, which may not be null."""
        text = self.nullable_string()
        if text is None:
            raise CorruptDataError("a member sent null where a name belongs")
        return text

    def nullable_string(self) -> str | None:
        """The next string or null."""
        length = self.int16()
        if length < 0:
            return None
        try:
            return self._take(length).decode()
        except UnicodeDecodeError as error:
            raise CorruptDataError("a member sent a name that is not UTF-8") from error

    def nullable_bytes(self) -> bytes | None:
        """The next bytes or null."""
        length = self.int32()
        return None if length < 0 else self._take(length)

    def partitions(self) -> tuple[TopicPartition, ...]:
        """The next partitions by topic."""
        return tuple(
            TopicPartition(topic, self.int32())
            for topic in (self.string() for _ in range(self.array_length()))
            for _ in range(self.array_length())
        )

    def _take(self, length: int) -> bytes:
        piece = self._data[self._place : self._place + length]
        if len(piece) != length:
            raise CorruptDataError(
                f"a member's bytes end too early {fact_text(wanted=length, left=len(piece))}"
            )
        self._place += length
        return piece
