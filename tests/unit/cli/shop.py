"""An application for the tests of the command line: orders by hour and item, and names of customers."""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass
from enum import Enum

import streamcore as sc

START_MS = 1_600_000_000_000


@dataclass(frozen=True, slots=True)
class Order:
    ts: int
    item: str
    amount: int


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


app = sc.App("shop")
orders = app.topic("orders", key=str, value=Order, partitions=2, timestamp=lambda order: order.ts)
customers = app.topic("customers", key=int, value=str)
names = customers.global_table("names")

hourly = orders.tumbling("1h").aggregate(
    "hourly", orders=sc.count(), amount=sc.mean(lambda order: order.amount)
)
hourly.final().to("hourly-final")
seen = app.table("seen", key=str, value=int, default=0)


@orders.group_by
def item(order: Order) -> str:
    return order.item


item.count("per-item")


@orders.group_by
def item_and_amount(order: Order) -> tuple[str, int]:
    return (order.item, order.amount)


item_and_amount.count("per-item-and-amount")


@app.agent(orders)
async def watch(events: AsyncIterable[Order]) -> None:
    async for order in events.items():  # type: ignore[attr-defined]
        key, value = order
        if value.amount < 0:
            raise ValueError("a negative amount")
        seen[key] += 1


@app.command()
def load(count: int, *, bad: bool = False) -> None:
    """Write orders of three items, a minute apart."""
    orders.send_many(
        (f"k{number % 5}", Order(START_MS + number * 60_000, f"item{number % 3}", number))
        for number in range(count)
    )
    if bad:
        orders.send_and_wait(key="bad", value=Order(START_MS, "item0", -1))
    customers.send_and_wait(key=7, value="Anna")


@app.command("order-one")
async def order_one(key: str, amount: int = 1, size: Size = Size.SMALL) -> None:
    await orders.send(key=key, value=Order(START_MS, size.value, amount))


@app.command()
def topics(log: sc.Log) -> None:
    print(",".join(sorted(name for name in log.topics() if "-" not in name and "_" not in name)))


@app.command()
def fail() -> None:
    raise RuntimeError("out of paper")


@app.command()
def touch_table() -> None:
    seen["x"] = 1


empty = sc.App("empty")
not_an_app = "text"
