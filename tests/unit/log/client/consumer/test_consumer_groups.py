"""Consumers that share a group: assignment, takeover, rebalances in every assignor, and their callbacks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from streamcore.errors import StaleGenerationError, UsageError
from streamcore.log.client.consumer.consumer import Consumer
from streamcore.log.client.consumer.fetch_state import BytesRecord
from streamcore.log.connect import connect
from streamcore.log.connected_log import ConnectedLog
from streamcore.model import TopicPartition

PARTITIONS = frozenset(TopicPartition("t", number) for number in range(4))
FAST = "10ms"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ConnectedLog]:
    with connect(tmp_path / "data") as opened:
        opened.create_topic("t", partitions=4)
        yield opened


def poll_all_until(
    consumers: Sequence[Consumer], is_reached: Callable[[], bool], wait_s: float = 10.0
) -> list[BytesRecord]:
    """Poll in turn from this one thread until something holds, as a program with several consumers does."""
    records: list[BytesRecord] = []
    deadline_s = time.monotonic() + wait_s
    while not is_reached():
        assert time.monotonic() < deadline_s, [consumer.assignment() for consumer in consumers]
        for consumer in consumers:
            records += consumer.poll("10ms")
    return records


def are_divided(*consumers: Consumer) -> bool:
    parts = [consumer.assignment() for consumer in consumers]
    return all(parts) and sum(map(len, parts)) == 4 and frozenset().union(*parts) == PARTITIONS


@pytest.mark.parametrize("assignor", ["range", "sticky", "cooperative-sticky"])
def test_members_divide_the_partitions_and_take_over_when_one_closes(
    log: ConnectedLog, assignor: str
) -> None:
    first = log.consumer("t", group="g", assignor=assignor, heartbeat_interval=FAST)
    poll_all_until([first], lambda: first.assignment() == PARTITIONS)

    second = log.consumer("t", group="g", assignor=assignor, heartbeat_interval=FAST)
    poll_all_until([first, second], lambda: are_divided(first, second))
    assert len(first.assignment()) == 2

    first.close()
    poll_all_until([second], lambda: second.assignment() == PARTITIONS)
    second.close()
    assert log.describe_group("g").state == "Empty"


def test_members_that_prefer_different_assignors_use_the_one_they_share(log: ConnectedLog) -> None:
    with (
        log.consumer("t", group="g", assignor=["sticky", "range"], heartbeat_interval=FAST) as first,
        log.consumer("t", group="g", assignor="range", heartbeat_interval=FAST) as second,
    ):
        poll_all_until([first, second], lambda: are_divided(first, second))

        assert log.describe_group("g").protocol == "range"


def test_a_member_continues_at_the_committed_offsets_of_the_member_before(log: ConnectedLog) -> None:
    with log.producer() as producer:
        producer.send_many("t", [(b"%d" % number, b"v%d" % number) for number in range(100)]).result()
    with log.consumer("t", group="g", heartbeat_interval=FAST) as first:
        seen = poll_all_until([first], lambda: first.assignment() == PARTITIONS)
        while not seen:
            seen = first.poll()
        first.commit()
        seen_places = {(record.partition, record.offset) for record in seen}

    with log.consumer("t", group="g", heartbeat_interval=FAST) as second:
        rest: list[BytesRecord] = []
        while len(seen) + len(rest) < 100:
            rest += second.poll()

    assert seen_places.isdisjoint({(record.partition, record.offset) for record in rest})


def test_the_next_owner_reads_uncommitted_records_again(log: ConnectedLog) -> None:
    log.create_topic("one")
    with log.producer() as producer:
        producer.send_many("one", [(None, b"%d" % number) for number in range(10)]).result()
    with log.consumer("one", group="g", heartbeat_interval=FAST) as first:
        records = first.poll("5s", records_max=5)
        first.commit(records[2])

    with log.consumer("one", group="g", heartbeat_interval=FAST) as second:
        again = second.poll("5s")

    assert [record.offset for record in again] == list(range(3, 10))


def test_a_cooperative_member_continues_to_read_the_partitions_that_it_keeps(log: ConnectedLog) -> None:
    revoked: list[TopicPartition] = []
    first = log.consumer(
        "t", group="g", assignor="cooperative-sticky", on_revoked=revoked.extend, heartbeat_interval=FAST
    )
    poll_all_until([first], lambda: first.assignment() == PARTITIONS)

    second = log.consumer("t", group="g", assignor="cooperative-sticky", heartbeat_interval=FAST)
    kept_sizes = []
    deadline_s = time.monotonic() + 10
    while not are_divided(first, second):
        assert time.monotonic() < deadline_s
        first.poll("10ms")
        kept_sizes.append(len(first.assignment()))
        second.poll("10ms")

    assert min(kept_sizes) == 2
    assert len(revoked) == 2
    assert first.assignment().isdisjoint(revoked)
    first.close()
    second.close()


def test_an_eager_member_gives_everything_up_while_the_group_agrees(log: ConnectedLog) -> None:
    revoked: list[TopicPartition] = []
    assigned: list[tuple[TopicPartition, ...]] = []
    first = log.consumer(
        "t",
        group="g",
        on_revoked=revoked.extend,
        on_assigned=lambda places: assigned.append(tuple(places)),
        heartbeat_interval=FAST,
    )
    poll_all_until([first], lambda: first.assignment() == PARTITIONS)
    with log.consumer("t", group="g", heartbeat_interval=FAST) as second:
        poll_all_until([first, second], lambda: are_divided(first, second))

        assert set(revoked) == PARTITIONS
        assert [len(places) for places in assigned] == [4, 2]
    first.close()


def test_positions_can_be_committed_while_partitions_are_being_revoked(log: ConnectedLog) -> None:
    with log.producer() as producer:
        producer.send_many("t", [(b"%d" % number, b"v") for number in range(40)]).result()
    first = log.consumer("t", group="g", on_revoked=lambda _: first.commit(), heartbeat_interval=FAST)
    seen = poll_all_until([first], lambda: sum(first.lag().values()) == 0 and len(first.assignment()) == 4)
    with log.consumer("t", group="g", heartbeat_interval=FAST) as second:
        again = poll_all_until([first, second], lambda: are_divided(first, second))

    assert len(seen) == 40
    assert again == []
    first.close()


def test_a_member_that_stops_polling_is_replaced_and_may_not_commit_any_more(log: ConnectedLog) -> None:
    with log.producer() as producer:
        producer.send_many("t", [(b"%d" % number, b"v") for number in range(40)]).result()
    lost: list[TopicPartition] = []
    stuck = log.consumer(
        "t", group="g", max_poll_interval="150ms", on_lost=lost.extend, heartbeat_interval=FAST
    )
    poll_all_until([stuck], lambda: stuck.assignment() == PARTITIONS)
    with log.consumer("t", group="g", heartbeat_interval=FAST) as other:
        poll_all_until([other], lambda: other.assignment() == PARTITIONS)

        with pytest.raises(StaleGenerationError):
            stuck.commit({TopicPartition("t", 0): 1})

        poll_all_until([stuck, other], lambda: are_divided(stuck, other))
        assert set(lost) == PARTITIONS
    stuck.close()


def test_a_consumer_that_is_dropped_without_close_leaves_its_group(log: ConnectedLog) -> None:
    dropped = [log.consumer("t", group="g", heartbeat_interval=FAST)]
    poll_all_until(dropped, lambda: dropped[0].assignment() == PARTITIONS)
    dropped.clear()

    with log.consumer("t", group="g", heartbeat_interval=FAST) as heir:
        poll_all_until([heir], lambda: heir.assignment() == PARTITIONS)


def test_a_static_member_that_restarts_gets_its_partitions_back_without_a_rebalance(
    log: ConnectedLog,
) -> None:
    one = log.consumer("t", group="g", group_instance_id="one", heartbeat_interval=FAST)
    two = log.consumer("t", group="g", group_instance_id="two", heartbeat_interval=FAST)
    poll_all_until([one, two], lambda: are_divided(one, two))
    before, generation = one.assignment(), log.describe_group("g").generation

    one.close()
    one = log.consumer("t", group="g", group_instance_id="one", heartbeat_interval=FAST)
    poll_all_until([one, two], lambda: one.assignment() == before)

    assert log.describe_group("g").generation == generation
    one.close()
    two.close()


def test_a_second_member_with_the_same_static_name_fences_the_first(log: ConnectedLog) -> None:
    first = log.consumer("t", group="g", group_instance_id="same", heartbeat_interval=FAST)
    poll_all_until([first], lambda: first.assignment() == PARTITIONS)
    second = log.consumer("t", group="g", group_instance_id="same", heartbeat_interval=FAST)
    poll_all_until([second], lambda: second.assignment() == PARTITIONS)

    with pytest.raises(StaleGenerationError, match="static"):
        poll_all_until([first], lambda: False, wait_s=5)

    first.close()
    second.close()


@pytest.mark.slow
def test_partitions_that_are_added_to_a_topic_find_a_member(log: ConnectedLog) -> None:
    with log.consumer("t", group="g", heartbeat_interval=FAST) as consumer:
        poll_all_until([consumer], lambda: consumer.assignment() == PARTITIONS)
        log.alter_topic("t", partitions=6)

        poll_all_until([consumer], lambda: len(consumer.assignment()) == 6)


def test_a_cooperative_member_may_commit_during_every_phase_of_a_rebalance(
    log: ConnectedLog,
) -> None:
    with log.producer() as producer:
        producer.send_many("t", [(b"%d" % number, b"v") for number in range(100)]).result()
    first = log.consumer(
        "t",
        group="g",
        assignor="cooperative-sticky",
        heartbeat_interval=FAST,
        on_revoked=lambda _: first.commit(),
    )
    seen = poll_all_until([first], lambda: len(first.assignment()) == 4 and not any(first.lag().values()))
    second = log.consumer("t", group="g", assignor="cooperative-sticky", heartbeat_interval=FAST)
    assert second.poll("20ms") == []
    assert first.poll("20ms") == []
    poll_all_until([second], lambda: log.describe_group("g").generation > 1)

    first.commit()

    assert len(seen) == 100
    assert poll_all_until([first, second], lambda: are_divided(first, second)) == []
    first.close()
    second.close()


def test_two_threads_in_one_group_read_every_record_once_between_them(log: ConnectedLog) -> None:
    total = 2_000
    seen: list[tuple[int, int]] = []
    is_done = threading.Event()

    def work() -> None:
        with log.consumer("t", group="g", assignor="cooperative-sticky", heartbeat_interval=FAST) as consumer:
            while not is_done.is_set():
                records = consumer.poll("20ms", records_max=50)
                if records:
                    consumer.commit()
                    seen.extend((record.partition, record.offset) for record in records)
                    if len(seen) >= total:
                        is_done.set()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    with log.producer() as producer:
        for number in range(total):
            producer.send("t", key=b"%d" % number, value=b"v")
    for thread in threads:
        thread.join(timeout=30)

    assert not any(thread.is_alive() for thread in threads)
    assert len(set(seen)) == total
    assert sum(position.committed or 0 for position in log.describe_group("g").positions) == total


def test_closing_a_member_that_waits_for_others_does_not_hang(log: ConnectedLog) -> None:
    first = log.consumer("t", group="g", heartbeat_interval=FAST)
    poll_all_until([first], lambda: first.assignment() == PARTITIONS)
    second = log.consumer("t", group="g", heartbeat_interval=FAST)
    assert second.poll("50ms") == []

    second.close()

    poll_all_until([first], lambda: first.assignment() == PARTITIONS)
    first.close()


def test_a_group_with_members_is_neither_reset_nor_deleted(log: ConnectedLog) -> None:
    with log.consumer("t", group="g", heartbeat_interval=FAST) as consumer:
        poll_all_until([consumer], lambda: consumer.assignment() == PARTITIONS)

        with pytest.raises(UsageError):
            log.reset_group("g", "earliest", topics=["t"])
        with pytest.raises(UsageError):
            log.delete_group("g")
