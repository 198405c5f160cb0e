"""Records without a value or a key: what streams, agents, tables, aggregations and joins make of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import UsageError
from streamcore.testing import TopologyDriver


@dataclass(frozen=True)
class Order:
    cents: int


def values_of(driver: TopologyDriver, topic: Any) -> list[Any]:
    return [record.value for record in driver.read(topic)]


def left_out(driver: TopologyDriver) -> dict[tuple[str, str], int]:
    return driver._worker.task_set.builder.failures.left_out


@pytest.mark.parametrize("value", [Order, dict, str, bytes, sc.Serde(encode=bytes, decode=bytes)])
def test_streams_and_agents_of_declared_values_leave_tombstones_out_and_count_them(value: Any) -> None:
    app = sc.App("typed")
    orders = app.topic("orders", key=str, value=value)
    seen: list[Any] = []
    orders.foreach(seen.append)

    @app.agent(orders)
    async def watch(events: Any) -> None:
        async for event in events:
            seen.append(event)

    with TopologyDriver(app) as driver:
        driver.send_bytes(orders, key=b"k", value=None)
        driver.process()

        assert seen == []
        assert left_out(driver) == {("orders", "null_value"): 1}


@pytest.mark.parametrize(
    "declared", [{}, {"value": Order | None}, {"value": Any}, {"value": Order, "on_null": "pass"}]
)
def test_tombstones_reach_a_stream_whose_values_may_be_none(declared: dict[str, Any]) -> None:
    app = sc.App("optional")
    orders = app.topic("orders", key=str, **declared)
    orders.map(lambda order: "gone" if order is None else "there", value=str).to("out")

    with TopologyDriver(app) as driver:
        driver.send_bytes(orders, key=b"k", value=None)

        assert values_of(driver, "out") == ["gone"]


def test_on_null_skips_where_the_type_says_nothing() -> None:
    app = sc.App("untyped")
    orders = app.topic("orders", on_null="skip")
    orders.map(lambda order: order["cents"], value=int).to("out")

    with TopologyDriver(app) as driver:
        for value in ({"cents": 5}, None):
            driver.send(orders, value=value)

        assert values_of(driver, "out") == [5]


def test_on_null_has_two_values() -> None:
    with pytest.raises(UsageError, match=r"on_null is 'skip' or 'pass'.*drop"):
        sc.App("wrong").topic("orders", on_null="drop")


def test_a_table_takes_the_tombstones_that_the_stream_of_its_topic_leaves_out() -> None:
    app = sc.App("tables")
    orders = app.topic("orders", key=str, value=Order)
    orders.map(lambda order: order.cents, name="cents", value=int).to("out")
    table = orders.table("orders-table")
    table.updates().map(lambda order: "gone" if order is None else "there", value=str).to("changes")

    with TopologyDriver(app) as driver:
        driver.send(orders, key="k", value=Order(5))
        driver.send(orders, key="k", value=None)

        assert values_of(driver, "out") == [5]
        assert values_of(driver, "changes") == ["there", "gone"]
        assert driver.table("orders-table").get("k") is None


@pytest.mark.parametrize("grouped", [False, True])
def test_aggregations_leave_out_records_without_a_key_or_a_value(grouped: bool) -> None:
    app = sc.App("counts")
    orders = app.topic("orders", key=str, value=int, on_null="pass")
    stream = orders.group_by(lambda value: "all", key=str) if grouped else orders
    stream.count("counts")
    stream.tumbling("10s").count("per-window")
    stream.fold("folded", 0, lambda total, value: total + value, value=int)

    with TopologyDriver(app) as driver:
        for key, value in [("all", 5), ("all", None), (None, 7), ("all", 9)]:
            driver.send(orders, key=key, value=value, at=1_000)

        counted = {name: driver.table(name).all() for name in ("counts", "folded", "per-window")}
        assert [[answer.value for answer in answers] for answers in counted.values()] == (
            [[3], [21], [3]] if grouped else [[2], [14], [2]]
        )
        if not grouped:
            reasons = {"null_key": 1, "null_value": 1}
            assert left_out(driver) == {
                (node, reason): count
                for node in ("counts", "folded", "per-window")
                for reason, count in reasons.items()
            }


def test_an_inner_join_leaves_out_null_keys_and_a_left_join_only_null_values() -> None:
    app = sc.App("joins")
    users = app.topic("users", key=str, value=str).table("users-table")
    orders = app.topic("orders", key=str, value=str, on_null="pass")
    for how in ("inner", "left"):
        orders.join(users, lambda order, user: f"{order} {user}", how=how, name=f"{how}-join", value=str).to(
            how
        )

    with TopologyDriver(app) as driver:
        driver.send("users", key="u", value="user", at=1)
        for key, value in [("u", "a"), (None, "b"), ("u", None), ("?", "c")]:
            driver.send(orders, key=key, value=value, at=2)

        assert values_of(driver, "inner") == ["a user"]
        assert values_of(driver, "left") == ["a user", "b None", "c None"]
        assert left_out(driver) == {
            ("inner-join", "null_value"): 1,
            ("inner-join", "null_key"): 1,
            ("left-join", "null_value"): 1,
        }


def test_a_lookup_in_a_global_table_by_no_key_finds_nothing() -> None:
    app = sc.App("global")
    users = app.topic("users", key=str, value=str).global_table("users-table")
    orders = app.topic("orders", key=str, value=str)
    for how in ("inner", "left"):
        orders.join(
            users,
            lambda order, user: f"{order} {user}",
            on=lambda order: order if order == "u" else None,
            how=how,
            name=f"{how}-join",
            value=str,
        ).to(how)

    with TopologyDriver(app) as driver:
        driver.send("users", key="u", value="user")
        for order in ("u", "nobody"):
            driver.send(orders, value=order)

        assert values_of(driver, "inner") == ["u user"]
        assert values_of(driver, "left") == ["u user", "nobody None"]
        assert left_out(driver) == {("inner-join", "null_key"): 1}


def test_records_without_a_key_pass_a_repartition_that_was_asked_for_and_spread() -> None:
    app = sc.App("spread")
    lines = app.topic("lines", value=str)
    lines.repartition(4, name="spread").map(str.upper, name="loud", value=str).to("out")

    with TopologyDriver(app) as driver:
        for line in "abcdefgh":
            driver.send(lines, value=line)

        assert sorted(values_of(driver, "out")) == list("ABCDEFGH")
        counts = [state.task.processed_count for state in driver._worker.task_set.states]
        assert counts == [8, 2, 2, 2, 2]


def test_a_left_join_keeps_records_whose_new_key_is_none_and_other_keyed_steps_do_not() -> None:
    app = sc.App("changed")
    users = app.topic("users", key=str, value=str, partitions=2).table("users-table")
    orders = app.topic("orders", key=str, value=str, partitions=2)

    @orders.group_by
    def buyer(order: str) -> str | None:
        return None if order == "nobody" else order

    buyer.join(users, lambda order, user: f"{order} {user}", how="left", name="named", value=str).to("left")
    buyer.count("orders-by-buyer")
    seen: list[str] = []

    @app.agent(buyer)
    async def watch(events: Any) -> None:
        async for order in events:
            seen.append(order)

    with TopologyDriver(app) as driver:
        driver.send("users", key="u", value="user", at=1)
        for order in ("u", "nobody"):
            driver.send(orders, key="o", value=order, at=2)

        assert sorted(values_of(driver, "left")) == ["nobody None", "u user"]
        assert [answer.key for answer in driver.table("orders-by-buyer").all()] == ["u"]
        assert seen == ["u"]
        assert left_out(driver) == {("orders-by-buyer", "null_key"): 1, ("watch", "null_key"): 1}


class Uncomparable:
    """A key or value that cannot be compared, as an array cannot be with one answer."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("more than one answer")

    def __hash__(self) -> int:
        return 1


def test_values_that_cannot_be_compared_pass_and_such_keys_are_errors_of_their_records() -> None:
    app = sc.App("arrays", on_error=sc.skip)
    serde: Any = sc.Serde(encode=lambda value: b"bytes", decode=lambda data: Uncomparable())
    arrays = app.topic("arrays", key=str, value=serde)
    out = app.topic("out", key=str, value=serde)
    arrays.to(out)
    arrays.map(lambda value: value, name="same", value=serde).fold("count", 0, lambda n, _: n + 1, value=int)
    arrays.group_by(lambda value: Uncomparable(), name="wrong").count("never")

    with TopologyDriver(app) as driver:
        for _ in range(2):
            driver.send(arrays, key="k", value=Uncomparable())

        assert len(driver.read(out)) == 2
        answer = driver.table("count").get("k")
        assert answer is not None
        assert answer.value == 2
        assert list(driver.table("never").all()) == []
        assert driver._worker.task_set.builder.failures.counts == {("never.repartition", "skip"): 2}
