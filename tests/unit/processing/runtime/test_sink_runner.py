"""Sinks: functions that get the values of a stream in lists, before the commit of their records."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.model import TopicPartition
from streamcore.processing.runtime.running import MemoryEngines
from streamcore.processing.runtime.settings import WorkerSettings
from streamcore.processing.runtime.worker import TaskWorker
from streamcore.testing import TopologyDriver
from streamcore.testing.sim_disk import SimDisk


def declared(function: Any, **options: Any) -> tuple[sc.App, Any]:
    app = sc.App("sinks")
    events = app.topic("events", key=str, value=int)
    events.sink(function, name="deliver", **options)
    return app, events


def send_all(driver: TopologyDriver, topic: Any, *values: int) -> None:
    for value in values:
        driver.send(topic, key=f"k{value}", value=value, at=value)


@pytest.mark.parametrize("is_async", [False, True])
def test_values_come_in_order_in_lists_that_are_not_longer_than_the_batch(is_async: bool) -> None:
    calls: list[list[int]] = []

    async def deliver_async(values: list[int]) -> None:
        await asyncio.sleep(0)
        calls.append(values)

    app, events = declared(deliver_async if is_async else calls.append, batch=2)
    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 2, 3, 4, 5)
        driver.process()

    assert calls == [[1, 2], [3, 4], [5]]


def test_a_sink_may_take_records_and_may_be_declared_by_a_decorator() -> None:
    app = sc.App("sinks")
    events = app.topic("events", key=str, value=int)
    calls: list[Any] = []

    @events.sink(records=True)
    def deliver(records: list[sc.Record[str, int]]) -> None:
        calls.append([(record.key, record.value, record.topic, record.offset) for record in records])

    assert deliver is None
    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 2)
        driver.process()
        assert "deliver  sink <- events" in app.describe()

    assert calls == [[("k1", 1, "events", 0), ("k2", 2, "events", 1)]]


def test_nothing_is_committed_that_was_not_delivered_and_the_call_comes_again() -> None:
    calls: list[list[int]] = []
    is_broken = [True]

    def deliver(values: list[int]) -> None:
        calls.append(values)
        if is_broken[0] and 3 in values:
            raise OSError("away")

    app, events = declared(deliver, batch=2)
    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 2, 3, 4, 5)
        with pytest.raises(sc.UserCodeError, match=r"node=deliver topic=events .*offset=2.*away records=2"):
            driver.process()
        driver.crash()
        is_broken[0] = False
        driver.process()
        driver.crash()
        driver.process()

    assert calls[:2] == [[1, 2], [3, 4]]
    assert calls[2:] in ([[1, 2], [3, 4], [5]], [[3, 4], [5]])


@pytest.mark.parametrize("retry", [2, sc.retry(2, "1s")])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_call_that_fails_is_repeated_with_the_same_values(retry: Any, is_async: bool) -> None:
    calls: list[list[int]] = []

    def deliver(values: list[int]) -> None:
        calls.append(values)
        if len(calls) in (1, 2):
            raise OSError("away")

    async def deliver_async(values: list[int]) -> None:
        deliver(values)

    app, events = declared(deliver_async if is_async else deliver, batch=2, retry=retry)
    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 2, 3)
        driver.process()

    assert calls == [[1, 2], [1, 2], [1, 2], [3]]


def test_when_no_retry_helps_the_policy_decides_about_all_records_of_the_call() -> None:
    calls: list[list[int]] = []

    def deliver(values: list[int]) -> None:
        calls.append(values)
        if 2 in values:
            raise OSError("away")

    app, events = declared(deliver, batch=2, retry=1, on_error=sc.dead_letter("dead"))
    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 2, 3)
        assert [record.value for record in driver.read("dead")] == [b"1", b"2"]

    assert calls == [[1, 2], [1, 2], [3]]


def test_a_sink_behind_a_table_delivers_its_changes() -> None:
    app = sc.App("sinks")
    events = app.topic("events", key=str, value=int)
    calls: list[int] = []
    events.group_by(lambda value: value % 2, key=int).sum("sums", lambda value: value).updates().sink(
        calls.extend, name="deliver"
    )
    with TopologyDriver(app) as driver:
        send_all(driver, events, 1, 2, 3)
        driver.process()

    assert calls == [1, 2, 4]


def test_a_join_beside_a_sink_sees_the_table_as_of_each_record() -> None:
    app = sc.App("sinks")
    events = app.topic("events", key=str, value=int)
    others = app.topic("others", key=str, value=int)
    events.join(others.table("others-table"), lambda value, other: (value, other)).to("joined")
    events.sink(print, name="deliver")
    with TopologyDriver(app) as driver:
        for topic, value, at in [(events, 1, 0), (others, 7, 5), (events, 2, 9), (others, 8, 12)]:
            driver.send(topic, key="k", value=value, at=at)
        assert [record.value for record in driver.read("joined")] == [(2, 7)]


# -- commits and stops


class Warehouse:
    """An application with a sink, on a log and a clock of the test's own."""

    def __init__(self, function: Any, *, count: int, batch: int = 2, **settings: Any) -> None:
        self.clock = ManualClock()
        self.log = EmbeddedLog.open(Path("/log"), clock=self.clock, file_system=SimDisk(0), maintenance=False)
        app, events = declared(function, batch=batch)
        self.worker = TaskWorker(
            app.declared(), self.log, MemoryEngines(), self.clock, WorkerSettings(**settings)
        )
        self.worker.sender.send(events.spec, [sc.Record("k", value, value, ()) for value in range(count)])

    def committed(self) -> int:
        source = TopicPartition("events", 0)
        found = self.log.committed("sinks", [source])
        return found[source].offset if source in found else 0


async def run_until(worker: TaskWorker, reached: asyncio.Event) -> None:
    stopping = asyncio.Event()
    running = asyncio.ensure_future(worker.run(stopping))
    await reached.wait()
    stopping.set()
    await running
    await worker.close()


def test_a_call_that_takes_longer_than_the_stop_may_is_cancelled_and_its_records_stay_uncommitted() -> None:
    async def run() -> None:
        reached = asyncio.Event()
        delivered: list[int] = []

        async def deliver(values: list[int]) -> None:
            if 2 in values:
                reached.set()
                await asyncio.sleep(3600)
            delivered.extend(values)

        house = Warehouse(deliver, count=5, stop_timeout_ms=0)
        await run_until(house.worker, reached)

        assert delivered == [0, 1]
        assert house.committed() == 2

    asyncio.run(run())


def test_a_stop_waits_for_the_call_under_way_and_begins_no_other() -> None:
    async def run() -> None:
        reached = asyncio.Event()
        delivered: list[int] = []

        async def deliver(values: list[int]) -> None:
            reached.set()
            for _ in range(20):
                await asyncio.sleep(0)
            delivered.extend(values)

        house = Warehouse(deliver, count=5)
        await run_until(house.worker, reached)

        assert delivered == [0, 1]
        assert house.committed() == 2

    asyncio.run(run())


def test_slow_calls_are_committed_one_by_one_and_never_before_their_end() -> None:
    async def run() -> None:
        seen: list[tuple[int, int]] = []

        def deliver(values: list[int]) -> None:
            seen.append((house.committed(), values[0]))
            house.clock.advance(150)

        house = Warehouse(deliver, count=12)
        await house.worker.run_until_end()
        await house.worker.close()

        assert all(committed <= first for committed, first in seen)
        assert len({committed for committed, _ in seen}) > 3
        assert house.committed() == 12

    asyncio.run(run())


def test_a_sink_that_waits_for_its_next_try_does_not_hold_up_a_stop() -> None:
    async def run() -> None:
        reached = asyncio.Event()

        def deliver(values: list[int]) -> None:
            reached.set()
            raise OSError("away")

        app = sc.App("sinks")
        events = app.topic("events", key=str, value=int)
        events.sink(deliver, retry=sc.retry(1_000, "1h"))
        clock = ManualClock()
        log = EmbeddedLog.open(Path("/log"), clock=clock, file_system=SimDisk(0), maintenance=False)
        worker = TaskWorker(app.declared(), log, MemoryEngines(), clock, WorkerSettings())
        worker.sender.send(events.spec, [sc.Record("k", 1, 1, ())])

        await run_until(worker, reached)

        assert TopicPartition("events", 0) not in log.committed("sinks") or (
            log.committed("sinks")[TopicPartition("events", 0)].offset == 0
        )

    asyncio.run(run())


def test_a_sink_that_ends_the_program_stops_the_worker() -> None:
    async def ends(values: list[int]) -> None:
        raise SystemExit(3)

    app, events = declared(ends, on_error=sc.skip)
    with TopologyDriver(app) as driver:
        send_all(driver, events, 1)
        with pytest.raises(sc.UserCodeError, match="SystemExit"):
            driver.process()


# -- declarations


async def unfinished(values: list[int]) -> Any:
    yield values


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"function": "db"}, "give a function"),
        ({"function": unfinished}, "without 'yield'"),
        ({"function": lambda: None}, r"called with \(values\)"),
        ({"function": print, "batch": 0}, "batch= is an integer from 1"),
        ({"function": print, "retry": 0}, r"retry=, if it is not sc.retry\(times=3\), is an integer"),
        ({"function": print, "retry": sc.skip}, r"retry=, if it is not sc.retry\(times=3\), is an integer"),
        ({"function": print, "on_error": "skip"}, "on_error is sc.skip"),
    ],
)
def test_wrong_arguments_are_refused_with_the_place(options: dict[str, Any], told: str) -> None:
    topic = sc.App("sinks").topic("events", key=str, value=int)

    with pytest.raises(sc.TopologyError, match=rf"{told}.*at=.*test_sink_runner.py"):
        topic.sink(**options)
