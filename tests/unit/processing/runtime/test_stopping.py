"""How a worker ends: what it commits, what it leaves, what it does not ask, and how failures show."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.model import LogOffsets, TopicPartition
from streamcore.processing.runtime.running import MemoryEngines
from streamcore.processing.runtime.settings import WorkerSettings
from streamcore.processing.runtime.worker import TaskWorker
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
