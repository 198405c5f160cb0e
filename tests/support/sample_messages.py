"""Messages for the tests of the codec: one with a field of every kind, and one for each kind by itself."""

from __future__ import annotations

from typing import Annotated as A
from typing import Final

import msgspec

from streamcore.log.protocol.codec import Codec, codec_of
from streamcore.log.protocol.fields import (
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    Message,
    Null,
    Records,
    Tag,
    UInt16,
    Uuid,
    V,
)

PLAIN: Final = 1
"""A version in which lengths have a fixed size."""
FLEXIBLE: Final = 2
"""A version in which lengths are varints, and structures end with tagged fields."""


class Part(Message):
    number: Int16 = 7
    text: str = ""


class Everything(Message):
    truth: bool
    small: Int8
    port: UInt16
    number: Int32
    large: Int64
    share: Float64
    text: str
    nullable_text: str | None
    blob: bytes
    nullable_blob: bytes | None
    records: Records | None
    uuid: Uuid
    numbers: list[Int32]
    texts: list[str] | None
    uuids: list[Uuid]
    parts: list[Part]
    part: Part
    nullable_part: Part | None


class Empty(Message):
    pass


class Text(Message):
    value: str


class NullableText(Message):
    value: str | None


class Blob(Message):
    value: bytes


class NullableBlob(Message):
    value: bytes | None


class RecordsOnly(Message):
    value: Records


class NullableRecords(Message):
    value: Records | None


class Id(Message):
    value: Uuid


class Numbers(Message):
    value: list[Int64]


class NullableNumbers(Message):
    value: list[Int64] | None


class Texts(Message):
    value: list[str]


class Ids(Message):
    value: list[Uuid]


class Parts(Message):
    value: list[Part]


class NullableParts(Message):
    value: list[Part] | None


class NullablePart(Message):
    value: Part | None


class Sent(Message):
    topic: str
    first: Records | None
    error: Int16 = 0
    second: Records | None = None


class Tagged(Message):
    number: Int8 = 0
    part: A[Part, Tag(200, "2+")] = msgspec.field(default_factory=Part)
    counts: A[list[Int32], Tag(1, "2+")] = []
    name: A[str | None, Tag(0, "2+")] = None


class Aged(Message):
    added: A[Int32, V("2+")] = -1
    kept: Int32
    dropped: A[Int32, V("0-1")] = -2
    name: A[str | None, Null("2+")] = ""


def sample_codec(message: type[Message], version: int) -> Codec[Message]:
    """The codec of a sample."""
    return codec_of(message, version, version >= FLEXIBLE)


def written(message: Message, version: int) -> bytes:
    """What is written for a sample."""
    return bytes(sample_codec(type(message), version).encode(message))


def read(message: type[Message], version: int, data: bytes | bytearray | memoryview) -> Message:
    """What is read of a sample."""
    return sample_codec(message, version).decode(data)
