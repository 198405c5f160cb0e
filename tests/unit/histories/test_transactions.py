"""The rules about transactions and processing, on histories made by hand."""

from __future__ import annotations

from tests.histories.anomalies import Kind
from tests.histories.operations import Operation, PositionsRead
from tests.support.history_examples import (
    FAILED,
    ORDERS,
    PAYMENTS,
    THE_END_US,
    UNKNOWN,
    kinds_in,
    read_at_the_end,
    sent,
    transaction,
)

INPUT = (sent(1, 0, 1, 2), *read_at_the_end(2, (0, 1), (1, 2)))


def processed(output_ids: tuple[int, ...], sources: tuple[int, ...], position: int) -> list[Operation]:
    """One transaction that made outputs from some of the two inputs, and the position it committed."""
    return [
        sent(10, 0, *output_ids, place=PAYMENTS, producer="p", transaction="t", sources=sources),
        transaction(10, "t", group="g", positions={str(ORDERS): position}),
        *read_at_the_end(len(output_ids) + 1, *enumerate(output_ids), place=PAYMENTS),
        position_at_the_end(position),
    ]


def position_at_the_end(position: int) -> PositionsRead:
    return PositionsRead(
        client="end",
        begun_us=THE_END_US,
        ended_us=THE_END_US + 1,
        group="g",
        positions={str(ORDERS): position},
        is_final=True,
    )


def test_a_transaction_is_seen_whole() -> None:
    history = [
        sent(10, 0, 1, transaction="t"),
        sent(20, 0, 2, place=PAYMENTS, transaction="t"),
        transaction(10, "t", UNKNOWN),
        *read_at_the_end(2, (0, 1)),
    ]

    assert kinds_in(history, read_at_the_end(2, (0, 2), place=PAYMENTS)) == set()
    assert kinds_in(history, read_at_the_end(2, (0, 2), place=PAYMENTS, committed=[])) == {
        Kind.TORN_TRANSACTION,
        Kind.LOST_WRITE,
    }


def test_a_transaction_may_be_missing_as_a_whole_if_nobody_was_told_otherwise() -> None:
    history = [
        sent(10, 0, 1, transaction="t"),
        sent(20, 0, 2, place=PAYMENTS, transaction="t"),
        *read_at_the_end(2, (0, 1), committed=[]),
        *read_at_the_end(2, (0, 2), place=PAYMENTS, committed=[]),
    ]

    assert kinds_in(history, transaction(10, "t", UNKNOWN)) == set()
    assert kinds_in(history, transaction(10, "t")) == {Kind.LOST_WRITE}


def test_each_input_before_the_position_has_its_output() -> None:
    assert kinds_in(INPUT, processed((11, 12), (1, 2), 2)) == set()
    assert kinds_in(INPUT, processed((11,), (1,), 1)) == set()


def test_an_input_before_the_position_without_output_was_not_processed() -> None:
    assert kinds_in(INPUT, processed((11,), (1,), 2)) == {Kind.NOT_PROCESSED}


def test_an_input_with_two_outputs_was_processed_twice() -> None:
    assert kinds_in(INPUT, processed((11, 12, 13), (1, 2, 2), 2)) == {Kind.PROCESSED_TWICE}


def test_an_output_without_its_position_was_processed_ahead() -> None:
    assert kinds_in(INPUT, processed((11, 12), (1, 2), 1)) == {Kind.PROCESSED_AHEAD}


def test_an_aborted_attempt_to_process_leaves_no_trace() -> None:
    aborted = [
        sent(10, 0, 11, place=PAYMENTS, producer="p", transaction="t", sources=(1,)),
        transaction(10, "t", FAILED, group="g", positions={str(ORDERS): 1}),
    ]

    assert kinds_in(INPUT, aborted, read_at_the_end(2, (0, 11), place=PAYMENTS, committed=[])) == set()
    assert kinds_in(
        INPUT,
        aborted,
        read_at_the_end(2, (0, 11), place=PAYMENTS, committed=[]),
        position_at_the_end(1),
    ) == {Kind.NOT_PROCESSED, Kind.PHANTOM_POSITION}
