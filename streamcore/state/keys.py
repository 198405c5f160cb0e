"""Byte keys that sort like the values that they encode.

A ``KeyCodec`` converts the keys of one store to bytes and back. Its name describes the bytes, not the
class, so that a tool without the application can read them (``key_codec_by_name``) and so that
renaming a class orphans no state::

    bytes, str             as they are, as UTF-8
    int                    64 bit, biased by 2**63, big-endian
    float                  IEEE double, big-endian; sign bit flipped, negative ones inverted whole
    bool                   00 or 01
    uuid, date, ...        the types of ``key_types``
    (str,int,...)          fields of a tuple, NamedTuple, dataclass or msgspec.Struct, one after the other
    any                    the tagged form of ``dynamic_keys``, for keys without a declared type

    field := fixed bytes of int, float, bool | text
           | "?" field: 00 for None, else 01 field
    text  := bytes with each 00 written 00 FF, then 00 00          for str and bytes inside a tuple

A key is its bytes: two keys are the same key exactly if they have the same bytes. Python's equality is not
enough (``True == 1``, but they are two untyped keys; an instance of a subclass of ``str`` may equal nothing
and is the same key as its text). Code that keeps keys in a dict or a set therefore uses the identities that
``identify_many`` returns: they are equal exactly if the bytes are, and are the keys themselves if these
suffice.

Invariants:

* ``encode(a) < encode(b)`` exactly when ``a < b``, wherever Python can compare the two.
* A declared type accepts what a type checker accepts for it, and converts it to the type itself: ``True`` is
  1 for ``int``, 1 is 1.0 for ``float``, a member of a ``StrEnum`` is its text for ``str``.
* Any other key is a ``SerdeError``, never another key.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import operator
import struct
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any, Generic, NoReturn, TypeVar, overload

import msgspec

from streamcore.errors import SerdeError, TopologyError, fact_text, with_facts
from streamcore.state.dynamic_keys import DYNAMIC_FIELD
from streamcore.state.key_fields import (
    INT_BIAS,
    SCALAR_FIELDS,
    Field,
    WrongKeyError,
    encode_int,
    of_types,
    optional_field,
    tuple_field,
)
from streamcore.state.key_types import (
    FIELDS_OF_TOOLS,
    enum_value_type,
    standard_field,
    value_of_member,
)

K = TypeVar("K")

_UINT64 = struct.Struct(">Q")
_WRONG_KEY = (AttributeError, KeyError, OverflowError, TypeError, ValueError, struct.error)
_FEW_KEYS = 8
"""From here on keys of several fields are encoded field by field."""
_WRONG_BYTES = (IndexError, TypeError, ValueError, struct.error)


@dataclasses.dataclass(frozen=True, slots=True)
class KeyBytes:
    """The identity of a key that Python's equality does not distinguish from others: its bytes."""

    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class KeyCodec(Generic[K]):
    """Encodes the keys of one store, many at a time; raises ``SerdeError`` for a key of another type."""

    name: str
    encode_many: Callable[[Iterable[K]], list[bytes]]
    decode_many: Callable[[Sequence[bytes]], list[K]]
    is_plain: Callable[[Sequence[Any]], bool]
    """Whether Python's equality distinguishes each of these keys from other plain ones exactly as the
    bytes do.
    """
    plain_type: type | None = dataclasses.field(default=None, kw_only=True)
    """A type of which every value, not of a subclass, is plain, and whose values sort like their bytes."""

    def identify_many(self, keys: Sequence[K]) -> Sequence[Any]:
        """Return the identity of each key for a dict or a set: equal exactly if the bytes are.

        ``keys`` itself is returned if every key is its own identity. ``None``, the missing key, stays.

        Raises:
            SerdeError: a key is not of the declared type. Keys that are their own identities are checked only
            by
                encoding.
            TypeError: a key cannot be hashed.
        """
        if self.is_plain(keys):
            return keys
        return [self._identity(key) for key in keys]

    def encode_identities(self, identities: Collection[Any]) -> list[bytes]:
        """Return the bytes of identities."""
        if KeyBytes not in set(map(type, identities)):
            return self.encode_many(identities)
        return [
            found.data if type(found) is KeyBytes else self.encode_many((found,))[0] for found in identities
        ]

    def in_order(self, identities: Collection[Any]) -> tuple[list[Any], list[bytes]]:
        """Return distinct identities in the order of their keys' bytes, and these bytes.

        Raises:
            SerdeError: an identity is not of the declared type.
        """
        if self.plain_type is not None and set(map(type, identities)) == {self.plain_type}:
            # Values of these types sort like their bytes, and faster; what is encoded in order lies in
            # memory in order, too.
            ordered = sorted(identities)
            return ordered, self.encode_many(ordered)
        identity_of = dict(zip(self.encode_identities(identities), identities, strict=True))
        encoded = sorted(identity_of)
        return list(map(identity_of.__getitem__, encoded)), encoded

    def _identity(self, key: Any) -> Any:
        if key is None or type(key) is KeyBytes or self.is_plain((key,)):
            return key
        hash(key)
        data = self.encode_many((key,))[0]
        canonical = self.decode_many((data,))[0]
        return canonical if self.is_plain((canonical,)) else KeyBytes(data)

    def encode(self, key: K) -> bytes:
        """Return the bytes of one key."""
        return self.encode_many((key,))[0]

    def decode(self, data: bytes) -> K:
        """Return the key of bytes."""
        return self.decode_many((data,))[0]

    def prefix_range(self, prefix: K) -> tuple[bytes, bytes | None]:
        """Return the range of bytes ``[start, end)`` with the keys that begin with this one.

        Raises:
            SerdeError: the keys are neither ``str`` nor ``bytes``; others have no prefixes.
        """
        if self.name not in ("str", "bytes"):
            raise SerdeError(with_facts("only str and bytes keys have prefixes", key_type=self.name))
        start = self.encode(prefix)
        return start, end_of_prefix(start)


def end_of_prefix(prefix: bytes) -> bytes | None:
    """Return the first bytes after everything that begins with ``prefix``; ``None`` if there are none."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes((kept[-1] + 1,)) if kept else None


@overload
def key_codec(key_type: type[K]) -> KeyCodec[K]: ...
@overload
def key_codec(key_type: object) -> KeyCodec[Any]: ...
def key_codec(key_type: Any) -> KeyCodec[Any]:
    """Return the codec for a declared key type; ``None``, ``object`` or ``Any`` for keys without one.

    Raises:
        TopologyError: this type has no byte order.
    """
    codec = _SCALAR_CODECS.get(key_type)
    if codec is not None:
        return codec
    try:
        return _codec_of(key_type)
    except TypeError:  # an annotation that cannot be hashed
        return _codec_of.__wrapped__(key_type)


@functools.lru_cache(maxsize=256)
def _codec_of(key_type: Any) -> KeyCodec[Any]:
    found = _declared(key_type)
    if found is not key_type:
        return key_codec(found)
    if isinstance(key_type, type):
        if issubclass(key_type, enum.Enum):
            return _mapped_codec(
                key_codec(enum_value_type(key_type)), value_of_member(key_type), key_type, of_types(key_type)
            )
        if issubclass(key_type, PurePath):
            return _mapped_codec(key_codec(str), str, key_type, lambda keys: not keys)
    return _field_codec(_field_of(key_type))


def key_codec_by_name(name: str) -> KeyCodec[Any]:
    """Build a codec from its name, without the application; classes are decoded as plain tuples.

    Raises:
        SerdeError: no codec of this version has the name.
    """
    for codec in _SCALAR_CODECS.values():
        if codec.name == name:
            return codec
    field, rest = _parse_field(name)
    if rest:
        raise _unknown_name(name)
    return _field_codec(field)


# -- keys of one scalar type: the hot ones, a list at a time -------------------------------------


def _encode_bytes_keys(keys: Iterable[bytes]) -> list[bytes]:
    encoded = list(keys)
    if not set(map(type, encoded)) <= {bytes}:
        _raise_wrong_key("bytes", _require_bytes, encoded)
    return encoded


def _encode_str_keys(keys: Iterable[str]) -> list[bytes]:
    keys = keys if isinstance(keys, Sequence) else list(keys)
    try:
        return list(map(str.encode, keys))
    except _WRONG_KEY:
        _raise_wrong_key("str", str.encode, keys)


def _decode_str_keys(encoded: Sequence[bytes]) -> list[str]:
    try:
        return list(map(bytes.decode, encoded))
    except _WRONG_BYTES as error:
        raise _wrong_bytes("str", error) from error


def _encode_int_keys(keys: Iterable[int]) -> list[bytes]:
    keys = keys if isinstance(keys, Sequence) else list(keys)
    try:
        return list(map(_UINT64.pack, [key + INT_BIAS for key in keys]))
    except _WRONG_KEY:
        _raise_wrong_key("int", encode_int, keys)


def _decode_int_keys(encoded: Sequence[bytes]) -> list[int]:
    try:
        return [_UINT64.unpack(data)[0] - INT_BIAS for data in encoded]
    except _WRONG_BYTES as error:
        raise _wrong_bytes("int", error) from error


def _field_codec(field: Field) -> KeyCodec[Any]:
    name, encode_field, decode_field = field.name, field.encode, field.decode

    def encode_many(keys: Iterable[Any]) -> list[bytes]:
        keys = keys if isinstance(keys, Sequence) else list(keys)
        if len(keys) >= _FEW_KEYS:
            try:
                return field.encoded(keys)
            except _WRONG_KEY:
                pass  # once more, key by key: to name the key, or because it has another form
        try:
            return [encode_field(key) for key in keys]
        except _WRONG_KEY:
            _raise_wrong_key(name, encode_field, keys)

    def decode_many(encoded: Sequence[bytes]) -> list[Any]:
        try:
            decoded = [decode_field(data, 0) for data in encoded]
        except _WRONG_BYTES as error:
            raise _wrong_bytes(name, error) from error
        for (_, end), data in zip(decoded, encoded, strict=True):
            if end != len(data):
                raise _wrong_bytes(name, "something follows the key")
        return [key for key, _ in decoded]

    return KeyCodec(name, encode_many, decode_many, field.is_plain)


def _mapped_codec(
    inner: KeyCodec[Any],
    to_inner: Callable[[Any], Any],
    from_inner: Callable[[Any], Any],
    is_plain: Callable[[Sequence[Any]], bool],
) -> KeyCodec[Any]:
    """Return the codec of keys that are written as other keys, such as members of an Enum as their values."""

    def encode_many(keys: Iterable[Any]) -> list[bytes]:
        keys = keys if isinstance(keys, Sequence) else list(keys)
        try:
            return inner.encode_many([to_inner(key) for key in keys])
        except _WRONG_KEY:
            _raise_wrong_key(inner.name, to_inner, keys)

    def decode_many(encoded: Sequence[bytes]) -> list[Any]:
        try:
            return [from_inner(found) for found in inner.decode_many(encoded)]
        except _WRONG_BYTES as error:
            raise _wrong_bytes(inner.name, error) from error

    return KeyCodec(inner.name, encode_many, decode_many, is_plain)


_SCALAR_CODECS: dict[object, KeyCodec[Any]] = {
    bytes: KeyCodec("bytes", _encode_bytes_keys, list, of_types(bytes), plain_type=bytes),
    str: KeyCodec("str", _encode_str_keys, _decode_str_keys, of_types(str), plain_type=str),
    int: KeyCodec("int", _encode_int_keys, _decode_int_keys, of_types(int), plain_type=int),
    float: _field_codec(SCALAR_FIELDS[float]),
    bool: _field_codec(SCALAR_FIELDS[bool]),
    None: _field_codec(DYNAMIC_FIELD),
}


# -- keys of several fields ----------------------------------------------------------------------


def _declared(key_type: Any) -> Any:
    """Return the type behind a name or annotation, or the type of the values of a ``Literal``."""
    origin, arguments = typing.get_origin(key_type), typing.get_args(key_type)
    if origin is typing.Annotated:
        return arguments[0]
    if origin is typing.Literal:
        kinds = set(map(type, arguments))
        return kinds.pop() if len(kinds) == 1 else None
    return getattr(key_type, "__supertype__", key_type)


def _field_of(key_type: Any) -> Field:
    """Return the field for a type, at any depth."""
    if key_type in SCALAR_FIELDS:
        return SCALAR_FIELDS[key_type]
    if key_type in (None, object, Any, tuple, list) or isinstance(key_type, TypeVar):
        return DYNAMIC_FIELD
    origin, arguments = typing.get_origin(key_type), typing.get_args(key_type)
    found = _declared(key_type)
    if found is not key_type:
        return _field_of(found)
    standard = standard_field(key_type)
    if standard is not None:
        return standard
    if origin is tuple and Ellipsis not in arguments:
        return tuple_field([_field_of(argument) for argument in arguments], take_apart=_parts_of_tuple)
    if origin in (typing.Union, types.UnionType):
        some = [argument for argument in arguments if argument is not types.NoneType]
        if len(some) == 1:
            return optional_field(_field_of(some[0]))
    if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
        # A generic class with its types given, such as Windowed[str].
        given = dict(zip(getattr(origin, "__parameters__", ()), arguments, strict=True))
        return _class_field(origin, origin.__struct_fields__, given)
    if isinstance(key_type, type):
        if issubclass(key_type, tuple) and hasattr(key_type, "_fields"):
            return _class_field(key_type, key_type._fields)
        if dataclasses.is_dataclass(key_type):
            return _class_field(key_type, [field.name for field in dataclasses.fields(key_type)])
        if issubclass(key_type, msgspec.Struct):
            return _class_field(key_type, key_type.__struct_fields__)
    raise TopologyError(
        with_facts(
            "keys of this type cannot be sorted as bytes: use str, bytes, int, float, bool, Decimal, "
            "UUID, date, datetime, time, timedelta, an Enum, a tuple, a dataclass or a msgspec.Struct of "
            "these",
            key_type=key_type,
        )
    )


def _class_field(key_type: type, names: Sequence[str], given: Mapping[Any, Any] | None = None) -> Field:
    hints = typing.get_type_hints(key_type)
    types_given = given or {}
    get_parts = operator.attrgetter(*names) if names else lambda _key: ()

    def take_apart(key: Any) -> Sequence[Any]:
        if type(key) is not key_type:
            raise TypeError(f"not a {key_type.__name__}")
        parts: Sequence[Any] = (get_parts(key),) if len(names) == 1 else get_parts(key)
        return parts

    def build(*parts: Any) -> Any:
        return key_type(**dict(zip(names, parts, strict=True)))

    parts = [_field_of(types_given.get(hints[name], hints[name])) for name in names]
    return tuple_field(parts, take_apart=take_apart, build=build, exact=key_type)


def _parts_of_tuple(key: Any) -> Sequence[Any]:
    if not isinstance(key, tuple):
        raise TypeError("not a tuple")
    return key


_NAMED_FIELDS = sorted(
    (*SCALAR_FIELDS.values(), *FIELDS_OF_TOOLS.values(), DYNAMIC_FIELD),
    key=lambda field: len(field.name),
    reverse=True,  # "datetime" before "date"
)


def _parse_field(text: str) -> tuple[Field, str]:
    """Parse one field's name at the start of ``text``; return the field and the rest of the text."""
    if text.startswith("("):
        fields: list[Field] = []
        rest = text[1:]
        while rest and not rest.startswith(")"):
            field, rest = _parse_field(rest.removeprefix(",") if fields else rest)
            fields.append(field)
        if not rest:
            raise _unknown_name(text)
        field, rest = tuple_field(fields, take_apart=_parts_of_tuple), rest[1:]
    else:
        for field in _NAMED_FIELDS:
            if text.startswith(field.name):
                rest = text[len(field.name) :]
                break
        else:
            raise _unknown_name(text)
    while rest.startswith("?"):
        field, rest = optional_field(field), rest[1:]
    return field, rest


# -- what goes wrong -----------------------------------------------------------------------------


def _require_bytes(key: object) -> None:
    if type(key) is not bytes:
        raise TypeError("not bytes")


def _raise_wrong_key(name: str, encode: Callable[[Any], object], keys: Iterable[Any]) -> NoReturn:
    """Find the key that does not encode, and raise its error."""
    for key in keys:
        try:
            encode(key)
        except _WRONG_KEY as error:
            facts = fact_text(key_type=name, given=type(key).__name__, key=repr(key)[:100])
            reason = f" ({error})" if isinstance(error, WrongKeyError) else ""
            raise SerdeError(f"the key is not of the declared type{reason}: {facts}") from error
    raise AssertionError("one of the keys did not encode")


def _wrong_bytes(name: str, reason: object) -> SerdeError:
    return SerdeError(with_facts(f"the bytes are no key of this store: {reason}", key_type=name))


def _unknown_name(name: str) -> SerdeError:
    return SerdeError(with_facts("no key codec of this version has the name", name=name))
