"""How large the records of a changelog may be, and the error for a stored value that is too large.

A log takes no record above a topic's ``max.message.bytes``. A larger value could be kept in the store, but
never be committed.
"""

from __future__ import annotations

from typing import Final

from streamcore.errors import RecordTooLargeError, with_facts
from streamcore.state.engine import StoreWrites

NO_LIMIT: Final = 2**63 - 1
"""The limit of a store without a changelog."""


def first_too_large(writes: StoreWrites, bytes_max: int) -> int | None:
    """Return the index of the first write whose key and value have more than ``bytes_max`` together.

    ``None`` if there is none.
    """
    keys, values = writes.keys, writes.values
    if not keys:
        return None
    try:
        largest = max(map(len, values))  # type: ignore[arg-type]
    except TypeError:
        largest = max((len(value) for value in values if value is not None), default=0)
    if largest + max(map(len, keys)) <= bytes_max:
        return None
    for index, (key, value) in enumerate(zip(keys, values, strict=True)):
        if len(key) + (0 if value is None else len(value)) > bytes_max:
            return index
    return None


def too_large(*, table: str, key: object, size_bytes: int, bytes_max: int) -> RecordTooLargeError:
    """Return the error for a value that the changelog of its table does not take."""
    return RecordTooLargeError(
        with_facts(
            "a value is too large to be kept in its table; keep less in it (collect(limit=n), smaller "
            "values, more keys or shorter windows), or raise max.message.bytes of its changelog",
            table=table,
            key=repr(key)[:100],
            size_bytes=size_bytes,
            size_bytes_max=bytes_max,
        )
    )
