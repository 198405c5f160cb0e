"""Records whose bytes follow from their id: a reader can tell whether they are what was sent.

The id stands in a header. So it is known of a record without a value, too; and the value says it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streamcore.log.records.builder import encode_batch
from streamcore.model import FetchedColumns, Headers
from tests.histories.operations import RecordId

_ID_HEADER: Final = "id"
_KEY_COUNT: Final = 7
_COMPRESSIONS: Final = ("none", "none", "none", "gzip", "snappy", "lz4", "zstd")
NOT_SENT: Final = 0
"""The id of a record that says none."""


def key_of(id_: RecordId) -> str:
    """A key out of a few, so that compaction has something to do."""
    return f"k{id_ % _KEY_COUNT}"


def is_tombstone(id_: RecordId) -> bool:
    """Whether a record of this id has no value, where records have keys."""
    return id_ % 11 == 0


def value_of(id_: RecordId) -> bytes:
    """A value of some ten or some hundred bytes, seldom more."""
    size = 3_000 if id_ % 97 == 0 else id_ * 7_919 % 150
    return b"value of %d " % id_ + b"." * size


def batch_of(ids: Sequence[RecordId], *, has_keys: bool, timestamp_ms: int, **producer: object) -> bytearray:
    """A batch of these records, the same for the same arguments. ``producer``: as for ``encode_batch``."""
    headers: list[Headers] = [((_ID_HEADER, b"%d" % id_),) for id_ in ids]
    return encode_batch(
        [key_of(id_).encode() if has_keys else None for id_ in ids],
        [None if has_keys and is_tombstone(id_) else value_of(id_) for id_ in ids],
        [timestamp_ms] * len(ids),
        headers,
        compression=_COMPRESSIONS[ids[0] % len(_COMPRESSIONS)],
        **producer,  # type: ignore[arg-type]
    )


def records_in(run: FetchedColumns) -> tuple[list[tuple[int, RecordId]], list[int]]:
    """Offsets and ids of what was read, and the offsets of records that are not what was sent."""
    records: list[tuple[int, RecordId]] = []
    corrupt: list[int] = []
    headers = run.headers or [()] * len(run.offsets)
    for offset, key, value, row in zip(run.offsets, run.keys, run.values, headers, strict=True):
        id_ = int(dict(row).get(_ID_HEADER) or NOT_SENT)
        records.append((offset, id_))
        value_is_right = value == value_of(id_) or (value is None and key is not None and is_tombstone(id_))
        if not value_is_right or key not in (None, key_of(id_).encode()):
            corrupt.append(offset)
    return records, corrupt
