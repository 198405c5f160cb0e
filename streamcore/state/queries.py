"""Queries of one store of an engine: point, range, prefix, window, all.

Queries see applied data, never data that a task has not committed. Each answer has the position that it
reflects. The position is read before the value, so the value is at least as fresh.

The store's description (``descriptions``) says what the store holds, so a folder can be read without the
application.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import msgspec

from streamcore.errors import UsageError, with_facts
from streamcore.model import TimestampMs, Windowed
from streamcore.state.calendar import calendar_named
from streamcore.state.descriptions import StoreDescription
from streamcore.state.engine import KeyValueEngine
from streamcore.state.keys import KeyCodec, key_codec_by_name
from streamcore.state.position import Position, task_position
from streamcore.state.stored_values import undecodable
from streamcore.state.window_keys import START_BYTES, decode_start, encode_start, window_range

K = TypeVar("K")
V = TypeVar("V")


class Answer(msgspec.Struct, Generic[V], frozen=True):
    """A value, and the position that it reflects. ``key`` is set for queries with several answers.

    ``partition`` is the partition of the table that holds the value.
    """

    value: V
    position: Position
    key: Any = None
    partition: int | None = None


class StoreView(Generic[K, V]):
    """Read access to a store, for any thread, while the task goes on.

    Windows are keyed by ``Windowed``. If several windows contain a time (hopping windows), ``get`` with
    ``at`` answers with the one that starts last.
    """

    def __init__(
        self,
        engine: KeyValueEngine,
        description: StoreDescription,
        decode: Callable[[bytes], V],
        *,
        keys: KeyCodec[K] | None = None,
        value_type: str = "",
        partition: int | None = None,
    ) -> None:
        """Read the store that ``description`` describes.

        Args:
            decode: converts stored bytes to the value of the answer.
            keys: the codec of the keys alone; by default the one that the description names.
            value_type: the type of the values, for errors.
            partition: the partition of the table that the store is, for answers.
        """
        self._partition = partition
        self.description = description
        self._engine = engine
        self._store = description.name
        self._decode = decode
        self._value_type = value_type
        self._keys: KeyCodec[K] = key_codec_by_name(description.key_codec) if keys is None else keys
        self._is_windowed = description.kind == "window"
        calendar = description.window_calendar
        self._calendar = None if calendar is None else calendar_named(calendar)

    def position(self) -> Position:
        """Return the position in the task's inputs that the store reflects."""
        return task_position(self._engine)

    def get(self, key: K, *, at: TimestampMs | None = None) -> Answer[V] | None:
        """Return the value of a key; for a windowed store the value of its window that contains time ``at``.

        Raises:
            UsageError: ``at`` is missing for a windowed store, or given for another one.
            SerdeError: the key is not of the store's key type, or the stored value does not decode.
        """
        if at is not None:
            self._ensure_kind("window", "leave out the time (at=)")
            return self._window_at(key, at)
        self._ensure_kind("kv", "say which window: at=")
        position = self.position()
        value = self._engine.get(self._store, self._keys.encode(key))
        return None if value is None else Answer(self._value(key, value), position, None, self._partition)

    def range(self, start: K | None = None, end: K | None = None) -> Iterator[Answer[V]]:
        """Return the keys in ``[start, end)``, in order; a side that is ``None`` is open."""
        self._ensure_kind("kv", "use windows() or all()")
        low = None if start is None else self._keys.encode(start)
        high = None if end is None else self._keys.encode(end)
        return self._answers(low, high)

    def prefix(self, prefix: K) -> Iterator[Answer[V]]:
        """Return the keys that begin with a text, in order."""
        self._ensure_kind("kv", "use windows() or all()")
        return self._answers(*self._keys.prefix_range(prefix))

    def all(self) -> Iterator[Answer[V]]:
        """Return everything, in order: by key, or by window start and then key."""
        return self._answers(None, None)

    def windows_between(
        self, since: TimestampMs | None = None, until: TimestampMs | None = None
    ) -> Iterator[Answer[V]]:
        """Return the windows of all keys that start in ``[since, until)``, by start, then by key."""
        self._ensure_kind("window", "use range() or all()")
        low = None if since is None else window_range(since, since)[0]
        high = None if until is None else window_range(until, until)[0]
        return self._answers(low, high)

    def windows(
        self, key: K, since: TimestampMs | None = None, until: TimestampMs | None = None
    ) -> Iterator[Answer[V]]:
        """Return the windows of one key that start in ``[since, until)``, earliest first.

        The query jumps from one existing window start to the next: it costs one seek and one read per start
        in the range, however many keys have windows there.
        """
        self._ensure_kind("window", "use get()")
        encoded = self._keys.encode(key)
        position = self.position()
        low = None if since is None else window_range(since, since)[0]
        high = None if until is None else window_range(until, until)[0]
        return self._windows_of(key, encoded, low, high, position)

    def _windows_of(
        self, key: K, encoded: bytes, low: bytes | None, high: bytes | None, position: Position
    ) -> Iterator[Answer[V]]:
        while (first := next(self._engine.scan(self._store, low, high), None)) is not None:
            start_ms = decode_start(first[0])
            value = self._engine.get(self._store, first[0][:START_BYTES] + encoded)
            if value is not None:
                window = self._windowed(key, start_ms)
                yield Answer(self._value(window, value), position, window, self._partition)
            low = encode_start(start_ms + 1)

    def _window_at(self, key: K, at: TimestampMs) -> Answer[V] | None:
        """Try the starts of the windows that contain the time, the last one first."""
        encoded = self._keys.encode(key)
        position = self.position()
        for start_ms in self._starts_at(at):
            value = self._engine.get(self._store, encode_start(start_ms) + encoded)
            if value is not None:
                window = self._windowed(key, start_ms)
                return Answer(self._value(window, value), position, window, self._partition)
        return None

    def _starts_at(self, at: TimestampMs) -> Iterable[TimestampMs]:
        """Return the starts of the windows that contain a time, the last one first."""
        if at < 0:
            return ()
        if self._calendar is not None:
            return (self._calendar.start_of(at),)
        size_ms = self.description.window_size_ms
        assert size_ms is not None
        advance_ms = self.description.window_advance_ms or size_ms
        return range(at - at % advance_ms, max(-1, at - size_ms), -advance_ms)

    def _answers(self, start: bytes | None, end: bytes | None) -> Iterator[Answer[V]]:
        position = self.position()
        return self._decoded(self._engine.scan(self._store, start, end), position)

    def _decoded(self, pairs: Iterator[tuple[bytes, bytes]], position: Position) -> Iterator[Answer[V]]:
        for data, stored in pairs:
            key = self._decode_key(data)
            yield Answer(self._value(key, stored), position, key, self._partition)

    def _value(self, key: object, data: bytes) -> V:
        try:
            return self._decode(data)
        except Exception as error:  # an error of the user's serde or class
            table, _, _ = self._store.partition("@")
            raise undecodable(error, table=table, key=key, data=data, value_type=self._value_type) from error

    def _decode_key(self, data: bytes) -> K | Windowed[K]:
        if self._is_windowed:
            return self._windowed(self._keys.decode(data[START_BYTES:]), decode_start(data))
        return self._keys.decode(data)

    def _windowed(self, key: K, start_ms: TimestampMs) -> Windowed[K]:
        if self._calendar is not None:
            return Windowed(key, start_ms, self._calendar.end_of(start_ms))
        return Windowed(key, start_ms, start_ms + (self.description.window_size_ms or 0))

    def _ensure_kind(self, kind: str, instead: str) -> None:
        if self.description.kind != kind:
            is_windowed = "a windowed" if self._is_windowed else "no windowed"
            raise UsageError(with_facts(f"this is {is_windowed} table, {instead}", table=self._store))
