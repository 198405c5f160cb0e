"""What is refused where an aggregate is declared, and which types follow from its functions."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple

import msgspec
import pytest

import streamcore as sc
from streamcore.errors import TopologyError
from streamcore.processing.dsl.attribute_types import attribute_type
from streamcore.processing.topology.aggregator import ensure_can_merge
from streamcore.processing.topology.retraction import ensure_can_remove

untyped: Any = sc
"""The package for calls that a type checker refuses."""


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Customer:
    name: str
    born: date | None


@dataclass(frozen=True)
class Order:
    amount: int
    price: Decimal
    colour: Colour
    customer: Customer
    tags: dict[str, int]


def orders() -> Any:
    return sc.App("app").topic("orders", key=str, value=Order)


def test_the_type_of_an_attribute_is_that_of_a_lambda_that_reads_it() -> None:
    other = Customer("a", None)

    assert attribute_type(lambda order: order.amount, Order) is int
    assert attribute_type(lambda order: order.customer.born, Order) is date
    for function in (
        lambda order: order,
        lambda order: order.amount + 1,
        lambda order: other.name,
        lambda order: order.missing,
        lambda order: order.customer.name.upper(),
        lambda order, more: order.amount,
        len,
    ):
        assert attribute_type(function, Order) is None
    assert attribute_type(lambda order: order.amount, None) is None


def test_an_enum_is_kept_by_the_type_of_its_attribute() -> None:
    store = orders().aggregate("table", first=sc.first(lambda order: order.colour), n=sc.count()).store

    assert store.value_serde.decode(store.value_serde.encode((Colour.RED, 1))) == (Colour.RED, 1)


@pytest.mark.parametrize(
    ("make", "lacks"),
    [
        (lambda: sc.sum(lambda order: order.customer.name), "sum"),
        (lambda: sc.mean(lambda order: order.customer.born), "sum"),
        (lambda: sc.variance(lambda order: order.customer.name), "distances"),
        (lambda: sc.stddev(lambda order: order.customer.born), "distances"),
        (lambda: sc.min(lambda order: order.tags), "order"),
        (lambda: sc.argmax(lambda order: order.customer), "order"),
        (lambda: sc.top(2, lambda order: order.tags), "order"),
        (lambda: sc.distinct(lambda order: order.tags), "identity"),
    ],
)
def test_values_that_have_no_such_aggregate_are_refused_where_it_is_declared(make: Any, lacks: str) -> None:
    with pytest.raises(TopologyError, match=rf"have no {lacks}.*at=.*test_declared_aggregates.py:\d+"):
        orders().aggregate("table", found=make())


@pytest.mark.parametrize(
    "call",
    [
        lambda: untyped.top(0, len),
        lambda: untyped.top("3", len),
        lambda: untyped.top(True, len),
        lambda: untyped.top(3),
        lambda: untyped.collect(limit=0),
        lambda: untyped.collect(limit=10_001),
        lambda: untyped.distinct(limit=2.5),
    ],
)
def test_a_wrong_number_is_refused_with_the_line_of_the_call(call: Any) -> None:
    with pytest.raises(TopologyError, match=r"at=.*test_declared_aggregates.py:\d+"):
        call()


@pytest.mark.skipif(importlib.util.find_spec("datasketches") is None, reason="datasketches is not installed")
@pytest.mark.parametrize(
    "call",
    [
        lambda: untyped.quantile(len, 1.5),
        lambda: untyped.quantile(len, "0.5"),
        lambda: untyped.quantile(len, float("nan")),
        lambda: untyped.quantile(len),
        lambda: untyped.approx_distinct(precision=30),
    ],
)
def test_a_wrong_number_for_a_sketch_is_refused_with_the_line_of_the_call(call: Any) -> None:
    with pytest.raises(TopologyError, match=r"at=.*test_declared_aggregates.py:\d+"):
        call()


def test_without_the_package_of_the_sketches_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    for call in (sc.approx_distinct, lambda: sc.quantile(len, 0.5)):
        with pytest.raises(TopologyError, match=r"pip install 'streamcore\[sketches\]'.*at="):
            call()


def test_the_functions_of_a_ranking_are_checked() -> None:
    async def awaited(order: Order) -> int:
        return order.amount

    for made in (untyped.argmin(awaited), untyped.top(1, lambda: 1), untyped.argmax(len, of="name")):
        with pytest.raises(TopologyError, match="step=table"):
            orders().aggregate("table", found=made)
    with pytest.raises(TopologyError, match=r"earlier, later"):
        orders().aggregate(
            "table",
            found=sc.aggregation(int, lambda total, order: total, merge=lambda one: one),  # type: ignore
        )


class Named(NamedTuple):
    orders: int
    price: Decimal


class Wrong(msgspec.Struct):
    orders: str
    price: Decimal


@dataclass
class Loose:
    orders: float
    price: Any


def test_the_fields_of_into_take_the_results() -> None:
    named: dict[str, Any] = {"orders": sc.count(), "price": sc.sum(lambda order: order.price)}

    for into in (Named, Loose, dict):
        orders().aggregate("table", into=into, **named)
    with pytest.raises(
        TopologyError, match=r"field=orders declared=str aggregation=count result=int at=.*aggregates.py"
    ):
        orders().aggregate("table", into=Wrong, **named)
    with pytest.raises(TopologyError, match=r"names=orders "):
        orders().aggregate("table", into=Named, orders=sc.count())


@pytest.mark.parametrize(
    ("result", "made"),
    [
        (float, sc.variance(lambda order: order.amount)),
        (list, sc.top(1, lambda order: order.amount)),
        (list, sc.collect()),
        (int, sc.distinct()),
        (Customer, sc.argmax(lambda order: order.amount, of=lambda order: order.customer)),
        (Order, sc.last()),
        (float, sc.mean(lambda order: order.amount)),
    ],
)
def test_a_field_of_another_type_than_the_result_is_refused(result: type, made: Any) -> None:
    for field, is_refused in ((result, False), (result | None, False), (bytes, True), (bytes | None, True)):
        into = msgspec.defstruct("Into", [("found", field)])
        if is_refused:
            with pytest.raises(TopologyError, match="another type than the result"):
                orders().aggregate("table", into=into, found=made)
        else:
            orders().aggregate("table", into=into, found=made)


def test_what_cannot_merge_is_refused_with_what_to_write_instead() -> None:
    own = sc.aggregation(int, lambda total, order: total + 1)

    ensure_can_merge("sessions", {"n": sc.count(), "top": sc.top(2, len), "mean": sc.mean()})
    with pytest.raises(TopologyError, match=r"merge=\.\.\..*step=sessions aggregation=own=custom"):
        ensure_can_merge("sessions", {"n": sc.count(), "own": own})


def test_what_cannot_remove_is_refused_with_the_reason_and_what_to_write_instead() -> None:
    own = sc.aggregation(int, lambda total, order: total + 1)
    with pytest.raises(TopologyError, match=r"give remove=.*step=regions aggregation=own kind=custom"):
        ensure_can_remove("regions", {"own": own})
    if importlib.util.find_spec("datasketches") is not None:
        with pytest.raises(TopologyError, match=r"use sc.distinct\(\)"):
            ensure_can_remove("regions", {"about": sc.approx_distinct()})
        with pytest.raises(TopologyError, match=r"use sc.collect\(\)"):
            ensure_can_remove("regions", {"median": sc.quantile(None, 0.5)})
