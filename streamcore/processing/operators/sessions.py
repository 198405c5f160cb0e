"""Folds records into sessions, and emits the final results of sessions.

A record joins the sessions of its key that it is at most the gap away from; if it joins several, they are
united. A session that is closed for the record's source partition takes no more records, whatever the
watermark of the task is. A record is late if the session that it would be in is closed.

As in ``aggregate``, two ways lead to the same state: key by key where no step reads the updates, record by
record otherwise, or where a function of the user fails.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from streamcore.model import Windowed
from streamcore.processing.operators.batch import Batch, BatchSource
from streamcore.processing.operators.groups import grouped
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.record_windows import Change, RecordWindowsOperator
from streamcore.processing.operators.windowed_aggregate import Watermark, late_times_ms
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.processing.topology.windows import RecordWindows, SessionWindows
from streamcore.state.sessions import Session, SessionStore

_NO_END_MS = -1
"""The end of no session: each record has a later time."""


class _Draft:
    """A session as it will be: the stored sessions that it is made of, and the records to fold into it."""

    __slots__ = ("end_ms", "indexes", "sessions", "start_ms", "state")

    def __init__(self, start_ms: int, end_ms: int, state: Any, sessions: list[Session]) -> None:
        self.start_ms = start_ms
        self.end_ms = end_ms
        self.state = state
        self.sessions = sessions
        self.indexes: list[int] = []


class SessionAggregateOperator(RecordWindowsOperator[SessionStore[Any], SessionWindows]):
    """Folds each record into the session of its key; late records are left out.

    The changes that it emits are ``None`` for a session whose bounds changed, then the new result.
    """

    def _fold(self, batch: Batch, identities: Sequence[Any]) -> Batch | None:
        times_ms = late_times_ms(batch, self._time)
        if not self._emits and self._fold_grouped(batch, identities, times_ms):
            return None
        return self._fold_one_by_one(batch, identities, times_ms)

    # -- key by key

    def _fold_grouped(self, batch: Batch, identities: Sequence[Any], times_ms: Sequence[int]) -> bool:
        """Fold key by key; return ``False``, with nothing changed, if a function failed."""
        columns = self._columns(batch)
        if columns is None:
            return False
        groups = grouped(identities)
        timestamps_ms = batch.timestamps_ms
        late: list[int] = []
        if self._counts_only:
            groups = self._counted(groups, timestamps_ms, times_ms)

        def folded(identity: Any) -> list[_Draft]:
            drafts = self._plain_drafts(identity, groups[identity], timestamps_ms, times_ms)
            if drafts is None:
                drafts = [
                    _Draft(found.start_ms, found.end_ms, found.value, [found])
                    for found in self._open.get(identity, ())
                ]
                for index in groups[identity]:
                    self._place(drafts, index, timestamps_ms[index], times_ms[index], columns, late)
            for draft in drafts:
                self._fold_waiting(draft, columns)
            return drafts

        folds = self._guard.attempt(folded, groups)
        if folds is None:
            return False
        for identity, drafts in zip(groups, folds, strict=True):
            for draft in drafts:
                self._keep(identity, draft)
        if late:
            self._late.late(batch.take(sorted(late)))
        return True

    def _counted(
        self, groups: dict[Any, list[int]], timestamps_ms: Sequence[int], times_ms: Sequence[int]
    ) -> dict[Any, list[int]]:
        """Count the records of keys that ``_plain_drafts`` would take; return the groups of other keys.

        No function of the user is called, so each key can be kept at once.
        """
        gap_ms, grace_ms = self._windows.gap_ms, self._windows.grace_ms
        width, store, open_sessions = len(self._aggregators), self._store, self._open
        others: dict[Any, list[int]] = {}
        for identity, indexes in groups.items():
            found = open_sessions.get(identity)
            session: Session | None = None
            start_ms, end_ms, count = 0, _NO_END_MS, 0
            if found is not None:
                if len(found) > 1:
                    others[identity] = indexes
                    continue
                session = found[0]
                start_ms, end_ms, count = session.start_ms, session.end_ms, session.value[0]
            before: list[tuple[Session | None, int, int, int]] = []
            for index in indexes:
                timestamp_ms, horizon_ms = timestamps_ms[index], times_ms[index] - grace_ms
                if timestamp_ms > end_ms:
                    if timestamp_ms + gap_ms <= horizon_ms:
                        break
                    if count:
                        before.append((session, start_ms, end_ms, count))
                    session, start_ms, end_ms, count = None, timestamp_ms, timestamp_ms + gap_ms, 1
                    continue
                if timestamp_ms < start_ms:
                    if before or timestamp_ms < start_ms - gap_ms:
                        break
                    start_ms = timestamp_ms
                if timestamp_ms + gap_ms > end_ms:
                    if end_ms < horizon_ms:
                        break
                    end_ms = timestamp_ms + gap_ms
                elif end_ms <= horizon_ms:
                    break
                count += 1
            else:
                before.append((session, start_ms, end_ms, count))
                for session, start_ms, end_ms, count in before:
                    if session is None:
                        store.begin(identity, start_ms, end_ms, (count,) * width)
                    elif count != session.value[0]:
                        store.change(session, start_ms, end_ms, (count,) * width)
                continue
            others[identity] = indexes
        return others

    def _plain_drafts(
        self,
        identity: Any,
        indexes: list[int],
        timestamps_ms: Sequence[int],
        times_ms: Sequence[int],
    ) -> list[_Draft] | None:
        """Return the sessions of a key with these records, if each of them is of the newest session or begins
        one behind it; the same as ``_place`` for each of them gives. ``None`` for other records.
        """
        found = self._open.get(identity, ())
        gap_ms, grace_ms = self._windows.gap_ms, self._windows.grace_ms
        if len(found) > 1:
            return None
        drafts = [_Draft(each.start_ms, each.end_ms, each.value, [each]) for each in found]
        start_ms, end_ms = (drafts[0].start_ms, drafts[0].end_ms) if drafts else (0, _NO_END_MS)
        first = 0
        for place, index in enumerate(indexes):
            timestamp_ms, horizon_ms = timestamps_ms[index], times_ms[index] - grace_ms
            if timestamp_ms > end_ms:
                if timestamp_ms + gap_ms <= horizon_ms:
                    return None
                if drafts:
                    draft = drafts[-1]
                    draft.start_ms, draft.end_ms, draft.indexes = start_ms, end_ms, indexes[first:place]
                first, start_ms, end_ms = place, timestamp_ms, timestamp_ms + gap_ms
                drafts.append(_Draft(start_ms, end_ms, None, []))
                continue
            if timestamp_ms < start_ms:
                # It may unite the newest session with the one before.
                if len(drafts) > 1 or timestamp_ms < start_ms - gap_ms:
                    return None
                start_ms = timestamp_ms
            if timestamp_ms + gap_ms > end_ms:
                if end_ms < horizon_ms:
                    return None
                end_ms = timestamp_ms + gap_ms
            elif end_ms <= horizon_ms:
                return None
        draft = drafts[-1]
        draft.start_ms, draft.end_ms, draft.indexes = start_ms, end_ms, indexes[first:]
        return drafts

    def _place(
        self,
        drafts: list[_Draft],
        index: int,
        timestamp_ms: int,
        time_ms: int,
        columns: Sequence[Sequence[Any]],
        late: list[int],
    ) -> None:
        """Add a record to the draft of its session, which may unite drafts or be a new one."""
        windows = self._windows
        horizon_ms = time_ms - windows.grace_ms
        gap_ms = windows.gap_ms
        end_ms = timestamp_ms + gap_ms
        # ``SessionWindows.joins`` and ``is_late``, without a call for each record.
        joined = [
            draft
            for draft in drafts
            if draft.start_ms - gap_ms <= timestamp_ms <= draft.end_ms and draft.end_ms >= horizon_ms
        ]
        if not joined:
            if end_ms <= horizon_ms:
                late.append(index)
                return
            draft = _Draft(timestamp_ms, end_ms, None, [])
            insort(drafts, draft, key=_START)
        elif len(joined) == 1:
            draft = joined[0]
            if end_ms > draft.end_ms:
                draft.end_ms = end_ms
            elif draft.end_ms <= horizon_ms:
                late.append(index)
                return
            if timestamp_ms < draft.start_ms:
                draft.start_ms = timestamp_ms
                drafts.sort(key=_START)
        else:
            last_ms = max(end_ms, *(each.end_ms for each in joined))
            if last_ms <= horizon_ms:
                late.append(index)
                return
            draft = joined[0]
            for other in joined:
                self._fold_waiting(other, columns)
            for other in joined[1:]:
                draft.state = self._united(draft.state, other.state)
                draft.sessions += other.sessions
                drafts.remove(other)
            draft.start_ms = min(timestamp_ms, draft.start_ms)
            draft.end_ms = last_ms
            drafts.sort(key=_START)
        draft.indexes.append(index)

    def _fold_waiting(self, draft: _Draft, columns: Sequence[Sequence[Any]]) -> None:
        """Fold the records of a draft that are not in its state yet."""
        if draft.indexes:
            draft.state = self._folded(draft.state, columns, draft.indexes)
            draft.indexes = []

    def _keep(self, identity: Any, draft: _Draft) -> None:
        """Write a draft to the store, if it differs from the one session that it was made of."""
        sessions = draft.sessions
        if not sessions:
            self._store.begin(identity, draft.start_ms, draft.end_ms, draft.state)
            return
        first = sessions[0]
        for absorbed in sessions[1:]:
            self._store.absorb(absorbed)
        if len(sessions) > 1 or draft.state is not first.value:
            self._store.change(first, draft.start_ms, draft.end_ms, draft.state)

    # -- record by record

    def _fold_one_by_one(
        self, batch: Batch, identities: Sequence[Any], times_ms: Sequence[int]
    ) -> Batch | None:
        late: list[int] = []
        timestamps_ms = batch.timestamps_ms

        def step(index: int) -> list[Change]:
            key, identity, value = batch.keys[index], identities[index], batch.values[index]
            timestamp_ms, time_ms = timestamps_ms[index], times_ms[index]
            windows = self._windows
            joined = [
                found
                for found in self._open.get(identity, ())
                if windows.joins(found.start_ms, found.end_ms, timestamp_ms, time_ms)
            ]
            end_ms = max([timestamp_ms + windows.gap_ms, *(found.end_ms for found in joined)])
            if windows.is_late(end_ms, time_ms):
                late.append(index)
                return []
            values = self._values(value)
            state: Any = None
            for found in joined:
                state = found.value if state is None else self._united(state, found.value)
            state = self._added(state, values)
            result = self._result(state) if self._emits else None
            draft = _Draft(min([timestamp_ms, *(each.start_ms for each in joined)]), end_ms, state, joined)
            changes: list[Change] = [
                (Windowed(key, found.start_ms, found.end_ms), None)
                for found in joined
                if (found.start_ms, found.end_ms) != (draft.start_ms, draft.end_ms)
            ]
            self._keep(identity, draft)
            return [*changes, (Windowed(key, draft.start_ms, draft.end_ms), result)]

        updates = self._fold_each(batch, step)
        if late:
            self._late.late(batch.take(late))
        return updates

    def _united(self, earlier: tuple[Any, ...], later: tuple[Any, ...]) -> tuple[Any, ...]:
        merges = [aggregator.merge for aggregator in self._aggregators if aggregator.merge is not None]
        return tuple(
            merge(first, second) for merge, first, second in zip(merges, earlier, later, strict=True)
        )


_START = attrgetter("start_ms")


class SessionFinalOperator:
    """Emits the result of each session, or of each sliding window, when it closes.

    It closes with the record that moves the time past its end and grace. Results are in the order of ends,
    then of keys. Their timestamp is the last of the window.
    """

    def __init__(self, guard: Guard, store: SessionStore[Any], spec: StoreSpec, time: Watermark) -> None:
        assert isinstance(spec.windows, RecordWindows)
        assert spec.result is not None
        self._guard = guard
        self._store = store
        self._windows = spec.windows
        self._result = spec.result
        self._time = time
        store.open_sessions(spec.windows.closed_before(time.watermark_ms))

    def close(self, source: BatchSource) -> Batch | None:
        """Return the results of the windows that closed while the records of a source were processed."""
        closed = self._store.close_before(self._windows.closed_before(self._time.watermark_ms))
        if not closed:
            return None
        closed = self._store.in_order(closed)
        origins = [
            self._time.place_reaching(self._windows.closing_time_ms(session.end_ms)) for session in closed
        ]
        keys = [
            Windowed(key, session.start_ms, session.end_ms)
            for key, session in zip(self._store.keys_of(closed), closed, strict=True)
        ]
        states = [session.value for session in closed]
        times_ms = [session.end_ms - 1 for session in closed]
        results = Batch(keys, states, times_ms, origins, None, source, held_times_ms=list(times_ms))
        values, kept = self._guard.map(self._result, states, results)
        return (results if kept is None else results.take(kept)).with_values(values)
