"""Fields: the parts of a byte key, each of which sorts correctly and marks its own end.

Fields can therefore be concatenated, and the whole sorts like the tuple of its parts. Numbers have a fixed
length; text ends with ``00 00``, which sorts before every longer text because a ``00`` inside is written
``00 FF``. ``keys`` lists the formats.

A value is *plain* for a field if Python's equality distinguishes it from the field's other plain values
exactly as the bytes do. Values of the field's exact type are plain: both zeros are one number, and one
instant has one form, whatever its time zone.

Encoders raise Python's own errors for a wrong value; ``keys`` converts them to a ``SerdeError``. The text of
a ``WrongKeyError`` is shown to users.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct

INT_BIAS: Final = 1 << 63


class WrongKeyError(ValueError):
    """The value cannot be a key; the text gives the reason, for users."""


_UINT64 = struct.Struct(">Q")
_DOUBLE = struct.Struct(">d")
_ALL_BITS = (1 << 64) - 1
_END_OF_TEXT = b"\x00\x00"
_BOOLS = {False: b"\x00", True: b"\x01"}


class Field(Struct, frozen=True):
    """The format of one kind of value: ``decode(data, position)`` returns the value and the index behind
    it.
    """

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes, int], tuple[Any, int]]
    is_plain: Callable[[Sequence[Any]], bool]
    """Whether every value of a column is plain."""
    encode_column: Callable[[Sequence[Any]], list[bytes]] | None = None
    """Returns the bytes of each value of a column, faster than ``encode``; where ``encode`` fails for one of
    them, or knows it alone, it raises any error of Python.
    """

    def encoded(self, column: Sequence[Any]) -> list[bytes]:
        """Return the bytes of each value of a column."""
        if self.encode_column is not None:
            return self.encode_column(column)
        return list(map(self.encode, column))


def of_types(*exact: type) -> Callable[[Sequence[Any]], bool]:
    """Return a test whether every value of a column is of exactly one of these types, not of a subclass."""
    allowed = set(exact)
    return lambda column: set(map(type, column)) <= allowed


def encode_int(value: int) -> bytes:
    """Return eight bytes that sort like the signed number.

    Raises:
        WrongKeyError: the number has more than 64 bits.
    """
    biased = value + INT_BIAS
    if isinstance(value, int) and not 0 <= biased <= _ALL_BITS:
        raise WrongKeyError("an int key has at most 64 bits")
    return _UINT64.pack(biased)


def encode_ints(column: Sequence[int]) -> list[bytes]:
    """Return the bytes of each int of a column."""
    return list(map(_UINT64.pack, [value + INT_BIAS for value in column]))


def decode_int(data: bytes, position: int) -> tuple[int, int]:
    """The inverse of ``encode_int``."""
    return _UINT64.unpack_from(data, position)[0] - INT_BIAS, position + 8


def encode_float(value: float) -> bytes:
    """Return eight bytes that sort like the number; both zeros are one.

    Raises:
        WrongKeyError: for NaN, which equals nothing and so cannot be found again, and for an int that no
            float equals.
    """
    if not isinstance(value, float | int):
        raise TypeError
    if math.isnan(value):
        raise WrongKeyError("nan cannot be a key")
    if float(value) != value:
        raise WrongKeyError("no float equals this int")
    (bits,) = _UINT64.unpack(_DOUBLE.pack(value + 0.0))
    return _UINT64.pack(bits ^ _ALL_BITS if bits & INT_BIAS else bits | INT_BIAS)


def decode_float(data: bytes, position: int) -> tuple[float, int]:
    """The inverse of ``encode_float``."""
    (ordered,) = _UINT64.unpack_from(data, position)
    bits = ordered ^ INT_BIAS if ordered & INT_BIAS else ordered ^ _ALL_BITS
    return _DOUBLE.unpack(_UINT64.pack(bits))[0], position + 8


def encode_bytes(value: bytes) -> bytes:
    """Return the bytes, with a mark of their end."""
    return value.replace(b"\x00", b"\x00\xff") + _END_OF_TEXT


def decode_bytes(data: bytes, position: int) -> tuple[bytes, int]:
    """The inverse of ``encode_bytes``."""
    end = data.index(_END_OF_TEXT, position)
    return data[position:end].replace(b"\x00\xff", b"\x00"), end + 2


def encode_str(value: str) -> bytes:
    """Return the UTF-8 bytes, which sort like the code points, with a mark of their end."""
    return encode_bytes(value.encode())


def encode_strs(column: Sequence[str]) -> list[bytes]:
    """Return the UTF-8 bytes of each text of a column, with a mark of their end."""
    texts = list(map(str.encode, column))
    if b"\x00" in b"".join(texts):
        return list(map(encode_bytes, texts))
    return [text + _END_OF_TEXT for text in texts]


def decode_str(data: bytes, position: int) -> tuple[str, int]:
    """The inverse of ``encode_str``."""
    text, position = decode_bytes(data, position)
    return text.decode(), position


def encode_bool(value: bool) -> bytes:
    """Return one byte."""
    return _BOOLS[value]


def decode_bool(data: bytes, position: int) -> tuple[bool, int]:
    """The inverse of ``encode_bool``."""
    if data[position] > 1:
        raise ValueError("a bool is 00 or 01")
    return data[position] == 1, position + 1


SCALAR_FIELDS: Final = {
    bool: Field("bool", encode_bool, decode_bool, of_types(bool)),
    int: Field("int", encode_int, decode_int, of_types(int), encode_ints),
    float: Field("float", encode_float, decode_float, of_types(float)),
    str: Field("str", encode_str, decode_str, of_types(str), encode_strs),
    bytes: Field("bytes", encode_bytes, decode_bytes, of_types(bytes)),
}


def optional_field(field: Field) -> Field:
    """Return a field that may be ``None``, which sorts first."""

    def encode(value: Any) -> bytes:
        return b"\x00" if value is None else b"\x01" + field.encode(value)

    def decode(data: bytes, position: int) -> tuple[Any, int]:
        if data[position] == 0:
            return None, position + 1
        return field.decode(data, position + 1)

    def is_plain(column: Sequence[Any]) -> bool:
        return field.is_plain([value for value in column if value is not None])

    return Field(field.name + "?", encode, decode, is_plain)


def mapped_field(
    field: Field,
    to_inner: Callable[[Any], Any],
    from_inner: Callable[[Any], Any],
    is_plain: Callable[[Sequence[Any]], bool],
) -> Field:
    """Return a field of values that are written as another field's values, such as the members of an Enum."""

    def encode(value: Any) -> bytes:
        return field.encode(to_inner(value))

    def decode(data: bytes, position: int) -> tuple[Any, int]:
        inner, position = field.decode(data, position)
        return from_inner(inner), position

    return Field(field.name, encode, decode, is_plain)


def tuple_field(
    fields: Sequence[Field],
    *,
    take_apart: Callable[[Any], Sequence[Any]] = tuple,
    build: Callable[..., Any] | None = None,
    exact: type = tuple,
) -> Field:
    """Return a field of several fields: a tuple, or a class that is converted to its parts and back.

    Args:
        exact: the class of plain values.
    """
    encoders = [field.encode for field in fields]
    decoders = [field.decode for field in fields]

    def encode(value: Any) -> bytes:
        parts = take_apart(value)
        return b"".join([encoder(part) for encoder, part in zip(encoders, parts, strict=True)])

    pack_ints = struct.Struct(f">{len(fields)}Q").pack
    are_ints = all(field is SCALAR_FIELDS[int] for field in fields)
    if are_ints:
        encode_parts = encode

        def encode(value: Any) -> bytes:
            try:
                return pack_ints(*[part + INT_BIAS for part in take_apart(value)])
            except (TypeError, struct.error):
                return encode_parts(value)  # raises the error of the part

    elif len(fields) == 2:
        encode_first, encode_second = encoders

        def encode(value: Any) -> bytes:
            first, second = take_apart(value)
            return encode_first(first) + encode_second(second)

    def encode_column(column: Sequence[Any]) -> list[bytes]:
        rows = (
            column if exact is tuple and set(map(type, column)) == {tuple} else list(map(take_apart, column))
        )
        parts = list(zip(*rows, strict=True))
        if len(parts) != len(fields):
            raise ValueError("a key has another number of parts")
        if are_ints:
            return list(map(pack_ints, *[[part + INT_BIAS for part in column] for column in parts]))
        columns = [field.encoded(part) for field, part in zip(fields, parts, strict=True)]
        return (
            list(map(operator.add, *columns))
            if len(columns) == 2
            else list(map(b"".join, zip(*columns, strict=True)))
        )

    def decode(data: bytes, position: int) -> tuple[Any, int]:
        parts = []
        for decoder in decoders:
            part, position = decoder(data, position)
            parts.append(part)
        return (tuple(parts) if build is None else build(*parts)), position

    def is_plain(column: Sequence[Any]) -> bool:
        if not set(map(type, column)) <= {exact}:
            return False
        rows = column if exact is tuple else list(map(take_apart, column))
        if not set(map(len, rows)) <= {len(fields)}:
            return False
        return all(field.is_plain(part) for field, part in zip(fields, zip(*rows, strict=True), strict=False))

    return Field(
        "(" + ",".join(field.name for field in fields) + ")", encode, decode, is_plain, encode_column
    )
