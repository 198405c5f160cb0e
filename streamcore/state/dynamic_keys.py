"""The byte form of keys that have no declared type: each value begins with a tag that says what it is.

::

    value  := 10                              None
            | 20 | 21                         False, True
            | 30 number                       int and float
            | 40 text | 50 text               str as UTF-8, bytes       (text as in ``key_fields``)
            | 60 value* 00                    tuple, list
    number := double | 01 | int               a whole number of 64 bit
            | double | 02                     any other float
              double and int as in ``key_fields``

Sorted: ``None``, then booleans, numbers by their value whatever their type, text, bytes, tuples.

Whole floats come back as ``int``: Python calls ``1`` and ``1.0`` one key, and so must the bytes. ``True``
keeps its own tag, because it must not come back as ``1``: the two are different keys.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

from streamcore.state.key_fields import (
    INT_BIAS,
    Field,
    WrongKeyError,
    decode_bytes,
    decode_float,
    decode_int,
    decode_str,
    encode_bytes,
    encode_float,
    encode_int,
    encode_str,
    encode_strs,
)

_NONE = b"\x10"
_FALSE = b"\x20"
_TRUE = b"\x21"
_NUMBER = b"\x30"
_STR = b"\x40"
_BYTES = b"\x50"
_TUPLE = b"\x60"
_END_OF_TUPLE = b"\x00"

_WHOLE = b"\x01"
_FRACTION = b"\x02"
_WHOLE_FROM_0 = struct.Struct(">cdcQ")


def encode_dynamic(value: Any) -> bytes:
    """Return the tagged bytes of ``None``, bool, int, float, str, bytes, or tuples and lists of these.

    Raises:
        TypeError: for anything else.
        WrongKeyError: for an int of more than 64 bits, and for NaN.
    """
    if isinstance(value, str):
        return _STR + encode_str(value)
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, int):
        return encode_whole(value)
    if isinstance(value, float):
        if value.is_integer() and -INT_BIAS <= value < INT_BIAS:
            return encode_whole(int(value))
        return _NUMBER + encode_float(value) + _FRACTION
    if isinstance(value, bytes):
        return _BYTES + encode_bytes(value)
    if isinstance(value, tuple | list):
        return _TUPLE + b"".join([encode_dynamic(part) for part in value]) + _END_OF_TUPLE
    if value is None:
        return _NONE
    raise WrongKeyError(
        "without a declared type, key=..., keys are None, bool, int, float, str, bytes, tuples"
    )


def encode_column(column: Sequence[Any]) -> list[bytes]:
    """Return the tagged bytes of each value of a column. Raises what ``encode_dynamic`` raises."""
    kinds = set(map(type, column))
    if kinds == {int} and min(column) >= 0 and max(column) < INT_BIAS:
        pack = _WHOLE_FROM_0.pack
        return [pack(_NUMBER, -float(value), _WHOLE, value + INT_BIAS) for value in column]
    if kinds == {str}:
        return [_STR + text for text in encode_strs(column)]
    return list(map(encode_dynamic, column))


def decode_dynamic(data: bytes, position: int) -> tuple[Any, int]:
    """Return the value that begins at ``position``, and where it ends.

    Raises:
        ValueError, IndexError, struct.error: the bytes are none that ``encode_dynamic`` wrote.
    """
    tag = data[position : position + 1]
    position += 1
    if tag == _STR:
        return decode_str(data, position)
    if tag == _NUMBER:
        return _decode_number(data, position)
    if tag == _NONE:
        return None, position
    if tag in (_FALSE, _TRUE):
        return tag == _TRUE, position
    if tag == _BYTES:
        return decode_bytes(data, position)
    if tag == _TUPLE:
        parts = []
        while data[position : position + 1] != _END_OF_TUPLE:
            part, position = decode_dynamic(data, position)
            parts.append(part)
        return tuple(parts), position + 1
    raise ValueError(f"unknown tag {tag.hex()}")


def encode_whole(value: int) -> bytes:
    """Return the tagged bytes of an int.

    Raises:
        WrongKeyError: the number has more than 64 bits.
    """
    if 0 <= value < INT_BIAS:
        # A double that is not negative is stored with its sign bit set: as the double below 0.
        return _WHOLE_FROM_0.pack(_NUMBER, -float(value), _WHOLE, value + INT_BIAS)
    if not -INT_BIAS <= value < INT_BIAS:
        raise WrongKeyError("an int key has at most 64 bits")
    # Large ints share a double; the exact number behind it distinguishes them, in the right order.
    return _NUMBER + encode_float(float(value)) + _WHOLE + encode_int(value)


def _decode_number(data: bytes, position: int) -> tuple[float, int]:
    number, position = decode_float(data, position)
    kind = data[position : position + 1]
    if kind == _WHOLE:
        return decode_int(data, position + 1)
    if kind == _FRACTION:
        return number, position + 1
    raise ValueError(f"unknown kind of number {kind.hex()}")


PLAIN_TYPES: Final = frozenset({str, int, bytes})
"""Keys of these types, and flat tuples of them, are equal exactly if their bytes are equal."""


def is_plain(column: Sequence[Any]) -> bool:
    """Whether all keys are of ``PLAIN_TYPES``, or flat tuples of these: equal keys then have equal bytes."""
    kinds = set(map(type, column))
    if kinds <= PLAIN_TYPES:
        return True
    if not kinds <= PLAIN_TYPES | {tuple}:
        return False
    tuples = column if kinds == {tuple} else [key for key in column if type(key) is tuple]
    return set(map(type, chain.from_iterable(tuples))) <= PLAIN_TYPES


DYNAMIC_FIELD: Final = Field("any", encode_dynamic, decode_dynamic, is_plain, encode_column)
