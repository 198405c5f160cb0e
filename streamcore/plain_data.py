"""MessagePack of data without a declared type, such that it comes back as it was.

Besides what MessagePack has itself (``None``, bool, int of 64 bits, float, str, bytes, list, dict)::

    extension 1   tuple: an array
    extension 2   int of more than 64 bits: two's complement, big-endian
    extension 3   Decimal: its text
    extension 4   datetime: its ISO text, with the offset of an aware one
    extension 5   date: its ISO text
    extension 6   time: its ISO text
    extension 7   timedelta: an array of days, seconds, microseconds
    extension 8   UUID: its 16 bytes

A ``bytearray`` or ``memoryview`` comes back as bytes; anything else is refused. Extension 1 is known to
version 0.1.0, the others are not.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgpack

from streamcore.errors import SerdeError, with_facts

_TUPLE: Final = 1


def packed_int(value: int) -> bytes:
    """An int of any size, as two's complement."""
    return value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True)


def _moment_text(value: Any) -> bytes:
    text: str = value.isoformat()
    return text.encode()


EXTENSIONS: Final[dict[type, tuple[int, Callable[[Any], bytes]]]] = {
    tuple: (_TUPLE, lambda value: packer().pack(list(value))),
    int: (2, packed_int),
    Decimal: (3, lambda value: str(value).encode()),
    datetime: (4, _moment_text),
    date: (5, _moment_text),
    time: (6, _moment_text),
    timedelta: (7, lambda value: msgpack.packb([value.days, value.seconds, value.microseconds])),
    UUID: (8, lambda value: value.bytes),
}
"""For each type, its extension and how its bytes are made. Ints are here for those of more than 64 bits."""

_READERS: Final[dict[int, Callable[[bytes], Any]]] = {
    _TUPLE: lambda data: tuple(unpack(data)),
    2: lambda data: int.from_bytes(data, "big", signed=True),
    3: lambda data: Decimal(data.decode()),
    4: lambda data: datetime.fromisoformat(data.decode()),
    5: lambda data: date.fromisoformat(data.decode()),
    6: lambda data: time.fromisoformat(data.decode()),
    7: lambda data: timedelta(*msgpack.unpackb(data)),
    8: lambda data: UUID(bytes=data),
}


def packer() -> msgpack.Packer:
    """A packer that refuses what would come back as something else, with ``SerdeError``."""
    return msgpack.Packer(strict_types=True, default=_extension)


def unpack(data: bytes) -> Any:
    """The data that ``packer`` packed."""
    return msgpack.unpackb(data, ext_hook=from_extension, strict_map_key=False)


def from_extension(code: int, data: bytes) -> Any:
    """What an extension stands for; an unknown one comes back as ``msgpack.ExtType``."""
    reader = _READERS.get(code)
    return msgpack.ExtType(code, bytes(data)) if reader is None else reader(bytes(data))


def _extension(value: object) -> msgpack.ExtType:
    found = EXTENSIONS.get(type(value))
    if found is None:
        raise SerdeError(
            with_facts(
                "a value without a declared type holds only plain data (None, bool, int, float, str, bytes, "
                "list, dict, tuple, Decimal, dates and times, UUID): declare its type, value=...",
                given=type(value).__name__,
            )
        )
    code, to_bytes = found
    return msgpack.ExtType(code, to_bytes(value))
