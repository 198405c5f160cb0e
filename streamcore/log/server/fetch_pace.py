"""Decides when a reader's next Fetch begins, so that a client that pauses when it is full need not pause.

librdkafka keeps what it has fetched in a queue of 100,000 records (``queued.min.messages``). If the queue is
full after an answer, it asks for nothing during a whole second (``fetch.queue.backoff.ms``), however soon the
application has taken everything. A broker that answers fast fills the queue in some hundredths of a second, a
fast application empties it as soon, and then waits: it gets the more the less the broker hurries.

What can be seen from here are *pauses*: a client that sends its next Fetch at once lets a second go by. What
is answered between two pauses, and the second of them, is a *cycle*. After the first cycle answers go out at
a rate, and pauses mean for it what losses mean for the rate of TCP:

* It begins at twice of what the cycle brought, and doubles soon until the next pause.
* There it falls to what the application seems to have taken, to half at most, and grows slowly, then faster.
* It grows only by Fetches that were held. Where none was held for a minute, there is no rate any more.

Invariants:

* The rate is more than what fills the client, a second, which is about what pauses leave of any rate. Where a
  cycle brings less than that, the rate ends, and the next attempt has to wait, longer each time. So a slow
  application, whose queue a pause does not empty, is left alone.
* A reader that is not behind is not held: neither after a small answer nor after one that waited for records.
* A Fetch is held for ``HOLD_S_MAX`` at most, because requests behind it wait too.

Where the Fetch waits meanwhile is the connection's business.
"""

from __future__ import annotations

import math
from typing import Final

HOLD_S_MAX: Final = 0.1
ANSWER_BYTES_MIN: Final = 64 * 1024
"""Smaller answers are those of readers that are not behind."""
_HOLD_S_MIN: Final = 0.001
"""Timers are no finer."""
_CREDIT_S: Final = 0.02
"""So late a Fetch may be without losing its place in the rate."""
_PAUSE_S: Final = (0.3, 1.5)
"""How long a pause lasts: a second, but it looks shorter if partitions did not begin it together. After a
longer one the queue was not empty, or the application did something else."""
_FIRST_RATE: Final = 2.0
"""Of what the cycle brought on the average."""
_FIRST_RATE_NEAR: Final = 0.8
"""Of what the broker could give, where that is not far above what the cycle brought on the average."""
_DOUBLING_S: Final = (0.2, 1.0)
"""How soon the first rate doubles: from far below what the broker can give, and from near it."""
_GROWTH: Final = 0.0015
"""After so many seconds of growth a rate is larger by e to the power of this times their square."""
_SHARE_OF_TAKEN: Final = 0.95
"""At a pause, the rate falls to this share of what the application seems to have taken meanwhile ..."""
_CUT: Final = (0.5, 0.9)
"""... but to no less and no more than these shares of itself."""
_RATE_MIN: Final = 1.6
"""A second, of what fills the client."""
_TAKEN_S: Final = 0.1
"""How long a fast application needs to take what fills the client: a guess, by which a cycle tells how much
that is."""
_EMPTY_SHARE: Final = 0.5
"""If less than this share of it was enough, the queue was not empty before."""
_LONG_CYCLE_S: Final = 3.0
"""With a rate, a cycle of this length shows that it helps."""
_FORGOTTEN_S: Final = 60.0
_ABSTAINING_S: Final = (5.0, 60.0)
"""How long to do without a rate after it did not help: at first, and at most."""
_ANSWER_S_MAX: Final = 0.05
_ANSWER_SHARE_MAX: Final = 0.25
"""An answer is at most what the rate brings in this time, and this share of what fills the client."""


def pauses_when_full(software_name: str, software_version: str) -> bool:
    """Whether a client is librdkafka or stands on it, by what it says of itself.

    Bindings have names of their own; the library's is in their versions: ``2.12.2-rdkafka-2.12.1``.
    """
    return "rdkafka" in software_name or "rdkafka" in software_version


class FetchPace:
    """The pace of one connection; times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self._rate: float | None = None
        """Bytes a second, or as fast as it goes."""
        self._rate_set = 0.0
        """From where it has grown since."""
        self._doubling_s: float | None = None
        """How soon the rate doubles, until its first pause."""
        self._grown_s = 0.0
        self._capacity = 0.0
        """Bytes that seem to fill the client."""
        self._cycle_bytes = 0
        self._cycle_start_s = 0.0
        self._due_s = 0.0
        self._came_s = 0.0
        self._held_s = 0.0
        self._answered_s: float | None = None
        """When the last large answer was given, until the Fetch after it comes."""
        self._free_until_s = 0.0
        self._abstaining_s = _ABSTAINING_S[0]

    @property
    def rate(self) -> float | None:
        """Bytes a second that are not exceeded, if any."""
        return self._rate

    def hold_s(self, now_s: float) -> float:
        """A Fetch has come: how long to wait before it is begun. It is told once."""
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
        """How much the answer to a Fetch may have: a part of what fills the client's queue."""
        if self._rate is None:
            return wanted
        most = min(self._rate * _ANSWER_S_MAX, self._capacity * _ANSWER_SHARE_MAX)
        return min(wanted, max(ANSWER_BYTES_MIN, int(most)))

    def answered(self, count: int, now_s: float, *, has_waited: bool) -> None:
        """A Fetch was answered with so many bytes, perhaps after it had waited for records."""
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
        """A cycle is over: it lasted until the last answer, and then there was a pause."""
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
        """What a cycle with a rate has to bring a second; the first one began too slow to bring much."""
        return self._capacity if self._doubling_s is None else 0.6 * self._capacity

    def _begin(self, count: int, busy_s: float, average: float, now_s: float) -> None:
        """Have a rate from now on, if the cycle was one of an application that is fast."""
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
        """Do without a rate, because it did not help."""
        self._rate = None
        self._free_until_s = now_s + self._abstaining_s
        self._abstaining_s = min(2 * self._abstaining_s, _ABSTAINING_S[1])

    def _cut(self, taken: float, busy_s: float) -> None:
        """Go on slower than the rate that has filled the queue."""
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
