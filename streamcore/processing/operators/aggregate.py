"""Folds records into a store, by key or by key and window.

Stored value := tuple of accumulators, one for each aggregator of the store. Accumulators are replaced,
never changed in place, so a failing record leaves no trace and earlier results do not change.

Three ways lead to the same state. Where no step reads the updates, the records of a batch are grouped by key
and each key's accumulators are written once. Where a step reads them, the records are grouped as well, and
each aggregation runs over the values of a key: ``itertools.accumulate`` keeps the accumulator after each.
Where a function of the user fails, records are folded one by one, so that the record is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, chain, islice, pairwise, repeat
from typing import Any, Protocol

from streamcore.processing.operators.batch import Batch, holds_none
from streamcore.processing.operators.groups import GroupedColumns, grouped
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.kept_sets import KeptSets
from streamcore.processing.operators.store_keys import UNFIT, fitting, loaded
from streamcore.processing.operators.tables import StoreHistory
from streamcore.processing.topology.aggregator import Aggregator
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.state.write_back import WriteBack


class Periodic(Protocol):
    """Emits the results of a table once in an interval."""

    def fold(self, batch: Batch, fold: Callable[[Batch], Batch | None]) -> Batch | None:
        """Fold a batch in the parts that the ends of intervals cut it into."""

    def changed(self, identities: Sequence[Any], batch: Batch) -> None:
        """Hold the changes of keys, which records have made, until the interval ends."""


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
        follows_rows: bool = False,
        sets: KeptSets | None = None,
        periodic: Periodic | None = None,
    ) -> None:
        """Create the operator.

        Args:
            emits: a step reads the change that each record makes.
            history: gets the changes of rounds in which a join reads the table.
            follows_rows: emit only the last change that a record makes.
            sets: the sets that leave the accumulators in parts.
            periodic: emits the results of the table once in an interval.
        """
        self._follows_rows = follows_rows
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
        self._sets = sets
        self._periodic = periodic

    def process(self, batch: Batch) -> Batch | None:
        """Fold the batch; return each record's new result if a step reads the updates."""
        batch = self._guard.with_values(self._guard.with_keys(batch))
        changes = self.fold(batch) if self._periodic is None else self._periodic.fold(batch, self.fold)
        if changes is None or not self._follows_rows:
            return changes
        origins = changes.origins
        last = [origin != following for origin, following in pairwise(origins)] + [True] * bool(origins)
        return changes if all(last) else changes.where(last)

    def fold(self, batch: Batch) -> Batch | None:
        """Fold records whose keys are keys of the store and whose values are not ``None``."""
        if not len(batch):
            return None
        is_read_each = self._is_read_each
        if self._counts_only and not is_read_each:
            self._fold_counts(batch)
            return None
        batch, keys, states = loaded(self._guard, self._store, batch.keys, batch)
        batch, keys, columns = self._columns(batch, keys)
        groups = grouped(keys)
        if self._sets is None:
            return self._fold_columns(batch, keys, groups, columns, states)
        self._sets.make_whole(groups, states)
        updates = self._fold_columns(batch, keys, groups, columns, states)
        self._sets.close_parts(groups, states)
        return updates

    def _fold_columns(
        self,
        batch: Batch,
        keys: Sequence[Any],
        groups: dict[Any, list[int]],
        columns: list[list[Any]],
        states: dict[Any, tuple[Any, ...]],
    ) -> Batch | None:
        if not self._is_read_each:
            if self._fold_groups(groups, columns, states):
                self._store.mark_dirty(groups)
                self._note(keys, batch)
                return None
        elif (running := self._running(len(batch), groups, columns, states)) is not None:
            self._note(keys, batch)
            return self._take_running(batch, keys, groups, running, states)
        return self._fold_one_by_one(batch, keys, columns, states)

    def _note(self, keys: Sequence[Any], batch: Batch) -> None:
        """Note that records changed their keys, where the results are emitted later."""
        if self._periodic is not None:
            self._periodic.changed(keys, batch)

    @property
    def counts_only(self) -> bool:
        """Whether the order of records does not matter, because they are only counted."""
        return self._counts_only

    @property
    def _is_read_each(self) -> bool:
        """Whether a step reads the change that each record makes."""
        return self._emits or (self._history is not None and self._history.is_wanted)

    def fold_in_panes(
        self, batch: Batch, panes_ms: Sequence[int], starts_of: Mapping[int, Sequence[int]]
    ) -> bool:
        """Fold records into the windows of their pane, which all hold them; grouped by key and pane first.

        Args:
            panes_ms: the pane of each record.
            starts_of: pane -> the starts of its windows.

        Returns:
            ``False``, with nothing changed, if the records have to be folded one by one.
        """
        if self._is_read_each:
            return False
        try:
            places = self._store.identify(list(zip(batch.keys, panes_ms, strict=True)))
            if self._counts_only:
                counts = _counts_of_windows(places, starts_of)
                self._add_counts(counts)
                return True
            groups: dict[Any, list[int]] = {}
            for (key, pane_ms), indexes in grouped(places).items():
                for start_ms in starts_of[pane_ms]:
                    known = groups.get((key, start_ms))
                    groups[key, start_ms] = indexes if known is None else sorted(known + indexes)
            states = self._store.load(groups)
        except UNFIT:
            return False
        columns: list[list[Any]] = []
        for aggregator in self._aggregators:
            column = (
                batch.values if aggregator.of is None else self._guard.attempt(aggregator.of, batch.values)
            )
            if column is None:
                return False
            columns.append(column)
        if not self._fold_groups(groups, columns, states):
            return False
        self._store.mark_dirty(groups)
        return True

    def _fold_counts(self, batch: Batch) -> None:
        try:
            identities = self._store.identify(batch.keys)
            self._add_counts(dict(Counter(identities)))
        except UNFIT:
            batch, keys = fitting(self._guard, self._store, batch.keys, batch)
            identities = self._store.identify(keys)
            self._add_counts(dict(Counter(identities)))
        self._note(identities, batch)

    def _add_counts(self, counts: dict[Any, int]) -> None:
        """Add counts by identity. Raises ``UNFIT``, with nothing changed, if a key does not fit the store."""
        width = len(self._aggregators)
        states, before = self._store.load_column(counts)
        after: list[tuple[Any, ...]]
        added = counts.values()
        if width == 1:
            after = [
                (count,) if state is None else (state[0] + count,)
                for state, count in zip(before, added, strict=True)
            ]
        else:
            after = [
                (count if state is None else state[0] + count,) * width
                for state, count in zip(before, added, strict=True)
            ]
        states.update(zip(counts, after, strict=True))
        self._store.mark_dirty(counts)

    def _columns(self, batch: Batch, keys: Sequence[Any]) -> tuple[Batch, Sequence[Any], list[list[Any]]]:
        """Return for each aggregator the values to fold: the results of the user's ``of``.

        A function of several aggregators is called once for each record.
        """
        columns: dict[int, list[Any]] = {id(None): batch.values}
        for function in [aggregator.of for aggregator in self._aggregators]:
            if function is None or id(function) in columns:
                continue
            column, kept = self._guard.map(function, batch.values, batch)
            if kept is not None:
                batch = batch.take(kept)
                keys = [keys[index] for index in kept]
                columns = {known: [earlier[index] for index in kept] for known, earlier in columns.items()}
            columns[id(function)] = column
        return batch, keys, [columns[id(aggregator.of)] for aggregator in self._aggregators]

    def _fold_groups(
        self, groups: dict[Any, list[int]], columns: list[list[Any]], states: dict[Any, tuple[Any, ...]]
    ) -> bool:
        """Fold key by key; return ``False``, with nothing changed, if a function failed."""
        grouped_columns = GroupedColumns(groups)
        (before,) = self._guard.attempt(self._accumulators, [list(map(states.get, groups))]) or (None,)
        if before is None:
            return False

        def folded(number: int) -> Sequence[Any]:
            aggregator, accumulators = self._aggregators[number], before[number]
            numbers, values = grouped_columns.values(columns[number], skips_none=not aggregator.counts_none)
            if numbers is None:
                return aggregator.added_groups(accumulators, values)
            after = list(accumulators)
            changed = aggregator.added_groups([after[number] for number in numbers], values)
            for number, accumulator in zip(numbers, changed, strict=True):
                after[number] = accumulator
            return after

        after = self._guard.attempt(folded, range(len(before)))
        if after is None:
            return False
        states.update(zip(groups, zip(*after, strict=True), strict=True))
        return True

    def _accumulators(self, states: Sequence[tuple[Any, ...] | None]) -> list[Sequence[Any]]:
        """Return the columns of states, with new accumulators for ``None``."""
        makers = [aggregator.initial for aggregator in self._aggregators]
        return list(
            zip(
                *[tuple([make() for make in makers]) if state is None else state for state in states],
                strict=True,
            )
        )

    def _running(
        self,
        count: int,
        groups: Mapping[Any, list[int]],
        columns: list[list[Any]],
        states: Mapping[Any, tuple[Any, ...]],
    ) -> tuple[list[tuple[Any, ...]], list[Any]] | None:
        """Return the accumulators of its key after each record, and their results if a step reads them;
        ``None``, with nothing changed, if a function failed.
        """
        adds = []
        for aggregator, column in zip(self._aggregators, columns, strict=True):
            skips = not aggregator.counts_none and holds_none(column)
            adds.append(_skipping_none(aggregator.add) if skips else aggregator.add)
        single = [key for key, indexes in groups.items() if len(indexes) == 1]
        places = [groups[key][0] for key in single]
        (before,) = self._guard.attempt(self._accumulators, [list(map(states.get, single))]) or (None,)
        if before is None:
            return None

        def of_single(number: int) -> list[Any]:
            add, column = adds[number], columns[number]
            return [add(found, column[place]) for found, place in zip(before[number], places, strict=True)]

        def of_key(key: Any) -> list[tuple[Any, ...]]:
            (start,) = zip(*self._accumulators([states.get(key)]), strict=True)
            indexes = groups[key]
            series = [
                # Not ``initial=found``: one that is None would count as no start.
                islice(accumulate(chain((found,), map(column.__getitem__, indexes)), add), 1, None)
                for found, column, add in zip(start, columns, adds, strict=True)
            ]
            found = list(zip(*series, strict=True))
            if len(found) != len(indexes):
                raise RuntimeError("application code raised StopIteration")
            return found

        several = [key for key, indexes in groups.items() if len(indexes) > 1]
        of_singles = self._guard.attempt(of_single, range(len(before)))
        of_keys = None if of_singles is None else self._guard.attempt(of_key, several)
        if of_singles is None or of_keys is None:
            return None
        after: list[Any] = [None] * count
        for place, state in zip(places, zip(*of_singles, strict=True), strict=True):
            after[place] = state
        for key, found in zip(several, of_keys, strict=True):
            for place, state in zip(groups[key], found, strict=True):
                after[place] = state
        results = self._guard.attempt(self._result, after) if self._emits else []
        return None if results is None else (after, results)

    def _take_running(
        self,
        batch: Batch,
        keys: Sequence[Any],
        groups: Mapping[Any, list[int]],
        running: tuple[list[tuple[Any, ...]], list[Any]],
        states: dict[Any, tuple[Any, ...]],
    ) -> Batch | None:
        """Keep the last accumulators of each key; return each record's new result if a step reads it."""
        after, results = running
        if self._history is not None and self._history.is_wanted:
            before = {key: states.get(key) for key in groups}
            for key, origin, state in zip(keys, batch.origins, after, strict=True):
                self._history.add(key, origin, before[key], state)
                before[key] = state
        states.update(zip(groups, [after[indexes[-1]] for indexes in groups.values()], strict=True))
        self._store.mark_dirty(groups)
        return batch.with_values(results) if self._emits else None

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
        changed = keys if kept is None else [keys[index] for index in kept]
        self._store.mark_dirty(changed)
        self._note(changed, rest)
        return rest.with_values(results) if self._emits else None


def _counts_of_windows(
    places: Sequence[tuple[Any, int]], starts_of: Mapping[int, Sequence[int]]
) -> dict[tuple[Any, int], int]:
    """Return how often each key and window is among records, of which the key and the pane are given."""
    keys_of: dict[int, list[Any]] = {pane_ms: [] for pane_ms in starts_of}
    for key, pane_ms in places:
        keys_of[pane_ms].append(key)
    panes_of: dict[int, list[int]] = {}
    for pane_ms, starts_ms in starts_of.items():
        for start_ms in starts_ms:
            panes_of.setdefault(start_ms, []).append(pane_ms)
    counts: dict[tuple[Any, int], int] = {}
    for start_ms, panes_ms in panes_of.items():
        # Counting the keys of a pane once for each of its windows is faster than adding up its counts.
        found = Counter(chain.from_iterable(keys_of[pane_ms] for pane_ms in panes_ms))
        counts.update(zip(zip(found, repeat(start_ms)), found.values(), strict=False))
    return counts


def _skipping_none(add: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda accumulator, value: accumulator if value is None else add(accumulator, value)


def added(aggregator: Aggregator[Any, Any], accumulator: Any, value: Any) -> Any:
    """Return the accumulator with one value folded in: the reference for every faster way."""
    if value is None and not aggregator.counts_none:
        return accumulator
    return aggregator.add(accumulator, value)
