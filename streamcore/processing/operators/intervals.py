"""Emits the newest change of each key once in an interval of event time (``Every``).

The changes of the interval under way are in a store, so a crash loses none, and the cost of an interval is
that of the keys that changed in it.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from streamcore.processing.operators.batch import Batch, BatchSource, merged
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.store_keys import loaded
from streamcore.processing.operators.windowed_aggregate import Watermark
from streamcore.processing.topology.nodes import Every
from streamcore.state.write_back import WriteBack


class EveryOperator:
    """Holds changes back until the watermark is in a later interval."""

    def __init__(self, guard: Guard, store: WriteBack[Any, Any], node: Every, time: Watermark) -> None:
        self._guard = guard
        self._store = store
        self._node = node
        self._time = time
        self._reached = node.interval_of(time.watermark_ms)
        self._held_keys: set[Any] | None = None
        """The identities of the keys in the store, where they have a limit; ``None``: not known yet."""

    def take(self, arrived: Batch | None, source: BatchSource) -> Batch | None:
        """Take the changes of a round; return those of the intervals that ended within it.

        A record that ends an interval finds the changes of the records before it; its own change belongs to
        the next interval. A record that would exceed the limit of keys finds them, too.
        """
        identities: Any = ()
        if arrived is not None:
            arrived = self._guard.with_keys(arrived)
            arrived, identities, _ = loaded(self._guard, self._store, arrived.keys, arrived)
            # A value that cannot be stored is an error of its record, and not of the commit.
            timed = list(zip(arrived.timestamps_ms, arrived.values, strict=True))
            _, kept = self._guard.map(self._node.store.value_serde.encode, timed, arrived)
            if kept is not None:
                arrived, identities = arrived.take(kept), [identities[index] for index in kept]
        node, time = self._node, self._time
        every_ms = node.every_ms
        number, last = self._reached + 1, node.interval_of(time.watermark_ms)
        self._reached = last
        held_before = 0
        ended: list[Batch] = []
        while number <= last:
            place = time.place_reaching(number * every_ms)
            if arrived is not None:
                count = bisect_left(arrived.origins, place)
                ended += self._hold(arrived, identities, held_before, count)
                held_before = count
            changes = self._held(place, source)
            if changes is not None:
                ended.append(changes)
            if arrived is None or held_before == len(arrived):
                break
            number = self._first_behind(arrived.origins[held_before], number + 1, last)
        if arrived is not None:
            ended += self._hold(arrived, identities, held_before, len(arrived))
        return merged(ended) if ended else None

    def _first_behind(self, origin: int, number: int, last: int) -> int:
        """Return the first interval, from a number on, that the watermark reached after a record.

        Intervals between have no changes, however many there are.
        """
        end = last + 1
        while number < end:
            middle = (number + end) // 2
            if self._time.place_reaching(middle * self._node.every_ms) > origin:
                end = middle
            else:
                number = middle + 1
        return number

    def _hold(self, batch: Batch, identities: Any, start: int, end: int) -> list[Batch]:
        """Hold the changes of some records; return those that had to be emitted for lack of room."""
        keys_max = self._node.keys_max
        emitted: list[Batch] = []
        if keys_max is not None:
            if self._held_keys is None:
                self._held_keys = set(self._store.identify([key for key, _ in self._store.items()]))
            for index in range(start, end):
                identity = identities[index]
                if identity not in self._held_keys and len(self._held_keys) == keys_max:
                    self._put(batch, identities, start, index)
                    start = index
                    changes = self._held(batch.origins[index], batch.source)
                    emitted += [] if changes is None else [changes]
                self._held_keys.add(identity)
        self._put(batch, identities, start, end)
        return emitted

    def _put(self, batch: Batch, identities: Any, start: int, end: int) -> None:
        changes = zip(batch.timestamps_ms[start:end], batch.values[start:end], strict=True)
        self._store.put_many(dict(zip(identities[start:end], changes, strict=True)))

    def _held(self, place: int, source: BatchSource) -> Batch | None:
        """Return the changes that are held, as the work of one record, and forget them."""
        found = list(self._store.items())
        if not found:
            return None
        keys = [key for key, _ in found]
        self._store.delete_many(self._store.identify(keys))
        if self._held_keys is not None:
            self._held_keys.clear()
        times_ms = [time_ms for _, (time_ms, _) in found]
        values = [value for _, (_, value) in found]
        return Batch(keys, values, times_ms, [place] * len(keys), None, source, held_times_ms=list(times_ms))
