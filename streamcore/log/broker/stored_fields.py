"""Reads and writes the fields of the coordinators' stored records, in both of Kafka's encodings.

int := big-endian; string := length int16 | UTF-8, length -1 for null; bytes and arrays likewise
with an int32.

Compact fields have their length plus one as a variable-length number, 0 for null, and structures end with
optional fields by number: tagged fields := count | (tag | size | field) *.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from streamcore.errors import CorruptDataError, fact_text

T = TypeVar("T")

_VARINT_BITS_MAX: Final = 35
_UUID_BYTES: Final = 16

_INT8: Final = struct.Struct(">b")
_INT16: Final = struct.Struct(">h")
_INT32: Final = struct.Struct(">i")
_INT64: Final = struct.Struct(">q")


class FieldWriter:
    """Appends fields to a growing value."""

    def __init__(self) -> None:
        self.data = bytearray()

    def int8(self, value: int) -> FieldWriter:
        """Append one byte."""
        self.data += _INT8.pack(value)
        return self

    def int16(self, value: int) -> FieldWriter:
        """Append two bytes."""
        self.data += _INT16.pack(value)
        return self

    def int32(self, value: int) -> FieldWriter:
        """Append four bytes."""
        self.data += _INT32.pack(value)
        return self

    def int64(self, value: int) -> FieldWriter:
        """Append eight bytes."""
        self.data += _INT64.pack(value)
        return self

    def string(self, value: str | None) -> FieldWriter:
        """Append a string."""
        if value is None:
            return self.int16(-1)
        encoded = value.encode()
        self.int16(len(encoded)).data += encoded
        return self

    def sized_bytes(self, value: bytes) -> FieldWriter:
        """Append bytes with their length."""
        self.int32(len(value)).data += value
        return self

    def unsigned_varint(self, value: int) -> FieldWriter:
        """Append a variable-length unsigned number."""
        while value > 0x7F:
            self.data.append(value & 0x7F | 0x80)
            value >>= 7
        self.data.append(value)
        return self

    def compact_count(self, count: int) -> FieldWriter:
        """Append the length of a compact array."""
        return self.unsigned_varint(count + 1)

    def compact_string(self, value: str | None) -> FieldWriter:
        """Append a string with a variable-length length."""
        return self.compact_bytes(None if value is None else value.encode())

    def compact_bytes(self, value: bytes | None) -> FieldWriter:
        """Append bytes with a variable-length length."""
        if value is None:
            return self.unsigned_varint(0)
        self.unsigned_varint(len(value) + 1).data += value
        return self

    def raw(self, value: bytes) -> FieldWriter:
        """Append bytes as they are."""
        self.data += value
        return self

    def tagged_fields(self, fields: Mapping[int, bytes] | None = None) -> FieldWriter:
        """End a structure, with optional fields by their tags."""
        fields = fields or {}
        self.unsigned_varint(len(fields))
        for tag in sorted(fields):
            self.unsigned_varint(tag).unsigned_varint(len(fields[tag])).data += fields[tag]
        return self


class FieldReader:
    """Takes fields off the front of a value. Every method raises ``CorruptDataError`` at its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def int8(self) -> int:
        """Take one byte."""
        return self._unpack(_INT8)

    def int16(self) -> int:
        """Take two bytes."""
        return self._unpack(_INT16)

    def int32(self) -> int:
        """Take four bytes."""
        return self._unpack(_INT32)

    def int64(self) -> int:
        """Take eight bytes."""
        return self._unpack(_INT64)

    def nullable_string(self) -> str | None:
        """Take a string, or null."""
        length = self.int16()
        return None if length < 0 else self._take(length).decode()

    def string(self) -> str:
        """Take a string; null reads as empty."""
        return self.nullable_string() or ""

    def sized_bytes(self) -> bytes:
        """Take bytes with their length; null reads as empty."""
        length = self.int32()
        return b"" if length < 0 else self._take(length)

    def count(self) -> int:
        """Take an array's length; null reads as empty."""
        return max(0, self.int32())

    def unsigned_varint(self) -> int:
        """Take a variable-length unsigned number."""
        value = 0
        for shift in range(0, _VARINT_BITS_MAX, 7):
            part = self.int8() & 0xFF
            value |= (part & 0x7F) << shift
            if part < 0x80:
                return value
        raise CorruptDataError("a coordinator's record has an endless number")

    def compact_count(self) -> int:
        """Take the length of a compact array; null reads as empty."""
        return max(0, self.unsigned_varint() - 1)

    def compact_array(self, element: Callable[[FieldReader], T]) -> tuple[T, ...]:
        """Take a compact array; null reads as empty."""
        return tuple(element(self) for _ in range(self.compact_count()))

    def compact_nullable_string(self) -> str | None:
        """Take a string with a variable-length length, or null."""
        length = self.unsigned_varint() - 1
        return None if length < 0 else self._take(length).decode()

    def compact_string(self) -> str:
        """Take a string with a variable-length length; null reads as empty."""
        return self.compact_nullable_string() or ""

    def compact_bytes(self) -> bytes:
        """Take bytes with a variable-length length; null reads as empty."""
        return self._take(max(0, self.unsigned_varint() - 1))

    def uuid(self) -> bytes:
        """Take the sixteen bytes of an id."""
        return self._take(_UUID_BYTES)

    def tagged_fields(self) -> dict[int, bytes]:
        """Take the optional fields at a structure's end, by their tags."""
        return {
            self.unsigned_varint(): self._take(self.unsigned_varint()) for _ in range(self.unsigned_varint())
        }

    def skip_tagged_fields(self) -> None:
        """Skip optional fields that newer writers add at a structure's end."""
        self.tagged_fields()

    def _unpack(self, layout: struct.Struct) -> int:
        (value,) = layout.unpack(self._take(layout.size))
        assert isinstance(value, int)
        return value

    def _take(self, size: int) -> bytes:
        end = self._place + size
        if end > len(self._data):
            raise CorruptDataError(
                "a coordinator's record is cut off. "
                + fact_text(size_bytes=len(self._data), wanted_bytes=end)
            )
        taken = self._data[self._place : end]
        self._place = end
        return taken
