"""Keys and answers as text and JSON, for people and programs that are not the application.

::

    key of codec   as JSON                                         as text
    str            a string                                        the text itself
    bytes          a string if it is UTF-8, or {"base64":"..."}    the text itself, or {"base64":"..."}
    int, float     a number; "Infinity", "-Infinity"               the same without quotes
    bool           true, false                                     the same
    decimal, uuid  a string: "1.5"                                 the same without quotes
    dates, times   a string: "2020-01-01T00:00:00Z", "P1D"         the same without quotes
    any            null, true, a number, a string, an array,       JSON if it is a key, otherwise the text:
                   {"base64":"..."}, {"float":"Infinity"}          7 is a number, abc and "7" are texts
    (str,int)      an array of the fields: ["JFK",7]               the same

``null`` is ``None`` where the codec has it. A key is printed in the form in which it is read: the fields
of a class are an array, whatever the class. No two keys of a codec have one form.

Bytes that are not UTF-8 come from a shell or a URL as surrogates (PEP 383). A key of bytes is read from
them; no other key is.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

from streamcore.errors import SerdeError, with_facts
from streamcore.model import Windowed
from streamcore.state.descriptions import StoreDescription
from streamcore.state.keys import KeyCodec, key_codec_by_name
from streamcore.state.position import Position
from streamcore.state.queries import Answer

_NO_KEY = (msgspec.DecodeError, OverflowError, RecursionError, SerdeError, ValueError)
_INFINITIES = {"Infinity": math.inf, "-Infinity": -math.inf}

_TYPES_AS_STRINGS: Final[Mapping[str, Any]] = {
    "decimal": Decimal,
    "uuid": UUID,
    "date": date,
    "datetime": datetime,
    "time": time,
    "timedelta": timedelta,
}
"""The codecs of keys whose JSON form is a string that msgspec writes and reads."""


def parse_key(codec: KeyCodec[Any], text: str) -> Any:
    """Return the key that a text stands for, as the codec accepts it.

    Raises:
        SerdeError: the text is not a key of this codec.
    """
    try:
        plain = _key_from_text(codec.name, text)
        # Encoding and decoding converts an array of fields to the store's own form of the key.
        return codec.decode(key_codec_by_name(codec.name).encode(plain))
    except _NO_KEY as error:
        raise SerdeError(
            with_facts(
                "the key is not of the table's key type; a key of several fields is a JSON array",
                key=ascii(text)[:100],
                key_type=codec.name,
            )
        ) from error


def parse_prefix(codec: KeyCodec[Any], text: str) -> Any:
    """Return the prefix of keys that a text stands for.

    Raises:
        SerdeError: keys of this codec have no prefixes, or the text is not a prefix.
    """
    if codec.name not in ("str", "bytes"):
        raise SerdeError(
            with_facts("only str and bytes keys have prefixes, ask with from and to", key_type=codec.name)
        )
    return parse_key(codec, text)


def plain_key(codec: KeyCodec[Any], key: Any) -> Any:
    """Return a key in its JSON form."""
    return _key_as_json(codec.name, key_codec_by_name(codec.name).decode(codec.encode(key)))


def encoded_key(codec: KeyCodec[Any], plain: Any) -> bytes:
    """Return the bytes of a key in its JSON form: they sort as the keys do.

    Raises:
        SerdeError: it is not the JSON form of a key of this codec.
    """
    try:
        return key_codec_by_name(codec.name).encode(_key_from_json(codec.name, plain))
    except _NO_KEY as error:
        raise SerdeError(
            with_facts("this is no key of the table", key=repr(plain)[:100], key_type=codec.name)
        ) from error


def key_text(codec: KeyCodec[Any], key: Any) -> str:
    """Return a key as the text that ``parse_key`` reads."""
    plain = plain_key(codec, key)
    if isinstance(plain, str):
        if codec.name in ("str", "float") or _is_text_of(codec.name, plain):
            return plain
        if codec.name == "bytes":
            plain = _base64(plain.encode())
    return msgspec.json.encode(plain).decode()


def plain_value(value: Any) -> Any:
    """Return a value as plain data: fields of objects, bytes as text or ``{"base64": ...}``, tuples as
    lists.
    """
    try:
        return _with_text_for_bytes(
            msgspec.to_builtins(value, builtin_types=(bytes,), str_keys=True, enc_hook=_plain_object)
        )
    except TypeError:  # a mapping with keys that have no JSON form
        return repr(value)


def answer_row(
    answer: Answer[Any], codec: KeyCodec[Any], key: Any = None, *, with_position: bool = True
) -> dict[str, Any]:
    """Return an answer as a row: key, value, ``start_ms`` and ``end_ms`` of a window, partition, position.

    ``key`` is the requested key, if the answer has none.
    """
    found = key if answer.key is None else answer.key
    row: dict[str, Any]
    if isinstance(found, Windowed):
        row = {
            "key": plain_key(codec, found.key),
            "start_ms": found.start_ms,
            "end_ms": found.end_ms,
            "value": plain_value(answer.value),
        }
    else:
        row = {"key": plain_key(codec, found), "value": plain_value(answer.value)}
    if answer.partition is not None:
        row["partition"] = answer.partition
    if with_position:
        row["position"] = position_json(answer.position)
    return row


def table_json(description: StoreDescription, *, is_global: bool) -> dict[str, object]:
    """Return what a table is as JSON: its kind, the type of its keys, its windows."""
    kind = "keys" if description.kind == "kv" else "windows"
    return {
        "kind": "global" if is_global else kind,
        "key_type": description.key_codec,
        "window_size_ms": description.window_size_ms,
        "window_advance_ms": description.window_advance_ms,
        "window_calendar": description.window_calendar,
        "session_gap_ms": description.session_gap_ms,
        "sliding_size_ms": description.sliding_size_ms,
    }


def position_json(position: Position) -> dict[str, dict[str, int]]:
    """Return a position as JSON: topic, partition, next offset."""
    found: dict[str, dict[str, int]] = {}
    for source in sorted(position):
        found.setdefault(source.topic, {})[str(source.partition)] = position[source]
    return found


def _is_text_of(codec_name: str, text: str) -> bool:
    """Whether a key whose JSON form is a string is written without quotes."""
    match codec_name:
        case "any":
            return bool(_key_from_text("any", text) == text)
        case "bytes":
            return not _is_base64_form(text)
        case _:
            return codec_name in _TYPES_AS_STRINGS


def _key_from_text(codec_name: str, text: str) -> Any:
    if codec_name == "bytes":
        if _is_base64_form(text):
            return _key_from_base64(msgspec.json.decode(text))
        return text.encode(errors="surrogateescape")
    text.encode()  # raises UnicodeEncodeError, a ValueError, for bytes that are not UTF-8
    if codec_name == "str":
        return text
    if codec_name == "float" and text in _INFINITIES:
        return _INFINITIES[text]
    if codec_name == "any":
        try:
            key = _key_from_json("any", _json(text))
            key_codec_by_name("any").encode(key)
        except _NO_KEY:
            return text
        return key
    if codec_name in _TYPES_AS_STRINGS:
        return _key_from_json(codec_name, text)
    return _key_from_json(codec_name, _json(text))


def _json(text: str) -> Any:
    """Decode JSON without white space around it, so that ``7`` and ``7`` with a line end are different
    texts.
    """
    if text != text.strip():
        raise ValueError("white space around the key")
    return msgspec.json.decode(text)


def _is_base64_form(text: str) -> bool:
    """Whether a text is ``{"base64":"..."}``, which stands for other bytes than its own."""
    if not text.startswith("{"):
        return False
    try:
        plain = msgspec.json.decode(text)
    except _NO_KEY:
        return False
    return isinstance(plain, dict) and list(plain) == ["base64"] and isinstance(plain["base64"], str)


def _key_from_base64(plain: Any) -> bytes:
    match plain:
        case {"base64": str(coded)} if len(plain) == 1:
            return base64.b64decode(coded, validate=True)
    raise ValueError("not bytes")


def _key_from_json(codec_name: str, plain: Any) -> Any:
    """Convert decoded JSON to the key, by the grammar of codec names.

    Raises:
        ValueError: the JSON is not a key of this codec.
    """
    if codec_name.endswith("?"):
        return None if plain is None else _key_from_json(codec_name[:-1], plain)
    if codec_name.startswith("("):
        names = _field_names(codec_name)
        if not isinstance(plain, list) or len(plain) != len(names):
            raise ValueError("not an array of the fields")
        return tuple(map(_key_from_json, names, plain))
    match codec_name, plain:
        case "str", str():
            return plain
        case "bytes", str():
            return plain.encode()
        case "bytes", _:
            return _key_from_base64(plain)
        case "bool", bool():
            return plain
        case "int" | "float", bool():
            raise ValueError("a truth value is no number")
        case "int", int():
            return plain
        case "float", int() | float():
            return float(plain)
        case "float", "Infinity" | "-Infinity":
            return _INFINITIES[plain]
        case "any", None | bool() | int() | float() | str():
            return plain
        case "any", list():
            return tuple(_key_from_json("any", item) for item in plain)
        case "any", {"float": "Infinity" | "-Infinity" as name} if len(plain) == 1:
            return _INFINITIES[name]
        case "any", _:
            return _key_from_base64(plain)
        case _, str() if codec_name in _TYPES_AS_STRINGS and plain == plain.strip():
            return msgspec.convert(plain, _TYPES_AS_STRINGS[codec_name])
        case _:
            raise ValueError(f"not of type {codec_name}")


def _key_as_json(codec_name: str, key: Any) -> Any:
    """Convert a key to its JSON form, the inverse of ``_key_from_json``."""
    if codec_name.endswith("?"):
        return None if key is None else _key_as_json(codec_name[:-1], key)
    if codec_name.startswith("("):
        return [_key_as_json(name, part) for name, part in zip(_field_names(codec_name), key, strict=True)]
    if isinstance(key, bytes):
        return _base64(key) if codec_name == "any" else _with_text_for_bytes(key)
    if isinstance(key, float) and math.isinf(key):
        name = "Infinity" if key > 0 else "-Infinity"
        return {"float": name} if codec_name == "any" else name
    if isinstance(key, tuple):
        return [_key_as_json("any", part) for part in key]
    return msgspec.to_builtins(key) if codec_name in _TYPES_AS_STRINGS else key


def _field_names(codec_name: str) -> list[str]:
    """Return the codec names of the fields in ``(a,b?,(c,d))``."""
    names: list[str] = []
    depth, start = 0, 1
    for index, character in enumerate(codec_name):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if (character == "," and depth == 1) or depth == 0:
            names.append(codec_name[start:index])
            start = index + 1
    return [name for name in names if name]


def _base64(data: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode()}


def _with_text_for_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return _base64(value)
    if isinstance(value, Mapping):
        return {name: _with_text_for_bytes(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_text_for_bytes(item) for item in value]
    return value


def _plain_object(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)
