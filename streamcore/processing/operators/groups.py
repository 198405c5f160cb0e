"""The records of a batch by their keys, and the values of each key, column by column.

Several aggregations of one table read the same groups, so the cuts between them are made once. A column with
``None`` is shortened first: only the groups that have a value are left of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate, chain, compress, repeat
from typing import Any, Final

from streamcore.processing.operators.batch import holds_none

_LARGE: Final = 8
"""From this mean number of records on, each group is looked through by itself."""


def grouped(keys: Sequence[Any]) -> dict[Any, list[int]]:
    """Return for each key the indexes at which it is."""
    groups: dict[Any, list[int]] = {}
    for index, key in enumerate(keys):
        group = groups.get(key)
        if group is None:
            groups[key] = [index]
        else:
            group.append(index)
    return groups


class GroupedColumns:
    """Cuts columns into the values of each group of records."""

    def __init__(self, groups: Mapping[Any, Sequence[int]]) -> None:
        """``groups`` are the indexes of the records of each group; a record may be in several groups."""
        self._sizes = list(map(len, groups.values()))
        self._order = list(chain.from_iterable(groups.values()))
        self._is_single = len(self._order) == len(self._sizes)
        self._numbers: list[int] | None = None
        self._known: dict[tuple[int, bool], tuple[Sequence[int] | None, list[list[Any]]]] = {}

    def values(
        self, column: Sequence[Any], *, skips_none: bool
    ) -> tuple[Sequence[int] | None, list[list[Any]]]:
        """Return the numbers of the groups that have a value, ``None`` for all, and the values of each.

        The column must exist as long as this object.
        """
        skips_none = skips_none and holds_none(column)
        found = self._known.get((id(column), skips_none))
        if found is None:
            is_in_order = len(self._sizes) == 1 and len(self._order) == len(column)
            ordered = list(column if is_in_order else map(column.__getitem__, self._order))
            found = self._some(ordered) if skips_none else (None, _cut(ordered, self._sizes))
            self._known[id(column), skips_none] = found
        return found

    def _some(self, ordered: list[Any]) -> tuple[Sequence[int], list[list[Any]]]:
        if len(ordered) >= _LARGE * len(self._sizes):
            groups = [[value for value in group if value is not None] for group in _cut(ordered, self._sizes)]
            return [number for number, group in enumerate(groups) if group], list(filter(None, groups))
        if self._numbers is None:
            self._numbers = list(chain.from_iterable(map(repeat, range(len(self._sizes)), self._sizes)))
        is_there = [value is not None for value in ordered]
        counts = Counter(compress(self._numbers, is_there))
        return list(counts), _cut(list(compress(ordered, is_there)), counts.values())


def _cut(ordered: list[Any], sizes: Collection[int]) -> list[list[Any]]:
    """Return the parts of a list that have these sizes."""
    if len(sizes) == len(ordered):
        return [[value] for value in ordered]
    ends = list(accumulate(sizes))
    return [ordered[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
