"""The identity of a value among others: bytes that are equal exactly if the values are one.

The bytes are those of a key without a declared type (``state.keys``), so values are one where keys would be:
``1`` and ``1.0`` are, ``True`` and ``1`` are not. They depend on the value alone, neither on the process nor
on annotations, because they are stored and hashed into sketches.

Values that cannot be such keys have these bytes::

    date, datetime, time, timedelta, Decimal, UUID,      F0, name of the key codec of the class, 00, key bytes
    Enum, Path, dataclass, NamedTuple, Struct
    NaN, ints of more than 64 bits, NaN as Decimal       F1, MessagePack as in plain_data
    tuples that hold one of these                        F2, of each part: length as uint32, identity
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from streamcore.errors import SerdeError, TopologyError, UsageError, fact_text
from streamcore.serde import UNTYPED
from streamcore.state.dynamic_keys import encode_whole
from streamcore.state.key_fields import INT_BIAS
from streamcore.state.keys import KeyCodec, key_codec

_ANY = key_codec(None)
_DYNAMIC = frozenset({type(None), bool, int, float, str, bytes, tuple})
_EQUAL_IS_SAME = frozenset({bool, int, str, bytes})
"""Classes of which two values have one identity exactly if they are equal."""


def identity_of(value: Any) -> bytes:
    """Return the identity of a value.

    Raises:
        UsageError: values of this class have none, such as a list or a dict.
    """
    kind = type(value)
    try:
        if kind is int and 0 <= value < INT_BIAS:
            return encode_whole(value)
        if kind in _DYNAMIC:
            return _ANY.encode(value)
        codec = _codec_of(kind)  # type: ignore[arg-type]  # a class can be hashed
        if codec is _ANY:
            return _ANY.encode(value)
        return b"\xf0" + codec.name.encode() + b"\x00" + codec.encode(value)
    except (SerdeError, TopologyError) as error:
        if kind is int and _is_exact_float(value):
            return _ANY.encode(float(value))
        if kind in (int, float, Decimal):
            return b"\xf1" + UNTYPED.encode(value)
        if kind is tuple:
            parts = identities(value)
            return b"\xf2" + b"".join([len(part).to_bytes(4, "big") + part for part in parts])
        raise UsageError(
            "values of this class cannot be compared by their bytes; return from of= a str, a number, a "
            f"tuple or a frozen dataclass of these: {fact_text(given=kind.__name__, reason=error)}"
        ) from error


def identities(values: Iterable[Any]) -> list[bytes]:
    """Return the identity of each value, in order."""
    values = list(values)
    if set(map(type, values)) <= _DYNAMIC:
        try:
            return _ANY.encode_many(values)
        except SerdeError:
            pass  # one of them is no key
    return list(map(identity_of, values))


def different_identities(values: Sequence[Any]) -> list[bytes]:
    """Return the identities of values, some of those that repeat only once."""
    return identities(dict.fromkeys(values) if _equal_is_same(values) else values)


def identities_by_value(values: Sequence[Any]) -> dict[Any, bytes] | None:
    """Return the identity of each different value; ``None`` if equal values may have several identities."""
    if not _equal_is_same(values):
        return None
    different = list(dict.fromkeys(values))
    return dict(zip(different, identities(different), strict=True))


def _equal_is_same(values: Sequence[Any]) -> bool:
    kinds = set(map(type, values))
    return len(kinds) == 1 and kinds <= _EQUAL_IS_SAME


def _is_exact_float(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False


@lru_cache(maxsize=256)
def _codec_of(kind: type) -> KeyCodec[Any]:
    """Return the codec of the values of a class; a subclass of ``str`` has that of ``str``."""
    if issubclass(kind, bool | int | float | str | bytes) or (
        issubclass(kind, tuple) and not hasattr(kind, "_fields")
    ):
        return _ANY
    return key_codec(kind)
