"""Draws messages, and makes a fixed one: from the tables, for any structure in any version.

What a version does not have keeps its default, as it does when a message of that version is read.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from hypothesis import strategies as st

from streamcore.log.protocol.fields import ZERO_UUID, Message
from streamcore.log.protocol.layouts import FieldLayout, Kind, layout_of

_BITS: Final = {"b": 8, "h": 16, "i": 32, "q": 64}

# At 127 and 16,383 bytes a length that is written as a varint of itself plus one grows by a byte.
_TEXTS: Final = ("é" * 63, "x" * 127, "\U0001f600" * 32, "x" * 16_382, "x" * 16_383, "ß" * 16_383)
_SMALLEST: Final = {"string": "", "bytes": b"", "records": b"", "uuid": ZERO_UUID, "?": False, "d": 0.0}
_BYTES: Final = (b"\x80" * 126, b"\xff" * 127, b"\x00" * 16_383)


@cache
def messages(message: type[Message], version: int) -> st.SearchStrategy[Message]:
    """Any value of a message that one version of it can carry."""
    fields = {field.name: _values(field, version) for field in layout_of(message, version)}
    return st.fixed_dictionaries(fields).map(lambda values: message(**values))


def _values(field: FieldLayout, version: int) -> st.SearchStrategy[object]:
    structure = field.kind.structure
    values = _plain_values(field.kind.name) if structure is None else messages(structure, version)
    if field.kind.is_array:
        values = st.lists(values, max_size=3)
    if field.is_nullable:
        values = st.none() | values
    if field.tag is not None:
        values = st.just(field.default) | values
    return values


@cache
def _plain_values(kind: str) -> st.SearchStrategy[object]:
    match kind:
        case "string":
            return st.text(max_size=6) | st.sampled_from(_TEXTS)
        case "bytes" | "records":
            return st.binary(max_size=6) | st.sampled_from(_BYTES)
        case "uuid":
            return st.just(ZERO_UUID) | st.binary(min_size=16, max_size=16)
        case "?":
            return st.booleans()
        case "d":
            return st.floats(allow_nan=False)
        case "H":
            return st.integers(0, 2**16 - 1)
        case letter:
            half = 1 << (_BITS[letter] - 1)
            return st.integers(-half, half - 1)


def full(message: type[Message], version: int) -> Message:
    """A message in which every field has a value of its own: no two can be taken for each other.

    Small numbers are error codes that exist, large ones are whole seconds, for peers with types for these.
    """
    return _Numbered().structure(message, version)


class _Numbered:
    def __init__(self) -> None:
        self._count = 0

    def structure(self, message: type[Message], version: int) -> Message:
        return message(**{field.name: self._value(field, version) for field in layout_of(message, version)})

    def _value(self, field: FieldLayout, version: int) -> object:
        if field.kind.is_array:
            return [self._element(field.kind, field.name, version) for _ in range(2)]
        return self._element(field.kind, field.name, version)

    def _element(self, kind: Kind, name: str, version: int) -> object:
        if kind.structure is not None:
            return self.structure(kind.structure, version)
        self._count += 1
        number = self._count
        match kind.name:
            case "string":
                return f"{name} {number}"
            case "bytes" | "records":
                return f"{name} {number}".encode()
            case "uuid":
                return number.to_bytes(16, "big")
            case "?":
                return number % 2 == 0
            case "d":
                return number + 0.5
            case "q":
                return number * 10_000_001_000
            case "i":
                return number * 1_000_001
            case _:
                return number % 100 + 1


def bare(message: type[Message], version: int) -> Message:
    """A message with as little in it as there can be: null, or empty, or the default."""
    return message(**{field.name: _least(field, version) for field in layout_of(message, version)})


def nothing(kind: Kind, version: int) -> object:
    """The smallest value of a kind."""
    if kind.structure is not None:
        return bare(kind.structure, version)
    return _SMALLEST.get(kind.name, 0)


def _least(field: FieldLayout, version: int) -> object:
    if field.tag is not None:
        return field.default
    if field.is_nullable:
        return None
    return [] if field.kind.is_array else nothing(field.kind, version)
