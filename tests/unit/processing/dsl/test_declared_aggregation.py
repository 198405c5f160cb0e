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


def ways_to_aggregate() -> list[Any]:
    stream = prices()
    return [
        stream,
        stream.tumbling("1h"),
        stream.table("newest").group_by(lambda price: price.amount, key=float),
    ]


@pytest.mark.parametrize("way", range(3))
def test_an_aggregation_can_have_the_name_of_a_parameter_of_the_method(way: int) -> None:
    table = ways_to_aggregate()[way].aggregate(
        "stats", name=aggregations.count(), self=aggregations.count(), store=aggregations.count()
    )

    result = table.store.result((2, 5, 3))

    assert (result.name, result.self, result.store) == (2, 5, 3)


@pytest.mark.parametrize("way", range(3))
def test_the_name_of_the_table_can_be_given_in_the_former_way(way: int) -> None:
    with pytest.warns(DeprecationWarning, match=r"aggregate\('table'\)") as warned:
        table = ways_to_aggregate()[way].aggregate(name="stats", records=aggregations.count())

    assert table.store.name == "stats"
    assert warned[0].filename == __file__


@pytest.mark.parametrize("name", ["into", "on_error", "late"])
def test_an_aggregation_cannot_have_the_name_of_a_setting(name: str) -> None:
    with pytest.raises(TopologyError, match=f"cannot have this name.*store='stats' aggregation={name}"):
        prices().tumbling("1h").aggregate("stats", **{name: aggregations.count()})


@pytest.mark.parametrize("name", ["class", "two words", "__class__", "1st", ""])
def test_an_aggregation_has_the_name_of_an_attribute(name: str) -> None:
    with pytest.raises(TopologyError, match=r"attribute names.*give it another name.*aggregation="):
        prices().aggregate("stats", **{name: aggregations.count()})


def test_an_aggregation_of_a_table_without_a_name_is_refused() -> None:
    with pytest.raises(TopologyError, match="name the table first"):
        prices().aggregate(records=aggregations.count())


@pytest.mark.parametrize("arm", ["rest", "on_error", "_streams"])
def test_an_arm_of_a_branch_has_a_name_of_its_own(arm: str) -> None:
    with pytest.raises(TopologyError, match=f"no arm is called.*taken={arm}"):
        prices().branch(**{arm: lambda price: price.amount > 1})


def test_an_arm_of_a_branch_can_have_the_name_of_a_parameter() -> None:
    arms = prices().branch(self=lambda price: price.amount > 1)

    assert arms.self.name == "prices.self"
