"""Tables for people: the hours with the most delay, and the manufacturers with the most departures."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE_HEAD
from rich.table import Table

import streamcore as sc
from apps.fleet.app import Hour, Maker
from streamcore.durations import time_text


def worst_hours(hours: Iterable[tuple[sc.Windowed[str], Hour]], count: int = 10) -> Table:
    """Return a table of the hours and airports with the most minutes of delay, in descending order."""
    worst = sorted(hours, key=lambda row: (-row[1].delay, row[0].start_ms, row[0].key))[:count]
    table = Table(title="The worst hours of 2013", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("airport")
    table.add_column("hour (UTC)", no_wrap=True)
    for heading in ("flights", "late, min", "mean", "worst", "cancelled"):
        table.add_column(heading, justify="right")
    for window, hour in worst:
        mean = f"{hour.delay / hour.departures:.0f}" if hour.departures else ""
        table.add_row(
            window.key,
            time_text(window.start_ms)[:16].replace("T", " "),
            f"{hour.departures}",
            f"{hour.delay:,}",
            mean,
            "" if hour.worst is None else f"{hour.worst}",
            f"{hour.cancelled}",
        )
    return table


def busiest_makers(makers: Iterable[tuple[str, Maker]], count: int = 10) -> Table:
    """Return a table of the manufacturers with the most departures."""
    busiest = sorted(makers, key=lambda row: (-row[1].departures, row[0]))[:count]
    table = Table(title="The busiest makers", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("manufacturer")
    for heading in ("flights", "seats", "seats a flight"):
        table.add_column(heading, justify="right")
    for name, maker in busiest:
        table.add_row(
            name or "(not in the registry)",
            f"{maker.departures:,}",
            f"{maker.seats:,}" if maker.seats else "",
            f"{maker.seats / maker.departures:.0f}" if maker.seats else "",
        )
    return table
