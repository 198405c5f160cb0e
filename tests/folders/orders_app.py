"""The application whose folder is kept as test data; it runs unchanged on version 0.1.0 and on this one."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass

import streamcore as sc

START_MS = 1_600_000_000_000
ITEMS = ("apple", "pear", "plum")
CUSTOMERS = ("ada", "bob", "cleo", "dora", "emil")


@dataclass(frozen=True, slots=True)
class Order:
    """One order."""

    ts: int
    customer: str
    item: str
    amount: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What a customer has spent."""

    orders: int
    amount: int


app = sc.App("shop")
orders = app.topic("orders", key=str, value=Order, partitions=2, timestamp=lambda order: order.ts)
prices = app.topic("prices", key=str, value=int, partitions=2, config={"cleanup.policy": "compact"})
price_table = prices.table("price-table")

hourly = orders.tumbling("1h").aggregate(
    "hourly", orders=sc.count(), amount=sc.sum(lambda order: order.amount)
)
spent = app.table("spent", key=str, value=Spent, default=Spent(0, 0))


@orders.group_by
def item(order: Order) -> str:
    """Orders of one item come together."""
    return order.item


per_item = item.count("per-item")


@app.agent(orders)
async def watch(events: AsyncIterable[Order]) -> None:
    """Add up what each customer spends."""
    async for order in events:
        before = spent[order.customer]
        spent[order.customer] = Spent(before.orders + 1, before.amount + order.amount)


def order(number: int) -> Order:
    """The order with a number: one a minute."""
    return Order(
        START_MS + 60_000 * number, CUSTOMERS[number % 5], ITEMS[number * 7 % 3], 1 + number * number % 97
    )
