"""A set that only grows, of which every earlier state stays valid: the accumulator of ``distinct``.

An accumulator is replaced, never changed in place. A dict that is copied for each new value would make an
aggregation of n values cost n², so the sets that grow out of each other share one dict: a set is the first
``n`` entries of it, in the order of addition. Only the largest of them grows without a copy. A smaller one,
which is left where a record failed after its value was added, is copied before it grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice


class IdentitySet:
    """Identities (``identities``), in the order in which they were added."""

    __slots__ = ("_count", "_shared")

    def __init__(self, identities: Iterable[bytes] = ()) -> None:
        self._shared: dict[bytes, None] = dict.fromkeys(identities)
        self._count = len(self._shared)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[bytes]:
        return islice(self._shared, self._count)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IdentitySet):
            return NotImplemented
        return self._count == other._count and set(self) == set(other)

    __hash__ = None  # type: ignore[assignment]  # as other containers

    def __repr__(self) -> str:
        return f"IdentitySet({list(self)!r})"

    def united(self, identities: Iterable[bytes]) -> IdentitySet:
        """Return the set with more identities; the same object if it has them all."""
        shared = self._shared
        if len(shared) != self._count:
            return IdentitySet(self).united(identities)
        shared.update(dict.fromkeys(identities))
        return self._as_large_as(shared)

    def with_one(self, identity: bytes) -> IdentitySet:
        """Return the set with one more identity; the same object if it has it."""
        shared = self._shared
        if len(shared) != self._count:
            return IdentitySet(self).with_one(identity)
        if identity in shared:
            return self
        shared[identity] = None
        return self._as_large_as(shared)

    def as_map(self) -> dict[bytes, None]:
        """Return a dict from the identities to ``None``, for reading only."""
        return self._shared if len(self._shared) == self._count else dict.fromkeys(self)

    def _as_large_as(self, shared: dict[bytes, None]) -> IdentitySet:
        if len(shared) == self._count:
            return self
        grown = IdentitySet.__new__(IdentitySet)
        grown._shared, grown._count = shared, len(shared)
        return grown
