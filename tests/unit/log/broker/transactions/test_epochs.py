"""Transactions of clients whose epoch moves with each (KIP-890), and that outlive the log they speak to."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import msgspec
import pytest
from msgspec.structs import replace

from streamcore.errors import OutOfOrderSequenceError
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.operations import Completed, DurableUntil
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.broker.transactions.rules import EPOCH_LAST
from streamcore.model import CommittedOffset, TopicPartition
from streamcore.testing.sim_disk import PowerCut
from tests.support.transaction_house import TARGET, House, refusal_in, refusal_of

OTHER = TopicPartition("other", 0)


@pytest.fixture
def house() -> House:
    return House()


def at_the_last_epoch(house: House) -> ProducerIdentity:
    """A producer that has one epoch left."""
    house.init()
    record = house.broker.transactions.table["t"]
    last = msgspec.structs.replace(
        record, identity=ProducerIdentity(record.identity.producer_id, EPOCH_LAST - 1)
    )
    house.broker.transactions.replay("t", last)
    return house.init()


def test_each_ending_moves_the_epoch(house: House) -> None:
    first = house.init()

    house.produce(first)
    second = house.end(first)
    house.produce(second)
    third = house.end(second, commit=False)

    assert [each.epoch for each in (first, second, third)] == [0, 1, 2]
    assert house.visible_count() == 1


def test_late_records_of_a_transaction_never_get_into_the_next(house: House) -> None:
    old = house.init()
    house.produce(old)
    new = house.end(old, commit=False)
    house.produce(new)

    late = house.produce(old, sequence=1)

    assert refusal_in(late) is ErrorName.PRODUCER_FENCED
    house.end(new)
    assert house.visible_count() == 1


def test_an_ending_that_is_asked_for_again_is_answered_the_same(house: House) -> None:
    identity = house.init()
    house.produce(identity)

    answers = [house.end(identity) for _ in range(3)]

    assert set(answers) == {ProducerIdentity(identity.producer_id, 1)}
    with pytest.raises(ApiError) as caught:
        house.end(identity, commit=False)
    assert caught.value.refusal is ErrorName.INVALID_TXN_STATE


def test_aborting_nothing_moves_the_epoch_too(house: House) -> None:
    identity = house.init()

    moved = house.end(identity, commit=False)

    assert moved.epoch == 1
    assert refusal_in(house.produce(identity)) is ErrorName.PRODUCER_FENCED


def test_a_producer_continues_under_a_new_id_when_its_epochs_are_used_up(house: House) -> None:
    last = at_the_last_epoch(house)
    house.produce(last)

    new = house.end(last)

    assert last.epoch == EPOCH_LAST
    assert (new.producer_id != last.producer_id, new.epoch) == (True, 0)
    assert house.end(last) == new
    assert refusal_in(house.produce(last, sequence=1)) is ErrorName.INVALID_PRODUCER_ID_MAPPING
    assert house.produce(new).error is None
    house.end(new)
    assert house.visible_count() == 2


@pytest.mark.slow
@pytest.mark.parametrize("start", [House.init, at_the_last_epoch], ids=["next epoch", "next producer id"])
def test_acknowledged_commits_survive_a_power_cut(
    start: Callable[[House], ProducerIdentity],
) -> None:
    # Once at every file operation of the ending. The client asks again until it is answered.
    answers: set[ProducerIdentity] = set()
    for moment in range(1, 40):
        house = House()
        house.log.create_topic("other")
        identity = start(house)
        house.produce(identity)
        house.produce(identity, target=OTHER)
        house.log.commit_offsets_in_transaction("t", identity, "g", {TARGET: CommittedOffset(1)})
        house.wait_for(house.broker.written_to([house.broker.groups.partition_for("g")]))
        house.disk.crash_at(moment)
        with suppress(PowerCut):
            house.end(identity)
        house.crash()

        answer = house.end(identity)

        assert house.end(identity) == answer
        assert (house.visible_count(), len(house.log.committed("g"))) == (1, 1), moment
        offsets = house.log.offsets([OTHER])[OTHER]
        assert offsets.last_stable == offsets.high_watermark == 2
        assert house.produce(answer).error is None
        answers.add(replace(answer, producer_id=answer.producer_id - identity.producer_id))
    assert len({answer.epoch for answer in answers}) == 1


# --- order ------------------------------------------------------------------------------------------


def test_batches_are_appended_as_they_came_although_the_first_waits_for_the_disk(house: House) -> None:
    identity = house.init()
    operations = [
        house.broker.batches.append_each([(TARGET, house.batch(identity, sequence))], "t", joins_as=2)
        for sequence in range(3)
    ]

    waits = [next(operation) for operation in operations]
    results = [house.run(operation)[0] for operation in operations]

    assert [type(wait) for wait in waits] == [DurableUntil, Completed, Completed]
    assert [(each.base_offset, each.error) for each in results] == [(0, None), (1, None), (2, None)]


def test_batches_of_a_closed_connection_do_not_delay_others(house: House) -> None:
    identity = house.init()
    operations = [
        house.broker.batches.append_each([(TARGET, house.batch(identity, 0))], "t", joins_as=2)
        for _ in range(4)
    ]
    for operation in operations:
        next(operation)

    operations[1].close()
    operations[0].close()
    operations[2].close()

    assert house.run(operations[3])[0].error is None


def test_a_transactions_first_batch_in_a_partition_has_sequence_0(house: House) -> None:
    identity = house.init()

    in_a_new_partition = house.produce(identity, sequence=4)
    house.produce(identity)
    moved = house.end(identity)
    after_another = house.produce(moved, sequence=1)

    assert isinstance(in_a_new_partition.error, OutOfOrderSequenceError)
    assert isinstance(after_another.error, OutOfOrderSequenceError)


# --- others in between ------------------------------------------------------------------------------


def test_an_ending_under_way_is_not_waited_for_but_can_be(house: House) -> None:
    identity = house.init()
    house.produce(identity)
    transactions = house.broker.transactions
    ending = transactions.end_transaction("t", identity, commit=True, version=2)
    next(ending)

    refused = [
        refusal_of(transactions.init_producer_id("t", 1000)),
        refusal_of(transactions.join("t", identity, [TARGET])),
        refusal_of(transactions.end_transaction("t", identity, commit=True, version=2)),
    ]
    waiting = transactions.ended("t", house.clock.monotonic_s() + 1)
    next(waiting)

    assert set(refused) == {ErrorName.CONCURRENT_TRANSACTIONS}
    house.run(ending)
    with pytest.raises(StopIteration) as stopped:
        next(waiting)
    assert stopped.value.value is True


def test_a_transaction_that_ends_while_a_batch_waits_to_join_it_does_not_get_the_batch(house: House) -> None:
    identity = house.init()
    joining = house.broker.batches.append_each([(TARGET, house.batch(identity))], "t", joins_as=2)
    next(joining)

    house.end(identity, commit=False)
    ((appended),) = house.run(joining)

    assert refusal_in(appended) is ErrorName.PRODUCER_FENCED
    assert house.log.offsets([TARGET])[TARGET].log_end == 1  # the marker alone


def test_a_fenced_producer_that_requests_its_next_epoch_ends_no_transaction(house: House) -> None:
    old = house.init()
    new = house.init()
    house.produce(new)

    with pytest.raises(ApiError) as caught:
        house.init(expected=old)

    assert caught.value.refusal is ErrorName.PRODUCER_FENCED
    house.end(new)
    assert house.visible_count() == 1


def test_a_producer_has_its_own_open_transaction_aborted_by_asking_for_its_next_epoch(house: House) -> None:
    identity = house.init()
    house.produce(identity)

    moved = house.init(expected=identity)

    assert moved == ProducerIdentity(identity.producer_id, identity.epoch + 1)
    assert house.init(expected=identity) == moved
    house.produce(moved)
    house.end(moved)
    assert house.visible_count() == 1


def test_a_producer_whose_transaction_timed_out_continues_with_the_next_epoch(house: House) -> None:
    identity = house.init(timeout_ms=1000)
    house.produce(identity)
    house.clock.advance(1001)
    house.log.maintain()

    with pytest.raises(ApiError) as caught:
        house.end(identity)
    moved = house.init(expected=identity)

    assert caught.value.refusal is ErrorName.INVALID_TXN_STATE
    assert moved.epoch == identity.epoch + 1
    assert house.visible_count() == 0


def test_partitions_that_wait_to_join_a_transaction_learn_that_it_has_ended(house: House) -> None:
    identity = house.init()
    joining = house.broker.transactions.add_partitions("t", identity, [TARGET])
    next(joining)

    house.end(identity, commit=False, version=0)

    with pytest.raises(ApiError) as caught:
        house.run(joining)
    assert caught.value.refusal is ErrorName.TRANSACTION_ABORTABLE
