"""Operators that pass some of the records of each key, by event time: ``dedupe``, ``rate_limit``, ``take``.

What a key has passed is in a windowed store, so old entries go by range, with the windows::

    dedupe, rate_limit   (key, start of the span that holds the times) -> the times that passed, ascending
    take                 (key, start of the span) -> how many records passed

A record is late if its span and grace have ended by the stream time of its source partition: what passed
beside it may be forgotten. A record whose key does not fit the store fails under the policy of the step.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from typing import Any

from streamcore.processing.operators.batch import Batch, holds_none
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.store_keys import UNFIT, fitting
from streamcore.processing.operators.windowed_aggregate import LateSink, Watermark, late_times_ms
from streamcore.processing.topology.limits import HEADER_OF_KEY, has_room, without_key_header
from streamcore.processing.topology.nodes import RateLimit, StoreSpec, Take
from streamcore.processing.topology.windows import TimeWindows
from streamcore.serde import Serde
from streamcore.state.windowed import WindowStore


def spans_of(store: StoreSpec) -> TimeWindows:
    """Return the spans of the store of a limit."""
    windows = store.windows
    assert isinstance(windows, TimeWindows)
    return windows


class _Limit:
    """The common part: which records are late, and the keys of the store."""

    def __init__(
        self, guard: Guard, store: WindowStore[Any, Any], spec: StoreSpec, time: Watermark, late: LateSink
    ) -> None:
        self._guard = guard
        self._store = store
        self._spans = spans_of(spec)
        self._time = time
        self._late = late

    def _starts(self, batch: Batch) -> list[int]:
        size_ms = self._spans.size_ms
        return [timestamp_ms - timestamp_ms % size_ms for timestamp_ms in batch.timestamps_ms]

    def _judgeable(self, batch: Batch, ends_ms: Sequence[int]) -> list[bool]:
        """Return whether each record is in time: its end, with grace, is after the time of its source."""
        grace_ms = self._spans.grace_ms
        times_ms = late_times_ms(batch, self._time)
        if not ends_ms or min(ends_ms) + grace_ms > max(times_ms):
            return [True] * len(ends_ms)
        return [end_ms + grace_ms > time_ms for end_ms, time_ms in zip(ends_ms, times_ms, strict=True)]

    def _report_late(self, batch: Batch, in_time: Sequence[bool]) -> None:
        if not all(in_time):
            self._late.late(batch.where([not flag for flag in in_time]))

    def _fitting(self, batch: Batch) -> Batch:
        """Return the records whose keys fit the store; the policy decides about the others."""
        places = [
            None if key is None else (key, start_ms)
            for key, start_ms in zip(batch.keys, self._starts(batch), strict=True)
        ]
        return fitting(self._guard, self._store, places, batch)[0]


class RateLimitOperator(_Limit):
    """Passes a record if no span that holds its time has more than ``count`` passed records of its key."""

    def __init__(
        self,
        guard: Guard,
        store: WindowStore[Any, Any],
        node: RateLimit,
        time: Watermark,
        late: LateSink,
    ) -> None:
        super().__init__(guard, store, node.store, time, late)
        self._count = node.count
        self._passes_unjudged = node.passes_unjudged
        self._key_serde = node.key_serde

    def process(self, batch: Batch) -> Batch:
        """Return the records that pass, under the keys that they had before the step."""
        if not self._passes_unjudged:
            batch = self._guard.with_keys(batch)
        batch = self._guard.with_times(batch)
        if not len(batch):
            return batch
        try:
            passed = self._passed(batch)
        except UNFIT:
            passed = self._passed(self._fitting(batch))
        return passed if self._key_serde is None else _under_own_keys(passed, self._key_serde)

    def _passed(self, batch: Batch) -> Batch:
        size_ms, count, keys = self._spans.size_ms, self._count, batch.keys
        starts_ms = self._starts(batch)
        in_time = self._judgeable(batch, [timestamp_ms + size_ms for timestamp_ms in batch.timestamps_ms])
        judged: Sequence[int] = range(len(batch))
        if holds_none(keys):
            judged = [index for index in judged if keys[index] is not None]
        places = self._store.identify([(keys[index], starts_ms[index]) for index in judged])
        passed_times = self._loaded(places)
        flags = [self._passes_unjudged] * len(batch)
        changed: list[Any] = []
        for place, index in zip(places, judged, strict=True):
            if not in_time[index]:
                continue
            timestamp_ms, (key, start_ms) = batch.timestamps_ms[index], place
            here = passed_times.get(place, ())
            before = passed_times.get((key, start_ms - size_ms), ()) if start_ms else ()
            behind = passed_times.get((key, start_ms + size_ms), ())
            if count == 1:
                # All times of one span are nearer than the span to each other.
                flags[index] = not (
                    here
                    or (before and timestamp_ms - before[-1] < size_ms)
                    or (behind and behind[0] - timestamp_ms < size_ms)
                )
            else:
                flags[index] = has_room([*before, *here, *behind], timestamp_ms, count, size_ms)
            if flags[index]:
                # The list is this store's alone; its bytes are made at the commit.
                insort(passed_times.setdefault(place, []), timestamp_ms)
                changed.append(place)
        self._store.mark_dirty(changed)
        if not self._passes_unjudged:
            self._report_late(batch, in_time)
        return batch if all(flags) else batch.where(flags)

    def _loaded(self, places: Sequence[Any]) -> dict[Any, list[int]]:
        """Return the times of keys and spans, with those of the spans before and behind.

        Spans that are newer than all stored ones are not looked up: they are in memory, if they exist.
        """
        size_ms, newest_ms = self._spans.size_ms, self._store.newest_committed_ms()
        wanted = set(places)
        for shift_ms in (-size_ms, size_ms):
            lowest_ms, highest_ms = -shift_ms, newest_ms - shift_ms
            wanted.update(
                [
                    (key, start_ms + shift_ms)
                    for key, start_ms in places
                    if lowest_ms <= start_ms <= highest_ms
                ]
            )
        return self._store.load(wanted)


class TakeOperator(_Limit):
    """Passes the first records of each key and span."""

    def __init__(
        self, guard: Guard, store: WindowStore[Any, Any], node: Take, time: Watermark, late: LateSink
    ) -> None:
        super().__init__(guard, store, node.store, time, late)
        self._count = node.count

    def process(self, batch: Batch) -> Batch:
        """Return the records that pass."""
        batch = self._guard.with_times(self._guard.with_keys(batch))
        if not len(batch):
            return batch
        try:
            return self._passed(batch)
        except UNFIT:
            return self._passed(self._fitting(batch))

    def _passed(self, batch: Batch) -> Batch:
        starts_ms = self._starts(batch)
        in_time = self._judgeable(batch, [start_ms + self._spans.size_ms for start_ms in starts_ms])
        places = self._store.identify(list(zip(batch.keys, starts_ms, strict=True)))
        counts = self._store.load(set(places))
        flags = [False] * len(batch)
        changed: list[Any] = []
        for index, place in enumerate(places):
            if in_time[index] and (passed := counts.get(place, 0)) < self._count:
                counts[place] = passed + 1
                flags[index] = True
                changed.append(place)
        self._store.mark_dirty(changed)
        self._report_late(batch, in_time)
        return batch if all(flags) else batch.where(flags)


class KeyInHeaderOperator:
    """Gives each record another key and keeps its own in a header, for the way through a topic."""

    def __init__(self, guard: Guard, function: Any, key_serde: Serde[Any]) -> None:
        self._guard = guard
        self._function = function
        self._encode_many = key_serde.encode_many

        def keyed(pair: tuple[Any, Any]) -> tuple[Any, bytes | None]:
            key, value = pair
            made = function(value)
            return made, None if key is None else key_serde.encode(key)

        self._keyed = keyed

    def process(self, batch: Batch) -> Batch:
        """Return the records under their new keys."""
        own = None
        if self._encode_many is not None and not holds_none(batch.keys):
            own = self._guard.attempt(self._encode_many, [batch.keys])
        if own is not None:
            keys, kept = self._guard.map(self._function, batch.values, batch)
            data = own[0] if kept is None else [own[0][index] for index in kept]
            rest = (batch if kept is None else batch.take(kept)).with_keys(keys)
            rest.headers = [
                (*rest.headers_at(index), (HEADER_OF_KEY, found)) for index, found in enumerate(data)
            ]
            return rest
        pairs = list(zip(batch.keys, batch.values, strict=True))
        made, kept = self._guard.map(self._keyed, pairs, batch)
        rest = (batch if kept is None else batch.take(kept)).with_keys([key for key, _ in made])
        rest.headers = [
            (*rest.headers_at(index), (HEADER_OF_KEY, own)) for index, (_, own) in enumerate(made)
        ]
        return rest


def _under_own_keys(batch: Batch, key_serde: Serde[Any]) -> Batch:
    """Return the records under the keys in their headers, without these headers."""
    split = [without_key_header(batch.headers_at(index)) for index in range(len(batch))]
    column = [data for data, _ in split]
    known = [data for data in column if data is not None]
    if key_serde.decode_many is not None and len(known) == len(column):
        restored = batch.with_keys(key_serde.decode_many(known))
    else:
        restored = batch.with_keys([None if data is None else key_serde.decode(data) for data in column])
    headers = [others for _, others in split]
    restored.headers = headers if any(headers) else None
    return restored
