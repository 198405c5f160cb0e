"""The stored form of accumulators: their types, the check of each before it is kept, and their bytes.

::

    stored value := MessagePack array of the accumulators, one for each aggregation of the store
    accumulator  := plain data as in ``plain_data``
                  | of a declared class: MessagePack by msgspec, with longer ints as in ``plain_data``
                  | array of values of a declared class
                  | array of two arrays: ranks or counts as plain data, and values of a declared class

An accumulator that cannot be stored, or not be read again, is an error of the record that made it: every
accumulator that a function of the user returns is checked. A container that the function changes in
place is checked once for all records of a key in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from decimal import Decimal
from itertools import accumulate, chain
from typing import Any, Optional, get_args, get_origin, is_typeddict
from uuid import UUID

import msgspec

from streamcore.errors import SerdeError, TopologyError, UsageError, fact_text
from streamcore.plain_data import EXTENSIONS, from_extension
from streamcore.processing.dsl.attribute_types import returned_type
from streamcore.processing.dsl.declaration import without_none
from streamcore.processing.topology.aggregator import Aggregator, CopyOf, Form
from streamcore.processing.topology.code_locations import shown
from streamcore.serde import (
    UNTYPED,
    Serde,
    decode_foreign,
    encode_foreign,
    packed_serde,
    type_name_of,
    value_check,
)

_SCALARS = {type(None), bool, int, float, str, bytes, *EXTENSIONS} - {tuple}
_PLAIN = (None, Any, object, *_SCALARS, list, dict, tuple)
_KINDS_OF_USERS = ("reduce", "fold", "custom", "cogroup")
_UNORDERED: set[type] = {dict, complex}
_NO_ORDER: Any = getattr(object, "__lt__")  # noqa: B009 - mypy takes it for a comparison
_WITHOUT_SUM: set[type] = {str, bytes, list, tuple, dict, set, frozenset, date, time, UUID}
_WITHOUT_IDENTITY: set[type] = {dict, set, frozenset, complex}
_RESULTS_ARE_LISTS = ("top", "collect")
_RESULTS_ARE_VALUES = (
    *("sum", "min", "max", "mean", "first", "last", "argmin", "argmax", "reduce"),
    *_RESULTS_ARE_LISTS,
)
_ASKED = {
    "order": "of= that makes a number of each",
    "sum": "of= that makes a number of each",
    "distances": "of= that makes a number of each",
    "difference": "of= that makes a number of each, or sc.aggregation(initial, add, remove=...)",
    "identity": "of= that makes a text, a number or a tuple of each",
}
"""What is missing -> what to write instead."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The stored form of one accumulator: what it is made of, and the type of the values in it."""

    form: Form
    declared: Any
    """The type of the values, or of the accumulator of the form ``plain``; ``None`` for plain data."""
    stored: Callable[[Any], Any] | None = None
    """Makes plain data of an accumulator; ``None``: it is plain data."""

    @property
    def stored_type(self) -> Any:
        """The type of the accumulator, for msgspec; ``Any`` for plain data."""
        if self.declared is None:
            return Any
        listed: Any = list[self.declared]  # type: ignore[name-defined]
        match self.form:
            case "values":
                return listed
            case "ranked" | "counted":
                return tuple[list[Any], listed]
            case _:
                return self.declared


def slot_type(aggregator: Aggregator[Any, Any], value_type: Any, kept_type: Any) -> Any:
    """Return the declared type of an accumulator, or of the values in it; ``None`` for plain data."""
    if aggregator.form == "own" or aggregator.kind == "mean":
        return None
    declared = kept_type if aggregator.declared_type is None else aggregator.declared_type
    if declared is None and aggregator.keeps_values:
        declared = value_type
    if declared is None and aggregator.form != "plain" and aggregator.values_of is not None:
        found = returned_type(aggregator.values_of, value_type)
        is_plain = get_origin(found) in (list, dict, tuple) and not _names_a_class(found)
        declared = None if found in _PLAIN or is_plain else found
    if aggregator.kind == "sum" and declared in _PLAIN:
        return None
    return None if declared in (Any, object) else declared


def _names_a_class(found: Any) -> bool:
    """Whether a type names a class whose values are not plain data, such as an Enum, in its arguments."""
    return any(
        _names_a_class(argument)
        if get_args(argument)
        else isinstance(argument, type) and argument not in _PLAIN and not is_typeddict(argument)
        for argument in get_args(found)
    )


def values_type(aggregator: Aggregator[Any, Any], value_type: Any) -> Any:
    """Return the type of the values that an aggregation takes or keeps; ``None`` where it is not known."""
    if aggregator.declared_type is not None:
        return aggregator.declared_type
    return value_type if aggregator.values_of is None else returned_type(aggregator.values_of, value_type)


def base_kind(aggregator: Aggregator[Any, Any]) -> str:
    """Return the kind of an aggregation, of a stream or of a table."""
    return aggregator.kind.removesuffix("+remove")


def result_field(aggregator: Aggregator[Any, Any], value_type: Any) -> Any:
    """Return the type of an aggregation's attribute in a result; ``Any`` where JSON needs no type."""
    kind = base_kind(aggregator)
    if kind == "custom":
        found = aggregator.result_type
    elif kind in _RESULTS_ARE_VALUES:
        found = values_type(aggregator, value_type)
    else:
        return Any
    if kind in ("sum", "mean") and isinstance(found, type) and issubclass(found, (int, float)):
        return Any  # the sum of members of an IntEnum is an int
    if found in (None, Any, object, bool, int, float, str, list, dict):
        return Any
    if kind in _RESULTS_ARE_LISTS:
        found = list[found]  # type: ignore[valid-type]
    try:
        value_check(found, "json")
    except UsageError:
        return Any
    return Optional[found]  # noqa: UP045 - any annotation


def refuse_values(name: str, aggregator: Aggregator[Any, Any], value_type: Any) -> None:
    """Refuse an aggregation whose values are known to have no order, or no sum, or no identity.

    Raises:
        TopologyError: every record would fail.
    """
    kind = base_kind(aggregator)
    if aggregator.functions:  # argmin, argmax, top: the ranks are compared, not the values
        found = returned_type(aggregator.functions[0], value_type)
    else:
        found = values_type(aggregator, value_type)
    found = without_none(found)
    found = get_origin(found) or found
    if not isinstance(found, type):
        return
    bases, lacks = set(found.__mro__), ""
    if kind in ("min", "max", "argmin", "argmax", "top"):
        lacks = "order" if bases & _UNORDERED or getattr(found, "__lt__", None) is _NO_ORDER else ""
    elif kind in ("sum", "mean"):
        lacks = "sum" if bases & _WITHOUT_SUM or not hasattr(found, "__add__") else ""
        if aggregator.kind != kind and not issubclass(found, (int, float, Decimal, timedelta)):
            lacks = "difference"
    elif kind in ("variance", "stddev", "quantile"):
        lacks = "" if issubclass(found, (int, float, Decimal)) else "distances"
    elif kind in ("distinct", "approx_distinct"):
        lacks = "identity" if bases & _WITHOUT_IDENTITY else ""
    if lacks:
        raise TopologyError(
            f"values of this type have no {lacks}; give a function {_ASKED[lacks]}, or use "
            f"fold: {fact_text(table=name, aggregation=kind, type=type_name_of(found))}"
        )


def checked(aggregator: Aggregator[Any, Any], declared: Any) -> Aggregator[Any, Any]:
    """Return the aggregation with a check: an accumulator that cannot be stored fails where it is made.

    Raises:
        UsageError: values of the declared type cannot be read again.
    """
    if aggregator.form == "own":
        return aggregator
    ensure = _ensure_plain if declared is None else _ensure_of_type(declared)
    if aggregator.form in ("values", "ranked", "counted"):
        return _with_checked_values(aggregator, ensure)
    add, add_many = aggregator.add, aggregator.add_many
    always_fit = _SCALARS if declared is None else {declared} & _SCALARS

    def checked_add(accumulator: Any, value: Any) -> Any:
        found = add(accumulator, value)
        ensure(found)
        return found

    def one_by_one(accumulator: Any, values: Sequence[Any]) -> Any:
        for value in values:
            accumulator = checked_add(accumulator, value)
        return accumulator

    def add_many_values(accumulator: Any, values: Sequence[Any]) -> Any:
        if not set(map(type, values)) <= _SCALARS:
            return one_by_one(accumulator, values)
        found = add_many(accumulator, values)
        ensure(found)
        return found

    def add_many_results(accumulator: Any, values: Sequence[Any]) -> Any:
        results = list(accumulate(values, add, initial=accumulator))
        del results[0]
        last_id = None
        if declared is None and set(map(type, results)) <= _SCALARS:
            return results[-1]
        for found in results:
            if id(found) != last_id:
                ensure(found)
                last_id = id(found)
        ensure(results[-1])
        return results[-1]

    def add_groups_of_values(accumulators: Sequence[Any], groups: Sequence[Sequence[Any]]) -> list[Any]:
        if not set(map(type, chain.from_iterable(groups))) <= _SCALARS:
            return [
                add_many_values(found, values) for found, values in zip(accumulators, groups, strict=True)
            ]
        results = aggregator.added_groups(accumulators, groups)
        if not set(map(type, results)) <= always_fit:
            for found in results:
                ensure(found)
        return results

    calls_users = aggregator.kind in _KINDS_OF_USERS
    return replace(
        aggregator,
        add=checked_add,
        add_many=add_many_results if calls_users else add_many_values,
        add_groups=None if calls_users or aggregator.add_groups is None else add_groups_of_values,
        merge=_checked_call(aggregator.merge, ensure),
        remove=_checked_call(aggregator.remove, ensure),
    )


def _ensure_start(name: str, start: Any, declared: Any) -> None:
    """Refuse a first accumulator that cannot be stored.

    Raises:
        TopologyError: it is of another type than the state holds.
    """
    if start is None:
        return
    reason: object = None
    if declared is None:
        try:
            _ensure_plain(start)
        except SerdeError as error:
            reason = error
    else:
        reason = value_check(declared, "msgpack").fault(start)
    if reason is not None:
        raise TopologyError(
            "the first accumulator is a value of the table, or a function that makes one; declare its type "
            f"with value=: {fact_text(table=name, initial=shown(start), reason=reason)}"
        )


def _checked_call(
    function: Callable[[Any, Any], Any] | None, ensure: Callable[[Any], None]
) -> Callable[[Any, Any], Any] | None:
    if function is None:
        return None
    call = function

    def checked_call(accumulator: Any, other: Any) -> Any:
        found = call(accumulator, other)
        ensure(found)
        return found

    return checked_call


def _with_checked_values(
    aggregator: Aggregator[Any, Any], ensure: Callable[[Any], None]
) -> Aggregator[Any, Any]:
    """Return an aggregation that checks each value before it keeps it, and the ranks of ``ranked`` ones."""
    add, add_many, has_ranks = aggregator.add, aggregator.add_many, aggregator.form == "ranked"

    def check(values: Sequence[Any]) -> None:
        if has_ranks:
            for rank, value in values:
                _ensure_plain(rank)
                ensure(value)
        else:
            for value in values:
                ensure(value)

    def checked_add(accumulator: Any, value: Any) -> Any:
        check((value,))
        return add(accumulator, value)

    def checked_add_many(accumulator: Any, values: Sequence[Any]) -> Any:
        check(values)
        return add_many(accumulator, values)

    return replace(aggregator, add=checked_add, add_many=checked_add_many, add_groups=None)


def ensure_storable(slot: Slot) -> Callable[[Any], None]:
    """Return the check whether a value can be stored in a slot."""
    return _ensure_plain if slot.declared in (None, Any, object) else _ensure_of_type(slot.declared)


def _ensure_plain(found: Any) -> None:
    if type(found) not in _SCALARS:
        UNTYPED.encode(found)


def _ensure_of_type(declared: Any) -> Callable[[Any], None]:
    check = value_check(declared, "msgpack")
    passes, fault = check.passes, check.fault

    def ensure(found: Any) -> None:
        if found is None or passes(found):
            return
        reason = fault(found)
        if reason is not None:
            raise SerdeError(
                "the function of an aggregation returned another type than the state holds; declare it with "
                f"value=, or map the values first: {reason}"
            )

    return ensure


def _from_extension(code: int, data: memoryview) -> Any:
    return from_extension(code, bytes(data))


def state_serde(slots: Sequence[Slot], *, only_counts: bool) -> Serde[Any]:
    """Return the serde of tuples of accumulators."""
    if only_counts:
        counts: Any = tuple[tuple(int for _ in slots)]  # type: ignore[misc]
        return packed_serde(counts, "counts")
    pack, unpack = UNTYPED.encode, UNTYPED.decode
    if all(slot.declared is None for slot in slots):
        # Accumulators stand as a list; an outer tuple would cost an extension on each record.
        makers = [(number, slot.stored) for number, slot in enumerate(slots) if slot.stored is not None]

        def pack_stored(state: Any) -> bytes:
            accumulators = list(state)
            for number, stored in makers:
                accumulators[number] = stored(accumulators[number])
            return pack(accumulators)

        return Serde(
            encode=pack_stored if makers else lambda state: pack(list(state)),
            decode=lambda data: tuple(unpack(data)),
            name="msgpack",
            type_name="plain accumulators",
            value_type=Any,
        )
    stored = [Optional[slot.stored_type] for slot in slots]  # noqa: UP045 - any annotation
    state_type: Any = tuple[tuple(stored)]  # type: ignore[misc]
    decoder = msgspec.msgpack.Decoder(state_type, dec_hook=decode_foreign, ext_hook=_from_extension)
    typed = msgspec.msgpack.Encoder(enc_hook=encode_foreign).encode
    header = pack([None] * len(slots))[: -len(slots)]
    two = pack([None, None])[:-2]

    def encode_typed(accumulator: Any) -> bytes:
        try:
            return typed(accumulator)
        except OverflowError:  # an int of more than 64 bits
            return pack(msgspec.to_builtins(accumulator, builtin_types=(bytes,), enc_hook=encode_foreign))

    def encode_ranked(accumulator: Any) -> bytes:
        ranks, values = accumulator
        return two + pack(list(ranks)) + encode_typed(list(values))

    def encoder_of(slot: Slot) -> Callable[[Any], bytes]:
        if slot.declared is None:
            stored = slot.stored
            return pack if stored is None else lambda accumulator: pack(stored(accumulator))
        return encode_ranked if slot.form in ("ranked", "counted") else encode_typed

    encoders = [encoder_of(slot) for slot in slots]

    def encode(state: Any) -> bytes:
        return header + b"".join(
            [encoder(accumulator) for encoder, accumulator in zip(encoders, state, strict=True)]
        )

    def decode(data: bytes) -> Any:
        try:
            return decoder.decode(data)
        except msgspec.ValidationError:
            if not any(code in data for code in _EXTENSION_OF_INT):
                raise
            accumulators = unpack(data)
            return tuple(
                accumulator
                if slot.declared is None
                else msgspec.convert(accumulator, found, dec_hook=decode_foreign)
                for slot, found, accumulator in zip(slots, stored, accumulators, strict=True)
            )

    names = ",".join("plain" if slot.declared is None else type_name_of(slot.stored_type) for slot in slots)
    return Serde(encode=encode, decode=decode, name="msgpack", type_name=names, value_type=state_type)


_EXTENSION_OF_INT = (
    *(head + bytes((EXTENSIONS[int][0],)) for head in (b"\xd8", b"\xd7", b"\xd6", b"\xd5", b"\xd4")),
    b"\xc7",
    b"\xc8",
)
"""The first byte of an int of more than 64 bits in MessagePack."""


def declared_accumulators(
    name: str, named: dict[str, Aggregator[Any, Any]], value_type: Any, kept_type: Any
) -> tuple[dict[str, Aggregator[Any, Any]], Serde[Any]]:
    """Return the aggregations with their checks, and the serde of the stored accumulators.

    Raises:
        TopologyError: values of this type have no order or no sum, or cannot be kept.
    """
    slots: list[Slot] = []
    made: dict[str, Aggregator[Any, Any]] = {}
    for attribute, aggregator in named.items():
        refuse_values(name, aggregator, value_type)
        declared = slot_type(aggregator, value_type, kept_type)
        try:
            made[attribute] = checked(aggregator, declared)
        except UsageError as error:
            raise TopologyError(
                "values of this type cannot be kept in an aggregation; declare another with value=, or map "
                f"the values first: {fact_text(table=name, type=type_name_of(declared), reason=error)}"
            ) from error
        if isinstance(aggregator.initial, CopyOf):
            _ensure_start(name, aggregator.initial.value, declared)
        slots.append(Slot(aggregator.form, declared, aggregator.stored))
    only_counts = all(aggregator.kind == "count" for aggregator in named.values())
    return made, state_serde(slots, only_counts=only_counts)
