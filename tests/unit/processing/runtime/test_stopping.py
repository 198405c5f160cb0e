"""How a worker ends: what it commits, what it leaves, what it does not ask, and how failures show."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.model import LogOffsets, TopicPartition
from streamcore.processing.runtime.failures import FailureLog
from streamcore.processing.runtime.running import MemoryEngines
from streamcore.processing.runtime.settings import WorkerSettings
from streamcore.processing.runtime.timers import Timers, next_due_ms
from streamcore.processing.runtime.worker import TaskWorker
from streamcore.processing.topology.timers import Timer
from streamcore.testing.sim_disk import SimDisk


class FlakyLog(EmbeddedLog):
    """A log whose broker does not answer questions once it is away."""

    is_away = False

    def offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogOffsets]:
        if self.is_away:
            raise sc.RequestTimeoutError("the broker does not answer")
        return super().offsets(partitions)


def open_log(clock: ManualClock) -> FlakyLog:
    return FlakyLog.open(Path("/log"), clock=clock, file_system=SimDisk(0), maintenance=False)


def application(after: asyncio.Event) -> tuple[sc.App, Any]:
    """An agent that handles two events and then waits in the third."""
    app = sc.App("stopping")
    events = app.topic("events", key=str, value=int)
    names = app.topic("names", key=str, value=str).global_table("names")
    events.join(names, on=str, how="left", name="named")(lambda value, name: name)
    seen = app.table("seen", key=str, value=int, default=0)

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for value in stream:
            seen["n"] += 1
            if value == 2:
                after.set()
                await asyncio.sleep(3600)

    return app, events


async def run_until(worker: TaskWorker, reached: asyncio.Event) -> None:
    stopping = asyncio.Event()
    running = asyncio.ensure_future(worker.run(stopping))
    await reached.wait()
    stopping.set()
    await running


def committed(log: EmbeddedLog) -> int:
    source = TopicPartition("events", 0)
    return log.committed("stopping", [source])[source].offset


def send(worker: TaskWorker, topic: Any, count: int) -> None:
    worker.sender.send(topic.spec, [sc.Record("k", value, value, ()) for value in range(count)])


def test_an_event_that_takes_longer_than_the_stop_may_is_cancelled_and_left_uncommitted() -> None:
    async def run() -> None:
        clock, reached = ManualClock(), asyncio.Event()
        log = open_log(clock)
        app, events = application(reached)
        worker = TaskWorker(app.declared(), log, MemoryEngines(), clock, WorkerSettings(stop_timeout_ms=0))
        send(worker, events, 5)

        await run_until(worker, reached)

        (state,) = (state for state in worker.task_set.states if "seen" in state.task.stores)
        assert committed(log) == 2
        assert dict(state.task.stores["seen"].items()) == {"n": 2}
        await worker.close()

    asyncio.run(run())


def test_a_stop_asks_nothing_that_it_does_not_need() -> None:
    async def run() -> None:
        clock, reached = ManualClock(), asyncio.Event()
        log = open_log(clock)
        app, events = application(reached)
        worker = TaskWorker(app.declared(), log, MemoryEngines(), clock, WorkerSettings(stop_timeout_ms=0))
        send(worker, events, 5)
        stopping = asyncio.Event()
        running = asyncio.ensure_future(worker.run(stopping))
        await reached.wait()

        stopping.set()
        log.is_away = True
        await running
        await worker.close()

        assert committed(log) == 2

    asyncio.run(run())


def timers_of(function: Any, on_error: Any, failures: FailureLog) -> Timers:
    class Nothing:
        sender = None
        event_time_ms = None

        def table(self, store: Any) -> Any:
            raise AssertionError

    return Timers(
        [Timer("tick", function, interval_ms=10)],
        Nothing(),  # type: ignore[arg-type]
        0,
        on_error=on_error,
        failures=failures,
        ended=lambda: None,
        wait_ms=lambda wait_ms: None,
    )


def test_a_timer_that_fails_stops_the_worker_and_is_named() -> None:
    async def run() -> None:
        async def tick() -> None:
            raise ValueError("no")

        timers = timers_of(tick, sc.stop, FailureLog(lambda: 0.0))
        timers.start_due(10)
        with pytest.raises(sc.UserCodeError, match="timer=tick error=ValueError: no"):
            await timers.wait()

    asyncio.run(run())


@pytest.mark.parametrize("policy", [sc.skip, sc.dead_letter("dead")])
def test_a_timer_that_fails_goes_on_under_a_policy_that_does(
    policy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        calls: list[int] = []

        def tick() -> None:
            calls.append(1)
            raise asyncio.CancelledError

        failures = FailureLog(lambda: 0.0)
        timers = timers_of(tick, policy, failures)
        for now_ms in (10, 20):
            timers.start_due(now_ms)
            await timers.wait()
        assert len(calls) == 2
        assert sum(failures.counts.values()) == 2

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert "node=tick" in caplog.text


def test_a_timer_is_tried_again_as_often_as_the_policy_says() -> None:
    async def run() -> None:
        calls: list[int] = []

        def tick() -> None:
            calls.append(1)
            raise ValueError("no")

        timers = timers_of(tick, sc.retry(2), FailureLog(lambda: 0.0))
        timers.start_due(10)
        with pytest.raises(sc.UserCodeError, match="timer=tick"):
            await timers.wait()
        assert len(calls) == 3

    asyncio.run(run())


def test_cron_entries_follow_the_clock_of_their_time_zone_through_the_change_to_summer_time() -> None:
    app = sc.App("cron")

    @app.crontab("0 3 * * *", timezone="Europe/Berlin")
    def nightly() -> None: ...

    (timer,) = app.timers
    due_ms = int(datetime(2025, 3, 29, 0, tzinfo=UTC).timestamp() * 1000)
    found = []
    for _ in range(3):
        due_ms = next_due_ms(timer, due_ms)
        found.append(datetime.fromtimestamp(due_ms / 1000, UTC).hour)
    assert found == [2, 1, 1]


@pytest.mark.parametrize("zone", ["Nowhere/Land", "", 3, "../etc/passwd"])
def test_a_time_zone_that_is_none_is_refused_where_it_is_declared(zone: Any) -> None:
    app = sc.App("cron")
    with pytest.raises(sc.TopologyError, match="time zone"):
        app.crontab("0 3 * * *", timezone=zone)(lambda: None)


def test_a_node_that_fails_for_ever_has_a_few_lines_and_a_number(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [0.0]
    failures = FailureLog(lambda: now_s[0])
    record: sc.Record[Any, Any] = sc.Record(b"k", b"v", 0, (), "events", 1, 7)
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            failures.count("step", "skip", record, ValueError("no"))
        now_s[0] = 61.0
        failures.count("step", "skip", record, ValueError("no"))

    lines = [line.getMessage() for line in caplog.records]
    assert len(lines) == 12
    assert "topic=events partition=1 offset=7 key=b'k' value=b'v' error=ValueError: no" in lines[0]
    assert "failures=90" in lines[10]
    assert failures.counts == {("step", "skip"): 101}


def test_a_failure_in_the_background_is_logged_and_stays_the_cause_of_later_errors(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = sc.App("dead")
    events = app.topic("events", key=str, value=int)

    @events.map
    def fails(value: int) -> int:
        raise ValueError("no")

    fails.foreach(lambda value: None)
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(sc.UserCodeError, match="no"),
        sc.run(app, data=tmp_path, state="memory") as running,
    ):
        assert not isinstance(running.failure, Exception)
        with pytest.raises(sc.RequestTimeoutError):
            running.wait(timeout="1ms")
        running.send(events, key="k", value=1)
        for _ in range(2):
            with pytest.raises(sc.UserCodeError, match="node=fails"):
                running.wait(timeout="20s")
        for use in (lambda: running.log, running.table_names, lambda: running.send(events, value=1)):
            with pytest.raises(sc.ClosedError) as caught:
                use()
            assert caught.value.__cause__ is running.failure
    (line,) = [line for line in caplog.records if line.levelno == logging.ERROR]
    assert line.exc_info is not None
    assert "app=dead" in line.getMessage()
