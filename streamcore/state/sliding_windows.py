"""A store of sliding windows: those that may still change in memory, all of them in the engine.

Sliding windows have the layout of sessions (``session_keys``): they are stored by their end, since each key
has starts of its own. What is stored for a window is::

    value := latest_ms as uint64 big-endian | value bytes

``latest_ms`` is the time of the latest record in the window. A start between two stored ones has the records
of the stored one before it if that one's latest record is not before the start, and no records otherwise. A
new window therefore begins with the value of the one before it.

The last closed window of a key stays in memory while windows can begin with its value.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any, TypeVar

from streamcore.model import TimestampMs
from streamcore.state.engine import KeyValueEngine
from streamcore.state.keys import KeyCodec
from streamcore.state.session_keys import (
    START_BYTES,
    end_in,
    key_in,
    period_key,
    period_of_gap,
    session_values,
    start_in,
)
from streamcore.state.sessions import Session, SessionStore

V = TypeVar("V")

_START = attrgetter("start_ms")


class SlidingWindow(Session):
    """A window ``[start_ms, end_ms)`` with its value, and the time of the latest record in it."""

    __slots__ = ("latest_ms",)

    def __init__(
        self,
        identity: Any,
        start_ms: TimestampMs,
        end_ms: TimestampMs,
        value: Any,
        stored_end_ms: int | None,
        *,
        latest_ms: TimestampMs,
    ) -> None:
        super().__init__(identity, start_ms, end_ms, value, stored_end_ms)
        self.latest_ms = latest_ms


class SlidingStore(SessionStore[V]):
    """The sliding windows of one store of one task. Not for sharing between threads.

    The operator looks a key up in ``open_sessions``, whose lists are in the order of starts, and calls
    ``add`` and ``set``.
    """

    def __init__(
        self,
        engine: KeyValueEngine,
        store: str,
        keys: KeyCodec[Any],
        encode: Callable[[V], bytes],
        decode: Callable[[bytes], V],
        *,
        size_ms: int,
        value_type: str = "",
    ) -> None:
        """Create the store; ``keys`` is the codec of the keys alone."""
        super().__init__(
            engine, store, keys, encode, decode, period_ms=period_of_gap(size_ms), value_type=value_type
        )
        self._length_ms = size_ms + 1
        self._forgetting: list[tuple[int, int, SlidingWindow]] = []

    # -- for the operator

    def open_sessions(self, open_from_ms: TimestampMs) -> dict[Any, list[Any]]:
        """Return the windows that end at ``open_from_ms`` or later, by the identity of their key, and before
        them the last closed window of the key, if windows can begin with its value.

        The first call reads them from the engine.
        """
        if self._open is None:
            self._open = {}
            # Starts before this are closed.
            first_ms = open_from_ms - self._length_ms
            closed: dict[Any, SlidingWindow] = {}
            for data, stored in self._engine.scan(self.store, period_key(self._period_ms, first_ms), None):
                end_ms = end_in(data)
                latest_ms = latest_in(stored)
                if end_ms < open_from_ms and latest_ms + 1 < first_ms:
                    continue
                identity = self.identity(self._keys.decode(key_in(data)))
                window = SlidingWindow(
                    identity,
                    end_ms - self._length_ms,
                    end_ms,
                    self._copy(identity, stored[START_BYTES:]),
                    end_ms,
                    latest_ms=latest_ms,
                )
                if end_ms >= open_from_ms:
                    self._insert(window)
                else:
                    closed[identity] = window
            for identity, window in closed.items():
                window.is_open = False
                self._open.setdefault(identity, []).insert(0, window)
                self._forget_later(window)
        return self._open

    def add(self, identity: Any, start_ms: TimestampMs, value: V, *, latest_ms: TimestampMs) -> None:
        """Add a window."""
        end_ms = start_ms + self._length_ms
        window = SlidingWindow(identity, start_ms, end_ms, value, None, latest_ms=latest_ms)
        self._insert(window)
        self._changed_sessions[window] = None

    def set(self, window: SlidingWindow, value: V, *, latest_ms: TimestampMs) -> None:
        """Set the value of an open window, and the time of its latest record."""
        window.value = value
        window.latest_ms = latest_ms
        self._changed_sessions[window] = None

    def close_before(self, end_ms: TimestampMs) -> list[Session]:
        """Close the windows that end before ``end_ms``; return them by end and then by key."""
        closed = super().close_before(end_ms)
        first_ms = end_ms - self._length_ms
        forgetting = self._forgetting
        while forgetting and forgetting[0][0] + 1 < first_ms:
            _, _, window = heappop(forgetting)
            assert self._open is not None
            found = self._open.get(window.identity)
            if found and found[0] is window:
                self._leave(window)
        return closed

    # -- for reading

    def get(self, key: tuple[Any, TimestampMs], default: V | None = None) -> V | None:
        """Return the value of the last window of a key that holds a time, or ``default``.

        Reads the windows of all keys that hold the time, if no open one of the key holds it.
        """
        wanted, at_ms = key
        identity = self.identity(wanted)
        for window in reversed([] if self._open is None else self._open.get(identity, [])):
            if window.start_ms <= at_ms < window.end_ms:
                return self._copy(identity, self._encode(window.value))
        found = default
        last_ms = at_ms + self._length_ms
        after = period_key(self._period_ms, last_ms + self._period_ms)
        for data, stored in self._pairs(at_ms + 1):
            if data >= after:
                break
            if at_ms < end_in(data) <= last_ms:
                each = self._keys.decode(key_in(data))
                if self.identity(each) == identity:
                    found = self._copy(identity, stored[START_BYTES:])
        return found

    def items(self) -> Any:
        """Return all windows as (key, start, end) with their values, in the order of the store."""
        for data, stored in self._pairs(self._dropped_before_ms):
            found, end_ms = self._keys.decode(key_in(data)), end_in(data)
            yield (found, end_ms - self._length_ms, end_ms), self._copy(found, stored[START_BYTES:])

    # -- the commit

    def abort(self) -> None:
        """As in ``WriteBack``: the open windows are read from the engine again."""
        super().abort()
        self._forgetting = []

    # -- within

    def _insert(self, session: Session) -> None:
        assert self._open is not None
        found = self._open.setdefault(session.identity, [])
        if found and session.start_ms < found[-1].start_ms:
            insort(found, session, key=_START)
        else:
            found.append(session)
        self._number += 1
        heappush(self._closing, (session.end_ms, self._number, session))

    def _close(self, session: Session) -> None:
        """Keep a window that closes, in place of the one of its key that closed before it."""
        assert self._open is not None
        assert isinstance(session, SlidingWindow)
        session.is_open = False
        found = self._open[session.identity]
        while found[0] is not session:
            del found[0]
        self._forget_later(session)

    def _forget_later(self, window: SlidingWindow) -> None:
        self._number += 1
        heappush(self._forgetting, (window.latest_ms, self._number, window))

    def _stored_values(self, sessions: Sequence[Any]) -> list[bytes]:
        return session_values([session.latest_ms for session in sessions], self._encoded_values(sessions))


def latest_in(stored: bytes) -> TimestampMs:
    """Return the time of the latest record of a stored window."""
    return start_in(stored)
