"""The windows of a timestamp, and when a window closes. Integers only.

Windows are ``[start, end)``, aligned to 1970. A record counts while
``window end > stream time - grace``; from then on the window is closed and its result final.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamcore.errors import UsageError, fact_text


@dataclass(frozen=True, slots=True)
class TimeWindows:
    """Windows of one size, a new one starting every ``advance_ms``.

    With ``advance_ms == size_ms`` the windows tumble: each timestamp is in exactly one.
    """

    size_ms: int
    advance_ms: int
    grace_ms: int = 0
    retention_ms: int | None = None
    """How long after its end a closed window can still be queried, in milliseconds; ``None`` keeps all
    windows.
    """

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

    def starts_of(self, timestamp_ms: int) -> list[int]:
        """Return the starts of the windows that hold a timestamp, earliest first."""
        first = ((timestamp_ms - self.size_ms) // self.advance_ms + 1) * self.advance_ms
        return list(range(max(0, first), timestamp_ms + 1, self.advance_ms))

    def is_closed(self, start_ms: int, stream_time_ms: int) -> bool:
        """Whether a window accepts no more records at this stream time."""
        return start_ms + self.size_ms + self.grace_ms <= stream_time_ms

    def closed_before(self, stream_time_ms: int) -> int:
        """Return the exclusive bound of closed starts: a window is closed if and only if it starts before."""
        return stream_time_ms - self.size_ms - self.grace_ms + 1

    def closing_time_ms(self, start_ms: int) -> int:
        """Return the stream time at which a window closes."""
        return start_ms + self.size_ms + self.grace_ms

    def expired_before(self, stream_time_ms: int) -> int | None:
        """Return the exclusive bound of starts whose retention is over; ``None`` if windows are kept."""
        if self.retention_ms is None:
            return None
        return stream_time_ms - self.size_ms - max(self.grace_ms, self.retention_ms) + 1
