"""Keys and answers as text and JSON, for people and programs that are not the application.

::

    key of codec   written as
    str            the text itself
    bytes          the text, as UTF-8, or {"base64":"..."}
    int, float     the number
    bool           true, false
    any            JSON if it is JSON, otherwise the text: 7 is a number, abc and "7" are texts
    (str,int)      a JSON array of the fields: ["JFK",7]

``null`` stands for ``None`` where the codec has it. A key comes out in the form in which it goes in:
the fields of a class are an array here, whatever the class.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from streamcore.errors import SerdeError, fact_text
from streamcore.model import Windowed
from streamcore.state.keys import KeyCodec, key_codec_by_name
from streamcore.state.position import Position
from streamcore.state.queries import Answer

_SCALAR_NAMES = ("str", "bytes", "int", "float", "bool", "any")


def parse_key(codec: KeyCodec[Any], text: str) -> Any:
    """The key that a text stands for, as the codec takes it.

    Raises:
        SerdeError: the text is no key of this codec.
    """
    if codec.name == "str":
        return text
    try:
        plain = _parsed(codec.name, text)
        # By way of the bytes, an array of fields becomes what the store's own codec makes of it.
        return codec.decode(key_codec_by_name(codec.name).encode(plain))
    except (msgspec.DecodeError, ValueError, binascii.Error, SerdeError) as error:
        raise SerdeError(
            f"the key is not of the table's key type: {fact_text(key=repr(text)[:100], key_type=codec.name)}"
        ) from error


def plain_key(codec: KeyCodec[Any], key: Any) -> Any:
    """A key as JSON shows it; ``parse_key`` reads its JSON (of text: the text itself)."""
    if codec.name in _SCALAR_NAMES:
        return plain_value(key)
    return plain_value(key_codec_by_name(codec.name).decode(codec.encode(key)))


def key_text(codec: KeyCodec[Any], key: Any) -> str:
    """A key as the text that ``parse_key`` reads."""
    plain = plain_key(codec, key)
    if isinstance(plain, str) and (codec.name in ("str", "bytes") or not _is_json(plain)):
        return plain
    return msgspec.json.encode(plain).decode()


def plain_value(value: Any) -> Any:
    """A value as plain data: fields of objects, bytes as text or ``{"base64": ...}``, lists for tuples."""
    try:
        return _with_text_for_bytes(
            msgspec.to_builtins(value, builtin_types=(bytes,), str_keys=True, enc_hook=_plain_object)
        )
    except TypeError:  # a mapping with keys that JSON has no form for
        return repr(value)


def answer_row(
    answer: Answer[Any], codec: KeyCodec[Any], key: Any = None, *, with_position: bool = True
) -> dict[str, Any]:
    """An answer as a row: key, value, ``start_ms`` and ``end_ms`` of a window, position.

    ``key`` is the one that was asked for, where the answer does not say.
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
    if with_position:
        row["position"] = position_json(answer.position)
    return row


def position_json(position: Position) -> dict[str, dict[str, int]]:
    """A position as JSON: topic, partition, next offset."""
    found: dict[str, dict[str, int]] = {}
    for source in sorted(position):
        found.setdefault(source.topic, {})[str(source.partition)] = position[source]
    return found


def _parsed(name: str, text: str) -> Any:
    if name == "bytes":
        return _bytes_of(text)
    if name == "any":
        try:
            return _without_lists(msgspec.json.decode(text))
        except msgspec.DecodeError:
            return text
    plain = msgspec.json.decode(text)
    scalar = name.removesuffix("?")
    if plain is not None and (scalar == "bool") != isinstance(plain, bool) and scalar in _SCALAR_NAMES:
        raise ValueError("a number is no truth value")
    return float(plain) if scalar == "float" and isinstance(plain, int) else _without_lists(plain)


def _bytes_of(text: str) -> bytes:
    if text.startswith("{"):
        try:
            return base64.b64decode(msgspec.json.decode(text, type=dict[str, str])["base64"], validate=True)
        except (msgspec.DecodeError, KeyError):
            return text.encode()
    return text.encode()


def _without_lists(value: Any) -> Any:
    return tuple(map(_without_lists, value)) if isinstance(value, list) else value


def _with_text_for_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {name: _with_text_for_bytes(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_text_for_bytes(item) for item in value]
    return value


def _plain_object(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True
