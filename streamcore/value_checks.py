"""Checks, before a value is written, that its bytes will be decoded to the same value.

Encoders write values of any type. A wrong type inside a value would be found when the bytes are read, and at
each read again. ``ValueCheck`` checks the value itself. ``fault`` defines the meaning: it walks through value
and type together and names the first part that does not fit. ``passes`` is compiled from the type, knows only
the common values, and leaves all others to ``fault``.

These values pass: values of exactly the declared classes (of subclasses only texts, numbers, dates, paths and
the like, which are decoded as the declared type), an int for a float that equals it, and under ``Any``,
``dict`` or ``list`` only what the codec itself can distinguish: with JSON ``None``, bool, int, float, str,
list, and dict with texts as keys; with MessagePack also bytes, and numbers and bytes as keys.
"""

from __future__ import annotations

import enum
import keyword
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import inspect

_JSON_SCALARS: Final = frozenset({type(None), bool, int, float, str})
_PACKED_SCALARS: Final = _JSON_SCALARS | {bytes}
_PACKED_KEYS: Final = _PACKED_SCALARS
_EXACT_FLOAT_MAX: Final = 2**53

_CLASSES: Final[dict[type, type]] = {
    inspect.IntType: int,
    inspect.StrType: str,
    inspect.BytesType: bytes,
    inspect.ByteArrayType: bytearray,
    inspect.DateTimeType: datetime,
    inspect.DateType: date,
    inspect.TimeType: time,
    inspect.TimeDeltaType: timedelta,
    inspect.UUIDType: UUID,
    inspect.DecimalType: Decimal,
    inspect.BoolType: bool,
}
NOT_IN_JSON: Final = (
    "expected a finite float, JSON has no NaN and no infinity and would give back null: leave it out, or "
    "declare codec='msgpack'"
)
_RESTRICTIONS: Final = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "tz")


def is_pydantic(found: object) -> bool:
    """Whether a type is a pydantic model."""
    return isinstance(found, type) and hasattr(found, "model_validate_json")


class ValueCheck:
    """The check of one declared type and codec."""

    def __init__(self, kind: inspect.Type, codec: str, model_fault: Callable[[Any], str | None]) -> None:
        """Compile the check.

        Args:
            model_fault: returns the fault of an instance of a pydantic model; ``None`` if it has none.
        """
        self._scalars = _JSON_SCALARS if codec == "json" else _PACKED_SCALARS
        self._keys = frozenset({str}) if codec == "json" else _PACKED_KEYS
        self._codec = codec
        self._model_fault = model_fault
        self._kind = kind
        self.needs_decoding = any(map(self._tells_only_by_decoding, kinds_in(kind)))
        """Whether decoding has to be tried as well: the type has restrictions, or keys with several forms."""
        compiler = self._compiler()
        self.passes = compiler.function(kind)
        exact = compiler.exact_types(kind) or set()
        self.exact_type = next(iter(exact)) if len(exact) == 1 else None
        """The one class whose values pass, whatever they contain; ``None`` if the contents matter."""

    def fault(self, value: Any) -> str | None:
        """Return the first fault of a value: what is wrong, in which part, and the type of that part;
        ``None`` if the value has none.
        """
        return self._fault(self._kind, value, "")

    def _compiler(self) -> _Compiler:
        return _Compiler(self.is_plain, self._scalars, is_finite_only=self._codec == "json")

    def encoder(
        self, encode: Callable[[Any], bytes], otherwise: Callable[[Any], bytes]
    ) -> Callable[[Any], bytes]:
        """Return a function that encodes the common values, as ``passes`` knows them, and calls ``otherwise``
        for all others.
        """
        return self._compiler().encoder(self._kind, encode, otherwise)

    def is_plain(self, value: Any) -> bool:
        """Whether the codec returns this untyped content unchanged."""
        kind = type(value)
        if kind in self._scalars:
            return True
        if kind is list:
            return set(map(type, value)) <= self._scalars or all(map(self.is_plain, value))
        if kind is dict:
            return set(map(type, value)) <= self._keys and (
                set(map(type, value.values())) <= self._scalars or all(map(self.is_plain, value.values()))
            )
        return False

    def _tells_only_by_decoding(self, kind: inspect.Type) -> bool:
        if any(getattr(kind, name, None) is not None for name in _RESTRICTIONS):
            return True
        if isinstance(kind, inspect.DictType):
            keys = kind.key_type
            return not isinstance(keys, inspect.StrType | inspect.IntType | inspect.AnyType)
        return isinstance(kind, inspect.RawType | inspect.ExtType | inspect.MemoryViewType)

    # -- the meaning

    def _fault(self, kind: inspect.Type, value: Any, at: str) -> str | None:
        match kind:
            case inspect.AnyType():
                return self._plain_fault(value, at)
            case inspect.UnionType(types=types):
                return self._union_fault(kind, types, value, at)
            case inspect.NoneType():
                return None if value is None else _expected("None", value, at)
            case inspect.FloatType():
                if not _is_float(value):
                    return _expected("float", value, at)
                if self._codec == "json" and not math.isfinite(value):
                    return f"{NOT_IN_JSON}{_place(at)} given={value}"
                return None
            case inspect.LiteralType(values=values):
                known = any(value == found and type(value) is type(found) for found in values)
                return None if known else _expected(f"one of {values}", value, at)
            case inspect.EnumType(cls=cls):
                return None if isinstance(value, cls) else _expected(cls.__name__, value, at)
            case inspect.CustomType(cls=cls):
                if is_pydantic(cls):
                    found = self._model_fault(value) if type(value) is cls else ""
                    return None if found is None else _expected(f"{cls.__name__}{found}", value, at)
                return None if isinstance(value, cls) else _expected(cls.__name__, value, at)
            case inspect.TypedDictType(cls=cls, fields=fields):
                return self._typed_dict_fault(cls, fields, value, at)
            case inspect.DictType(key_type=key_type, value_type=value_type):
                if type(value) is not dict:
                    return _expected("dict", value, at)
                if isinstance(key_type, inspect.AnyType):
                    found = self._keys_fault(value, at)
                else:
                    found = _first(self._fault(key_type, key, f"{at} key {key!r}") for key in value)
                return found or _first(
                    self._fault(value_type, item, f"{at}[{key!r}]") for key, item in value.items()
                )
            case inspect.TupleType(item_types=item_types):
                if type(value) is not tuple or len(value) != len(item_types):
                    return _expected(f"tuple of {len(item_types)}", value, at)
                pairs = zip(item_types, value, strict=True)
                return _first(
                    self._fault(item_type, item, f"{at}[{index}]")
                    for index, (item_type, item) in enumerate(pairs)
                )
            case (
                inspect.ListType(item_type=item_type)
                | inspect.SetType(item_type=item_type)
                | inspect.FrozenSetType(item_type=item_type)
                | inspect.VarTupleType(item_type=item_type)
            ):
                expected = _COLLECTIONS[type(kind)]
                if type(value) is not expected:
                    return _expected(expected.__name__, value, at)
                items: Any = value
                return _first(
                    self._fault(item_type, item, f"{at}[{index}]") for index, item in enumerate(items)
                )
            case (
                inspect.StructType(cls=cls, fields=fields)
                | inspect.DataclassType(cls=cls, fields=fields)
                | inspect.NamedTupleType(cls=cls, fields=fields)
            ):
                cls = getattr(cls, "__origin__", cls)
                if type(value) is not cls:
                    return _expected(cls.__name__, value, at)
                return _first(
                    self._fault(field.type, getattr(value, field.name, _NOTHING), f"{at}.{field.name}")
                    for field in fields
                )
            case _:
                expected = _CLASSES.get(type(kind), object)
                is_wrong = not isinstance(value, expected)
                is_wrong |= expected is int and isinstance(value, bool)
                is_wrong |= expected is date and isinstance(value, datetime)
                return _expected(expected.__name__, value, at) if is_wrong else None

    def _union_fault(
        self, kind: inspect.Type, types: Iterable[inspect.Type], value: Any, at: str
    ) -> str | None:
        if value is msgspec.UNSET:
            return None
        faults = [self._fault(part, value, at) for part in types]
        if None in faults:
            return None
        # The deepest fault is in the alternative that was meant.
        return max((found for found in faults if found is not None), key=_depth)

    def _typed_dict_fault(
        self, cls: type, fields: Iterable[inspect.Field], value: Any, at: str
    ) -> str | None:
        if type(value) is not dict:
            return _expected(f"{cls.__name__}, a dict", value, at)
        known = {field.name: field for field in fields}
        for name, field in known.items():
            if field.required and name not in value:
                return f"expected {cls.__name__} with {name}{_place(at)}"
        for name, item in value.items():
            if name not in known:
                return f"expected {cls.__name__} without {name!r}{_place(at)}"
            found = self._fault(known[name].type, item, f"{at}[{name!r}]")
            if found is not None:
                return found
        return None

    def _plain_fault(self, value: Any, at: str) -> str | None:
        kind = type(value)
        if kind is list:
            return _first(self._plain_fault(item, f"{at}[{index}]") for index, item in enumerate(value))
        if kind is dict:
            return self._keys_fault(value, at) or _first(
                self._plain_fault(item, f"{at}[{key!r}]") for key, item in value.items()
            )
        if kind in self._scalars:
            return None
        return (
            f"expected plain data, {self._codec} gives back something else for this; declare its type"
            f"{_place(at)} given={kind.__name__}"
        )

    def _keys_fault(self, value: dict[Any, Any], at: str) -> str | None:
        for key in value:
            if type(key) not in self._keys:
                return (
                    f"expected plain keys, {self._codec} gives back something else for this; declare their "
                    f"type, dict[..., ...]{_place(at)} key={key!r}"
                )
        return None


_COLLECTIONS: Final[dict[type, type]] = {
    inspect.ListType: list,
    inspect.SetType: set,
    inspect.FrozenSetType: frozenset,
    inspect.VarTupleType: tuple,
}


class _Nothing:
    """The value of a field that was never set."""


_NOTHING = _Nothing()


def kinds_in(kind: inspect.Type) -> list[inspect.Type]:
    """Return a type and every type inside it; a class that contains itself occurs once."""
    found: list[inspect.Type] = []
    classes: list[object] = []
    waiting: list[Any] = [kind]
    while waiting:
        part = waiting.pop()
        cls = getattr(part, "cls", None)
        if cls is not None:
            if cls in classes:
                continue
            classes.append(cls)
        found.append(part)
        for name in ("fields", "item_types", "types"):
            waiting += [getattr(inner, "type", inner) for inner in getattr(part, name, ())]
        for name in ("item_type", "key_type", "value_type"):
            inner = getattr(part, name, None)
            if isinstance(inner, inspect.Type):
                waiting.append(inner)
    return found


def _is_float(value: Any) -> bool:
    if isinstance(value, float):
        return True
    return isinstance(value, int) and not isinstance(value, bool) and _as_float(value) == value


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _expected(what: str, value: Any, at: str) -> str:
    return f"expected {what}{_place(at)} given={type(value).__name__.strip('_')}"


def _place(at: str) -> str:
    return f": at={at.strip()}" if at else ":"


def _first(faults: Iterable[str | None]) -> str | None:
    return next((found for found in faults if found is not None), None)


def _depth(fault: str) -> int:
    return fault.count("[") + fault.count(".") if "at=" in fault else -1


# -- the common values, compiled


def _read(value: str, name: str) -> str:
    """Return the expression of an attribute."""
    is_plain_name = name.isidentifier() and not keyword.iskeyword(name)
    return f"{value}.{name}" if is_plain_name else f"getattr({value}, {name!r})"


class _Compiler:
    """Writes a type as one Python expression; classes become functions, because they may contain
    themselves.
    """

    def __init__(
        self, is_plain: Callable[[Any], bool], scalars: frozenset[type], *, is_finite_only: bool
    ) -> None:
        self._names: dict[str, Any] = {"is_plain": is_plain, "scalars": scalars, "isfinite": math.isfinite}
        self._is_finite_only = is_finite_only
        self._classes: list[tuple[object, str]] = []
        self._source: list[str] = []

    def function(self, kind: inspect.Type) -> Callable[[Any], bool]:
        """Return the check as a function of one value."""
        expression = self._expression(kind, "v")
        if expression.endswith("(v)") and expression[:-3].isidentifier():
            expression = expression[:-3]
            source = "\n".join([*self._source, f"passes = {expression}\n"])
        else:
            source = "\n".join([*self._source, f"def passes(v):\n    return {expression}\n"])
        exec(compile(source, "<value check>", "exec"), self._names)
        passes: Callable[[Any], bool] = self._names["passes"]
        return passes

    def encoder(
        self, kind: inspect.Type, encode: Callable[[Any], bytes], otherwise: Callable[[Any], bytes]
    ) -> Callable[[Any], bytes]:
        """Return the check and the encoding as one function, which saves a call for each value."""
        self._names |= {"encode": encode, "otherwise": otherwise}
        match kind:
            case inspect.TupleType(item_types=item_types):
                lines = self._parts(tuple, "= v", item_types)
            case inspect.NamedTupleType(cls=cls, fields=fields):
                lines = self._parts(getattr(cls, "__origin__", cls), "= v", [one.type for one in fields])
            case inspect.StructType(cls=cls, fields=fields) | inspect.DataclassType(cls=cls, fields=fields):
                reads = ", ".join(_read("v", field.name) for field in fields)
                types = [field.type for field in fields]
                lines = self._parts(getattr(cls, "__origin__", cls), f"= {reads},", types)
            case _:
                lines = [f"    if {self._expression(kind, 'v')}:", "        return encode(v)"]
        source = "\n".join([*self._source, "def checked(v):", *lines, "    return otherwise(v)", ""])
        exec(compile(source, "<value check>", "exec"), self._names)
        checked: Callable[[Any], bytes] = self._names["checked"]
        return checked

    def _parts(self, cls: type, read: str, types: Sequence[inspect.Type]) -> list[str]:
        """Return the lines that encode a value of a class if each of its parts passes."""
        if not types:
            is_empty = " and not v" if cls is tuple else ""
            return [f"    if type(v) is {self._named(cls)}{is_empty}:", "        return encode(v)"]
        names = [f"v{index}" for index in range(len(types))]
        passing = " and ".join(self._expression(part, name) for part, name in zip(types, names, strict=True))
        return [
            f"    if type(v) is {self._named(cls)}:",
            "        try:",
            f"            {', '.join(names)}, {read}",
            "        except (AttributeError, ValueError):",
            "            return otherwise(v)",
            f"        if {passing}:",
            "            return encode(v)",
        ]

    def _named(self, found: object) -> str:
        name = f"n{len(self._names)}"
        self._names[name] = found
        return name

    def exact_types(self, kind: inspect.Type) -> set[type] | None:
        """Return the classes whose values pass, whatever they contain; ``None`` if the contents matter."""
        if isinstance(kind, inspect.UnionType):
            parts = [self.exact_types(part) for part in kind.types]
            if any(part is None for part in parts):
                return None
            return set().union(*(part for part in parts if part is not None))
        if isinstance(kind, inspect.NoneType):
            return {type(None)}
        if isinstance(kind, inspect.FloatType):
            return None if self._is_finite_only else {float}
        if isinstance(kind, inspect.EnumType) and isinstance(kind.cls, enum.EnumMeta):
            return {kind.cls}
        found = _CLASSES.get(type(kind))
        return None if found is None else {found}

    def _expression(self, kind: inspect.Type, value: str) -> str:
        if isinstance(kind, inspect.FloatType):
            finite = f" and isfinite({value})" if self._is_finite_only else ""
            return (
                f"(type({value}) is float{finite} or"
                f" type({value}) is int and -{_EXACT_FLOAT_MAX} <= {value} <= {_EXACT_FLOAT_MAX})"
            )
        exact = self.exact_types(kind)
        if exact is not None:
            names = [f"type({value}) is {self._named(cls)}" for cls in exact]
            return f"({' or '.join(names)})"
        match kind:
            case inspect.AnyType():
                return f"is_plain({value})"
            case inspect.UnionType(types=types):
                return f"({' or '.join(self._expression(part, value) for part in types)})"
            case inspect.DictType(key_type=key_type, value_type=value_type):
                if isinstance(key_type, inspect.AnyType):
                    return f"is_plain({value})" if isinstance(value_type, inspect.AnyType) else "False"
                keys, items = self._each(key_type, value), self._each(value_type, f"{value}.values()")
                return f"(type({value}) is dict and {keys} and {items})"
            case (
                inspect.ListType(item_type=item_type)
                | inspect.SetType(item_type=item_type)
                | inspect.FrozenSetType(item_type=item_type)
                | inspect.VarTupleType(item_type=item_type)
            ):
                cls = self._named(_COLLECTIONS[type(kind)])
                return f"(type({value}) is {cls} and {self._each(item_type, value)})"
            case inspect.TupleType(item_types=item_types):
                return self._tuple(item_types, value)
            case inspect.StructType(cls=cls, fields=fields) | inspect.DataclassType(cls=cls, fields=fields):
                return f"{self._class(cls, fields)}({value})"
            case inspect.NamedTupleType(cls=cls, fields=fields):
                return f"{self._class(cls, fields)}({value})"
            case _:
                return "False"

    def _tuple(self, items: Sequence[inspect.Type], value: str) -> str:
        """Return the check of a tuple of fixed length; where each item has one class, all at once."""
        is_tuple = f"type({value}) is {self._named(tuple)}"
        exact = [self.exact_types(item) or set() for item in items]
        if all(len(types) == 1 for types in exact):
            types = [cls for types in exact for cls in types]
            return f"({is_tuple} and [*map(type, {value})] == {self._named(types)})"
        parts = [self._expression(item, f"{value}[{index}]") for index, item in enumerate(items)]
        return f"({' and '.join([is_tuple, f'len({value}) == {len(items)}', *parts])})"

    def _each(self, item: inspect.Type, values: str) -> str:
        exact = self.exact_types(item)
        if exact is not None:
            return f"(set(map(type, {values})) <= {self._named(exact)})"
        if isinstance(item, inspect.AnyType):
            return f"(set(map(type, {values})) <= scalars or all(map(is_plain, {values})))"
        if isinstance(item, inspect.FloatType):
            return f"(set(map(type, {values})) <= {self._named({float})} and all(map(isfinite, {values})))"
        name = f"f{len(self._source)}"
        self._source.append("")
        place = len(self._source) - 1
        self._source[place] = f"def {name}(v):\n    return {self._expression(item, 'v')}\n"
        return f"all(map({name}, {values}))"

    def _class(self, cls: Any, fields: Iterable[inspect.Field]) -> str:
        for known, name in self._classes:
            if known is cls:
                return name
        name = f"c{len(self._classes)}"
        self._classes.append((cls, name))
        exact = self._named(getattr(cls, "__origin__", cls))
        parts = [f"type(v) is {exact}"]
        lines = []
        for index, field in enumerate(fields):
            lines.append(f"        v{index} = {_read('v', field.name)}\n")
            parts.append(self._expression(field.type, f"v{index}"))
        reads = "".join(lines) or "        pass\n"
        self._source.append(
            f"def {name}(v):\n    if {parts[0]}:\n        try:\n"
            + reads.replace("        ", "            ")
            + "        except AttributeError:\n            return False\n"
            + f"        return {' and '.join(parts[1:]) or 'True'}\n    return False\n"
        )
        return name
