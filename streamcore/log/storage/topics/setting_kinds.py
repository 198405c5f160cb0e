"""Kinds of settings: the conversion of text to values, the possible values, and their text.

Settings come as text, from a file, a command or a client, and are kept as text. A kind defines the meaning of
the text. An impossible value raises a ``ValueError`` that says which values are possible.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, TypeAlias

from msgspec import Struct

INT_MAX: Final = 2**31 - 1
LONG_MAX: Final = 2**63 - 1

Value: TypeAlias = int | float | str | bool | tuple[str, ...]


class SettingType(Enum):
    """The types of settings that Kafka reports to clients, by its names."""

    BOOLEAN = "boolean"
    STRING = "string"
    INT = "int"
    SHORT = "short"
    LONG = "long"
    DOUBLE = "double"
    LIST = "list"
    CLASS = "class"
    PASSWORD = "password"


class Kind(Struct, frozen=True):
    """A type, restricted to the possible values."""

    type: SettingType
    parse: Callable[[str], Value]
    """Convert a text to a value. Raises ``ValueError``."""

    def plain(self, text: str) -> str:
        """Return the text in which a value is always shown, whichever text it was set with. Raises
        ``ValueError``.
        """
        return written(self.parse(text))


def written(value: Value) -> str:
    """Return a value as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)


def integer(low: int, high: int = LONG_MAX, *, also: int | None = None) -> Kind:
    """A whole number from ``low`` to ``high``, or ``also``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError as error:
            raise ValueError("must be a whole number") from error
        if not low <= value <= high and value != also:
            raise ValueError(f"must be from {low} to {high}" + (f", or {also}" if also is not None else ""))
        return value

    return Kind(SettingType.INT if high <= INT_MAX else SettingType.LONG, parse)


def only(value: int, reason: str) -> Kind:
    """A number with one possible value, and the reason."""

    def parse(text: str) -> int:
        if int(text) != value:
            raise ValueError(reason)
        return value

    return Kind(SettingType.INT, parse)


def ratio() -> Kind:
    """A number from 0 to 1."""

    def parse(text: str) -> float:
        value = float(text)
        if not 0 <= value <= 1:
            raise ValueError("must be from 0 to 1")
        return value

    return Kind(SettingType.DOUBLE, parse)


def one_of(*choices: str) -> Kind:
    """One of several words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return Kind(SettingType.STRING, parse)


def _boolean(text: str) -> bool:
    value = text.strip().lower()
    if value not in ("true", "false"):
        raise ValueError("must be true or false")
    return value == "true"


def boolean() -> Kind:
    """True or false."""
    return Kind(SettingType.BOOLEAN, _boolean)


def never(reason: str) -> Kind:
    """A boolean that cannot be true here, and the reason."""

    def parse(text: str) -> bool:
        if _boolean(text):
            raise ValueError(reason)
        return False

    return Kind(SettingType.BOOLEAN, parse)


def words(check: Callable[[tuple[str, ...]], None]) -> Kind:
    """Words separated by commas, perhaps none; ``check`` raises ``ValueError`` for impossible words."""

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
        check(found)
        return found

    return Kind(SettingType.LIST, parse)
