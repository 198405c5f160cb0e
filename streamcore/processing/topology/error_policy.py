"""What happens to a record that fails: the four policies that an application chooses from.

A policy stands on the application, a topic (for bytes that do not decode), an operator or an
agent; the nearest one counts. The default is ``stop``: nothing is committed past the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from streamcore.durations import duration_ms
from streamcore.errors import UsageError, fact_text

_BACKOFF_MS_MAX = 60_000


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop the worker with an error that names the record."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Count the record and go on as if it had not been there."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Call again, at most ``times`` times, waiting ``backoff_ms`` and twice as long each time; then stop.

    No wait is longer than a minute, or than ``backoff_ms`` where that is more.
    """

    times: int
    backoff_ms: int

    def wait_ms(self, attempt: int) -> int:
        """How long to wait before an attempt to try again; the first is 1."""
        longest_ms = max(_BACKOFF_MS_MAX, self.backoff_ms)
        return min(longest_ms, self.backoff_ms << min(attempt - 1, 62))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Write the record as it came, with the reason in its headers, to a topic, and go on."""

    topic: str


ErrorPolicy: TypeAlias = Stop | Skip | Retry | DeadLetter

stop = Stop()
skip = Skip()


def retry(times: int, backoff: str | timedelta | int = "100ms") -> Retry:
    """Try a failing record again, ``times`` times at most, before stopping.

    The first wait is ``backoff``; each is twice as long as the one before, up to a minute.
    """
    if times < 1:
        raise UsageError(f"retry at least once: {fact_text(times=times)}")
    return Retry(times, duration_ms(backoff))


def dead_letter(topic: str) -> DeadLetter:
    """Send failing records to ``topic``."""
    return DeadLetter(topic)
