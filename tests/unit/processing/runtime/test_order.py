"""The order in which a task takes records of several topics: by their times, not by the program's text."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver


def joined_app(declared: tuple[str, ...]) -> sc.App:
    """Orders joined with two tables, whose topics are declared in this order."""
    app = sc.App("order")
    topics: dict[str, Any] = {}
    for name in declared:
        topics[name] = app.topic(name, key=str, value=str)
        if name == "orders":
            topics[name] = topics[name].map(lambda order: order, name="first-step", value=str)
    stream = topics["orders"]
    for name in ("users", "limits"):
        table = topics[name].table(f"{name}-table")
        stream = stream.join(
            table, lambda left, right: f"{left} {right}", how="left", name=f"with-{name}", value=str
        )
    stream.to("out")
    return app


@pytest.mark.parametrize("declared", list(permutations(("orders", "users", "limits"))))
def test_of_equal_times_tables_go_before_streams_wherever_they_are_declared(
    declared: tuple[str, ...],
) -> None:
    with TopologyDriver(joined_app(declared)) as driver:
        driver.send("orders", key="k", value="order", at=5)
        driver.send("users", key="k", value="user", at=5)
        driver.send("limits", key="k", value="limit", at=5)

        assert [record.value for record in driver.read("out")] == ["order user limit"]


@pytest.mark.parametrize("declared", [("a", "b"), ("b", "a")])
def test_of_equal_times_streams_go_by_their_topics_names(declared: tuple[str, str]) -> None:
    app = sc.App("names")
    topics = {name: app.topic(name, key=str, value=str) for name in declared}
    first, second = (topics[name] for name in declared)
    first.merge(second, name="both").reduce("seen", lambda before, value: f"{before} {value}")

    with TopologyDriver(app) as driver:
        for name in ("b", "a", "b"):
            driver.send(name, key="k", value=name, at=5)

        answer = driver.table("seen").get("k")
        assert answer is not None
        assert answer.value == "a b b"


def test_a_table_record_that_is_later_is_not_seen_by_an_earlier_stream_record() -> None:
    with TopologyDriver(joined_app(("orders", "users", "limits"))) as driver:
        driver.send("orders", key="k", value="order", at=5)
        driver.send("users", key="k", value="user", at=6)

        assert [record.value for record in driver.read("out")] == ["order None None"]
