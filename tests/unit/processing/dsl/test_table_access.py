"""Tables as mappings: what agents, timers and functions of steps see of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver


@dataclass
class Order:
    customer: str
    amount: int


class Shop:
    """An application with every kind of table, and an agent that does what a test wants at each order."""

    def __init__(self, at_each_order: Callable[[Shop, str, Order], Any], partitions: int = 1) -> None:
        app = self.app = sc.App("shop")
        self.orders = app.topic("orders", key=str, value=Order, partitions=partitions)
        self.customers = app.topic("customers", key=str, value=str, partitions=3)
        self.everywhere = self.customers.global_table("everywhere")
        self.newest = self.orders.table("newest")
        self.spent = self.orders.aggregate(
            "spent", orders=sc.count(), amount=sc.sum(lambda order: order.amount)
        )
        self.hourly = self.orders.tumbling("1h").count("hourly")
        self.by_customer = self.orders.group_by(lambda order: order.customer).count("by-customer")
        self.notes = app.table("notes", key=str, value=int, default=0)
        self.daily = app.table("daily", key=str, value=int, default=0).tumbling("1d")
        self.seen: list[Any] = []
        notes, daily, newest, spent, hourly = self.notes, self.daily, self.newest, self.spent, self.hourly

        @app.agent(self.orders)
        async def agent(events: sc.Events[Order]) -> None:
            # The names are what makes the task own the tables.
            _ = (notes, daily, newest, spent, hourly)
            async for key, order in events.items():
                self.seen.append(at_each_order(self, key, order))

    def run(self, *orders: tuple[str, Order]) -> list[Any]:
        """Send orders, a second apart from 1970 on; return what the agent's code returned."""
        with TopologyDriver(self.app) as driver:
            driver.send(self.customers, key="anne", value="Anne", at=0)
            for number, (key, order) in enumerate(orders):
                driver.send(self.orders, key=key, value=order, at=number * 1_000)
            driver.process()
        return self.seen


A, B = ("a", Order("anne", 5)), ("b", Order("bert", 7))


def test_an_agent_reads_aggregations_of_its_own_events_as_they_are_at_the_event() -> None:
    shop = Shop(lambda shop, key, _: (shop.spent[key].amount, shop.spent[key].orders, key in shop.spent))

    assert shop.run(A, A, B) == [(5, 1, True), (10, 2, True), (7, 1, True)]


def test_many_events_at_once_do_not_let_an_agent_see_later_ones() -> None:
    shop = Shop(lambda shop, key, _: shop.spent[key].orders)

    with TopologyDriver(shop.app) as driver:
        for _ in range(50):
            driver.send(shop.orders, key="a", value=Order("anne", 1), at=0)
        driver.process()

    assert shop.seen == list(range(1, 51))


def test_a_windowed_aggregation_is_read_in_the_window_of_the_event_or_of_a_time() -> None:
    shop = Shop(
        lambda shop, key, _: (
            shop.hourly[key],
            shop.hourly.get(key, at=0),
            shop.hourly.get(key, at=3_600_000),
        )
    )

    assert shop.run(A, A) == [(1, 1, None), (2, 2, None)]


@pytest.mark.parametrize("kind", ["hopping", "sliding", "session", "calendar", "hopping of an agent"])
def test_agents_timers_and_queries_read_the_same_window_at_a_time(kind: str) -> None:
    app = sc.App("app")
    events = app.topic("events", key=str, value=int, partitions=1)
    table: Any
    match kind:
        case "hopping":
            table = events.hopping("7s", "5s", grace="1h").count("table")
        case "sliding":
            table = events.sliding("7s", grace="1h").count("table")
        case "session":
            table = events.session("3s", grace="1h").count("table")
        case "calendar":
            table = events.calendar("day", grace="1h").count("table")
        case _:
            table = app.table("table", key=str, value=int, default=0).hopping("7s", "5s")
    times_ms = range(0, 30_000, 500)
    seen: list[list[int | None]] = []

    @app.agent(events, tables=[table])
    async def agent(stream: sc.Events[int]) -> None:
        async for key, value in stream.items():
            if value == 1 and isinstance(table, sc.HoppingTable):
                table[key] += 1
            if value == 2:
                seen.append([table.get("k", at=time_ms) for time_ms in times_ms])

    @app.timer("1s")
    def timer() -> None:
        seen.append([table.get("k", at=time_ms) for time_ms in times_ms])

    with TopologyDriver(app) as driver:
        for key, value, at in [("k", 1, 6_000), ("k", 1, 15_500), ("k", 1, 16_000), ("other", 2, 16_500)]:
            driver.send(events, key=key, value=value, at=at)
        driver.advance("1s")
        answers = [driver.table("table").get("k", at=time_ms) for time_ms in times_ms]

    asked = [None if answer is None else answer.value for answer in answers]
    assert seen == [asked, asked]
    assert len(set(asked)) >= 2 or kind == "calendar"


def test_a_global_table_is_read_whole_in_every_task() -> None:
    shop = Shop(
        lambda shop, key, order: (shop.everywhere.get(order.customer), dict(shop.everywhere.items())),
        partitions=4,
    )

    assert shop.run(A, B) == [("Anne", {"anne": "Anne"}), (None, {"anne": "Anne"})]


def test_a_value_that_is_read_is_the_readers_own() -> None:
    def change(shop: Shop, key: str, _: Order) -> int:
        order = shop.newest[key]
        amount, order.amount = order.amount, 0
        return amount + shop.newest[key].amount

    assert Shop(change).run(A) == [10]


def test_a_missing_key_is_a_key_error_or_the_default_given() -> None:
    def missing(shop: Shop, *_: Any) -> list[Any]:
        found: list[Any] = [
            shop.spent.get("?"),
            shop.hourly.get("?", 3),
            shop.notes.get("?", 4),
            shop.notes["?"],
        ]
        for table in (shop.spent, shop.hourly, shop.newest, shop.everywhere):
            with pytest.raises(KeyError):
                table["?"]
        return found

    assert Shop(missing).run(A) == [[None, 3, 4, 0]]


def test_a_table_of_another_task_is_refused_with_what_to_write() -> None:
    def elsewhere(shop: Shop, key: str, order: Order) -> None:
        with pytest.raises(sc.UsageError, match=r"does not own.*tables=\[table\]\): table=by-customer task="):
            shop.by_customer.get(order.customer)
        with pytest.raises(sc.UsageError, match="does not own"):
            sc.App("other").table("notes").get(key)

    assert Shop(elsewhere).run(A) == [None]


def follower(key_of_customers: Any) -> tuple[sc.App, Any, Any, list[Any]]:
    """An application whose agent reads, beside each name, how many orders the customer has."""
    app = sc.App("app")
    orders = app.topic("orders", key=str, value=Order, partitions=2)
    counted = orders.group_by(lambda order: order.customer, key=key_of_customers).count("counted")
    names = app.topic("names", key=str, value=str, partitions=2)
    seen: list[Any] = []

    @app.agent(names, tables=[counted])
    async def agent(events: sc.Events[str]) -> None:
        async for key, _ in events.items():
            seen.append((key, counted.get(key)))

    return app, orders, names, seen


def test_an_aggregation_that_an_agent_declares_is_read_beside_its_stream() -> None:
    app, orders, names, seen = follower(str)

    with TopologyDriver(app) as driver:
        for customer in ("anne", "bert", "anne"):
            driver.send(orders, key="o", value=Order(customer, 1), at=1)
        driver.process()
        for customer in ("anne", "bert", "carl"):
            driver.send(names, key=customer, value="", at=2)
        driver.process()

    assert sorted(seen) == [("anne", 2), ("bert", 1), ("carl", None)]


def test_an_aggregation_whose_keys_lie_elsewhere_is_refused() -> None:
    app, *_ = follower(None)

    with pytest.raises(
        sc.TopologyError, match=r"different partitions.*step=agent first=names first_keys=str"
    ):
        TopologyDriver(app)


def test_a_table_of_agents_is_a_mapping_of_its_tasks_keys() -> None:
    def use(shop: Shop, key: str, _: Order) -> Any:
        notes = shop.notes
        assert not notes
        notes.update({"x": 1, "y": 2})
        notes.update([("z", 3)])
        assert notes.setdefault("x", 9) == 1
        assert notes.setdefault("w", 4) == 4
        assert notes.setdefault("default") == 0
        assert notes.pop("default") == 0
        assert notes.pop("default", 5) == 5
        assert notes
        return len(notes), list(notes), list(notes.keys()), list(notes.values()), dict(notes.items())

    pairs = {"w": 4, "x": 1, "y": 2, "z": 3}
    assert Shop(use).run(A) == [(4, [*pairs], [*pairs], [*pairs.values()], pairs)]


def test_a_table_can_be_changed_while_it_is_gone_through() -> None:
    def change(shop: Shop, key: str, _: Order) -> Any:
        shop.notes.update((str(number), number) for number in range(600))
        for name in shop.notes:
            if int(name) % 2:
                del shop.notes[name]
            else:
                shop.notes[name] += 1
        total = sum(shop.notes.values()), len(shop.notes)
        shop.notes.clear()
        return total, len(shop.notes)

    assert Shop(change).run(A) == [((sum(range(0, 600, 2)) + 300, 300), 0)]


def test_a_windowed_table_of_agents_holds_windows() -> None:
    def use(shop: Shop, key: str, _: Order) -> Any:
        shop.daily[key] += 1
        return shop.daily.get(key, at=0), shop.daily.get(key, at=10**9), list(shop.daily.items())

    window = sc.Windowed("a", 0, 86_400_000)
    assert Shop(use).run(A, A) == [(1, None, [(window, 1)]), (2, None, [(window, 2)])]


def test_at_is_for_windowed_tables() -> None:
    def use(shop: Shop, key: str, _: Order) -> None:
        with pytest.raises(sc.UsageError, match="at= is for windowed tables: table=notes"):
            shop.notes.get(key, at=0)

    assert Shop(use).run(A) == [None]


def test_a_function_of_a_step_reads_the_tables_beside_it() -> None:
    app = sc.App("app")
    orders = app.topic("orders", key=str, value=Order)
    counted = orders.count("counted")

    @orders.map
    def so_far(order: Order) -> int:
        return counted[order.customer]

    so_far.to("so-far")

    with TopologyDriver(app) as driver:
        for _ in range(2):
            driver.send(orders, key="anne", value=Order("anne", 1), at=0)

        assert [record.value for record in driver.read("so-far")] == [1, 2]


def test_a_timer_reads_the_committed_tables_of_all_tasks_and_writes_none() -> None:
    shop = Shop(lambda shop, key, _: shop.notes.update({key: 1}), partitions=4)
    found: list[Any] = []

    @shop.app.timer("10s")
    def look() -> None:
        found.append((dict(shop.notes.items()), shop.spent["b"].amount, shop.by_customer.get("anne")))
        found.append((shop.hourly.get("a", at=0), next(shop.hourly.keys()), dict(shop.everywhere.items())))
        with pytest.raises(sc.UsageError, match=r"at=time"):
            shop.hourly.get("a")
        with pytest.raises(sc.UsageError, match="only read here"):
            shop.notes["a"] = 2
        with pytest.raises(sc.UsageError, match="not one of this application's"):
            sc.App("other").table("notes").get("a")

    with TopologyDriver(shop.app) as driver:
        driver.send(shop.customers, key="anne", value="Anne", at=0)
        for key, order in (A, B):
            driver.send(shop.orders, key=key, value=order, at=0)
        driver.advance("10s")

    assert found == [
        ({"a": 1, "b": 1}, 7, 1),
        (1, sc.Windowed("a", 0, 3_600_000), {"anne": "Anne"}),
    ]


def test_outside_of_the_application_tables_are_not_read() -> None:
    shop = Shop(lambda *_: None)

    reads: list[Callable[[Any], Any]] = [
        lambda table: table.get("a"),
        lambda table: "a" in table,
        len,
        list,
        lambda table: table.items(),
    ]
    for table in (shop.notes, shop.spent, shop.newest, shop.everywhere):
        for read in reads:
            with pytest.raises(sc.UsageError, match=r"running\.table\(name\)"):
                read(table)
