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
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from operator import attrgetter
from typing import Any, Final, TypeAlias, TypeVar

from streamcore.model import TimestampMs
from streamcore.state.engine import KeyValueEngine
from streamcore.state.keys import KeyCodec
from streamcore.state.session_keys import (
    START_BYTES,
    end_in,
    key_in,
    period_key,
    period_of_gap,
    session_keys,
    session_values,
    start_in,
)
from streamcore.state.sessions import Session, SessionStore

V = TypeVar("V")

_LATER_MS: Final = 2**63
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


KeptWindow: TypeAlias = tuple[SlidingWindow | None, TimestampMs, Any, TimestampMs]
"""An open window, or ``None`` for a new one; its start, its value, and the time of its latest record."""


class SlidingStore(SessionStore[V]):
    """The sliding windows of one store of one task. Not for sharing between threads.

    The operator looks a key up in ``open_sessions``, whose lists are in the order of starts, and calls
    ``keep``.
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
        self._closing: list[tuple[int, int, Any]] = []
        self._number = 0
        self._due_ms: dict[Any, int] = {}
        """By the identity of a key, the end of its first open window; without one, the end as of which its
        last closed window is forgotten. The heap may hold other entries of a key, which mean nothing.
        """

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
                self._set_due(identity)
        return self._open

    def keep(self, identity: Any, windows: Iterable[KeptWindow]) -> None:
        """Set the values of open windows of a key, and add new ones."""
        changed = self._changed_sessions
        for window, start_ms, value, latest_ms in windows:
            if window is None:
                window = SlidingWindow(
                    identity, start_ms, start_ms + self._length_ms, value, None, latest_ms=latest_ms
                )
                self._insert(window)
            else:
                window.value = value
                window.latest_ms = latest_ms
            changed[window] = None

    def close_before(self, end_ms: TimestampMs) -> list[Session]:
        """Close the windows that end before ``end_ms``; return them in any order."""
        closing, due_ms = self._closing, self._due_ms
        closed: list[Session] = []
        while closing and closing[0][0] < end_ms:
            found_ms, _, identity = heappop(closing)
            if due_ms.get(identity) == found_ms:
                del due_ms[identity]
                self._close_of_key(identity, end_ms, closed)
        return closed

    def _close_of_key(self, identity: Any, end_ms: TimestampMs, closed: list[Session]) -> None:
        """Close the windows of a key that end before ``end_ms``, and add them to ``closed``."""
        assert self._open is not None
        found = self._open[identity]
        count = 0
        for window in found:
            if window.end_ms >= end_ms:
                break
            count += 1
            if window.is_open:
                window.is_open = False
                closed.append(window)
        # The last closed window stays, in place of the one that closed before it.
        if count > 1:
            del found[: count - 1]
        if len(found) == 1 and not found[0].is_open and self._forgotten_ms(found[0]) < end_ms:
            del self._open[identity]
        else:
            self._set_due(identity)

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
        self._closing = []
        self._due_ms = {}

    # -- within

    def _insert(self, session: Session) -> None:
        assert self._open is not None
        identity = session.identity
        found = self._open.setdefault(identity, [])
        if found and session.start_ms < found[-1].start_ms:
            insort(found, session, key=_START)
        else:
            found.append(session)
        if session.end_ms < self._due_ms.get(identity, _LATER_MS):
            self._set_due(identity)

    def _set_due(self, identity: Any) -> None:
        """Set when something is next to be done for a key that has windows in memory."""
        assert self._open is not None
        found = self._open[identity]
        first_open = found[0] if found[0].is_open else found[1] if len(found) > 1 else None
        due_ms = self._forgotten_ms(found[0]) if first_open is None else first_open.end_ms
        self._due_ms[identity] = due_ms
        self._number += 1
        heappush(self._closing, (due_ms, self._number, identity))

    def _forgotten_ms(self, window: Any) -> TimestampMs:
        """Return the end as of which no window can begin with the value of a closed one."""
        forgotten_ms: TimestampMs = window.latest_ms + 1 + self._length_ms
        return forgotten_ms

    def _writes(self) -> dict[bytes, bytes | None]:
        # Windows neither move nor are united.
        changed = list(self._changed_sessions)
        keys = self._keys.encode_identities([window.identity for window in changed])
        stored = session_keys(self._period_ms, keys, [window.end_ms for window in changed])
        return dict(zip(stored, self._stored_values(changed), strict=True))

    def _stored_values(self, sessions: Sequence[Any]) -> list[bytes]:
        return session_values([session.latest_ms for session in sessions], self._encoded_values(sessions))


def latest_in(stored: bytes) -> TimestampMs:
    """Return the time of the latest record of a stored window."""
    return start_in(stored)
