"""The rules about what is in a partition, on histories made by hand."""

from __future__ import annotations

from tests.histories.anomalies import Kind
from tests.histories.operations import RecordsDeleted, TopicDeleted, TopicMade
from tests.support.history_examples import (
    FAILED,
    OK,
    ORDERS,
    UNKNOWN,
    kinds_in,
    polled,
    read_at_the_end,
    sent,
    transaction,
)

COMPACTED = TopicMade(client="admin", begun_us=0, ended_us=1, topic="orders", is_compacted=True)
EXPIRING = TopicMade(client="admin", begun_us=0, ended_us=1, topic="orders", may_expire=True)


def test_records_that_are_all_there_once_and_in_order_are_in_order() -> None:
    assert kinds_in(sent(10, 0, 1, 2), sent(20, 2, 3), read_at_the_end(3, (0, 1), (1, 2), (2, 3))) == set()


def test_an_acknowledged_record_that_readers_pass_over_at_the_end_is_lost() -> None:
    assert kinds_in(sent(10, 0, 1), sent(20, 1, 2), read_at_the_end(2, (1, 2))) == {Kind.LOST_WRITE}


def test_a_record_that_was_only_seen_may_not_be_lost_either() -> None:
    history = [sent(10, None, 1, outcome=UNKNOWN), polled(20, 0, 1, (0, 1)), sent(30, 1, 2)]

    assert kinds_in(history, read_at_the_end(2, (1, 2))) == {Kind.LOST_WRITE}


def test_a_record_that_was_never_acknowledged_nor_seen_may_be_missing() -> None:
    assert kinds_in(sent(10, None, 1, outcome=UNKNOWN), sent(20, 0, 2), read_at_the_end(1, (0, 2))) == set()


def test_an_acknowledged_record_that_readers_do_not_reach_is_unseen() -> None:
    assert kinds_in(sent(10, 0, 1), sent(20, 1, 2), read_at_the_end(1, (0, 1))) == {
        Kind.UNSEEN,
        Kind.WENT_BACK,
    }


def test_a_partition_that_nobody_reads_at_the_end_is_unseen() -> None:
    assert kinds_in(sent(10, 0, 1)) == {Kind.UNSEEN}


def test_what_a_deleted_topic_had_is_not_missed() -> None:
    deleted = TopicDeleted(client="admin", begun_us=20, topic="orders", outcome=UNKNOWN)

    assert kinds_in(sent(10, 0, 1), deleted) == set()


def test_what_is_before_the_log_start_is_not_missed_if_somebody_asked_for_that() -> None:
    deleted = RecordsDeleted(
        client="admin", begun_us=30, ended_us=31, place=ORDERS, before=1, outcome=OK, log_start=1
    )
    history = [sent(10, 0, 1), sent(20, 1, 2), *read_at_the_end(2, (1, 2), log_start=1)]

    assert kinds_in(history, deleted) == set()
    assert kinds_in(history, EXPIRING) == set()
    assert kinds_in(history) == {Kind.DELETED_UNASKED}


def test_a_compacted_partition_keeps_the_newest_record_of_a_key() -> None:
    older = sent(10, 0, 1, keys=("k",))
    newer = sent(20, 1, 2, keys=("k",))

    assert kinds_in(COMPACTED, older, newer, read_at_the_end(2, (1, 2))) == set()
    assert kinds_in(COMPACTED, older, newer, read_at_the_end(2, (0, 1))) == {Kind.LOST_WRITE}
    assert kinds_in(older, newer, read_at_the_end(2, (1, 2))) == {Kind.LOST_WRITE}


def test_an_aborted_record_replaces_none_in_compaction() -> None:
    older = sent(10, 0, 1, keys=("k",))
    newer = sent(20, 1, 2, keys=("k",), producer="other", transaction="t")

    assert kinds_in(COMPACTED, older, newer, transaction(15, "t", FAILED), read_at_the_end(3)) == {
        Kind.LOST_WRITE
    }


def test_an_aborted_record_may_be_compacted_away() -> None:
    aborted = [sent(10, 0, 1, keys=("k",), transaction="t"), transaction(15, "t", FAILED)]

    assert kinds_in(COMPACTED, aborted, read_at_the_end(2, committed=[])) == set()
    assert kinds_in(aborted, read_at_the_end(2, committed=[])) == {Kind.LOST_WRITE}


def test_a_tombstone_may_be_compacted_away() -> None:
    deletes = sent(20, 1, 2, keys=("k",), tombstones=(2,))

    assert kinds_in(COMPACTED, sent(10, 0, 1, keys=("k",)), deletes, read_at_the_end(2)) == set()


def test_an_idempotent_producer_has_a_record_once() -> None:
    history = [sent(10, 0, 1, attempt_count=2), *read_at_the_end(2, (0, 1), (1, 1))]

    assert kinds_in(history) == {Kind.DUPLICATE}


def test_a_record_that_is_elsewhere_than_it_was_acknowledged_is_there_twice() -> None:
    assert Kind.DUPLICATE in kinds_in(sent(10, 0, 1), read_at_the_end(2, (1, 1)))


def test_a_plain_producer_may_have_a_copy_for_each_time_it_sent() -> None:
    copies = read_at_the_end(2, (0, 1), (1, 1))

    assert kinds_in(sent(10, 1, 1, producer=None, attempt_count=2), copies) == set()
    assert kinds_in(sent(10, 1, 1, producer=None, attempt_count=1), copies) == {Kind.DUPLICATE}


def test_an_offset_that_two_records_were_acknowledged_at_is_reused() -> None:
    history = [sent(10, 0, 1), sent(11, 0, 2, producer="other")]

    assert Kind.OFFSET_REUSED in kinds_in(history, read_at_the_end(1, (0, 1)))


def test_an_offset_that_two_readers_see_two_records_at_is_reused() -> None:
    history = [sent(10, None, 1, outcome=UNKNOWN), sent(11, None, 2, outcome=UNKNOWN)]

    assert Kind.OFFSET_REUSED in kinds_in(history, polled(20, 0, 1, (0, 1)), read_at_the_end(1, (0, 2)))


def test_batches_on_their_way_at_once_may_not_change_places() -> None:
    first, second = sent(10, 1, 1), sent(11, 0, 2)

    assert kinds_in(first, second, read_at_the_end(2, (0, 2), (1, 1))) == {Kind.REORDERED}


def test_batches_of_two_producers_on_their_way_at_once_may_stand_in_any_order() -> None:
    first, second = sent(10, 1, 1, producer="a"), sent(11, 0, 2, producer="b")

    assert kinds_in(first, second, read_at_the_end(2, (0, 2), (1, 1))) == set()


def test_the_order_of_a_batch_whose_acknowledgement_was_lost_is_known_from_readers() -> None:
    first, second = sent(10, None, 1, outcome=UNKNOWN), sent(11, 0, 2)

    assert kinds_in(first, second, read_at_the_end(2, (0, 2), (1, 1))) == {Kind.REORDERED}


def test_what_is_sent_after_an_acknowledgement_stands_after_it() -> None:
    first, second = sent(10, 1, 1, producer="a"), sent(20, 0, 2, producer="b")

    assert kinds_in(first, second, read_at_the_end(2, (0, 2), (1, 1))) == {Kind.SENT_BACKWARDS}
