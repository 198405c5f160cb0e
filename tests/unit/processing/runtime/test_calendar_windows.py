"""An application with calendar windows: its results, its tables, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import streamcore as sc
from streamcore.errors import TopologyError
from streamcore.testing import TopologyDriver

app = sc.App("calendar")
visits = app.topic("visits", key=str, value=int)
results = app.topic("results", key=sc.Windowed[str], value=int)
daily = visits.calendar("day", tz="Europe/Berlin", grace="1h").count("daily")
daily.final().to(results)

FIRST, SHORT, NEXT = 1_711_753_200_000, 1_711_839_600_000, 1_711_922_400_000
"""The midnights of 30 and 31 March and of 1 April 2024 in Berlin; the second day has 23 hours."""


@pytest.fixture
def driver() -> Iterator[TopologyDriver]:
    with TopologyDriver(app) as driver:
        yield driver


def send(driver: TopologyDriver, *times: str) -> None:
    for time in times:
        driver.send(visits, key="a", value=1, at=time)


def test_records_are_counted_by_the_days_of_the_zone_and_a_day_closes_at_its_own_end(
    driver: TopologyDriver,
) -> None:
    send(driver, "2024-03-30T23:59+01:00", "2024-03-31T00:00+01:00", "2024-03-31T23:59+02:00")
    send(driver, "2024-04-01T00:59+02:00", "2024-03-31T12:00+02:00")

    assert [(record.key, record.value) for record in driver.read(results)] == [
        (sc.Windowed("a", FIRST, SHORT), 1)
    ]

    send(driver, "2024-04-01T01:00+02:00", "2024-03-31T12:00+02:00")
    (closed,) = driver.read(results)

    assert (closed.key, closed.value) == (sc.Windowed("a", SHORT, NEXT), 3)
    assert closed.timestamp_ms == NEXT - 1
    assert driver.late_count == 1


def test_queries_and_restored_tables_have_windows_of_unequal_length(driver: TopologyDriver) -> None:
    send(driver, "2024-03-30T12:00+01:00", "2024-03-31T12:00+02:00")
    driver.process()
    driver.crash()

    table = driver.table("daily")
    found = table.get("a", at="2024-03-31T23:59+02:00")

    assert found is not None
    assert found.key == sc.Windowed("a", SHORT, NEXT)
    assert table.get("a", at="2024-04-01T00:00+02:00") is None
    assert [answer.key for answer in table.windows("a")] == [
        sc.Windowed("a", FIRST, SHORT),
        sc.Windowed("a", SHORT, NEXT),
    ]
    assert table.description.window_calendar == "day Europe/Berlin"


def test_unknown_units_and_zones_are_refused_where_they_are_declared() -> None:
    stream = sc.App("refused").topic("visits", key=str, value=int)

    with pytest.raises(TopologyError, match=r"a day, a week or a month.*stream=visits at=.*\.py:\d+"):
        stream.calendar("year")  # type: ignore[arg-type]
    with pytest.raises(TopologyError, match=r"time zone is unknown.*given='Europe/Atlantis' stream=visits"):
        stream.calendar("day", tz="Europe/Atlantis")
    with pytest.raises(TopologyError, match="grace"):
        stream.calendar("day", grace="-1s")
