"""Arithmetic of the aggregations on numbers: running sums, running variances, and sums that can be undone.

A running sum adds as Python does, except that Decimals keep all their digits. A running variance follows
Welford's method, and two of them are united by the formula of Chan, Golub and LeVeque: neither subtracts
large sums from each other, so values that are large compared with their differences lose no digits.

A sum from which values are removed again must not be rounded: ``1e16 + 1 - 1e16`` is 1. An ``ExactSum``
therefore holds floats as integers times a power of two, and counts NaN and the infinities apart::

    exact sum  := [ints, count, total, odd]
    ints       := the sum of all ints and bools
    count      := how many floats, Decimals or timedeltas were added
    total      := None | [numerator, exponent] of floats: numerator / 2**exponent
                | Decimal | timedelta: the sum of the finite ones
    odd        := {"nan": count, "inf": count, "-inf": count}: values that are not finite

    variance   := [count, mean, squared deviations from the mean]
    moments    := [count, odd count, numerator, exponent, numerator, exponent]: the exact sums of the values
                  and of their squares
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from datetime import timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from functools import reduce
from itertools import chain
from typing import Any, TypeAlias

from streamcore.errors import fact_text

EXACT = Context(prec=5_000, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
"""Sums of Decimals keep their digits, so they do not depend on the order; infinities that meet give NaN."""
_WITHOUT_SUM = (str, bytes, list, tuple, dict, set, frozenset)

Variance: TypeAlias = Sequence[Any]
ExactSum: TypeAlias = Sequence[Any]
Moments: TypeAlias = Sequence[int]


# -- running sums


def add(accumulator: Any, value: Any) -> Any:
    """Return the sum of two summable values; the 0 that a sum begins with can be added to each."""
    if type(value) is Decimal or type(accumulator) is Decimal:
        return EXACT.add(accumulator, value)
    try:
        return accumulator + value
    except TypeError:
        # A timedelta, for example, cannot be added to the 0 that a sum begins with.
        if isinstance(value, _WITHOUT_SUM) or isinstance(accumulator, _WITHOUT_SUM):
            raise
        if type(accumulator) is int and not accumulator:
            return value
        if type(value) is int and not value:
            return accumulator
        raise


def add_all(accumulator: Any, values: Sequence[Any]) -> Any:
    """Return the same as ``add`` for each value."""
    try:
        # Not the builtin sum: from Python 3.12 it compensates floats, and the result would
        # depend on where the batches were cut.
        total = reduce(operator.add, values, accumulator)
    except (TypeError, ArithmeticError):
        return reduce(add, values, accumulator)
    return reduce(add, values, accumulator) if type(total) is Decimal else total


def add_groups(accumulators: Sequence[Any], groups: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the same as ``add_all`` for each accumulator and its values."""
    if set(map(type, chain(accumulators, chain.from_iterable(groups)))) <= {int}:
        return list(map(operator.add, accumulators, map(sum, groups)))
    return [add_all(found, values) for found, values in zip(accumulators, groups, strict=True)]


def mean_of(accumulator: Sequence[Any]) -> Any:
    """Return the mean of a stored ``[count, sum]``."""
    value_count, total = accumulator
    return total / value_count if value_count else None


# -- running variances


def as_number(value: Any) -> int | float:
    """Return a number for statistics: an int as it is, a Decimal as a float.

    Raises:
        TypeError: it is not a number.
    """
    if isinstance(value, int | float):
        return value
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"expected a number: {fact_text(given=type(value).__name__)}")


def add_to_variance(accumulator: Variance, value: Any) -> Variance:
    """Return the running variance with one value more (Welford)."""
    count, mean, squares = accumulator
    value = float(as_number(value))
    count += 1
    delta = value - mean
    mean += delta / count
    return [count, mean, squares + delta * (value - mean)]


def add_all_to_variance(accumulator: Variance, values: Sequence[Any]) -> Variance:
    """Return the same as ``add_to_variance`` for each value."""
    count, mean, squares = accumulator
    for value in values:
        value = value if type(value) is float else float(as_number(value))
        count += 1
        delta = value - mean
        mean += delta / count
        squares += delta * (value - mean)
    return [count, mean, squares]


def merge_variances(earlier: Variance, later: Variance) -> Variance:
    """Return the running variance of the values of both (Chan, Golub and LeVeque)."""
    if not earlier[0] or not later[0]:
        return later if later[0] else earlier
    count = earlier[0] + later[0]
    delta = later[1] - earlier[1]
    mean = earlier[1] + delta * later[0] / count
    return [count, mean, earlier[2] + later[2] + delta * delta * earlier[0] * later[0] / count]


def variance_of(accumulator: Variance) -> float | None:
    """Return the sample variance of a running variance; ``None`` for fewer than two values."""
    count, _, squares = accumulator
    return float(squares / (count - 1)) if count > 1 else None


def root(variance: float | None) -> float | None:
    """Return the standard deviation of a variance."""
    return None if variance is None else math.sqrt(variance)


# -- sums that can be undone


def exact_sum(sign: int, accumulator: ExactSum, value: Any) -> ExactSum:
    """Return an exact sum after a value was added (``sign`` of 1) or removed (-1).

    Raises:
        TypeError: it is not a number or timedelta, or it cannot be added to the others.
    """
    ints, count, total, odd = accumulator
    if isinstance(value, int):
        return [ints + sign * value, count, total, odd]
    if not isinstance(value, float | Decimal | timedelta):
        raise TypeError(f"expected a number or a timedelta: {fact_text(given=type(value).__name__)}")
    kind: type = float if isinstance(value, float) else Decimal if isinstance(value, Decimal) else timedelta
    if total is None:
        total = [0, 0] if kind is float else kind(0)
    elif (float if isinstance(total, list | tuple) else type(total)) is not kind:
        raise TypeError(f"cannot be added to the earlier values: {fact_text(given=kind.__name__)}")
    if isinstance(value, timedelta):
        total += sign * value
    elif not math.isfinite(value):
        name = "nan" if value != value else "inf" if value > 0 else "-inf"
        odd = {**odd, name: odd.get(name, 0) + sign}
        if not odd[name]:
            del odd[name]
    elif isinstance(value, Decimal):
        total = EXACT.add(total, value) if sign > 0 else EXACT.subtract(total, value)
    else:
        total = _added(total, sign, *value.as_integer_ratio())
    count += sign
    return [ints, count, total if count else None, odd]


def merge_exact_sums(earlier: ExactSum, later: ExactSum) -> ExactSum:
    """Return the exact sum of the values of both.

    Raises:
        TypeError: the values cannot be added.
    """
    if earlier[2] is None or later[2] is None:
        total = later[2] if earlier[2] is None else earlier[2]
    elif isinstance(earlier[2], list | tuple) and isinstance(later[2], list | tuple):
        total = _added(earlier[2], 1, later[2][0], 1 << later[2][1])
    else:
        total = add(earlier[2], later[2])
    odd = {
        name: earlier[3].get(name, 0) + later[3].get(name, 0) for name in sorted({**earlier[3], **later[3]})
    }
    return [earlier[0] + later[0], earlier[1] + later[1], total, odd]


def total_of(accumulator: ExactSum) -> Any:
    """Return the sum as a number, rounded once; 0 for no values.

    Raises:
        TypeError: an int other than 0 and a timedelta have no sum.
    """
    ints, count, total, odd = accumulator
    if not count:
        return ints
    if odd:
        text = "nan" if "nan" in odd or len(odd) > 1 else next(iter(odd))
        return Decimal(text) if isinstance(total, Decimal) else float(text)
    if isinstance(total, list | tuple):
        return _quotient((ints << total[1]) + total[0], 1 << total[1])
    return add(ints, total)


def exact_moments(sign: int, accumulator: Moments, value: Any) -> Moments:
    """Return the exact sums of values and squares after a value was added (``sign`` of 1) or removed (-1)."""
    count, odd, *sums = accumulator
    value = as_number(value)
    if isinstance(value, float) and not math.isfinite(value):
        return [count + sign, odd + sign, *sums]
    numerator, denominator = (int(value), 1) if isinstance(value, int) else value.as_integer_ratio()
    return [
        count + sign,
        odd,
        *_added(sums[:2], sign, numerator, denominator),
        *_added(sums[2:], sign, numerator * numerator, denominator * denominator),
    ]


def merge_moments(earlier: Moments, later: Moments) -> Moments:
    """Return the exact sums of the values of both."""
    return [
        earlier[0] + later[0],
        earlier[1] + later[1],
        *_added(earlier[2:4], 1, later[2], 1 << later[3]),
        *_added(earlier[4:6], 1, later[4], 1 << later[5]),
    ]


def variance_of_moments(accumulator: Moments) -> float | None:
    """Return the variance of exact sums: ``None`` for less than two values, NaN if one is infinite or NaN."""
    count, odd, total, total_exponent, squares, squares_exponent = accumulator
    if count < 2:
        return None
    if odd:
        return math.nan
    # (count * squares - total ** 2) / (count * (count - 1)), over one power of two
    exponent = max(2 * total_exponent, squares_exponent)
    numerator = (count * squares << (exponent - squares_exponent)) - (
        total * total << (exponent - 2 * total_exponent)
    )
    return _quotient(numerator, count * (count - 1) << exponent)


def _added(total: Sequence[int], sign: int, numerator: int, denominator: int) -> list[int]:
    """Return ``[numerator, exponent]`` of a sum, in lowest terms; the denominator is a power of two."""
    exponent = denominator.bit_length() - 1
    common = max(exponent, total[1])
    found = (total[0] << (common - total[1])) + sign * (numerator << (common - exponent))
    if not found:
        return [0, 0]
    zeros = min((found & -found).bit_length() - 1, common)
    return [found >> zeros, common - zeros]


def _quotient(numerator: int, denominator: int) -> float:
    try:
        return numerator / denominator
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf
