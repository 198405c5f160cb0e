"""Operators that keep a topic as a table, and that look up values in tables.

A table can change within the round in which a join reads it. A ``StoreHistory`` then keeps the changes of the
round, so that the join sees the table as of each record, while both work on whole batches.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.store_keys import UNFIT, Lookup, fitting, loaded
from streamcore.state.write_back import WriteBack


class StoreHistory:
    """The changes of a store within the current round, in the order of their origins."""

    def __init__(self) -> None:
        self.is_wanted = False
        """Whether a join reads the store for records of this round, so that the changes are kept."""
        self._origins: list[int] = []
        self._identities: list[Any] = []
        self._values: list[Any] = []
        self._before: dict[Any, Any] = {}

    def add(self, identity: Any, origin: int, before: Any, after: Any) -> None:
        """Note that a record changed a key."""
        self._before.setdefault(identity, before)
        self._origins.append(origin)
        self._identities.append(identity)
        self._values.append(after)

    def set_all(self, identities: Sequence[Any], batch: Batch, before: Mapping[Any, Any]) -> None:
        """Note the changes of a batch, which are all of the round; ``before`` has the values before it."""
        self._before = {identity: before.get(identity) for identity in identities}
        self._origins, self._identities, self._values = list(batch.origins), list(identities), batch.values

    def as_of(
        self, identities: Sequence[Any], origins: Sequence[int], current: Mapping[Any, Any]
    ) -> list[Any]:
        """Return the value of each key as of the record beside it, its own changes included.

        ``current`` has the values of the keys that have not changed in the round.
        """
        if not self._origins:
            return [current.get(identity) for identity in identities]
        seen = dict(self._before)
        changes = zip(self._origins, self._identities, self._values, strict=True)
        next_origin, changed, value = next(changes)
        found = []
        for identity, origin in zip(identities, origins, strict=True):
            while next_origin <= origin:
                seen[changed] = value
                next_origin, changed, value = next(changes, _NO_MORE)
            found.append(seen[identity] if identity in seen else current.get(identity))
        return found

    def clear(self) -> None:
        """Forget the changes at the end of the round."""
        self._before = {}
        self._origins, self._identities, self._values = [], [], []


_NO_MORE: Final = (sys.maxsize, None, None)


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
            before = self._store.load(set(identities))
            self._history.set_all(identities, batch, before)
        write_newest(self._store, identities, batch.values)


def values_before(identities: Sequence[Any], values: Sequence[Any], table: Mapping[Any, Any]) -> list[Any]:
    """Return for each change of a key the value that the key had before it; ``None`` for none.

    ``table`` has the values before the first change.
    """
    newest: dict[Any, Any] = {}
    before = []
    for identity, value in zip(identities, values, strict=True):
        before.append(newest[identity] if identity in newest else table.get(identity))
        newest[identity] = value
    return before


def write_newest(
    store: WriteBack[Any, Any],
    identities: Sequence[Any],
    values: Sequence[Any],
    data: Sequence[bytes | None] | None = None,
) -> None:
    """Write the last of the values of each key; ``None`` deletes the key.

    ``data`` are the encoded values, if the caller has them.
    """
    newest = dict(zip(identities, values, strict=True))
    store.put_many(newest, None if data is None else dict(zip(identities, data, strict=True)))


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
