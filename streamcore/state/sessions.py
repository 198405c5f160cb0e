"""A store of sessions: those that may still change in memory, all of them in the engine.

The open sessions of a task are objects, found by their key, and for closing by their end (``session_ends``).
A session that closed stays in the engine, for queries, until its period is dropped.

A session is stored under its end (``session_keys``). One that goes on in a later commit interval leaves its
former key, and one that was united with another leaves its key for good; both keys are deleted in the engine
and in the changelog, which therefore holds tombstones that a restore must see (``restoring``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Sequence
from operator import attrgetter
from typing import Any, Final, TypeVar

from streamcore.errors import UsageError, with_facts
from streamcore.model import TimestampMs
from streamcore.state.engine import KeyValueEngine, StoreWrites
from streamcore.state.keys import KeyCodec
from streamcore.state.overlay import laid_over
from streamcore.state.session_ends import SessionEnds
from streamcore.state.session_keys import (
    PACK_NUMBER,
    START_BYTES,
    end_in,
    key_in,
    period_key,
    session_key,
    session_keys,
    start_in,
)
from streamcore.state.write_back import WriteBack

V = TypeVar("V")

_SPANS_IN_PERIOD: Final = 512
"""So many that few sessions end in the span that is due, and most have gone on before it is due."""


class Session:
    """An open session: ``[start_ms, end_ms)``, and its value. ``identity`` is that of its key."""

    __slots__ = ("end_ms", "identity", "is_open", "start_ms", "stored_end_ms", "value")

    def __init__(
        self, identity: Any, start_ms: TimestampMs, end_ms: TimestampMs, value: Any, stored_end_ms: int | None
    ) -> None:
        self.identity = identity
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.value = value
        self.stored_end_ms = stored_end_ms
        """The end under which the engine has the session, or will have it with the commit under way."""
        self.is_open = True


class SessionStore(WriteBack[Any, V]):
    """The sessions of one store of one task. Not for sharing between threads.

    The operator looks a key up in ``open_sessions``, whose lists are in the order of starts, and calls
    ``begin``, ``change`` and ``absorb``.
    """

    def __init__(
        self,
        engine: KeyValueEngine,
        store: str,
        keys: KeyCodec[Any],
        encode: Callable[[V], bytes],
        decode: Callable[[bytes], V],
        *,
        period_ms: int,
        value_type: str = "",
    ) -> None:
        """Create the store; ``keys`` is the codec of the keys alone."""
        super().__init__(engine, store, keys, encode, decode, value_type=value_type)
        self._period_ms = period_ms
        self._open: dict[Any, list[Session]] | None = None
        self._ends = self._no_ends()
        self._changed_sessions: dict[Session, None] = {}
        self._absorbed: list[tuple[Any, int]] = []
        self._draining_writes: StoreWrites | None = None
        self._dropped_before_ms = 0
        self._applied_drop_ms = 0
        self._draining_drop_ms = 0

    # -- for the operator

    def open_sessions(self, open_from_ms: TimestampMs) -> dict[Any, list[Session]]:
        """Return the open sessions by the identity of their key.

        The first call reads the sessions that end at ``open_from_ms`` or later from the engine.
        """
        if self._open is None:
            self._open = {}
            for data, stored in self._engine.scan(
                self.store, period_key(self._period_ms, open_from_ms), None
            ):
                end_ms = end_in(data)
                if end_ms >= open_from_ms:
                    identity = self.identity(self._keys.decode(key_in(data)))
                    value = self._copy(identity, stored[START_BYTES:])
                    self._insert(Session(identity, start_in(stored), end_ms, value, end_ms))
        return self._open

    def load(self, keys: Collection[Any]) -> dict[Any, Any]:
        """Return the open sessions, after ``open_sessions``; refuse keys that the store cannot hold.

        Raises:
            SerdeError: a key without an open session is not of the store's key type.
        """
        assert self._open is not None
        unknown = [key for key in keys if key not in self._open]
        if unknown:
            self._keys.encode_identities(unknown)
        return self._open

    def begin(self, identity: Any, start_ms: TimestampMs, end_ms: TimestampMs, value: V) -> None:
        """Add a session."""
        session = Session(identity, start_ms, end_ms, value, None)
        self._insert(session)
        self._changed_sessions[session] = None

    def change(self, session: Session, start_ms: TimestampMs, end_ms: TimestampMs, value: V) -> None:
        """Set the bounds and the value of an open session. Its end never goes back."""
        moved = start_ms != session.start_ms
        session.start_ms = start_ms
        session.end_ms = end_ms
        session.value = value
        self._changed_sessions[session] = None
        if moved:
            assert self._open is not None
            found = self._open[session.identity]
            if len(found) > 1:
                found.sort(key=attrgetter("start_ms"))

    def absorb(self, session: Session) -> None:
        """Remove a session that was united with another one."""
        self._leave(session)
        self._changed_sessions.pop(session, None)
        if session.stored_end_ms is not None:
            self._absorbed.append((session.identity, session.stored_end_ms))

    def close_before(self, end_ms: TimestampMs) -> list[Session]:
        """Close the sessions that end before ``end_ms``; return them in any order."""
        closed = self._ends.before(end_ms)
        for session in closed:
            self._leave(session)
        return closed

    def in_order(self, sessions: list[Session]) -> list[Session]:
        """Return sessions by end, and then by the bytes of the key."""
        encoded = self._keys.encode_identities([session.identity for session in sessions])
        order = sorted(range(len(sessions)), key=lambda index: (sessions[index].end_ms, encoded[index]))
        return [sessions[index] for index in order]

    def last_end_ms(self, open_from_ms: TimestampMs, latest_ms: TimestampMs = 2**62) -> TimestampMs | None:
        """Return the latest end of the open sessions that start by ``latest_ms``; ``None`` for none."""
        open_sessions = self.open_sessions(open_from_ms)
        # Where no step reads final results, closed sessions stay in memory until the next record.
        ends_ms = (
            found.end_ms for each in open_sessions.values() for found in each if found.start_ms <= latest_ms
        )
        return max((end_ms for end_ms in ends_ms if end_ms >= open_from_ms), default=None)

    def keys_of(self, sessions: list[Session]) -> list[Any]:
        """Return the keys of sessions."""
        return self._keys.decode_many(
            self._keys.encode_identities([session.identity for session in sessions])
        )

    def drop_before(self, end_ms: TimestampMs) -> None:
        """Drop the periods that end at or before ``end_ms``; the next commit contains it."""
        self._dropped_before_ms = max(self._dropped_before_ms, end_ms - end_ms % self._period_ms)

    # -- for reading

    def get(self, key: tuple[Any, TimestampMs], default: V | None = None) -> V | None:
        """Return the value of the session of a key that holds a time, or ``default``.

        Reads the sessions that end after the time, of all keys, if no open one holds it.
        """
        wanted, at_ms = key
        identity = self.identity(wanted)
        for session in [] if self._open is None else self._open.get(identity, []):
            if session.start_ms <= at_ms < session.end_ms:
                return self._copy(identity, self._encode(session.value))
        for data, stored in self._pairs(at_ms + 1):
            if start_in(stored) <= at_ms < end_in(data):
                found = self._keys.decode(key_in(data))
                if self.identity(found) == identity:
                    return self._copy(found, stored[START_BYTES:])
        return default

    def items(self) -> Iterator[tuple[tuple[Any, TimestampMs, TimestampMs], V]]:
        """Return all sessions as (key, start, end) with their values, in the order of the store."""
        for data, stored in self._pairs(self._dropped_before_ms):
            found = self._keys.decode(key_in(data))
            yield (found, start_in(stored), end_in(data)), self._copy(found, stored[START_BYTES:])

    # -- the commit

    @property
    def is_dirty(self) -> bool:
        """Whether ``drain`` may return anything."""
        return self.has_writes or self._dropped_before_ms > self._applied_drop_ms

    @property
    def has_writes(self) -> bool:
        """Whether a session has changed since the last drain."""
        return bool(self._changed_sessions or self._absorbed)

    def drain(self) -> StoreWrites | None:
        """As in ``WriteBack``, with the deleted keys of sessions that went on or were united, and with the
        range of dropped periods.
        """
        dropped = (
            period_key(self._period_ms, self._applied_drop_ms),
            period_key(self._period_ms, self._dropped_before_ms),
        )
        writes = self._writes()
        if self._dropped_before_ms > self._applied_drop_ms:
            writes = {data: stored for data, stored in writes.items() if data >= dropped[1]}
        for session in self._changed_sessions:
            session.stored_end_ms = session.end_ms
        self._changed_sessions = {}
        self._absorbed = []
        self._draining_drop_ms = self._dropped_before_ms
        ranges = []
        # As in ``WindowStore``: a range is deleted only where there is something.
        if dropped[0] < dropped[1] and next(self._engine.scan(self.store, *dropped), None) is not None:
            ranges = [dropped]
        if not writes and not ranges:
            return None
        keys = sorted(writes)
        self._draining_writes = StoreWrites(self.store, keys, list(map(writes.__getitem__, keys)), ranges)
        return self._draining_writes

    def committed(self) -> None:
        """As in ``WriteBack``."""
        self._draining_writes = None
        self._applied_drop_ms = self._draining_drop_ms

    def abort(self) -> None:
        """As in ``WriteBack``: the open sessions are read from the engine again."""
        super().abort()
        self._open = None
        self._ends = self._no_ends()
        self._changed_sessions = {}
        self._absorbed = []
        self._draining_writes = None
        self._dropped_before_ms = self._draining_drop_ms = self._applied_drop_ms

    def put(self, key: Any, value: V | None) -> None:
        """Raise ``UsageError``: only the step of a session table writes it."""
        raise UsageError(with_facts("only its step writes this table", table=self.store))

    def delete(self, key: Any) -> None:
        """Raise ``UsageError``: only the step of a session table writes it."""
        self.put(key, None)

    # -- within

    def _insert(self, session: Session) -> None:
        assert self._open is not None
        found = self._open.get(session.identity)
        if found is None:
            self._open[session.identity] = [session]
        else:
            found.append(session)
            found.sort(key=attrgetter("start_ms"))
        self._ends.add(session)

    def _no_ends(self) -> SessionEnds[Session]:
        return SessionEnds(max(1, self._period_ms // _SPANS_IN_PERIOD))

    def _pairs(self, end_from_ms: TimestampMs) -> Iterator[tuple[bytes, bytes]]:
        """Return what is stored for the sessions from the period of an end on, in the order of the store."""
        start = period_key(self._period_ms, max(end_from_ms, self._dropped_before_ms))
        overlay: dict[bytes, bytes | None] = {}
        if self._draining_writes is not None:
            draining = self._draining_writes
            first = bisect_left(draining.keys, start)
            overlay = dict(zip(draining.keys[first:], draining.values[first:], strict=True))
        overlay |= {data: found for data, found in self._writes().items() if data >= start}
        pairs = self._engine.scan(self.store, start, None)
        return laid_over(pairs, overlay) if overlay else pairs

    def _leave(self, session: Session) -> None:
        assert self._open is not None
        session.is_open = False
        found = self._open[session.identity]
        if len(found) == 1:
            del self._open[session.identity]
        else:
            found.remove(session)

    def _writes(self) -> dict[bytes, bytes | None]:
        """Return the changes since the last drain, encoded."""
        changed = list(self._changed_sessions)
        keys = self._keys.encode_identities([session.identity for session in changed])
        values = self._encoded_values(changed)
        absorbed = self._keys.encode_identities([identity for identity, _ in self._absorbed])
        absorbed_ends_ms = [stored_end_ms for _, stored_end_ms in self._absorbed]
        writes: dict[bytes, bytes | None] = dict.fromkeys(
            session_keys(self._period_ms, absorbed, absorbed_ends_ms)
        )
        present: list[bytes] = []
        stored: list[bytes] = []
        # In one pass, since the sessions of many keys are not in the processor's cache: each pass over them
        # costs as much as all that is done with them. The ends of a commit are in few periods.
        period_ms, pack = self._period_ms, PACK_NUMBER
        period, from_ms, until_ms = b"", 0, 0
        for key, value, session in zip(keys, values, changed, strict=True):
            end_ms, stored_end_ms = session.end_ms, session.stored_end_ms
            if not from_ms <= end_ms < until_ms:
                from_ms = end_ms - end_ms % period_ms
                until_ms = from_ms + period_ms
                period = pack(from_ms)
            if stored_end_ms is not None and stored_end_ms != end_ms:
                if from_ms <= stored_end_ms:
                    writes[period + key + pack(stored_end_ms)] = None
                else:
                    writes[session_key(period_ms, key, stored_end_ms)] = None
            present.append(period + key + pack(end_ms))
            stored.append(pack(session.start_ms) + value)
        # After all deletions: a session may end where one that it absorbed ended.
        writes.update(zip(present, stored, strict=True))
        return writes

    def _encoded_values(self, sessions: Sequence[Any]) -> list[bytes]:
        try:
            return list(map(self._encode, [session.value for session in sessions]))
        except Exception:  # noqa: BLE001 - once more, one by one, to tell which it was
            return list(map(self._encoded_value, sessions))

    def _encoded_value(self, session: Session) -> bytes:
        try:
            return self._encode(session.value)
        except Exception as error:  # an error of the user's serde or class
            raise self._unencodable(session.identity, session.value, error) from error
