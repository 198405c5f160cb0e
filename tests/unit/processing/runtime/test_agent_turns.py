"""Agents that wait, fail or are cancelled: what is committed, what is run again, who has a turn meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver


def value_of(driver: TopologyDriver, table: str, key: str) -> Any:
    answer = driver.table(table).get(key)
    return None if answer is None else answer.value


def test_an_agent_that_takes_long_is_committed_between_two_events_of_a_batch() -> None:
    app = sc.App("slow")
    events = app.topic("events", key=str, value=int)
    seen = app.table("seen", key=str, value=int, default=0)
    sent = app.topic("sent", key=str, value=int)
    clock: list[Any] = []

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for key, value in stream.items():
            seen[key] += 1
            await sent.send(key=key, value=value)
            clock[0].advance(200)
            if value == 5:
                raise ValueError("unlucky")

    events.count("counts")

    with TopologyDriver(app) as driver:
        clock.append(driver.clock)
        for value in range(10):
            driver.send(events, key="k", value=value, at=value)

        with pytest.raises(sc.UserCodeError, match="offset=5"):
            driver.process()

        assert value_of(driver, "seen", "k") == 5
        assert value_of(driver, "counts", "k") == 5
        assert [record.value for record in driver.read(sent)] == [0, 1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("concurrency", [1, 3])
def test_crashes_between_the_commits_of_a_batch_lose_and_repeat_nothing(concurrency: int) -> None:
    app = sc.App("crashing")
    events = app.topic("events", key=str, value=int)
    seen = app.table("seen", key=str, value=int, default=0)
    sent = app.topic("sent", key=str, value=int)
    clock: list[Any] = []

    @events.flat_map
    def twice(value: int) -> list[int]:
        return [value, -value]

    @app.agent(twice, concurrency=concurrency)
    async def follow(stream: Any) -> None:
        async for key, value in stream.items():
            seen[key] += 1
            clock[0].advance(60)
            await asyncio.sleep(0)
            await sent.send(key=key, value=value)

    events.count("counts")

    for operation in range(1, 60, 7):
        with TopologyDriver(app, seed=operation) as driver:
            clock[:] = [driver.clock]
            for value in range(1, 21):
                driver.send(events, key=f"k{value % 4}", value=value, at=value)
            driver.crash_at(operation)
            driver.process()

            numbers = sorted(record.value for record in driver.read(sent))
            assert numbers == [*range(-20, 0), *range(1, 21)]
            assert [value_of(driver, "seen", f"k{key}") for key in range(4)] == [10] * 4
            assert [value_of(driver, "counts", f"k{key}") for key in range(4)] == [5] * 4


@pytest.mark.parametrize("on_error", [sc.skip, sc.retry(2, "1ms"), sc.dead_letter("dead")])
@pytest.mark.parametrize("fails", [False, True])
def test_only_a_failed_event_is_run_again_where_several_write_one_key(on_error: Any, fails: bool) -> None:
    app = sc.App("hot")
    events = app.topic("events", key=str, value=int)
    totals = app.table("totals", key=str, value=int, default=0)
    calls: Counter[int] = Counter()
    done: list[int] = []

    @app.agent(events, concurrency=10, on_error=on_error)
    async def follow(stream: Any) -> None:
        async for value in stream:
            calls[value] += 1
            await asyncio.sleep(0)
            totals["all"] += 1
            await asyncio.sleep(0)
            if fails and value % 10 == 0 and calls[value] == 1:
                raise ValueError("unlucky")
            done.append(value)

    with TopologyDriver(app) as driver:
        for value in range(100):
            driver.send(events, key=f"k{value}", value=value)

        assert value_of(driver, "totals", "all") == len(done)
    retried = 10 if fails and isinstance(on_error, type(sc.retry(1))) else 0
    assert sum(calls.values()) == 100 + retried
    assert all(count == 1 for value, count in calls.items() if value % 10)


def test_events_that_write_their_own_keys_are_under_way_together() -> None:
    app = sc.App("own-keys")
    events = app.topic("events", key=str, value=int)
    seen = app.table("seen", key=str, value=int, default=0)
    under_way: list[int] = [0, 0]

    @app.agent(events, concurrency=5, on_error=sc.skip)
    async def follow(stream: Any) -> None:
        async for key, _ in stream.items():
            under_way[0] += 1
            under_way[1] = max(under_way)
            seen[key] += 1
            await asyncio.sleep(0)
            under_way[0] -= 1

    with TopologyDriver(app) as driver:
        for value in range(40):
            driver.send(events, key=f"k{value % 8}", value=value)

        assert sum(answer.value for answer in driver.table("seen").all()) == 40
    assert under_way[1] == 5


def test_what_a_failed_event_had_shown_to_another_is_done_again_with_the_other() -> None:
    app = sc.App("sharing")
    events = app.topic("events", key=str, value=str)
    seen = app.table("seen", key=str, value=int, default=0)
    calls: Counter[str] = Counter()

    @app.agent(events, concurrency=3, on_error=sc.skip)
    async def follow(stream: Any) -> None:
        async for value in stream:
            calls[value] += 1
            if value in ("bad", "good"):
                seen["all"] += 1
                for _ in range(5):
                    await asyncio.sleep(0)
            if value == "bad":
                raise ValueError("unlucky")

    with TopologyDriver(app) as driver:
        for number, value in enumerate(["plain", "bad", "good", "last"]):
            driver.send(events, key=f"k{number}", value=value)

        assert value_of(driver, "seen", "all") == 1
    assert calls["bad"] == calls["plain"] == calls["last"] == 1


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize(
    "raised",
    [
        asyncio.CancelledError(),
        GeneratorExit(),
        TimeoutError(),
        BaseExceptionGroup("several", [asyncio.CancelledError(), ValueError()]),
    ],
    ids=repr,
)
def test_whatever_application_code_raises_is_an_error_of_its_record(
    raised: BaseException, concurrency: int
) -> None:
    app = sc.App("raising")
    events = app.topic("events", key=str, value=int)
    done: list[int] = []

    @app.agent(events, on_error=sc.skip, concurrency=concurrency)
    async def follow(stream: Any) -> None:
        async for value in stream:
            if value == 1:
                raise raised
            done.append(value)

    with TopologyDriver(app) as driver:
        for value in range(4):
            driver.send(events, key="k", value=value)
        driver.process()
    assert done == [0, 2, 3]


def test_awaiting_a_cancelled_task_stops_the_worker_with_the_record() -> None:
    app = sc.App("cancelled")
    events = app.topic("events", key=str, value=int)

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for _ in stream:
            task = asyncio.ensure_future(asyncio.sleep(60))
            task.cancel()
            await task

    with TopologyDriver(app) as driver:
        driver.send(events, key="k", value=1)
        with pytest.raises(sc.UserCodeError, match=r"node=follow .*offset=0 .*CancelledError"):
            driver.process()


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_ends_programs_stops_the_worker_whatever_the_policy(raised: BaseException) -> None:
    app = sc.App("ending")
    events = app.topic("events", key=str, value=int)

    @app.agent(events, on_error=sc.skip)
    async def follow(stream: Any) -> None:
        async for _ in stream:
            raise raised

    with TopologyDriver(app) as driver:
        driver.send(events, key="k", value=1)
        with pytest.raises(sc.UserCodeError, match=r"offset=0 .*(SystemExit|KeyboardInterrupt)"):
            driver.process()


def test_code_that_outlives_its_event_is_refused_and_everything_else_goes_on() -> None:
    app = sc.App("outliving")
    events = app.topic("events", key=str, value=int)
    seen = app.table("seen", key=str, value=int, default=0)
    sent = app.topic("sent", key=str, value=int)
    tasks: list[asyncio.Task[None]] = []

    async def within(key: str, value: int) -> None:
        await asyncio.sleep(0)
        await sent.send(key=key, value=value)

    async def later() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        seen["late"] = 1

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for key, value in stream.items():
            await asyncio.gather(within(key, value), within(key, -value))
            tasks.append(asyncio.ensure_future(later()))
            tasks.append(asyncio.ensure_future(within(key, 99)))

    with TopologyDriver(app) as driver:
        for value in (1, 2):
            driver.send(events, key="k", value=value)
        driver.process()
        driver.advance("1s")
        driver.process()

        assert [record.value for record in driver.read(sent)] == [1, -1, 2, -2]
        assert value_of(driver, "seen", "late") is None
    errors = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    assert errors
    assert all(isinstance(error, sc.UsageError) and "the event is over" in str(error) for error in errors)


def test_hooks_are_called_before_the_first_record_and_after_the_last_commit() -> None:
    app = sc.App("hooks")
    events = app.topic("events", key=str, value=int)
    log: list[str] = []

    @app.agent(events)
    async def follow(stream: Any) -> None:
        async for value in stream:
            log.append(f"event {value}")

    @app.on_start
    async def begin() -> None:
        log.append("begin")

    @app.on_stop
    def end() -> None:
        log.append("end")

    @app.on_stop
    async def end_first() -> None:
        log.append("end first")

    with TopologyDriver(app) as driver:
        driver.send(events, key="k", value=1)
        driver.process()
        driver.process()

    assert log == ["begin", "event 1", "end first", "end"]


def test_a_hook_that_fails_at_the_start_stops_the_worker() -> None:
    app = sc.App("failing-hook")
    app.topic("events", key=str, value=int).count("counts")

    @app.on_start
    def begin() -> None:
        raise ValueError("no")

    with TopologyDriver(app) as driver, pytest.raises(sc.UserCodeError, match=r"function=begin .*no"):
        driver.process()
