"""A user's program that uses everything the types promise; no checker finds anything in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Optional, assert_type

import streamcore as sc


@dataclass(frozen=True)
class Order:
    customer: str
    amount: int
    note: str | None = None


@dataclass(frozen=True)
class Customer:
    name: str
    country: str


@dataclass(frozen=True)
class Spent:
    orders: int
    amount: int


app = sc.App("shop", on_error=sc.retry(times=3, backoff="1s"))

orders = app.topic("orders", key=str, value=Order, partitions=4, timestamp=lambda order: order.amount)
customers = app.topic("customers", key=str, value=Customer, config={"cleanup.policy": "compact"})
numbers = app.topic("numbers", value=int, idle_after="1m")
lists = app.topic("lists", key=bytes, value=list[int])
untyped = app.topic("untyped")
perhaps = app.topic("perhaps", key=str, value=Order | None)
anything = app.topic("anything", key=str, value=Optional[dict[str, Any]])
coded = app.topic(
    "coded", key=str, value=sc.Serde[Order](encode=lambda order: b"", decode=lambda data: Order("", 1))
)

assert_type(orders, sc.Topic[str, Order])
assert_type(lists, sc.Topic[bytes, list[int]])
assert_type(coded, sc.Topic[str, Order])


# -- streams


@orders.filter
def big(order: Order) -> bool:
    return order.amount > 100


@big.map
def amount(order: Order) -> int:
    return order.amount


@orders.flat_map(name="words", on_error=sc.skip)
def words(order: Order) -> Iterator[str]:
    yield from (order.note or "").split()


@orders.group_by
def country(order: Order) -> str | None:
    return order.note


@orders.foreach(on_error=sc.skip)
def shown(order: Order) -> None:
    print(order.customer)


assert_type(big, sc.Stream[str, Order])
assert_type(amount, sc.Stream[str, int])
assert_type(words, sc.Stream[str, str])
assert_type(country, sc.Stream[str, Order])

lengths = orders.map(lambda order: len(order.customer)).filter(lambda length: length > 3).peek(print)
assert_type(lengths, sc.Stream[str, int])
by_amount = orders.group_by(lambda order: order.amount)
assert_type(by_amount, sc.Stream[int, Order])
arms = orders.branch(small=lambda order: order.amount < 10, on_error=sc.skip)
some = orders.sample(0.5).take(3, within="1d", name="first").rate_limit(5, per="1m", name="calm")
assert_type(some, sc.Stream[str, Order])
assert_type(orders.dedupe(lambda order: order.amount, within="1h", name="once"), sc.Stream[str, Order])
assert_type(orders.dedupe(None, within="1h"), sc.Stream[str, Order])


@orders.dedupe(within="1h", grace="1m")
def same_customer(order: Order) -> str:
    return order.customer


assert_type(same_customer, sc.Stream[str, Order])


class Visits(sc.Processor[str, Order, str, int]):
    seen = sc.Store(key=str, value=int, default=0)

    def on_record(self, record: sc.Record[str, Order]) -> None:
        self.seen[record.key] += record.value.amount
        self.schedule(after="30m", name="gone")
        self.schedule(record.timestamp_ms + 5, by_clock=True)

    def on_timer(self, timer: sc.DueTimer[str]) -> None:
        self.forward(value=self.seen.pop(timer.key, 0))
        self.forward(sc.Record(timer.key, timer.time_ms))


assert_type(orders.process("visits", Visits), sc.Stream[str, int])


def insert(orders: list[Order]) -> int:
    return len(orders)


orders.sink(insert, batch=10, retry=3, on_error=sc.skip)


@orders.sink(records=True, retry=sc.retry(3))
async def insert_records(records: list[sc.Record[str, Order]]) -> None:
    assert_type(records[0].value.customer, str)


united = arms.small.merge(arms.rest)
renamed = orders.map_record(lambda record: sc.Record(len(record.key), record.value.amount))
assert_type(renamed, sc.Stream[int, int])

big.to(orders)
orders.map(lambda order: order if order.amount else None).to(orders)  # None deletes
amount.to("amounts")
big.to(untyped)
again = big.through(coded)
assert_type(again, sc.Stream[str, Order])


# -- tables, windows, joins


@dataclass(frozen=True)
class Statistics:
    orders: int
    gifts: int
    mean: float | None
    variance: float | None
    deviation: float | None
    first: str | None
    last: Order | None
    cheapest: Order | None
    dearest: str | None
    best: list[Order]
    customers: int
    about: int
    median: float | None
    names: list[str]
    own: str
    listed: list[str]


def amount_of(order: Order) -> int:
    return order.amount


def customer_of(order: Order) -> str:
    return order.customer


def nothing() -> list[str]:
    return []


spent = orders.aggregate("spent", into=Spent, orders=sc.count(), amount=sc.sum(lambda order: order.amount))
assert_type(spent, sc.Table[str, Spent])
statistics = orders.aggregate(
    "statistics",
    into=Statistics,
    orders=sc.count(),
    gifts=sc.count(lambda order: order.customer or None),
    mean=sc.mean(lambda order: order.amount),
    variance=sc.variance(lambda order: order.amount),
    deviation=sc.stddev(amount_of),
    first=sc.first(lambda order: order.customer),
    last=sc.last(),
    cheapest=sc.argmin(lambda order: order.amount),
    dearest=sc.argmax(amount_of, of=lambda order: order.customer),
    best=sc.top(3, lambda order: order.amount),
    customers=sc.distinct(lambda order: order.customer),
    about=sc.approx_distinct(lambda order: order.customer),
    median=sc.quantile(lambda order: order.amount, 0.5),
    names=sc.collect(lambda order: order.customer, limit=10),
    own=sc.aggregation(
        int,
        lambda total, order: total + order.amount,
        merge=lambda earlier, later: earlier + later,
        remove=lambda total, order: total - order.amount,
        result=str,
    ),
    listed=sc.aggregation(nothing, lambda found, order: [*found, order.customer]),
)
assert_type(statistics, sc.Table[str, Statistics])


def add_order(account: Spent, order: Order) -> Spent:
    return Spent(account.orders + 1, account.amount + order.amount)


def add_customer(account: Spent, customer: Customer) -> Spent:
    return Spent(account.orders, account.amount + len(customer.name))


of_two_streams = sc.cogroup(orders.by(add_order), customers.by(add_customer))
accounts = of_two_streams.aggregate("accounts", initial=Spent(0, 0))
assert_type(accounts, sc.Table[str, Spent])
sessions = sc.cogroup(orders.by(lambda total, order: order.amount)).session("1m")
sessions.aggregate("totals", initial=0, merge=lambda earlier, later: earlier + later)
by_country = customers.table("by-name").group_by(lambda customer: customer.country)
assert_type(by_country.count("countries"), sc.Table[str, int])
by_country.aggregate("names", names=sc.collect(lambda customer: customer.name), n=sc.count())
largest_amount = sc.max(amount_of)
assert_type(largest_amount, sc.Aggregator[Order, int | None])
best_names = sc.top(3, amount_of, of=customer_of)
assert_type(best_names, sc.Aggregator[Order, list[str]])
assert_type(sc.argmin(amount_of), sc.Aggregator[Order, Order | None])
assert_type(sc.distinct(amount_of), sc.Aggregator[Order, int])
made: dict[str, sc.Aggregator] = {"orders": sc.count(), "amount": sc.sum(amount_of)}
orders.aggregate("kept", orders=made["orders"], largest=largest_amount)
counted = by_amount.count("counted")
assert_type(counted, sc.Table[int, int])
total = orders.sum("total", lambda order: order.amount)
assert_type(total, sc.Table[str, int])
largest = numbers.reduce("largest", lambda a, b: a if a > b else b)
folded = orders.fold("folded", 0.0, lambda amount, order: amount + order.amount)
assert_type(folded, sc.Table[str, float])
hourly = orders.tumbling("1h", grace="10m").aggregate(
    "hourly", into=Spent, orders=sc.count(), amount=sc.count()
)
assert_type(hourly, sc.WindowedTable[str, Spent])
assert_type(hourly.final(), sc.Stream[sc.Windowed[str], Spent])
hourly.final().map(lambda result: result.amount).to("hourly-final")
orders.hopping("1h", "1m").count("late", late=orders)
assert_type(orders.sliding("10m", grace="1m").count("attempts"), sc.WindowedTable[str, int])
sc.cogroup(orders.by(add_order)).sliding("10m").aggregate("sliding-totals", initial=Spent(0, 0))

registry = customers.table("registry")
registry_changes = registry.updates()
everywhere = customers.global_table("everywhere")


@orders.join(registry)
def named(order: Order, customer: Customer) -> str:
    return customer.name + order.customer


@orders.join(registry, how="left")
def perhaps_named(order: Order, customer: Customer | None) -> str:
    return customer.name if customer else order.customer


assert_type(named, sc.Stream[str, str])
looked_up = orders.join(everywhere, lambda order, customer: customer.country, on=lambda order: order.customer)
assert_type(looked_up, sc.Stream[str, str])


@orders.join(registry_changes, before="1m", after="1h", grace="1m")
def with_change(order: Order, customer: Customer) -> str:
    return customer.name + order.customer


@orders.join(registry_changes, before="0s", after="1h", how="left")
def with_or_without(order: Order, customer: Customer | None) -> str:
    return customer.name if customer else order.customer


@orders.join(registry_changes, before="0s", after="1h", how="outer")
def either(order: Order | None, customer: Customer | None) -> int:
    return int(order is None) + int(customer is None)


assert_type(with_change, sc.Stream[str, str])
assert_type(either, sc.Stream[str, int])
twice = orders.join(
    orders, lambda one, other: one.amount + other.amount, before="1s", after="1s", name="twice"
)
assert_type(twice, sc.Stream[str, int])


@registry.filter
def at_home(customer: Customer) -> bool:
    return customer.country == "NO"


@registry.map
def name_of(customer: Customer) -> str | None:
    return customer.name or None


@registry.join(total, how="outer")
def account(customer: Customer | None, amount: int | None) -> str:
    return f"{customer and customer.name} {amount}"


@registry.join(total)
def known_account(customer: Customer, amount: int) -> int:
    return amount + len(customer.name)


assert_type(at_home, sc.Table[str, Customer])
assert_type(name_of, sc.Table[str, str])
assert_type(account, sc.Table[str, str])
assert_type(known_account, sc.Table[str, int])
doubled = registry.join(total, lambda customer, amount: amount * 2, name="doubled")
assert_type(doubled, sc.Table[str, int])
assert_type(
    at_home.filter_not(lambda customer: not customer.name, name="named-at-home"), sc.Table[str, Customer]
)

hourly_counts = orders.tumbling("1h").count("hourly-counts")
hourly_sums = orders.tumbling("1h").sum("hourly-sums", lambda order: order.amount)


@hourly_counts.join(hourly_sums, how="left")
def mean_of_hour(count: int, amount: int | None) -> float:
    return (amount or 0) / count


assert_type(mean_of_hour, sc.WindowedTable[str, float])
of_both = hourly_counts.join(hourly_sums, lambda count, amount: f"{count} {amount}", name="of-both")
assert_type(of_both.final(), sc.Stream[sc.Windowed[str], str])

with_history = customers.table("with-history", history="30d")


@orders.join(with_history, as_of=True)
def as_it_was(order: Order, customer: Customer) -> str:
    return customer.country


assert_type(as_it_was, sc.Stream[str, str])

all_orders = orders.table("all-orders")


@all_orders.join(registry, on=lambda order: order.customer)
def billed(order: Order, customer: Customer) -> str:
    return f"{customer.name} {order.amount}"


@all_orders.join(registry, on=lambda order: order.customer or None, how="left")
def perhaps_billed(order: Order, customer: Customer | None) -> Order | None:
    return order if customer else None


assert_type(billed, sc.Table[str, str])
assert_type(perhaps_billed, sc.Table[str, Order])
by_amount_paid = all_orders.join(
    counted, lambda order, count: count, on=lambda order: order.amount, name="by-amount-paid"
)
assert_type(by_amount_paid, sc.Table[str, int])
billed_again = billed.join(registry, lambda text, customer: customer, on=lambda text: text[:1], name="again")
assert_type(billed_again, sc.Table[str, Customer])
assert_type(billed.suppress("10s", max_keys=10, name="calmly-billed"), sc.Table[str, str])

seen = app.table("seen", key=str, value=int, default=0)
notes = app.table("notes", key=str, value=list[str], default=list)
assert_type(seen, sc.AppTable[str, int])
daily = app.table("daily", key=str, value=int, default=0).tumbling("1d", retention="30d")
monthly = app.table("monthly", key=str, value=int, default=0).calendar("month", tz="Europe/Berlin")
overlapping = app.table("overlapping", key=str, value=int, default=0).hopping("1h", "10m")
assert_type(monthly, sc.AppTable[str, int])
assert_type(overlapping, sc.HoppingTable[str, int])
visits = app.table("visits", key=str, value=int, default=0).session(
    "1h", merge=lambda one, other: one + other
)
assert_type(visits, sc.SessionTable[str, int])


@app.agent(orders, name="in-windows")
async def in_windows(events: sc.Events[Order]) -> None:
    async for order in events:
        overlapping[order.customer] += 1
        visits[order.customer] += 1
        assert_type(visits[order.customer], int)
        overlapping[order.customer] = 7
        overlapping[order.customer] = overlapping[order.customer].map(max, order.amount)
        assert_type(overlapping[order.customer] + 1, sc.WindowValues[int])
        assert_type(overlapping[order.customer].map(str), sc.WindowValues[str])
        assert_type(overlapping[order.customer].newest(), int)
        assert_type(overlapping.get(order.customer, at=0), int | None)
        assert_type(overlapping.get(order.customer, 0, at=0), int)
        overlapping[order.customer] = overlapping.get(order.customer, 0) + 1


# -- agents, timers, commands


@app.agent(orders, concurrency=4, on_error=sc.dead_letter("failed"), tables=[seen, spent])
async def watch(events: sc.Events[Order]) -> None:
    async for order in events:
        assert_type(order, Order)
        seen[order.customer] += order.amount
        daily[order.customer] += 1
        notes[order.customer] = [*notes[order.customer], order.note or ""]
        seen.setdefault(order.customer, 1)
        seen.update({order.customer: 2})
        for count in seen.values():
            assert_type(count, int)
        before = spent.get(order.customer)
        if before is not None and order.customer in everywhere:
            await orders.send(key=order.customer, value=Order(order.customer, before.amount))
        if len(seen) > 3:
            print(hourly.get(order.customer, at="2026-01-01T00:00Z"))


@app.agent(orders, customers)
async def both(events: sc.Events[Order | Customer]) -> None:
    async for event in events:
        print(event.amount if isinstance(event, Order) else event.name)


@app.agent(orders, customers, total.updates())
async def all_three(events: sc.Events[Order | Customer | int]) -> None:
    async for event in events:
        print(event + 1 if isinstance(event, int) else event)


@app.timer("30s")
async def tick() -> None: ...


@app.crontab("*/5 * * * *", name="five")
def five() -> None: ...


@app.command()
def load(path: str) -> None:
    orders.send_and_wait(key="a", value=Order(path, 1))


def main() -> None:
    print(sc.__version__, sc.errors.StreamCoreError, sc.UsageError)
    with sc.run(app, data="data") as running:
        print(running.table("spent").get("anne"))
    with sc.connect("data") as log:
        print(log.topics())
    with sc.testing.TopologyDriver(app) as driver:
        driver.send(orders, key="a", value=Order("a", 1))
