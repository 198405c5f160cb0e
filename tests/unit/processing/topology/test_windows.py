"""Which windows a time is in, and when they are closed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import UsageError
from streamcore.processing.topology.windows import CalendarWindows, SlidingWindows, TimeWindows, Windows
from streamcore.state.calendar import Calendar, CalendarUnit

times = st.integers(0, 10**13)


@st.composite
def windows(draw: st.DrawFn) -> TimeWindows:
    size_ms = draw(st.integers(1, 500))
    advance_ms = draw(st.integers(1, size_ms))
    return TimeWindows(size_ms, advance_ms, draw(st.integers(0, 900)))


@given(windows(), times)
def test_a_time_is_in_exactly_the_windows_that_span_it(found: TimeWindows, timestamp_ms: int) -> None:
    starts = found.starts_of(timestamp_ms)

    near = range(max(0, timestamp_ms - 2 * found.size_ms), timestamp_ms + found.size_ms)
    aligned = [start for start in near if start % found.advance_ms == 0]
    assert starts == [start for start in aligned if start <= timestamp_ms < start + found.size_ms]


def test_windows_begin_with_1970_and_their_end_is_outside() -> None:
    hour = TimeWindows(3_600_000, 3_600_000)

    assert hour.starts_of(0) == [0]
    assert hour.starts_of(3_599_999) == [0]
    assert hour.starts_of(3_600_000) == [3_600_000]


@given(st.integers(1, 500), st.integers(0, 900), st.integers(0, 2_000), times)
def test_no_sliding_window_is_dropped_that_a_new_one_can_begin_with(
    size_ms: int, grace_ms: int, retention_ms: int, watermark_ms: int
) -> None:
    found = SlidingWindows(size_ms, grace_ms, retention_ms)
    first_open_ms = found.first_open(watermark_ms)

    expired_before_ms = found.expired_before(watermark_ms)

    # The latest record of the window is not before the first start that is open, and before its end.
    assert expired_before_ms is not None
    assert expired_before_ms <= first_open_ms
    assert expired_before_ms <= watermark_ms - retention_ms
    assert found.is_closed(found.end_of(first_open_ms - 1), watermark_ms)
    assert not found.is_closed(found.end_of(first_open_ms), watermark_ms)


def test_tumbling_windows_are_those_that_advance_by_their_size() -> None:
    assert TimeWindows(10, 10).tumbling
    assert not TimeWindows(10, 5).tumbling


def test_a_window_takes_records_while_its_end_is_after_stream_time_less_grace() -> None:
    found = TimeWindows(10, 10, grace_ms=3)

    assert not found.is_closed(20, 32)
    assert found.is_closed(20, 33)
    assert found.closing_time_ms(20) == 33


@st.composite
def calendar_windows(draw: st.DrawFn) -> CalendarWindows:
    units: tuple[CalendarUnit, ...] = ("day", "week", "month")
    unit = draw(st.sampled_from(units))
    zone = draw(st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo"]))
    return CalendarWindows(Calendar(unit, zone), draw(st.integers(0, 10**9)))


@given(windows() | calendar_windows(), times, times)
def test_the_bound_of_closed_starts_says_the_same_as_asking_for_each(
    found: Windows, timestamp_ms: int, stream_time_ms: int
) -> None:
    start_ms = found.starts_of(timestamp_ms)[-1]
    assert found.is_closed(start_ms, stream_time_ms) == (start_ms < found.closed_before(stream_time_ms))
    assert found.is_closed(start_ms, found.closing_time_ms(start_ms))
    assert not found.is_closed(start_ms, found.closing_time_ms(start_ms) - 1)


@given(windows(), st.integers(0, 20_000), times)
def test_no_window_expires_before_it_is_closed(found: TimeWindows, retention_ms: int, time_ms: int) -> None:
    kept = TimeWindows(found.size_ms, found.advance_ms, found.grace_ms, retention_ms)

    expired_before = kept.expired_before(time_ms)

    assert expired_before is not None
    assert expired_before <= kept.closed_before(time_ms)
    assert found.expired_before(time_ms) is None


@pytest.mark.parametrize(("size_ms", "advance_ms"), [(0, 1), (-1, 1), (10, 0), (10, 11)])
def test_impossible_windows_are_refused(size_ms: int, advance_ms: int) -> None:
    with pytest.raises(UsageError, match="size_ms"):
        TimeWindows(size_ms, advance_ms)


@given(calendar_windows(), st.lists(times, min_size=1))
def test_a_column_of_times_has_the_starts_of_each(found: CalendarWindows, timestamps_ms: list[int]) -> None:
    starts = found.single_starts(timestamps_ms)

    assert starts == [found.starts_of(timestamp_ms)[0] for timestamp_ms in timestamps_ms]
    assert all(
        start_ms <= timestamp_ms < found.end_of(start_ms)
        for start_ms, timestamp_ms in zip(starts, timestamps_ms, strict=True)
    )


@pytest.mark.parametrize(("grace_ms", "retention_ms", "kept_ms"), [(0, 50, 50), (70, 50, 70), (10, 50, 50)])
def test_windows_expire_when_retention_and_grace_are_over(
    grace_ms: int, retention_ms: int, kept_ms: int
) -> None:
    windows = TimeWindows(10, 10, grace_ms, retention_ms)

    before, at_end = windows.expired_before(109 + kept_ms), windows.expired_before(110 + kept_ms)

    assert before is not None
    assert before <= 100
    assert at_end == 101
