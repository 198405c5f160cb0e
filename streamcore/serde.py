"""Turns Python values into bytes and back, by the type that a topic or table declares.

``bytes`` and ``str`` are stored as they are (text as UTF-8). Other declared types are JSON, or
MessagePack with ``codec="msgpack"``. A topic without a declared type holds MessagePack of plain
values; tuples survive as extension type 1, and anything that would come back as something else
(a dataclass as a dict, say) is refused when written. So are numbers that JSON cannot hold, NaN and
the infinities, which would come back as null.

``None`` never reaches a serde: it is the tombstone, stored as a null key or value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgpack
import msgspec
import msgspec.inspect

from streamcore.errors import SerdeError, UsageError, fact_text

V = TypeVar("V")

_TUPLE_EXTENSION = 1


@dataclass(frozen=True, slots=True)
class Serde(Generic[V]):
    """A pair of functions between values and bytes; any failure of theirs becomes a ``SerdeError``.

    ``name`` tells tools how to read the bytes: ``bytes``, ``str``, ``json``, ``msgpack`` or ``custom``.
    """

    encode: Callable[[V], bytes]
    decode: Callable[[bytes], V]
    name: str = "custom"
    type_name: str = "custom"


def serde_for(value_type: object | None, *, codec: str = "json") -> Serde[Any]:
    """Return the serde of a declared type; ``None`` stands for "no type declared".

    Raises:
        UsageError: for an unknown codec or a type that the codec cannot hold.
    """
    if isinstance(value_type, Serde):
        return value_type
    if codec not in ("json", "msgpack"):
        raise UsageError(f"use codec='json' or codec='msgpack': {fact_text(codec=repr(codec))}")
    if value_type is None:
        return UNTYPED
    if value_type is bytes:
        return BYTES
    if value_type is str:
        return TEXT
    if _is_pydantic(value_type):
        return _pydantic_serde(value_type, codec)
    return _typed_serde(value_type, codec)


def _encode_bytes(value: bytes) -> bytes:
    if type(value) is bytes:
        return value
    if isinstance(value, bytearray | memoryview | bytes):
        return bytes(value)
    raise SerdeError(f"expected bytes: {fact_text(given=type(value).__name__)}")


def _encode_text(value: str) -> bytes:
    if not isinstance(value, str):
        raise SerdeError(f"expected str: {fact_text(given=type(value).__name__)}")
    return value.encode()


def _pack_extension(value: object) -> msgpack.ExtType:
    if type(value) is tuple:
        return msgpack.ExtType(_TUPLE_EXTENSION, _packer().pack(list(value)))
    if type(value) is int:
        raise SerdeError(
            "a value without a declared type holds integers of 64 bits: declare its type, value=...: "
            + fact_text(given=value)
        )
    raise SerdeError(
        "a value without a declared type holds only plain data (None, bool, int, float, str, bytes, list, "
        f"dict, tuple): declare its type, value=...: {fact_text(given=type(value).__name__)}"
    )


def _packer() -> msgpack.Packer:
    return msgpack.Packer(strict_types=True, default=_pack_extension)


def _unpack_extension(code: int, data: bytes) -> object:
    if code == _TUPLE_EXTENSION:
        return tuple(_unpack_plain(data))
    return msgpack.ExtType(code, data)


def _unpack_plain(data: bytes) -> Any:
    return msgpack.unpackb(data, ext_hook=_unpack_extension, strict_map_key=False)


def _is_pydantic(value_type: object) -> bool:
    return isinstance(value_type, type) and hasattr(value_type, "model_validate_json")


def _pydantic_serde(model: Any, codec: str) -> Serde[Any]:
    if codec == "json":
        return Serde(
            encode=lambda value: _without_lost_floats(
                _instance(value, model).model_dump_json().encode(), value.model_dump
            ),
            decode=model.model_validate_json,
            name="json",
            type_name=model.__name__,
        )
    return Serde(
        encode=lambda value: msgspec.msgpack.encode(_instance(value, model).model_dump(mode="json")),
        decode=lambda data: model.model_validate(msgspec.msgpack.decode(data)),
        name="msgpack",
        type_name=model.__name__,
    )


def _instance(value: Any, model: type) -> Any:
    if not isinstance(value, model):
        raise SerdeError(f"expected {model.__name__}: {fact_text(given=type(value).__name__)}")
    return value


def _typed_serde(value_type: Any, codec: str) -> Serde[Any]:
    name = getattr(value_type, "__name__", str(value_type))
    try:
        decoder: Any = (
            msgspec.json.Decoder(value_type) if codec == "json" else msgspec.msgpack.Decoder(value_type)
        )
    except TypeError as error:
        raise UsageError(
            "declare bytes, str, int, float, dict, list, a dataclass, a msgspec.Struct, a pydantic model or "
            f"a Serde: {fact_text(type=name, reason=error)}"
        ) from error
    encode = msgspec.msgpack.Encoder().encode if codec == "msgpack" else _json_encoder(value_type)
    if isinstance(value_type, type):
        expected = (int, float) if value_type is float else value_type

        def checked_encode(value: Any) -> bytes:
            if not isinstance(value, expected) or (isinstance(value, bool) and value_type is not bool):
                raise SerdeError(f"expected {name}: {fact_text(given=type(value).__name__)}")
            return encode(value)

        return Serde(encode=checked_encode, decode=decoder.decode, name=codec, type_name=name)
    return Serde(encode=encode, decode=decoder.decode, name=codec, type_name=name)


def _json_encoder(value_type: Any) -> Callable[[Any], bytes]:
    encode = msgspec.json.Encoder().encode
    if not _may_hold_floats(msgspec.inspect.type_info(value_type), []):
        return encode
    return lambda value: _without_lost_floats(encode(value), lambda: msgspec.to_builtins(value))


def _may_hold_floats(kind: object, seen: list[object]) -> bool:
    """Whether values of a type can hold floats; also true of types whose values are not known."""
    inspect = msgspec.inspect
    if isinstance(kind, inspect.FloatType | inspect.AnyType | inspect.CustomType | inspect.RawType):
        return True
    cls = getattr(kind, "cls", None)
    if cls in seen:
        return False
    if cls is not None:
        seen.append(cls)
    parts: list[object] = []
    for name in ("fields", "item_types", "types"):
        parts += getattr(kind, name, ())
    parts += [getattr(kind, name, None) for name in ("item_type", "key_type", "value_type", "type")]
    parts = [part.type if isinstance(part, inspect.Field) else part for part in parts]
    return any(isinstance(part, inspect.Type) and _may_hold_floats(part, seen) for part in parts)


def _without_lost_floats(data: bytes, plain_value: Callable[[], object]) -> bytes:
    """Return JSON, unless a NaN or an infinity became a null in it; nulls are rare enough to look."""
    if b"null" in data and _has_lost_float(plain_value()):
        raise SerdeError(
            "JSON has no NaN and no infinity, they would come back as null: leave them out, or declare "
            "codec='msgpack'"
        )
    return data


def _has_lost_float(value: object) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    parts: Iterable[object] = ()
    if isinstance(value, dict):
        parts = [*value, *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        parts = value
    return any(map(_has_lost_float, parts))


BYTES: Serde[bytes] = Serde(encode=_encode_bytes, decode=bytes, name="bytes", type_name="bytes")
TEXT: Serde[str] = Serde(encode=_encode_text, decode=bytes.decode, name="str", type_name="str")
UNTYPED: Serde[Any] = Serde(
    encode=_packer().pack,
    decode=_unpack_plain,
    name="msgpack",
    type_name="any",
)

SERDES_BY_NAME: dict[str, Serde[Any]] = {
    "bytes": BYTES,
    "str": TEXT,
    "json": Serde(encode=msgspec.json.encode, decode=msgspec.json.decode, name="json", type_name="any"),
    "msgpack": UNTYPED,
}
"""How tools read stored values without the application: types come back as plain data."""
