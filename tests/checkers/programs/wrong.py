"""Mistakes that a type checker finds in a user's program: one on each line with the mark."""

from __future__ import annotations

from dataclasses import dataclass

import streamcore as sc


@dataclass(frozen=True)
class Order:
    customer: str
    amount: int


def amount_of(order: Order) -> int:
    return order.amount


def number_of(number: int) -> int:
    return number


def add(total: int, order: Order) -> int:
    return total + order.amount


app = sc.App("shop")
orders = app.topic("orders", key=str, value=Order)
numbers = app.topic("numbers", key=str, value=int)
by_number = app.topic("by-number", key=int, value=Order)
registry = app.topic("registry", key=str, value=str).table("registry")
seen = app.table("seen", key=str, value=int, default=0)

app.topik("orders")  # wrong
sc.App("shop", on_error="skip")  # wrong
sc.App("shop", on_error=sc.retry)  # wrong
sc.retry("3")  # wrong
app.topic("config", config={"retention.ms": 1})  # wrong
app.topic("partitions", partitions="3")  # wrong
app.topic("timestamp", value=Order, timestamp=lambda order: order.amuont)  # wrong

orders.map(lambda order: order.amuont)  # wrong
orders.filter(lambda order, more: True)  # wrong
orders.filter(lambda order: order.amount > "1")  # wrong
orders.map(lambda order: order.amount).map(lambda amount: amount.upper())  # wrong
orders.group_by(lambda order: order.amount).reduce("reduced", lambda a, b: a.amount)  # wrong
orders.sum("sum", lambda order: order.amuont)  # wrong
orders.tumbling(1.5)  # wrong
orders.sample("half")  # wrong
orders.sink(lambda orders: orders.amount)  # wrong
orders.process("process", len)  # wrong


class OfNumbers(sc.Processor[str, int, str, int]):
    def on_record(self, record: sc.Record[str, int]) -> None:
        self.forward(value="text")  # wrong


orders.process("of-numbers", OfNumbers)  # wrong
orders.sink(lambda records: records[0].value, batch=10)  # wrong
orders.take(3)  # wrong
orders.rate_limit("3", per="1s")  # wrong
orders.dedupe(lambda order: order.amuont, within="1s")  # wrong

orders.by(lambda total, order: order.amuont)  # wrong
sc.cogroup(orders)  # wrong
registry.group_by(lambda name: name.amount)  # wrong
registry.group_by(len).aggregate("lengths", best=sc.max(lambda name: name.amount))  # wrong
sc.cogroup(orders.by(add), by_number.by(add)).aggregate("keys", initial=0)  # wrong
sc.cogroup(orders.by(add)).aggregate("initial")  # wrong
orders.aggregate("typo", amount=sc.max(lambda order: order.amuont))  # wrong
orders.aggregate("of-numbers", amount=sc.sum(number_of))  # wrong
orders.aggregate("no-aggregation", amount=sum)  # wrong
orders.aggregate("top", best=sc.top("3", lambda order: order.amount))  # wrong
orders.aggregate("by", best=sc.top(3))  # wrong
orders.aggregate("rank", best=sc.argmax(lambda order: order.amuont))  # wrong
orders.aggregate("best", best=sc.top(3, lambda order: order.amuont))  # wrong
orders.aggregate("kept", best=sc.argmin(amount_of, of=lambda order: order.name))  # wrong
orders.aggregate("q", median=sc.quantile(lambda order: order.amount))  # wrong
orders.aggregate("text", median=sc.quantile(amount_of, "0.5"))  # wrong
orders.aggregate("limit", names=sc.collect(amount_of, limit="3"))  # wrong
orders.aggregate("own", total=sc.aggregation(int, lambda total, order: total + order.amuont))  # wrong
orders.aggregate("merge", total=sc.aggregation(int, add, merge=lambda earlier, later: ""))  # wrong
orders.aggregate("remove", total=sc.aggregation(int, add, remove=lambda total: total))  # wrong
orders.aggregate("into", into=Order, amount=sc.count()).updates().map(lambda order: order.name)  # wrong
orders.tumbling("1h").aggregate("in-windows", amount=sc.stddev(lambda order: order.amuont))  # wrong
orders.map(str.upper)  # wrong
orders.filter(len, on_error=sc.skip())  # wrong

orders.to(numbers)  # wrong
orders.to(by_number)  # wrong
orders.map(lambda order: order.amount).to(orders)  # wrong
orders.to(registry)  # wrong
orders.through(numbers)  # wrong
orders.merge(numbers)  # wrong
orders.tumbling("1h").count("late", late=numbers)  # wrong

orders.join(registry, lambda order, name: order.amount + name)  # wrong
orders.join(registry, lambda order, name: name.upper(), how="left")  # wrong
by_number.join(registry, lambda order, name: name)  # wrong
orders.join(numbers, lambda order, number: number)  # wrong
orders.join(registry, lambda order, name: name, how="cross")  # wrong
orders.join(orders, lambda order, other: order.amount)  # wrong
orders.join(orders, lambda order, other: other.amuont, before="1s", after="1s")  # wrong
orders.join(orders, lambda order, other: other.amount, before="1s", after="1s", how="left")  # wrong
orders.join(orders, lambda order, other: order.amount, before="1s", after="1s", how="outer")  # wrong
by_number.join(orders, lambda one, other: one, before="1s", after="1s")  # wrong
registry.map(lambda name: name + 1, name="longer")  # wrong
registry.filter(lambda name: name.amount > 1, name="few")  # wrong
registry.join(registry, lambda name, other: name.upper() + other.upper(), how="outer", name="o")  # wrong
registry.join(orders, lambda name, order: name, name="stream")  # wrong
registry.join(registry, lambda name, other: name, how="right", name="right")  # wrong
hourly = orders.tumbling("1h").count("hourly-orders")
hourly.join(registry, lambda count, name: count, name="with-a-table")  # wrong
hourly.join(hourly, lambda count, other: count + other, how="outer", name="outer-hours")  # wrong
registry.join(registry, lambda name, other: name, on=lambda name: len(name), name="length")  # wrong
registry.join(registry, lambda name, other: name, on=lambda name: name.amount, name="amount")  # wrong
registry.join(registry, lambda name, other: other.upper(), on=str, how="left", name="upper")  # wrong
registry.join(registry, lambda name, other: name, on=lambda name: name, how="outer", name="all")  # wrong
registry.suppress(1.5)  # wrong


@orders.map  # wrong
def wrong_argument(number: int) -> int:
    return number


@app.agent(orders)  # wrong
async def wrong_events(events: sc.Events[int]) -> None: ...


@app.agent(orders)  # wrong
def not_a_coroutine(events: sc.Events[Order]) -> None: ...


@app.agent  # wrong
async def without_a_topic(events: sc.Events[Order]) -> None: ...


@app.agent()  # wrong
async def without_an_argument(events: sc.Events[Order]) -> None: ...


@app.timer  # wrong
def without_an_interval() -> None: ...


@app.agent(orders)
async def watch(events: sc.Events[Order]) -> None:
    async for order in events:
        seen[order.amount] += 1  # wrong
        seen[order.customer] = "one"  # wrong
        await orders.send(key=order.customer, value=order.amount)  # wrong
        await orders.send(key=1, value=order)  # wrong
        order.amuont  # wrong
