"""Aggregations of a table by another key: results are those of the rows that are there."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import TopologyError
from streamcore.testing.topology_driver import TopologyDriver


@dataclass(frozen=True)
class Customer:
    country: str | None
    spent: float
    credit: Decimal


def country_of(customer: Customer) -> str | None:
    return customer.country


def declared(app: sc.App) -> None:
    customers = app.topic("customers", key=str, value=Customer, partitions=2).table("customers")
    by_country = customers.group_by(country_of)
    by_country.count("counts").updates().to("changes")
    by_country.sum("credits", lambda customer: customer.credit)
    by_country.aggregate(
        "countries",
        customers=sc.count(),
        spent=sc.sum(lambda customer: customer.spent),
        deviation=sc.stddev(lambda customer: customer.spent),
        least=sc.min(lambda customer: customer.spent),
        first=sc.first(lambda customer: customer.credit),
        last=sc.last(),
        best=sc.argmax(lambda customer: customer.spent),
        top=sc.top(2, lambda customer: customer.spent, of=lambda customer: customer.credit),
        credits=sc.collect(lambda customer: customer.credit),
        different=sc.distinct(lambda customer: customer.spent),
    )


def expected(rows: list[Customer]) -> dict[str, Any]:
    """The results of the rows of one country, in the order in which they got their values."""
    spent = [row.spent for row in rows]
    ranked = sorted(rows, key=lambda row: row.spent, reverse=True)
    return {
        "customers": len(rows),
        "spent": pytest.approx(sum(spent)),
        "deviation": pytest.approx(statistics.stdev(spent)) if len(rows) > 1 else None,
        "least": min(spent, default=None),
        "first": rows[0].credit if rows else None,
        "last": rows[-1] if rows else None,
        "best": ranked[0] if rows else None,
        "top": [row.credit for row in ranked[:2]],
        "credits": [row.credit for row in rows],
        "different": len(set(spent)),
    }


@pytest.mark.parametrize(("seed", "batch_records"), [(1, 1), (2, 3), (3, 100), (4, 100)])
def test_aggregations_follow_rows_that_change_move_and_go_through_a_crash(
    seed: int, batch_records: int
) -> None:
    chance = random.Random(seed)
    app = sc.App("app")
    declared(app)
    rows: dict[str, Customer] = {}
    seen: set[str] = set()
    with TopologyDriver(app, slice_records_max=batch_records) as driver:
        for number in range(30):
            key = f"c{chance.randrange(6)}"
            value = None
            rows.pop(key, None)
            if chance.random() < 0.8:
                country, spent = chance.choice(("DE", "FR", None)), chance.choice((0.1, 2.0, 1e16))
                rows[key] = value = Customer(country, spent, Decimal(number))
                if country is not None:
                    seen.add(country)
            driver.send("customers", key=key, value=value, at=number)
            if number == 15:
                driver.process()
                driver.crash()
        found = {answer.key: answer.value for answer in driver.table("countries").all()}
        counts = {answer.key: answer.value for answer in driver.table("counts").all()}
        credits = {answer.key: answer.value for answer in driver.table("credits").all()}

    of_country = {name: [row for row in rows.values() if row.country == name] for name in sorted(seen)}
    assert counts == {name: len(of) for name, of in of_country.items()}
    assert credits == {name: sum(row.credit for row in of) for name, of in of_country.items()}
    for name, of in of_country.items():
        results = expected(of)
        assert {field: getattr(found[name], field) for field in results} == results


def test_a_row_that_fails_leaves_the_old_one_where_it_was() -> None:
    app = sc.App("app", on_error=sc.skip)
    numbers = app.topic("numbers", key=str, value=int).table("numbers")
    numbers.group_by(lambda number: "even" if 10 // number % 2 == 0 else "odd").sum(
        "sums", lambda number: number
    )
    with TopologyDriver(app) as driver:
        for value in (2, 0, 5):
            driver.send("numbers", key="k", value=value)
        assert {answer.key: answer.value for answer in driver.table("sums").all()} == {"odd": 0, "even": 5}


@pytest.mark.parametrize("batch_records", [1, 100])
def test_a_row_that_stays_in_its_group_changes_the_group_once(batch_records: int) -> None:
    app = sc.App("app")
    numbers = app.topic("numbers", key=str, value=int).table("numbers")
    grouped = numbers.group_by(lambda number: "large" if number > 9 else "small", key=str)
    grouped.sum("sums", lambda number: number).to_stream().to("changes")

    with TopologyDriver(app, slice_records_max=batch_records) as driver:
        for key, value in (("a", 1), ("b", 2), ("a", 3), ("a", 3), ("a", 10), ("b", None), ("a", 11)):
            driver.send("numbers", key=key, value=value)

        found = [(record.key, record.value) for record in driver.read("changes")]
        assert [value for key, value in found if key == "small"] == [1, 3, 5, 5, 2, 0]
        assert [value for key, value in found if key == "large"] == [10, 11]


def test_rows_of_keys_that_python_holds_equal_are_in_two_groups() -> None:
    app = sc.App("app")
    numbers = app.topic("numbers", key=str, value=int).table("numbers")
    numbers.group_by(lambda number: number if number else True).count("counts")

    with TopologyDriver(app) as driver:
        for value in (1, 0, 2):
            driver.send("numbers", key="k", value=value)

        found = {repr(answer.key): answer.value for answer in driver.table("counts").all()}
        assert found == {"1": 0, "True": 0, "2": 1}


def test_the_table_of_an_aggregation_is_grouped_too() -> None:
    app = sc.App("app")
    words = app.topic("words", key=str, value=str)
    words.count("counts").group_by(lambda count: count, key=int).count("how-many-words")
    with TopologyDriver(app) as driver:
        for word in ("a", "b", "a", "c", "a"):
            driver.send(words, key=word, value=word)
        found = {answer.key: answer.value for answer in driver.table("how-many-words").all()}

    assert found == {1: 2, 2: 0, 3: 1}


def test_what_cannot_take_a_value_back_is_refused_before_anything_is_declared() -> None:
    app = sc.App("app")
    grouped = app.topic("customers", key=str, value=Customer).table("customers").group_by(country_of)

    with pytest.raises(TopologyError, match=r"give remove=.*at=.*test_grouped_tables.py"):
        grouped.aggregate("countries", own=sc.aggregation(int, lambda total, customer: total + 1))
    grouped.aggregate("countries", customers=sc.count())
    with pytest.raises(TopologyError, match="one name"):
        grouped.count("countries")


def test_a_group_by_of_a_table_takes_one_function_of_a_value() -> None:
    table: Any = sc.App("app").topic("customers", key=str, value=Customer).table("customers")

    for wrong in (None, lambda: 1, lambda key, value: key):
        with pytest.raises(TopologyError, match=r"step=customers.*group_by.*at=.*test_grouped_tables.py"):
            table.group_by(wrong)


def test_rows_written_by_a_serde_of_ones_own_can_be_grouped_like_those_of_a_topic() -> None:
    own: Any = sc.Serde(lambda value: b"%d" % value, int)
    app = sc.App("app")
    rows = app.topic("rows", key=str, value=int).table("rows")
    rows.map(lambda value: value % 2, name="odd", value=own).group_by(lambda value: value, key=int).count("n")

    with TopologyDriver(app) as driver:
        for key, value in (("a", 1), ("b", 3), ("c", 2), ("a", 4)):
            driver.send("rows", key=key, value=value)

        assert {answer.key: answer.value for answer in driver.table("n").all()} == {0: 2, 1: 1}
