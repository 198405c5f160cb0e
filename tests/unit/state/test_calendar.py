"""Calendar windows begin at the midnights of a time zone, whatever its clocks do."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import UsageError
from streamcore.state.calendar import Calendar, CalendarUnit, calendar_named

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # clocks changed at midnight
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
)
UNITS: tuple[CalendarUnit, ...] = ("day", "week", "month")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def hours_of(calendar: Calendar, text: str) -> float:
    start_ms = calendar.start_of(ms(text))
    return (calendar.end_of(start_ms) - start_ms) / 3_600_000


def first_date(unit: CalendarUnit, day: date) -> date:
    if unit == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit == "month" else day


@given(
    st.sampled_from(UNITS),
    st.sampled_from(ZONES),
    # After the first window, which is cut off at 1970.
    st.integers(35 * 86_400_000, ms("2037-01-01T00:00Z")),
)
def test_a_time_is_in_the_window_of_its_local_date(unit: CalendarUnit, zone: str, time_ms: int) -> None:
    calendar = Calendar(unit, zone)

    def local_date(at_ms: int) -> date:
        return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(zone)).date()

    start_ms = calendar.start_of(time_ms)
    end_ms = calendar.end_of(start_ms)

    assert start_ms <= time_ms < end_ms
    wanted = first_date(unit, local_date(time_ms))
    assert first_date(unit, local_date(start_ms)) == wanted
    assert first_date(unit, local_date(start_ms - 1)) < wanted < first_date(unit, local_date(end_ms))
    assert calendar.starts_of([time_ms, end_ms, end_ms + 90 * 86_400_000])[:2] == [start_ms, end_ms]


def test_days_are_of_23_and_25_hours_where_summer_time_begins_and_ends() -> None:
    berlin = Calendar("day", "Europe/Berlin")

    assert hours_of(berlin, "2024-03-30T12:00+01:00") == 24
    assert hours_of(berlin, "2024-03-31T12:00+02:00") == 23
    assert hours_of(berlin, "2024-10-27T12:00+01:00") == 25
    assert berlin.start_of(ms("2024-03-31T12:00+02:00")) == ms("2024-03-31T00:00+01:00")


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    week, month = Calendar("week", "Europe/Berlin"), Calendar("month", "Europe/Berlin")

    assert week.start_of(ms("2024-04-03T10:00+02:00")) == ms("2024-04-01T00:00+02:00")
    assert week.start_of(ms("2024-03-31T23:59+02:00")) == ms("2024-03-25T00:00+01:00")
    assert hours_of(week, "2024-03-31T12:00+02:00") == 7 * 24 - 1
    assert month.start_of(ms("2024-02-29T23:59+01:00")) == ms("2024-02-01T00:00+01:00")
    assert hours_of(month, "2024-02-29T12:00+01:00") == 29 * 24


def test_a_day_whose_midnight_clocks_skip_begins_with_its_first_instant() -> None:
    sao_paulo = Calendar("day", "America/Sao_Paulo")

    start_ms = sao_paulo.start_of(ms("2018-11-04T12:00-02:00"))

    assert start_ms == ms("2018-11-04T01:00-02:00") == ms("2018-11-04T00:00-03:00")
    assert hours_of(sao_paulo, "2018-11-04T12:00-02:00") == 23


def test_a_date_that_a_zone_skipped_has_no_window() -> None:
    apia = Calendar("day", "Pacific/Apia")

    start_ms = apia.start_of(ms("2011-12-29T12:00-10:00"))

    assert apia.end_of(start_ms) == ms("2011-12-31T00:00+14:00") == ms("2011-12-30T00:00-10:00")
    assert hours_of(apia, "2011-12-31T12:00+14:00") == 24


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("zone", ZONES)
def test_the_first_window_begins_with_1970_and_the_last_holds_the_end_of_9999(
    unit: CalendarUnit, zone: str
) -> None:
    calendar = Calendar(unit, zone)
    last_ms = 253_402_300_799_999

    assert calendar.start_of(0) == 0 < calendar.end_of(0)
    assert calendar.start_of(last_ms) <= last_ms < calendar.end_of(last_ms)


def test_the_text_of_a_calendar_names_it() -> None:
    assert Calendar("week", "Asia/Tokyo").text == "week Asia/Tokyo"
    assert calendar_named("week Asia/Tokyo") == Calendar("week", "Asia/Tokyo")


@pytest.mark.parametrize("zone", ["Europe/Berln", "", "../zone", None, 1])
def test_an_unknown_zone_is_refused_with_its_name(zone: str) -> None:
    with pytest.raises(UsageError, match=rf"IANA.*given={zone!r}"):
        Calendar("day", zone)


@pytest.mark.parametrize("unit", ["year", "Day", "", None])
def test_an_unknown_unit_is_refused(unit: CalendarUnit) -> None:
    with pytest.raises(UsageError, match="a day, a week or a month"):
        Calendar(unit, "UTC")
