"""The open sessions of a store by their end, for closing: what closes is found, what goes on costs little.

The time is divided into spans of equal length. A session is noted in the span of its end when it begins, and
is not noted again when it goes on. When a span is due, its sessions that have gone on meanwhile are noted in
the spans of their present ends. The others are put into a heap, which is therefore as small as one span.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Generic, Protocol, TypeVar

from streamcore.model import TimestampMs


class Ending(Protocol):
    """A session: open or not, with an end that never goes back."""

    end_ms: TimestampMs
    is_open: bool


S = TypeVar("S", bound=Ending)


class SessionEnds(Generic[S]):
    """The sessions that are to close, in spans of ``span_ms``. Not for sharing between threads."""

    __slots__ = ("_added_count", "_due", "_numbers", "_span_ms", "_spans", "_taken")

    def __init__(self, span_ms: int) -> None:
        assert span_ms >= 1
        self._span_ms = span_ms
        self._spans: dict[int, list[S]] = {}
        """Number of a span that was not due yet -> sessions whose end was in it when they were noted."""
        self._numbers: list[int] = []
        """A heap of the keys of ``_spans``."""
        self._due: list[tuple[TimestampMs, int, S]] = []
        """A heap of the sessions of spans that were due."""
        self._taken: int | None = None
        """The last span that was due."""
        self._added_count = 0

    def add(self, session: S) -> None:
        """Note a session that begins."""
        number = session.end_ms // self._span_ms
        if self._taken is not None and number <= self._taken:
            self._added_count += 1
            heappush(self._due, (session.end_ms, self._added_count, session))
            return
        found = self._spans.get(number)
        if found is None:
            self._spans[number] = [session]
            heappush(self._numbers, number)
        else:
            found.append(session)

    def before(self, end_ms: TimestampMs) -> list[S]:
        """Remove the sessions that end before ``end_ms``; return the open ones, in any order."""
        numbers, span_ms = self._numbers, self._span_ms
        while numbers and numbers[0] * span_ms < end_ms:
            self._taken = heappop(numbers)
            for session in self._spans.pop(self._taken):
                if session.is_open:
                    self.add(session)
        due = self._due
        found: list[S] = []
        while due and due[0][0] < end_ms:
            session = heappop(due)[2]
            if not session.is_open:
                continue
            if session.end_ms >= end_ms:
                self.add(session)
            else:
                found.append(session)
        return found
