"""The aggregations of the public API that keep one number or one value, and those of the user's functions.

Each function returns an ``Aggregator``. Where several values are equal, the one that was added first counts
as the first; under ``merge`` those of the earlier accumulator were added first.

NaN is greater than every number, as in DuckDB and PostgreSQL.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from functools import reduce
from itertools import chain
from typing import Any, Final, TypeVar, overload

from streamcore.processing.topology import exact_numbers
from streamcore.processing.topology.aggregator import Aggregator, CopyOf, Of, Value, as_it_is
from streamcore.processing.topology.code_locations import declares

T = TypeVar("T")
A = TypeVar("A")

_ORDERED: Final = frozenset({int, str, bytes})
"""Classes without a value like NaN, of which equal values are one."""


def _none() -> None:
    return None


def _zero() -> int:
    return 0


@overload
def count() -> Aggregator[Any, int]: ...
@overload
def count(of: Callable[[Value], object]) -> Aggregator[Value, int]: ...
@declares
def count(of: Of | None = None) -> Aggregator[Any, int]:
    """Count the records; with ``of``, the records for which it is not ``None``."""
    return Aggregator(
        kind="count",
        form="own",
        initial=_zero,
        add=lambda accumulator, _: accumulator + 1,
        add_many=lambda accumulator, values: accumulator + len(values),
        add_groups=lambda accumulators, groups: list(map(operator.add, accumulators, map(len, groups))),
        merge=lambda earlier, later: earlier + later,
        remove=lambda accumulator, _: accumulator - 1,
        of=of,
        counts_none=of is None,
        result_type=int,
    )


@overload
def sum(of: None = ..., *, value: Any = ...) -> Aggregator[Any, Any]: ...
@overload
def sum(of: Callable[[Value], T | None], *, value: Any = ...) -> Aggregator[Value, T]: ...
@declares
def sum(of: Of | None = None, *, value: Any = None) -> Aggregator[Any, Any]:
    """Sum numbers, Decimals or timedeltas; the sum of no values is 0, or the result of ``value()``.

    Ints grow without bound, Decimals keep all their digits. A NaN makes the sum NaN.

    Args:
        value: the type of the sum, where the annotation of ``of`` does not name it.
    """
    return Aggregator(
        kind="sum",
        initial=value if value in (Decimal, timedelta) else _zero,
        add=exact_numbers.add,
        add_many=exact_numbers.add_all,
        add_groups=exact_numbers.add_groups,
        merge=exact_numbers.add,
        of=of,
        declared_type=value,
        result_type=value,
    )


def _add_min(accumulator: Any, value: Any) -> Any:
    if accumulator is not None and (
        value != value or not (accumulator != accumulator or value < accumulator)
    ):
        return accumulator
    # Of the two zeros the positive one is the result, so that their order does not matter.
    return value + 0.0 if type(value) is float else value


def _add_max(accumulator: Any, value: Any) -> Any:
    if accumulator is not None and (
        accumulator != accumulator or not (value != value or value > accumulator)
    ):
        return accumulator
    return value + 0.0 if type(value) is float else value


def _by_extremes(
    add: Callable[[Any, Any], Any], extreme: Callable[[Sequence[Any]], Any]
) -> Callable[[Sequence[Any], Sequence[Sequence[Any]]], list[Any]]:
    """Return the ``add_groups`` of ``min`` or ``max``."""

    def add_groups(accumulators: Sequence[Any], groups: Sequence[Sequence[Any]]) -> list[Any]:
        kinds = set(map(type, chain.from_iterable(groups)))
        if len(kinds) == 1 and kinds <= _ORDERED:
            return list(map(add, accumulators, map(extreme, groups)))
        return [reduce(add, values, found) for found, values in zip(accumulators, groups, strict=True)]

    return add_groups


def _later(add: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return the merge of accumulators that are one of the values, or ``None``."""
    return lambda earlier, later: earlier if later is None else add(earlier, later)


@overload
def min(of: None = ..., *, value: Any = ...) -> Aggregator[Any, Any]: ...
@overload
def min(of: Callable[[Value], T | None], *, value: Any = ...) -> Aggregator[Value, T | None]: ...
@declares
def min(of: Of | None = None, *, value: Any = None) -> Aggregator[Any, Any]:
    """The smallest value, ``None`` for no values; of equal ones the first.

    NaN is greater than every number, as in DuckDB and PostgreSQL: it is the result only if all are NaN.
    """
    return Aggregator(
        kind="min",
        form="value",
        initial=_none,
        add=_add_min,
        add_many=lambda accumulator, values: reduce(_add_min, values, accumulator),
        add_groups=_by_extremes(_add_min, builtins.min),
        merge=_later(_add_min),
        of=of,
        declared_type=value,
        result_type=value,
    )


@overload
def max(of: None = ..., *, value: Any = ...) -> Aggregator[Any, Any]: ...
@overload
def max(of: Callable[[Value], T | None], *, value: Any = ...) -> Aggregator[Value, T | None]: ...
@declares
def max(of: Of | None = None, *, value: Any = None) -> Aggregator[Any, Any]:
    """The largest value, ``None`` for no values; of equal ones the first.

    NaN is greater than every number, as in DuckDB and PostgreSQL: it is the result if any is NaN.
    """
    return Aggregator(
        kind="max",
        form="value",
        initial=_none,
        add=_add_max,
        add_many=lambda accumulator, values: reduce(_add_max, values, accumulator),
        add_groups=_by_extremes(_add_max, builtins.max),
        merge=_later(_add_max),
        of=of,
        declared_type=value,
        result_type=value,
    )


def _merge_means(earlier: Sequence[Any], later: Sequence[Any]) -> list[Any]:
    return [earlier[0] + later[0], exact_numbers.add(earlier[1], later[1])]


@overload
def mean(of: None = ..., *, value: Any = ...) -> Aggregator[Any, Any]: ...
@overload
def mean(of: Callable[[Value], object], *, value: Any = ...) -> Aggregator[Value, Any]: ...
@declares
def mean(of: Of | None = None, *, value: Any = None) -> Aggregator[Any, Any]:
    """The arithmetic mean of numbers, Decimals or timedeltas, ``None`` for no values; NaN if any is NaN.

    The mean of Decimals has 28 digits, or those of the decimal context.

    Args:
        value: the type of the values, where no annotation names it.
    """
    return Aggregator(
        kind="mean",
        initial=lambda: [0, 0],
        add=lambda accumulator, value: [accumulator[0] + 1, exact_numbers.add(accumulator[1], value)],
        add_many=lambda accumulator, values: [
            accumulator[0] + len(values),
            exact_numbers.add_all(accumulator[1], values),
        ],
        merge=_merge_means,
        result=exact_numbers.mean_of,
        of=of,
        declared_type=value,
        result_type=float,
    )


def _deviations(kind: str, of: Of | None, result: Callable[[Any], float | None]) -> Aggregator[Any, Any]:
    return Aggregator(
        kind=kind,
        form="own",
        initial=lambda: [0, 0.0, 0.0],
        add=exact_numbers.add_to_variance,
        add_many=exact_numbers.add_all_to_variance,
        merge=exact_numbers.merge_variances,
        result=result,
        of=of,
        result_type=float,
    )


@overload
def variance(of: None = ...) -> Aggregator[Any, float | None]: ...
@overload
def variance(of: Callable[[Value], object]) -> Aggregator[Value, float | None]: ...
@declares
def variance(of: Of | None = None) -> Aggregator[Any, float | None]:
    """The sample variance of numbers as a float, as ``var_samp`` in SQL; ``None`` for fewer than two values.

    Decimals are converted to floats. A NaN or an infinity makes it NaN.
    """
    return _deviations("variance", of, exact_numbers.variance_of)


def stddev_of(accumulator: Sequence[Any]) -> float | None:
    """Return the standard deviation of a running variance."""
    return exact_numbers.root(exact_numbers.variance_of(accumulator))


@overload
def stddev(of: None = ...) -> Aggregator[Any, float | None]: ...
@overload
def stddev(of: Callable[[Value], object]) -> Aggregator[Value, float | None]: ...
@declares
def stddev(of: Of | None = None) -> Aggregator[Any, float | None]:
    """The standard deviation of a sample, the root of ``variance``; ``None`` for fewer than two values."""
    return _deviations("stddev", of, stddev_of)


@overload
def first(of: None = ..., *, value: Any = ...) -> Aggregator[Any, Any]: ...
@overload
def first(of: Callable[[Value], T | None], *, value: Any = ...) -> Aggregator[Value, T | None]: ...
@declares
def first(of: Of | None = None, *, value: Any = None) -> Aggregator[Any, Any]:
    """The value of the record that was processed first, ``None`` for no values.

    It follows the order of records, not their times: ``argmin(lambda event: event.time)`` is the earliest.
    """
    return Aggregator(
        kind="first",
        form="value",
        initial=_none,
        add=lambda accumulator, value: value if accumulator is None else accumulator,
        add_many=lambda accumulator, values: values[0] if accumulator is None else accumulator,
        merge=lambda earlier, later: later if earlier is None else earlier,
        of=of,
        declared_type=value,
        result_type=value,
    )


@overload
def last(of: None = ..., *, value: Any = ...) -> Aggregator[Any, Any]: ...
@overload
def last(of: Callable[[Value], T | None], *, value: Any = ...) -> Aggregator[Value, T | None]: ...
@declares
def last(of: Of | None = None, *, value: Any = None) -> Aggregator[Any, Any]:
    """The value of the record that was processed last, ``None`` for no values; see ``first``."""
    return Aggregator(
        kind="last",
        form="value",
        initial=_none,
        add=lambda _, value: value,
        add_many=lambda _, values: values[-1],
        merge=lambda earlier, later: earlier if later is None else later,
        of=of,
        declared_type=value,
        result_type=value,
    )


# -- functions of the user


@overload
def aggregation(
    initial: Callable[[], A],
    add: Callable[[A, Any], A],
    *,
    merge: Callable[[A, A], A] | None = ...,
    remove: Callable[[A, Any], A] | None = ...,
    of: Callable[[Value], object],
    result: Callable[[A], T],
    value: Any = ...,
) -> Aggregator[Value, T]: ...
@overload
def aggregation(
    initial: Callable[[], A],
    add: Callable[[A, Any], A],
    *,
    merge: Callable[[A, A], A] | None = ...,
    remove: Callable[[A, Any], A] | None = ...,
    of: Callable[[Value], object],
    result: None = ...,
    value: Any = ...,
) -> Aggregator[Value, Any]: ...
@overload
def aggregation(
    initial: Callable[[], A],
    add: Callable[[A, Value], A],
    *,
    merge: Callable[[A, A], A] | None = ...,
    remove: Callable[[A, Value], A] | None = ...,
    of: None = ...,
    result: Callable[[A], T],
    value: Any = ...,
) -> Aggregator[Value, T]: ...
@overload
def aggregation(
    initial: Callable[[], A],
    add: Callable[[A, Value], A],
    *,
    merge: Callable[[A, A], A] | None = ...,
    remove: Callable[[A, Value], A] | None = ...,
    of: None = ...,
    result: None = ...,
    value: Any = ...,
) -> Aggregator[Value, Any]: ...
@declares
def aggregation(
    initial: Callable[[], Any],
    add: Callable[[Any, Any], Any],
    *,
    merge: Callable[[Any, Any], Any] | None = None,
    remove: Callable[[Any, Any], Any] | None = None,
    of: Of | None = None,
    result: Callable[[Any], Any] | None = None,
    value: Any = None,
) -> Aggregator[Any, Any]:
    """Return a user-defined aggregation: ``add(accumulator, value)`` returns the next accumulator.

    The accumulator is stored as MessagePack of plain data, or of its type ``value``. No function may change
    an accumulator that it is given.

    Args:
        merge: ``merge(earlier, later)`` returns the accumulator of the values of both. It must be
            associative. Session windows need it.
        remove: ``remove(accumulator, value)`` takes back a value that was added. Aggregations of tables need
            it.
        result: makes the result of an accumulator.
    """
    return Aggregator(
        kind="custom",
        initial=initial,
        add=add,
        add_many=lambda accumulator, values: reduce(add, values, accumulator),
        merge=merge,
        remove=remove,
        result=as_it_is if result is None else result,
        of=of,
        counts_none=of is None,
        declared_type=value,
        result_type=value if result is None else None,
    )


def reducer(function: Callable[[Any, Any], Any]) -> Aggregator[Any, Any]:
    """Return the aggregation of ``stream.reduce``: the first value is the first accumulator.

    Accumulators are values, so the function merges them too.
    """

    def add(accumulator: Any, value: Any) -> Any:
        return value if accumulator is None else function(accumulator, value)

    return Aggregator(
        kind="reduce",
        form="value",
        initial=_none,
        add=add,
        add_many=lambda accumulator, values: reduce(add, values, accumulator),
        merge=_later(add),
    )


def folder(initial: Any, function: Callable[[Any, Any], Any]) -> Aggregator[Any, Any]:
    """Return the aggregation of ``stream.fold``; ``initial`` is a value or a function that makes one."""
    return Aggregator(
        kind="fold",
        initial=initial if callable(initial) else CopyOf(initial),
        add=function,
        add_many=lambda accumulator, values: reduce(function, values, accumulator),
        counts_none=True,
    )
