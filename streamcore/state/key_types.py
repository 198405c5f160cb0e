"""Fields of byte keys for the types of the standard library: dates, times, decimals, UUIDs, enums, paths.

::

    uuid       its 16 bytes
    date       days since 0001-01-01 as uint32, big-endian
    time       00 or 01 (without or with an offset), microseconds of the day, as int
    datetime   00 and the microseconds from 1970-01-01 of a naive one, as int
               01 and the microseconds since 1970 UTC of an aware one, as int
    timedelta  days + 2**31 as uint32, microseconds of the day as uint64, both big-endian
    decimal    00 negative, 01 zero, 02 positive; then, of a number other than zero, the exponent of its
               first digit as int and its digits as text without zeros at the end, both with every bit turned
               where the number is negative

    (int and text are the fields of ``key_fields``.)

Aware datetimes of one instant are one key, in any time zone, and come back in UTC. Decimals of one number
are one key, and come back without zeros at the end. The members of an ``Enum`` are written as their values.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

import msgspec

from streamcore.state.dynamic_keys import DYNAMIC_FIELD
from streamcore.state.key_fields import (
    SCALAR_FIELDS,
    Field,
    WrongKeyError,
    decode_bytes,
    decode_int,
    encode_bytes,
    encode_int,
    mapped_field,
    of_types,
)

_UINT32 = struct.Struct(">I")
_UINT64 = struct.Struct(">Q")
_DAYS_BIAS = 1 << 31
_NAIVE_EPOCH = datetime(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NEGATIVE, _ZERO, _POSITIVE = b"\x00", b"\x01", b"\x02"
_ZEROS_WRITTEN_MAX = 30
"""Up to this many zeros at its end, a decimal is decoded as 100 and not as 1E+2."""
_TURNED = bytes(range(255, -1, -1))


def _encode_uuid(value: UUID) -> bytes:
    if not isinstance(value, UUID):
        raise TypeError
    return value.bytes


def _decode_uuid(data: bytes, position: int) -> tuple[UUID, int]:
    return UUID(bytes=data[position : position + 16]), position + 16


def _encode_date(value: date) -> bytes:
    if isinstance(value, datetime) or not isinstance(value, date):
        raise TypeError
    return _UINT32.pack(value.toordinal())


def _decode_date(data: bytes, position: int) -> tuple[date, int]:
    return date.fromordinal(_UINT32.unpack_from(data, position)[0]), position + 4


def _encode_datetime(value: datetime) -> bytes:
    if not isinstance(value, datetime):
        raise TypeError
    if value.utcoffset() is None:
        return b"\x00" + encode_int((value.replace(tzinfo=None, fold=0) - _NAIVE_EPOCH) // _MICROSECOND)
    return b"\x01" + encode_int((value.astimezone(UTC) - _EPOCH) // _MICROSECOND)


def _decode_datetime(data: bytes, position: int) -> tuple[datetime, int]:
    since, end = decode_int(data, position + 1)
    epoch = _EPOCH if data[position] else _NAIVE_EPOCH
    return epoch + timedelta(microseconds=since), end


def _encode_time(value: time) -> bytes:
    if not isinstance(value, time):
        raise TypeError
    offset = value.utcoffset()
    since = timedelta(
        hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
    )
    if offset is None:
        return b"\x00" + encode_int(since // _MICROSECOND)
    return b"\x01" + encode_int((since - offset) // _MICROSECOND)


def _decode_time(data: bytes, position: int) -> tuple[time, int]:
    since, end = decode_int(data, position + 1)
    of_day = timedelta(microseconds=since) % timedelta(days=1)
    moment = (_NAIVE_EPOCH + of_day).time()
    return moment.replace(tzinfo=UTC) if data[position] else moment, end


def _encode_timedelta(value: timedelta) -> bytes:
    if not isinstance(value, timedelta):
        raise TypeError
    of_day = value.seconds * 1_000_000 + value.microseconds
    return _UINT32.pack(value.days + _DAYS_BIAS) + _UINT64.pack(of_day)


def _decode_timedelta(data: bytes, position: int) -> tuple[timedelta, int]:
    days = _UINT32.unpack_from(data, position)[0] - _DAYS_BIAS
    return timedelta(days=days, microseconds=_UINT64.unpack_from(data, position + 4)[0]), position + 12


def _encode_decimal(value: Decimal) -> bytes:
    if not isinstance(value, Decimal):
        raise TypeError
    if not value.is_finite():
        raise WrongKeyError("a decimal that is no number, or infinite, cannot be a key")
    if not value:
        return _ZERO
    sign, digits, _ = value.as_tuple()
    text = "".join(map(str, digits)).rstrip("0").encode()
    size = encode_int(value.adjusted()) + encode_bytes(text)
    return _NEGATIVE + size.translate(_TURNED) if sign else _POSITIVE + size


def _decode_decimal(data: bytes, position: int) -> tuple[Decimal, int]:
    sign = data[position : position + 1]
    position += 1
    if sign == _ZERO:
        return Decimal(0), position
    if sign not in (_NEGATIVE, _POSITIVE):
        raise ValueError("a decimal is 00, 01 or 02")
    negative = sign == _NEGATIVE
    exponent, position = decode_int(data.translate(_TURNED) if negative else data, position)
    text, position = decode_bytes(data.translate(_TURNED) if negative else data, position)
    digits = tuple(map(int, text.decode()))
    zeros = exponent - len(digits) + 1
    if 0 < zeros <= _ZEROS_WRITTEN_MAX:
        digits, zeros = digits + (0,) * zeros, 0
    return Decimal((int(negative), digits, zeros)), position


STANDARD_FIELDS: Final[dict[type, Field]] = {
    UUID: Field("uuid", _encode_uuid, _decode_uuid, of_types(UUID)),
    datetime: Field("datetime", _encode_datetime, _decode_datetime, lambda column: not column),
    date: Field("date", _encode_date, _decode_date, of_types(date)),
    time: Field("time", _encode_time, _decode_time, lambda column: not column),
    timedelta: Field("timedelta", _encode_timedelta, _decode_timedelta, of_types(timedelta)),
    Decimal: Field("decimal", _encode_decimal, _decode_decimal, of_types(Decimal)),
}


def _timedelta_of(text: str) -> timedelta:
    return msgspec.convert(text, timedelta)


_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    UUID: UUID,
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    time: time.fromisoformat,
    timedelta: _timedelta_of,
    Decimal: Decimal,
}


def _reading_text(kind: type, field: Field) -> Field:
    from_text = _FROM_TEXT[kind]

    def encode(value: Any) -> bytes:
        return field.encode(from_text(value) if isinstance(value, str) else value)

    return Field(field.name, encode, field.decode, lambda column: not column)


FIELDS_OF_TOOLS: Final[dict[str, Field]] = {
    field.name: _reading_text(kind, field) for kind, field in STANDARD_FIELDS.items()
}
"""The same fields by name, for tools without the application: these fields also accept a key's text from
JSON.
"""


def enum_value_type(members: type[enum.Enum]) -> type | None:
    """The one type of the values of an Enum that is ``str``, ``int`` or another key type; else ``None``."""
    kinds = {type(member.value) for member in members}
    return kinds.pop() if len(kinds) == 1 else None


def value_of_member(members: type[enum.Enum]) -> Callable[[Any], Any]:
    """Return a function that gives a member's value, and raises ``TypeError`` for anything else."""

    def value_of(key: Any) -> Any:
        if not isinstance(key, members):
            raise TypeError
        return key.value

    return value_of


def standard_field(key_type: Any) -> Field | None:
    """Return the field of a type of the standard library; ``None`` for a type that has none."""
    if key_type in STANDARD_FIELDS:
        return STANDARD_FIELDS[key_type]
    if not isinstance(key_type, type):
        return None
    if issubclass(key_type, enum.Enum):
        kind = enum_value_type(key_type)
        inner = SCALAR_FIELDS.get(kind, DYNAMIC_FIELD) if kind is not None else DYNAMIC_FIELD
        return mapped_field(inner, value_of_member(key_type), key_type, of_types(key_type))
    if issubclass(key_type, PurePath):
        kind = type(key_type("."))
        return mapped_field(SCALAR_FIELDS[str], _path_text(key_type), key_type, of_types(kind))
    return None


def _path_text(kind: type[PurePath]) -> Callable[[Any], str]:
    def text(key: Any) -> str:
        if not isinstance(key, kind):
            raise TypeError
        return str(key)

    return text
