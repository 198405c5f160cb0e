"""The records of the fleet's topics: events of flights, and aircraft."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flight:
    """One event of one flight: it departed, it landed, or it was cancelled.

    ``ts`` is the time of the event, in milliseconds since 1970: for a departure the scheduled time plus the
    delay, for a landing the departure plus the time in the air, for a cancelled flight the scheduled time.
    Delays are minutes; a negative delay is early.
    """

    ts: int
    event: str
    flight: str
    carrier: str
    tailnum: str | None
    origin: str
    dest: str
    sched_ts: int
    dep_delay: int | None
    arr_delay: int | None
    distance: int


@dataclass(frozen=True, slots=True)
class Plane:
    """An aircraft in the registry."""

    tailnum: str
    manufacturer: str
    model: str
    seats: int
    year: int | None
