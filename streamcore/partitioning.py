"""The partition of a key.

It is ``(murmur2(key) & 0x7fffffff) % partition_count``, bit for bit as Kafka's Java client computes it, so
that producers in any language send equal keys to the same partition. Pure functions and a cache: producers,
the tasks of an application and the specification of its results all use them.

Stored data depends on this function: it never changes.
"""

from __future__ import annotations

import struct
from typing import Final

_SEED: Final = 0x9747B28C
_MULTIPLIER: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF

CACHED_KEYS_MAX: Final = 100_000


def murmur2(data: bytes) -> int:
    """Return the MurmurHash2 of bytes, 32 bit, with Kafka's seed; the result is unsigned."""
    length = len(data)
    value = _SEED ^ length
    whole = length & ~3
    for word in struct.unpack_from(f"<{whole >> 2}I", data):
        word = (word * _MULTIPLIER) & _MASK
        word = ((word ^ (word >> 24)) * _MULTIPLIER) & _MASK
        value = ((value * _MULTIPLIER) & _MASK) ^ word
    if length != whole:
        value ^= int.from_bytes(data[whole:], "little")
        value = (value * _MULTIPLIER) & _MASK
    value = ((value ^ (value >> 13)) * _MULTIPLIER) & _MASK
    return value ^ (value >> 15)


def partition_of_key(key: bytes, partition_count: int) -> int:
    """Return the partition of every record with this key."""
    return (murmur2(key) & 0x7FFFFFFF) % partition_count


class KeyPartitions(dict[bytes, int]):
    """Caches the partition of keys, so that a hot key is hashed once.

    A dictionary whose missing entries are computed: ``partitions[key]`` always returns a partition. It is
    cleared when it holds ``CACHED_KEYS_MAX`` keys, which bounds it and costs a hot key one hash.
    """

    def __init__(self, partition_count: int) -> None:
        super().__init__()
        self.partition_count = partition_count

    def __missing__(self, key: bytes) -> int:
        """Compute and store the partition."""
        if len(self) >= CACHED_KEYS_MAX:
            self.clear()
        partition = (murmur2(key) & 0x7FFFFFFF) % self.partition_count
        self[key] = partition
        return partition
