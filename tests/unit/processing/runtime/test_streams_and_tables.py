"""What declared streams, joins, tables and windows give when they run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver


@dataclass(frozen=True, slots=True)
class Order:
    customer: str
    cents: int


def values_of(driver: TopologyDriver, topic: Any) -> list[Any]:
    return [record.value for record in driver.read(topic)]


def test_operators_are_methods_and_decorators_and_functions_name_the_steps() -> None:
    app = sc.App("names")
    orders = app.topic("orders", key=str, value=Order)

    @orders.filter
    def large(order: Order) -> bool:
        return order.cents > 100

    doubled = large.map(lambda order: order.cents * 2, name="doubled", value=int)
    doubled.to("large-cents")

    with TopologyDriver(app) as driver:
        for cents in (50, 150, 250):
            driver.send(orders, key="k", value=Order("c", cents))

        assert large.name == "large"
        assert doubled.name == "doubled"
        assert values_of(driver, "large-cents") == [300, 500]


def test_branches_take_each_value_once_and_merge_restores_the_order_of_events() -> None:
    app = sc.App("branches")
    numbers = app.topic("numbers", key=str, value=int)
    arms = numbers.branch(small=lambda value: value < 3, even=lambda value: value % 2 == 0)
    arms.small.map(lambda value: f"small {value}", value=str).merge(
        arms.even.map(lambda value: f"even {value}", value=str),
        arms.rest.map(lambda value: f"rest {value}", value=str),
    ).to("all")

    with TopologyDriver(app) as driver:
        for value in (1, 4, 5, 2, 6):
            driver.send(numbers, key="k", value=value)

        assert values_of(driver, "all") == ["small 1", "even 4", "rest 5", "small 2", "even 6"]


def test_two_sinks_of_one_topic_write_in_the_order_of_events() -> None:
    app = sc.App("two-sinks")
    numbers = app.topic("numbers", key=str, value=int)
    out = app.topic("out", key=str, value=str)
    numbers.map(lambda value: f"a{value}", value=str).to(out)
    numbers.map(lambda value: f"b{value}", value=str).to(out)

    with TopologyDriver(app) as driver:
        for value in (1, 2):
            driver.send(numbers, key="k", value=value)

        assert values_of(driver, out) == ["a1", "b1", "a2", "b2"]


def test_group_by_repartitions_so_that_equal_keys_meet_from_all_partitions() -> None:
    app = sc.App("regroup")
    orders = app.topic("orders", key=str, value=Order, partitions=3)
    orders.group_by(lambda order: order.customer, key=str).sum("spent", lambda order: order.cents)

    with TopologyDriver(app) as driver:
        for number in range(30):
            driver.send(orders, key=str(number), value=Order("ab"[number % 2], number))

        table = driver.table("spent")
        assert {answer.key: answer.value for answer in table.all()} == {
            "a": sum(range(0, 30, 2)),
            "b": sum(range(1, 30, 2)),
        }


def test_final_gives_one_result_per_window_and_late_records_go_to_their_topic() -> None:
    app = sc.App("finals")
    numbers = app.topic("numbers", key=str, value=int)
    table = numbers.tumbling("10s", grace="5s").aggregate(
        "sums", total=sc.sum(lambda value: value), n=sc.count(), late="late"
    )
    table.final().to("finals")

    with TopologyDriver(app) as driver:
        for at, value in [(1_000, 1), (12_000, 2), (9_999, 4), (15_000, 8), (9_000, 16), (40_000, 32)]:
            driver.send(numbers, key="k", value=value, at=at)

        finals = [(record.key.start_ms, record.value.total) for record in driver.read("finals")]
        assert finals == [(0, 5), (10_000, 10)]
        assert values_of(driver, "late") == [16]
        assert driver.late_count == 1
        driver.close_windows()
        assert [(record.key.start_ms, record.value.n) for record in driver.read("finals")] == [(40_000, 1)]


def test_windows_close_when_a_source_that_says_so_falls_silent() -> None:
    app = sc.App("silent")
    numbers = app.topic("numbers", key=str, value=int, idle_after="30s")
    numbers.tumbling("10s").count("counts").final().to("finals")

    with TopologyDriver(app) as driver:
        driver.send(numbers, key="k", value=1, at=1_000)
        driver.advance("20s")
        assert driver.read("finals") == []

        driver.advance("20s")

        assert values_of(driver, "finals") == [1]


def test_updates_give_each_change() -> None:
    app = sc.App("updates")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.count("counts").updates().to("changes")

    with TopologyDriver(app) as driver:
        for key in "aab":
            driver.send(numbers, key=key, value=1)

        assert [(record.key, record.value) for record in driver.read("changes")] == [
            ("a", 1),
            ("a", 2),
            ("b", 1),
        ]


@pytest.mark.parametrize(("how", "expected"), [("inner", ["x1"]), ("left", ["x1", "None2"])])
def test_a_stream_joins_a_table(how: Any, expected: list[str]) -> None:
    app = sc.App("join")
    numbers = app.topic("numbers", key=str, value=int)
    names = app.topic("names", key=str, value=str).table("names")

    @numbers.join(names, how=how)
    def named(value: int, name: str | None) -> str:
        return f"{name}{value}"

    named.to("named")

    with TopologyDriver(app) as driver:
        driver.send("names", key="a", value="x", at=1)
        driver.send(numbers, key="a", value=1, at=2)
        driver.send(numbers, key="b", value=2, at=3)

        assert values_of(driver, "named") == expected


def test_a_tombstone_takes_the_key_out_of_a_table() -> None:
    app = sc.App("tombstones")
    app.topic("names", key=str, value=str).table("names")

    with TopologyDriver(app) as driver:
        driver.send("names", key="a", value="x")
        driver.send("names", key="b", value="y")
        driver.send("names", key="a", value=None)

        assert [answer.key for answer in driver.table("names").all()] == ["b"]


def test_a_global_table_is_joined_by_any_key() -> None:
    app = sc.App("global")
    orders = app.topic("orders", key=str, value=Order, partitions=3)
    names = app.topic("names", key=str, value=str, partitions=2).global_table("names")
    orders.join(
        names, lambda order, name: f"{name}:{order.cents}", on=lambda order: order.customer, value=str
    ).to("named")

    with TopologyDriver(app) as driver:
        for customer in "abc":
            driver.send("names", key=customer, value=customer.upper())
        driver.process()
        for number, customer in enumerate("abcx"):
            driver.send(orders, key=str(number), value=Order(customer, number))

        assert sorted(values_of(driver, "named")) == ["A:0", "B:1", "C:2"]
        driver.crash()
        driver.send(orders, key="9", value=Order("b", 9))
        assert values_of(driver, "named") == ["B:9"]


def test_two_tables_of_one_name_are_refused() -> None:
    app = sc.App("twins")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.count("same")

    with pytest.raises(
        sc.TopologyError, match=r"two tables .* name=same first=.*\.py:\d+ step=app\.table at="
    ):
        app.table("same")


def test_bytes_that_do_not_decode_stop_with_their_place() -> None:
    app = sc.App("bad-bytes")
    orders = app.topic("orders", key=str, value=Order)
    orders.count("n")

    with TopologyDriver(app) as driver:
        driver.send(orders, key="k", value=Order("c", 1))
        driver.send_bytes(orders, key=b"k", value=b'{"customer": 1}')

        with pytest.raises(sc.SerdeError, match=r"topic=orders partition=0 offset=1 .*customer"):
            driver.process()


def test_bytes_that_do_not_decode_can_go_to_a_dead_letter_topic() -> None:
    app = sc.App("dead-bytes")
    orders = app.topic("orders", key=str, value=Order, on_error=sc.dead_letter("bad"))
    orders.count("n")

    with TopologyDriver(app) as driver:
        driver.send_bytes(orders, key=b"k", value=b"nonsense")
        driver.send(orders, key="k", value=Order("c", 1))

        assert driver.table("n").get("k").value == 1  # type: ignore[union-attr]
        assert values_of(driver, "bad") == [b"nonsense"]


def test_null_keys_are_left_out_by_keyed_steps_only() -> None:
    app = sc.App("null-keys")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.count("n")
    numbers.map(lambda value: value, value=int).to("all")

    with TopologyDriver(app) as driver:
        driver.send(numbers, key=None, value=1)
        driver.send(numbers, key="k", value=2)

        assert values_of(driver, "all") == [1, 2]
        assert [(answer.key, answer.value) for answer in driver.table("n").all()] == [("k", 1)]


def test_a_key_of_another_type_than_declared_stops_with_its_record() -> None:
    app = sc.App("key-type")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.group_by(lambda value: value if value > 1 else "one", key=str).count("n")

    with TopologyDriver(app) as driver:
        driver.send(numbers, key="k", value=1)
        driver.send(numbers, key="k", value=2)

        with pytest.raises(sc.SerdeError, match="offset=1"):
            driver.process()


def test_reading_a_table_by_a_key_of_another_type_is_an_error_not_a_miss() -> None:
    app = sc.App("query-type")
    app.topic("numbers", key=str, value=int).count("n")

    with TopologyDriver(app) as driver, pytest.raises(sc.SerdeError):
        driver.table("n").get(5)


def test_reduce_and_fold_keep_typed_values() -> None:
    class Reading(msgspec.Struct, frozen=True):
        at: int
        level: float

    app = sc.App("folds")
    readings = app.topic("readings", key=str, value=Reading)
    readings.reduce("highest", lambda first, second: first if first.level >= second.level else second)
    readings.fold("levels", list, lambda levels, reading: [*levels, reading.level])
    readings.aggregate("both", last=sc.last(), mean=sc.mean(lambda reading: reading.level))

    with TopologyDriver(app) as driver:
        for at, level in [(1, 2.0), (2, 5.0), (3, 4.0)]:
            driver.send(readings, key="s", value=Reading(at, level))
        driver.process()
        driver.crash()

        assert driver.table("highest").get("s").value == Reading(2, 5.0)  # type: ignore[union-attr]
        assert driver.table("levels").get("s").value == [2.0, 5.0, 4.0]  # type: ignore[union-attr]
        both = driver.table("both").get("s").value  # type: ignore[union-attr]
        assert (both.last, both.mean) == (Reading(3, 4.0), 11 / 3)


def test_timers_and_cron_follow_the_clock() -> None:
    app = sc.App("timers")
    topic = app.topic("ticks", key=str, value=int)
    calls: list[str] = []

    @app.timer("30s")
    async def report() -> None:
        calls.append("timer")
        await topic.send(key="t", value=len(calls))

    @app.crontab("*/5 * * * *")
    def sweep() -> None:
        calls.append("cron")

    with TopologyDriver(app) as driver:
        driver.advance("29s")
        assert calls == []
        driver.advance("271s")

        assert calls.count("timer") == 10
        assert calls.count("cron") == 1
        assert len(driver.read(topic)) == 10


def test_a_timer_that_fails_stops_the_worker() -> None:
    app = sc.App("bad-timer")
    app.topic("numbers", key=str, value=int).count("n")

    @app.timer("1s")
    async def fail() -> None:
        raise ValueError("broken")

    with TopologyDriver(app) as driver, pytest.raises(sc.UserCodeError, match="timer=fail"):
        driver.advance("2s")


def test_headers_travel_with_records() -> None:
    app = sc.App("headers")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.map(lambda value: value + 1, value=int).to("out")

    with TopologyDriver(app) as driver:
        driver.send(numbers, key="a", value=1, headers=(("trace", b"7"),))
        driver.send(numbers, key="a", value=2)

        assert [record.headers for record in driver.read("out")] == [(("trace", b"7"),), ()]


def test_map_record_changes_key_time_and_headers() -> None:
    app = sc.App("records")
    numbers = app.topic("numbers", key=str, value=int)

    @numbers.map_record
    def moved(record: sc.Record[str, int]) -> sc.Record[str, int]:
        return sc.Record(
            f"{record.topic}/{record.offset}", record.value, record.timestamp_ms + 1, (("h", b"x"),)
        )

    moved.to("moved")

    with TopologyDriver(app) as driver:
        driver.send(numbers, key="a", value=1, at=10)

        found = driver.read("moved")
        assert [(r.key, r.value, r.timestamp_ms, r.headers) for r in found] == [
            ("numbers/0", 1, 11, (("h", b"x"),))
        ]


def test_hopping_windows_count_a_record_in_each_window_it_falls_in() -> None:
    app = sc.App("hopping")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.hopping("10s", "5s").count("counts").final().to("finals")

    with TopologyDriver(app) as driver:
        for at in (1_000, 7_000, 12_000):
            driver.send(numbers, key="k", value=1, at=at)
        driver.close_windows()

        finals = [(record.key.start_ms, record.value) for record in driver.read("finals")]
        assert finals == [(0, 2), (5_000, 2), (10_000, 1)]


def test_a_mutable_initial_value_is_not_shared_between_keys() -> None:
    app = sc.App("shared-initial")
    numbers = app.topic("numbers", key=str, value=int)

    def appended(found: list[int], value: int) -> list[int]:
        found.append(value)
        return found

    numbers.fold("lists", [], appended)

    with TopologyDriver(app) as driver:
        for key, value in [("a", 1), ("b", 2), ("a", 3)]:
            driver.send(numbers, key=key, value=value)

        assert {answer.key: answer.value for answer in driver.table("lists").all()} == {"a": [1, 3], "b": [2]}
