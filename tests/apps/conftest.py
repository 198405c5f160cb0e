"""The flights of 2013, read once for all tests of the applications."""

from __future__ import annotations

import pytest

from apps.fleet.data import read_flight_events, read_planes, source_folder
from apps.fleet.events import Flight, Plane


@pytest.fixture(scope="session")
def year_of_flights() -> list[Flight]:
    """All 664,122 events, in order."""
    return read_flight_events(source_folder())


@pytest.fixture(scope="session")
def registry() -> list[Plane]:
    """All 3,322 aircraft."""
    return read_planes(source_folder())
