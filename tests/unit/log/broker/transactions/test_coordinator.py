"""Transactions beyond the port's contract: time, retries, epochs, restarts, batches that nobody covers."""

from __future__ import annotations

import pytest

from streamcore.errors import (
    InvalidConfigError,
    InvalidTransactionStateError,
    ProducerFencedError,
    UsageError,
)
from streamcore.log.broker.api_errors import ErrorName
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.operations import DurableUntil
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.records.builder import encode_batch
from streamcore.model import CommittedOffset, RecordColumns, TopicPartition
from streamcore.testing.sim_disk import PowerCut
from tests.support.transaction_house import NOW_MS, TARGET, House, refusal_of

DAY_MS = 24 * 3_600_000


@pytest.fixture
def house() -> House:
    return House()


def test_a_transaction_open_for_too_long_is_aborted_and_its_producer_fenced(house: House) -> None:
    identity = house.log.init_producer_id("t", timeout_ms=1000)
    house.append("t", identity)

    house.clock.advance(1000)
    house.log.maintain()
    in_time = house.state("t")
    house.clock.advance(1)
    house.log.maintain()

    assert (in_time, house.state("t")) == ("Ongoing", "CompleteAbort")
    assert house.visible_count() == 0
    with pytest.raises(ProducerFencedError):
        house.log.end_transaction("t", identity, commit=True)


def test_an_unused_transactional_id_expires(house: House) -> None:
    house.log.init_producer_id("old")

    house.clock.advance(7 * DAY_MS + 1)
    house.log.init_producer_id("new")
    house.log.maintain()

    assert [each.transactional_id for each in house.log.transactions()] == ["new"]
    house.log.close()
    assert [each.transactional_id for each in house.open().transactions()] == ["new"]


def test_ending_twice_the_same_way_answers_the_same(house: House) -> None:
    identity = house.log.init_producer_id("t")
    house.append("t", identity)

    house.log.end_transaction("t", identity, commit=True)
    house.log.end_transaction("t", identity, commit=True)

    assert house.visible_count() == 1
    with pytest.raises(InvalidTransactionStateError):
        house.log.end_transaction("t", identity, commit=False)


def test_there_must_be_something_to_end(house: House) -> None:
    identity = house.log.init_producer_id("t")

    with pytest.raises(InvalidTransactionStateError):
        house.log.end_transaction("t", identity, commit=True)
    with pytest.raises(ProducerFencedError):
        house.log.end_transaction("unknown", identity, commit=True)


def test_a_time_out_outside_of_the_limits_is_refused(house: House) -> None:
    for timeout_ms in (0, -1, 900_001):
        with pytest.raises(InvalidConfigError):
            house.log.init_producer_id("t", timeout_ms=timeout_ms)
    with pytest.raises(UsageError):
        house.log.init_producer_id("")


def test_a_transactional_batch_that_no_transaction_covers_is_refused(house: House) -> None:
    identity = house.log.init_producer_id("t")

    (known,) = house.log.append_encoded([(TARGET, house.batch(identity))])
    (unknown,) = house.log.append_encoded([(TARGET, house.batch(ProducerIdentity(99, 0)))])

    assert isinstance(known.error, InvalidTransactionStateError)
    assert isinstance(unknown.error, ProducerFencedError)
    assert house.log.offsets([TARGET])[TARGET].log_end == 0


def test_each_batch_has_its_own_fate(house: House) -> None:
    good = encode_batch([b"k"], [b"v"], [NOW_MS])
    damaged = encode_batch([b"k"], [b"v"], [NOW_MS])
    damaged[-1] ^= 1

    appended = house.log.append_encoded(
        [(TARGET, damaged), (TopicPartition("nowhere", 0), good[:]), (TARGET, good)]
    )
    house.log.wait_durable(appended)

    assert [each.error is None for each in appended] == [False, False, True]
    assert (appended[2].base_offset, appended[2].end_offset) == (0, 1)
    assert house.visible_count() == 1


def test_a_batch_that_is_sent_again_is_not_written_again(house: House) -> None:
    identity = house.log.init_producer_id("t")
    house.append("t", identity)

    house.append("t", identity)
    house.log.end_transaction("t", identity, commit=True)

    assert house.visible_count() == 1


def test_producer_ids_are_never_given_out_twice_whatever_crashes(house: House) -> None:
    given: list[int] = []
    for _ in range(5):
        given += [house.log.init_producer_id().producer_id for _ in range(4)]
        house.crash()

    assert len(set(given)) == len(given)


def test_a_new_incarnation_has_the_same_producer_id_and_a_newer_epoch(house: House) -> None:
    first = house.log.init_producer_id("t")
    second = house.log.init_producer_id("t")
    third = house.crash().init_producer_id("t")

    assert {first.producer_id, second.producer_id, third.producer_id} == {first.producer_id}
    assert first.epoch < second.epoch < third.epoch


def test_a_transaction_over_a_deleted_topic_still_commits_elsewhere(house: House) -> None:
    other = TopicPartition("other", 0)
    house.log.create_topic("other")
    producer = house.log.producer_port(transactional_id="t")

    with producer.transaction() as transaction:
        transaction.append_columns(TARGET, RecordColumns([b"k"], [b"v"], [NOW_MS]))
        transaction.append_columns(other, RecordColumns([b"k"], [b"v"], [NOW_MS]))
        house.log.delete_topic("other")

    assert house.visible_count() == 1
    assert house.state("t") == "CompleteCommit"


def test_transactions_decided_before_a_crash_are_completed_at_the_next_start(house: House) -> None:
    # The power goes off once at every operation of a commit; the outcome is never in between.
    outcomes: set[tuple[int, int]] = set()
    for moment in range(1, 30):
        house = House()
        identity = house.log.init_producer_id("t")
        house.append("t", identity)
        house.log.commit_offsets_in_transaction("t", identity, "g", {TARGET: CommittedOffset(1)})
        house.disk.crash_at(moment)
        try:
            house.log.end_transaction("t", identity, commit=True)
            is_acknowledged = True
        except PowerCut:
            is_acknowledged = False
        house.crash().init_producer_id("t")

        outcome = (house.visible_count(), len(house.log.committed("g")))
        assert outcome == (1, 1) or not is_acknowledged
        outcomes.add(outcome)

    assert outcomes == {(0, 0), (1, 1)}


def test_nothing_of_a_transaction_stays_undecided_after_a_crash(house: House) -> None:
    # The records reach the disk, but not the record that names the partition for the coordinator.
    other = TopicPartition("other", 0)
    house.log.create_topic("other")
    producer = house.log.producer_port(transactional_id="t")
    context = producer.transaction()
    transaction = context.__enter__()
    transaction.append_columns(TARGET, RecordColumns([b"k"], [b"v"], [NOW_MS]))
    transaction.append_columns(other, RecordColumns([b"k"], [b"v"], [NOW_MS]))
    house.log.node.broker.partition(other).sync()
    house.log.node.broker.partition(TARGET).sync()

    log = house.crash()
    log.init_producer_id("t")

    for partition in (TARGET, other):
        offsets = log.offsets([partition])[partition]
        assert offsets.last_stable == offsets.high_watermark == 2


def test_another_operation_does_not_come_between_two_steps_of_an_ending(house: House) -> None:
    broker: Broker = house.log._broker
    identity = house.log.init_producer_id("t")
    house.append("t", identity)
    ending = broker.transactions.end_transaction("t", identity, commit=True)

    first_wait = next(ending)

    assert isinstance(first_wait, DurableUntil)
    assert refusal_of(broker.transactions.join("t", identity, [TARGET])) is ErrorName.CONCURRENT_TRANSACTIONS
    again = broker.transactions.end_transaction("t", identity, commit=False)
    assert refusal_of(again) is ErrorName.CONCURRENT_TRANSACTIONS
    house.log._driver.run(ending)
    assert house.state("t") == "CompleteCommit"
