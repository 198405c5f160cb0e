"""Keys in running applications: equal ones meet, and those that a store cannot hold are failing records."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest

import streamcore as sc
from streamcore.errors import SerdeError
from streamcore.processing.dsl.app import App
from streamcore.testing.topology_driver import TopologyDriver

TOO_LARGE = 2**70


class Colour(StrEnum):
    RED = "red"


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


MIXED = [True, 1, 1.0, 0.0, -0.0, False, "red", Colour.RED, (1, "a"), (True, "a"), (1.0, "a")] * 2


@pytest.mark.parametrize("batch_records", [1, 3, 100])
def test_untyped_keys_are_told_apart_by_their_bytes_however_batches_are_cut(batch_records: int) -> None:
    app = sc.App("app")
    by_key = app.topic("numbers", key=str, value=int).group_by(lambda value: MIXED[value], name="by")
    spread = by_key.repartition(8, name="spread")
    spread.count("counts")
    spread.tumbling("1h").sum("sums", lambda _: 1)
    by_key.map(str, value=str).to("out")

    with TopologyDriver(app, slice_records_max=batch_records) as driver:
        for number in range(len(MIXED)):
            driver.send("numbers", key="any", value=number)
        expected = {"True": 2, "1": 4, "0": 4, "False": 2, "'red'": 4, "(1, 'a')": 4, "(True, 'a')": 2}
        assert {repr(answer.key): answer.value for answer in driver.table("counts").all()} == expected
        assert {repr(answer.key.key): answer.value for answer in driver.table("sums").all()} == expected
        assert {repr(record.key) for record in driver.read("out")} == set(expected)


def test_an_agent_and_a_join_see_one_value_for_equal_keys_of_a_declared_type() -> None:
    app = sc.App("app")
    numbers = app.topic("numbers", key=str, value=float)
    names = app.topic("names", key=Decimal, value=str).table("names")
    seen = app.table("seen", key=float, value=int, default=0)
    numbers.group_by(lambda value: Decimal(str(value)), key=Decimal, name="by").join(
        names, lambda value, name: f"{value}{name}", value=str
    ).to("out")

    @app.agent(numbers)
    async def count(events: Any) -> None:
        async for value in events:
            for key in (value, int(value), True):
                seen[key] += 1

    with TopologyDriver(app) as driver:
        driver.send("names", key=Decimal("1.00"), value="!")
        driver.process()
        for value in (1.0, 0.0, -0.0):
            driver.send("numbers", key="any", value=value)
        found = driver.read("out")
        assert [record.value for record in found] == ["1.0!"]
        assert [(answer.key, answer.value) for answer in driver.table("seen").all()] == [(0.0, 4), (1.0, 5)]


def test_keys_of_the_standard_types_are_found_again_after_a_crash() -> None:
    app = sc.App("app")
    days = app.topic("days", key=date, value=int)
    days.count("by-day")
    days.group_by(lambda value: UUID(int=value), key=UUID, name="by-id").count("ids")
    days.group_by(lambda value: Colour.RED, key=Colour, name="by-colour").count("colours")

    for seed in range(3):
        with TopologyDriver(app, seed=seed) as driver:
            for number in range(3):
                driver.send("days", key=date(2024, 1, 1 + number % 2), value=number)
            driver.process()
            driver.crash()
            assert [a.value for a in driver.table("by-day").all()] == [2, 1]
            assert [answer.key for answer in driver.table("ids").all()] == [UUID(int=n) for n in range(3)]
            assert [(a.key, a.value) for a in driver.table("colours").all()] == [(Colour.RED, 3)]
