"""A set that only grows, of which every earlier state stays valid: the accumulator of ``distinct``.

An accumulator is replaced, never changed in place. A set that is copied for each new value would make an
aggregation of n values cost n², so the sets that grow out of each other share one dict: a set is the first
``n`` entries of it, in the order of addition. Only the largest of them grows without a copy. A smaller one,
which is left where a record failed after its value was added, is copied before it grows.

In the same way a set that is stored whole at each commit would cost n². Where a store for them exists, its
identities leave it in *parts*, in the order of addition, which never change again. What is stored with the
accumulator is the rest::

    stored := [count of all identities, [identity, ...]]      the identities that are in no part

Most keys have few values. A set of up to ``FEW`` identities is a tuple, which is replaced when it grows. The
garbage collector of Python does not traverse such tuples again, however many keys there are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, Final, TypeAlias

PART_IDENTITIES: Final = 256
"""The number of identities in a part."""

FEW: Final = 16
"""Up to so many identities a set is a tuple."""

Stored: TypeAlias = list[Any]


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


Few: TypeAlias = tuple[bytes, ...]
Accumulator: TypeAlias = IdentitySet | Few | Stored
"""A set in memory, in one of two forms, or as it is stored."""

NO_IDENTITIES: Final[Few] = ()
"""The set that an aggregation begins with."""


def with_identity(accumulator: Accumulator, identity: bytes) -> Accumulator:
    """Return a set with one more identity; the same object if it has it."""
    found = whole_set(accumulator) if type(accumulator) is list else accumulator
    if type(found) is tuple:
        if identity in found:
            return found
        if len(found) < FEW:
            return (*found, identity)
    return _growing(found).with_one(identity)


def with_identities(accumulator: Accumulator, identities: Collection[bytes]) -> Accumulator:
    """Return a set with more identities; the same object if it has them all."""
    found = whole_set(accumulator) if type(accumulator) is list else accumulator
    if type(found) is tuple and len(found) + len(identities) <= FEW:
        grown = dict.fromkeys((*found, *identities))
        return found if len(grown) == len(found) else tuple(grown)
    return _growing(found).united(identities)


def _growing(found: Accumulator) -> IdentitySet:
    return found if isinstance(found, IdentitySet) else IdentitySet(found)


def size_of(accumulator: Accumulator) -> int:
    """Return the number of identities of a set."""
    size: int = accumulator[0] if type(accumulator) is list else len(accumulator)
    return size


def stored_set(accumulator: Accumulator) -> Stored:
    """Return the stored form of a set."""
    if isinstance(accumulator, tuple):
        return [len(accumulator), list(accumulator)]
    return accumulator.stored() if isinstance(accumulator, IdentitySet) else accumulator


def missing_parts(stored: Stored) -> range:
    """Return the numbers of the parts that a stored set needs to be whole."""
    count, rest = stored
    return range((count - len(rest)) // PART_IDENTITIES)


def whole_set(accumulator: Accumulator, parts: Iterable[Sequence[bytes]] = ()) -> IdentitySet | Few:
    """Return a set in memory, made of its stored form and the parts that are missing in it."""
    if not isinstance(accumulator, list):
        return accumulator
    count, rest = accumulator
    found = tuple(rest) if count <= FEW else IdentitySet(rest, chain.from_iterable(parts))
    assert len(found) == count, "a part of a set is missing"
    return found
