"""Delays a reader's next Fetch, so that a client that pauses when its queue is full does not pause.

librdkafka keeps fetched records in a queue of 100,000 records (``queued.min.messages``). If the queue is
full after an answer, it sends no Fetch for a second (``fetch.queue.backoff.ms``), however soon the
application takes the records. A broker that answers fast fills the queue in some hundredths of a second; a
fast application empties it as soon, and then waits. Such an application gets more if the broker answers
slower.

The broker can see the *pauses*: a client that otherwise sends its next Fetch at once sends none for a second.
The answers between two pauses, together with the second pause, are a *cycle*. After the first cycle answers
are limited to a rate. A pause changes the rate as a loss changes the rate of TCP:

* The rate begins at twice the average of the cycle, and doubles quickly until the next pause.
* At a pause it falls to the estimated rate of the application, at most by half, and grows slowly, then
  faster.
* It grows only by Fetches that were held. If none was held for a minute, the rate ends.

Invariants:

* The rate is more than one filling of the client's queue a second, which is about what pauses allow without a
  rate. If a cycle brings less than that, the rate ends, and the next attempt has to wait, longer each time.
  So a slow application, whose queue is not empty after a pause, gets no rate.
* A reader that is not behind is not held: neither after a small answer nor after one that waited for records.
* A Fetch is held for at most ``HOLD_S_MAX``, because later requests of the connection wait too.

The connection keeps the Fetch while it is held.
"""

from __future__ import annotations

import math
from typing import Final

HOLD_S_MAX: Final = 0.1
ANSWER_BYTES_MIN: Final = 64 * 1024
"""Smaller answers are those of readers that are not behind."""
_HOLD_S_MIN: Final = 0.001
"""The resolution of timers, in seconds."""
_CREDIT_S: Final = 0.02
"""A Fetch that is late by at most this time does not lower the rate."""
_PAUSE_S: Final = (0.3, 1.5)
"""How long a pause lasts: a second, but it looks shorter if partitions did not begin it together. After a
longer one the queue was not empty, or the application did something else.
"""
_FIRST_RATE: Final = 2.0
"""The first rate, as a multiple of the cycle's average."""
_FIRST_RATE_NEAR: Final = 0.8
"""The first rate, as a share of what the broker could send, if that is close to the cycle's average."""
_DOUBLING_S: Final = (0.2, 1.0)
"""How soon the first rate doubles, in seconds: if far below what the broker can send, and if close to it."""
_GROWTH: Final = 0.0015
"""After so many seconds of growth a rate is larger by e to the power of this times their square."""
_SHARE_OF_TAKEN: Final = 0.95
"""At a pause, the rate falls to this share of what the application seems to have taken meanwhile ..."""
_CUT: Final = (0.5, 0.9)
"""... but to no less and no more than these shares of itself."""
_RATE_MIN: Final = 1.6
"""Per second, as a share of the bytes that fill the client."""
_TAKEN_S: Final = 0.1
"""How long a fast application needs to take the bytes that fill the client: a guess, from which a cycle
estimates these bytes.
"""
_EMPTY_SHARE: Final = 0.5
"""If less than this share of them was enough, the queue was not empty before."""
_LONG_CYCLE_S: Final = 3.0
"""With a rate, a cycle of this length shows that the rate helps."""
_FORGOTTEN_S: Final = 60.0
_ABSTAINING_S: Final = (5.0, 60.0)
"""How long to have no rate after it did not help, in seconds: at first, and at most."""
_ANSWER_S_MAX: Final = 0.05
_ANSWER_SHARE_MAX: Final = 0.25
"""An answer is at most what the rate brings in this time, and this share of the bytes that fill the
client.
"""


def pauses_when_full(software_name: str, software_version: str) -> bool:
    """Whether a client is librdkafka or a binding of it, by its name and version in ApiVersions.

    Bindings have names of their own; the library's is in their versions: ``2.12.2-rdkafka-2.12.1``.
    """
    return "rdkafka" in software_name or "rdkafka" in software_version


class FetchPace:
    """The pace of one connection; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._rate: float | None = None
        """Bytes per second; infinite for no limit."""
        self._rate_set = 0.0
        """The rate from which it has grown since."""
        self._doubling_s: float | None = None
        """How soon the rate doubles, until its first pause."""
        self._grown_s = 0.0
        self._capacity = 0.0
        """The estimated bytes that fill the client."""
        self._cycle_bytes = 0
        self._cycle_start_s = 0.0
        self._due_s = 0.0
        self._came_s = 0.0
        self._held_s = 0.0
        self._answered_s: float | None = None
        """The time of the last large answer, until the Fetch after it arrives."""
        self._free_until_s = 0.0
        self._abstaining_s = _ABSTAINING_S[0]

    @property
    def rate(self) -> float | None:
        """The limit in bytes per second, or ``None``."""
        return self._rate

    def hold_s(self, now_s: float) -> float:
        """Return how many seconds to hold a Fetch that has arrived. Called once for each Fetch."""
        answered_s, self._answered_s = self._answered_s, None
        if answered_s is None:
            return 0.0
        gap_s = now_s - answered_s
        if gap_s >= _PAUSE_S[0]:
            self._see_pause(answered_s, now_s)
        if self._rate is None:
            return 0.0
        hold_s = self._due_s - now_s
        if hold_s < _HOLD_S_MIN:
            hold_s = 0.0
        self._grow(now_s, is_held=hold_s > 0)
        return hold_s

    def bytes_max(self, wanted: int) -> int:
        """Return the most bytes of an answer to a Fetch: a part of the client's queue."""
        if self._rate is None:
            return wanted
        most = min(self._rate * _ANSWER_S_MAX, self._capacity * _ANSWER_SHARE_MAX)
        return min(wanted, max(ANSWER_BYTES_MIN, int(most)))

    def answered(self, count: int, now_s: float, *, has_waited: bool) -> None:
        """Record an answer to a Fetch with so many bytes, and whether the Fetch has waited for records."""
        if has_waited or count < ANSWER_BYTES_MIN:
            self._cycle_bytes = 0
            self._answered_s = None
            self._due_s = now_s
            return
        if not self._cycle_bytes:
            self._cycle_start_s = now_s
        self._cycle_bytes += count
        self._answered_s = now_s
        if self._rate is not None:
            due_s = max(self._due_s, now_s - _CREDIT_S) + count / self._rate
            self._due_s = min(due_s, now_s + HOLD_S_MAX)

    # --- pauses -----------------------------------------------------------------------------------

    def _see_pause(self, answered_s: float, now_s: float) -> None:
        """Evaluate a cycle: it lasted until the last answer, and a pause followed."""
        count, self._cycle_bytes = self._cycle_bytes, 0
        busy_s = answered_s - self._cycle_start_s
        average = count / (now_s - self._cycle_start_s)
        self._due_s = now_s
        if now_s - answered_s > _PAUSE_S[1]:
            self._rate = None
        elif self._rate is None:
            self._begin(count, busy_s, average, now_s)
        elif average < self._enough():
            self._give_up(now_s)
        else:
            self._cut((count - self._capacity) / max(busy_s, _HOLD_S_MIN), busy_s)

    def _enough(self) -> float:
        """Return the bytes per second that a cycle with a rate must bring; the first cycle may bring less."""
        return self._capacity if self._doubling_s is None else 0.6 * self._capacity

    def _begin(self, count: int, busy_s: float, average: float, now_s: float) -> None:
        """Begin a rate, if the cycle shows a fast application."""
        filled_with = count / (1 + busy_s / _TAKEN_S)
        self._capacity = max(self._capacity, filled_with)
        if filled_with < _EMPTY_SHARE * self._capacity or now_s < self._free_until_s:
            return
        burst_rate = count / max(busy_s, _HOLD_S_MIN)
        first = _FIRST_RATE * average
        is_far = first < burst_rate / 2
        self._doubling_s = _DOUBLING_S[0 if is_far else 1]
        self._set(first if is_far else _FIRST_RATE_NEAR * burst_rate)
        self._held_s = now_s

    def _give_up(self, now_s: float) -> None:
        """End the rate, because it did not help."""
        self._rate = None
        self._free_until_s = now_s + self._abstaining_s
        self._abstaining_s = min(2 * self._abstaining_s, _ABSTAINING_S[1])

    def _cut(self, taken: float, busy_s: float) -> None:
        """Reduce the rate that has filled the queue."""
        assert self._rate is not None
        share = min(max(_SHARE_OF_TAKEN * taken / self._rate, _CUT[0]), _CUT[1])
        self._doubling_s = None
        self._set(self._rate * share)
        if busy_s > _LONG_CYCLE_S:
            self._abstaining_s = _ABSTAINING_S[0]

    def _set(self, rate: float) -> None:
        self._rate_set = self._rate = max(rate, _RATE_MIN * self._capacity)
        self._grown_s = 0.0

    def _grow(self, now_s: float, *, is_held: bool) -> None:
        since_s = min(now_s - self._came_s, HOLD_S_MAX)
        self._came_s = now_s
        if is_held:
            self._held_s = now_s
            self._grown_s += since_s
            if self._doubling_s is None:
                self._rate = self._rate_set * math.exp(_GROWTH * self._grown_s**2)
            else:
                self._rate = self._rate_set * 2.0 ** (self._grown_s / self._doubling_s)
        elif now_s - self._held_s > _FORGOTTEN_S:
            self._rate = None
