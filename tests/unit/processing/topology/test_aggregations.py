"""What each aggregation makes of values, one by one and many at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.processing.topology import aggregations
from streamcore.processing.topology.aggregator import Aggregator
from streamcore.processing.topology.stored_results import stored_result


def result_of(aggregator: Aggregator, values: Sequence[Any]) -> Any:
    accumulator = aggregator.initial()
    for value in values:
        accumulator = aggregator.add(accumulator, value)
    return aggregator.result(accumulator)


ALL: dict[str, Aggregator] = {
    "count": aggregations.count(),
    "sum": aggregations.sum(),
    "min": aggregations.min(),
    "max": aggregations.max(),
    "mean": aggregations.mean(),
    "first": aggregations.first(),
    "last": aggregations.last(),
    "own": aggregations.aggregation(lambda: "", lambda text, value: f"{text}{value};"),
    "reduce": aggregations.reducer(lambda one, two: one * 2 + two),
    "fold": aggregations.folder(1, lambda one, two: one * 2 + two),
}


@pytest.mark.parametrize(
    ("name", "none", "some"),
    [
        ("count", 0, 4),
        ("sum", 0, 13),
        ("min", None, 1),
        ("max", None, 7),
        ("mean", None, 3.25),
        ("first", None, 3),
        ("last", None, 2),
        ("own", "", "3;1;7;2;"),
        ("reduce", None, 44),
        ("fold", 1, 60),
    ],
)
def test_the_result_of_no_values_and_of_some(name: str, none: Any, some: Any) -> None:
    assert result_of(ALL[name], []) == none
    assert result_of(ALL[name], [3, 1, 7, 2]) == some


numbers = st.lists(st.integers(-5, 5) | st.floats(-1e6, 1e6), min_size=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
@given(before=numbers, values=numbers)
def test_many_at_a_time_are_the_same_as_one_by_one(
    name: str, before: list[float], values: list[float]
) -> None:
    aggregator = ALL[name]
    start = aggregator.add_many(aggregator.initial(), before)
    one_by_one = start
    for value in values:
        one_by_one = aggregator.add(one_by_one, value)

    together = aggregator.add_many(start, values)

    assert repr(together) == repr(one_by_one)


@pytest.mark.parametrize("name", ALL)
def test_adding_leaves_the_accumulator_as_it_was(name: str) -> None:
    aggregator = ALL[name]
    accumulator = aggregator.add(aggregator.initial(), 3)
    before = repr(accumulator)

    aggregator.add(accumulator, 4)
    aggregator.add_many(accumulator, [5, 6])

    assert repr(accumulator) == before


@pytest.mark.parametrize(("smallest", "largest"), [((1, "a"), (2, "c"))])
def test_of_equal_smallest_or_largest_values_the_first_stays(smallest: Any, largest: Any) -> None:
    class Named(int):
        name: str

    def named(value: int, name: str) -> Named:
        found = Named(value)
        found.name = name
        return found

    values = [named(1, "a"), named(1, "b"), named(2, "c"), named(2, "d")]

    assert result_of(aggregations.min(), values).name == smallest[1]
    assert result_of(aggregations.max(), values).name == largest[1]


def test_counting_without_of_counts_every_record_and_with_it_only_what_is_not_none() -> None:
    assert aggregations.count().counts_none
    assert not aggregations.count(lambda value: value).counts_none


@pytest.mark.parametrize("make", [aggregations.sum, aggregations.min, aggregations.max, aggregations.mean])
def test_none_is_left_out_by_the_others(make: Callable[..., Aggregator]) -> None:
    assert not make().counts_none


def test_a_fold_starts_anew_for_each_key() -> None:
    lists = aggregations.folder(list, lambda found, value: [*found, value])

    assert lists.add(lists.initial(), 1) == [1]
    assert lists.initial() == []


def test_tools_show_a_stored_mean_as_its_result() -> None:
    mean = aggregations.mean()

    stored = mean.add_many(mean.initial(), [1, 2, 6])

    assert stored_result(mean.stored_kind)(stored) == 3.0
