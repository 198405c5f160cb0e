"""Aggregations of what people have: decimals, dates, enums, classes, large numbers, NaN."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamcore as sc
from streamcore.errors import TopologyError
from streamcore.testing.topology_driver import TopologyDriver


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Inner:
    size: int


@dataclass
class Pair:
    left: Inner | None
    items: list[Inner]


class Box(msgspec.Struct):
    content: list[int | None]


WHEN = datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))


def aggregated(make: Callable[[int], Any], aggregator: Callable[..., Any], count: int = 4) -> Any:
    """The result of an aggregation over made values, kept, lost in part by a crash, and gone on with."""
    found = []
    for batch_records in (1, 100):
        app = sc.App("app")
        numbers = app.topic("numbers", key=str, value=int)
        numbers.aggregate("table", found=aggregator(make))
        with TopologyDriver(app, slice_records_max=batch_records) as driver:
            for number in range(count):
                driver.send(numbers, key="k", value=number)
                if number == count // 2:
                    driver.process()
                    driver.crash()
            (answer,) = driver.table("table").all()
        found.append(answer.value.found)
    assert repr(found[0]) == repr(found[1])
    return found[0]


@pytest.mark.parametrize(
    ("make", "aggregator", "expected"),
    [
        (lambda n: Decimal("0.1") * n, sc.sum, Decimal("0.6")),
        (lambda n: Decimal(10**40 * (n % 2)), sc.sum, Decimal(2 * 10**40)),
        (lambda n: Decimal(10**40) if n else Decimal(1), sc.sum, Decimal(3 * 10**40 + 1)),
        (lambda n: timedelta(hours=n), sc.sum, timedelta(hours=6)),
        (lambda n: 2**62, sc.sum, 2**64),
        (lambda n: -(2**200), sc.sum, -(2**202)),
        (lambda n: Decimal(n), sc.mean, Decimal("1.5")),
        (lambda n: timedelta(hours=n), sc.mean, timedelta(minutes=90)),
        (lambda n: 2**100 * n, sc.mean, 2**100 * 1.5),
        (lambda n: date(2024, 1, 4 - n), sc.min, date(2024, 1, 1)),
        (lambda n: WHEN + timedelta(days=n), sc.max, WHEN + timedelta(days=3)),
        (lambda n: UUID(int=n), sc.last, UUID(int=3)),
        (lambda n: timedelta(n), sc.first, timedelta(0)),
        (lambda n: (n, "a"), sc.max, (3, "a")),
        (lambda n: 2**70 + n, sc.min, 2**70),
    ],
)
def test_values_of_standard_types_are_aggregated_without_a_declaration(
    make: Any, aggregator: Any, expected: Any
) -> None:
    assert aggregated(make, aggregator) == expected


def colour(value: int) -> Colour:
    return (Colour.BLUE, Colour.RED)[value % 2]


def level(value: int) -> Level:
    return Level(1 + value % 2)


def inner(value: int) -> Inner | None:
    return Inner(value)


def colours(value: int) -> dict[str, tuple[Colour | None, int]]:
    return {"a": (colour(value), value)}


def test_values_of_classes_are_kept_by_the_annotation_or_by_value() -> None:
    assert aggregated(colour, sc.last) is Colour.RED
    assert aggregated(level, sc.max) is Level.HIGH
    assert aggregated(inner, sc.first) == Inner(0)
    assert aggregated(colours, sc.last) == {"a": (Colour.RED, 3)}
    assert aggregated(lambda n: Colour.RED, lambda of: sc.first(of, value=Colour)) is Colour.RED
    assert aggregated(lambda n: None, lambda of: sc.sum(of, value=timedelta)) == timedelta(0)


@pytest.mark.parametrize(
    ("kind", "make", "reduce", "expected"),
    [
        (list[Inner], lambda n: [Inner(n)], lambda one, two: one + two, [Inner(0), Inner(1), Inner(2)]),
        (
            Pair,
            lambda n: Pair(Inner(n), []),
            lambda one, two: Pair(None, [*one.items, two.left]),
            Pair(None, [Inner(1), Inner(2)]),
        ),
        (Inner | None, lambda n: Inner(2**62), lambda one, two: Inner(one.size * two.size), Inner(2**186)),
        (Box, lambda n: Box([n, None]), lambda one, two: Box(one.content + two.content), None),
        (dict[str, Decimal], lambda n: {"a": Decimal(n)}, lambda one, two: {**one, **two}, {"a": Decimal(2)}),
    ],
)
def test_reduce_keeps_lists_of_classes_optionals_and_large_numbers(
    kind: Any, make: Any, reduce: Any, expected: Any
) -> None:
    app = sc.App("app")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.map(make, value=kind).reduce("reduced", reduce)
    numbers.map(make).reduce("declared", reduce, value=kind)

    with TopologyDriver(app) as driver:
        for number in range(3):
            driver.send(numbers, key="k", value=number)
            driver.process()
            driver.crash()
        for table in ("reduced", "declared"):
            (answer,) = driver.table(table).all()
            assert answer.value == (Box([0, None, 1, None, 2, None]) if expected is None else expected)


@pytest.mark.parametrize("batch_records", [1, 100])
@pytest.mark.parametrize(
    "declare",
    [
        lambda s: s.fold("t", 0, lambda total, n: "text" if n == 1 else int(total) + n, value=int),
        lambda s: s.reduce("t", lambda one, two: {two} if two == 1 else one + two),
        lambda s: s.sum("t", lambda n: 1j if n == 1 else n),
        lambda s: s.sum("t", lambda n: "x" if n == 1 else n),
    ],
)
def test_an_accumulator_that_cannot_be_kept_is_an_error_of_its_record(
    declare: Any, batch_records: int
) -> None:
    app = sc.App("app", on_error=sc.dead_letter("dead"))
    numbers = app.topic("numbers", key=str, value=int)
    declare(numbers)

    with TopologyDriver(app, slice_records_max=batch_records) as driver:
        for number in range(4):
            driver.send(numbers, key="k", value=number)
        assert [answer.value for answer in driver.table("t").all()] == [5]
        assert [record.value for record in driver.read("dead")] == [b"1"]


def price(value: int) -> Decimal:
    return Decimal(value) / 4


def test_results_of_declared_types_come_back_from_the_topic_that_they_are_written_to() -> None:
    app = sc.App("app")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.aggregate(
        "t",
        a=sc.sum(price),
        b=sc.mean(price),
        c=sc.max(lambda n: date(2024, 1, 1 + n), value=date),
        d=sc.count(),
    ).updates().to("out")

    with TopologyDriver(app) as driver:
        driver.send(numbers, key="k", value=1)
        driver.send(numbers, key="k", value=3)
        found = driver.read("out")[-1].value

    assert (found.a, found.b, found.c, found.d) == (Decimal(1), Decimal("0.5"), date(2024, 1, 4), 2)


def to_text(value: int) -> str:
    return str(value)


@pytest.mark.parametrize(
    "declare",
    [
        lambda s: s.sum("t", to_text),
        lambda s: s.aggregate("t", a=sc.mean(colour)),
        lambda s: s.aggregate("t", a=sc.max(colour)),
        lambda s: s.aggregate("t", a=sc.min(inner)),
        lambda s: s.aggregate("t", a=sc.first(lambda n: n, value=complex)),
        lambda s: s.map(lambda n: {}, value=dict).aggregate("t", a=sc.max()),
    ],
)
def test_values_without_a_sum_or_an_order_are_refused_when_declared(declare: Any) -> None:
    with pytest.raises(TopologyError, match=r"no (sum|order)|cannot be kept"):
        declare(sc.App("app").topic("numbers", key=str, value=int))


NUMBERS = st.lists(
    st.sampled_from([math.nan, 0.0, -0.0, math.inf, -math.inf, 1.0, 2, -3, 0]), min_size=1, max_size=8
)


@given(NUMBERS, st.integers(0, 8), st.randoms(use_true_random=False))
def test_min_max_sum_and_mean_do_not_depend_on_the_order_with_nan_greatest(
    numbers: list[float], cut: int, order: random.Random
) -> None:
    shuffled = list(numbers)
    order.shuffle(shuffled)
    for aggregator in (sc.min(), sc.max(), sc.sum(), sc.mean()):
        results = []
        for values in (numbers, shuffled):
            start = aggregator.initial()
            accumulator = aggregator.add_many(start, values[:cut]) if values[:cut] else start
            for value in values[cut:]:
                accumulator = aggregator.add(accumulator, value)
            results.append(aggregator.result(accumulator))
        assert results[0] == results[1] or all(map(math.isnan, results))
    some = [number for number in numbers if number == number]
    least, greatest = sc.min().add_many(None, numbers), sc.max().add_many(None, numbers)
    assert least == min(some) if some else math.isnan(least)
    assert greatest == max(some) if len(some) == len(numbers) else math.isnan(greatest)
    assert all(math.copysign(1, found) == 1 for found in (least, greatest) if found == 0)


def test_decimals_that_are_no_number_are_greatest_too() -> None:
    values = [Decimal("NaN"), Decimal(1), Decimal("Infinity"), Decimal("-Infinity")]
    for _ in range(4):
        values.append(values.pop(0))
        assert sc.min().add_many(None, values) == Decimal("-Infinity")
        assert sc.max().add_many(None, values).is_nan()
        assert sc.sum().add_many(0, values).is_nan()


def test_a_state_of_version_0_1_0_still_opens() -> None:
    numbers = sc.App("app").topic("numbers", key=str, value=int)
    mixed = numbers.map(inner, value=Inner).aggregate(
        "t", a=sc.first(), b=sc.sum(lambda n: 1), c=sc.mean(lambda n: 1)
    )
    old = msgspec.msgpack.encode((Inner(1), 5, [2, 3.5]))
    assert mixed.store.value_serde.decode(old) == (Inner(1), 5, [2, 3.5])
    assert mixed.store.value_serde.encode((Inner(1), 5, [2, 3.5])) == old
