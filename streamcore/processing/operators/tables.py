"""Operators that keep a topic as a table, and that look up values in tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.store_keys import UNFIT, Lookup, fitting, loaded
from streamcore.state.write_back import WriteBack


class TableSourceOperator:
    """Keeps the newest value of each key; a ``None`` value deletes the key."""

    def __init__(self, guard: Guard, store: WriteBack[Any, Any]) -> None:
        self._guard = guard
        self._store = store

    def process(self, batch: Batch) -> Batch:
        """Store the batch; return its records as changes."""
        batch = self._guard.with_keys(batch)
        try:
            self._keep(batch)
        except UNFIT:
            # Some may be stored already; storing a record again changes nothing.
            batch, _ = fitting(self._guard, self._store, batch.keys, batch)
            self._keep(batch)
        return batch

    def _keep(self, batch: Batch) -> None:
        newest = dict(zip(self._store.identify(batch.keys), batch.values, strict=True))
        present = {key: value for key, value in newest.items() if value is not None}
        if present:
            self._store.put_many(present)
        gone = [key for key, value in newest.items() if value is None]
        if gone:
            self._store.delete_many(gone)


class TableJoinOperator:
    """Emits ``function(value, table value)`` for each record; without ``left`` only if there is a table
    value.

    A record without a value is left out. A record without a key has no table value, so only ``left`` keeps it
    (KIP-962).
    """

    def __init__(
        self,
        guard: Guard,
        table: Lookup,
        function: Callable[[Any, Any], Any],
        *,
        left: bool,
        on: Callable[[Any], Any] | None,
        result: Callable[[Any], Any] | None = None,
    ) -> None:
        """Create a join; ``result`` converts a stored value of a table of aggregations to its result."""
        self._guard = guard
        self._table = table
        self._function = function
        self._left = left
        self._on = on
        self._result = result

    def process(self, batch: Batch) -> Batch:
        """Return the joined values under the stream's keys."""
        batch = self._guard.with_values(batch)
        if self._on is None:
            if not self._left:
                batch = self._guard.with_keys(batch)
            wanted: Sequence[Any] = batch.keys
        else:
            wanted, kept = self._guard.map(self._on, batch.values, batch)
            batch = batch if kept is None else batch.take(kept)
            flags = [key is not None for key in wanted]
            if not self._left and not all(flags):
                batch = self._guard.where(batch, flags, "null_key")
                wanted = [key for key in wanted if key is not None]
        if not len(batch):
            return batch
        batch, identities, table = loaded(self._guard, self._table, wanted, batch)
        found = [table.get(identity) for identity in identities]
        if self._result is not None:
            result = self._result
            found, kept = self._guard.map(
                lambda state: None if state is None else result(state), found, batch
            )
            batch = batch if kept is None else batch.take(kept)
        flags = [value is not None for value in found]
        if not self._left and not all(flags):
            batch = batch.where(flags)
            found = [value for value in found if value is not None]
        function = self._function
        pairs = list(zip(batch.values, found, strict=True))
        values, kept = self._guard.map(lambda pair: function(*pair), pairs, batch)
        rest = batch if kept is None else batch.take(kept)
        return rest.with_values(values)
