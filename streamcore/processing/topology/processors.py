"""What a processor and the engine know of each other: its context, its timers, what it forwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from streamcore.errors import UsageError, with_facts
from streamcore.model import Record
from streamcore.processing.topology.made_records import made_record
from streamcore.processing.topology.times import TIME_MS_MAX, given_time_ms

K = TypeVar("K")

TIMER: Final = 1
"""The value of a timer in its store; its key is ((key, name), due time)."""


@dataclass(frozen=True, slots=True)
class DueTimer(Generic[K]):
    """A timer that is due."""

    key: K
    """The key that it was set for."""
    time_ms: int
    """The time that it was set to."""
    name: str
    by_clock: bool
    """Whether it goes by the clock instead of event time."""


class ProcessorContext(Protocol):
    """What a processor's code can do while it runs."""

    @property
    def key(self) -> Any:
        """The key of the current record or timer."""

    @property
    def time_ms(self) -> int:
        """The time of the current record or timer; -1 for a record without one."""

    @property
    def now_ms(self) -> int:
        """The clock of the worker."""

    @property
    def timer(self) -> DueTimer[Any] | None:
        """The current timer."""

    def forward(self, record: Record[Any, Any]) -> None:
        """Emit a record."""

    def set_timer(self, key: Any, name: str, time_ms: int, *, by_clock: bool) -> None:
        """Set a timer."""

    def cancel_timer(self, key: Any, name: str, time_ms: int, *, by_clock: bool) -> None:
        """Remove a timer; a missing one is ignored."""


def forwarded(record: object, time_ms: int) -> Record[Any, Any]:
    """Return a record that a processor emits, checked; without a time it has that of what it was made from.

    Raises:
        UserCodeError: the object is not a record.
        InvalidTimestampError: its time cannot be used.
        InvalidRecordError: its headers are not pairs of text and bytes.
    """
    made = made_record(record)
    if made.timestamp_ms >= 0 or time_ms < 0:
        return made
    return Record(made.key, made.value, time_ms, made.headers)


def timer_time_ms(given: Any, timer: DueTimer[Any] | None, *, by_clock: bool) -> int:
    """Return the time of a timer that is being set.

    Args:
        given: the time: milliseconds, text or a datetime.
        timer: the timer whose call sets it, if any.

    Raises:
        UsageError: the time is none, or a timer that is due would set one that is due at once, without end.
    """
    time_ms = given_time_ms(given)
    if time_ms > TIME_MS_MAX:
        raise UsageError(with_facts("a timer is due before the year 10000", time_ms=time_ms))
    if timer is not None and timer.by_clock is by_clock and time_ms <= timer.time_ms:
        raise UsageError(
            with_facts(
                "a timer sets the next one to a later time than its own, or it would be due without end",
                timer_ms=timer.time_ms,
                given_ms=time_ms,
            )
        )
    return time_ms
