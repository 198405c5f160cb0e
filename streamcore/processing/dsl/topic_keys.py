"""Serdes of keys in topics: each key has one encoded form, so that it has one partition.

Which keys are equal is decided by the bytes under which stores keep them (``state.keys``).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_origin

from streamcore.errors import TopologyError
from streamcore.model import Windowed
from streamcore.serde import UNTYPED, Serde, serde_for, unchecked_serde_for
from streamcore.state.key_fields import INT_BIAS
from streamcore.state.keys import KeyCodec, key_codec

_OF_SEVERAL_FORMS = ("float", "decimal", "time", "any")
"""Parts of the names of key codecs in which one key can have several forms."""


def key_serde_for(key_type: Any, codec: str = "json") -> Serde[Any]:
    """Return the serde of a topic's keys: keys that are equal in stores are encoded alike.

    A key is converted to its declared type first, as in stores: ``True`` is 1 for ``int``, 0.0 stands
    for both zeros, an instant is written in UTC, a decimal without zeros at its end. Without a declared
    type, or with several such as ``int | float``, a whole float is written as an int.

    Raises:
        UsageError: for an unknown codec or a type that the codec cannot hold.
    """
    serde = serde_for(key_type, codec=codec)
    if isinstance(key_type, Serde) or key_type in (bytes, str):
        return serde
    encode = serde.encode
    if serde is UNTYPED:
        return replace(serde, encode=lambda key: encode(_whole_numbers(key)))
    try:
        return _in_one_form(serde, key_codec(key_type))
    except TopologyError:  # no type of a store's keys
        if store_key_type(key_type) is not None:
            return serde
        return replace(serde, encode=lambda key: encode(_whole_numbers(key)))  # one of several plain types


def _in_one_form(serde: Serde[Any], keys: KeyCodec[Any]) -> Serde[Any]:
    """Return the same serde, for keys in the form in which a store returns them."""
    encode, is_plain, plain_type = serde.encode, keys.is_plain, keys.plain_type
    has_one_form = not any(part in keys.name for part in _OF_SEVERAL_FORMS)

    def encode_canonical(key: Any) -> bytes:
        if has_one_form and is_plain((key,)):
            return encode(key)
        return encode(keys.decode(keys.encode(key)))

    def encode_plain(key: Any) -> bytes:
        return encode(key) if type(key) is plain_type else encode_canonical(key)

    def encode_many(keys: Sequence[Any]) -> list[bytes]:
        return list(map(encode if has_one_form and is_plain(keys) else encode_canonical, keys))

    return replace(
        serde,
        encode=encode_plain if has_one_form and plain_type else encode_canonical,
        encode_many=encode_many,
    )


def _whole_numbers(key: Any) -> Any:
    """Return an untyped key with ints for whole floats, as stores write it."""
    if type(key) is float and key.is_integer() and -INT_BIAS <= key < INT_BIAS:
        return int(key)
    if type(key) is tuple:
        return tuple(map(_whole_numbers, key))
    if isinstance(key, str):
        return str.__str__(key)
    return key


def store_key_type(key_type: Any) -> Any:
    """Return the type of the keys of a topic's tables; ``None`` where untyped keys are equivalent."""
    if isinstance(key_type, Serde) or _is_plain_type(key_type):
        return None
    return key_type


def _is_plain_type(found: Any) -> bool:
    origin = get_origin(found)
    if isinstance(found, type) and origin is None:
        return False
    if origin in (tuple, typing.Union, types.UnionType):
        return all(
            argument in _PLAIN_PARTS or _is_plain_type(argument) for argument in typing.get_args(found)
        )
    return not isinstance(origin, type)


_PLAIN_PARTS = (str, int, float, bool, bytes, types.NoneType, tuple, Any, Ellipsis)


def internal_key_serde(key_type: Any) -> Serde[Any]:
    """Return the serde of keys in the application's internal topics: the bytes that stores use."""
    codec = key_codec(key_type)
    return Serde(
        encode=codec.encode,
        decode=codec.decode,
        name=codec.name,
        encode_many=codec.encode_many,
        decode_many=codec.decode_many,
    )


def output_key_serde(key_type: Any) -> Serde[Any]:
    """Return the serde of keys in a topic that was given by name only."""
    if typing.get_origin(key_type) is Windowed:
        return _in_one_form(unchecked_serde_for(key_type), key_codec(key_type))
    if key_type is Windowed:
        serde = _in_one_form(unchecked_serde_for(Windowed), key_codec(Windowed))
        return replace(serde, decode=lambda data: _without_lists(serde.decode(data)))
    return key_serde_for(key_type)


def _without_lists(windowed: Windowed[Any]) -> Windowed[Any]:
    """Return the key of a window as it was before JSON made lists of its tuples."""
    key = windowed.key
    return Windowed(_tuples(key), windowed.start_ms, windowed.end_ms) if type(key) is list else windowed


def _tuples(found: Any) -> Any:
    return tuple(map(_tuples, found)) if type(found) is list else found
