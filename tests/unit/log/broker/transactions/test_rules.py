"""What a producer may do to its transaction in each state: the table is Apache Kafka 4.3's, asked by hand."""

from __future__ import annotations

import pytest

from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.broker.transactions import rules
from streamcore.log.broker.transactions.records import TransactionRecord, TransactionState
from streamcore.model import TopicPartition

NOW_MS = 1_700_000_000_000
TARGET = TopicPartition("t", 0)
_S = TransactionState

EMPTY, ONGOING = _S.EMPTY, _S.ONGOING
PREPARE_COMMIT, PREPARE_ABORT = _S.PREPARE_COMMIT, _S.PREPARE_ABORT
COMMITTED, ABORTED = _S.COMPLETE_COMMIT, _S.COMPLETE_ABORT

MAPPING, FENCED = ErrorName.INVALID_PRODUCER_ID_MAPPING, ErrorName.PRODUCER_FENCED
INVALID = ErrorName.INVALID_TXN_STATE


def record_in(
    state: TransactionState, epoch: int = 5, *, client_version: int = 2, last_epoch: int = -1
) -> TransactionRecord:
    return TransactionRecord(
        "x",
        ProducerIdentity(7, epoch),
        60_000,
        state,
        frozenset() if state is EMPTY else frozenset({TARGET}),
        NOW_MS,
        NOW_MS,
        previous_producer_id=7,
        client_version=client_version,
        last_epoch=last_epoch,
    )


def outcome_of(record: TransactionRecord, epoch: int, *, commit: bool, version: int) -> object:
    identity = ProducerIdentity(7, epoch)
    try:
        step = rules.ending(record, "x", identity, commit=commit, version=version)
    except ApiError as refused:
        return refused.refusal
    return step.state if isinstance(step, rules.Prepare) else type(step)


GO_ON, ENDED = rules.GoOn, rules.AlreadyEnded

WITH_THE_EPOCH_KEPT = [
    # state, producer's epoch minus the record's, outcome of a commit, of an abort
    (EMPTY, 0, INVALID, INVALID),
    (ONGOING, 0, PREPARE_COMMIT, PREPARE_ABORT),
    (PREPARE_COMMIT, 0, GO_ON, INVALID),
    (PREPARE_ABORT, 0, INVALID, GO_ON),
    (COMMITTED, 0, ENDED, INVALID),
    (ABORTED, 0, INVALID, ENDED),
    *((state, -1, FENCED, FENCED) for state in (EMPTY, ONGOING, PREPARE_COMMIT, COMMITTED, ABORTED)),
    *((state, +1, FENCED, FENCED) for state in (EMPTY, ONGOING, PREPARE_COMMIT, COMMITTED, ABORTED)),
]


@pytest.mark.parametrize(("state", "difference", "of_commit", "of_abort"), WITH_THE_EPOCH_KEPT)
def test_an_ending_that_keeps_the_epoch_fits_the_state(
    state: TransactionState, difference: int, of_commit: object, of_abort: object
) -> None:
    record = record_in(state, client_version=0)

    assert outcome_of(record, 5 + difference, commit=True, version=0) == of_commit
    assert outcome_of(record, 5 + difference, commit=False, version=0) == of_abort


WITH_THE_EPOCH_MOVED = [
    # An abort of nothing is allowed: the client does not know whether its first batch has come.
    (EMPTY, 0, INVALID, PREPARE_ABORT),
    (ONGOING, 0, PREPARE_COMMIT, PREPARE_ABORT),
    (COMMITTED, 0, INVALID, PREPARE_ABORT),
    (ABORTED, 0, INVALID, PREPARE_ABORT),
    (PREPARE_COMMIT, 0, FENCED, FENCED),
    (PREPARE_ABORT, 0, FENCED, FENCED),
    # The epoch before the ending's own: the ending is asked for again.
    (PREPARE_COMMIT, -1, GO_ON, INVALID),
    (PREPARE_ABORT, -1, INVALID, GO_ON),
    (COMMITTED, -1, ENDED, INVALID),
    (ABORTED, -1, INVALID, ENDED),
    (EMPTY, -1, FENCED, FENCED),
    (ONGOING, -1, FENCED, FENCED),
    (COMMITTED, -2, FENCED, FENCED),
    (COMMITTED, +1, FENCED, FENCED),
    (ONGOING, +1, FENCED, FENCED),
]


@pytest.mark.parametrize(("state", "difference", "of_commit", "of_abort"), WITH_THE_EPOCH_MOVED)
def test_an_ending_that_moves_the_epoch_fits_the_state(
    state: TransactionState, difference: int, of_commit: object, of_abort: object
) -> None:
    record = record_in(state)

    assert outcome_of(record, 5 + difference, commit=True, version=2) == of_commit
    assert outcome_of(record, 5 + difference, commit=False, version=2) == of_abort


@pytest.mark.parametrize("version", [0, 2])
def test_a_producer_of_another_id_has_nothing_to_end(version: int) -> None:
    for state in (EMPTY, ONGOING, PREPARE_COMMIT, COMMITTED):
        with pytest.raises(ApiError) as caught:
            rules.ending(record_in(state), "x", ProducerIdentity(8, 5), commit=True, version=version)
        assert caught.value.refusal is MAPPING
    with pytest.raises(ApiError) as caught:
        rules.ending(None, "x", ProducerIdentity(8, 5), commit=True, version=version)
    assert caught.value.refusal is MAPPING


def test_a_fenced_producer_does_not_receive_the_result_of_its_successors_commit() -> None:
    # The one that came after it at epoch 5 has committed as older clients do, so 4 is not "the epoch before".
    record = record_in(COMMITTED, client_version=0)

    assert outcome_of(record, 4, commit=True, version=2) == FENCED


def test_a_producer_whose_transaction_timed_out_receives_an_error_and_may_continue() -> None:
    timed_out = rules.prepared_for_others(record_in(ONGOING, client_version=0), NOW_MS)
    over = rules.completed(timed_out, NOW_MS)

    assert over.identity == ProducerIdentity(7, 6)
    assert outcome_of(over, 5, commit=False, version=2) == ENDED
    assert outcome_of(over, 5, commit=True, version=2) == INVALID
    rules.ensure_may_go_on(over, ProducerIdentity(7, 5))


# --- epochs and producer ids ----------------------------------------------------------------------


def test_an_ending_moves_the_epoch_and_its_markers_have_the_new_one() -> None:
    prepared = rules.prepared(
        record_in(ONGOING), PREPARE_COMMIT, version=2, next_producer_id=-1, now_ms=NOW_MS
    )

    assert prepared.identity == ProducerIdentity(7, 6)
    assert rules.completed(prepared, NOW_MS).identity == ProducerIdentity(7, 6)


def test_an_ending_that_uses_up_the_epochs_continues_under_the_next_producer_id() -> None:
    last = record_in(ONGOING, rules.EPOCH_LAST)

    prepared = rules.prepared(last, PREPARE_COMMIT, version=2, next_producer_id=8, now_ms=NOW_MS)
    complete = rules.completed(prepared, NOW_MS)

    assert rules.is_used_up(last)
    assert (prepared.identity, prepared.next_producer_id) == (ProducerIdentity(7, 32_767), 8)
    assert (complete.identity, complete.next_producer_id) == (ProducerIdentity(8, 0), -1)
    for record in (prepared, complete):
        assert outcome_of(record, rules.EPOCH_LAST, commit=False, version=2) == INVALID
    assert outcome_of(prepared, rules.EPOCH_LAST, commit=True, version=2) == GO_ON
    assert outcome_of(complete, rules.EPOCH_LAST, commit=True, version=2) == ENDED


def test_no_producer_ever_receives_the_epoch_of_the_last_markers() -> None:
    record = rules.completed(
        rules.prepared_for_others(record_in(ONGOING, rules.EPOCH_LAST, client_version=0), NOW_MS), NOW_MS
    )

    with pytest.raises(ApiError) as caught:
        rules.owned(record, "x", record.identity)

    assert record.identity.epoch == 32_767
    assert caught.value.refusal is FENCED


def initialized(
    record: TransactionRecord, expected: ProducerIdentity | None = None, new_id: int | None = None
) -> TransactionRecord:
    return rules.initialized(
        record, timeout_ms=1000, expected=expected, new_producer_id=new_id, now_ms=NOW_MS
    )


def test_a_new_producer_gets_the_next_epoch_and_nothing_of_the_transaction_before() -> None:
    record = initialized(record_in(COMMITTED))

    assert record.identity == ProducerIdentity(7, 6)
    assert (record.state, record.partitions, record.started_ms) == (EMPTY, frozenset(), -1)


def test_a_producer_that_asks_for_its_next_epoch_twice_gets_it_once() -> None:
    expected = ProducerIdentity(7, 5)

    first = initialized(record_in(COMMITTED), expected)
    rules.ensure_may_go_on(first, expected)
    second = initialized(first, expected)

    assert first.identity == second.identity == ProducerIdentity(7, 6)


def test_a_producer_that_uses_up_its_epochs_and_asks_twice_gets_one_producer_id() -> None:
    expected = ProducerIdentity(7, rules.EPOCH_LAST)

    first = initialized(record_in(COMMITTED, rules.EPOCH_LAST), expected, new_id=8)
    rules.ensure_may_go_on(first, expected)
    second = initialized(first, expected)

    assert first.identity == second.identity == ProducerIdentity(8, 0)


def test_a_fenced_producer_cannot_continue() -> None:
    overtaken = ProducerIdentity(7, 5)
    records = {
        "by a new one": initialized(record_in(COMMITTED)),
        "by one that has begun": record_in(ONGOING, 6, last_epoch=5),
        "long ago": record_in(COMMITTED, 9, last_epoch=8),
        "under another id": record_in(COMMITTED, 5, last_epoch=4),
    }

    for how, record in records.items():
        who = ProducerIdentity(6, 5) if how == "under another id" else overtaken
        with pytest.raises(ApiError) as caught:
            rules.ensure_may_go_on(record, who)
        assert caught.value.refusal is FENCED, how


def test_partitions_of_the_transaction_before_are_not_part_of_the_next() -> None:
    other = TopicPartition("u", 1)

    begun = rules.joined(record_in(COMMITTED), frozenset({other}), version=2, now_ms=NOW_MS + 5)
    more = rules.joined(begun, frozenset({TARGET}), version=2, now_ms=NOW_MS + 9)

    assert begun.partitions == {other}
    assert more.partitions == {other, TARGET}
    assert more.started_ms == begun.started_ms == NOW_MS + 5
