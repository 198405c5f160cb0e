"""The rules about marks, deletions and groups, on histories made by hand."""

from __future__ import annotations

from tests.histories.anomalies import Kind
from tests.histories.operations import (
    Assigned,
    Outcome,
    PositionsCommitted,
    PositionsRead,
    RecordsDeleted,
    TopicDeleted,
    TopicMade,
)
from tests.support.history_examples import (
    COMMITTED,
    DURATION_US,
    OK,
    ORDERS,
    UNKNOWN,
    kinds_in,
    polled,
    sent,
    transaction,
)

EXPIRING = TopicMade(client="admin", begun_us=0, ended_us=1, topic="orders", may_expire=True)


def committed(
    at_us: int, position: int, outcome: Outcome = OK, *, generation: int = -1
) -> PositionsCommitted:
    return PositionsCommitted(
        client="m",
        begun_us=at_us,
        ended_us=None if outcome is UNKNOWN else at_us + DURATION_US,
        group="g",
        positions={"orders-0": position},
        outcome=outcome,
        generation=generation,
    )


def position_read(at_us: int, position: int | None) -> PositionsRead:
    return PositionsRead(
        client="m",
        begun_us=at_us,
        ended_us=at_us + DURATION_US,
        group="g",
        positions={"orders-0": position},
    )


def assigned(at_us: int, member: str, generation: int, *places: str) -> Assigned:
    return Assigned(
        client=member,
        begun_us=at_us,
        ended_us=at_us + DURATION_US,
        group="g",
        member=member,
        generation=generation,
        places=places,
    )


def test_a_high_watermark_does_not_go_back() -> None:
    assert kinds_in(polled(10, 0, 0, high_watermark=5), polled(20, 0, 0, high_watermark=4)) == {
        Kind.WENT_BACK
    }
    assert kinds_in(polled(10, 0, 0, high_watermark=5), polled(12, 0, 0, high_watermark=4)) == set()


def test_a_last_stable_offset_does_not_go_back() -> None:
    polls = [
        polled(at_us, 0, 0, isolation=COMMITTED, high_watermark=5, last_stable=last_stable)
        for at_us, last_stable in ((10, 5), (20, 4))
    ]

    assert kinds_in(polls) == {Kind.WENT_BACK}


def test_what_is_acknowledged_is_visible() -> None:
    deleted = TopicDeleted(client="admin", begun_us=90, topic="orders", outcome=UNKNOWN)

    assert kinds_in(sent(10, 0, 1, 2), polled(20, 0, 0, high_watermark=1), deleted) == {Kind.WENT_BACK}


def test_deleted_records_do_not_come_back() -> None:
    deletion = RecordsDeleted(
        client="admin", begun_us=10, ended_us=15, place=ORDERS, before=3, outcome=OK, log_start=3
    )

    assert kinds_in(deletion, polled(20, 3, 5, log_start=3)) == set()
    assert kinds_in(deletion, polled(20, 2, 5, log_start=2)) == {Kind.DELETED_CAME_BACK}


def test_a_log_start_does_not_go_back() -> None:
    polls = [
        polled(10, 3, 3, high_watermark=5, log_start=3),
        polled(20, 2, 2, high_watermark=5, log_start=2),
    ]

    assert kinds_in(EXPIRING, polls) == {Kind.WENT_BACK}


def test_records_are_not_deleted_unasked() -> None:
    poll = polled(10, 3, 5, log_start=3)

    assert kinds_in(poll) == {Kind.DELETED_UNASKED}
    assert kinds_in(poll, EXPIRING) == set()


def test_a_deleted_topic_answers_no_more() -> None:
    deleted = TopicDeleted(client="admin", begun_us=10, ended_us=15, topic="orders", outcome=OK)

    assert kinds_in(deleted, sent(12, 0, 1)) == set()
    assert kinds_in(deleted, sent(20, 0, 1)) == {Kind.DELETED_CAME_BACK}
    assert kinds_in(deleted, polled(20, 0, 0)) == {Kind.DELETED_CAME_BACK}


def test_the_last_committed_position_is_read() -> None:
    assert kinds_in(committed(10, 5), committed(20, 7), position_read(30, 7)) == set()


def test_a_position_does_not_go_back_unasked() -> None:
    assert kinds_in(committed(10, 5), committed(20, 7), position_read(30, 5)) == {Kind.STALE_POSITION}
    assert kinds_in(committed(10, 5), committed(20, 7), committed(30, 5), position_read(40, 5)) == set()


def test_a_position_is_not_forgotten() -> None:
    assert kinds_in(committed(10, 5), position_read(20, None)) == {Kind.STALE_POSITION}
    assert kinds_in(committed(10, 5, UNKNOWN), position_read(20, None)) == set()


def test_a_position_whose_commit_was_not_answered_may_be_read_or_not() -> None:
    unsure = [committed(10, 5), committed(20, 7, UNKNOWN)]

    assert kinds_in(unsure, position_read(30, 5)) == set()
    assert kinds_in(unsure, position_read(30, 7)) == set()


def test_a_position_that_nobody_committed_is_not_read() -> None:
    assert kinds_in(committed(10, 5), position_read(20, 6)) == {Kind.PHANTOM_POSITION}
    assert kinds_in(committed(10, 5, Outcome.FAILED), position_read(20, 5)) == {Kind.PHANTOM_POSITION}


def test_a_position_of_a_transaction_counts_once_it_is_committed() -> None:
    moved = transaction(10, "t", group="g", positions={"orders-0": 9})

    assert kinds_in(committed(1, 5), moved, position_read(20, 5)) == set()
    assert kinds_in(committed(1, 5), moved, position_read(200, 9)) == set()
    assert kinds_in(committed(1, 5), moved, position_read(20, 9)) == {Kind.PHANTOM_POSITION}
    assert kinds_in(committed(1, 5), moved, position_read(200, 5)) == {Kind.STALE_POSITION}


def test_of_two_positions_the_one_that_was_written_last_counts_whenever_it_was_committed() -> None:
    moved = transaction(10, "t", group="g", positions={"orders-0": 9})

    assert kinds_in(moved, committed(30, 5), position_read(200, 5)) == set()
    assert kinds_in(moved, committed(30, 5), position_read(200, 9)) == set()


def test_a_partition_has_one_owner_in_a_generation() -> None:
    first = assigned(10, "a", 1, "orders-0")

    assert kinds_in(first, assigned(20, "b", 1, "orders-1"), assigned(30, "b", 2, "orders-0")) == set()
    assert kinds_in(first, assigned(20, "b", 1, "orders-0")) == {Kind.ASSIGNED_TWICE}


def test_a_position_of_an_old_generation_is_not_taken() -> None:
    newer = assigned(20, "b", 2, "orders-0")

    assert kinds_in(newer, committed(22, 5, generation=1)) == set()
    assert kinds_in(newer, committed(30, 5, generation=2)) == set()
    assert kinds_in(newer, committed(30, 5, generation=1)) == {Kind.STALE_COMMIT}
