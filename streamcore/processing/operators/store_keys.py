"""Looks the keys of a batch up in a store; the policy of the step decides about keys that do not fit it.

A key may be of another type than the store's (where types are not declared), too large a number, or
nothing that can be looked up at all, such as a list. Looking up all keys at once finds that out; only
then are they tried one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from streamcore.errors import SerdeError
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard

UNFIT = (SerdeError, TypeError)
"""What looking up many keys raises, when one of them does not fit."""


class Lookup(Protocol):
    """Where the values of keys are found."""

    def identify(self, keys: Sequence[Any]) -> Sequence[Any]:
        """What stands for each key in a dict: equal exactly if the keys are one key. ``None`` stays."""

    def load(self, keys: Collection[Any]) -> dict[Any, Any]:
        """A dict that holds the value of every one of these identities that has one; maybe others too."""

    def ensure_key(self, key: Any) -> None:
        """Refuse a key that cannot be looked up, with ``SerdeError``."""


def loaded(
    guard: Guard, lookup: Lookup, keys: Sequence[Any], batch: Batch
) -> tuple[Batch, Sequence[Any], dict[Any, Any]]:
    """Look up the keys that stand beside the records of a batch; ``None`` stands for no key.

    Returns:
        The records whose keys fit, what stands for these keys, and a dict that holds the values of those
        that have one, by what stands for them.

    Raises:
        UserCodeError: by policy, for a key that does not fit.
    """
    try:
        return batch, *_loaded(lookup, keys)
    except UNFIT:
        batch, keys = fitting(guard, lookup, keys, batch)
        return batch, *_loaded(lookup, keys)


def fitting(guard: Guard, lookup: Lookup, keys: Sequence[Any], batch: Batch) -> tuple[Batch, Sequence[Any]]:
    """The records whose keys can be looked up, and these keys; the policy decides about the others."""

    def ensure(key: Any) -> None:
        hash(key)
        if key is not None:
            lookup.ensure_key(key)

    _, kept = guard.map(ensure, keys, batch)
    if kept is None:
        return batch, keys
    return batch.take(kept), [keys[position] for position in kept]


def _loaded(lookup: Lookup, keys: Sequence[Any]) -> tuple[Sequence[Any], dict[Any, Any]]:
    identities = lookup.identify(keys)
    distinct = set(identities)
    distinct.discard(None)
    return identities, lookup.load(distinct)
