"""From outside of agents a program sends typed records to its running application and reads its tables."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc


@dataclass(frozen=True)
class Order:
    customer: str
    amount: int


app = sc.App("shop")
orders = app.topic("orders", key=str, value=Order, partitions=3)
spent = orders.group_by(lambda order: order.customer, key=str).sum("spent", lambda order: order.amount)
hourly = orders.tumbling("1h").count("hourly")
newest = orders.table("newest")
names = app.topic("names", key=int, value=str, on_error=sc.dead_letter("dead")).global_table("names-table")
seen = app.table("seen", key=str, value=int, default=0)


@app.agent(orders)
async def watch(events: Any) -> None:
    async for key, _ in events.items():
        seen[key] += 1


other = sc.App("other")
other_orders = other.topic("orders", key=str, value=Order)
other_spent = other.table("spent", key=str, value=int)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with sc.run(app, data=tmp_path_factory.mktemp("shop"), state="memory") as running:
        yield running


def test_a_sent_record_is_durable_and_tables_are_asked_for_what_reflects_it(running: Any) -> None:
    sent = running.send(
        orders, key="o1", value=Order("ada", 5), at="2024-01-01T10:30Z", headers=(("h", b"x"),)
    )

    assert (sent.topic, sent.offset) == ("orders", 0)
    assert running.table(spent).get("ada", at_least=sent.position).value == 5
    assert running.table("spent").get("ada").value == 5
    assert running.table(seen).get("o1", at_least=sent.position).value == 1
    assert running.table(newest).get("o1", at_least=sent.position).value == Order("ada", 5)
    assert running.table(hourly).get("o1", at="2024-01-01T10:00Z", at_least=sent.position).value == 1
    with running.log.consumer("orders", start="earliest") as consumer:
        (record,) = consumer.poll("5s")
    assert (record.key, record.value, record.headers) == (
        b"o1",
        b'{"customer":"ada","amount":5}',
        (("h", b"x"),),
    )


def test_topics_are_given_by_name_too_and_bytes_go_into_the_dead_letter_topic(running: Any) -> None:
    sent = running.send("names", key=7, value="Anna")
    assert running.table(names).get(7, at_least=sent.position).value == "Anna"
    sent = running.send("names", key=7, value=None)
    assert running.table(names).get(7, at_least=sent.position) is None
    assert running.send("dead", value=b"raw").topic == "dead"


def test_many_records_are_sent_together(running: Any) -> None:
    sent = running.send_many(
        orders,
        [
            *((f"m{number}", Order("bob", 1)) for number in range(50)),
            sc.Record("r", Order("bob", 1), timestamp_ms=1_700_000_000_000, headers=(("a", b"b"),)),
        ],
    )

    assert sent.count == 51
    assert running.table(spent).get("bob", at_least=sent.position).value == 51


@pytest.mark.parametrize("topic", ["nowhere", other_orders, spent, None, 7])
def test_a_topic_of_nobody_or_of_another_application_is_refused(running: Any, topic: Any) -> None:
    with pytest.raises(sc.UsageError, match="the application has no such topic"):
        running.send(topic, value=Order("ada", 1))


@pytest.mark.parametrize("table", ["nothing", other_spent, orders, None])
def test_a_table_of_nobody_or_of_another_application_is_refused(running: Any, table: Any) -> None:
    with pytest.raises(sc.UsageError, match="the application has no such table"):
        running.table(table)


@pytest.mark.parametrize(
    ("key", "value"), [(7, Order("ada", 1)), ("k", "text"), (b"k", Order("ada", 1)), ("k", object())]
)
def test_what_is_not_of_the_type_of_the_topic_is_refused(running: Any, key: Any, value: Any) -> None:
    with pytest.raises(sc.SerdeError, match=r"not of the topic's type.*topic=orders"):
        running.send(orders, key=key, value=value)
    with pytest.raises(sc.SerdeError, match=r"not of the topic's type.*topic=orders"):
        running.send_many(orders, [(key, value)])


@pytest.mark.parametrize(
    "bad",
    [{"at": "1969-12-31T23:59:59.999Z"}, {"at": -1}, {"at": 2**63}, {"headers": (("name", "text"),)}],
)
def test_a_time_or_headers_that_no_record_can_have_are_refused(running: Any, bad: dict[str, Any]) -> None:
    with pytest.raises(sc.InvalidRecordError, match=r"1970|headers are pairs"):
        running.send(orders, key="k", value=Order("ada", 0), **bad)


@pytest.mark.parametrize("bad", [{"timestamp_ms": -5}, {"headers": {"name": b"value"}}])
def test_records_sent_together_are_checked_too(running: Any, bad: dict[str, Any]) -> None:
    with pytest.raises(sc.InvalidRecordError, match=r"1970|headers are pairs"):
        running.send_many(orders, [sc.Record("k", Order("ada", 0), **bad)])


def test_what_is_no_record_is_refused(running: Any) -> None:
    with pytest.raises(sc.UsageError, match=r"give sc\.Record or \(key, value\).*index=1"):
        running.send_many(orders, [("k", Order("ada", 0)), "text"])


def test_a_worker_is_sent_to_inside_its_event_loop(tmp_path: Path) -> None:
    async def work() -> None:
        worker = sc.Worker(app, data=tmp_path, state="memory")
        with pytest.raises(sc.ClosedError):
            await worker.send(orders, key="o", value=Order("ada", 1))
        async with worker:
            sent = await asyncio.gather(
                *(worker.send(orders, key="o", value=Order("ada", 1)) for _ in range(20))
            )
            many = await worker.send_many("orders", [("o", Order("ada", 1))] * 5)
            assert sorted(one.offset for one in sent) == list(range(20))
            await worker.wait_until_caught_up("20s")
            assert worker.table(spent).get("ada", at_least=many.position).value == 25  # type: ignore[union-attr]
        with pytest.raises(sc.ClosedError):
            await worker.send(orders, key="o", value=Order("ada", 1))

    asyncio.run(work())


def test_the_driver_gives_tables_as_declared(tmp_path: Path) -> None:
    with sc.testing.TopologyDriver(app) as driver:
        driver.send(orders, key="o", value=Order("ada", 3))
        assert driver.table(spent).get("ada").value == 3  # type: ignore[union-attr]
        with pytest.raises(sc.UsageError, match="the application has no such table"):
            driver.table(other_spent)
