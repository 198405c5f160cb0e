"""Emits the changes of a table under another key, for aggregations of the table.

Stored value := the row as it was emitted, (new key, value), by the table's own key. So what is taken back is
what was added, whatever the function makes of the value today.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.store_keys import loaded
from streamcore.processing.topology.retraction import regrouped
from streamcore.state.write_back import WriteBack

Row = tuple[Any, Any]


class RegroupOperator:
    """Emits for each change the old row as taken back and the new one as added, [(is it added, value)]."""

    def __init__(
        self, guard: Guard, store: WriteBack[Any, Any], function: Callable[[Any], Row], key_type: Any
    ) -> None:
        """Create the operator; ``key_type`` is the type of the new keys."""
        self._guard = guard
        self._store = store
        self._function = function
        self._key_type = key_type

    def process(self, batch: Batch) -> Batch | None:
        """Keep the rows of the batch, and return the changes in their order, the old row first."""
        batch = self._guard.with_keys(batch)
        rows, kept = self._guard.map(self._row, batch.values, batch)
        if kept is not None:
            batch = batch.take(kept)
        if not len(batch):
            return None
        return self._changes(batch.with_values(rows))

    def _row(self, value: Any) -> Row | None:
        return None if value is None else self._function(value)

    def _changes(self, batch: Batch) -> Batch | None:
        batch, identities, stored = loaded(self._guard, self._store, batch.keys, batch)
        current = {identity: stored.get(identity) for identity in identities}
        key_type = self._key_type
        indexes: list[int] = []
        keys: list[Any] = []
        values: list[Any] = []
        for index, (identity, row) in enumerate(zip(identities, batch.values, strict=True)):
            for key, change in regrouped(key_type, current[identity], row):
                indexes.append(index)
                keys.append(key)
                values.append(change)
            current[identity] = row
        self._store.put_many(current)
        if not indexes:
            return None
        return batch.take(indexes).with_keys(keys).with_values(values)
