"""Queries of stores of sessions and of sliding windows: the window of a key at a time, those of a key, all.

Answers with several windows are in the order of their starts, and then of their keys. The windows are stored
by their end, so such a query sorts what it found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from streamcore.errors import UsageError, with_facts
from streamcore.model import TimestampMs, Windowed
from streamcore.state.descriptions import StoreDescription
from streamcore.state.engine import KeyValueEngine
from streamcore.state.keys import KeyCodec
from streamcore.state.queries import Answer, StoreView
from streamcore.state.session_keys import (
    START_BYTES,
    end_in,
    key_in,
    pairs_of_key,
    period_key,
    period_of_gap,
    start_in,
)

K = TypeVar("K")
V = TypeVar("V")

_Pair = tuple[bytes, bytes]


class SessionView(StoreView[K, V]):
    """Read access to a store of sessions, for any thread, while the task goes on. See ``StoreView``."""

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
        found = self._started(self._engine.scan(self._store, low, self._bound(until)), since, until)
        found.sort(key=lambda pair: (self._start(*pair), key_in(pair[0])))
        return (self._answer(data, stored, position) for data, stored in found)

    def windows(
        self, key: K, since: TimestampMs | None = None, until: TimestampMs | None = None
    ) -> Iterator[Answer[V]]:
        """Return the sessions of one key that start in ``[since, until)``, earliest first.

        Costs one seek for each period from ``since``.
        """
        position = self.position()
        found = self._started(self._of_key(self._keys.encode(key), since or 0), since, until)
        found.sort(key=lambda pair: self._start(*pair))
        return (self._answer(data, stored, position) for data, stored in found)

    @property
    def _period_ms(self) -> int:
        gap_ms = self.description.session_gap_ms
        assert gap_ms is not None
        return period_of_gap(gap_ms)

    def _of_key(self, key: bytes, end_from_ms: TimestampMs) -> Iterator[_Pair]:
        """Return the sessions of a key that end at a time or later, by end."""
        return pairs_of_key(self._engine, self._store, self._period_ms, key, end_from_ms)

    def _bound(self, until: TimestampMs | None) -> bytes | None:
        """Return the bound of the windows that can start before a time; ``None`` for no bound."""
        return None

    def _start(self, data: bytes, stored: bytes) -> TimestampMs:
        """Return the start of a stored window."""
        return start_in(stored)

    def _started(
        self, pairs: Iterator[_Pair], since: TimestampMs | None, until: TimestampMs | None
    ) -> list[_Pair]:
        return [
            (data, stored)
            for data, stored in pairs
            if (since is None or since <= self._start(data, stored))
            and (until is None or self._start(data, stored) < until)
        ]

    def _answer(self, data: bytes, stored: bytes, position: Any) -> Answer[V]:
        key = Windowed(self._keys.decode(key_in(data)), self._start(data, stored), end_in(data))
        return Answer(self._value(key, stored[START_BYTES:]), position, key, self._partition)


class SlidingView(SessionView[K, V]):
    """Read access to a store of sliding windows. See ``StoreView``."""

    def get(self, key: K, *, at: TimestampMs | None = None) -> Answer[V] | None:
        """Return the value of the last window of a key that holds the time ``at``.

        Reads the windows of the key that hold the time.

        Raises:
            UsageError: ``at`` is missing.
            SerdeError: the key is not of the store's key type, or the stored value does not decode.
        """
        if at is None:
            return super().get(key, at=at)
        position = self.position()
        found = None
        for data, stored in self._of_key(self._keys.encode(key), at + 1):
            if self._start(data, stored) > at:
                break
            found = data, stored
        return None if found is None else self._answer(*found, position)

    @property
    def _size_ms(self) -> int:
        size_ms = self.description.sliding_size_ms
        assert size_ms is not None
        return size_ms

    @property
    def _period_ms(self) -> int:
        return period_of_gap(self._size_ms)

    def _bound(self, until: TimestampMs | None) -> bytes | None:
        if until is None:
            return None
        return period_key(self._period_ms, until + self._size_ms + self._period_ms)

    def _start(self, data: bytes, stored: bytes) -> TimestampMs:
        return end_in(data) - self._size_ms - 1


def store_view(
    engine: KeyValueEngine,
    description: StoreDescription,
    decode: Callable[[bytes], V],
    *,
    keys: KeyCodec[Any] | None = None,
    value_type: str = "",
    partition: int | None = None,
) -> StoreView[Any, V]:
    """Return the view that fits the layout of a store."""
    kind = {"session": SessionView, "sliding": SlidingView}.get(description.kind, StoreView)
    return kind(engine, description, decode, keys=keys, value_type=value_type, partition=partition)
