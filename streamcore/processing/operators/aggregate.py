"""Folds records into a store, by key or by key and window, and emits the final results of windows.

Stored value := tuple of accumulators, one for each aggregator of the store. Accumulators are replaced,
never changed in place, so a failing record leaves no trace and earlier results do not change.

Two ways lead to the same state. Where no step reads the updates, the records of a batch are grouped by
key and each key's accumulators are written once. Where a step reads them, or where a function of the
user fails, records are folded one by one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from streamcore.model import Windowed
from streamcore.processing.operators.batch import Batch, BatchSource
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.store_keys import UNFIT, fitting, loaded
from streamcore.processing.operators.tables import StoreHistory
from streamcore.processing.topology.aggregator import Aggregator
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.windows import Windows
from streamcore.state.windowed import WindowStore
from streamcore.state.write_back import WriteBack


class Watermark(Protocol):
    """The watermark of the task: windows close by it."""

    @property
    def watermark_ms(self) -> int:
        """The watermark after the current round."""

    @property
    def floor_ms(self) -> int:
        """The watermark before the current round: windows that were closed then take no more records."""

    def place_reaching(self, time_ms: int) -> int:
        """Return the origin of the record with which the watermark reached a time within the round."""


class LateSink(Protocol):
    """The destination of records whose windows are closed."""

    def late(self, batch: Batch) -> None:
        """Count the records, and write them to the topic for late records if there is one."""


class AggregateOperator:
    """Folds each record into the accumulators of its key."""

    def __init__(
        self,
        guard: Guard,
        store: WriteBack[Any, Any],
        spec: StoreSpec,
        *,
        emits: bool,
        history: StoreHistory | None = None,
    ) -> None:
        """Create the operator; ``history`` gets the changes of rounds in which a join reads the table."""
        self._guard = guard
        self._history = history
        self._store = store
        self._aggregators = [aggregator for _, aggregator in spec.aggregators]
        self._counts_only = all(
            aggregator.kind == "count" and aggregator.counts_none for aggregator in self._aggregators
        )
        assert spec.result is not None
        self._result = spec.result
        self._emits = emits

    def process(self, batch: Batch) -> Batch | None:
        """Fold the batch; return each record's new result if a step reads the updates."""
        return self.fold(self._guard.with_values(self._guard.with_keys(batch)))

    def fold(self, batch: Batch) -> Batch | None:
        """Fold records whose keys are keys of the store and whose values are not ``None``."""
        if not len(batch):
            return None
        is_read_each = self._emits or (self._history is not None and self._history.is_wanted)
        if self._counts_only and not is_read_each:
            self._fold_counts(batch)
            return None
        batch, keys, states = loaded(self._guard, self._store, batch.keys, batch)
        batch, keys, columns = self._columns(batch, keys)
        if not is_read_each and self._fold_grouped(keys, columns, states):
            self._store.mark_dirty(keys)
            return None
        return self._fold_one_by_one(batch, keys, columns, states)

    def _fold_counts(self, batch: Batch) -> None:
        try:
            counts = dict(Counter(self._store.identify(batch.keys)))
            states = self._store.load(counts)
        except UNFIT:
            batch, keys = fitting(self._guard, self._store, batch.keys, batch)
            counts = dict(Counter(self._store.identify(keys)))
            states = self._store.load(counts)
        width = len(self._aggregators)
        before = map(states.get, counts)
        after = [
            (added if state is None else state[0] + added,) * width
            for state, added in zip(before, counts.values(), strict=True)
        ]
        states.update(zip(counts, after, strict=True))
        self._store.mark_dirty(counts)

    def _columns(self, batch: Batch, keys: Sequence[Any]) -> tuple[Batch, Sequence[Any], list[list[Any]]]:
        """Return for each aggregator the values to fold: the results of the user's ``of``."""
        columns: list[list[Any]] = []
        for aggregator in self._aggregators:
            if aggregator.of is None:
                columns.append(batch.values)
                continue
            column, kept = self._guard.map(aggregator.of, batch.values, batch)
            if kept is not None:
                batch = batch.take(kept)
                keys = [keys[index] for index in kept]
                columns = [[earlier[index] for index in kept] for earlier in columns]
            columns.append(column)
        return batch, keys, columns

    def _fold_grouped(
        self, keys: Sequence[Any], columns: list[list[Any]], states: dict[Any, tuple[Any, ...]]
    ) -> bool:
        """Fold key by key; return ``False``, with nothing changed, if a function failed."""
        groups: dict[Any, list[int]] = {}
        for index, key in enumerate(keys):
            group = groups.get(key)
            if group is None:
                groups[key] = [index]
            else:
                group.append(index)
        work = list(zip(self._aggregators, columns, strict=True))

        def folded(key: Any) -> tuple[Any, ...]:
            state = states.get(key)
            indexes = groups[key]
            accumulators = []
            for number, (aggregator, column) in enumerate(work):
                accumulator = aggregator.initial() if state is None else state[number]
                values = [column[index] for index in indexes]
                if not aggregator.counts_none and None in values:
                    values = [value for value in values if value is not None]
                accumulators.append(aggregator.add_many(accumulator, values) if values else accumulator)
            return tuple(accumulators)

        new_states = self._guard.attempt(folded, groups)
        if new_states is None:
            return False
        states.update(zip(groups, new_states, strict=True))
        return True

    def _fold_one_by_one(
        self,
        batch: Batch,
        keys: Sequence[Any],
        columns: list[list[Any]],
        states: dict[Any, tuple[Any, ...]],
    ) -> Batch | None:
        aggregators = self._aggregators
        history = self._history if self._history is not None and self._history.is_wanted else None

        def step(index: int) -> Any:
            key = keys[index]
            state = states.get(key)
            new_state = tuple(
                added(
                    aggregator,
                    aggregator.initial() if state is None else state[number],
                    columns[number][index],
                )
                for number, aggregator in enumerate(aggregators)
            )
            result = self._result(new_state) if self._emits else None
            states[key] = new_state
            if history is not None:
                history.add(key, batch.origins[index], state, new_state)
            return result

        results, kept = self._guard.map(step, range(len(batch)), batch)
        rest = batch if kept is None else batch.take(kept)
        self._store.mark_dirty(keys if kept is None else [keys[index] for index in kept])
        return rest.with_values(results) if self._emits else None


def added(aggregator: Aggregator[Any, Any], accumulator: Any, value: Any) -> Any:
    """Return the accumulator with one value folded in: the reference for every faster way."""
    if value is None and not aggregator.counts_none:
        return accumulator
    return aggregator.add(accumulator, value)


class WindowedAggregateOperator:
    """Folds each record into the accumulators of its key and window; late records are left out."""

    def __init__(
        self, guard: Guard, fold: AggregateOperator, windows: Windows, time: Watermark, late: LateSink
    ) -> None:
        self._guard = guard
        self._fold = fold
        self._windows = windows
        self._time = time
        self._late = late

    def process(self, batch: Batch) -> Batch | None:
        """Fold the batch; return each record's new result, keyed by window, if a step reads the updates."""
        batch = self._guard.with_values(self._guard.with_keys(batch))
        updates = self._fold.fold(self._in_windows(self._guard.with_times(batch)))
        if updates is None:
            return None
        ends_ms = _Ends(self._windows)
        return updates.with_keys(
            [Windowed(key, start_ms, ends_ms[start_ms]) for key, start_ms in updates.keys]
        )

    def _in_windows(self, batch: Batch) -> Batch:
        """Return the records keyed by (key, window start), once for each open window that holds their
        time.
        """
        if not len(batch):
            return batch
        if not self._windows.is_single:
            return self._in_several_windows(batch)
        starts_ms = self._windows.single_starts(batch.timestamps_ms)
        times_ms, floor_ms = batch.source_times_ms(), self._time.floor_ms
        if self._windows.is_closed(min(starts_ms), max(floor_ms, max(times_ms))):
            # ``Windows.is_closed``, without a call for each record.
            closing_ms = {start_ms: self._windows.closing_time_ms(start_ms) for start_ms in set(starts_ms)}
            flags = [
                closing_ms[start_ms] > time_ms and closing_ms[start_ms] > floor_ms
                for start_ms, time_ms in zip(starts_ms, times_ms, strict=True)
            ]
            if not all(flags):
                self._late.late(batch.where([not flag for flag in flags]))
                batch = batch.where(flags)
                starts_ms = [start_ms for start_ms, flag in zip(starts_ms, flags, strict=True) if flag]
        return batch.with_keys(list(zip(batch.keys, starts_ms, strict=True)))

    def _in_several_windows(self, batch: Batch) -> Batch:
        times_ms, floor_ms = batch.source_times_ms(), self._time.floor_ms
        indexes: list[int] = []
        keys: list[tuple[Any, int]] = []
        late: list[int] = []
        for index, timestamp_ms in enumerate(batch.timestamps_ms):
            time_ms = max(floor_ms, times_ms[index])
            key = batch.keys[index]
            found = False
            for start_ms in self._windows.starts_of(timestamp_ms):
                if not self._windows.is_closed(start_ms, time_ms):
                    indexes.append(index)
                    keys.append((key, start_ms))
                    found = True
            if not found:
                late.append(index)
        if late:
            self._late.late(batch.take(late))
        return batch.take(indexes).with_keys(keys)


class _Ends(dict[int, int]):
    """The ends of windows by their start, each computed once: many keys share a few windows."""

    def __init__(self, windows: Windows) -> None:
        super().__init__()
        self._windows = windows

    def __missing__(self, start_ms: int) -> int:
        end_ms = self[start_ms] = self._windows.end_of(start_ms)
        return end_ms


class FinalOperator:
    """Emits the result of each key and window when the window closes.

    A window closes with the record that moves the watermark past its end and grace. Results are in
    the order of window start, then of key. Their timestamp is the last of the window. A failure to make a
    result is an error of the record that closed the window.
    """

    def __init__(self, guard: Guard, store: WindowStore[Any, Any], spec: StoreSpec, time: Watermark) -> None:
        self._guard = guard
        assert isinstance(spec.windows, Windows)
        assert spec.result is not None
        self._store = store
        self._windows = spec.windows
        self._result = spec.result
        self._time = time
        self._closed_before = spec.windows.closed_before(time.watermark_ms)

    def close(self, source: BatchSource) -> Batch | None:
        """Return the results of the windows that closed while the records of a source were processed."""
        closed_before = self._windows.closed_before(self._time.watermark_ms)
        if closed_before <= self._closed_before:
            return None
        closing = list(self._store.windows_between(self._closed_before, closed_before))
        self._closed_before = closed_before
        if not closing:
            return None
        ends_ms = _Ends(self._windows)
        keys: list[Any] = []
        states: list[Any] = []
        timestamps_ms: list[int] = []
        origins: list[int] = []
        for (key, start_ms), state in closing:
            end_ms = ends_ms[start_ms]
            keys.append(Windowed(key, start_ms, end_ms))
            states.append(state)
            timestamps_ms.append(end_ms - 1)
            origins.append(self._time.place_reaching(end_ms + self._windows.grace_ms))
        closed = Batch(keys, states, timestamps_ms, origins, None, source, held_times_ms=list(timestamps_ms))
        results, kept = self._guard.map(self._result, states, closed)
        return (closed if kept is None else closed.take(kept)).with_values(results)
