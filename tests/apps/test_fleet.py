"""The fleet's tables equal what DuckDB computes from the same events: all rows, every field."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import pytest

import streamcore as sc
from apps.fleet.app import app, flights, planes
from apps.fleet.events import Flight, Plane
from apps.fleet.loading import REGISTERED_MS, is_loaded, load
from tests.support.fleet_answers import Answers, answers_of_duckdb
from tests.support.fleet_tables import tables_of

DAY_MS = 86_400_000


def first_days(events: list[Flight], count: int) -> list[Flight]:
    return list(takewhile(lambda flight: flight.ts < events[0].ts + count * DAY_MS, events))


def ignore(count: int) -> None:
    """Progress that nobody looks at."""


def worked(folder: Path, events: list[Flight], registry: list[Plane]) -> Answers:
    """Load into an embedded log, process to the end, and return the tables."""
    with sc.connect(folder) as log:
        load(log, events, registry, ignore)
    with sc.run(app, data=folder) as running:
        running.wait_until_caught_up()
        return tables_of(running)


@pytest.mark.slow
def test_two_days_in_the_topology_driver_give_the_tables_of_duckdb(
    year_of_flights: list[Flight], registry: list[Plane], tmp_path: Path
) -> None:
    events = first_days(year_of_flights, 2)

    with sc.testing.TopologyDriver(app) as driver:
        for plane in registry:
            driver.send(planes, key=plane.tailnum, value=plane, at=REGISTERED_MS)
        for flight in events:
            driver.send(flights, key=flight.tailnum, value=flight, at=flight.ts)
        found = tables_of(driver)

    assert found == answers_of_duckdb(events, registry, tmp_path)


@pytest.mark.slow
def test_two_days_with_a_crash_after_each_hundred_events_give_the_same_tables(
    year_of_flights: list[Flight], registry: list[Plane], tmp_path: Path
) -> None:
    events = first_days(year_of_flights, 2)

    with sc.testing.TopologyDriver(app) as driver:
        for plane in registry:
            driver.send(planes, key=plane.tailnum, value=plane, at=REGISTERED_MS)
        for number, flight in enumerate(events):
            driver.send(flights, key=flight.tailnum, value=flight, at=flight.ts)
            if number % 100 == 0:
                driver.crash()
        found = tables_of(driver)

    assert found == answers_of_duckdb(events, registry, tmp_path)


@pytest.mark.slow
def test_three_weeks_through_the_embedded_log_give_the_tables_of_duckdb(
    year_of_flights: list[Flight], registry: list[Plane], tmp_path: Path
) -> None:
    events = first_days(year_of_flights, 21)

    found = worked(tmp_path / "data", events, registry)

    assert found == answers_of_duckdb(events, registry, tmp_path)


@pytest.mark.slow
def test_the_whole_year_gives_the_tables_of_duckdb(
    year_of_flights: list[Flight], registry: list[Plane], tmp_path: Path
) -> None:
    found = worked(tmp_path / "data", year_of_flights, registry)

    assert found == answers_of_duckdb(year_of_flights, registry, tmp_path)


@pytest.mark.slow
def test_a_load_that_fails_half_way_leaves_nothing_and_the_next_one_loads_all(
    year_of_flights: list[Flight], registry: list[Plane], tmp_path: Path
) -> None:
    events = first_days(year_of_flights, 7)

    def fail(count: int) -> None:
        raise KeyboardInterrupt

    with sc.connect(tmp_path) as log:
        with pytest.raises(KeyboardInterrupt):
            load(log, events, registry, fail)
        assert not is_loaded(log)

        load(log, events, registry, ignore)

        assert is_loaded(log)
        with log.consumer("flights", start="earliest") as consumer:
            seen = 0
            while records := consumer.poll(timeout="0ms"):
                seen += len(records)
    assert seen == len(events)
