"""Open batches: which batch a record is in, when batches are due, and in which order they leave."""

from __future__ import annotations

from random import Random
from uuid import UUID

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import UnknownTopicError
from streamcore.log.client.port import TopicDescription
from streamcore.log.client.producer.accumulator import Accumulator
from streamcore.log.client.producer.pending import PendingBatch
from streamcore.log.client.producer.record_columns import SizedColumns
from streamcore.model import TopicPartition
from streamcore.partitioning import partition_of_key


class NoSettler:
    """Settles nothing: no test here waits for a record."""

    def settle(self, batch: PendingBatch, timeout_s: float | None) -> None:
        raise AssertionError("nothing is waited for")

    def hurry(self) -> None:
        raise AssertionError("nothing is waited for")


class Batches:
    """An accumulator for topics that a test changes. Batches take 100 bytes and linger for a second."""

    def __init__(self, **partition_counts: int) -> None:
        self.clock = ManualClock()
        self.topics = {
            name: TopicDescription(name, UUID(int=0), count) for name, count in partition_counts.items()
        }
        self.described_count = 0
        self.accumulator = Accumulator(
            self._describe,
            NoSettler(),
            batch_bytes_max=100,
            linger_s=1.0,
            monotonic_s=self.clock.monotonic_s,
            random=Random(7),
        )

    def _describe(self) -> dict[str, TopicDescription]:
        self.described_count += 1
        return self.topics

    def add(
        self, value: bytes, *, key: bytes | None = None, partition: int | None = None, size_bytes: int = 40
    ) -> PendingBatch:
        return self.accumulator.add("t", partition, key, value, 0, (), size_bytes)

    def add_columns(
        self, *values: bytes, keys: list[bytes | None], size_bytes: int = 40
    ) -> list[list[bytes]]:
        """Add records; return the values of each piece."""
        pieces: list[tuple[PendingBatch, int, int]] = []
        sizes = [size_bytes] * len(values)
        columns = SizedColumns(
            keys, list(values), [0] * len(values), None, sizes_bytes=sizes, size_bytes=sum(sizes)
        )
        self.accumulator.add_columns("t", None, columns, pieces)
        return [[value or b"" for value in batch.values[first:end]] for batch, first, end in pieces]

    def sealed(self) -> list[list[bytes | None]]:
        return [list(batch.values) for batch in self.accumulator.take_sealed()]


def test_a_batch_that_a_record_does_not_fit_into_is_sealed() -> None:
    batches = Batches(t=1)

    first, second, third = batches.add(b"a"), batches.add(b"b"), batches.add(b"c")

    assert first is second
    assert third is not second
    assert batches.sealed() == [[b"a", b"b"]]


def test_a_record_larger_than_a_batch_has_one_of_its_own() -> None:
    batches = Batches(t=1)

    batches.add(b"a")
    batches.add(b"large", size_bytes=500)
    batches.add(b"b")

    assert batches.sealed() == [[b"a"], [b"large"]]


def test_a_batch_is_due_when_its_linger_is_over() -> None:
    batches = Batches(t=1)
    batches.add(b"a")

    batches.clock.advance(999)
    batches.accumulator.seal_due(batches.clock.monotonic_s())
    assert batches.sealed() == []

    batches.clock.advance(1)
    assert batches.accumulator.due_s() == batches.clock.monotonic_s()
    batches.accumulator.seal_due(batches.clock.monotonic_s())
    assert batches.sealed() == [[b"a"]]
    assert batches.accumulator.due_s() is None


def test_a_sealed_batch_is_due_at_once() -> None:
    batches = Batches(t=1)
    batches.add(b"a", size_bytes=90)
    batches.add(b"b", size_bytes=90)

    assert batches.accumulator.due_s() == float("-inf")


def test_a_key_has_the_partition_that_every_client_gives_it() -> None:
    batches = Batches(t=8)

    for key in (b"a", b"b", b"c"):
        assert batches.add(b"v", key=key).partition == TopicPartition("t", partition_of_key(key, 8))


def test_records_without_a_key_stay_in_one_partition_until_its_batch_is_full() -> None:
    batches = Batches(t=8)

    partitions = [batches.add(b"v").partition for _ in range(6)]

    assert partitions[0::2] == partitions[1::2]
    assert len(set(partitions)) > 1


def test_columns_fill_the_open_batch_and_then_new_ones() -> None:
    batches = Batches(t=1)
    batches.add(b"before")

    pieces = batches.add_columns(b"a", b"b", b"c", b"d", keys=[None] * 4)

    assert pieces == [[b"a"], [b"b", b"c"], [b"d"]]
    assert batches.sealed() == [[b"before", b"a"], [b"b", b"c"]]


def test_columns_are_distributed_by_their_keys_in_their_order() -> None:
    batches = Batches(t=2)
    keys: list[bytes | None] = [b"a", b"b", b"c", b"d", b"a"]
    assert {partition_of_key(key or b"", 2) for key in keys} == {0, 1}

    batches.add_columns(b"1", b"2", b"3", b"4", b"5", keys=keys, size_bytes=1)
    batches.accumulator.seal_due(None)

    for batch in batches.accumulator.take_sealed():
        here = [
            number
            for number, key in enumerate(keys, 1)
            if partition_of_key(key or b"", 2) == batch.partition.partition
        ]
        assert batch.values == [b"%d" % number for number in here]


def test_bytes_are_pending_until_the_batches_are_released() -> None:
    batches = Batches(t=1)
    batches.add(b"a", size_bytes=10)
    batches.add_columns(b"b", b"c", keys=[None, None], size_bytes=20)
    batches.accumulator.seal_due(None)

    assert batches.accumulator.pending_bytes == 50
    batches.accumulator.release(batches.accumulator.take_sealed())
    assert batches.accumulator.pending_bytes == 0


def test_a_topic_is_looked_up_once_a_second() -> None:
    batches = Batches(t=1)
    for _ in range(5):
        batches.add(b"v", size_bytes=90)
    assert batches.described_count == 1

    batches.clock.advance(1_000)
    batches.add(b"v", size_bytes=90)
    assert batches.described_count == 2


def test_batches_of_the_former_partition_count_leave_before_those_of_the_new_one() -> None:
    batches = Batches(t=1)
    batches.add(b"before", key=b"k")
    batches.topics["t"] = TopicDescription("t", UUID(int=0), 64)

    batches.clock.advance(1_000)
    batches.add_columns(b"after", keys=[b"k"])
    batches.accumulator.seal_due(None)

    sealed = batches.accumulator.take_sealed()
    assert [batch.values for batch in sealed] == [[b"before"], [b"after"]]
    assert sealed[1].partition == TopicPartition("t", partition_of_key(b"k", 64))


def test_a_partition_that_was_added_meanwhile_is_found_and_another_is_refused() -> None:
    batches = Batches(t=1)
    batches.add(b"v")
    batches.topics["t"] = TopicDescription("t", UUID(int=0), 2)

    assert batches.add(b"v", partition=1).partition == TopicPartition("t", 1)
    with pytest.raises(UnknownTopicError, match="no such partition: topic=t partition=2 partitions=2"):
        batches.add(b"v", partition=2)


def test_a_topic_that_does_not_exist_is_refused_and_nothing_is_pending() -> None:
    batches = Batches()

    with pytest.raises(UnknownTopicError, match="create the topic"):
        batches.add(b"v")

    assert batches.accumulator.pending_bytes == 0
