"""Queries of a session store: the session of a key at a time, the sessions of a key, all sessions.

Answers with several sessions are in the order of their starts, and then of their keys. Sessions are stored by
their end, so such a query sorts what it found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import Any, TypeVar

from streamcore.errors import UsageError, with_facts
from streamcore.model import TimestampMs, Windowed
from streamcore.state.descriptions import StoreDescription
from streamcore.state.engine import KeyValueEngine
from streamcore.state.keys import KeyCodec
from streamcore.state.queries import Answer, StoreView
from streamcore.state.session_keys import (
    END_BYTES,
    PERIOD_BYTES,
    START_BYTES,
    end_in,
    following_period,
    key_in,
    period_key,
    period_of_gap,
    session_key,
    start_in,
)

K = TypeVar("K")
V = TypeVar("V")

_Pair = tuple[bytes, bytes]


class SessionView(StoreView[K, V]):
    """Read access to a session store, for any thread, while the task goes on. See ``StoreView``."""

    def get(self, key: K, *, at: TimestampMs | None = None) -> Answer[V] | None:
        """Return the value of the session of a key that holds the time ``at``.

        Costs one seek for each period from the time to that of the key's next session.

        Raises:
            UsageError: ``at`` is missing.
            SerdeError: the key is not of the store's key type, or the stored value does not decode.
        """
        if at is None:
            raise UsageError(with_facts("this is a windowed table, say which window: at=", table=self._store))
        position = self.position()
        for data, stored in self._of_key(self._keys.encode(key), at + 1):
            # The first session that ends after the time: if it does not hold the time, none does.
            return self._answer(data, stored, position) if start_in(stored) <= at else None
        return None

    def range(self, start: K | None = None, end: K | None = None) -> Iterator[Answer[V]]:
        """Raise ``UsageError``: use ``windows`` or ``all``."""
        raise UsageError(with_facts("this is a windowed table, use windows() or all()", table=self._store))

    def prefix(self, prefix: K) -> Iterator[Answer[V]]:
        """Raise ``UsageError``: use ``windows`` or ``all``."""
        return self.range()

    def all(self) -> Iterator[Answer[V]]:
        """Return all sessions, by start and then by key."""
        return self.windows_between()

    def windows_between(
        self, since: TimestampMs | None = None, until: TimestampMs | None = None
    ) -> Iterator[Answer[V]]:
        """Return the sessions of all keys that start in ``[since, until)``, by start, then by key.

        Reads the sessions that end after ``since``.
        """
        position = self.position()
        low = None if since is None else period_key(self._period_ms, since)
        found = self._started(self._engine.scan(self._store, low, None), since, until)
        found.sort(key=lambda pair: (start_in(pair[1]), key_in(pair[0])))
        return (self._answer(data, stored, position) for data, stored in found)

    def windows(
        self, key: K, since: TimestampMs | None = None, until: TimestampMs | None = None
    ) -> Iterator[Answer[V]]:
        """Return the sessions of one key that start in ``[since, until)``, earliest first.

        Costs one seek for each period from ``since``.
        """
        position = self.position()
        found = self._started(self._of_key(self._keys.encode(key), since or 0), since, until)
        found.sort(key=lambda pair: start_in(pair[1]))
        return (self._answer(data, stored, position) for data, stored in found)

    @property
    def _period_ms(self) -> int:
        gap_ms = self.description.session_gap_ms
        assert gap_ms is not None
        return period_of_gap(gap_ms)

    def _of_key(self, key: bytes, end_from_ms: TimestampMs) -> Iterator[_Pair]:
        """Return the sessions of a key that end at a time or later, by end."""
        period_ms = self._period_ms
        low: bytes | None = session_key(period_ms, key, max(0, end_from_ms))
        size = PERIOD_BYTES + len(key) + END_BYTES
        while True:
            first = next(self._engine.scan(self._store, low, None), None)
            if first is None:
                return
            period = first[0][:PERIOD_BYTES]
            begin = max(low or b"", period + key)
            # Keys may begin with the bytes of this one, so its sessions need not be adjacent.
            same = takewhile(
                lambda pair, begins=period + key: pair[0].startswith(begins),  # type: ignore[misc]
                self._engine.scan(self._store, begin, None),
            )
            yield from (pair for pair in same if len(pair[0]) == size)
            low = following_period(period_ms, first[0])

    @staticmethod
    def _started(pairs: Iterator[_Pair], since: TimestampMs | None, until: TimestampMs | None) -> list[_Pair]:
        return [
            pair
            for pair in pairs
            if (since is None or since <= start_in(pair[1])) and (until is None or start_in(pair[1]) < until)
        ]

    def _answer(self, data: bytes, stored: bytes, position: Any) -> Answer[V]:
        key = Windowed(self._keys.decode(key_in(data)), start_in(stored), end_in(data))
        return Answer(self._value(key, stored[START_BYTES:]), position, key)


def store_view(
    engine: KeyValueEngine,
    description: StoreDescription,
    decode: Callable[[bytes], V],
    *,
    keys: KeyCodec[Any] | None = None,
    value_type: str = "",
) -> StoreView[Any, V]:
    """Return the view that fits the layout of a store."""
    kind = SessionView if description.kind == "session" else StoreView
    return kind(engine, description, decode, keys=keys, value_type=value_type)
