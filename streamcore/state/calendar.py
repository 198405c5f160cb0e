"""The bounds of calendar windows: the midnights of a time zone that begin a day, a week or a month.

A day begins with the first instant of its date in the zone. With summer time a day therefore has 23 or 25
hours, where clocks change at midnight it begins later than 00:00, and a date that a zone skipped has no
window. Weeks begin on Monday, months on the 1st. Windows lie side by side. The first one begins with 1970,
whatever the zone, because no record is earlier.

The bounds of about a year are computed at once and kept, so a look-up is a bisection of at most 400 integers.
Where clocks change is that of the time zone database of the machine (or of the package ``tzdata``).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo

from streamcore.errors import UsageError, fact_text
from streamcore.model import TimestampMs

CalendarUnit: TypeAlias = Literal["day", "week", "month"]

CALENDAR_UNITS: Final[tuple[str, ...]] = get_args(CalendarUnit)

_DAY_MS: Final = 86_400_000
_BLOCK_MS: Final = 1 << 35
"""The time whose bounds are computed at once: 398 days."""
_BLOCKS_KEPT: Final = 256
_EPOCH: Final = datetime(1970, 1, 1)
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_LAST_ORDINAL: Final = date.max.toordinal()
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The windows of a unit in a time zone.

    Raises:
        UsageError: the unit or the zone is unknown.
    """

    unit: CalendarUnit
    zone: str

    def __post_init__(self) -> None:
        if self.unit not in CALENDAR_UNITS:
            raise UsageError(
                f"calendar windows are a day, a week or a month: {fact_text(given=repr(self.unit))}"
            )
        try:
            ZoneInfo(self.zone)
        except Exception as error:  # zoneinfo raises ValueError, KeyError, TypeError and errors of files
            raise UsageError(
                "the time zone is unknown; write a name of the IANA database such as 'Europe/Berlin' (where "
                f"no zone is known, install the package tzdata): {fact_text(given=repr(self.zone))}"
            ) from error

    @property
    def text(self) -> str:
        """The unit and the zone, as ``calendar_named`` reads them: ``day Europe/Berlin``."""
        return f"{self.unit} {self.zone}"

    def start_of(self, timestamp_ms: TimestampMs) -> TimestampMs:
        """Return the start of the window that holds a time; a time before 1970 counts as 1970."""
        timestamp_ms = max(0, timestamp_ms)
        bounds = _bounds(self.unit, self.zone, timestamp_ms // _BLOCK_MS)
        return bounds[bisect_right(bounds, timestamp_ms) - 1]

    def end_of(self, start_ms: TimestampMs) -> TimestampMs:
        """Return the exclusive end of the window that holds a time, such as its start."""
        start_ms = max(0, start_ms)
        bounds = _bounds(self.unit, self.zone, start_ms // _BLOCK_MS)
        return bounds[bisect_right(bounds, start_ms)]

    def starts_of(self, timestamps_ms: Sequence[TimestampMs]) -> list[TimestampMs]:
        """Return for each time the start of its window. No time is before 1970."""
        if not timestamps_ms:
            return []
        low_ms, high_ms = min(timestamps_ms), max(timestamps_ms)
        start_ms = self.start_of(low_ms)
        if high_ms < self.end_of(start_ms):
            return [start_ms] * len(timestamps_ms)
        block = low_ms // _BLOCK_MS
        if high_ms // _BLOCK_MS == block:
            bounds = _bounds(self.unit, self.zone, block)
            return [bounds[bisect_right(bounds, timestamp_ms) - 1] for timestamp_ms in timestamps_ms]
        return list(map(self.start_of, timestamps_ms))


def calendar_named(text: str) -> Calendar:
    """Return the calendar of a text that ``Calendar.text`` returned.

    Raises:
        UsageError: the zone is not known on this machine.
    """
    unit, _, zone = text.partition(" ")
    return Calendar(unit, zone)  # type: ignore[arg-type]


@lru_cache(_BLOCKS_KEPT)
def _bounds(unit: str, zone: str, block: int) -> list[TimestampMs]:
    """Return the bounds from the start of the window at the block's start to the end of that at its end."""
    start_ms, end_ms = block * _BLOCK_MS, (block + 1) * _BLOCK_MS
    info = ZoneInfo(zone)
    # The date at the block's start, in any zone, and one unit of reserve for a skipped date.
    ordinal = _previous(unit, _floor(unit, _EPOCH_ORDINAL + start_ms // _DAY_MS - 1))
    bounds: list[TimestampMs] = []
    while not bounds or bounds[-1] <= end_ms:
        bound = max(0, _midnight_ms(ordinal, info))
        if not bounds or bound > bounds[-1]:
            bounds.append(bound)
        ordinal = _next(unit, ordinal)
    return bounds[bisect_right(bounds, start_ms) - 1 :]


def _floor(unit: str, ordinal: int) -> int:
    """Return the first day of the window of a day; days are proleptic Gregorian ordinals."""
    if ordinal > _LAST_ORDINAL:
        return ordinal
    match unit:
        case "week":
            return ordinal - (ordinal - 1) % 7
        case "month":
            return date.fromordinal(ordinal).replace(day=1).toordinal()
        case _:
            return ordinal


def _next(unit: str, first: int) -> int:
    """Return the first day of the window after the one that begins with a day."""
    match unit:
        case "week":
            return first + 7
        case "month":
            return _floor(unit, first + 31) if first + 31 <= _LAST_ORDINAL else first + 31
        case _:
            return first + 1


def _previous(unit: str, first: int) -> int:
    return _floor(unit, first - 1)


def _midnight_ms(ordinal: int, zone: ZoneInfo) -> TimestampMs:
    """Return the first instant of a date; after the year 9999, days are of 24 hours."""
    if ordinal > _LAST_ORDINAL:
        return _midnight_ms(_LAST_ORDINAL, zone) + (ordinal - _LAST_ORDINAL) * _DAY_MS
    midnight = datetime.fromordinal(ordinal)
    # Of a midnight that comes twice, the first; of one that clocks skip, by the offset before.
    instant_ms = _instant_ms(midnight, zone, fold=0)
    if _local(instant_ms, zone) == midnight:
        return instant_ms
    return _first(_instant_ms(midnight, zone, fold=1), instant_ms, lambda ms: _local(ms, zone) >= midnight)


def _instant_ms(local: datetime, zone: ZoneInfo, *, fold: int) -> TimestampMs:
    offset = local.replace(tzinfo=zone, fold=fold).utcoffset()
    assert offset is not None
    return (local - offset - _EPOCH) // _MILLISECOND


def _local(instant_ms: TimestampMs, zone: ZoneInfo) -> datetime:
    instant = (_EPOCH + timedelta(milliseconds=instant_ms)).replace(tzinfo=UTC)
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def _first(low_ms: TimestampMs, high_ms: TimestampMs, holds: Callable[[TimestampMs], bool]) -> TimestampMs:
    """Return the first time in ``(low_ms, high_ms]`` for which a condition holds, from which on it holds."""
    while high_ms - low_ms > 1:
        middle_ms = (low_ms + high_ms) // 2
        if holds(middle_ms):
            high_ms = middle_ms
        else:
            low_ms = middle_ms
    return high_ms
