"""The error policies: what happens to a record that fails.

A policy is declared on the application, a topic (for bytes that do not decode), an operator or an
agent; the nearest one applies. The default is ``stop``: nothing is committed past the record.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final, TypeAlias

from msgspec import Struct

from streamcore.durations import duration_ms
from streamcore.errors import UsageError, fact_text
from streamcore.processing.topology.code_locations import declares, shown

_BACKOFF_MS_MAX = 60_000
_TIMES_MAX: Final = 1_000_000
_FIRST_WAIT_MS_MAX: Final = 86_400_000
_TOPIC_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


class Stop(Struct, frozen=True):
    """Stop the worker with an error that names the record."""


class Skip(Struct, frozen=True):
    """Count the record and continue without it."""


class Retry(Struct, frozen=True):
    """Call again, at most ``times`` times, and wait ``backoff_ms`` first and twice as long each time; then
    stop.

    No wait is longer than a minute, or than ``backoff_ms`` if that is more.
    """

    times: int
    backoff_ms: int

    def wait_ms(self, attempt: int) -> int:
        """Return the wait before an attempt to try again, in milliseconds; the first attempt is 1."""
        longest_ms = max(_BACKOFF_MS_MAX, self.backoff_ms)
        return min(longest_ms, self.backoff_ms << min(attempt - 1, 62))


class DeadLetter(Struct, frozen=True):
    """Write the record as it was read, with the reason in its headers, to a topic, and continue."""

    topic: str


ErrorPolicy: TypeAlias = Stop | Skip | Retry | DeadLetter

stop = Stop()
skip = Skip()


@declares
def retry(times: int, backoff: str | timedelta | int = "100ms") -> Retry:
    """Return the policy that tries a failing record again, ``times`` times at most, before it stops.

    The first wait is ``backoff``; each is twice as long as the one before, up to a minute.

    Raises:
        UsageError: ``times`` is not an integer of at least 1, or ``backoff`` is not a duration.
    """
    if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= _TIMES_MAX:
        raise UsageError(f"retry from 1 to {_TIMES_MAX:,} times: {fact_text(times=shown(times))}")
    backoff_ms = duration_ms(backoff)
    if backoff_ms > _FIRST_WAIT_MS_MAX:
        raise UsageError(f"the first wait of a retry is at most a day: {fact_text(backoff=shown(backoff))}")
    return Retry(times, backoff_ms)


@declares
def dead_letter(topic: str) -> DeadLetter:
    """Return the policy that sends failing records to ``topic``, as they were read, with the reason in
    headers.

    Raises:
        UsageError: ``topic`` is not the name of a topic.
    """
    if not isinstance(topic, str) or not _TOPIC_NAME.fullmatch(topic) or topic in (".", ".."):
        raise UsageError(
            "give the name of a topic for dead letters, sc.dead_letter('failed-orders'): "
            + fact_text(given=shown(topic))
        )
    return DeadLetter(topic)
