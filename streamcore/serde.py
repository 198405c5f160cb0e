"""Convert Python values to bytes and back, by the type that a topic or table declares.

``bytes`` and ``str`` are stored as they are (text as UTF-8). Other declared types are JSON, or
MessagePack with ``codec="msgpack"``. A topic without a declared type, or with ``Any``, holds MessagePack
of plain data (``plain_data``).

A value that would not decode again, or would be decoded as another value, is refused when it is written: a
value of another type at any depth (``value_checks``), numbers that JSON cannot hold (NaN and the infinities,
which would become null), a dataclass as a dict. Types whose values cannot be distinguished when they are read
are refused when they are declared.

``None`` never reaches a serde: it is the tombstone, stored as a null key or value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Generic, TypeVar, get_args

import msgspec
import msgspec.inspect

from streamcore.errors import SerdeError, UsageError, fact_text, with_facts
from streamcore.model import Windowed
from streamcore.plain_data import packer, unpack
from streamcore.value_checks import NOT_IN_JSON, ValueCheck, is_pydantic, kinds_in

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Serde(Generic[V]):
    """A pair of functions between values and bytes; each of their errors becomes a ``SerdeError``.

    ``name`` is the format for tools: ``bytes``, ``str``, ``json``, ``msgpack`` or ``custom``.
    """

    encode: Callable[[V], bytes]
    decode: Callable[[bytes], V]
    name: str = "custom"
    type_name: str = "custom"
    value_type: Any = None
    """The declared type; ``None`` if nothing is known about the values. It is kept beside stored values."""
    encode_many: Callable[[Sequence[V]], list[bytes]] | None = None
    """Encodes several values at once, where that is faster; raises if ``encode`` does for one of them."""
    decode_many: Callable[[Sequence[bytes]], list[V]] | None = None
    """Decodes several values at once, where that is faster; raises if ``decode`` does for one of them."""

    def __post_init__(self) -> None:
        """Refuse a serde without functions.

        Raises:
            UsageError: ``encode`` or ``decode`` cannot be called.
        """
        if not (callable(self.encode) and callable(self.decode)):
            raise UsageError(
                with_facts(
                    "a Serde has two functions, Serde(encode, decode)",
                    encode=repr(self.encode)[:80],
                    decode=repr(self.decode)[:80],
                )
            )


@dataclass(frozen=True, slots=True)
class _BytesOf:
    """A user's ``encode``; its results are checked where it is called, so that an error names the record."""

    encode: Callable[[Any], object]

    def __call__(self, value: Any) -> bytes:
        data = self.encode(value)
        if type(data) is bytes:
            return data
        if isinstance(data, bytes | bytearray | memoryview):
            return bytes(data)
        raise SerdeError(with_facts("encode of a Serde must return bytes", given=type(data).__name__))


def packed_serde(value_type: Any, type_name: str) -> Serde[Any]:
    """Return the serde of an internal type: MessagePack, as msgspec has it; ``type_name`` is for errors."""
    return Serde(
        encode=msgspec.msgpack.Encoder().encode,
        decode=msgspec.msgpack.Decoder(value_type).decode,
        name="msgpack",
        type_name=type_name,
        value_type=value_type,
    )


def serde_for(value_type: object | None, *, codec: str = "json") -> Serde[Any]:
    """Return the serde of a declared type; ``None`` means that no type is declared.

    Raises:
        UsageError: the codec is unknown, or cannot hold the type.
    """
    if isinstance(value_type, Serde):
        if any(value_type is known for known in (BYTES, TEXT, UNTYPED)):
            return value_type
        if isinstance(value_type.encode, _BytesOf):
            return value_type
        return replace(value_type, encode=_BytesOf(value_type.encode))
    if codec not in ("json", "msgpack"):
        raise UsageError(with_facts("use codec='json' or codec='msgpack'", codec=repr(codec)))
    if value_type in (None, Any, object):
        return UNTYPED
    if value_type is bytes:
        return BYTES
    if value_type is str:
        return TEXT
    made = _pydantic_serde(value_type, codec) if is_pydantic(value_type) else _typed_serde(value_type, codec)
    return replace(made, value_type=value_type)


def unchecked_serde_for(value_type: object) -> Serde[Any]:
    """Return the JSON serde of a declared type that does not check the values which it encodes."""
    return _typed_serde(value_type, "json", is_checked=False)


def _encode_bytes(value: bytes) -> bytes:
    if type(value) is bytes:
        return value
    if isinstance(value, bytearray | memoryview | bytes):
        return bytes(value)
    raise SerdeError(with_facts("expected bytes", given=type(value).__name__))


def _encode_text(value: str) -> bytes:
    if not isinstance(value, str):
        raise SerdeError(with_facts("expected str", given=type(value).__name__))
    return value.encode()


def _pydantic_serde(model: Any, codec: str) -> Serde[Any]:
    if codec == "json":

        def encode_json(value: Any) -> bytes:
            data: bytes = _instance(value, model).model_dump_json(warnings=False).encode()
            _without_lost_floats(data, value.model_dump)
            _ensure_model_comes_back(value, data)
            return data

        return Serde(
            encode=encode_json, decode=model.model_validate_json, name="json", type_name=model.__name__
        )

    def encode_packed(value: Any) -> bytes:
        _ensure_model_comes_back(_instance(value, model), None)
        return msgspec.msgpack.encode(value.model_dump(mode="json", warnings=False))

    return Serde(
        encode=encode_packed,
        decode=lambda data: model.model_validate(msgspec.msgpack.decode(data)),
        name="msgpack",
        type_name=model.__name__,
    )


def _instance(value: Any, model: type) -> Any:
    if type(value) is not model:
        raise SerdeError(with_facts(f"expected {model.__name__}", given=type(value).__name__))
    return value


def _ensure_model_comes_back(value: Any, data: bytes | None) -> None:
    found = _model_fault(value, data)
    if found is not None:
        raise SerdeError(f"expected {type(value).__name__}{found}")


def _model_fault(value: Any, data: bytes | None = None) -> str | None:
    """Return why an instance of a pydantic model would not be read, or be read as another one.

    pydantic itself does not validate assignments and ``model_construct``.
    """
    model = type(value)
    try:
        if data is None:
            read = model.model_validate(value.model_dump(mode="json", warnings=False))
        else:
            read = model.model_validate_json(data)
    except Exception as error:  # noqa: BLE001 - validators are user code
        return with_facts(" that validates", error=str(error).replace(chr(10), " "))
    if _holds_untyped(model, ()) and not _same(value, read):
        return ", and not plain data where no type is declared: it would come back as something else"
    return None


def _holds_untyped(found: Any, seen: tuple[Any, ...]) -> bool:
    """Whether values of a type have content whose type is not declared."""
    if found in (Any, object, dict, list, tuple, set, frozenset, Mapping, Sequence):
        return True
    if is_pydantic(found):
        if found in seen:
            return False
        fields = found.model_fields.values()
        return any(_holds_untyped(field.annotation, (*seen, found)) for field in fields)
    return any(_holds_untyped(argument, seen) for argument in get_args(found) if argument is not ...)


def _same(left: Any, right: Any) -> bool:
    if type(left) is not type(right):
        return False
    if is_pydantic(type(left)):  # not by model_dump(), which makes dicts of the dataclasses in it
        return all(
            _same(getattr(left, name), getattr(right, name)) for name in type(left).model_fields
        ) and _same(left.model_extra, right.model_extra)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right or (left != left and right != right))


# -- types that msgspec knows


def encode_foreign(value: Any) -> Any:
    """Convert values of types that msgspec does not know, pydantic models and paths, for msgspec."""
    if is_pydantic(type(value)):
        return value.model_dump(mode="json", warnings=False)
    if isinstance(value, PurePath):
        return str(value)
    raise SerdeError(with_facts("this cannot be stored, declare its type", given=type(value).__name__))


def decode_foreign(found: type, plain: Any) -> Any:
    """The inverse of ``encode_foreign``, for the declared type."""
    if is_pydantic(found):
        return found.model_validate(plain)  # type: ignore[attr-defined]
    if issubclass(found, PurePath):
        return found(plain)
    raise TypeError(f"no values of {found.__name__} can be read")


def value_kind(value_type: Any) -> msgspec.inspect.Type:
    """Return msgspec's description of a declared type.

    Raises:
        UsageError: values of this type, or of one inside it, cannot be read again.
    """
    name = type_name_of(value_type)
    try:
        kind = msgspec.inspect.type_info(value_type)
        foreign = [part.cls for part in kinds_in(kind) if isinstance(part, msgspec.inspect.CustomType)]
        msgspec.json.Decoder(value_type)
    except KeyError as error:  # msgspec looks up the annotation of each field of an attrs class
        raise _undeclarable(name, f"the field {error} has no annotation; write name: type") from error
    except (TypeError, NameError, AttributeError, RecursionError) as error:
        raise _undeclarable(name, str(error)) from error
    for part in kinds_in(kind):
        if isinstance(part, msgspec.inspect.DataclassType) and hasattr(part.cls, "__attrs_attrs__"):
            private = next((field.name for field in part.fields if field.name.startswith("_")), None)
            if private is not None:
                reason = f"the field {private!r} of an attrs class is not written; name it without '_'"
                raise _undeclarable(name, reason)
    for found in foreign:
        if not is_pydantic(found) and not (isinstance(found, type) and issubclass(found, PurePath)):
            raise _undeclarable(name, f"no values of {type_name_of(found)} can be read")
    return kind


def value_check(value_type: Any, codec: str) -> ValueCheck:
    """Return the check whether values of a declared type are decoded as they were.

    Raises:
        UsageError: values of this type cannot be read again.
    """
    return ValueCheck(value_kind(value_type), codec, _model_fault)


def type_name_of(found: Any) -> str:
    """Return the name of a declared type, for messages."""
    return found.__name__ if isinstance(found, type) and not get_args(found) else str(found)


def _undeclarable(name: str, reason: str) -> UsageError:
    return UsageError(
        with_facts(
            "declare bytes, str, int, float, dict, list, a date, a Decimal, an Enum, a dataclass, a "
            "NamedTuple, a TypedDict, a msgspec.Struct, a class of attrs, a pydantic model, types made of "
            "these, or a Serde",
            type=name,
            reason=reason,
        )
    )


def _typed_serde(value_type: Any, codec: str, *, is_checked: bool = True) -> Serde[Any]:
    name = type_name_of(value_type)
    kind = value_kind(value_type)
    decoder: Any
    if codec == "json":
        decoder = msgspec.json.Decoder(value_type, dec_hook=decode_foreign)
        encode = _json_encoder(kind)
    else:
        decoder = msgspec.msgpack.Decoder(value_type, dec_hook=decode_foreign)
        encode = msgspec.msgpack.Encoder(enc_hook=encode_foreign).encode
    decode = decoder.decode
    if not is_checked or value_type is Windowed:
        return Serde(encode=encode, decode=decode, name=codec, type_name=name)
    check = ValueCheck(kind, codec, _model_fault)
    passes, fault, needs_decoding = check.passes, check.fault, check.needs_decoding

    def encode_uncommon(value: Any) -> bytes:
        if not passes(value):
            found = fault(value)
            if found is not None:
                raise SerdeError(found if "at=" in found else f"expected {name}: {found}")
        data = encode(value)
        if needs_decoding and encode(decode(data)) != data:
            shown = fact_text(value=repr(value)[:100])
            raise SerdeError(f"expected {name}: this would come back as something else: {shown}")
        return data

    exact = check.exact_type

    def encode_exact(value: Any) -> bytes:
        return encode(value) if type(value) is exact else encode_uncommon(value)

    checked_encode: Callable[[Any], bytes] = encode_uncommon
    if not needs_decoding:
        checked_encode = check.encoder(encode, encode_uncommon) if exact is None else encode_exact
    return Serde(encode=checked_encode, decode=decode, name=codec, type_name=name)


def _json_encoder(kind: msgspec.inspect.Type) -> Callable[[Any], bytes]:
    encode = msgspec.json.Encoder(enc_hook=encode_foreign).encode
    if not any(isinstance(part, _MAY_HIDE_FLOATS) for part in kinds_in(kind)):
        return encode
    return lambda value: _without_lost_floats(
        encode(value), lambda: msgspec.to_builtins(value, enc_hook=_with_floats)
    )


_MAY_HIDE_FLOATS = (
    msgspec.inspect.AnyType,
    msgspec.inspect.CustomType,
    msgspec.inspect.RawType,
)


def _with_floats(value: Any) -> Any:
    return value.model_dump() if is_pydantic(type(value)) else encode_foreign(value)


def _without_lost_floats(data: bytes, plain_value: Callable[[], object]) -> bytes:
    """Return JSON, unless a NaN or an infinity became a null in it; only JSON with a null is checked."""
    if b"null" in data and _has_lost_float(plain_value()):
        raise SerdeError(NOT_IN_JSON)
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


BYTES: Serde[bytes] = Serde(
    encode=_encode_bytes, decode=bytes, name="bytes", type_name="bytes", value_type=bytes
)
TEXT: Serde[str] = Serde(
    encode=_encode_text, decode=bytes.decode, name="str", type_name="str", value_type=str
)
UNTYPED: Serde[Any] = Serde(
    encode=packer().pack,
    decode=unpack,
    name="msgpack",
    type_name="any",
    value_type=Any,
)

SERDES_BY_NAME: dict[str, Serde[Any]] = {
    "bytes": BYTES,
    "str": TEXT,
    "json": Serde(encode=msgspec.json.encode, decode=msgspec.json.decode, name="json", type_name="any"),
    "msgpack": UNTYPED,
}
"""The serdes by which tools read stored values without the application: values are plain data."""
