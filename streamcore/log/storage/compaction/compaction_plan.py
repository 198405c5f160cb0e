"""The rules of compaction: which part of a log to clean, and which batches and records to keep.

Compaction keeps the newest record of each key and drops the older ones, without ever changing an
offset. One round has two passes over the closed segments:

1. the *dirty* part, from the end of the last round, fills ``NewestOffsets``;
2. everything from the log start to the end of that part is copied, without the records that a later one
   replaces, that are aborted, or that are tombstones past their delete horizon.

The rules, in the order of their checks:

* Records of aborted transactions are dropped at once. A marker stays while any data of its transaction is
  left, and from then on until its *delete horizon*. It stays longer while there is a producer snapshot from
  before it, in which its transaction is open.
* A tombstone gets a delete horizon in the first round that reads it: the time after which it may be dropped.
  Readers have until then to see that the key is gone. The horizon is stored in the batch.
* A record without a key is dropped, because a compacted topic has none.
* The last batch of a known producer keeps its header, even without records, because its sequence number is
  needed to detect a duplicate. So does the last batch of each new segment: the end of that segment is needed
  to repair a crash in the middle of the replacement.

Everything here is pure; ``compaction`` reads and writes the segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, Protocol

from msgspec import Struct

from streamcore.model import Offset, TimestampMs

_DIGEST_BYTES: Final = 16
NEWEST_OFFSET_BYTES: Final = 200
"""The approximate memory in bytes of one entry of ``NewestOffsets``: digest, integer and dictionary slot."""
_RELATIVE_OFFSET_MAX: Final = 2**31 - 1


class NewestOffsets:
    """The newest offset of each key of the dirty part, as far as memory allows.

    Keys are held as digests (short keys unchanged: their length differs from a digest's), so the memory does
    not depend on the size of keys. Two keys with the same digest would lose a record; with 128 bits that does
    not happen.
    """

    def __init__(self, *, bytes_max: int) -> None:
        self._key_count_max = max(1, bytes_max // NEWEST_OFFSET_BYTES)
        self._offsets: dict[bytes, Offset] = {}
        self.end_offset: Offset = 0
        """The end of the noted offsets: from here on every record is kept."""

    def __len__(self) -> int:
        return len(self._offsets)

    def has_room(self, key_count: int) -> bool:
        """Whether so many more keys fit. A first batch always fits, so that every round makes progress."""
        return not self._offsets or len(self._offsets) + key_count <= self._key_count_max

    def note(self, key: bytes, offset: Offset) -> None:
        """Record the offset of a key's record; a later record of the same key replaces it."""
        self._offsets[_short(key)] = offset

    def newest(self, key: bytes) -> Offset:
        """Return the newest noted offset of a key, -1 if there is none."""
        return self._offsets.get(_short(key), -1)


def _short(key: bytes) -> bytes:
    if len(key) < _DIGEST_BYTES:
        return key
    return blake2b(key, digest_size=_DIGEST_BYTES).digest()


class SegmentSize(Protocol):
    """The facts about a segment that the plan needs."""

    @property
    def base_offset(self) -> Offset:
        """The offset at which the segment begins."""

    @property
    def end_offset(self) -> Offset:
        """The offset after the segment's last."""

    @property
    def size_bytes(self) -> int:
        """The size of the data file in bytes."""

    @property
    def max_timestamp_ms(self) -> TimestampMs:
        """The largest timestamp in the segment, -1 if it has no record."""


class CleanablePart(Struct, frozen=True):
    """The part of a log that a round may clean; no round has cleaned ``[first_dirty, end)`` yet."""

    first_dirty: Offset
    end: Offset
    clean_bytes: int
    dirty_bytes: int

    @property
    def dirty_ratio(self) -> float:
        """The share of the bytes that no round has cleaned yet."""
        total_bytes = self.clean_bytes + self.dirty_bytes
        return self.dirty_bytes / total_bytes if total_bytes else 0.0


def cleanable_part(
    closed_segments: Sequence[SegmentSize],
    *,
    first_dirty: Offset,
    last_stable: Offset,
    now_ms: TimestampMs,
    min_lag_ms: int,
) -> CleanablePart:
    """Return the part that a round may clean.

    It never contains the active segment, which is not among ``closed_segments``, nor offsets after the last
    stable offset, nor a segment with a record younger than ``min_lag_ms``.
    """
    end = closed_segments[0].base_offset if closed_segments else 0
    clean_bytes = dirty_bytes = 0
    for segment in closed_segments:
        if segment.end_offset > last_stable:
            break
        if min_lag_ms > 0 and segment.max_timestamp_ms > now_ms - min_lag_ms:
            break
        if segment.end_offset <= first_dirty:
            clean_bytes += segment.size_bytes
        else:
            dirty_bytes += segment.size_bytes
        end = segment.end_offset
    return CleanablePart(min(first_dirty, end), end, clean_bytes, dirty_bytes)


def is_due(
    part: CleanablePart,
    *,
    min_dirty_ratio: float,
    oldest_dirty_ms: TimestampMs | None,
    now_ms: TimestampMs,
    max_lag_ms: int,
) -> bool:
    """Whether a round is worth its cost now, or must not wait any longer."""
    if part.dirty_bytes == 0:
        return False
    if oldest_dirty_ms is not None and now_ms - oldest_dirty_ms > max_lag_ms:
        return True
    return part.dirty_ratio > min_dirty_ratio


def segment_groups(segments: Sequence[SegmentSize], *, segment_bytes_max: int) -> list[range]:
    """Group neighbours that fit into one segment together, as ranges of indexes.

    The sizes before cleaning count, so a group always fits. Without groups, rounds would leave more and more
    ever smaller segments.
    """
    groups: list[range] = []
    start = 0
    group_bytes = 0
    for index, segment in enumerate(segments):
        is_too_big = group_bytes + segment.size_bytes > segment_bytes_max
        is_too_wide = segment.end_offset - segments[start].base_offset > _RELATIVE_OFFSET_MAX
        if index > start and (is_too_big or is_too_wide):
            groups.append(range(start, index))
            start, group_bytes = index, 0
        group_bytes += segment.size_bytes
    if segments:
        groups.append(range(start, len(segments)))
    return groups
