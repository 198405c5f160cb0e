"""A windowed store: ``WriteBack`` over ``(key, start_ms)`` pairs, with ranges of windows.

Old windows are dropped as one range of byte keys: nothing is looked up, and nothing is written per key. The
changelog of a windowed store does not record drops; the topic's own retention deletes old records there
(``changelog``). A restore can therefore bring back dropped windows. The first drop after an open begins at
1970 and deletes them again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, TypeVar

from streamcore.model import TimestampMs
from streamcore.state.engine import KeyValueEngine, StoreWrites
from streamcore.state.keys import KeyCodec
from streamcore.state.window_keys import decode_start, encode_start, window_key_codec, window_range
from streamcore.state.write_back import CACHE_ENTRIES_MAX, WriteBack

K = TypeVar("K")
V = TypeVar("V")


class WindowStore(WriteBack[tuple[K, TimestampMs], V]):
    """The windows of one store of one task, by ``(key, start_ms)``. Not for sharing between threads."""

    def __init__(
        self,
        engine: KeyValueEngine,
        store: str,
        keys: KeyCodec[K],
        encode: Callable[[V], bytes],
        decode: Callable[[bytes], V],
        *,
        cache_entries_max: int = CACHE_ENTRIES_MAX,
        copy_on_read: bool = False,
        value_type: str = "",
    ) -> None:
        """Add write-back to one windowed store; ``keys`` is the codec of the keys alone."""
        super().__init__(
            engine,
            store,
            window_key_codec(keys),
            encode,
            decode,
            cache_entries_max=cache_entries_max,
            copy_on_read=copy_on_read,
            value_type=value_type,
        )
        self._parts = keys
        self._dropped_before_ms = 0
        self._draining_drop_ms = 0
        self._applied_drop_ms = 0
        self._newest_start_ms: TimestampMs | None = None
        self._draining_start_ms: TimestampMs | None = None

    def windows_between(
        self, since_ms: TimestampMs, until_ms: TimestampMs
    ) -> Iterator[tuple[tuple[K, TimestampMs], V]]:
        """Return the windows that start in ``[since_ms, until_ms)``, by start and then by key.

        The cost is that of the windows found and of the windows changed since the last commit.
        """
        since_ms = max(since_ms, self._dropped_before_ms)
        changed = [key for key in self._changed() if since_ms <= key[1] < until_ms]
        return self._decoded(self._merged(*window_range(since_ms, until_ms), changed))

    def drop_before(self, start_ms: TimestampMs) -> None:
        """Drop every window that starts before ``start_ms``; the next commit contains it."""
        self._dropped_before_ms = max(self._dropped_before_ms, start_ms)

    def get(self, key: tuple[K, TimestampMs], default: V | None = None) -> V | None:
        """Return the value of a window, or ``default``; also if the window was dropped."""
        return default if key[1] < self._dropped_before_ms else super().get(key, default)

    def __contains__(self, key: tuple[K, TimestampMs]) -> bool:
        return key[1] >= self._dropped_before_ms and super().__contains__(key)

    def items(self) -> Iterator[tuple[tuple[K, TimestampMs], V]]:
        """Return all windows that are not dropped, by start and then by key."""
        start, _ = window_range(self._dropped_before_ms, self._dropped_before_ms)
        changed = [key for key in self._changed() if key[1] >= self._dropped_before_ms]
        return self._decoded(self._merged(start, None, changed))

    @property
    def is_dirty(self) -> bool:
        """Whether ``drain`` may return anything."""
        return bool(self._dirty) or self._dropped_before_ms > self._applied_drop_ms

    def drain(self) -> StoreWrites | None:
        """As in ``WriteBack``, with the range of dropped windows."""
        dropped_ms = self._dropped_before_ms
        if dropped_ms > 0:
            # Without this a dropped window would exist again: ranges are deleted before keys are written, and
            # an agent writes windows of late events, too.
            self._dirty = {key: None for key in self._dirty if key[1] >= dropped_ms}
        writes = self._drained_windows()
        # The keys are sorted, by start first.
        self._draining_start_ms = decode_start(writes.keys[-1]) if writes is not None else None
        self._draining_drop_ms = dropped_ms
        dropped = window_range(self._applied_drop_ms, dropped_ms)
        # Event time moves the bound with every commit, mostly past no window at all, and RocksDB reads
        # pay for each deleted range: one seek tells whether this one is worth it.
        if next(self._engine.scan(self.store, *dropped), None) is None:
            return writes
        if writes is None:
            return StoreWrites(self.store, [], [], [dropped])
        return StoreWrites(self.store, writes.keys, writes.values, [dropped])

    def _drained_windows(self) -> StoreWrites | None:
        """Return the changes of windows since the last drain; ``None`` if there are none."""
        return super().drain()

    def committed(self) -> None:
        """As in ``WriteBack``; the dropped windows are deleted from the engine."""
        self._applied_drop_ms = self._draining_drop_ms
        if self._newest_start_ms is not None and self._draining_start_ms is not None:
            self._newest_start_ms = max(self._newest_start_ms, self._draining_start_ms)
        super().committed()

    def abort(self) -> None:
        """As in ``WriteBack``; windows dropped since the last commit exist again."""
        self._dropped_before_ms = self._draining_drop_ms = self._applied_drop_ms
        # A commit may have failed after the engine's write.
        self._newest_start_ms = None
        super().abort()

    def newest_committed_ms(self) -> TimestampMs:
        """Return the start of the newest committed window; -1 if there is none."""
        if self._newest_start_ms is None:
            newest = next(self._engine.scan(self.store, None, None, reverse=True), None)
            self._newest_start_ms = -1 if newest is None else decode_start(newest[0])
        return self._newest_start_ms

    def _refuse(self, keys: Collection[Any]) -> None:
        starts_ms = {start_ms for _, start_ms in keys}
        encode_start(min(starts_ms))
        encode_start(max(starts_ms))
        self._parts.encode_identities({identity for identity, _ in keys})

    def _fetch(self, keys: list[Any]) -> None:
        """As in ``WriteBack``, but windows newer than all in the engine are not looked up there."""
        newest_ms = self.newest_committed_ms()
        older = [key for key in keys if key[1] <= newest_ms]
        if older:
            super()._fetch(older)
        if len(older) < len(keys):
            # Refuses a key of a wrong type before it is cached, as the look-up would.
            self._refuse([key for key in keys if key[1] > newest_ms])
