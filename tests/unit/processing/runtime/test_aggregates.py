"""All aggregates in an application: results, types and state, through crashes and any cut of the batches."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

import streamcore as sc
from streamcore.testing.topology_driver import TopologyDriver

HAS_SKETCHES = importlib.util.find_spec("datasketches") is not None


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Order:
    number: int
    price: Decimal
    colour: Colour
    day: date
    note: str | None = None


ORDERS = [
    Order(
        number * 7 % 5,
        Decimal(number) / 4,
        Colour.RED if number % 3 else Colour.BLUE,
        date(2024, 1, 1 + number % 4),
        None if number % 2 else f"note {number % 3}",
    )
    for number in range(7)
]


def declared(app: sc.App) -> sc.Table[str, Any]:
    orders = app.topic("orders", key=str, value=Order)
    named: dict[str, Any] = {
        "count": sc.count(lambda order: order.note),
        "large": sc.sum(lambda order: 2**70 + order.number),
        "price": sc.sum(lambda order: order.price),
        "mean": sc.mean(lambda order: order.price),
        "variance": sc.variance(lambda order: order.number),
        "stddev": sc.stddev(lambda order: order.price),
        "first": sc.first(lambda order: order.colour),
        "last": sc.last(lambda order: order.day),
        "least": sc.min(lambda order: order.day),
        "argmin": sc.argmin(lambda order: order.number),
        "argmax": sc.argmax(lambda order: order.number, of=lambda order: order.colour),
        "top": sc.top(2, lambda order: order.price),
        "days": sc.top(3, lambda order: order.day, of=lambda order: order.price),
        "collect": sc.collect(lambda order: order.colour),
        "newest": sc.collect(limit=2),
        "notes": sc.distinct(lambda order: order.note),
        "orders": sc.distinct(),
        "own": sc.aggregation(int, lambda total, order: total + order.number, result=str),
    }
    if HAS_SKETCHES:
        named["about"] = sc.approx_distinct()
        named["median"] = sc.quantile(lambda order: order.number, 0.5)
    return orders.aggregate("table", **named)


EXPECTED = {
    "count": 4,
    "large": 7 * 2**70 + 12,
    "price": Decimal("5.25"),
    "mean": Decimal("0.75"),
    "variance": pytest.approx(47 / 21),
    "stddev": pytest.approx(math.sqrt(7 / 24)),
    "first": Colour.BLUE,
    "last": date(2024, 1, 3),
    "least": date(2024, 1, 1),
    "argmin": ORDERS[0],
    "argmax": Colour.RED,
    "top": [ORDERS[6], ORDERS[5]],
    "days": [Decimal("0.75"), Decimal("0.5"), Decimal("1.5")],
    "collect": [order.colour for order in ORDERS],
    "newest": ORDERS[5:],
    "notes": 3,
    "orders": 7,
    "own": "12",
} | ({"about": 7, "median": 2.0} if HAS_SKETCHES else {})


@pytest.mark.parametrize("batch_records", [1, 3, 100])
@pytest.mark.parametrize("reads_updates", [False, True])
def test_every_aggregate_survives_a_crash_and_is_written_as_json(
    batch_records: int, reads_updates: bool
) -> None:
    app = sc.App("app")
    table = declared(app)
    if reads_updates:
        table.updates().to("updates")
    with TopologyDriver(app, slice_records_max=batch_records) as driver:
        for number, order in enumerate(ORDERS):
            driver.send("orders", key="k", value=order)
            if number == 3:
                driver.process()
                driver.crash()
        (answer,) = driver.table("table").all()
        found = {name: getattr(answer.value, name) for name in EXPECTED}
        assert found == EXPECTED
        if reads_updates:
            assert [record.value for record in driver.read("updates")][-1] == answer.value


def test_windows_give_the_same_aggregates_as_their_records_alone() -> None:
    app = sc.App("app")
    orders = app.topic("orders", key=str, value=Order)
    orders.tumbling("10s").aggregate(
        "windows",
        top=sc.top(1, lambda order: order.price),
        stddev=sc.stddev(lambda order: order.number),
        notes=sc.distinct(lambda order: order.note),
    ).final().to("closed")
    with TopologyDriver(app) as driver:
        for number, order in enumerate(ORDERS):
            driver.send(orders, key="k", value=order, at=number * 3_000)
        (closed,) = driver.read("closed")

    assert (closed.value.top, closed.value.notes) == ([ORDERS[3]], 2)
    assert closed.value.stddev == pytest.approx(math.sqrt(35 / 12))


@pytest.mark.parametrize("batch_records", [1, 100])
def test_of_sessions_that_unite_the_one_that_starts_first_counts_as_the_first(batch_records: int) -> None:
    app = sc.App("app")
    texts = app.topic("texts", key=str, value=str)
    texts.session("5s", grace="1m").aggregate(
        "sessions",
        first=sc.first(),
        last=sc.last(),
        longest=sc.argmax(len),
        top=sc.top(2, len),
        all=sc.collect(),
        different=sc.distinct(),
        lengths=sc.stddev(len),
    )
    with TopologyDriver(app, slice_records_max=batch_records) as driver:
        for text, at_s in (("later", 10), ("early", 1), ("c", 5)):
            driver.send(texts, key="k", value=text, at=at_s * 1_000)
        (answer,) = driver.table("sessions").windows("k")

    found = answer.value
    assert (answer.key.start_ms, answer.key.end_ms) == (1_000, 15_000)
    assert (found.first, found.last, found.all) == ("early", "c", ["early", "later", "c"])
    assert (found.longest, found.top, found.different) == ("early", ["early", "later"], 3)
    assert found.lengths == pytest.approx(math.sqrt(16 / 3))


def kept(of: Any, *numbers: int) -> Any:
    """The result of an aggregate over ints, of which those that fail are left out."""
    app = sc.App("app", on_error=sc.skip)
    topic = app.topic("numbers", key=str, value=int)
    topic.aggregate("table", found=of)
    with TopologyDriver(app) as driver:
        for number in numbers:
            driver.send(topic, key="k", value=number)
        answer = driver.table("table").get("k")
        return None if answer is None else answer.value.found


def test_values_that_are_none_are_left_out_and_nothing_has_a_result() -> None:
    of: Any = lambda number: None  # noqa: E731 - a function without an annotation
    nothing: dict[str, tuple[Any, Any]] = {
        "variance": (sc.variance(of), None),
        "stddev": (sc.stddev(of), None),
        "argmin": (sc.argmin(of), None),
        "argmax of": (sc.argmax(lambda number: number, of=of), None),
        "top": (sc.top(3, of), []),
        "collect": (sc.collect(of), []),
        "distinct": (sc.distinct(of), 0),
    }
    if HAS_SKETCHES:
        nothing |= {"about": (sc.approx_distinct(of), 0), "median": (sc.quantile(of, 0.5), None)}

    assert {name: kept(made, 1, 2) for name, (made, _) in nothing.items()} == {
        name: expected for name, (_, expected) in nothing.items()
    }


@pytest.mark.parametrize("value", ["1.5", date(2024, 1, 1), [1]])
def test_what_is_no_number_is_an_error_of_its_record(value: Any) -> None:
    def make(number: int) -> Any:
        return value if number == 2 else number

    assert kept(sc.variance(make), 1, 2, 5) == 8.0
    assert kept(sc.mean(make), 1, 2, 5) == 3.0
    assert kept(sc.argmax(make), 1, 2, 5) == 5


def test_too_many_values_of_a_key_are_an_error_that_says_what_to_write() -> None:
    assert kept(sc.distinct(limit=2), 1, 1, 2, 3, 2) == 2
    app = sc.App("app")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.aggregate("table", found=sc.distinct(limit=2))
    with TopologyDriver(app) as driver:
        for number in range(3):
            driver.send(numbers, key="k", value=number)
        with pytest.raises(sc.UserCodeError, match=r"sc.approx_distinct\(\), or distinct\(limit=n\)"):
            driver.process()


def odd(number: int) -> int | None:
    return number if number % 2 else None


@pytest.mark.slow
def test_the_parts_of_many_different_values_are_found_again_after_crashes() -> None:
    app = sc.App("app")
    numbers = app.topic("numbers", key=str, value=int)
    table = numbers.aggregate("table", numbers=sc.distinct(), odd=sc.distinct(odd))
    changes = app.topic("changes", key=str, value=list[int])
    table.updates().map(lambda found: [found.numbers, found.odd]).to(changes)

    with TopologyDriver(app) as driver:
        for start in (0, 400, 1_000):
            for number in range(start, start + 600):
                driver.send(numbers, key="k", value=number)
            driver.process()
            driver.crash()
        driver.send(numbers, key="k", value=1)
        driver.send(numbers, key="k", value=-1)

        assert [record.value for record in driver.read(changes)[-2:]] == [[1_600, 800], [1_601, 801]]
        assert [answer.value.numbers for answer in driver.table(table).all()] == [1_601]
        assert len(list(driver.table("table.sets").all())) == 6 + 3


def test_a_record_whose_function_fails_leaves_the_others_their_own_keys() -> None:
    app = sc.App("app", on_error=sc.skip)
    numbers = app.topic("numbers", key=str, value=int, partitions=1)
    numbers.aggregate("totals", records=sc.count(), inverse=sc.sum(lambda number: 12 // number))

    with TopologyDriver(app) as driver:
        for key, number in (("a", 0), ("b", 4), ("a", 3)):
            driver.send(numbers, key=key, value=number)
        found = {
            answer.key: (answer.value.records, answer.value.inverse)
            for answer in driver.table("totals").all()
        }

    assert found == {"b": (1, 3), "a": (1, 4)}


def test_a_record_whose_result_fails_is_not_in_the_table() -> None:
    def shown(total: int) -> str:
        if total == 2:
            raise ValueError("two")
        return f"{total}"

    app = sc.App("app", on_error=sc.skip)
    numbers = app.topic("numbers", key=str, value=int, partitions=1)
    total = sc.aggregation(int, lambda found, number: found + number, result=shown)
    numbers.aggregate("totals", shown=total).updates().map(lambda value: value.shown, value=str).to("out")

    with TopologyDriver(app) as driver:
        for number in (1, 1, 2):
            driver.send(numbers, key="a", value=number)
        found = [record.value for record in driver.read("out")]

    assert found == ["1", "3"]


def test_a_hopping_window_has_the_records_of_all_its_panes_in_the_order_of_arrival() -> None:
    app = sc.App("panes")
    events = app.topic("events", key=str, value=int, partitions=1)
    events.hopping("10ms", "5ms", grace="1m").aggregate("all", values=sc.collect())

    with TopologyDriver(app) as driver:
        for value, at_ms in enumerate([10, 15, 11, 16, 12]):
            driver.send(events, key="k", value=value, at=at_ms)
        driver.process()
        rows = {answer.key.start_ms: answer.value.values for answer in driver.table("all").all()}

    assert rows == {5: [0, 2, 4], 10: [0, 1, 2, 3, 4], 15: [1, 3]}
