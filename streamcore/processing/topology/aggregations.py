"""The aggregations: how the values of a key are folded into one.

An ``Aggregator`` keeps an accumulator. ``add`` defines its result; ``add_many`` must give the same as
a call of ``add`` for each value, and exists because it can be faster. Accumulators are stored, so they
are plain data (``plain_data``) or of the declared type.

``None`` values of ``of`` are left out, as in SQL: ``add`` never receives them.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from functools import reduce
from typing import Any, TypeAlias

Of: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregator:
    """One named aggregation. ``kind`` is stored beside the state, for tools without the application."""

    kind: str
    initial: Callable[[], Any]
    add: Callable[[Any, Any], Any]
    add_many: Callable[[Any, Sequence[Any]], Any]
    result: Callable[[Any], Any] = lambda accumulator: accumulator
    of: Of | None = None
    counts_none: bool = False
    keeps_values: bool = False
    """Whether the accumulator holds values of the stream, and so needs their type."""
    declared_type: Any = None
    """The type of the accumulator, or of the values that it is made of, as the user declared it."""
    result_type: Any = None


def _none() -> None:
    return None


def _zero() -> int:
    return 0


def count(of: Of | None = None) -> Aggregator:
    """Count the records; with ``of``, the records for which it is not ``None``."""
    return Aggregator(
        kind="count",
        initial=_zero,
        add=lambda accumulator, _: accumulator + 1,
        add_many=lambda accumulator, values: accumulator + len(values),
        of=of,
        counts_none=of is None,
        result_type=int,
    )


def sum(of: Of | None = None, *, value: Any = None) -> Aggregator:
    """Sum numbers, Decimals or timedeltas; the sum of no values is 0, or the result of ``value()``.

    Ints grow without bound, Decimals keep all their digits. A NaN makes the sum NaN.

    Args:
        value: the type of the sum, where the annotation of ``of`` does not name it.
    """
    return Aggregator(
        kind="sum",
        initial=value if value in (Decimal, timedelta) else _zero,
        add=_add,
        add_many=_add_all,
        of=of,
        declared_type=value,
        result_type=value,
    )


_EXACT = Context(prec=5_000, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
"""Sums of Decimals keep their digits, so they do not depend on the order; infinities that meet give NaN."""
_WITHOUT_SUM = (str, bytes, list, tuple, dict, set, frozenset)


def _add(accumulator: Any, value: Any) -> Any:
    if type(value) is Decimal or type(accumulator) is Decimal:
        return _EXACT.add(accumulator, value)
    try:
        return accumulator + value
    except TypeError:
        # A timedelta, for example, cannot be added to the 0 that a sum begins with.
        if type(accumulator) is not int or accumulator or isinstance(value, _WITHOUT_SUM):
            raise
        return value


def _add_all(accumulator: Any, values: Sequence[Any]) -> Any:
    try:
        # Not the builtin sum: from Python 3.12 it compensates floats, and the result would
        # depend on where the batches were cut.
        total = reduce(operator.add, values, accumulator)
    except (TypeError, ArithmeticError):
        return reduce(_add, values, accumulator)
    return reduce(_add, values, accumulator) if type(total) is Decimal else total


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


def min(of: Of | None = None, *, value: Any = None) -> Aggregator:
    """The smallest value, ``None`` for no values; of equal ones the first.

    NaN is greater than every number, as in DuckDB and PostgreSQL: it is the result only if all are NaN.
    """
    return Aggregator(
        kind="min",
        initial=_none,
        add=_add_min,
        add_many=lambda accumulator, values: reduce(_add_min, values, accumulator),
        of=of,
        keeps_values=of is None,
        declared_type=value,
        result_type=value,
    )


def max(of: Of | None = None, *, value: Any = None) -> Aggregator:
    """The largest value, ``None`` for no values; of equal ones the first.

    NaN is greater than every number, as in DuckDB and PostgreSQL: it is the result if any is NaN.
    """
    return Aggregator(
        kind="max",
        initial=_none,
        add=_add_max,
        add_many=lambda accumulator, values: reduce(_add_max, values, accumulator),
        of=of,
        keeps_values=of is None,
        declared_type=value,
        result_type=value,
    )


def _mean_start() -> list[Any]:
    return [0, 0]


def _add_mean(accumulator: list[Any], value: Any) -> list[Any]:
    return [accumulator[0] + 1, _add(accumulator[1], value)]


def mean_of(accumulator: Sequence[Any]) -> Any:
    """Return the mean of a stored ``[count, sum]``."""
    value_count, total = accumulator
    return total / value_count if value_count else None


def mean(of: Of | None = None) -> Aggregator:
    """The arithmetic mean of numbers, Decimals or timedeltas, ``None`` for no values; NaN if any is NaN."""
    return Aggregator(
        kind="mean",
        initial=_mean_start,
        add=_add_mean,
        add_many=lambda accumulator, values: [
            accumulator[0] + len(values),
            _add_all(accumulator[1], values),
        ],
        result=mean_of,
        of=of,
        result_type=float,
    )


def first(of: Of | None = None, *, value: Any = None) -> Aggregator:
    """The value of the first record in the partition."""
    return Aggregator(
        kind="first",
        initial=_none,
        add=lambda accumulator, value: value if accumulator is None else accumulator,
        add_many=lambda accumulator, values: values[0] if accumulator is None else accumulator,
        of=of,
        keeps_values=of is None,
        declared_type=value,
        result_type=value,
    )


def last(of: Of | None = None, *, value: Any = None) -> Aggregator:
    """The value of the last record in the partition."""
    return Aggregator(
        kind="last",
        initial=_none,
        add=lambda _, value: value,
        add_many=lambda _, values: values[-1],
        of=of,
        keeps_values=of is None,
        declared_type=value,
        result_type=value,
    )


def aggregation(
    initial: Callable[[], Any],
    add: Callable[[Any, Any], Any],
    *,
    of: Of | None = None,
    result: Callable[[Any], Any] | None = None,
    value: Any = None,
) -> Aggregator:
    """Return a user-defined aggregation: ``add(accumulator, value)`` returns the next accumulator.

    The accumulator is stored as MessagePack of plain data, or of its type ``value``. ``add`` must not change
    the accumulator that it is given.
    """
    return Aggregator(
        kind="custom",
        initial=initial,
        add=add,
        add_many=lambda accumulator, values: reduce(add, values, accumulator),
        result=result or (lambda accumulator: accumulator),
        of=of,
        counts_none=of is None,
        declared_type=value,
    )


def reducer(function: Callable[[Any, Any], Any]) -> Aggregator:
    """Return the aggregation of ``stream.reduce``: the first value is the first accumulator."""

    def add(accumulator: Any, value: Any) -> Any:
        return value if accumulator is None else function(accumulator, value)

    return Aggregator(
        kind="reduce",
        initial=_none,
        add=add,
        add_many=lambda accumulator, values: reduce(add, values, accumulator),
        keeps_values=True,
    )


def folder(initial: Any, function: Callable[[Any, Any], Any]) -> Aggregator:
    """Return the aggregation of ``stream.fold``; ``initial`` is a value or a function that makes one."""
    return Aggregator(
        kind="fold",
        # A copy for each key: a function that changes its accumulator in place must not reach the others.
        initial=initial if callable(initial) else lambda: copy.deepcopy(initial),
        add=function,
        add_many=lambda accumulator, values: reduce(function, values, accumulator),
        counts_none=True,
    )


RESULTS_BY_KIND: dict[str, Callable[[Any], Any]] = {"mean": mean_of}
"""The functions by which tools turn a stored accumulator into its result; other kinds need none."""
