"""Names of what lasts longer than a declaration: they come from the user's text, never from a counter."""

from __future__ import annotations

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
