"""The sessions of a table that agents write.

Stored like those of an aggregation (``session_keys``). An agent names a session by a key and a time: a write
at a time unites the sessions that are at most the gap away from it, and the time, in one session.

In memory a key has a tuple ``(from_ms, sessions)``: all its sessions that end at ``from_ms`` or later, as
``(start_ms, end_ms, value bytes)``, by their ends. Older ones are read when a time asks for them. A commit
compares the tuples of the changed keys with the engine.

Sessions do not close here: an agent may write at any time, until the retention of the session is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias, TypeVar

from streamcore.model import TimestampMs
from streamcore.state.engine import KeyValueEngine, StoreWrites
from streamcore.state.keys import KeyCodec
from streamcore.state.overlay import laid_over
from streamcore.state.session_keys import (
    END_BYTES,
    PERIOD_BYTES,
    START_BYTES,
    end_in,
    key_in,
    pairs_of_key,
    period_key,
    period_of_gap,
    session_key,
    session_value,
    start_in,
)
from streamcore.state.write_back import WriteBack

V = TypeVar("V")

Span: TypeAlias = tuple[TimestampMs, TimestampMs, bytes]
"""Start and end of a session, and its value."""

_NOTHING: Final[tuple[int, tuple[Span, ...]]] = (2**63, ())
_BESIDE_BYTES: Final = PERIOD_BYTES + END_BYTES + START_BYTES
_SESSIONS_KEPT: Final = 4
"""How many sessions of a key stay in memory after a commit."""


class WrittenSessions(WriteBack[Any, V]):
    """The sessions of one table of one task. Not for sharing between threads.

    The key of ``get``, ``put`` and ``delete`` is a pair of a key and a time.
    """

    def __init__(
        self,
        engine: KeyValueEngine,
        store: str,
        keys: KeyCodec[Any],
        encode: Callable[[V], bytes],
        decode: Callable[[bytes], V],
        *,
        gap_ms: int,
        value_type: str = "",
    ) -> None:
        """Create the store; ``keys`` is the codec of the keys alone."""
        super().__init__(engine, store, keys, encode, decode, value_type=value_type)
        self._gap_ms = gap_ms
        self._period_ms = period_of_gap(gap_ms)
        self._dropped_before_ms = 0
        self._applied_drop_ms = 0
        self._draining_drop_ms = 0

    # -- for agents

    def touching(self, key: Any, at_ms: TimestampMs) -> list[V]:
        """Return the values of the sessions of a key that are at most the gap away from a time, by start."""
        identity = super().identity(key)
        return [self._copy(key, data) for _, _, data in self._near(identity, at_ms)]

    def get(self, key: tuple[Any, TimestampMs], default: V | None = None) -> V | None:
        """Return the value of the session of a key that holds a time, or ``default``."""
        wanted, at_ms = key
        for start_ms, end_ms, data in self._near(super().identity(wanted), at_ms):
            if start_ms <= at_ms < end_ms:
                return self._copy(wanted, data)
        return default

    def put(self, key: tuple[Any, TimestampMs], value: V | None) -> None:
        """Set the value of the session of a key at a time, which unites those near it.

        Raises:
            SerdeError: the key is not of the store's key type, or the value does not encode.
            RecordTooLargeError: the changelog does not take a value of this size.
        """
        if value is None:
            self.delete(key)
            return
        wanted, at_ms = key
        try:
            data = self._encode(value)
        except Exception as error:  # an error of the user's serde or class
            raise self._unencodable(wanted, value, error) from error
        self._ensure_fits(wanted, data, _BESIDE_BYTES)
        identity = super().identity(wanted)
        near = self._near(identity, at_ms)
        start_ms = min([at_ms, *(start_ms for start_ms, _, _ in near)])
        end_ms = max([at_ms + self._gap_ms, *(end_ms for _, end_ms, _ in near)])
        self._replace(identity, near, [(start_ms, end_ms, data)])

    def delete(self, key: tuple[Any, TimestampMs]) -> None:
        """Delete the sessions of a key that are near a time."""
        wanted, at_ms = key
        identity = super().identity(wanted)
        near = self._near(identity, at_ms)
        if near:
            self._replace(identity, near, [])

    def identity(self, key: tuple[Any, TimestampMs]) -> Any:
        """Return the identity of the key of a pair in journals and dicts.

        Raises:
            SerdeError: the key is not of the store's key type.
        """
        return super().identity(key[0])

    def items(self) -> Iterator[tuple[tuple[Any, TimestampMs, TimestampMs], V]]:
        """Return all sessions as (key, start, end) with their values, in the order of the store."""
        first = period_key(self._period_ms, self._dropped_before_ms)
        overlay: dict[bytes, bytes | None] = {}
        for identity in self._changed():
            overlay |= self._writes_of(identity)
        overlay = {data: stored for data, stored in overlay.items() if data >= first}
        for data, stored in laid_over(self._engine.scan(self.store, first, None), overlay):
            found = self._keys.decode(key_in(data))
            yield (found, start_in(stored), end_in(data)), self._copy(found, stored[START_BYTES:])

    # -- the commit

    def drop_before(self, end_ms: TimestampMs) -> None:
        """Drop the periods that end at or before ``end_ms``; the next commit contains it."""
        self._dropped_before_ms = max(self._dropped_before_ms, end_ms - end_ms % self._period_ms)

    @property
    def is_dirty(self) -> bool:
        """Whether ``drain`` may return anything."""
        return bool(self._dirty) or self._dropped_before_ms > self._applied_drop_ms

    def drain(self) -> StoreWrites | None:
        """As in ``WriteBack``, with the deleted keys of sessions that went on or were united, and with the
        range of dropped periods.
        """
        assert not self._draining, "the drain before this one was neither committed nor aborted"
        dropped = (
            period_key(self._period_ms, self._applied_drop_ms),
            period_key(self._period_ms, self._dropped_before_ms),
        )
        writes: dict[bytes, bytes | None] = {}
        for identity in self._dirty:
            writes |= self._writes_of(identity)
        writes = {data: stored for data, stored in writes.items() if data >= dropped[1]}
        self._cache.weigh(writes.values())
        self._draining, self._dirty = self._dirty, {}
        self._drain_count += 1
        self._draining_drop_ms = self._dropped_before_ms
        ranges = []
        if dropped[0] < dropped[1] and next(self._engine.scan(self.store, *dropped), None) is not None:
            ranges = [dropped]
        if not writes and not ranges:
            self._draining = {}
            return None
        keys = sorted(writes)
        return StoreWrites(self.store, keys, list(map(writes.__getitem__, keys)), ranges)

    def committed(self) -> None:
        """As in ``WriteBack``; of each key only the last sessions stay in memory."""
        for identity in self._draining:
            _, sessions = self._cache.hot.get(identity, _NOTHING)
            if identity not in self._dirty and len(sessions) > _SESSIONS_KEPT:
                kept = sessions[-_SESSIONS_KEPT:]
                self._cache.set(identity, (kept[0][1], kept))
        self._applied_drop_ms = self._draining_drop_ms
        super().committed()

    def abort(self) -> None:
        """As in ``WriteBack``; sessions dropped since the last commit exist again."""
        super().abort()
        self._dropped_before_ms = self._draining_drop_ms = self._applied_drop_ms

    # -- within

    def _fetch(self, keys: list[Any]) -> None:
        """Note for the keys that are not in memory that none of their sessions is."""
        unknown = self._cache.unknown(keys)
        self._keys.encode_identities(unknown)
        for key in unknown:
            self._cache.set(key, _NOTHING)

    def _near(self, identity: Any, at_ms: TimestampMs) -> list[Span]:
        """Return the sessions of a key that are at most the gap away from a time, by start."""
        from_ms, sessions = self._stored(identity)
        if at_ms < from_ms:
            sessions = (*self._read(identity, at_ms, from_ms), *sessions)
            self._cache.set(identity, (at_ms, sessions))
        return [
            span
            for span in sessions
            if span[1] >= max(at_ms, self._dropped_before_ms) and span[0] <= at_ms + self._gap_ms
        ]

    def _read(self, identity: Any, from_ms: TimestampMs, until_ms: TimestampMs) -> Iterator[Span]:
        """Return the sessions of a key in the engine that end in ``[from_ms, until_ms)``."""
        (key,) = self._keys.encode_identities((identity,))
        for data, stored in pairs_of_key(self._engine, self.store, self._period_ms, key, from_ms):
            end_ms = end_in(data)
            if end_ms >= until_ms:
                return
            yield start_in(stored), end_ms, stored[START_BYTES:]

    def _replace(self, identity: Any, gone: list[Span], spans: list[Span]) -> None:
        from_ms, sessions = self._stored(identity)
        left = [span for span in sessions if span not in gone]
        self._set(identity, (from_ms, tuple(sorted([*left, *spans], key=lambda span: span[1]))))

    def _writes_of(self, identity: Any) -> dict[bytes, bytes | None]:
        """Return what makes the sessions of a key in the engine those in memory."""
        from_ms, sessions = self._cache.hot.get(identity, _NOTHING)
        (key,) = self._keys.encode_identities((identity,))
        wanted: dict[bytes, bytes | None] = {
            session_key(self._period_ms, key, end_ms): session_value(start_ms, data)
            for start_ms, end_ms, data in sessions
        }
        for data, stored in pairs_of_key(self._engine, self.store, self._period_ms, key, from_ms):
            if data not in wanted:
                wanted[data] = None
            elif wanted[data] == stored:
                del wanted[data]
        return wanted
