"""Runs a user's processor: its records and timers in the order of events, each call all or nothing.

A timer is a window of its store, ``((key, name), due time)``, so those that are due are a range. A timer of
event time is due when the watermark of the task has reached its time. It is called behind the record that
moved the watermark there, before the next one; of several, the earliest first, then by the bytes of the key.
A timer of the clock is called between two rounds.

What a call has written, set and forwarded before it fails is undone, unless the failure stops the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final, TypeAlias, get_args

from streamcore.model import Headers, Record
from streamcore.processing.operators.batch import Batch, BatchSource, merged
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.stateless import rows_of
from streamcore.processing.operators.windowed_aggregate import Watermark
from streamcore.processing.topology.error_policy import Stop
from streamcore.processing.topology.nodes import Process
from streamcore.processing.topology.processors import TIMER, DueTimer, forwarded
from streamcore.state.keys import key_codec
from streamcore.state.windowed import WindowStore
from streamcore.state.write_back import WriteBack

_UNKNOWN: Final[Any] = object()


class ProcessorOperator:
    """One processor in one task. It is the context of the processor's code."""

    def __init__(
        self,
        guard: Guard,
        node: Process,
        stores: Sequence[WriteBack[Any, Any]],
        event_timers: WindowStore[Any, Any],
        clock_timers: WindowStore[Any, Any],
        time: Watermark,
        now_ms: Callable[[], int],
    ) -> None:
        """Create the operator and its processor; ``stores`` are those to undo writes in, timers included."""
        self._guard = guard
        self._stores = [] if isinstance(guard.policy, Stop) else list(stores)
        self._event_timers = event_timers
        self._clock_timers = clock_timers
        self._time = time
        self._clock_ms = now_ms
        self._keys = key_codec(node.event_timers.key_type)
        """The codec of pairs of key and name."""
        types = get_args(node.event_timers.key_type)
        self._plain_type = types[0] if types and types[0] in (str, int, bytes) else None
        """The type of keys that are their own identities."""
        self._due: list[tuple[int, int, bytes, int, Any, Any, bool]] = []
        """Heap of the event timers that are due in this round: place, due time, bytes, number, (key, name),
        identity in the store, and whether the watermark had passed the time when the timer was set.
        """
        self._numbers = count()
        self._scanned_before_ms = 0
        self._clock_due_ms: Any = _UNKNOWN
        """When the next timer of the clock is due, or earlier; ``None`` if there is none."""
        self._place = 0
        self._record: Record[Any, Any] | None = None
        self._timer: DueTimer[Any] | None = None
        self._made: list[Record[Any, Any]] = []
        self._processor = node.make(self)
        self._on_record = self._undone_if_failing(self._called_with_record)
        self._on_timer = self._undone_if_failing(self._called_with_timer)

    # -- rounds

    def run(self, arrived: Batch | None, source: BatchSource) -> Batch | None:
        """Process the records that arrived in a round, and the event timers that are due in it."""
        self._find_due()
        if arrived is None and not self._due:
            return None
        made: list[_Made] = []
        if arrived is not None:
            held_ms = arrived.source_times_ms()
            for index, (origin, row) in enumerate(zip(arrived.origins, rows_of(arrived), strict=True)):
                self._fire(made, source, before=origin)
                self._place = origin
                for results in self._guard.call(self._on_record, row, arrived, index):
                    made += [(origin, record, held_ms[index]) for record in results]
        self._fire(made, source, before=None)
        return _batch_of(made, source)

    def run_clock(self, now_ms: int, arrived: Batch | None, source: BatchSource) -> Batch | None:
        """Call the timers of the clock that are due, then process what the timers of earlier steps forwarded.

        ``source`` stands for no record.
        """
        self._clock_due_ms = _UNKNOWN
        due = [place for place, _ in self._clock_timers.windows_between(0, now_ms + 1)]
        made: list[_Made] = []
        self._place = self._time.place_reaching(self._time.watermark_ms)
        for (key, name), time_ms in due:
            identity = self._clock_timers.identity(((key, name), time_ms))
            if identity in self._clock_timers.load((identity,)):
                timer = DueTimer(key, time_ms, name, by_clock=True)
                self._call(made, source, timer, identity, source.partition_times_ms[self._place])
        rest = self.run(arrived, source)
        return merged([batch for batch in (_batch_of(made, source), rest) if batch is not None])

    def clock_due_ms(self) -> int | None:
        """Return when the next timer of the clock is due; ``None`` if there is none."""
        if self._clock_due_ms is _UNKNOWN:
            found = next(iter(self._clock_timers.windows_between(0, 2**62)), None)
            self._clock_due_ms = None if found is None else found[0][1]
        due_ms: int | None = self._clock_due_ms
        return due_ms

    @property
    def has_timers(self) -> bool:
        """Whether any timer is set, so that the processor may still forward records without an input."""
        waiting = self._event_timers.windows_between(self._scanned_before_ms, 2**62)
        return self.clock_due_ms() is not None or next(iter(waiting), None) is not None

    def _find_due(self) -> None:
        until_ms = self._time.watermark_ms + 1
        if until_ms > self._scanned_before_ms:
            found = self._event_timers.windows_between(self._scanned_before_ms, until_ms)
            due = [timer for timer, _ in found]
            self._scanned_before_ms = until_ms
            data = self._keys.encode_many([wanted for wanted, _ in due])
            columns = zip(due, data, self._event_timers.identify(due), strict=True)
            for (wanted, time_ms), key, identity in columns:
                place = self._time.place_reaching(time_ms)
                heappush(self._due, (place, time_ms, key, next(self._numbers), wanted, identity, False))

    def _fire(self, made: list[_Made], source: BatchSource, *, before: int | None) -> None:
        """Call the due event timers of the places before a record, or all."""
        while self._due and (before is None or self._due[0][0] < before):
            self._place, time_ms, _, _, (key, name), identity, is_overdue = heappop(self._due)
            if identity in self._event_timers.load((identity,)):
                # What a timer forwards is in time for the next window, as the result of a window is.
                held_ms = source.partition_times_ms[self._place] if is_overdue else time_ms
                timer = DueTimer(key, time_ms, name, by_clock=False)
                self._call(made, source, timer, identity, held_ms)

    def _call(
        self, made: list[_Made], source: BatchSource, timer: DueTimer[Any], identity: Any, held_ms: int
    ) -> None:
        batch = Batch([timer.key], [None], [timer.time_ms], [self._place], None, source)
        # A timer whose call fails and is left out must not come again.
        self._timers(timer.by_clock).delete_many((identity,))
        for results in self._guard.call(self._on_timer, timer, batch, 0):
            made += [(self._place, record, held_ms) for record in results]

    # -- one call

    def _called_with_record(self, record: Record[Any, Any]) -> None:
        self._record, self._timer = record, None
        self._processor.on_record(record)

    def _called_with_timer(self, timer: DueTimer[Any]) -> None:
        self._record, self._timer = None, timer
        self._processor.on_timer(timer)

    def _undone_if_failing(self, call: Callable[[Any], None]) -> Callable[[Any], list[Record[Any, Any]]]:
        """Return a function that calls another and returns what was forwarded meanwhile."""
        stores = self._stores

        def all_or_nothing(argument: Any) -> list[Record[Any, Any]]:
            made: list[Record[Any, Any]] = []
            self._made = made
            journals = [(store, store.begin_event()) for store in stores]
            try:
                call(argument)
            except BaseException:
                for store, journal in journals:
                    store.rollback_event(journal)
                raise
            for store, _ in journals:
                store.end_event()
            return made

        return all_or_nothing

    # -- the context of the processor

    @property
    def key(self) -> Any:
        """The key of the current record or timer."""
        return self._record.key if self._record is not None else self._timer.key if self._timer else None

    @property
    def time_ms(self) -> int:
        """The time of the current record or timer; -1 for a record without one."""
        if self._record is not None:
            return self._record.timestamp_ms
        return -1 if self._timer is None else self._timer.time_ms

    @property
    def timer(self) -> DueTimer[Any] | None:
        """The current timer."""
        return self._timer

    @property
    def now_ms(self) -> int:
        """The clock of the worker."""
        return self._clock_ms()

    def forward(self, record: Record[Any, Any]) -> None:
        """Emit a record."""
        self._made.append(forwarded(record, self.time_ms))

    def set_timer(self, key: Any, name: str, time_ms: int, *, by_clock: bool) -> None:
        """Set a timer. An event timer that is due already is called behind the current record."""
        wanted, timers = (key, name), self._timers(by_clock)
        if type(key) is self._plain_type and type(name) is str:
            identity: Any = (wanted, time_ms)
        else:
            identity = timers.identity((wanted, time_ms))
        timers.put_many({identity: TIMER})
        if by_clock and self._clock_due_ms is not _UNKNOWN:
            self._clock_due_ms = time_ms if self._clock_due_ms is None else min(self._clock_due_ms, time_ms)
        if not by_clock and time_ms < self._scanned_before_ms:
            reached = self._time.place_reaching(time_ms)
            is_overdue = time_ms <= self._time.floor_ms or reached < self._place
            place, data = max(self._place, reached), self._keys.encode(wanted)
            heappush(self._due, (place, time_ms, data, next(self._numbers), wanted, identity, is_overdue))

    def cancel_timer(self, key: Any, name: str, time_ms: int, *, by_clock: bool) -> None:
        """Remove a timer; a missing one is ignored."""
        self._timers(by_clock).delete(((key, name), time_ms))

    def _timers(self, by_clock: bool) -> WindowStore[Any, Any]:
        return self._clock_timers if by_clock else self._event_timers


_Made: TypeAlias = tuple[int, Record[Any, Any], int]
"""A place, a record that was forwarded there, and the time by which it is late or in time for a window."""


def _batch_of(made: Sequence[_Made], source: BatchSource) -> Batch:
    headers: list[Headers] | None = None
    if any(record.headers for _, record, _ in made):
        headers = [record.headers for _, record, _ in made]
    return Batch(
        [record.key for _, record, _ in made],
        [record.value for _, record, _ in made],
        [record.timestamp_ms for _, record, _ in made],
        [origin for origin, _, _ in made],
        headers,
        source,
        held_times_ms=[held_ms for _, _, held_ms in made],
    )
