"""Whether values of one declared type can be written to a topic of another one, as far as the types say.

A type is refused only if the topic takes no value of it: what is not known, or fits in part, is left to the
check of each record.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, NewType, TypeVar, Union, get_args, get_origin, is_typeddict
from uuid import UUID

from streamcore.model import Windowed
from streamcore.serde import Serde

_SAMPLES: Final[dict[type, tuple[Any, ...]]] = {
    bool: (True,),
    int: (1,),
    float: (1.5, 1.0),
    str: ("1", "a"),
    bytes: (b"a",),
    datetime: (datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 1)),
    date: (date(2020, 1, 1),),
    time: (time(1),),
    timedelta: (timedelta(1),),
    Decimal: (Decimal(1), Decimal("1.5")),
    UUID: (UUID(int=1),),
    PurePosixPath: (PurePosixPath("a"),),
    list: ([],),
    dict: ({},),
    tuple: ((),),
    set: (set(),),
    frozenset: (frozenset(),),
}
"""Values of a class, of which the serde of a type takes one if it takes any."""


def can_be_written(found: Any, serde: Serde[Any], wanted: Any) -> bool:
    """Whether a serde of a wanted type may take a value of another type.

    ``None`` is a type that is not known.
    """
    if wanted is None or found in (None, type(None)):
        return True
    return any(_may_fit(alternative, serde, wanted) for alternative in _alternatives(found))


def _alternatives(found: Any) -> Iterator[Any]:
    """Yield the types that a declared one is made of, without ``None``; ``Any`` where it is not known."""
    origin = get_origin(found)
    if origin in (Union, types.UnionType):
        for part in get_args(found):
            if part is not type(None):
                yield from _alternatives(part)
    elif origin is Annotated:
        yield from _alternatives(get_args(found)[0])
    elif origin is Literal:
        yield from {type(value) for value in get_args(found)}
    elif isinstance(found, NewType):
        yield from _alternatives(found.__supertype__)
    elif isinstance(found, TypeVar | Serde) or found is object:
        yield Any
    else:
        yield found


def _may_fit(found: Any, serde: Serde[Any], wanted: Any) -> bool:
    if found is Any:
        return True
    wanted_types = list(_alternatives(wanted))
    kind = _class_of(found)
    if Any in wanted_types or kind is None or kind in map(_class_of, wanted_types):
        return True
    samples = _samples_of(kind)
    if samples is None:
        return any(_are_related(kind, _class_of(each)) for each in wanted_types)
    return any(_is_taken(serde, sample) for sample in samples)


def _class_of(found: Any) -> type | None:
    origin = get_origin(found) or found
    if is_typeddict(origin):
        return dict
    return origin if isinstance(origin, type) else None


def _samples_of(kind: type) -> tuple[Any, ...] | None:
    """Return values of a class; ``None`` if they cannot be made."""
    if issubclass(kind, enum.Enum):
        return tuple(kind) or None
    if kind is Windowed:
        return None
    return _SAMPLES.get(kind)


def _are_related(kind: type, wanted: type | None) -> bool:
    if wanted is None or getattr(wanted, "_is_protocol", False):
        return True
    return issubclass(kind, wanted) or issubclass(wanted, kind)


def _is_taken(serde: Serde[Any], value: Any) -> bool:
    try:
        serde.encode(value)
    except Exception:  # noqa: BLE001 - the serde may be the user's
        return False
    return True
