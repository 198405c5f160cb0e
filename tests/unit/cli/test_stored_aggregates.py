"""Aggregates on disk: what tools read without the application, and what a restore gives."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc
from streamcore.processing.topology import aggregations, kept_aggregations
from streamcore.processing.topology.aggregator import Aggregator
from streamcore.processing.topology.retraction import removable
from streamcore.processing.topology.stored_results import stored_result
from streamcore.serde import UNTYPED

RunCommand = Callable[..., tuple[int, str, str]]
HAS_SKETCHES = importlib.util.find_spec("datasketches") is not None


@dataclass(frozen=True)
class Sale:
    item: str
    price: Decimal


def shop() -> sc.App:
    app = sc.App("shop")
    sales = app.topic("sales", key=str, value=Sale)
    named: dict[str, Any] = {
        "large": sc.sum(lambda sale: 2**70),
        "stddev": sc.stddev(lambda sale: sale.price),
        "dearest": sc.argmax(lambda sale: sale.price),
        "items": sc.top(2, lambda sale: sale.price, of=lambda sale: sale.item),
        "newest": sc.collect(lambda sale: sale.price, limit=2),
        "different": sc.distinct(lambda sale: sale.item),
    }
    if HAS_SKETCHES:
        named["about"] = sc.approx_distinct(lambda sale: sale.item)
        named["median"] = sc.quantile(lambda sale: sale.price, 0.5)
    sales.aggregate("table", **named)
    return app


def sold(data: Path, *prices: int) -> Any:
    """The table's value after some sales more, in a worker that stops then."""
    with sc.run(shop(), data=data) as running:
        with running.log.producer() as producer:
            for price in prices:
                sale = {"item": f"item {price}", "price": str(price)}
                producer.send("sales", key=b"k", value=json.dumps(sale).encode())
        running.wait_until_caught_up(timeout="20s")
        answer = running.table("table").get("k")
        assert answer is not None
        return answer.value


@pytest.mark.slow
def test_aggregates_are_read_by_tools_and_survive_restarts_and_the_loss_of_the_folder(
    tmp_path: Path, command: RunCommand
) -> None:
    data = tmp_path / "data"
    sold(data, 4, 1)
    before = sold(data, 3)
    expected = {
        "large": 3 * 2**70,
        "stddev": pytest.approx(before.stddev),
        "dearest": {"item": "item 4", "price": "4"},
        "items": ["item 4", "item 3"],
        "newest": ["1", "3"],
        "different": 3,
    } | ({"about": 3, "median": 3.0} if HAS_SKETCHES else {})

    code, out, err = command("tables", "get", "table", "k", "--data", str(data), "--json")

    assert code == 0, err
    assert json.loads(out)["value"] == expected
    shutil.rmtree(data / "state")
    assert repr(sold(data)) == repr(before)
    assert sold(data, 9).items == ["item 9", "item 4"]


@pytest.mark.parametrize(
    ("aggregator", "values", "expected"),
    [
        (aggregations.sum(), [0.5, 2, float("inf")], 2.5),
        (aggregations.mean(), [Decimal(1), Decimal(2), Decimal(7)], Decimal("1.5")),
        (aggregations.variance(), [1, 3, 9], 2.0),
        (aggregations.stddev(), [1, 5, 9], 8**0.5),
        (aggregations.min(), [3, 2, 1], 2),
        (aggregations.max(), [1, 2, 3], 2),
        (aggregations.first(), ["a", "b", "c"], "a"),
        (aggregations.last(), ["a", "b", "c"], "b"),
        (kept_aggregations.distinct(), ["a", "b", "c"], 2),
        (kept_aggregations.collect(), ["a", "b", "c"], ["a", "b"]),
        (kept_aggregations.collect(limit=1), ["a", "b", "c"], ["b"]),
        (kept_aggregations.argmin(len), ["aa", "b", ""], "b"),
        (kept_aggregations.top(1, len), ["a", "bb", "ccc"], ["bb"]),
        (aggregations.count(), [1, 2, 3], 2),
        (
            aggregations.aggregation(
                list, lambda found, one: [*found, one], remove=lambda found, one: found[:-1]
            ),
            [1, 2, 3],
            [1, 2],
        ),
    ],
    ids=lambda found: found.stored_kind if isinstance(found, Aggregator) else "",
)
def test_tools_show_the_result_of_an_aggregate_of_a_table(
    aggregator: Aggregator[Any, Any], values: list[Any], expected: Any
) -> None:
    made = removable(aggregator)
    assert made is not None
    assert made.remove is not None
    taken = values if made.of is None else list(map(made.of, values))
    stored = made.remove(made.add_many(made.initial(), taken), taken[-1])

    shown = stored_result(made.stored_kind)(UNTYPED.decode(UNTYPED.encode(stored)))

    assert shown == made.result(stored) == expected


def test_a_kind_of_another_version_is_shown_as_it_is_stored() -> None:
    assert stored_result("median(0.5)")([1, 2]) == [1, 2]
    assert stored_result("?")([1, 2]) == [1, 2]
