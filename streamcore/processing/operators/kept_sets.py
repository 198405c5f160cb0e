"""The sets of an aggregation, whose identities leave the accumulators in parts (``identity_sets``).

The parts are in a store of their own::

    key   := bytes of the table's key, number of the aggregation, number of the part
    value := MessagePack array of identities

A part is written once. A commit then costs what was added, not what is there. A set is made whole from its
parts when its key is used for the first time after a start, or after it left the cache.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamcore.processing.topology.aggregator import keeps_set
from streamcore.processing.topology.identity_sets import IdentitySet, missing_parts, whole_set
from streamcore.processing.topology.specs import StoreSpec
from streamcore.state.write_back import WriteBack

States = dict[Any, tuple[Any, ...]]
"""The accumulators of keys, by the identities of the keys in the store."""


class KeptSets:
    """Reads and writes the parts of the sets of one aggregation."""

    def __init__(
        self, table: WriteBack[Any, Any], parts: WriteBack[Any, list[bytes]], spec: StoreSpec
    ) -> None:
        self._table = table
        self._parts = parts
        self._numbers = [
            number for number, (_, aggregator) in enumerate(spec.aggregators) if keeps_set(aggregator)
        ]

    def make_whole(self, keys: Iterable[Any], states: States) -> None:
        """Complete the sets of keys that were read from the store."""
        first = self._numbers[0]
        stored = [
            key for key in keys if (state := states.get(key)) is not None and type(state[first]) is list
        ]
        for key, data in zip(stored, self._table.encoded_keys(stored), strict=True):
            whole = list(states[key])
            for number in self._numbers:
                names = [(data, number, part) for part in missing_parts(whole[number])]
                found = self._parts.load(names)
                whole[number] = whole_set(whole[number], [found[name] for name in names])
            states[key] = tuple(whole)

    def close_parts(self, keys: Iterable[Any], states: States) -> None:
        """Write the parts of these keys that are full."""
        # A key is missing if all of its records failed.
        present = [key for key in keys if key in states]
        columns = list(zip(*[states[key] for key in present], strict=True))
        for number in self._numbers if columns else ():
            kinds = list(map(type, columns[number]))
            if IdentitySet in kinds:
                for key in [key for key, kind in zip(present, kinds, strict=True) if kind is IdentitySet]:
                    if states[key][number].has_full_part:
                        states[key] = self._without_full_parts(key, states[key], number)

    def _without_full_parts(self, key: Any, state: tuple[Any, ...], number: int) -> tuple[Any, ...]:
        found, parts = state[number].without_full_parts()
        (data,) = self._table.encoded_keys((key,))
        self._parts.put_many({(data, number, part): identities for part, identities in parts.items()})
        return (*state[:number], found, *state[number + 1 :])
