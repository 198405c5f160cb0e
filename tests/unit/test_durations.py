"""Durations and times as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.durations import duration_ms, record_time_ms, time_ms, time_text
from streamcore.errors import InvalidTimestampError, UsageError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("500ms", 500),
        ("10s", 10_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("7d", 604_800_000),
        ("2w", 1_209_600_000),
        ("1h30m", 5_400_000),
        (" 1 h 30 m ", 5_400_000),
        ("0s", 0),
        (250, 250),
        (timedelta(seconds=1.5), 1_500),
        (timedelta(days=400), 34_560_000_000),
    ],
)
def test_a_duration_is_text_a_timedelta_or_milliseconds(value: str | timedelta | int, expected: int) -> None:
    assert duration_ms(value) == expected


@pytest.mark.parametrize("value", ["", "10", "s", "10 seconds", "-5s", "1.5s", "5s!", "1h x"])
def test_text_that_is_no_duration_is_refused_with_examples(value: str) -> None:
    with pytest.raises(UsageError, match="500ms"):
        duration_ms(value)


@pytest.mark.parametrize("value", [-1, timedelta(seconds=-1), timedelta(microseconds=1)])
def test_a_duration_is_whole_milliseconds_and_not_negative(value: timedelta | int) -> None:
    with pytest.raises(UsageError):
        duration_ms(value)


@pytest.mark.parametrize("value", [True, 1.5, None, ["1s"]])
def test_a_duration_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="a duration is text"):
        duration_ms(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2013-01-01T05:00Z", 1_357_016_400_000),
        ("1357016400000", 1_357_016_400_000),
        ("-5", -5),
        (17, 17),
        (datetime(1970, 1, 1, 0, 0, 0, 1_999, tzinfo=UTC), 1),
        (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 0),
    ],
)
def test_a_time_is_iso_text_a_datetime_or_milliseconds(value: str | datetime | int, expected: int) -> None:
    assert time_ms(value) == expected


@pytest.mark.parametrize("value", ["2013-01-01T05:00", datetime(2013, 1, 1)])
def test_a_time_without_a_zone_is_refused_and_not_guessed(value: str | datetime) -> None:
    with pytest.raises(UsageError, match="a time needs a zone"):
        time_ms(value)


@pytest.mark.parametrize("value", ["yesterday", "", "2013-13-01T00:00Z"])
def test_text_that_is_no_time_is_refused_with_an_example(value: str) -> None:
    with pytest.raises(UsageError, match="2013-01-01T05:00Z"):
        time_ms(value)


@pytest.mark.parametrize("value", [False, 1.5, None])
def test_a_time_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match="a time is"):
        time_ms(value)  # type: ignore[arg-type]


@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_a_time_that_is_shown_reads_back_as_itself(timestamp_ms: int) -> None:
    text = time_text(timestamp_ms)

    assert time_ms(text) == timestamp_ms


def test_a_time_outside_the_calendar_is_shown_as_its_number() -> None:
    assert time_text(2**62) == str(2**62)


@pytest.mark.parametrize("moment", [0, 1, 2**63 - 1, "1970-01-01T00:00Z", datetime(2013, 1, 1, tzinfo=UTC)])
def test_a_record_time_is_any_time_from_1970_on(moment: int | str | datetime) -> None:
    assert record_time_ms(moment) == time_ms(moment)


@pytest.mark.parametrize("moment", [-1, "-1", -5, 2**63, "1969-12-31T23:59:59.999Z"])
def test_a_record_time_before_1970_or_beyond_64_bits_is_refused(moment: int | str) -> None:
    with pytest.raises(InvalidTimestampError, match="since 1970"):
        record_time_ms(moment)
