"""Emits the newest change of each key once in an interval of event time (``Every``).

An interval ends with the first record of a later one, in the order in which the task takes its records. So
its end has a definite place among them, while behind marks the watermark passes it at any place later. A
change that is made where no record is, or by a record of an interval which has ended, waits for the watermark
to pass an end.

The changes of the interval under way are in a store, so a crash loses none, and the cost of an interval is
that of the keys that changed in it. Where an aggregation without windows comes before, it folds the records
of an interval at once, and only the keys and times of changes are held; the results are those of the table
when the interval ends.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Container, Iterable, Sequence
from functools import partial
from itertools import compress, repeat
from typing import Any, Final, Protocol

from streamcore.processing.operators.batch import Batch, BatchSource, merged
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.store_keys import loaded
from streamcore.processing.topology.nodes import Every
from streamcore.state.dynamic_keys import is_plain
from streamcore.state.write_back import CACHE_ENTRIES_MAX, WriteBack

KNOWN_MAX: Final = CACHE_ENTRIES_MAX
"""Above so many changes in an interval they are read from the store when it ends."""


class IntervalTime(Protocol):
    """A time by which intervals end."""

    @property
    def watermark_ms(self) -> int:
        """The time after the current round."""

    def place_reaching(self, time_ms: int) -> int:
        """Return the origin of the record with which the time was reached within the round."""


class OrderOfRecords(IntervalTime, Protocol):
    """The time of the records, which is at least the watermark."""

    def places_behind(self, interval_of: Callable[[int], int]) -> Container[int]:
        """Return the places of the round without a record, and of records in an interval that had ended."""


class EveryOperator:
    """Holds changes back until a record, or the watermark, is in a later interval."""

    def __init__(
        self,
        guard: Guard,
        store: WriteBack[Any, Any],
        node: Every,
        time: OrderOfRecords,
        watermark: IntervalTime,
        table: WriteBack[Any, Any] | None = None,
    ) -> None:
        """Create the operator; ``table`` is that of the node: its aggregation uses ``fold``, ``changed``."""
        self._guard = guard
        self._store = store
        self._table = table
        self._ready: list[Batch] = []
        """The results of intervals that ended in the round, until the step takes them."""
        self._node = node
        self._time = time
        self._reached = node.interval_of(time.watermark_ms)
        self._watermark = watermark
        self._watermark_reached = node.interval_of(watermark.watermark_ms)
        self._behind: set[Any] = set()
        """The identities of keys whose newest change was in an interval that had ended."""
        self._places_behind: Container[int] = ()
        """The places of such changes in the current round."""
        self._ends = _Ends(node.every_ms, time, self._reached, self._reached)
        self._passed = _Ends(node.every_ms, watermark, self._watermark_reached, self._watermark_reached)
        self._known: dict[Any, tuple[int, Any]] | None = None
        """All changes in the store, by the identities of their keys; ``None``: it has to be read."""

    def take(self, arrived: Batch | None, source: BatchSource) -> Batch | None:
        """Take the changes of a round; return those of the intervals that ended within it.

        A record that ends an interval finds the changes of the records before it; its own change belongs to
        the next interval. A record that would exceed the limit of keys finds them, too.
        """
        if self._table is not None or arrived is None:
            self._end_intervals(None, source, _nothing)
        else:
            arrived = self._guard.with_keys(arrived)
            arrived, identities, _ = loaded(self._guard, self._store, arrived.keys, arrived)
            # A value that cannot be stored is an error of its record, and not of the commit.
            timed = list(zip(arrived.timestamps_ms, arrived.values, strict=True))
            _, kept = self._guard.map(self._node.store.value_serde.encode, timed, arrived)
            if kept is not None:
                arrived, identities = arrived.take(kept), [identities[index] for index in kept]
            self._end_intervals(arrived, source, partial(self._hold, arrived, identities))
        ended, self._ready = self._ready, []
        return merged(ended) if ended else None

    def fold(self, batch: Batch, fold: Callable[[Batch], Batch | None]) -> Batch | None:
        """Fold a batch into the table in the parts that the ends of intervals cut it into.

        ``fold`` calls ``changed`` for the keys that it changes.
        """
        updates: list[Batch] = []

        def fold_part(start: int, end: int) -> None:
            part = batch if end - start == len(batch) else batch.take(range(start, end))
            changes = fold(part) if len(part) else None
            if changes is not None:
                updates.append(changes)

        self._end_intervals(batch, batch.source, fold_part)
        return merged(updates)

    def changed(self, identities: Sequence[Any], batch: Batch) -> None:
        """Hold the changes of keys of the table, which records have made."""
        self._put(identities, batch.timestamps_ms, repeat(None, len(identities)))
        self._note_behind(identities, batch.origins)

    def _end_intervals(
        self, arrived: Batch | None, source: BatchSource, take: Callable[[int, int], None]
    ) -> None:
        """Collect the changes of the intervals that end within the round.

        ``take`` holds the changes of the arrived records from one index to another: of those before the end
        of an interval, and finally of the others.
        """
        before, self._reached = self._reached, self._node.interval_of(self._time.watermark_ms)
        self._ends = ends = _Ends(self._node.every_ms, self._time, before, self._reached)
        before = self._watermark_reached
        self._watermark_reached = self._node.interval_of(self._watermark.watermark_ms)
        self._passed = passed = _Ends(self._node.every_ms, self._watermark, before, self._watermark_reached)
        self._places_behind = self._time.places_behind(self._node.interval_of)
        origins: Sequence[int] = () if arrived is None else arrived.origins
        taken = 0
        while True:
            place, is_whole = ends.place, True
            if self._has_behind and _is_earlier(passed.place, place):
                place, is_whole = passed.place, False
            if place is None:
                break
            if arrived is not None:
                count = bisect_left(origins, place)
                take(taken, count)
                taken = count
            self._release(place, source, is_whole=is_whole)
            following = origins[taken] if taken < len(origins) else None
            (ends if is_whole else passed).go_on(following)
        if arrived is not None:
            take(taken, len(arrived))
        self._places_behind = ()

    @property
    def _has_behind(self) -> bool:
        return bool(self._behind) or self._places_behind != ()

    def _note_behind(self, identities: Sequence[Any], origins: Sequence[int]) -> None:
        if not self._has_behind:
            return
        for identity, origin in zip(identities, origins, strict=True):
            if origin in self._places_behind:
                self._behind.add(identity)
            else:
                self._behind.discard(identity)

    def _release(self, place: int, source: BatchSource, *, is_whole: bool) -> None:
        """Emit what is held: all, or the changes that were behind the records before them."""
        changes = self._held(place, source, None if is_whole else self._behind)
        self._behind.clear()
        if changes is not None:
            self._ready.append(changes)

    def _hold(self, batch: Batch, identities: Any, start: int, end: int) -> None:
        """Hold the changes of some records; those that are held are emitted before, for lack of room."""
        times_ms, values = batch.timestamps_ms, batch.values
        keys_max = self._node.keys_max
        if keys_max is not None:
            if self._known is None:
                found = list(self._store.items())
                names = self._store.identify([key for key, _ in found])
                self._known = dict(zip(names, [change for _, change in found], strict=True))
            new: set[Any] = set()
            for index in range(start, end):
                identity = identities[index]
                if identity in self._known or identity in new:
                    continue
                if len(self._known) + len(new) == keys_max:
                    self._put(identities[start:index], times_ms[start:index], values[start:index])
                    self._note_behind(identities[start:index], batch.origins[start:index])
                    self._release(batch.origins[index], batch.source, is_whole=True)
                    new.clear()
                    start = index
                new.add(identity)
        self._put(identities[start:end], times_ms[start:end], values[start:end])
        self._note_behind(identities[start:end], batch.origins[start:end])

    def _put(self, identities: Sequence[Any], times_ms: Sequence[int], values: Iterable[Any]) -> None:
        changes = dict(zip(identities, zip(times_ms, values, strict=True), strict=True))
        self._store.put_many(changes)
        if self._known is not None:
            self._known.update(changes)
            if len(self._known) > KNOWN_MAX and self._node.keys_max is None:
                self._known = None

    def _taken(self, only: Collection[Any] | None) -> tuple[list[Any], list[Any], list[tuple[int, Any]]]:
        """Remove the changes that are held; return their keys in the order of the bytes, the identities of
        the keys, and the changes.

        ``only`` are the identities to take; by default all.
        """
        known, self._known = self._known, {}
        if only is not None:
            self._known = None
        if known is None or not is_plain(list(known)):
            # Keys of other types may equal others that have another form, such as the time in another zone.
            found = list(self._store.items())
            keys = [key for key, _ in found]
            identities, changes = list(self._store.identify(keys)), [change for _, change in found]
        else:
            data = self._store.encoded_keys(known)
            identities = keys = [key for _, key in sorted(zip(data, known, strict=True))]
            changes = [known[key] for key in keys]
        if only is not None:
            chosen = [identity in only for identity in identities]
            keys, identities = list(compress(keys, chosen)), list(compress(identities, chosen))
            changes = list(compress(changes, chosen))
        self._store.delete_many(identities)
        return keys, identities, changes

    def _held(self, place: int, source: BatchSource, only: Collection[Any] | None = None) -> Batch | None:
        """Return the changes that are held, as the work of one record, and forget them."""
        keys, identities, changes = self._taken(only)
        if not keys:
            return None
        times_ms = [time_ms for time_ms, _ in changes]
        values = [value for _, value in changes]
        # A change can have an older time than the record that made it, by whose source it is late.
        begun_ms, begun_behind_ms = self._ends.begun_ms, self._passed.begun_ms
        held_ms = [
            max(time_ms, begun_behind_ms if identity in self._behind else begun_ms)
            for identity, time_ms in zip(identities, times_ms, strict=True)
        ]
        if self._table is not None:
            states = self._table.load(identities)
            values = [states[identity] for identity in identities]
        held = Batch(keys, values, times_ms, [place] * len(keys), None, source, held_times_ms=held_ms)
        if self._node.table is None or self._node.table.result is None:
            return held
        results, kept = self._guard.map(self._node.table.result, values, held)
        return (held if kept is None else held.take(kept)).with_values(results)


class _Ends:
    """The ends of intervals within a round by one time, in their order: ``place`` is that of the next one."""

    def __init__(self, every_ms: int, time: IntervalTime, reached: int, last: int) -> None:
        """Begin in the interval of a number; the round reaches that of the number ``last``."""
        self._every_ms = every_ms
        self._time = time
        self._number = reached + 1
        self._last = last
        self.place: int | None = None
        """``None`` if no interval ends any more."""
        self._find()

    @property
    def begun_ms(self) -> int:
        """When the interval under way began: of the records before ``place``, and behind the one before."""
        return (self._number - 1) * self._every_ms

    def go_on(self, following: int | None) -> None:
        """Pass on to the next interval that ends behind a record; ``None``: there is no record any more.

        Intervals between have no changes, however many there are.
        """
        end = self._last + 1
        number = end if following is None else self._number + 1
        while following is not None and number < end:
            middle = (number + end) // 2
            if self._time.place_reaching(middle * self._every_ms) > following:
                end = middle
            else:
                number = middle + 1
        self._number = number
        self._find()

    def _find(self) -> None:
        self.place = None
        if self._number <= self._last:
            self.place = self._time.place_reaching(self._number * self._every_ms)


def _is_earlier(place: int | None, other: int | None) -> bool:
    return place is not None and (other is None or place < other)


def _nothing(start: int, end: int) -> None:
    """Hold the changes of no records."""
