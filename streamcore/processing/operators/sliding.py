"""Folds records into sliding windows.

A record is in the windows that start from ``first_start`` to its own time. It changes what the windows of its
key hold at two starts: at the first of these, and 1 ms after its own time. Where no window is known at such a
start, one begins with the records of the known window before it (``state.sliding_windows``). The cost of a
record is that of the windows that hold it.

Most records come in the order of their times. They are added to whole runs of windows (``_spans_in_order``);
others are placed one by one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final, TypeAlias

from streamcore.model import Windowed
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.groups import grouped
from streamcore.processing.operators.record_windows import Change, RecordWindowsOperator
from streamcore.processing.operators.windowed_aggregate import late_times_ms
from streamcore.processing.topology.windows import SlidingWindows
from streamcore.state.sliding_windows import KeptWindow, SlidingStore, SlidingWindow

_START = attrgetter("start_ms")
_NO_RECORD: Final = -1

_Span: TypeAlias = tuple[SlidingWindow | None, int, Any, int, int]
"""A window, ``None`` for a new one; its start; its state, ``None`` without records; and which of the records
of its key are to be added: from an index to another.
"""


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


class SlidingAggregateOperator(RecordWindowsOperator[SlidingStore[Any], SlidingWindows]):
    """Folds each record into the windows of its key that hold it; late records are left out.

    The changes that it emits are the new results of the windows that a record changes, by start.
    """

    def _fold(self, batch: Batch, identities: Sequence[Any]) -> Batch | None:
        batch, identities, firsts_ms = self._in_time(batch, identities)
        if not self._emits and self._fold_grouped(batch, identities, firsts_ms):
            return None
        return self._fold_one_by_one(batch, identities, firsts_ms)

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

    # -- key by key

    def _fold_grouped(self, batch: Batch, identities: Sequence[Any], firsts_ms: Sequence[int]) -> bool:
        """Fold key by key; return ``False``, with nothing changed, if a function failed."""
        columns = self._columns(batch)
        if columns is None:
            return False
        groups = grouped(identities)
        timestamps_ms = batch.timestamps_ms

        def folded(identity: Any) -> list[KeptWindow]:
            indexes = groups[identity]
            times_ms = [timestamps_ms[index] for index in indexes]
            first_starts_ms = [firsts_ms[index] for index in indexes]
            spans = self._spans_in_order(identity, times_ms, first_starts_ms)
            if spans is not None:
                return self._folded_spans(spans, columns, indexes, times_ms)
            drafts = self._drafts(identity, min(first_starts_ms), max(times_ms) + 1)
            for index, timestamp_ms, first_ms in zip(indexes, times_ms, first_starts_ms, strict=True):
                self._place(drafts, index, timestamp_ms, first_ms)
            for draft in drafts:
                if draft.indexes:
                    draft.state = self._folded(draft.state, columns, draft.indexes)
            return _changed(drafts)

        folds = self._guard.attempt(folded, groups)
        if folds is None:
            return False
        for identity, windows in zip(groups, folds, strict=True):
            self._store.keep(identity, windows)
        return True

    def _folded_spans(
        self,
        spans: list[_Span],
        columns: Sequence[Sequence[Any]],
        indexes: list[int],
        times_ms: Sequence[int],
    ) -> list[KeptWindow]:
        """Return windows with their records, which are at these indexes and times."""
        if self._counts_only:
            width = len(self._aggregators)
            return [
                (
                    window,
                    start_ms,
                    (high - low + (0 if state is None else state[0]),) * width,
                    times_ms[high - 1],
                )
                for window, start_ms, state, low, high in spans
            ]
        return [
            (window, start_ms, self._folded(state, columns, indexes[low:high]), times_ms[high - 1])
            for window, start_ms, state, low, high in spans
        ]

    def _spans_in_order(
        self, identity: Any, times_ms: Sequence[int], firsts_ms: Sequence[int]
    ) -> list[_Span] | None:
        """Return the windows that records of a key change, if the records come in the order of their times
        and behind all others of the key; the same as ``_place`` for each of them gives. ``None`` for other
        records.

        Then each record is in all windows from its first start on, it begins a window at its first start, and
        one behind the record before it.
        """
        found = self._open.get(identity, [])
        begin = bisect_left(found, firsts_ms[0], key=_START)
        known = found[begin:]
        former = found[begin - 1] if begin else None
        if not _is_in_order(times_ms, firsts_ms, former, known):
            return None
        starts_ms = [window.start_ms for window in known]
        spans: list[tuple[SlidingWindow | None, Any, int]] = [(window, window.value, 0) for window in known]
        last_ms = found[-1].latest_ms if found else _NO_RECORD
        for place, (time_ms, first_ms) in enumerate(zip(times_ms, firsts_ms, strict=True)):
            at = bisect_left(starts_ms, first_ms)
            if at == len(starts_ms) or starts_ms[at] != first_ms:
                state, low = None, place
                if at and last_ms >= first_ms:
                    # The window before holds all records that came before in this batch.
                    _, state, low = spans[at - 1]
                elif not at and former is not None and former.latest_ms >= first_ms:
                    state = former.value
                starts_ms.insert(at, first_ms)
                spans.insert(at, (None, state, low))
            if first_ms < last_ms + 1 <= time_ms:
                starts_ms.append(last_ms + 1)
                spans.append((None, None, place))
            last_ms = time_ms
        return [
            (window, start_ms, state, low, bisect_right(firsts_ms, start_ms))
            for start_ms, (window, state, low) in zip(starts_ms, spans, strict=True)
        ]

    # -- record by record

    def _fold_one_by_one(
        self, batch: Batch, identities: Sequence[Any], firsts_ms: Sequence[int]
    ) -> Batch | None:
        timestamps_ms = batch.timestamps_ms

        def step(index: int) -> list[Change]:
            key, identity, value = batch.keys[index], identities[index], batch.values[index]
            timestamp_ms, first_ms = timestamps_ms[index], firsts_ms[index]
            values = self._values(value)
            drafts = self._drafts(identity, first_ms, timestamp_ms + 1)
            changed = self._place(drafts, index, timestamp_ms, first_ms)
            changes: list[Change] = []
            for draft in changed:
                if draft.indexes:
                    draft.state = self._added(draft.state, values)
                if self._emits:
                    windowed = Windowed(key, draft.start_ms, self._windows.end_of(draft.start_ms))
                    changes.append((windowed, self._result(draft.state)))
            self._store.keep(identity, _changed(changed))
            return changes

        return self._fold_each(batch, step)


def _changed(drafts: list[_Draft]) -> list[KeptWindow]:
    """Return the drafts that changed, for the store."""
    return [
        (draft.window, draft.start_ms, draft.state, draft.latest_ms) for draft in drafts if draft.is_changed
    ]


def _is_in_order(
    times_ms: Sequence[int],
    firsts_ms: Sequence[int],
    former: SlidingWindow | None,
    known: Sequence[SlidingWindow],
) -> bool:
    """Whether records of a key come in the order of their times, behind all that its windows hold, and there
    is no gap between the windows that hold them.

    Args:
        former: the window before the first start of the first record.
        known: the windows that start there or later.
    """
    time_ms, first_ms = times_ms[0], firsts_ms[0]
    if len(times_ms) > 1 and not (_ascends(times_ms) and _ascends(firsts_ms)):
        return False
    # The start up to which windows are known, each being in force until the next one.
    reached_ms: int | None = None
    if former is not None:
        if former.latest_ms > time_ms:
            return False
        if former.latest_ms >= first_ms:
            reached_ms = former.latest_ms + 1
    for window in known:
        if window.latest_ms > time_ms or (reached_ms is not None and window.start_ms > reached_ms):
            return False
        reached_ms = window.latest_ms + 1
    return True


def _ascends(numbers: Sequence[int]) -> bool:
    return all(first <= second for first, second in pairwise(numbers))
