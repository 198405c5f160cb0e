"""The tables that the demo shows: the right rows, in the right order, readable."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.table import Table

import streamcore as sc
from apps.fleet.app import Hour, Maker
from apps.fleet.report import busiest_makers, worst_hours

HOUR_MS = 3_600_000


def shown(table: Table) -> list[str]:
    console = Console(file=StringIO(), width=120)
    console.print(table)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def hour_of(airport: str, number: int) -> sc.Windowed[str]:
    return sc.Windowed(airport, number * HOUR_MS, (number + 1) * HOUR_MS)


def test_the_hour_with_most_minutes_of_delay_is_the_worst() -> None:
    hours = [
        (hour_of("EWR", 1), Hour(departures=2, delay=10, worst=8, cancelled=0)),
        (hour_of("JFK", 2), Hour(departures=4, delay=900, worst=400, cancelled=3)),
    ]

    lines = shown(worst_hours(hours, count=1))

    assert any("JFK" in line and "1970-01-01 02:00" in line and "225" in line for line in lines)
    assert not any("EWR" in line for line in lines)


def test_an_hour_without_departures_has_no_mean_and_no_worst() -> None:
    lines = shown(worst_hours([(hour_of("LGA", 0), Hour(departures=0, delay=0, worst=None, cancelled=7))]))

    assert any("LGA" in line and line.rstrip(" │┃").endswith("7") for line in lines)


def test_makers_come_by_departures_and_unknown_ones_are_called_so() -> None:
    makers = [("BOEING", Maker(departures=10, seats=1500)), ("", Maker(departures=20, seats=0))]

    lines = shown(busiest_makers(makers))

    first, second = (line for line in lines if "BOEING" in line or "registry" in line)
    assert "(not in the registry)" in first
    assert "BOEING" in second
    assert "1,500" in second
