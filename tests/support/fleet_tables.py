"""Reads the three tables of the fleet in the form in which ``fleet_answers`` has them."""

from __future__ import annotations

from typing import Any

from tests.support.fleet_answers import Answers


def tables_of(running: Any) -> Answers:
    """All rows of the tables of a running application (or of a driver), sorted by their keys."""
    hourly = [
        (
            answer.key.key,
            answer.key.start_ms,
            answer.value.departures,
            answer.value.delay,
            answer.value.worst,
            answer.value.cancelled,
        )
        for answer in running.table("flights-hourly").all()
    ]
    last = [
        (answer.key, answer.value.event, answer.value.ts, answer.value.flight, answer.value.airport)
        for answer in running.table("fleet-last").all()
    ]
    by_maker = [
        (answer.key, answer.value.departures, answer.value.seats)
        for answer in running.table("flights-by-maker").all()
    ]
    return Answers(sorted(hourly, key=lambda row: row[:2]), sorted(last), sorted(by_maker))
