"""Agents: acknowledging by asking, policies that take a failed event back, lanes that keep a key's order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver


def counting_app(**agent_options: Any) -> tuple[sc.App, Any, Any]:
    app = sc.App("agents")
    events = app.topic("events", key=str, value=int)
    seen = app.table("seen", key=str, value=int, default=0)
    sent = app.topic("sent", key=str, value=int)

    @app.agent(events, **agent_options)
    async def follow(stream: Any) -> None:
        async for key, value in stream.items():
            seen[key] += value
            await sent.send(key=key, value=value)
            if value == 13:
                raise ValueError("unlucky")

    return app, events, sent


def send_all(driver: TopologyDriver, topic: Any, *values: int) -> None:
    for number, value in enumerate(values):
        driver.send(topic, key="k", value=value, at=number)


def test_an_event_whose_code_raises_stops_the_worker_and_names_the_record() -> None:
    app, events, _ = counting_app()
    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 13, 5)

        with pytest.raises(
            sc.UserCodeError, match=r"node=follow topic=events partition=0 offset=1 .*unlucky"
        ):
            driver.process()


def test_nothing_is_committed_past_an_event_that_stopped_the_worker() -> None:
    app, events, _ = counting_app()
    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 13, 5)
        with pytest.raises(sc.UserCodeError):
            driver.process()
        driver.crash()

        with pytest.raises(sc.UserCodeError, match="offset=1"):
            driver.process()


def test_skip_takes_back_what_the_failed_event_wrote() -> None:
    app, events, sent = counting_app(on_error=sc.skip)
    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 13, 5)

        assert driver.table("seen").get("k").value == 6  # type: ignore[union-attr]
        assert [record.value for record in driver.read(sent)] == [1, 5]


def test_dead_letter_keeps_the_record_as_it_came_with_the_reason() -> None:
    app, events, _ = counting_app(on_error=sc.dead_letter("dead"))
    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 13, 5)

        letters = driver.read("dead")
        assert [(letter.key, letter.value) for letter in letters] == [(b"k", b"13")]
        headers = dict(letters[0].headers)
        assert headers["streamcore.node"] == b"follow"
        assert headers["streamcore.offset"] == b"1"
        assert headers["streamcore.error"] == b"ValueError: unlucky"
        assert driver.table("seen").get("k").value == 6  # type: ignore[union-attr]


def test_retry_calls_again_with_the_writes_taken_back() -> None:
    app = sc.App("retrying")
    events = app.topic("events", key=str, value=int)
    seen = app.table("seen", key=str, value=int, default=0)
    attempts: list[int] = []

    @app.agent(events, on_error=sc.retry(3, backoff="1s"))
    async def follow(stream: Any) -> None:
        async for value in stream:
            attempts.append(value)
            seen["sum"] += value
            if value == 2 and attempts.count(2) < 3:
                raise ValueError("not yet")

    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 2, 3)

        assert driver.table("seen").get("sum").value == 6  # type: ignore[union-attr]
        assert attempts == [1, 2, 2, 2, 3]
        assert driver.clock.now_ms() == 3_000


def test_retry_that_never_succeeds_stops_with_the_record() -> None:
    app, events, _ = counting_app(on_error=sc.retry(2, backoff="1ms"))
    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 13)

        with pytest.raises(sc.UserCodeError, match="offset=1"):
            driver.process()


def test_lanes_keep_the_order_of_each_key_while_others_wait() -> None:
    app = sc.App("lanes")
    events = app.topic("events", key=str, value=int)
    order: list[tuple[str, int]] = []

    @app.agent(events, concurrency=4)
    async def follow(stream: Any) -> None:
        async for key, value in stream.items():
            await asyncio.sleep(0)
            if value % 3 == 0:
                await asyncio.sleep(0)
            order.append((key, value))

    with TopologyDriver(app) as driver:
        for number in range(200):
            driver.send(events, key="abcdefg"[number % 7], value=number)
        driver.process()

    assert len(order) == 200
    for key in "abcdefg":
        mine = [value for found, value in order if found == key]
        assert mine == sorted(mine)


@pytest.mark.parametrize("on_error", [sc.skip, sc.retry(1, "1ms")], ids=["skip", "retry"])
def test_taking_back_one_event_keeps_what_other_lanes_wrote_to_the_same_key(on_error: Any) -> None:
    app = sc.App("shared")
    events = app.topic("events", key=str, value=int)
    totals = app.table("totals", key=str, value=int, default=0)
    done: list[int] = []
    failed: set[int] = set()

    @app.agent(events, concurrency=4, on_error=on_error)
    async def follow(stream: Any) -> None:
        async for value in stream:
            totals["all"] += 1
            for _ in range(value % 4):
                await asyncio.sleep(0)
            if value % 5 == 0 and value not in failed:
                failed.add(value)
                raise ValueError("unlucky")
            done.append(value)

    with TopologyDriver(app) as driver:
        for number in range(200):
            driver.send(events, key=f"k{number % 17}", value=number)

        assert driver.table("totals").get("all").value == len(done)  # type: ignore[union-attr]
    assert len(done) == (160 if on_error is sc.skip else 200)


def test_a_send_to_a_topic_of_another_application_stops_and_names_the_topic() -> None:
    app = sc.App("mine")
    events = app.topic("events", key=str, value=int)
    foreign = sc.App("theirs").topic("foreign", value=int)

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for value in stream:
            await foreign.send(value=value)

    with TopologyDriver(app) as driver:
        send_all(driver, events, 1)

        with pytest.raises(sc.UserCodeError, match=r"offset=0 .*declare it on this one.*topic=foreign"):
            driver.process()


def test_waits_before_retries_stop_growing_at_a_minute() -> None:
    assert [sc.retry(50, "10s").wait_ms(attempt) for attempt in (1, 2, 3, 4, 50)] == [
        10_000,
        20_000,
        40_000,
        60_000,
        60_000,
    ]
    assert sc.retry(5, "2m").wait_ms(5) == 120_000


def test_an_agent_that_returns_is_an_error_not_a_silent_end() -> None:
    app = sc.App("returning")
    events = app.topic("events", key=str, value=int)

    @app.agent(events)
    async def one(stream: Any) -> None:
        async for _ in stream:
            return

    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 2)

        with pytest.raises(sc.UserCodeError, match="returned while its stream goes on"):
            driver.process()


def test_events_come_as_values_pairs_or_records() -> None:
    app = sc.App("shapes")
    events = app.topic("events", key=str, value=int)
    found: list[Any] = []

    @app.agent(events)
    async def values(stream: Any) -> None:
        async for value in stream:
            found.append(value)

    @app.agent(events)
    async def records(stream: Any) -> None:
        async for record in stream.records():
            found.append((record.key, record.value, record.timestamp_ms, record.topic, record.offset))

    with TopologyDriver(app) as driver:
        driver.send(events, key="k", value=7, at=5)
        driver.process()

    assert found == [7, ("k", 7, 5, "events", 0)]


def test_a_changed_value_that_is_not_assigned_back_is_not_changed() -> None:
    app = sc.App("mutating")
    events = app.topic("events", key=str, value=int)
    lists = app.table("lists", key=str, value=list[int], default=list)

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for value in stream:
            mutated = lists["mutated"]
            mutated.append(value)
            assigned = lists["assigned"]
            assigned.append(value)
            lists["assigned"] = assigned

    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 2)

        assert driver.table("lists").get("mutated") is None
        assert driver.table("lists").get("assigned").value == [1, 2]  # type: ignore[union-attr]


def test_a_table_that_the_code_does_not_show_must_be_declared() -> None:
    app = sc.App("hidden")
    events = app.topic("events", key=str, value=int)
    tables = {"hidden": app.table("hidden", key=str, value=int, default=0)}

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for value in stream:
            tables["hidden"]["k"] = value

    with TopologyDriver(app) as driver:
        driver.send(events, key="k", value=1)
        with pytest.raises(sc.UserCodeError, match="tables=") as caught:
            driver.process()
        assert isinstance(caught.value.__cause__, sc.UsageError)


def test_a_declared_hidden_table_works() -> None:
    app = sc.App("declared")
    events = app.topic("events", key=str, value=int)
    tables = {"hidden": app.table("hidden", key=str, value=int, default=0)}

    @app.agent(events, tables=[tables["hidden"]])
    async def follow(stream: Any) -> None:
        async for value in stream:
            tables["hidden"]["k"] += value

    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 2)

        assert driver.table("hidden").get("k").value == 3  # type: ignore[union-attr]


def test_a_wrong_key_type_is_refused_where_it_is_written() -> None:
    app = sc.App("wrong-key")
    events = app.topic("events", key=str, value=int)
    seen = app.table("seen", key=str, value=int, default=0)

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for value in stream:
            seen[value] += 1

    with TopologyDriver(app) as driver:
        driver.send(events, key="k", value=1)
        with pytest.raises(sc.SerdeError, match="offset=0"):
            driver.process()


def test_a_key_in_several_partitions_is_refused_not_answered_in_part() -> None:
    app = sc.App("split-key")
    events = app.topic("events", key=str, value=int, partitions=2)
    seen = app.table("seen", key=str, value=int, default=0)

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for value in stream:
            seen["all"] += value

    with TopologyDriver(app) as driver:
        driver.send(events, key="a", value=1, partition=0)
        driver.send(events, key="b", value=2, partition=1)

        with pytest.raises(sc.UsageError, match="several partitions"):
            driver.table("seen").get("all")
        assert sorted(answer.value for answer in driver.table("seen").all()) == [1, 2]


def test_a_windowed_table_holds_a_value_for_each_window_of_the_events() -> None:
    app = sc.App("windowed-table")
    events = app.topic("events", key=str, value=int)
    sums = app.table("sums", key=str, value=int, default=0).tumbling("10s")

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for key, value in stream.items():
            sums[key] += value

    with TopologyDriver(app) as driver:
        for at, value in [(1_000, 1), (9_999, 2), (10_000, 4), (3_000, 8)]:
            driver.send(events, key="k", value=value, at=at)
        driver.process()
        driver.crash()

        table = driver.table("sums")
        assert [(answer.key.start_ms, answer.value) for answer in table.windows("k")] == [
            (0, 11),
            (10_000, 4),
        ]
        assert table.get("k", at=12_000).value == 4  # type: ignore[union-attr]


@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_agent_sends_to_the_partition_that_it_names_and_else_by_key(concurrency: int) -> None:
    app = sc.App("partitions")
    events = app.topic("events", key=str, value=int)
    sent = app.topic("sent", key=str, value=int, partitions=4)

    @app.agent(events, concurrency=concurrency)
    async def follow(stream: Any) -> None:
        async for record in stream.records():
            await sent.send(key="k", value=record.value, partition=record.value % 4)
            sent.send_many([record])

    with TopologyDriver(app) as driver:
        send_all(driver, events, 0, 1, 2, 7)
        found = [(record.value, record.partition) for record in driver.read(sent)]

        by_key = {partition for value, partition in found if value == 0} - {0} or {0}
        assert {(0, 0), (1, 1), (2, 2), (7, 3)} <= set(found)
        assert {(value, *by_key) for value in (0, 1, 2, 7)} <= set(found)
        assert len(found) == 8


@pytest.mark.parametrize("partition", [4, -2, "1", True, 1.0])
def test_a_partition_that_the_topic_does_not_have_is_an_error_of_the_event(partition: Any) -> None:
    app = sc.App("partitions")
    events = app.topic("events", key=str, value=int)
    sent = app.topic("sent", key=str, value=int, partitions=4)

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for value in stream:
            await sent.send(key="k", value=value, partition=partition)

    with TopologyDriver(app) as driver:
        send_all(driver, events, 1)
        with pytest.raises(sc.UserCodeError, match=rf"no such partition.*partition={partition}"):
            driver.process()


def test_a_command_sends_to_the_partition_that_a_record_names_if_it_was_not_read() -> None:
    app = sc.App("partitions")
    sent = app.topic("sent", key=str, value=int, partitions=4)
    with TopologyDriver(app) as driver:
        driver.send(sent, key="k", value=1)
        (by_key,) = driver.read(sent)
        driver.send(sent, key="k", value=2, partition=(by_key.partition + 1) % 4)
        (elsewhere,) = driver.read(sent)
        with pytest.raises(sc.UsageError, match="no such partition"):
            driver.send(sent, key="k", value=3, partition=4)

    assert elsewhere.partition == (by_key.partition + 1) % 4
