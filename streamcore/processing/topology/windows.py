"""The windows of a timestamp, and when a window closes. Integers only.

Windows are ``[start, end)``. Windows of one size are aligned to 1970, calendar windows to the midnights of a
time zone. The bounds of sessions and of sliding windows depend on the records of their key. A record counts
while ``window end + grace > stream time`` of its source partition. The window closes, and its result is
final, once the watermark reaches its end and grace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from streamcore.durations import duration_text
from streamcore.errors import UsageError, fact_text
from streamcore.model import Windowed
from streamcore.state.calendar import Calendar


@dataclass(frozen=True, slots=True)
class _DeclaredWindows(ABC):
    """The declared properties that all kinds of windows have.

    A subclass has the fields ``grace_ms`` and ``retention_ms``, in milliseconds.
    """

    @property
    @abstractmethod
    def kind(self) -> str:
        """The name of the method that declares windows of this kind."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The windows in a few words, without the grace."""

    @property
    @abstractmethod
    def grace_ms(self) -> int:
        """How long after its end a window accepts records."""

    @property
    @abstractmethod
    def retention_ms(self) -> int | None:
        """How long after its end a closed window can be queried; ``None`` keeps all windows."""


@dataclass(frozen=True, slots=True)
class Windows(_DeclaredWindows):
    """Windows whose bounds depend on times alone: a window is known by its start."""

    @property
    @abstractmethod
    def size_ms_max(self) -> int:
        """The size of the longest window."""

    @property
    @abstractmethod
    def is_single(self) -> bool:
        """Whether each timestamp is in exactly one window."""

    @abstractmethod
    def starts_of(self, timestamp_ms: int) -> list[int]:
        """Return the starts of the windows that hold a timestamp, earliest first."""

    @abstractmethod
    def single_starts(self, timestamps_ms: Sequence[int]) -> list[int]:
        """Return for each timestamp the start of its window, where each is in exactly one."""

    @abstractmethod
    def end_of(self, start_ms: int) -> int:
        """Return the exclusive end of the window that starts at a time."""

    @abstractmethod
    def starts_of_ended(self, time_ms: int) -> int:
        """Return the exclusive bound of the starts of the windows whose end is at or before a time."""

    @property
    def held_ms(self) -> int:
        """How far behind the watermark the final results can be that come next, in milliseconds.

        A window closes at its end and grace, and its result has the last time of the window.
        """
        return self.grace_ms

    def windowed(self, key: object, start_ms: int) -> Windowed[object]:
        """Return the key of a result."""
        return Windowed(key, start_ms, self.end_of(start_ms))

    def closing_time_ms(self, start_ms: int) -> int:
        """Return the watermark at which a window closes."""
        return self.end_of(start_ms) + self.grace_ms

    def is_closed(self, start_ms: int, time_ms: int) -> bool:
        """Whether a window accepts no more records at this stream time or watermark."""
        return self.closing_time_ms(start_ms) <= time_ms

    def closed_before(self, time_ms: int) -> int:
        """Return the exclusive bound of closed starts: a window is closed if and only if it starts before."""
        return self.starts_of_ended(time_ms - self.grace_ms)

    def expired_before(self, watermark_ms: int) -> int | None:
        """Return the exclusive bound of starts whose retention is over; ``None`` if windows are kept."""
        if self.retention_ms is None:
            return None
        return self.starts_of_ended(watermark_ms - max(self.grace_ms, self.retention_ms))


@dataclass(frozen=True, slots=True)
class TimeWindows(Windows):
    """Windows of one size, a new one starting every ``advance_ms``.

    With ``advance_ms == size_ms`` the windows tumble: each timestamp is in exactly one.
    """

    size_ms: int
    advance_ms: int
    grace_ms: int = 0
    retention_ms: int | None = None

    def __post_init__(self) -> None:
        if self.size_ms <= 0:
            raise UsageError(f"a window has a size above 0: {fact_text(size_ms=self.size_ms)}")
        if not 0 < self.advance_ms <= self.size_ms:
            raise UsageError(
                f"windows advance by more than 0 and at most their size: "
                f"{fact_text(size_ms=self.size_ms, advance_ms=self.advance_ms)}"
            )

    @property
    def tumbling(self) -> bool:
        """Whether each timestamp is in exactly one window."""
        return self.advance_ms == self.size_ms

    @property
    def kind(self) -> str:
        """``tumbling`` or ``hopping``."""
        return "tumbling" if self.tumbling else "hopping"

    @property
    def text(self) -> str:
        """The size, and the advance where it differs."""
        advance = "" if self.tumbling else f" every {duration_text(self.advance_ms)}"
        return f"windows of {duration_text(self.size_ms)}{advance}"

    @property
    def size_ms_max(self) -> int:
        """The size."""
        return self.size_ms

    @property
    def is_single(self) -> bool:
        """Whether the windows tumble."""
        return self.tumbling

    def starts_of(self, timestamp_ms: int) -> list[int]:
        """Return the starts of the windows that hold a timestamp, earliest first."""
        first = ((timestamp_ms - self.size_ms) // self.advance_ms + 1) * self.advance_ms
        return list(range(max(0, first), timestamp_ms + 1, self.advance_ms))

    def single_starts(self, timestamps_ms: Sequence[int]) -> list[int]:
        """Return for each timestamp the start of its window, where windows tumble."""
        size_ms = self.size_ms
        return [timestamp_ms - timestamp_ms % size_ms for timestamp_ms in timestamps_ms]

    def end_of(self, start_ms: int) -> int:
        """Return the exclusive end of the window that starts at a time."""
        return start_ms + self.size_ms

    def starts_of_ended(self, time_ms: int) -> int:
        """Return the exclusive bound of the starts of the windows whose end is at or before a time."""
        return time_ms - self.size_ms + 1


@dataclass(frozen=True, slots=True)
class RecordWindows(_DeclaredWindows):
    """Windows whose bounds depend on the records of a key: a window is known by its start and its end."""

    @property
    @abstractmethod
    def size_ms_max(self) -> int:
        """The age that the records of a window have at most when the store writes it last."""

    @abstractmethod
    def closing_time_ms(self, end_ms: int) -> int:
        """Return the watermark at which a window closes that ends at a time."""

    def windowed(self, key: object, start_ms: int, end_ms: int) -> Windowed[object]:
        """Return the key of a result."""
        return Windowed(key, start_ms, end_ms)

    @property
    def held_ms(self) -> int:
        """How far behind the watermark the final results can be that come next, in milliseconds."""
        return self.closing_time_ms(0)

    def is_closed(self, end_ms: int, time_ms: int) -> bool:
        """Whether a window that ends then takes no more records at this stream time or watermark."""
        return self.closing_time_ms(end_ms) <= time_ms

    def closed_before(self, time_ms: int) -> int:
        """Return the exclusive bound of closed ends: a window is closed if and only if it ends before."""
        return time_ms - self.closing_time_ms(0) + 1

    def expired_before(self, time_ms: int) -> int | None:
        """Return the exclusive bound of ends whose retention is over; ``None`` if windows are kept."""
        if self.retention_ms is None:
            return None
        return time_ms - max(self.grace_ms, self.retention_ms)


@dataclass(frozen=True, slots=True)
class SessionWindows(RecordWindows):
    """Sessions: records of a key that are at most ``gap_ms`` apart are in one.

    A session is ``[start_ms, end_ms)``: from its first record to the gap after its last. A record at exactly
    the end still joins it, so a session is closed when the time is *after* its end and grace.
    """

    gap_ms: int
    grace_ms: int = 0
    retention_ms: int | None = None

    @property
    def kind(self) -> str:
        """``session``."""
        return "session"

    @property
    def text(self) -> str:
        """The gap."""
        return f"sessions with a gap of {duration_text(self.gap_ms)}"

    @property
    def size_ms_max(self) -> int:
        """The gap: a session's record in the store is as old as its last change."""
        return self.gap_ms

    def closing_time_ms(self, end_ms: int) -> int:
        """Return the time at which a session closes: 1 ms after its end and grace."""
        return end_ms + self.grace_ms + 1

    def joins(self, start_ms: int, end_ms: int, timestamp_ms: int, time_ms: int) -> bool:
        """Whether a record joins a session, at a time of its source partition."""
        return start_ms - self.gap_ms <= timestamp_ms <= end_ms and end_ms + self.grace_ms >= time_ms

    def is_late(self, end_ms: int, time_ms: int) -> bool:
        """Whether a record is late whose session, with the record, ends then."""
        return end_ms + self.grace_ms <= time_ms


@dataclass(frozen=True, slots=True)
class SlidingWindows(RecordWindows):
    """Windows that slide over the records of a key: records that are at most ``size_ms`` apart are in one.

    A window that starts at a time holds the records from this time to ``size_ms`` after it, so it ends 1 ms
    later: ``[start_ms, start_ms + size_ms + 1)``. Of all possible starts only those make windows at which the
    contents change: a window that ends with a record takes this record in, and a window that starts 1 ms
    after a record leaves it out (KIP-450). If the first window of a record is closed, the first open one
    takes it in. No window starts before 1970, and no window is empty.
    """

    size_ms: int
    grace_ms: int = 0
    retention_ms: int | None = None

    @property
    def kind(self) -> str:
        """``sliding``."""
        return "sliding"

    @property
    def text(self) -> str:
        """The size."""
        return f"sliding windows of {duration_text(self.size_ms)}"

    @property
    def size_ms_max(self) -> int:
        """The size, with the last millisecond."""
        return self.size_ms + 1

    def closing_time_ms(self, end_ms: int) -> int:
        """Return the watermark at which a window closes that ends at a time."""
        return end_ms + self.grace_ms

    def end_of(self, start_ms: int) -> int:
        """Return the exclusive end of the window that starts at a time."""
        return start_ms + self.size_ms + 1

    def expired_before(self, time_ms: int) -> int | None:
        """Return the exclusive bound of ends whose retention is over; ``None`` if windows are kept.

        New windows can begin with the value of one that closed, up to the size and the grace after its end.
        """
        if self.retention_ms is None:
            return None
        return time_ms - max(self.grace_ms + self.size_ms + 1, self.retention_ms)

    def first_open(self, time_ms: int) -> int:
        """Return the first start of a window that is open at a stream time or watermark."""
        return time_ms - self.grace_ms - self.size_ms

    def first_start(self, timestamp_ms: int, time_ms: int) -> int:
        """Return the first start of a window that takes a record, at a time of its source partition.

        The record is late if this is after its timestamp.
        """
        return max(0, timestamp_ms - self.size_ms, self.first_open(time_ms))


AnyWindows: TypeAlias = Windows | RecordWindows


@dataclass(frozen=True, slots=True)
class CalendarWindows(Windows):
    """The days, weeks or months of a time zone, side by side: each timestamp is in exactly one."""

    calendar: Calendar
    grace_ms: int = 0
    retention_ms: int | None = None

    @property
    def kind(self) -> str:
        """``calendar``."""
        return "calendar"

    @property
    def text(self) -> str:
        """The unit and the zone."""
        return f"{self.calendar.unit}s in {self.calendar.zone}"

    @property
    def size_ms_max(self) -> int:
        """The longest unit, with a day more, which clocks may be set back."""
        return {"day": 2, "week": 8, "month": 32}[self.calendar.unit] * 86_400_000

    @property
    def is_single(self) -> bool:
        """``True``."""
        return True

    def starts_of(self, timestamp_ms: int) -> list[int]:
        """Return the start of the window that holds a timestamp; none for a time before 1970."""
        return [self.calendar.start_of(timestamp_ms)] if timestamp_ms >= 0 else []

    def single_starts(self, timestamps_ms: Sequence[int]) -> list[int]:
        """Return for each timestamp the start of its window."""
        return self.calendar.starts_of(timestamps_ms)

    def end_of(self, start_ms: int) -> int:
        """Return the exclusive end of the window that starts at a time."""
        return self.calendar.end_of(start_ms)

    def starts_of_ended(self, time_ms: int) -> int:
        """Return the start of the window that holds the time: exactly those before it have ended."""
        return self.calendar.start_of(time_ms)
