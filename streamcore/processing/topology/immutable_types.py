"""Which declared types have values that cannot change: a table can give such a value to a reader as it is.

Such a value is also read from a store as it was written, so it makes no difference whether a reader gets the
object of the writer or one that was decoded. Types for which that is not so are not immutable here: a float,
which may be an int where it is written, and times, which may come back in another time zone.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Iterable
from functools import lru_cache
from pathlib import PurePath
from typing import Any, Final

import msgspec

_IMMUTABLE: Final = frozenset(
    {bool, bytes, int, str, types.NoneType, datetime.date, decimal.Decimal, uuid.UUID}
)


def is_immutable(value_type: Any) -> bool:
    """Whether no value of a declared type can change; ``False`` where the type does not show it.

    Immutable are texts, numbers without a fraction, members of an Enum, and frozen classes, named tuples,
    tuples and frozen sets of these.
    """
    try:
        return _is_immutable(value_type)
    except TypeError:  # an annotation that cannot be hashed
        return False


@lru_cache(maxsize=256)
def _is_immutable(value_type: Any) -> bool:
    return _holds_immutable(value_type, frozenset())


def _holds_immutable(found: Any, above: frozenset[Any]) -> bool:
    """Whether a type is immutable; the classes ``above`` that hold it do not have to be looked at again."""
    if found in _IMMUTABLE or found in above:
        return True
    origin, arguments = typing.get_origin(found), typing.get_args(found)
    if origin is typing.Annotated:
        return _holds_immutable(arguments[0], above)
    if origin is typing.Literal:
        return True
    if origin in (typing.Union, types.UnionType, frozenset):
        return all(_holds_immutable(argument, above) for argument in arguments)
    if origin is tuple:
        return all(_holds_immutable(part, above) for part in arguments if part is not Ellipsis)
    if hasattr(found, "__supertype__"):
        return _holds_immutable(found.__supertype__, above)
    if not isinstance(found, type) or origin is not None:
        return False
    if issubclass(found, enum.Enum | PurePath):
        return True
    fields = _frozen_fields(found)
    return fields is not None and all(_holds_immutable(field, above | {found}) for field in fields)


def _frozen_fields(found: type) -> Iterable[Any] | None:
    """Return the types of the fields of a frozen class; ``None`` for other classes."""
    if issubclass(found, tuple) and hasattr(found, "_fields"):
        names: Iterable[str] = found._fields
    elif issubclass(found, msgspec.Struct) and found.__struct_config__.frozen:
        names = found.__struct_fields__
    elif dataclasses.is_dataclass(found) and found.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        names = [field.name for field in dataclasses.fields(found)]
    else:
        return None
    try:
        hints = typing.get_type_hints(found)
    except (NameError, TypeError, AttributeError):
        return None
    return [hints.get(name, Any) for name in names]
