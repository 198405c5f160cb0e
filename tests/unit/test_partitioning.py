"""Partitions of keys are Kafka's."""

from __future__ import annotations

import pytest

from streamcore import partitioning
from streamcore.partitioning import (
    KeyPartitions,
    murmur2,
    partition_of_key,
)


@pytest.mark.parametrize(
    ("key", "java_hash"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_that_of_kafkas_java_client(key: bytes, java_hash: int) -> None:
    assert murmur2(key) == java_hash % 2**32


def test_an_empty_key_has_a_partition() -> None:
    assert 0 <= partition_of_key(b"", 7) < 7


def test_remembered_partitions_equal_computed_ones() -> None:
    partitions = KeyPartitions(5)
    keys = [b"key-%d" % number for number in range(200)] * 2

    assert [partitions[key] for key in keys] == [partition_of_key(key, 5) for key in keys]


def test_the_memory_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitioning, "CACHED_KEYS_MAX", 10)
    partitions = KeyPartitions(5)

    for number in range(1_000):
        partitions[b"%d" % number]

    assert len(partitions) <= 10
