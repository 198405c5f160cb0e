"""Operators on the changes of tables: they map, filter and join rows, and keep the result.

A batch holds changes of rows: the new values, ``None`` for a deletion. What the steps mean is in
``topology/meaning/tables``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import Any

from streamcore.processing.operators.batch import Batch, holds_none
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.stateless import called
from streamcore.processing.operators.store_keys import UNFIT, loaded
from streamcore.processing.operators.tables import StoreHistory, values_before, write_newest
from streamcore.processing.topology.meaning.tables import is_row
from streamcore.processing.topology.nodes import RowJoin, StoreSpec
from streamcore.state.write_back import WriteBack


class RowMapOperator:
    """Replaces each value; deletions stay."""

    def __init__(self, guard: Guard, function: Callable[[Any], Any]) -> None:
        self._guard = guard
        self._function = function

    def process(self, batch: Batch) -> Batch:
        """Return the batch with new values; ``None`` is a deletion."""
        rest, values = called_on_rows(self._guard, self._function, batch)
        return rest.with_values(values)


class RowFilterOperator:
    """Makes a deletion of each change to a value that does not pass."""

    def __init__(self, guard: Guard, function: Callable[[Any], Any], *, negated: bool) -> None:
        self._guard = guard
        self._function = function
        self._negated = negated

    def process(self, batch: Batch) -> Batch:
        """Return the batch with ``None`` for each value that does not pass."""
        function, negated = self._function, self._negated
        rest, flags = called_on_rows(self._guard, lambda value: bool(function(value)), batch)
        return rest.with_values(
            [value if flag is not negated else None for value, flag in zip(rest.values, flags, strict=True)]
        )


def called_on_rows(guard: Guard, function: Callable[[Any], Any], batch: Batch) -> tuple[Batch, list[Any]]:
    """Call a function on each value but ``None``, whose result is ``None``.

    Returns:
        The changes that the function did not fail on, and the results.
    """
    if batch.has_no_nulls or all(value is not None for value in batch.values):
        results, kept = called(guard, function, batch)
        return batch if kept is None else batch.take(kept), results
    places = [index for index, value in enumerate(batch.values) if value is not None]
    rows = batch.take(places)
    results, kept = called(guard, function, rows)
    if kept is not None:
        places = [places[index] for index in kept]
    found = dict(zip(places, results, strict=True))
    left = [index for index, value in enumerate(batch.values) if value is None or index in found]
    rest = batch if len(left) == len(batch) else batch.take(left)
    return rest, [found.get(index) for index in left]


class RowJoinOperator:
    """One half of a join of two tables: makes the row of the result for each change of one of them.

    The other table is read as of the change.
    """

    def __init__(
        self, guard: Guard, node: RowJoin, table: WriteBack[Any, Any], history: StoreHistory | None
    ) -> None:
        """Create a half; ``history`` is that of the other table."""
        self._guard = guard
        self._node = node
        self._table = table
        self._history = history

    def process(self, batch: Batch) -> Batch:
        """Return the rows of the result, ``None`` where there is none."""
        node = self._node
        batch, identities, table = loaded(self._guard, self._table, places_of(node.store, batch.keys), batch)
        if self._history is None:
            others = [table.get(identity) for identity in identities]
        else:
            others = self._history.as_of(identities, batch.origins, table)
        batch, others = results_of(self._guard, node.store, others, batch)
        function, is_right = node.function, node.is_right

        def row(pair: tuple[Any, Any]) -> Any:
            own, other = pair
            if not is_row(node, own, other):
                return None
            return function(other, own) if is_right else function(own, other)

        pairs = list(zip(batch.values, others, strict=True))
        values, kept = called(self._guard, row, batch.with_values(pairs))
        return (batch if kept is None else batch.take(kept)).with_values(values)


def places_of(store: StoreSpec, keys: Sequence[Any]) -> Sequence[Any]:
    """Return the keys of a store: of a windowed one, pairs of the key and the start of the window."""
    return keys if store.windows is None else [(windowed.key, windowed.start_ms) for windowed in keys]


def results_of(guard: Guard, store: StoreSpec, states: list[Any], batch: Batch) -> tuple[Batch, list[Any]]:
    """Return the results of stored values, and the changes that no result failed for."""
    if store.result is None:
        return batch, states
    result = store.result
    found, kept = guard.map(lambda state: None if state is None else result(state), states, batch)
    return batch if kept is None else batch.take(kept), found


class DerivedTableOperator:
    """Keeps the rows of a derived table, and leaves out deletions of rows that are not there."""

    def __init__(
        self,
        guard: Guard,
        store: WriteBack[Any, Any],
        spec: StoreSpec,
        history: StoreHistory | None,
    ) -> None:
        self._guard = guard
        self._store = store
        self._spec = spec
        self._encode = spec.value_serde.encode
        self._history = history

    def process(self, batch: Batch) -> Batch:
        """Store the rows; return their changes."""
        batch, data = self._encoded(batch)
        places = places_of(self._spec, batch.keys)
        is_read = self._history is not None and self._history.is_wanted
        if not is_read and None not in data:
            # What the rows were before makes no difference.
            try:
                write_newest(self._store, self._store.identify(places), batch.values, data)
            except UNFIT:
                pass  # Below, key by key.
            else:
                return batch
        fitting, identities, table = loaded(self._guard, self._store, places, batch)
        if fitting is not batch:
            batch, data = self._encoded(fitting)
        if None in data:
            before = values_before(identities, batch.values, table)
            flags = [
                value is not None or old is not None for value, old in zip(batch.values, before, strict=True)
            ]
            if not all(flags):
                batch = batch.where(flags)
                identities = list(compress(identities, flags))
                data = list(compress(data, flags))
        if self._history is not None and is_read:
            self._history.set_all(identities, batch, table)
        write_newest(self._store, identities, batch.values, data)
        return batch

    def _encoded(self, batch: Batch) -> tuple[Batch, list[bytes | None]]:
        """Return the changes whose values can be written, and what is written, ``None`` for a deletion.

        A value that cannot be written is an error of its record, not of the commit.
        """
        encode, values = self._encode, batch.values
        if holds_none(values):
            data, kept = self._guard.map(
                lambda value: None if value is None else encode(value), values, batch
            )
        else:
            data, kept = self._guard.map(encode, values, batch)
        return (batch if kept is None else batch.take(kept)), data
