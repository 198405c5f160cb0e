"""Operators that keep a topic as a table, and that look up values in tables.

A table can change within the round in which a join reads it. A ``StoreHistory`` then keeps the changes of the
round, so that the join sees the table as of each record, while both work on whole batches.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.store_keys import UNFIT, Lookup, fitting, loaded
from streamcore.state.write_back import WriteBack


class StoreHistory:
    """The changes of a store within the current round, by key."""

    def __init__(self) -> None:
        self.is_wanted = False
        """Whether a join reads the store for records of this round, so that the changes are kept."""
        self._changes: dict[Any, tuple[list[int], list[Any]]] = {}

    def add(self, identity: Any, origin: int, before: Any, after: Any) -> None:
        """Note that a record changed a key. The origins of a key's changes ascend."""
        changes = self._changes.get(identity)
        if changes is None:
            self._changes[identity] = ([-1, origin], [before, after])
        else:
            changes[0].append(origin)
            changes[1].append(after)

    def as_of(
        self, identities: Sequence[Any], origins: Sequence[int], current: Mapping[Any, Any]
    ) -> list[Any]:
        """Return the value of each key as of the record beside it, its own changes included."""
        if not self._changes:
            return [current.get(identity) for identity in identities]
        changes_of = self._changes.get
        found = []
        for identity, origin in zip(identities, origins, strict=True):
            changes = changes_of(identity)
            if changes is None:
                found.append(current.get(identity))
            else:
                found.append(changes[1][bisect_right(changes[0], origin) - 1])
        return found

    def clear(self) -> None:
        """Forget the changes at the end of the round."""
        self._changes.clear()


class TableSourceOperator:
    """Keeps the newest value of each key; a ``None`` value deletes the key."""

    def __init__(self, guard: Guard, store: WriteBack[Any, Any], history: StoreHistory | None = None) -> None:
        self._guard = guard
        self._store = store
        self._history = history

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
        identities = self._store.identify(batch.keys)
        if self._history is not None and self._history.is_wanted:
            self._note_changes(identities, batch)
        newest = dict(zip(identities, batch.values, strict=True))
        present = {key: value for key, value in newest.items() if value is not None}
        if present:
            self._store.put_many(present)
        gone = [key for key, value in newest.items() if value is None]
        if gone:
            self._store.delete_many(gone)

    def _note_changes(self, identities: Sequence[Any], batch: Batch) -> None:
        assert self._history is not None
        self._history.clear()  # a batch with a key that does not fit is kept a second time
        before = self._store.load(set(identities))
        before = {identity: before.get(identity) for identity in identities}
        for identity, origin, value in zip(identities, batch.origins, batch.values, strict=True):
            self._history.add(identity, origin, before[identity], value)


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
        history: StoreHistory | None = None,
    ) -> None:
        """Create a join; ``result`` converts a stored value of a table of aggregations to its result.

        ``history`` is that of a table which can change within a round.
        """
        self._guard = guard
        self._table = table
        self._function = function
        self._left = left
        self._on = on
        self._result = result
        self._history = history

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
        if self._history is None:
            found = [table.get(identity) for identity in identities]
        else:
            found = self._history.as_of(identities, batch.origins, table)
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
