"""Keys in running applications: equal ones meet, and those that a store cannot hold are failing records."""

from __future__ import annotations

from typing import Any

import pytest

import streamcore as sc
from streamcore.errors import SerdeError
from streamcore.processing.dsl.app import App
from streamcore.testing.topology_driver import TopologyDriver

TOO_LARGE = 2**70


def joined(value: int, name: str | None) -> str:
    return f"{value}:{name}"


def test_a_changed_number_as_key_meets_the_table_of_a_topic_in_its_partition() -> None:
    app = sc.App("app")
    names = app.topic("names", key=int, value=str, partitions=5).table("names")
    numbers = app.topic("numbers", key=str, value=int, partitions=5)
    numbers.group_by(lambda value: value, key=int, name="by").join(names, joined, name="found").to("out")

    with TopologyDriver(app) as driver:
        for number in range(10):
            driver.send("names", key=number, value=f"n{number}")
        driver.process()
        for number in range(10):
            driver.send("numbers", key="any", value=number)

        found = sorted(record.value for record in driver.read("out"))

    assert found == [f"{number}:n{number}" for number in range(10)]


def keyed_by_itself(app: App) -> Any:
    return app.topic("numbers", key=int, value=int, on_error=sc.stop)


def send_all(driver: TopologyDriver) -> None:
    for number in (1, TOO_LARGE, 2):
        driver.send("numbers", key=number, value=7)


def test_a_key_that_no_store_can_hold_is_left_out_by_each_keyed_step_under_its_policy() -> None:
    app = sc.App("app", on_error=sc.skip)
    numbers = keyed_by_itself(app)
    numbers.count("counted")
    numbers.sum("summed", lambda value: value)
    numbers.tumbling("1s").count("in-windows")
    names = app.topic("names", key=int, value=str).table("names")
    numbers.join(names, joined, how="left", name="found").to("out")
    newest = numbers.table("newest")

    with TopologyDriver(app) as driver:
        send_all(driver)

        for name in ("counted", "summed", newest.name):
            assert [answer.key for answer in driver.table(name).all()] == [1, 2]
        assert [answer.key.key for answer in driver.table("in-windows").all()] == [1, 2]
        assert [record.key for record in driver.read("out")] == [1, 2]


def test_a_table_restored_from_its_topic_leaves_such_keys_out_too() -> None:
    app = sc.App("app", on_error=sc.skip)
    keyed_by_itself(app).table("newest")

    for seed in range(4):
        with TopologyDriver(app, seed=seed) as driver:
            send_all(driver)
            driver.process()
            driver.crash()

            assert [answer.key for answer in driver.table("newest").all()] == [1, 2]


def test_without_a_policy_such_a_key_stops_and_names_its_record() -> None:
    app = sc.App("app")
    keyed_by_itself(app).count("counted")

    with TopologyDriver(app) as driver:
        send_all(driver)

        with pytest.raises(SerdeError, match=r"node=counted topic=numbers partition=0 offset=1"):
            driver.process()
