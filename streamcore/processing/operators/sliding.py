"""Folds records into sliding windows.

A record is in the windows that start from ``first_start`` to its own time. It changes what the windows of its
key hold at two starts: at the first of these, and 1 ms after its own time. Where no window is known at such a
start, one begins with the records of the known window before it (``state.sliding_windows``). The cost of a
record is that of the windows that hold it.

As in ``sessions``, two ways lead to the same state: key by key where no step reads the updates, record by
record otherwise, or where a function of the user fails.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

from streamcore.model import Windowed
from streamcore.processing.operators.aggregate import added
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.groups import grouped
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.store_keys import loaded
from streamcore.processing.operators.windowed_aggregate import LateSink, Watermark, late_times_ms
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.windows import SlidingWindows
from streamcore.state.sliding_windows import SlidingStore, SlidingWindow

_START = attrgetter("start_ms")
_NO_RECORD: Final = -1


class _Draft:
    """A window as it will be, with the records to fold into it. ``state`` is ``None`` without records."""

    __slots__ = ("indexes", "is_changed", "latest_ms", "start_ms", "state", "window")

    def __init__(self, start_ms: int, before: _Draft | None = None) -> None:
        """Create a window without records, or with those of the one before it."""
        self.start_ms = start_ms
        self.is_changed = True
        self.window: SlidingWindow | None = None
        self.state: Any = None if before is None else before.state
        self.latest_ms: int = _NO_RECORD if before is None else before.latest_ms
        self.indexes: list[int] = [] if before is None else before.indexes[:]

    @classmethod
    def of(cls, window: SlidingWindow) -> _Draft:
        """Return a known window, unchanged."""
        draft = cls(window.start_ms)
        draft.is_changed = False
        draft.window, draft.state, draft.latest_ms = window, window.value, window.latest_ms
        return draft


class SlidingAggregateOperator:
    """Folds each record into the windows of its key that hold it; late records are left out."""

    def __init__(
        self,
        guard: Guard,
        store: SlidingStore[Any],
        spec: StoreSpec,
        time: Watermark,
        late: LateSink,
        *,
        emits: bool,
        closes: bool,
    ) -> None:
        """Create the operator.

        Args:
            emits: a step reads the updates.
            closes: no step reads the final results, so this operator closes the windows.
        """
        assert isinstance(spec.windows, SlidingWindows)
        assert spec.result is not None
        self._guard = guard
        self._store = store
        self._windows = spec.windows
        self._aggregators = [aggregator for _, aggregator in spec.aggregators]
        self._counts_only = all(
            aggregator.kind == "count" and aggregator.counts_none for aggregator in self._aggregators
        )
        self._result = spec.result
        self._time = time
        self._late = late
        self._emits = emits
        self._closes = closes
        self._open = store.open_sessions(self._windows.closed_before(time.watermark_ms))

    def process(self, batch: Batch) -> Batch | None:
        """Fold the batch; return the new results of the windows that each record changes, by start, if a step
        reads them.
        """
        batch = self._guard.with_times(self._guard.with_values(self._guard.with_keys(batch)))
        if not len(batch):
            return None
        batch, identities, _ = loaded(self._guard, self._store, batch.keys, batch)
        batch, identities, firsts_ms = self._in_time(batch, identities)
        updates = None
        if self._emits or not self._fold_grouped(batch, identities, firsts_ms):
            updates = self._fold_one_by_one(batch, identities, firsts_ms)
        if self._closes:
            self._store.close_before(self._windows.closed_before(self._time.watermark_ms))
        return updates

    def _in_time(self, batch: Batch, identities: Sequence[Any]) -> tuple[Batch, Sequence[Any], Sequence[int]]:
        """Return the records that are not late, with the first start of a window that takes each."""
        windows = self._windows
        # ``SlidingWindows.first_start``, without a call for each record.
        opens_ms = windows.first_open(0)
        firsts_ms = [
            max(0, timestamp_ms - windows.size_ms, time_ms + opens_ms)
            for timestamp_ms, time_ms in zip(
                batch.timestamps_ms, late_times_ms(batch, self._time), strict=True
            )
        ]
        flags = [
            first_ms <= timestamp_ms
            for first_ms, timestamp_ms in zip(firsts_ms, batch.timestamps_ms, strict=True)
        ]
        if all(flags):
            return batch, identities, firsts_ms
        self._late.late(batch.where([not flag for flag in flags]))
        kept = [index for index, flag in enumerate(flags) if flag]
        return batch.take(kept), [identities[index] for index in kept], [firsts_ms[index] for index in kept]

    # -- the windows of a key

    def _drafts(self, identity: Any, first_ms: int, last_ms: int) -> list[_Draft]:
        """Return the known windows of a key that start in ``[first_ms, last_ms]``, and the one before."""
        found = self._open.get(identity, [])
        start = bisect_left(found, first_ms, key=_START)
        end = start
        while end < len(found) and found[end].start_ms <= last_ms:
            end += 1
        return [_Draft.of(window) for window in found[max(0, start - 1) : end]]

    def _place(self, drafts: list[_Draft], index: int, timestamp_ms: int, first_ms: int) -> list[_Draft]:
        """Add a record to the windows that hold it, and the windows that it makes; return the changed ones.

        The drafts are all windows of the key that start in ``[first_ms, timestamp_ms + 1]``, and the one
        before them.
        """
        begin = bisect_left(drafts, first_ms, key=_START)
        if begin == len(drafts) or drafts[begin].start_ms != first_ms:
            before = drafts[begin - 1] if begin else None
            holds_some = before is not None and before.latest_ms >= first_ms
            drafts.insert(begin, _Draft(first_ms, before if holds_some else None))
        end = begin
        while end < len(drafts) and (draft := drafts[end]).start_ms <= timestamp_ms:
            end += 1
            # The windows behind the latest record held nothing: with this record, one of them is made.
            behind_ms = draft.latest_ms + 1
            if first_ms < behind_ms <= timestamp_ms and (
                end == len(drafts) or drafts[end].start_ms > behind_ms
            ):
                drafts.insert(end, _Draft(behind_ms))
        last = drafts[end - 1]
        changed = drafts[begin:end]
        is_known = end < len(drafts) and drafts[end].start_ms == timestamp_ms + 1
        if last.latest_ms > timestamp_ms and not is_known:
            drafts.insert(end, _Draft(timestamp_ms + 1, last))
            changed.append(drafts[end])
        for draft in drafts[begin:end]:
            draft.indexes.append(index)
            draft.is_changed = True
            if timestamp_ms > draft.latest_ms:
                draft.latest_ms = timestamp_ms
        return changed

    def _keep(self, identity: Any, drafts: list[_Draft]) -> None:
        """Write the drafts that changed to the store."""
        for draft in drafts:
            if not draft.is_changed:
                continue
            if draft.window is None:
                self._store.add(identity, draft.start_ms, draft.state, latest_ms=draft.latest_ms)
            else:
                self._store.set(draft.window, draft.state, latest_ms=draft.latest_ms)

    # -- key by key

    def _fold_grouped(self, batch: Batch, identities: Sequence[Any], firsts_ms: Sequence[int]) -> bool:
        """Fold key by key; return ``False``, with nothing changed, if a function failed."""
        columns: list[Sequence[Any]] = []
        for aggregator in self._aggregators:
            column: Sequence[Any] | None = batch.values
            if aggregator.of is not None:
                column = self._guard.attempt(aggregator.of, batch.values)
            if column is None:
                return False
            columns.append(column)
        groups = grouped(identities)
        timestamps_ms = batch.timestamps_ms

        def folded(identity: Any) -> list[_Draft]:
            indexes = groups[identity]
            first_ms = min(firsts_ms[index] for index in indexes)
            last_ms = max(timestamps_ms[index] for index in indexes) + 1
            drafts = self._drafts(identity, first_ms, last_ms)
            for index in indexes:
                self._place(drafts, index, timestamps_ms[index], firsts_ms[index])
            for draft in drafts:
                self._fold_waiting(draft, columns)
            return drafts

        folds = self._guard.attempt(folded, groups)
        if folds is None:
            return False
        for identity, drafts in zip(groups, folds, strict=True):
            self._keep(identity, drafts)
        return True

    def _fold_waiting(self, draft: _Draft, columns: Sequence[Sequence[Any]]) -> None:
        """Fold the records of a draft that are not in its state yet."""
        indexes = draft.indexes
        if not indexes:
            return
        state = draft.state
        if self._counts_only:
            draft.state = ((0 if state is None else state[0]) + len(indexes),) * len(self._aggregators)
            return
        accumulators = []
        for number, (aggregator, column) in enumerate(zip(self._aggregators, columns, strict=True)):
            accumulator = aggregator.initial() if state is None else state[number]
            values = [column[index] for index in indexes]
            if not aggregator.counts_none and None in values:
                values = [value for value in values if value is not None]
            accumulators.append(aggregator.add_many(accumulator, values) if values else accumulator)
        draft.state = tuple(accumulators)

    # -- record by record

    def _fold_one_by_one(
        self, batch: Batch, identities: Sequence[Any], firsts_ms: Sequence[int]
    ) -> Batch | None:
        timestamps_ms = batch.timestamps_ms

        def step(index: int) -> list[tuple[Any, Any]]:
            key, identity, value = batch.keys[index], identities[index], batch.values[index]
            timestamp_ms, first_ms = timestamps_ms[index], firsts_ms[index]
            values = [
                value if aggregator.of is None else aggregator.of(value) for aggregator in self._aggregators
            ]
            drafts = self._drafts(identity, first_ms, timestamp_ms + 1)
            changed = self._place(drafts, index, timestamp_ms, first_ms)
            changes = []
            for draft in changed:
                if draft.indexes:
                    draft.state = self._added(draft.state, values)
                if self._emits:
                    windowed = Windowed(key, draft.start_ms, self._windows.end_of(draft.start_ms))
                    changes.append((windowed, self._result(draft.state)))
            self._keep(identity, changed)
            return changes

        found, kept = self._guard.map(step, range(len(batch)), batch)
        if not self._emits:
            return None
        rest = range(len(batch)) if kept is None else kept
        indexes = [index for index, changes in zip(rest, found, strict=True) for _ in changes]
        updates = batch.take(indexes).with_keys([key for changes in found for key, _ in changes])
        return updates.with_values([value for changes in found for _, value in changes])

    def _added(self, state: Any, values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(
            added(aggregator, aggregator.initial() if state is None else state[number], value)
            for number, (aggregator, value) in enumerate(zip(self._aggregators, values, strict=True))
        )
