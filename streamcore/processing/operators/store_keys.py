"""Looks up the keys of a batch in a store; the policy of the step decides about keys that do not fit the
store.

A key may be of another type than the store's (where types are not declared), a number that is too large, or
an object that cannot be a key at all, such as a list. A look-up of all keys at once finds that out; only
then are the keys tried one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from streamcore.errors import SerdeError
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard

UNFIT = (SerdeError, TypeError)
"""Errors that a look-up of many keys raises when one of them does not fit."""


class Lookup(Protocol):
    """A source of values by key."""

    def identify(self, keys: Sequence[Any]) -> Sequence[Any]:
        """Return an identity for each key: a dict key that is equal exactly if the keys are one key.
        ``None`` stays.
        """

    def load(self, keys: Collection[Any]) -> dict[Any, Any]:
        """Return a dict with the value of each of these identities that has one; it may hold other
        identities.
        """

    def ensure_key(self, key: Any) -> None:
        """Refuse a key that cannot be looked up, with ``SerdeError``."""


def loaded(
    guard: Guard, lookup: Lookup, keys: Sequence[Any], batch: Batch
) -> tuple[Batch, Sequence[Any], dict[Any, Any]]:
    """Look up keys that are parallel to the records of a batch; ``None`` means no key.

    Returns:
        The records whose keys fit, the identities of these keys, and a dict from identity to value of the
        keys that have a value.

    Raises:
        UserCodeError: by policy, for a key that does not fit.
    """
    try:
        return batch, *_loaded(lookup, keys)
    except UNFIT:
        batch, keys = fitting(guard, lookup, keys, batch)
        return batch, *_loaded(lookup, keys)


def fitting(guard: Guard, lookup: Lookup, keys: Sequence[Any], batch: Batch) -> tuple[Batch, Sequence[Any]]:
    """Return the records whose keys can be looked up, and these keys; the policy decides about the others."""

    def ensure(key: Any) -> None:
        hash(key)
        if key is not None:
            lookup.ensure_key(key)

    _, kept = guard.map(ensure, keys, batch)
    if kept is None:
        return batch, keys
    return batch.take(kept), [keys[index] for index in kept]


def _loaded(lookup: Lookup, keys: Sequence[Any]) -> tuple[Sequence[Any], dict[Any, Any]]:
    identities = lookup.identify(keys)
    distinct = set(identities)
    distinct.discard(None)
    return identities, lookup.load(distinct)
