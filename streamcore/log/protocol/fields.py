"""The types and notes that describe messages: one class per structure, for all versions of its API.

A message is a ``Message`` class. Its annotations, in the order of the wire, are the complete table: the type
says how a field is encoded, ``V`` which versions have it, ``Null`` in which versions it may be ``None``,
``Tag`` that it is an optional field at the end of its structure (KIP-482). A field that a version lacks keeps
the class's default::

    class CreatableTopic(Message):
        name: str
        num_partitions: Int32
        configs: list[CreatableTopicConfig]
        rack: A[str | None, V("3+"), Null("5+")] = None

An array of ``Structure | bytes`` may be encoded with elements that were encoded before, in the same version.

``codec`` compiles such a class to a pair of functions for each version, at first use. The field names are
those of Apache Kafka's published schemas, in snake case; the tables are Kafka 4.3's.
"""

from __future__ import annotations

import re
from collections.abc import Sized
from typing import Annotated as A
from typing import Final, TypeAlias, dataclass_transform

import msgspec
from msgspec import Struct

VERSION_MAX: Final = 32_767
TEXT_BYTES_MAX: Final = 32_767
"""The maximum length of a string in bytes, in flexible and in other versions: Kafka neither writes nor reads
a longer one.
"""

Bytes: TypeAlias = bytes | bytearray | memoryview


class Fixed(Struct, frozen=True):
    """A number of fixed size, by its letter in ``struct``."""

    layout: str


class _Raw:
    """Bytes with a special encoding."""


UUID_MARK: Final = _Raw()
RECORDS_MARK: Final = _Raw()

Int8: TypeAlias = A[int, Fixed("b")]
Int16: TypeAlias = A[int, Fixed("h")]
UInt16: TypeAlias = A[int, Fixed("H")]
Int32: TypeAlias = A[int, Fixed("i")]
Int64: TypeAlias = A[int, Fixed("q")]
Float64: TypeAlias = A[float, Fixed("d")]
Uuid: TypeAlias = A[bytes, UUID_MARK]
"""Sixteen bytes; all zero for no id."""
Records: TypeAlias = A[Bytes | Sized, RECORDS_MARK]
"""Record batches as they are stored. Decoded, they are a view of the frame. For encoding, an object that only
has a length is enough, and it is sent after the bytes before it (``Codec.encode_parts``).
"""

ZERO_UUID: Final = bytes(16)

ELEMENTS_MAX: Final = 250_000
"""The maximum number of elements of all arrays of a decoded message, tagged fields included. An element of
one byte on the wire may take a hundred bytes in memory, so a limit on the frame alone would not bound the
memory of a request.
"""


class Versions:
    """A range of versions, both ends included: ``"3"``, ``"0-12"`` or ``"7+"``."""

    __slots__ = ("first", "last")

    def __init__(self, text: str) -> None:
        match = re.fullmatch(r"(\d+)(?:-(\d+)|(\+))?", text)
        assert match is not None, f"not a range of versions: {text}"
        self.first = int(match[1])
        self.last = VERSION_MAX if match[3] else int(match[2] or match[1])

    def __contains__(self, version: int) -> bool:
        return self.first <= version <= self.last


class V(Versions):
    """The versions that have the field; without this note all versions have it."""

    __slots__ = ()


class Null(Versions):
    """The versions in which a field whose type allows ``None`` may be ``None``; without this note all
    versions.
    """

    __slots__ = ()


class Tag(Versions):
    """The number of a tagged field, and the versions that have it."""

    __slots__ = ("number",)

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


class _MessageType(msgspec.StructMeta):
    """Makes the fields of every message keyword-only: they are in wire order, whichever have defaults."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, object]) -> _MessageType:
        return super().__new__(mcls, name, bases, namespace, kw_only=True)


@dataclass_transform(kw_only_default=True, field_specifiers=(msgspec.field,))
class Message(msgspec.Struct, metaclass=_MessageType):
    """A request, a response, or a structure inside one. Fields that a version lacks have defaults."""
