"""Folds records into windows whose bounds depend on times alone, and emits their final results."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import Any, Protocol

from streamcore.model import Windowed
from streamcore.processing.operators.aggregate import AggregateOperator
from streamcore.processing.operators.batch import Batch, BatchSource
from streamcore.processing.operators.guard import Guard
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.windows import TimeWindows, Windows
from streamcore.state.windowed import WindowStore


class Watermark(Protocol):
    """The watermark of the task: windows close by it."""

    @property
    def watermark_ms(self) -> int:
        """The watermark after the current round."""

    @property
    def floor_ms(self) -> int:
        """The watermark before the current round: windows that were closed then take no more records."""

    def watermarks_before(self, origins: Sequence[int]) -> Sequence[int]:
        """Return the watermark before each of these records of the current round."""

    def place_reaching(self, time_ms: int) -> int:
        """Return the origin of the record with which the watermark reached a time within the round."""


def late_times_ms(batch: Batch, time: Watermark) -> Sequence[int]:
    """Return for each record the time by which it is late: that of its source, or the watermark before it.

    The partition times of a round are at least the watermark within the round, so it is enough to compare
    them with the watermark before the round. Records that were held back, or came through a repartition
    topic, can be behind it.
    """
    times_ms = batch.source_times_ms()
    if batch.held_times_ms is not None:
        return list(map(max, times_ms, time.watermarks_before(batch.origins)))
    floor_ms = time.floor_ms
    if not times_ms or min(times_ms) >= floor_ms:
        return times_ms
    return [max(time_ms, floor_ms) for time_ms in times_ms]


class LateSink(Protocol):
    """The destination of records whose windows are closed."""

    def late(self, batch: Batch) -> None:
        """Count the records, and write them to the topic for late records if there is one."""


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
        batch = self._guard.with_times(batch)
        if not self._windows.is_single:
            batch = self._fold_in_panes(batch)
        updates = self._fold.fold(self._in_windows(batch))
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
        times_ms = late_times_ms(batch, self._time)
        if self._windows.is_closed(min(starts_ms), max(times_ms)):
            # ``Windows.is_closed``, without a call for each record.
            closing_ms = {start_ms: self._windows.closing_time_ms(start_ms) for start_ms in set(starts_ms)}
            flags = [
                closing_ms[start_ms] > time_ms for start_ms, time_ms in zip(starts_ms, times_ms, strict=True)
            ]
            if not all(flags):
                self._late.late(batch.where([not flag for flag in flags]))
                batch = batch.where(flags)
                starts_ms = [start_ms for start_ms, flag in zip(starts_ms, flags, strict=True) if flag]
        return batch.with_keys(list(zip(batch.keys, starts_ms, strict=True)))

    def _fold_in_panes(self, batch: Batch) -> Batch:
        """Fold hopping windows by panes of one advance; return the records that are left to fold.

        All records of a pane are in the same windows. Records for which one of them is closed are left, and
        all of them where their order matters or a step reads each change.
        """
        windows = self._windows
        if not len(batch) or not isinstance(windows, TimeWindows) or windows.size_ms % windows.advance_ms:
            return batch
        advance_ms = windows.advance_ms
        panes_ms = [timestamp_ms - timestamp_ms % advance_ms for timestamp_ms in batch.timestamps_ms]
        # The window that ends with the pane closes first.
        open_ms = advance_ms + windows.grace_ms
        times_ms = late_times_ms(batch, self._time)
        flags = [pane_ms + open_ms > time_ms for pane_ms, time_ms in zip(panes_ms, times_ms, strict=True)]
        all_open = all(flags)
        if not all_open and not self._fold.counts_only:
            return batch
        plain = batch if all_open else batch.where(flags)
        panes_ms = panes_ms if all_open else list(compress(panes_ms, flags))
        starts_of = {pane_ms: windows.starts_of(pane_ms) for pane_ms in set(panes_ms)}
        if not self._fold.fold_in_panes(plain, panes_ms, starts_of):
            return batch
        return batch.where([not flag for flag in flags])

    def _in_several_windows(self, batch: Batch) -> Batch:
        windows = self._windows
        assert isinstance(windows, TimeWindows)
        size_ms, advance_ms, grace_ms = windows.size_ms, windows.advance_ms, windows.grace_ms
        indexes: list[int] = []
        keys: list[tuple[Any, int]] = []
        late: list[int] = []
        columns = zip(batch.keys, batch.timestamps_ms, late_times_ms(batch, self._time), strict=True)
        for index, (key, timestamp_ms, time_ms) in enumerate(columns):
            # ``TimeWindows.starts_of``, from the first window that is not closed.
            after_ms = max(timestamp_ms, time_ms - grace_ms) - size_ms
            starts_ms = range(max(0, (after_ms // advance_ms + 1) * advance_ms), timestamp_ms + 1, advance_ms)
            if not starts_ms:
                late.append(index)
                continue
            indexes += [index] * len(starts_ms)
            keys += [(key, start_ms) for start_ms in starts_ms]
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
        if self._result is None:
            return closed
        results, kept = self._guard.map(self._result, states, closed)
        return (closed if kept is None else closed.take(kept)).with_values(results)
