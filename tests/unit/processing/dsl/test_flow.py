"""Names of what lasts longer than a declaration: they come from the user's text, never from a counter."""

from __future__ import annotations

from typing import Any

import pytest

import streamcore as sc


def test_a_repartition_topic_is_named_after_the_function_before_it() -> None:
    app = sc.App("shop")
    orders = app.topic("orders", key=str, value=int)

    @orders.group_by
    def parity(amount: int) -> int:
        return amount % 2

    parity.repartition(3).count("per-parity")

    assert "shop-parity-repartition" in app.describe()


def test_a_repartition_of_a_topic_is_named_after_the_topic() -> None:
    app = sc.App("shop")

    app.topic("orders", key=str, value=int).repartition(3).count("per-key")

    assert "shop-orders-repartition" in app.describe()


def test_a_repartition_behind_a_lambda_needs_a_name() -> None:
    app = sc.App("shop")
    stream = app.topic("orders", key=str, value=int).group_by(lambda amount: amount % 2)

    with pytest.raises(sc.TopologyError, match="give it one"):
        stream.repartition(3)

    assert stream.repartition(3, name="parity")


@pytest.mark.parametrize("is_read_first", [True, False])
def test_a_step_has_the_name_of_its_function_whatever_topics_and_tables_are_called(
    is_read_first: bool,
) -> None:
    app = sc.App("shop")
    orders = app.topic("parity", key=str, value=int)
    if is_read_first:
        orders.count("amount")

    @orders.group_by
    def parity(amount: int) -> int:
        return amount % 2

    @parity.group_by
    def amount(amount: int) -> int:
        return amount

    assert (parity.name, amount.name) == ("parity", "amount")
    amount.count("per-amount")
    assert "shop-amount-repartition" in app.describe()


def test_a_topic_keeps_its_name_for_steps_beside_a_table_of_the_same_name() -> None:
    app = sc.App("shop")
    orders = app.topic("orders", key=str, value=int)
    orders.table("orders")

    orders.repartition(3).count("per-key")

    assert "shop-orders-repartition" in app.describe()


def grouped(stream: sc.Stream[str, int]) -> sc.Stream[int, int]:
    @stream.group_by
    def parity(amount: int) -> int:
        return amount % 2

    return parity


def test_a_repartition_topic_is_not_named_by_the_order_of_two_functions_of_one_name() -> None:
    app = sc.App("shop")
    orders = app.topic("orders", key=str, value=int)
    grouped(orders).count("first")
    second = grouped(orders)

    with pytest.raises(sc.TopologyError, match=r"its name for ever.*name=parity-2 first=.*test_flow.* at="):
        second.count("second")


def test_a_step_of_a_function_whose_name_is_taken_goes_on_with_a_name_of_its_own() -> None:
    app = sc.App("shop")
    orders = app.topic("orders", key=str, value=int)
    grouped(orders).count("first")

    orders.group_by(lambda amount: amount % 3, name="parity-2", key=int).repartition(name="parity-2")

    assert "shop-parity-2-repartition" in app.describe()


def test_a_step_that_the_user_named_gives_its_name_to_what_lasts() -> None:
    app = sc.App("shop")
    large = app.topic("orders", key=str, value=int).filter(lambda amount: amount > 9, name="large")

    large.repartition().take(1, within="1d", name="first")
    large.take(1, within="1d")

    assert {"shop-large-repartition", "shop-large.take-changelog"} < set(
        app.describe().replace(")", " ").split()
    )


def test_the_stores_of_a_join_are_not_named_by_the_order_of_two_functions_of_one_name() -> None:
    app = sc.App("shop")
    orders, refunds = (app.topic(name, key=str, value=int) for name in ("orders", "refunds"))

    def both(order: int, refund: int) -> int:
        return order - refund

    orders.join(refunds, both, before="1h", after="1h")

    with pytest.raises(sc.TopologyError, match=r"or store keeps its name for ever.*name=both-2"):
        refunds.join(orders, both, before="1h", after="1h")

    assert refunds.join(orders, both, before="1h", after="1h", name="swapped").name == "swapped"


def test_the_topics_of_an_agent_are_not_named_by_the_order_of_two_functions_of_one_name() -> None:
    app = sc.App("shop")
    orders = app.topic("orders", key=int, value=int, partitions=2)
    refunds = app.topic("refunds", key=int, value=int, codec="msgpack", partitions=2)
    seen = app.table("seen", key=int, value=int)

    def agent() -> Any:
        async def watch(events: Any) -> None:
            async for amount in events:
                seen[amount] = amount

        return watch

    app.agent(orders, refunds)(agent())

    assert "shop-watch-1-repartition" in app.describe()
    with pytest.raises(sc.TopologyError, match="name=watch-2"):
        app.agent(orders, refunds)(agent())
