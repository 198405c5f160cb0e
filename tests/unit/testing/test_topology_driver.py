"""The driver of users' tests, where the application fails: it stops, and shows what was committed."""

from __future__ import annotations

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
