"""The stored form of accumulators: their types, the check of each before it is kept, and their bytes.

::

    stored value := MessagePack array of the accumulators, one for each aggregation of the store
    accumulator  := plain data as in ``plain_data``
                  | of a declared class: MessagePack by msgspec, with longer ints as in ``plain_data``

An accumulator that cannot be stored, or not be read again, is an error of the record that made it: every
accumulator that a function of the user returns is checked. A container that the function changes in
place is checked once for all records of a key in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, time
from itertools import accumulate
from typing import Any, Optional, get_args, get_origin, is_typeddict
from uuid import UUID

import msgspec

from streamcore.errors import SerdeError, TopologyError, UsageError, fact_text
from streamcore.plain_data import EXTENSIONS, from_extension
from streamcore.processing.dsl.declaration import return_type, without_none
from streamcore.processing.topology.aggregations import Aggregator
from streamcore.serde import UNTYPED, Serde, decode_foreign, encode_foreign, type_name_of, value_check

_SCALARS = {type(None), bool, int, float, str, bytes, *EXTENSIONS} - {tuple}
_PLAIN = (None, Any, object, *_SCALARS, list, dict, tuple)
_KINDS_OF_USERS = ("reduce", "fold", "custom")
_UNORDERED: set[type] = {dict, complex}
_NO_ORDER: Any = getattr(object, "__lt__")  # noqa: B009 - mypy takes it for a comparison
_WITHOUT_SUM: set[type] = {str, bytes, list, tuple, dict, set, frozenset, date, time, UUID}


def slot_type(aggregator: Aggregator, value_type: Any, kept_type: Any) -> Any:
    """Return the declared type of an accumulator; ``None`` for plain data."""
    declared = aggregator.declared_type or kept_type
    if declared is None and aggregator.keeps_values:
        declared = value_type
    if declared is None and aggregator.of is not None and aggregator.kind in ("min", "max", "first", "last"):
        found = return_type(aggregator.of)
        is_plain = get_origin(found) in (list, dict, tuple) and not _names_a_class(found)
        declared = None if found in _PLAIN or is_plain else found
    if aggregator.kind in ("sum", "mean", "count") and declared in _PLAIN:
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


def result_field(aggregator: Aggregator, value_type: Any) -> Any:
    """Return the type of an aggregation's attribute in a result; ``Any`` where JSON needs no type."""
    found = aggregator.declared_type
    if found is None and aggregator.kind not in ("count", "custom"):
        found = value_type if aggregator.of is None else return_type(aggregator.of)
    if found in (None, Any, object, bool, int, float, str, list, dict):
        return Any
    try:
        value_check(found, "json")
    except UsageError:
        return Any
    return Optional[found]  # noqa: UP045 - any annotation


def refuse_values(name: str, aggregator: Aggregator, value_type: Any) -> None:
    """Refuse an aggregation whose values are known to have no order, or no sum.

    Raises:
        TopologyError: every record would fail.
    """
    found = aggregator.declared_type
    if found is None:
        found = value_type if aggregator.of is None else return_type(aggregator.of)
    found = without_none(found)
    if not isinstance(found, type):
        return
    bases, lacks = set(found.__mro__), ""
    if aggregator.kind in ("min", "max"):
        lacks = "order" if bases & _UNORDERED or getattr(found, "__lt__", None) is _NO_ORDER else ""
    elif aggregator.kind in ("sum", "mean"):
        lacks = "sum" if bases & _WITHOUT_SUM or not hasattr(found, "__add__") else ""
    if lacks:
        raise TopologyError(
            f"values of this type have no {lacks}; give a function of= that makes a number of each, or use "
            f"fold: {fact_text(table=name, aggregation=aggregator.kind, type=type_name_of(found))}"
        )


def checked(aggregator: Aggregator, declared: Any) -> Aggregator:
    """Return the aggregation with a check: an accumulator that cannot be stored fails where it is made.

    Raises:
        UsageError: values of the declared type cannot be read again.
    """
    if aggregator.kind == "count":
        return aggregator
    ensure = _ensure_plain if declared is None else _ensure_of_type(declared)
    add, add_many = aggregator.add, aggregator.add_many

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

    calls_users = aggregator.kind in _KINDS_OF_USERS
    return replace(aggregator, add=checked_add, add_many=add_many_results if calls_users else add_many_values)


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


def state_serde(types: Sequence[Any], *, only_counts: bool) -> Serde[Any]:
    """Return the serde of tuples of accumulators; a type of ``None`` means plain data."""
    if only_counts:
        counts: Any = tuple[tuple(int for _ in types)]  # type: ignore[misc]
        return Serde(
            encode=msgspec.msgpack.Encoder().encode,
            decode=msgspec.msgpack.Decoder(counts).decode,
            name="msgpack",
            type_name="counts",
            value_type=counts,
        )
    pack, unpack = UNTYPED.encode, UNTYPED.decode
    if all(found is None for found in types):
        # Accumulators stand as a list; an outer tuple would cost an extension on each record.
        return Serde(
            encode=lambda state: pack(list(state)),
            decode=lambda data: tuple(unpack(data)),
            name="msgpack",
            type_name="plain accumulators",
            value_type=Any,
        )
    slots = [Any if found is None else Optional[found] for found in types]  # noqa: UP045 - any annotation
    state_type: Any = tuple[tuple(slots)]  # type: ignore[misc]
    decoder = msgspec.msgpack.Decoder(state_type, dec_hook=decode_foreign, ext_hook=_from_extension)
    typed = msgspec.msgpack.Encoder(enc_hook=encode_foreign).encode
    header = pack([None] * len(types))[: -len(types)]

    def encode_typed(accumulator: Any) -> bytes:
        try:
            return typed(accumulator)
        except OverflowError:  # an int of more than 64 bits
            return pack(msgspec.to_builtins(accumulator, builtin_types=(bytes,), enc_hook=encode_foreign))

    encoders = [pack if found is None else encode_typed for found in types]

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
                accumulator if slot is Any else msgspec.convert(accumulator, slot, dec_hook=decode_foreign)
                for slot, accumulator in zip(slots, accumulators, strict=True)
            )

    names = ",".join("plain" if found is None else type_name_of(found) for found in types)
    return Serde(encode=encode, decode=decode, name="msgpack", type_name=names, value_type=state_type)


_EXTENSION_OF_INT = (
    *(head + bytes((EXTENSIONS[int][0],)) for head in (b"\xd8", b"\xd7", b"\xd6", b"\xd5", b"\xd4")),
    b"\xc7",
    b"\xc8",
)
"""The first byte of an int of more than 64 bits in MessagePack."""


def declared_accumulators(
    name: str, named: dict[str, Aggregator], value_type: Any, kept_type: Any
) -> tuple[dict[str, Aggregator], Serde[Any]]:
    """Return the aggregations with their checks, and the serde of the stored accumulators.

    Raises:
        TopologyError: values of this type have no order or no sum, or cannot be kept.
    """
    types: list[Any] = []
    made: dict[str, Aggregator] = {}
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
        types.append(declared)
    only_counts = all(aggregator.kind == "count" for aggregator in named.values())
    return made, state_serde(types, only_counts=only_counts)
