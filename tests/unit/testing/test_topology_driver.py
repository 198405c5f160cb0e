"""The driver of users' tests: what it shows of an application that failed, and where it may be used."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator

import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver


def test_an_application_that_failed_stays_stopped_and_shows_what_it_had_committed() -> None:
    app = sc.App("failing")
    numbers = app.topic("numbers", key=str, value=int)
    numbers.map(lambda number: number, name="copy", value=int).to("copies")
    totals = app.table("totals", key=str, value=int, default=0)
    refused = {13}

    @app.agent(numbers)
    async def add(events: sc.Events[int]) -> None:
        async for number in events:
            totals["all"] += number
            if number in refused:
                raise ValueError("unlucky")

    with TopologyDriver(app) as driver:
        driver.send(numbers, key="k", value=1)
        driver.process()
        for number in (2, 13, 3):
            driver.send(numbers, key="k", value=number)
        for _ in range(2):
            with pytest.raises(sc.UserCodeError, match=r"offset=2 .*unlucky"):
                driver.process()
        driver.send(numbers, key="k", value=4)

        assert [record.value for record in driver.read("copies")] == [1]
        assert driver.table("totals").get("all").value == 1  # type: ignore[union-attr]

        refused.clear()
        driver.crash()
        assert [record.value for record in driver.read("copies")] == [2, 13, 3, 4]
        assert driver.table("totals").get("all").value == 23  # type: ignore[union-attr]


def counting_app() -> tuple[sc.App, sc.Topic[str, int]]:
    app = sc.App("counting")
    numbers = app.topic("numbers", key=str, value=int)
    totals = app.table("totals", key=str, value=int, default=0)
    ticks = app.topic("ticks", key=str, value=int)

    @app.agent(numbers)
    async def add(events: sc.Events[int]) -> None:
        async for number in events:
            await asyncio.sleep(0)
            totals["all"] += number
            if number == 13:
                raise ValueError("unlucky")

    @app.timer("1s")
    async def tick() -> None:
        await ticks.send(key="t", value=1)

    return app, numbers


def steps(driver: TopologyDriver, numbers: sc.Topic[str, int]) -> Iterator[None]:
    """What a test does with a driver, in pieces."""
    driver.send(numbers, key="k", value=1)
    yield
    driver.advance("3s")
    yield
    assert len(driver.read("ticks")) == 3
    assert driver.table("totals").get("all").value == 1  # type: ignore[union-attr]
    yield
    driver.send(numbers, key="k", value=13)
    with pytest.raises(sc.UserCodeError, match="unlucky"):
        driver.process()
    yield
    driver.crash()
    driver.close_windows()
    yield


def test_a_driver_works_inside_a_running_event_loop() -> None:
    async def work() -> None:
        app, numbers = counting_app()
        with TopologyDriver(app) as driver:
            for _ in steps(driver, numbers):
                await asyncio.sleep(0)
            assert asyncio.get_running_loop().is_running()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(sc.UserCodeError, match="unlucky"):
            asyncio.run(work())


def test_a_driver_may_go_from_outside_of_an_event_loop_into_one_and_back() -> None:
    async def one_more(left: Iterator[None]) -> None:
        next(left)

    async def close() -> None:
        driver.close()

    app, numbers = counting_app()
    driver = TopologyDriver(app)
    left = steps(driver, numbers)
    next(left)
    asyncio.run(one_more(left))
    next(left)
    asyncio.run(one_more(left))
    asyncio.run(close())


def test_a_driver_leaves_the_event_loop_of_its_thread_as_it_is() -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        with TopologyDriver(counting_app()[0]) as driver:
            driver.process()
        assert asyncio.get_event_loop() is loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_inputs_with_unequal_partitions_enter_at_their_own_steps() -> None:
    app = sc.App("unequal")
    few = app.topic("few", key=str, value=int, partitions=1)
    many = app.topic("many", key=str, value=int, partitions=3)
    few.map(lambda value: value + 1000).merge(many).to("out")

    with TopologyDriver(app) as driver:
        for number in range(3):
            driver.send(many, key="k", value=number, partition=number)

        assert sorted(record.value for record in driver.read("out")) == [0, 1, 2]
