"""The rules of ``rate_limit``, ``dedupe`` and ``sample``, for the interpreter and for the operators."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from hashlib import blake2b
from typing import Final

import msgpack

from streamcore.model import Headers, Record

HEADER_OF_KEY: Final = "streamcore.key"
"""The header with the key that a record had before ``dedupe``, while it goes through a repartition topic."""

_MASK: Final = (1 << 64) - 1


def has_room(times_ms: Sequence[int], timestamp_ms: int, count: int, size_ms: int) -> bool:
    """Whether one more record at a time leaves at most ``count`` in every span of ``size_ms``.

    ``times_ms`` are the times of the records that passed, ascending; those a span away do not matter. A span
    ``[start, start + size_ms)`` may start at any millisecond.
    """
    at = bisect_right(times_ms, timestamp_ms)
    # ``count + 1`` neighbours of the new order, the record among them, must not fit into one span.
    for first in range(max(0, at - count), at + 1):
        last = first + count
        if last > len(times_ms):
            return True
        low_ms = times_ms[first] if first < at else timestamp_ms
        high_ms = times_ms[last - 1] if last > at else timestamp_ms
        if high_ms - low_ms < size_ms:
            return False
    return True


def without_key_header(headers: Headers) -> tuple[bytes | None, Headers]:
    """Return the bytes in the last header of this name, and the other headers; ``None`` without one."""
    if len(headers) == 1 and headers[0][0] == HEADER_OF_KEY:
        return headers[0][1], ()
    at = max((index for index, (name, _) in enumerate(headers) if name == HEADER_OF_KEY), default=None)
    if at is None:
        return None, headers
    return headers[at][1], headers[:at] + headers[at + 1 :]


class SampleOf:
    """The choice of one step: whether it keeps a record."""

    def __init__(self, step: str, fraction: float, internal_topics: Collection[str]) -> None:
        """Create the choice; a crash or a replay changes the offsets in ``internal_topics``."""
        self._step = step.encode()
        self._limit = round(fraction * (1 << 64))
        self._internal_topics = internal_topics
        self._seeds: dict[tuple[str, int], int] = {}

    def keeps(self, record: Record[bytes | None, bytes | None], number: int) -> bool:
        """Whether the sample has a record that was made of a stored one.

        Args:
            record: the stored record. Its topic, partition and offset decide; in an internal topic its key,
                value and time.
            number: of the records that were made of the stored one, which it is.
        """
        if record.topic in self._internal_topics:
            content = msgpack.packb((self._step, record.key, record.value, record.timestamp_ms))
            return sample_hash(_number_of(content), 0, number) < self._limit
        place = (record.topic, record.partition)
        seed = self._seeds.get(place)
        if seed is None:
            seed = self._seeds[place] = _number_of(msgpack.packb((self._step, *place)))
        return sample_hash(seed, record.offset, number) < self._limit


def _number_of(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def sample_hash(seed: int, offset: int, number: int) -> int:
    """Return the hash of a record: 64 bits, by the finalizer of SplitMix64.

    ``number`` counts the records that were made of the one at the offset.
    """
    mixed = (seed + (offset + 1) * 0x9E3779B97F4A7C15 + number * 0xD1342543DE82EF95) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)
