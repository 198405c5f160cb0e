"""A set that only grows, of which every earlier state stays valid: the accumulator of ``distinct``.

An accumulator is replaced, never changed in place. A set that is copied for each new value would make an
aggregation of n values cost n², so the sets that grow out of each other share one dict: a set is the first
``n`` entries of it, in the order of addition. Only the largest of them grows without a copy. A smaller one,
which is left where a record failed after its value was added, is copied before it grows.

In the same way a set that is stored whole at each commit would cost n². Where a store for them exists, its
identities leave it in *parts*, in the order of addition, which never change again. What is stored with the
accumulator is the rest::

    stored := [count of all identities, [identity, ...]]      the identities that are in no part
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final, TypeAlias

PART_IDENTITIES: Final = 256
"""The number of identities in a part."""

Stored: TypeAlias = Sequence[Any]


class _Shared:
    """The identities of sets that grow out of each other."""

    __slots__ = ("closed_count", "known", "rest")

    def __init__(self, closed: Iterable[bytes], rest: Iterable[bytes]) -> None:
        self.known: dict[bytes, None] = dict.fromkeys(closed)
        self.closed_count = len(self.known)
        """How many of them are in parts: the first."""
        self.known.update(dict.fromkeys(rest))
        self.rest = list(islice(self.known, self.closed_count, None))


class IdentitySet:
    """Identities (``identities``), in the order in which they were added."""

    __slots__ = ("_count", "_shared")

    def __init__(self, identities: Iterable[bytes] = (), closed: Iterable[bytes] = ()) -> None:
        """Create a set; ``closed`` are the identities that are in parts, which come first."""
        self._shared = _Shared(closed, identities)
        self._count = len(self._shared.known)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        return islice(self._shared.known, self._count)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IdentitySet):
            return NotImplemented
        return self._count == other._count and set(self) == set(other)

    __hash__ = None  # type: ignore[assignment]  # as other containers

    def __repr__(self) -> str:
        return f"IdentitySet({list(self)!r})"

    def united(self, identities: Iterable[bytes]) -> IdentitySet:
        """Return the set with more identities; the same object if it has them all."""
        shared = self._owned()
        known = shared.known
        new = [identity for identity in dict.fromkeys(identities) if identity not in known]
        known.update(dict.fromkeys(new))
        shared.rest += new
        return self._all_of(shared)

    def with_one(self, identity: bytes) -> IdentitySet:
        """Return the set with one more identity; the same object if it has it."""
        shared = self._owned()
        if identity not in shared.known:
            shared.known[identity] = None
            shared.rest.append(identity)
        return self._all_of(shared)

    def stored(self) -> Stored:
        """Return the number of identities, and those that are in no part."""
        return [self._count, self._shared.rest[: self._count - self._shared.closed_count]]

    @property
    def has_full_part(self) -> bool:
        """Whether there may be parts to take."""
        return len(self._shared.rest) >= PART_IDENTITIES

    def without_full_parts(self) -> tuple[IdentitySet, dict[int, list[bytes]]]:
        """Return the same set, from now on without the identities of its full parts in its stored form, and
        these parts by their number.
        """
        shared = self._owned()
        parts: dict[int, list[bytes]] = {}
        while len(shared.rest) >= PART_IDENTITIES:
            parts[shared.closed_count // PART_IDENTITIES] = shared.rest[:PART_IDENTITIES]
            shared.rest = shared.rest[PART_IDENTITIES:]
            shared.closed_count += PART_IDENTITIES
        return (self if shared is self._shared else self._of(shared)), parts

    def _owned(self) -> _Shared:
        """Return the identities of this set alone, ready to grow."""
        shared = self._shared
        if len(shared.known) == self._count:
            return shared
        closed = min(shared.closed_count, self._count)
        return _Shared(islice(self, closed), islice(self, closed, None))

    def _all_of(self, shared: _Shared) -> IdentitySet:
        return self if len(shared.known) == self._count else self._of(shared)

    @staticmethod
    def _of(shared: _Shared) -> IdentitySet:
        found = IdentitySet.__new__(IdentitySet)
        found._shared, found._count = shared, len(shared.known)
        return found


def size_of(accumulator: IdentitySet | Stored) -> int:
    """Return the number of identities of a set, in memory or as it is stored."""
    return len(accumulator) if isinstance(accumulator, IdentitySet) else accumulator[0]


def missing_parts(stored: Stored) -> range:
    """Return the numbers of the parts that a stored set needs to be whole."""
    count, rest = stored
    return range((count - len(rest)) // PART_IDENTITIES)


def whole_set(accumulator: IdentitySet | Stored, parts: Iterable[Sequence[bytes]] = ()) -> IdentitySet:
    """Return an accumulator as a set that can grow, with the parts that are missing in its stored form."""
    if isinstance(accumulator, IdentitySet):
        return accumulator
    found = IdentitySet(accumulator[1], chain.from_iterable(parts))
    assert len(found) == accumulator[0], "a part of a set is missing"
    return found
