"""A disk that refuses stops the application with a clear error; nothing is lost or counted twice."""

from __future__ import annotations

import pytest

import streamcore as sc
from streamcore.testing import TopologyDriver


def test_a_full_disk_stops_the_application_and_room_lets_it_go_on() -> None:
    app = sc.App("full-disk")
    events = app.topic("events", key=str, value=int)
    events.group_by(lambda value: value % 3, key=int).sum("sums", lambda value: value)
    with TopologyDriver(app) as driver:
        for value in range(30):
            driver.send(events, key="k", value=value)
        driver.disk.fill_after(700)

        with pytest.raises(sc.StorageError, match=r"full|space"):
            driver.process()

        driver.disk.fill_after(None)
        driver.crash()
        sums = {answer.key: answer.value for answer in driver.table("sums").all()}
        assert sums == {rest: sum(range(rest, 30, 3)) for rest in range(3)}


def test_a_failed_sync_stops_the_application_and_a_restart_goes_on() -> None:
    app = sc.App("failed-sync")
    events = app.topic("events", key=str, value=int)
    events.count("n")
    with TopologyDriver(app) as driver:
        for value in range(10):
            driver.send(events, key="k", value=value)
        driver.disk.fail_sync(1)

        with pytest.raises(sc.StorageError):
            driver.process()

        driver.crash()
        assert [answer.value for answer in driver.table("n").all()] == [10]
