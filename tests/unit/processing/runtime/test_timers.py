"""Timers and cron entries: when they are due, one call at a time of each, and what a failure does."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

import streamcore as sc
from streamcore.processing.runtime.failures import FailureLog
from streamcore.processing.runtime.timers import Timers, next_due_ms
from streamcore.processing.topology.timers import Timer


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


def test_a_timer_whose_call_takes_long_is_not_called_again_meanwhile() -> None:
    async def run() -> None:
        release = asyncio.Event()
        calls: list[int] = []

        async def tick() -> None:
            calls.append(1)
            await release.wait()

        timers = timers_of(tick, sc.stop, FailureLog(lambda: 0.0))
        assert [timers.start_due(now_ms) for now_ms in (9, 10, 20, 30)] == [0, 1, 0, 0]
        release.set()
        await timers.wait()
        assert timers.start_due(40) == 1
        await timers.wait()
        assert len(calls) == 2

    asyncio.run(run())


def test_the_next_time_counts_from_the_time_that_was_due() -> None:
    async def run() -> None:
        timers = timers_of(lambda: None, sc.stop, FailureLog(lambda: 0.0))
        timers.start_due(13)
        await timers.wait()
        assert timers.next_due_ms() == 20

    asyncio.run(run())


def test_a_worker_that_was_held_up_calls_a_timer_once_for_all_missed_times() -> None:
    async def run() -> None:
        calls: list[int] = []
        timers = timers_of(lambda: calls.append(1), sc.stop, FailureLog(lambda: 0.0))
        for now_ms in (1_005, 1_006, 1_009):
            timers.start_due(now_ms)
            await timers.wait()
        assert len(calls) == 1
        assert timers.next_due_ms() == 1_010

    asyncio.run(run())
