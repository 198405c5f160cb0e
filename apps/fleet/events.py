"""What the topics of the fleet hold: flights as they happen, and the aircraft that fly them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flight:
    """One event of one flight: it departed, it landed, or it was cancelled.

    ``ts`` is when that happened, in milliseconds since 1970: of a departure the scheduled time and
    the delay, of a landing the departure and the time in the air, of a cancelled flight the
    scheduled time. Delays are minutes; early is negative.
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
    """An aircraft as the registry knows it."""

    tailnum: str
    manufacturer: str
    model: str
    seats: int
    year: int | None
