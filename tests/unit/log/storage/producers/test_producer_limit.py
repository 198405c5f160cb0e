"""How many producers are remembered: a bound for each partition, one for all, and who goes first."""

from __future__ import annotations

import pytest

from streamcore.errors import OutOfOrderSequenceError, RequestTimeoutError
from streamcore.log.records.builder import encode_batch
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.settings import LogSettings
from streamcore.model import TopicPartition
from tests.support.managed_log import ManagedLog
from tests.support.partition_fixture import NOW_MS, ROOT, OnePartition


class Crowded(OnePartition):
    """A log that remembers few producers, with two partitions."""

    def __init__(self, *, partition_max: int, all_max: int) -> None:
        super().__init__()
        self.settings = LogSettings(partition_producer_count_max=partition_max, producer_count_max=all_max)
        self.reopen()
        self.manager.add_partitions("t", 2)

    def log_of(self, partition: int) -> PartitionLog:
        return self.manager.partition(TopicPartition("t", partition))

    def write(
        self, producer_id: int, *, partition: int = 0, sequence: int = 0, is_open: bool = False
    ) -> bool:
        """One batch, a moment later than the one before; whether it was there already."""
        self.clock.advance(1)
        batch = encode_batch(
            [b"k"],
            [b"v"],
            [NOW_MS],
            producer_id=producer_id,
            producer_epoch=0,
            base_sequence=sequence,
            transactional=is_open,
        )
        return self.log_of(partition).append(batch, now_ms=self.clock.now_ms()).is_duplicate

    def known(self, partition: int = 0) -> set[int]:
        return set(self.log_of(partition).producer_states)


def test_the_producer_that_is_silent_for_longest_goes_from_its_partition() -> None:
    one = Crowded(partition_max=3, all_max=100)
    for producer_id in (1, 2, 3):
        one.write(producer_id)
    one.write(1, sequence=1)

    one.write(4)

    assert one.known() == {1, 3, 4}
    assert one.write(1, sequence=1)


def test_several_go_at_once_where_there_are_many() -> None:
    one = Crowded(partition_max=80, all_max=1000)
    for producer_id in range(80):
        one.write(producer_id)

    one.write(100)

    assert one.known() == {*range(10, 80), 100}


def test_the_bound_over_all_partitions_takes_from_whichever_has_the_oldest() -> None:
    one = Crowded(partition_max=100, all_max=4)
    one.write(1, partition=1)
    one.write(2)
    one.write(3)
    one.write(4)

    one.write(5)

    assert (one.known(0), one.known(1)) == ({2, 3, 4, 5}, set())


def test_a_producer_with_an_open_transaction_is_never_forgotten() -> None:
    one = Crowded(partition_max=2, all_max=100)
    one.write(1, is_open=True)
    one.write(2)

    for producer_id in range(3, 20):
        one.write(producer_id)
    one.log_of(0).sync()

    assert 1 in one.known()
    assert len(one.known()) == 2
    assert one.log_of(0).offsets.last_stable == 0


@pytest.mark.parametrize(("partition_max", "all_max"), [(2, 100), (100, 2)])
def test_new_producers_wait_while_all_that_may_be_have_open_transactions(
    partition_max: int, all_max: int
) -> None:
    one = Crowded(partition_max=partition_max, all_max=all_max)
    one.write(1, is_open=True)
    one.write(2, is_open=True)
    end = one.log_of(0).offsets.log_end

    with pytest.raises(RequestTimeoutError):
        one.write(3)
    assert one.log_of(0).offsets.log_end == end
    one.write(1, sequence=1, is_open=True)
    one.end(1, commit=True)
    one.write(3)

    assert one.known() == {2, 3}


def test_a_marker_for_a_producer_with_nothing_there_needs_room_too() -> None:
    one = Crowded(partition_max=1, all_max=100)
    one.write(1, is_open=True)

    with pytest.raises(RequestTimeoutError):
        one.end(2, commit=True)
    one.end(1, commit=True)
    one.end(2, commit=True)

    assert one.known() == {2}


def test_producers_of_deleted_topics_take_no_room() -> None:
    one = Crowded(partition_max=100, all_max=3)
    one.manager.create_topic("gone", 1, {})
    other = one.manager.partition(TopicPartition("gone", 0))
    batch = encode_batch([b"k"], [b"v"], [NOW_MS], producer_id=9, producer_epoch=0, base_sequence=0)
    other.append(batch, now_ms=NOW_MS)
    one.write(1)
    one.write(2)
    one.manager.delete_topic("gone")
    del other

    one.write(3)

    assert one.known() == {1, 2, 3}


def test_more_producers_than_the_limit_are_known_after_a_start_until_a_new_one_appends() -> None:
    one = Crowded(partition_max=100, all_max=100)
    for producer_id in range(10):
        one.write(producer_id)
    one.manager.close()

    settings = LogSettings(partition_producer_count_max=3, producer_count_max=100)
    one.manager = ManagedLog.open(ROOT, file_system=one.disk, clock=one.clock, settings=settings)
    with pytest.raises(OutOfOrderSequenceError):
        one.write(0, sequence=7)
    one.write(100)

    assert one.known() == {8, 9, 100}
