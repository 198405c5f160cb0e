"""Sums and variances that can be undone: exact, whatever the order, and rounded once."""

from __future__ import annotations

import math
import statistics
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.processing.topology import exact_numbers as exact

NO_SUM: Any = [0, 0, None, {}]
NO_MOMENTS: Any = [0, 0, 0, 0, 0, 0]
FLOATS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e200, max_value=1e200)
NUMBERS = st.lists(st.one_of(st.integers(-(10**20), 10**20), FLOATS), max_size=8)
ODD = [math.nan, math.inf, -math.inf]


def summed(values: list[Any], start: Any = NO_SUM) -> Any:
    return reduce(lambda found, value: exact.exact_sum(1, found, value), values, start)


def moments(values: list[Any]) -> Any:
    return reduce(lambda found, value: exact.exact_moments(1, found, value), values, NO_MOMENTS)


@given(NUMBERS)
def test_a_sum_is_that_of_fractions_rounded_once(values: list[Any]) -> None:
    total = sum(map(Fraction, values), Fraction(0))

    assert exact.total_of(summed(values)) == (float(total) if any(map(is_float, values)) else int(total))


def is_float(value: Any) -> bool:
    return isinstance(value, float)


@given(NUMBERS, st.lists(FLOATS | st.sampled_from(ODD), max_size=4), st.randoms())
def test_values_that_are_removed_in_any_order_leave_no_trace(
    kept: list[Any], removed: list[Any], random: Any
) -> None:
    values = [*kept, *removed]
    random.shuffle(values)
    state = summed(values)
    random.shuffle(removed)
    for value in removed:
        state = exact.exact_sum(-1, state, value)

    assert state == summed(kept)


@given(NUMBERS, NUMBERS)
def test_the_sum_of_two_parts_is_that_of_all_values(first: list[Any], second: list[Any]) -> None:
    assert exact.merge_exact_sums(summed(first), summed(second)) == summed([*first, *second])


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([1e16, 1.0, -1e16], 1.0),
        ([0.1] * 10, 1.0),
        ([True, 2], 3),
        ([2**70, 1], 2**70 + 1),
        ([Decimal("1e-30"), Decimal(1), 2], Decimal("3.000000000000000000000000000001")),
        ([timedelta(days=1), timedelta(hours=1)], timedelta(hours=25)),
        ([1.0, math.inf], math.inf),
        ([Decimal(1), Decimal("-Infinity")], Decimal("-Infinity")),
        ([1e308, 1e308], math.inf),
        ([], 0),
    ],
)
def test_a_sum_keeps_what_rounding_would_lose(values: list[Any], total: Any) -> None:
    found = exact.total_of(summed(values))

    assert (found, type(found)) == (total, type(total))


@pytest.mark.parametrize("values", [[math.nan], [math.inf, -math.inf], [Decimal("NaN")]])
def test_the_sum_of_what_is_no_number_or_of_two_infinities_is_no_number(values: list[Any]) -> None:
    total = exact.total_of(summed(values))

    assert total != total


@pytest.mark.parametrize(
    "values", [[1.0, Decimal(1)], [Decimal(1), timedelta(1)], ["text"], [None], [1.5, timedelta(1)]]
)
def test_values_that_python_does_not_add_are_refused(values: list[Any]) -> None:
    with pytest.raises(TypeError):
        summed(values)


@given(st.lists(st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6)), min_size=2, max_size=8))
def test_a_variance_is_that_of_fractions_rounded_once(values: list[Any]) -> None:
    variance = statistics.variance(map(Fraction, values))

    assert exact.variance_of_moments(moments(values)) == float(variance)


@given(NUMBERS, NUMBERS)
def test_moments_of_two_parts_are_those_of_all_values_and_can_be_removed(
    first: list[Any], second: list[Any]
) -> None:
    both = exact.merge_moments(moments(first), moments(second))
    left = reduce(lambda found, value: exact.exact_moments(-1, found, value), second, both)

    assert both == moments([*first, *second])
    assert left == moments(first)


def test_a_variance_needs_two_values_and_has_no_number_beside_an_infinity() -> None:
    assert exact.variance_of_moments(moments([5])) is None
    assert math.isnan(exact.variance_of_moments(moments([5, math.inf, 1.0])) or 0.0)


@given(st.lists(st.floats(-1e9, 1e9), max_size=12), st.integers(0, 12))
def test_a_running_variance_does_not_depend_on_batches(values: list[float], cut: int) -> None:
    start: Any = [0, 0.0, 0.0]
    one_by_one = reduce(exact.add_to_variance, values, start)
    first = exact.add_all_to_variance(start, values[:cut])

    assert exact.add_all_to_variance(first, values[cut:]) == one_by_one


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12), st.integers(0, 12))
def test_a_variance_of_two_parts_is_close_to_that_of_all_values(values: list[float], cut: int) -> None:
    start = [0, 0.0, 0.0]
    merged = exact.merge_variances(
        exact.add_all_to_variance(start, values[:cut]), exact.add_all_to_variance(start, values[cut:])
    )

    assert exact.variance_of(merged) == pytest.approx(statistics.variance(values), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("values", [[0.1, 0.2, 0.3], [Decimal("0.1"), 1, Decimal("1e-40")], [timedelta(1)]])
def test_a_running_sum_does_not_depend_on_batches(values: list[Any]) -> None:
    assert exact.add_all(0, values) == reduce(exact.add, values, 0)
    assert exact.add_all(exact.add_all(0, values[:1]), values[1:]) == reduce(exact.add, values, 0)
