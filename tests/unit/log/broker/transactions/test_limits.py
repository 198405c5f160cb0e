"""What others can do to transactions from outside: too many ids, markers by hand, ids that were made up."""

from __future__ import annotations

import pytest

from streamcore.errors import FencedError, ProducerFencedError, UnknownTopicError
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.broker.transactions.listing import TransactionFilter, listed
from streamcore.log.broker.transactions.records import TransactionRecord, TransactionState
from streamcore.log.broker.transactions.table import TransactionTable
from streamcore.log.records.builder import encode_batch
from streamcore.model import TopicPartition
from tests.support.transaction_house import NOW_MS, TARGET, House

_S = TransactionState


@pytest.fixture
def house() -> House:
    return House()


def names_of(house: House) -> list[str]:
    return [each.transactional_id for each in house.log.transactions()]


# --- how many ---------------------------------------------------------------------------------------


def test_the_id_that_is_idle_for_longest_makes_room_for_a_new_one() -> None:
    house = House(BrokerSettings(transactional_id_count_max=3))
    house.produce(house.init("open"), name="open")
    older = house.init("older")
    house.init("newer")

    house.init("another")

    assert names_of(house) == ["another", "newer", "open"]
    assert [each.transactional_id for each in house.crash().transactions()] == ["another", "newer", "open"]
    with pytest.raises(ApiError) as caught:
        house.end(older, "older", commit=False)
    assert caught.value.refusal is ErrorName.INVALID_PRODUCER_ID_MAPPING


def test_a_new_producer_id_is_refused_while_all_known_ones_have_open_transactions() -> None:
    house = House(BrokerSettings(transactional_id_count_max=2))
    identities = {name: house.init(name) for name in ("a", "b")}
    for name, identity in identities.items():
        house.produce(identity, name=name)

    with pytest.raises(ApiError) as caught:
        house.init("c")
    house.end(identities["a"], "a")
    house.init("c")

    assert caught.value.refusal is ErrorName.COORDINATOR_NOT_AVAILABLE
    assert names_of(house) == ["b", "c"]


def test_ids_are_forgotten_in_the_order_of_their_last_use_also_after_a_restart() -> None:
    house = House(BrokerSettings(transactional_id_count_max=3))
    for name in ("a", "b", "c"):
        house.init(name)
        house.clock.advance(1)
    house.init("a")
    house.crash()

    house.init("d")

    assert names_of(house) == ["a", "c", "d"]


def test_a_made_up_producer_id_does_not_use_up_those_that_are_given_out(house: House) -> None:
    for producer_id in (2**63 - 1, 2**62, 500):
        batch = encode_batch(
            [b"k"], [b"v"], [NOW_MS], producer_id=producer_id, producer_epoch=0, base_sequence=0
        )
        (appended,) = house.log.append_encoded([(TARGET, batch)])
        assert appended.error is None
    house.log.node.broker.partition(TARGET).sync()

    log = house.crash()

    assert 500 < log.init_producer_id().producer_id < 2**62


# --- markers by hand --------------------------------------------------------------------------------


def mark(house: House, identity: ProducerIdentity, *, coordinator_epoch: int = 0, version: int = 0) -> None:
    house.broker.transactions.write_marker(
        TARGET, identity, commit=False, coordinator_epoch=coordinator_epoch, version=version
    )


def test_an_abort_marker_ends_a_hanging_transaction_in_one_partition(house: House) -> None:
    identity = house.init()
    house.produce(identity)

    mark(house, identity)
    house.log.node.broker.partition(TARGET).sync()

    offsets = house.log.offsets([TARGET])[TARGET]
    assert offsets.last_stable == offsets.log_end == 2
    assert house.visible_count() == 0
    house.end(identity)
    assert house.visible_count() == 0


def test_a_marker_of_an_older_producer_or_coordinator_is_refused(house: House) -> None:
    identity = house.init()
    house.produce(identity)
    newer = ProducerIdentity(identity.producer_id, identity.epoch + 1)
    mark(house, newer, coordinator_epoch=4)

    with pytest.raises(ProducerFencedError):
        mark(house, identity, coordinator_epoch=4)
    with pytest.raises(FencedError):
        mark(house, newer, coordinator_epoch=3)
    with pytest.raises(UnknownTopicError):
        house.broker.transactions.write_marker(
            TopicPartition("nowhere", 0), newer, commit=False, coordinator_epoch=0, version=0
        )


def test_a_late_marker_does_not_end_the_next_transaction_where_epochs_move(house: House) -> None:
    identity = house.end(house.init(), commit=False)
    house.produce(identity)

    with pytest.raises(ApiError) as caught:
        mark(house, identity, version=2)

    assert caught.value.refusal is ErrorName.PRODUCER_FENCED
    house.end(identity)
    assert house.visible_count() == 1


@pytest.mark.parametrize("is_restarted", [False, True])
def test_markers_by_hand_do_not_keep_the_coordinator_from_its_own(house: House, is_restarted: bool) -> None:
    # Whoever may write them may put any epoch on them, by mistake or not.
    identity = house.init()
    house.produce(identity)
    mark(house, ProducerIdentity(identity.producer_id, 32_767), coordinator_epoch=2**31 - 1)
    if is_restarted:
        house.log.node.broker.partition(TARGET).sync()
        house.crash()

    moved = house.end(identity)

    assert moved.epoch == identity.epoch + 1
    assert house.log.transactions()[0].state == "CompleteCommit"
    house.log.close()
    house.open()


# --- listing ----------------------------------------------------------------------------------------


def test_transactions_are_listed_by_state_producer_and_age() -> None:
    table = TransactionTable()
    states = {"e": _S.EMPTY, "o": _S.ONGOING, "c": _S.COMPLETE_COMMIT}
    for index, (name, state) in enumerate(states.items()):
        started_ms = -1 if state is _S.EMPTY else NOW_MS
        producer = ProducerIdentity(index, 0)
        record = TransactionRecord(name, producer, 1000, state, frozenset(), NOW_MS, started_ms)
        table.put(name, record)

    def found(wanted: TransactionFilter) -> str:
        return "".join(each.transactional_id for each in listed(table, wanted, NOW_MS + 10))

    assert found(TransactionFilter()) == "ceo"
    assert found(TransactionFilter(states=[_S.ONGOING])) == "o"
    assert found(TransactionFilter(states=[])) == ""
    assert found(TransactionFilter(producer_ids=[0, 2])) == "ce"
    assert found(TransactionFilter(longer_than_ms=9)) == "ceo"
    # One that has not begun has, by Kafka's reckoning, begun before everything.
    assert found(TransactionFilter(longer_than_ms=10)) == "e"
    assert found(TransactionFilter(has_name=lambda name: name > "d")) == "eo"
