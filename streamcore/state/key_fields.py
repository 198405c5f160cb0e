"""Fields: parts of a byte key that sort by themselves and end by themselves.

Fields can therefore stand one after the other, and the whole sorts like the tuple of its parts. Numbers
have a fixed length; text ends with ``00 00``, which sorts before every longer text because a ``00``
inside is written ``00 FF``. The formats are listed in ``keys``.

Encoders raise whatever Python raises for a wrong value; ``keys`` turns it into a ``SerdeError``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

INT_BIAS: Final = 1 << 63

_UINT64 = struct.Struct(">Q")
_DOUBLE = struct.Struct(">d")
_ALL_BITS = (1 << 64) - 1
_END_OF_TEXT = b"\x00\x00"
_BOOLS = {False: b"\x00", True: b"\x01"}


@dataclass(frozen=True, slots=True)
class Field:
    """How one kind of value is written: ``decode(data, position)`` gives the value and where it ended."""

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes, int], tuple[Any, int]]


def encode_int(value: int) -> bytes:
    """Eight bytes that sort like the signed number."""
    return _UINT64.pack(value + INT_BIAS)


def decode_int(data: bytes, position: int) -> tuple[int, int]:
    """The inverse of ``encode_int``."""
    return _UINT64.unpack_from(data, position)[0] - INT_BIAS, position + 8


def encode_float(value: float) -> bytes:
    """Eight bytes that sort like the number; both zeros are one.

    Raises:
        ValueError: for NaN, which equals nothing and so cannot be found again.
    """
    if math.isnan(value):
        raise ValueError("nan cannot be a key")
    (bits,) = _UINT64.unpack(_DOUBLE.pack(value + 0.0))
    return _UINT64.pack(bits ^ _ALL_BITS if bits & INT_BIAS else bits | INT_BIAS)


def decode_float(data: bytes, position: int) -> tuple[float, int]:
    """The inverse of ``encode_float``."""
    (ordered,) = _UINT64.unpack_from(data, position)
    bits = ordered ^ INT_BIAS if ordered & INT_BIAS else ordered ^ _ALL_BITS
    return _DOUBLE.unpack(_UINT64.pack(bits))[0], position + 8


def encode_bytes(value: bytes) -> bytes:
    """The bytes, so marked that they end by themselves."""
    return value.replace(b"\x00", b"\x00\xff") + _END_OF_TEXT


def decode_bytes(data: bytes, position: int) -> tuple[bytes, int]:
    """The inverse of ``encode_bytes``."""
    end = data.index(_END_OF_TEXT, position)
    return data[position:end].replace(b"\x00\xff", b"\x00"), end + 2


def encode_str(value: str) -> bytes:
    """UTF-8, which sorts like the code points, so marked that it ends by itself."""
    return encode_bytes(value.encode())


def decode_str(data: bytes, position: int) -> tuple[str, int]:
    """The inverse of ``encode_str``."""
    text, position = decode_bytes(data, position)
    return text.decode(), position


def encode_bool(value: bool) -> bytes:
    """One byte."""
    return _BOOLS[value]


def decode_bool(data: bytes, position: int) -> tuple[bool, int]:
    """The inverse of ``encode_bool``."""
    if data[position] > 1:
        raise ValueError("a bool is 00 or 01")
    return data[position] == 1, position + 1


SCALAR_FIELDS: Final = {
    bool: Field("bool", encode_bool, decode_bool),
    int: Field("int", encode_int, decode_int),
    float: Field("float", encode_float, decode_float),
    str: Field("str", encode_str, decode_str),
    bytes: Field("bytes", encode_bytes, decode_bytes),
}


def optional_field(field: Field) -> Field:
    """A field that may be ``None``, which sorts first."""

    def encode(value: Any) -> bytes:
        return b"\x00" if value is None else b"\x01" + field.encode(value)

    def decode(data: bytes, position: int) -> tuple[Any, int]:
        if data[position] == 0:
            return None, position + 1
        return field.decode(data, position + 1)

    return Field(field.name + "?", encode, decode)


def tuple_field(
    fields: Sequence[Field],
    *,
    take_apart: Callable[[Any], Sequence[Any]] = tuple,
    build: Callable[..., Any] | None = None,
) -> Field:
    """Fields one after the other: a tuple, or a class that is taken apart and built from its parts."""
    encoders = [field.encode for field in fields]
    decoders = [field.decode for field in fields]

    def encode(value: Any) -> bytes:
        parts = take_apart(value)
        return b"".join([encoder(part) for encoder, part in zip(encoders, parts, strict=True)])

    def decode(data: bytes, position: int) -> tuple[Any, int]:
        parts = []
        for decoder in decoders:
            part, position = decoder(data, position)
            parts.append(part)
        return (tuple(parts) if build is None else build(*parts)), position

    return Field("(" + ",".join(field.name for field in fields) + ")", encode, decode)
