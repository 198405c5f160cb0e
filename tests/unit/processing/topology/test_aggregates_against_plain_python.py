"""Each aggregate against a computation in plain Python over random values, cut, merged and removed.

The plain computation sees all values that count, in their order. Everything but variances of large floats and
sketches of many values is equal to it, to the last digit.
"""

from __future__ import annotations

import importlib.util
import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest

from streamcore.processing.topology import aggregations, kept_aggregations, sketches
from streamcore.processing.topology.aggregator import Aggregator
from streamcore.processing.topology.retraction import removable
from streamcore.serde import UNTYPED

Values = list[Any]

NAN = math.nan


@dataclass(frozen=True)
class Case:
    make: Callable[[], Aggregator[Any, Any]]
    plain: Callable[[Values], Any]
    values: Callable[[random.Random], Any]
    is_close: bool = False
    """Whether results may differ in the last digits while nothing is removed: sums of floats, variances."""


def ints(chance: random.Random) -> int:
    return chance.choice((chance.randrange(-5, 6), chance.randrange(-(2**80), 2**80)))


def floats(chance: random.Random) -> float:
    return chance.choice((float(chance.randrange(-3, 4)), chance.uniform(-1e6, 1e6), 1e16, 0.1, -0.0))


def any_floats(chance: random.Random) -> float:
    return chance.choice((floats(chance), floats(chance), NAN, math.inf, -math.inf))


def decimals(chance: random.Random) -> Decimal:
    return Decimal(chance.randrange(-(10**30), 10**30)).scaleb(chance.randrange(-20, 5))


def spans(chance: random.Random) -> timedelta:
    return timedelta(milliseconds=chance.randrange(-(10**9), 10**9))


def small(chance: random.Random) -> int:
    return chance.randrange(6)


def keys(chance: random.Random) -> Any:
    return chance.choice(
        ("a", "", b"a", 1, True, 2.5, None, Decimal("1"), (1, "b"), NAN, 2**70, timedelta(1))
    )


def pairs(chance: random.Random) -> tuple[Any, int]:
    """A rank and a value that no other pair has."""
    return chance.choice((chance.randrange(4), 2.5, NAN)), chance.randrange(10**9)


def order(value: float) -> tuple[bool, float]:
    """NaN is greater than every number."""
    return (True, 0.0) if value != value else (False, value)


def plain_sum(values: Values) -> Any:
    if any(isinstance(value, float) for value in values):
        odd = [value for value in values if not math.isfinite(value)]
        return sum(odd) if odd else float(sum(map(Fraction, values)))
    with localcontext(prec=200):
        return sum(values[1:], values[0]) if values else 0


def plain_mean(values: Values) -> Any:
    return plain_sum(values) / len(values) if values else None


def plain_variance(values: Values) -> float | None:
    if len(values) < 2:
        return None
    if not all(map(math.isfinite, values)):
        return NAN
    return float(statistics.variance(map(Fraction, values)))


def plain_stddev(values: Values) -> float | None:
    variance = plain_variance(values)
    return None if variance is None else math.sqrt(variance)


def plain_min(values: Values) -> Any:
    found = min(values, key=order, default=None)
    return found + 0.0 if isinstance(found, float) else found


def plain_max(values: Values) -> Any:
    found = max(values, key=order, default=None)
    return found + 0.0 if isinstance(found, float) else found


def plain_distinct(values: Values) -> int:
    apart = (bool, Decimal)  # classes whose values equal numbers, and are others
    return len(
        {(type(value) in apart and type(value), "nan" if value != value else value) for value in values}
    )


def plain_quantile(values: Values) -> float | None:
    if not values:
        return None
    in_order = sorted(values, key=order)
    rank = 0.3 * (len(values) - 1)
    low, high, part = in_order[math.floor(rank)], in_order[math.ceil(rank)], rank % 1
    return float(low if low == high or low == -math.inf else low * (1 - part) + high * part)


def first_of_pair(pair: tuple[Any, int]) -> Any:
    return pair[0]


def second_of_pair(pair: tuple[Any, int]) -> int:
    return pair[1]


CASES: dict[str, Case] = {
    "count": Case(aggregations.count, len, ints),
    "sum of ints": Case(aggregations.sum, plain_sum, ints),
    "sum of floats": Case(aggregations.sum, plain_sum, floats, is_close=True),
    "sum with NaN": Case(aggregations.sum, plain_sum, any_floats, is_close=True),
    "sum of decimals": Case(aggregations.sum, plain_sum, decimals),
    "sum of spans": Case(aggregations.sum, plain_sum, spans),
    "mean of ints": Case(aggregations.mean, plain_mean, ints),
    "mean of floats": Case(aggregations.mean, plain_mean, floats, is_close=True),
    "mean of decimals": Case(aggregations.mean, plain_mean, decimals),
    "mean of spans": Case(aggregations.mean, plain_mean, spans),
    "variance of ints": Case(aggregations.variance, plain_variance, ints, is_close=True),
    "variance of floats": Case(aggregations.variance, plain_variance, any_floats, is_close=True),
    "stddev": Case(aggregations.stddev, plain_stddev, floats, is_close=True),
    "min": Case(aggregations.min, plain_min, any_floats),
    "max": Case(aggregations.max, plain_max, any_floats),
    "first": Case(aggregations.first, lambda values: values[0] if values else None, small),
    "last": Case(aggregations.last, lambda values: values[-1] if values else None, small),
    "argmin": Case(
        lambda: kept_aggregations.argmin(first_of_pair),
        lambda values: min(values, key=lambda pair: order(pair[0]), default=None),
        pairs,
    ),
    "argmax": Case(
        lambda: kept_aggregations.argmax(first_of_pair, of=second_of_pair),
        lambda values: max(values, key=lambda pair: order(pair[0]))[1] if values else None,
        pairs,
    ),
    "top": Case(
        lambda: kept_aggregations.top(3, first_of_pair, of=second_of_pair),
        lambda values: [
            pair[1] for pair in sorted(values, key=lambda pair: order(pair[0]), reverse=True)[:3]
        ],
        pairs,
    ),
    "collect": Case(kept_aggregations.collect, list, small),
    "collect the newest": Case(lambda: kept_aggregations.collect(limit=2), lambda values: values[-2:], small),
    "distinct": Case(kept_aggregations.distinct, plain_distinct, keys),
    "own": Case(
        lambda: aggregations.aggregation(
            int,
            lambda total, value: total + value,
            merge=lambda earlier, later: earlier + later,
            remove=lambda total, value: total - value,
            result=str,
        ),
        lambda values: str(sum(values)),
        ints,
    ),
    "reduce": Case(
        lambda: aggregations.reducer(lambda one, two: one + two),
        lambda values: "".join(values) if values else None,
        lambda chance: chance.choice("abc"),
    ),
    "fold": Case(lambda: aggregations.folder(0, lambda total, value: total + value), sum, ints),
}
if importlib.util.find_spec("datasketches") is not None:
    CASES |= {
        "approx_distinct": Case(sketches.approx_distinct, plain_distinct, keys),
        "quantile": Case(lambda: sketches.quantile(None, 0.3), plain_quantile, any_floats),
    }

WITHOUT_MERGE = {"fold"}
WITHOUT_REMOVE = {"fold", "reduce", "approx_distinct", "quantile"}


def taken(aggregator: Aggregator[Any, Any], values: Values) -> Values:
    """What the engine passes to the aggregator: the results of ``of`` that are not ``None``."""
    found = values if aggregator.of is None else list(map(aggregator.of, values))
    return found if aggregator.counts_none else [value for value in found if value is not None]


def counting(aggregator: Aggregator[Any, Any], values: Values) -> Values:
    """The values that count for the plain computation."""
    return [value for value in values if value is not None or aggregator.counts_none]


def loaded(aggregator: Aggregator[Any, Any], accumulator: Any) -> Any:
    """The accumulator as a store gives it back."""
    stored = accumulator if aggregator.stored is None else aggregator.stored(accumulator)
    return UNTYPED.decode(UNTYPED.encode(stored))


def folded(aggregator: Aggregator[Any, Any], accumulator: Any, values: Values, chance: random.Random) -> Any:
    """Values that are added in random cuts, one by one or many at a time or as one of several groups, stored
    and loaded in between.
    """
    values = taken(aggregator, values)
    while values:
        count = chance.randrange(1, len(values) + 1)
        part, values = values[:count], values[count:]
        match chance.randrange(3):
            case 0:
                accumulator = aggregator.add_many(accumulator, part)
            case 1:
                others = [aggregator.initial(), accumulator]
                _, accumulator, _ = aggregator.added_groups(
                    [*others, accumulator], [part[:1], part, part[-1:]]
                )
            case _:
                for value in part:
                    accumulator = aggregator.add(accumulator, value)
        if chance.random() < 0.5:
            accumulator = loaded(aggregator, accumulator)
    return accumulator


def drawn(case: Case, chance: random.Random, most: int = 12) -> Values:
    return [case.values(chance) for _ in range(chance.randrange(most))]


def ensure_equal(found: Any, expected: Any, *, is_close: bool) -> None:
    if is_close and isinstance(expected, float) and math.isfinite(expected):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-6)
    elif isinstance(expected, Decimal):  # zeros at the end do not matter
        assert found == expected
    else:
        assert repr(found) == repr(expected)


@pytest.mark.parametrize("name", CASES)
def test_the_result_is_that_of_all_values_however_they_are_cut(name: str) -> None:
    case, chance = CASES[name], random.Random(name)
    for _ in range(40):
        values = drawn(case, chance)
        aggregator = case.make()

        found = aggregator.result(folded(aggregator, aggregator.initial(), values, chance))

        ensure_equal(found, case.plain(counting(aggregator, values)), is_close=case.is_close)


@pytest.mark.parametrize("name", sorted(set(CASES) - WITHOUT_MERGE))
@pytest.mark.parametrize("of_table", [False, True])
def test_merged_parts_give_the_result_of_all_values_however_they_are_grouped(
    name: str, of_table: bool
) -> None:
    case, chance = CASES[name], random.Random(name)
    for _ in range(40):
        parts = [drawn(case, chance, 6) for _ in range(chance.randrange(1, 5))]
        made = case.make()
        aggregator = (removable(made) or made) if of_table else made
        assert aggregator.merge is not None
        accumulators = [folded(aggregator, aggregator.initial(), part, chance) for part in parts]
        while len(accumulators) > 1:
            index = chance.randrange(len(accumulators) - 1)
            accumulators[index : index + 2] = [aggregator.merge(*accumulators[index : index + 2])]

        found = aggregator.result(accumulators[0])

        values = [value for part in parts for value in part]
        ensure_equal(found, case.plain(counting(aggregator, values)), is_close=case.is_close)


@pytest.mark.parametrize("name", sorted(set(CASES) - WITHOUT_REMOVE))
def test_after_removals_the_result_is_that_of_the_values_that_are_left(name: str) -> None:
    case, chance = CASES[name], random.Random(name)
    for _ in range(40):
        aggregator = removable(case.make())
        assert aggregator is not None
        assert aggregator.remove is not None
        accumulator, rows = aggregator.initial(), list[Any]()
        for _ in range(chance.randrange(1, 6)):
            added = drawn(case, chance, 6)
            accumulator = folded(aggregator, accumulator, added, chance)
            rows += added
            for _ in range(chance.randrange(len(rows) + 1)):
                row = rows[chance.randrange(len(rows))]
                del rows[next(index for index, other in enumerate(rows) if repr(other) == repr(row))]
                for value in taken(aggregator, [row]):
                    accumulator = aggregator.remove(accumulator, value)

            ensure_equal(
                aggregator.result(accumulator), case.plain(counting(aggregator, rows)), is_close=False
            )


def test_the_kinds_without_merge_or_remove_are_the_documented_ones() -> None:
    assert {name for name, case in CASES.items() if case.make().merge is None} == WITHOUT_MERGE
    assert {name for name, case in CASES.items() if removable(case.make()) is None} == WITHOUT_REMOVE & set(
        CASES
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("of_table", [False, True])
def test_groups_of_values_at_a_time_give_what_each_group_gives_alone(name: str, of_table: bool) -> None:
    case, chance = CASES[name], random.Random(name)
    for _ in range(40):
        made = case.make()
        aggregator = (removable(made) or made) if of_table else made
        groups = [taken(aggregator, drawn(case, chance, 20)) for _ in range(4)]
        groups = [group for group in groups if group]
        starts = [folded(aggregator, aggregator.initial(), drawn(case, chance, 20), chance) for _ in groups]

        found = aggregator.added_groups(starts, groups)

        alone = [aggregator.add_many(start, group) for start, group in zip(starts, groups, strict=True)]
        assert list(map(repr, map(aggregator.result, found))) == list(
            map(repr, map(aggregator.result, alone))
        )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("of_table", [False, True])
def test_no_function_changes_the_accumulator_that_it_is_given(name: str, of_table: bool) -> None:
    case, chance = CASES[name], random.Random(name)
    made = case.make()
    aggregator = (removable(made) or made) if of_table else made
    values = taken(aggregator, [case.values(chance) for _ in range(9)])
    one = aggregator.add_many(aggregator.initial(), values[:3])
    two = aggregator.add_many(aggregator.initial(), values[3:])
    before = repr((one, two))

    aggregator.add(one, values[0])
    aggregator.add_many(one, values)
    aggregator.added_groups([one, two], [values, values[:1]])
    aggregator.result(one)
    if aggregator.merge is not None:
        aggregator.merge(one, two)
    if aggregator.remove is not None:
        aggregator.remove(one, values[0])

    assert repr((one, two)) == before


def shuffled(values: Sequence[Any], seed: int) -> Values:
    return random.Random(seed).sample(list(values), len(values))


@pytest.mark.parametrize("offset", [0.0, 1e9, 1e12])
def test_a_variance_of_values_far_from_zero_keeps_its_digits(offset: float) -> None:
    values = [offset + step / 8 for step in range(64)]
    aggregator = aggregations.variance()
    halves = [aggregator.add_many(aggregator.initial(), part) for part in (values[:20], values[20:])]
    assert aggregator.merge is not None

    for accumulator in (aggregator.merge(*halves), aggregator.add_many(aggregator.initial(), values)):
        assert aggregator.result(accumulator) == pytest.approx(plain_variance(values), rel=1e-6)


def test_a_removed_value_leaves_no_trace_in_a_sum_of_floats() -> None:
    for make in (aggregations.sum, aggregations.mean, aggregations.variance):
        aggregator = removable(make())
        assert aggregator is not None
        assert aggregator.remove is not None
        start = aggregator.add_many(aggregator.initial(), [0.1, 0.2, 0.3])
        accumulator = start
        for value in (1e300, NAN, math.inf, 1e-300):
            accumulator = aggregator.add(accumulator, value)
        for value in (math.inf, 1e300, 1e-300, NAN):
            accumulator = aggregator.remove(accumulator, value)

        assert accumulator == start
