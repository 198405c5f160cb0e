"""The stores of aggregations: what they hold, how it is stored, what it looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from streamcore.errors import SerdeError, TopologyError
from streamcore.processing.dsl.app import App
from streamcore.processing.topology import aggregations
from streamcore.processing.topology.nodes import StoreSpec


class Price(msgspec.Struct, frozen=True):
    amount: float


def amount_of(price: Price) -> float:
    return price.amount


@dataclass(frozen=True, slots=True)
class Totals:
    records: int
    total: float


def stored(store: StoreSpec, state: tuple[Any, ...]) -> Any:
    """What comes back from the bytes of a state."""
    return store.value_serde.decode(store.value_serde.encode(state))


def prices() -> Any:
    return App("app").topic("prices", key=str, value=Price)


def test_several_aggregations_are_one_state_and_one_result_with_their_names() -> None:
    store = prices().aggregate("stats", records=aggregations.count(), mean=aggregations.mean(amount_of)).store
    state = stored(store, (2, [2, 5.0]))

    result = store.result(state)

    assert state == (2, [2, 5.0])
    assert (result.records, result.mean) == (2, 2.5)


def test_a_result_can_be_an_object_of_the_users_class() -> None:
    store = (
        prices()
        .aggregate("stats", into=Totals, records=aggregations.count(), total=aggregations.sum(amount_of))
        .store
    )

    assert store.result((2, 3.5)) == Totals(2, 3.5)


def test_a_count_is_its_number() -> None:
    store = prices().count("counted").store

    assert store.result(stored(store, (7,))) == 7


def test_an_aggregation_that_keeps_values_stores_them_by_their_type() -> None:
    table = prices().aggregate("extremes", first=aggregations.first(), records=aggregations.count())

    assert stored(table.store, (Price(1.5), 1)) == (Price(1.5), 1)
    assert stored(table.store, (None, 0)) == (None, 0)


def test_a_fold_stores_its_declared_or_annotated_type() -> None:
    def summed(total: Totals, price: Price) -> Totals:
        return Totals(total.records + 1, total.total + price.amount)

    store = prices().fold("totals", Totals(0, 0.0), summed).store

    assert stored(store, (Totals(1, 2.0),)) == (Totals(1, 2.0),)


def test_an_accumulator_of_another_type_than_declared_is_refused_where_it_is_made() -> None:
    store = prices().reduce("reduced", lambda one, two: one.amount + two.amount).store
    ((_, reduced),) = store.aggregators

    for fold in (reduced.add, lambda accumulator, value: reduced.add_many(accumulator, [value])):
        with pytest.raises(SerdeError, match=r"returned another type than the state holds.*given=float"):
            fold(Price(1.0), Price(2.0))


def test_a_whole_number_is_a_float_as_python_has_it() -> None:
    store = App("app").topic("numbers", key=str, value=float).reduce("sum", lambda one, two: one + two).store

    assert stored(store, (3,)) == (3.0,)


def test_untyped_accumulators_are_plain_data_and_others_are_refused() -> None:
    store = App("app").topic("any", key=str).reduce("last", lambda one, two: two).store

    assert stored(store, ({"a": (1, None)},)) == ({"a": (1, None)},)
    with pytest.raises(SerdeError):
        store.value_serde.encode((object(),))


def test_an_aggregation_has_something_to_aggregate_and_names_that_are_attributes() -> None:
    with pytest.raises(TopologyError, match="at least one aggregation"):
        prices().aggregate("nothing")
    with pytest.raises(TopologyError, match="attribute names"):
        prices().aggregate("named", **{"not a name": aggregations.count()})
    with pytest.raises(TopologyError, match=r"use sc.count\(\)"):
        prices().aggregate("wrong", total=sum)
