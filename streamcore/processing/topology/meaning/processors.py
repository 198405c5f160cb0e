"""The meaning of processors: each event, then the event timers that the watermark has reached.

Timers of the clock are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from streamcore.model import Record
from streamcore.processing.topology.nodes import Process, StoreSpec
from streamcore.processing.topology.processors import TIMER, DueTimer, forwarded
from streamcore.state.keys import key_codec

Stores = Mapping[str, dict[Any, Any]]


class MeaningOfProcessor:
    """One processor in one task: its object, and the context of the object's code."""

    sender: Any = None
    event_time_ms: int | None = None

    def __init__(
        self, node: Process, stores: Stores, code_of: Callable[[Any], AbstractContextManager[Any]]
    ) -> None:
        """Create it; ``code_of`` makes this object the context of the code that runs inside."""
        self.key: Any = None
        self.time_ms = -1
        self.now_ms = 0
        self.timer: DueTimer[Any] | None = None
        self._node = node
        self._stores = stores
        self._code_of = code_of
        self._made: list[Record[Any, Any]] = []
        self._keys: dict[bytes, Any] = {}
        self._processor = node.make(self)

    def on_record(self, record: Record[Any, Any]) -> list[Record[Any, Any]]:
        """Return what the processor forwards for a record."""
        return self._called(self._processor.on_record, record, record.key, record.timestamp_ms, None)

    def on_timer(self, timer: DueTimer[Any]) -> list[Record[Any, Any]]:
        """Return what the processor forwards for a timer."""
        return self._called(self._processor.on_timer, timer, timer.key, timer.time_ms, timer)

    def next_due(self, watermark_ms: int) -> DueTimer[Any] | None:
        """Remove and return the earliest timer that is due; of several, that of the lowest bytes."""
        timers = self._stores[self._node.event_timers.name]
        due = min(((time_ms, data) for data, time_ms in timers if time_ms <= watermark_ms), default=None)
        if due is None:
            return None
        time_ms, data = due
        del timers[data, time_ms]
        key, name = self._keys[data]
        return DueTimer(key, time_ms, name, by_clock=False)

    def _called(
        self,
        function: Callable[[Any], None],
        argument: Any,
        key: Any,
        time_ms: int,
        timer: DueTimer[Any] | None,
    ) -> list[Record[Any, Any]]:
        """Call the processor; where it fails, the stores are as before."""
        self.key, self.time_ms, self.timer, self._made = key, time_ms, timer, []
        before = {store.name: dict(self._stores[store.name]) for store in self._node.tables}
        try:
            with self._code_of(self):
                function(argument)
        except BaseException:
            for name, kept in before.items():
                self._stores[name].clear()
                self._stores[name].update(kept)
            raise
        return self._made

    # -- the context of the processor

    def forward(self, record: Record[Any, Any]) -> None:
        """Emit a record."""
        self._made.append(forwarded(record, self.time_ms))

    def set_timer(self, key: Any, name: str, time_ms: int, *, by_clock: bool) -> None:
        """Set a timer."""
        self._stores[self._timers(by_clock).name][self._place(key, name, time_ms)] = TIMER

    def cancel_timer(self, key: Any, name: str, time_ms: int, *, by_clock: bool) -> None:
        """Remove a timer; a missing one is ignored."""
        self._stores[self._timers(by_clock).name].pop(self._place(key, name, time_ms), None)

    def table(self, store: StoreSpec) -> _Table:
        """Return a store of the processor."""
        return _Table(store, self._stores[store.name])

    def _timers(self, by_clock: bool) -> StoreSpec:
        return self._node.clock_timers if by_clock else self._node.event_timers

    def _place(self, key: Any, name: str, time_ms: int) -> tuple[bytes, int]:
        codec = key_codec(self._node.event_timers.key_type)
        data = codec.encode((key, name))
        self._keys[data] = codec.decode(data)
        return data, time_ms


class _Table:
    """A store by key, as code sees it."""

    def __init__(self, store: StoreSpec, kept: dict[Any, Any]) -> None:
        self._codec = key_codec(store.key_type)
        self._kept = kept

    def get(self, key: Any) -> Any:
        """Return the value, or ``None``."""
        return self._kept.get(self._codec.encode(key))

    def put(self, key: Any, value: Any) -> None:
        """Set a value."""
        self._kept[self._codec.encode(key)] = value

    def delete(self, key: Any) -> None:
        """Remove a key."""
        self._kept.pop(self._codec.encode(key), None)

    def items(self) -> Iterable[tuple[Any, Any]]:
        """Return all keys and values, in key order."""
        return [(self._codec.decode(data), self._kept[data]) for data in sorted(self._kept)]
