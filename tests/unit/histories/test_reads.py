"""The rules about what readers are given, on histories made by hand."""

from __future__ import annotations

from tests.histories.anomalies import Kind
from tests.support.history_examples import (
    COMMITTED,
    FAILED,
    PAYMENTS,
    UNKNOWN,
    kinds_in,
    polled,
    read_at_the_end,
    sent,
    transaction,
)

THREE = (sent(10, 0, 1, 2, 3), *read_at_the_end(3, (0, 1), (1, 2), (2, 3)))


def test_a_reader_that_is_given_everything_in_order_is_served_well() -> None:
    assert (
        kinds_in(THREE, polled(20, 0, 1, (0, 1), high_watermark=3), polled(30, 1, 3, (1, 2), (2, 3))) == set()
    )


def test_a_record_that_nobody_sent_is_a_phantom() -> None:
    assert kinds_in(read_at_the_end(1, (0, 1))) == {Kind.PHANTOM}


def test_a_record_that_was_sent_elsewhere_is_a_phantom() -> None:
    history = [sent(10, 0, 1), *read_at_the_end(1, (0, 1))]

    assert kinds_in(history, read_at_the_end(1, (0, 1), place=PAYMENTS)) == {Kind.PHANTOM}


def test_a_record_that_is_read_before_it_is_sent_is_a_phantom() -> None:
    assert kinds_in(polled(1, 0, 1, (0, 1)), sent(10, 0, 1), read_at_the_end(1, (0, 1))) == {Kind.PHANTOM}


def test_a_refused_record_is_not_read() -> None:
    assert kinds_in(sent(10, None, 1, outcome=FAILED), read_at_the_end(1, (0, 1))) == {Kind.FAILED_WRITE_READ}


def test_a_record_has_the_bytes_that_were_sent() -> None:
    assert kinds_in(THREE, polled(20, 0, 3, (0, 1), (1, 2), (2, 3), corrupt=(1,))) == {Kind.CORRUPT}


def test_the_offsets_of_a_poll_grow() -> None:
    assert kinds_in(THREE, polled(20, 0, 3, (1, 2), (0, 1), (2, 3))) == {Kind.POLL_OUT_OF_ORDER}


def test_a_poll_brings_nothing_from_before_where_it_began() -> None:
    assert kinds_in(THREE, polled(20, 1, 3, (0, 1), (1, 2), (2, 3))) == {Kind.POLL_OUT_OF_ORDER}


def test_a_reader_does_not_pass_over_a_record() -> None:
    assert kinds_in(THREE, polled(20, 0, 3, (0, 1), (2, 3))) == {Kind.SKIPPED}


def test_a_reader_of_committed_records_does_not_pass_over_one_that_is_decided_later() -> None:
    begun = [sent(10, 0, 1, transaction="t"), transaction(10, "t"), sent(20, 1, 2, producer="b")]
    hasty = polled(30, 0, 2, (1, 2), isolation=COMMITTED, high_watermark=2)

    assert kinds_in(begun, hasty, read_at_the_end(3, (0, 1), (1, 2))) == {Kind.SKIPPED}


def test_a_reader_of_committed_records_passes_over_what_was_aborted() -> None:
    begun = [sent(10, 0, 1, transaction="t"), transaction(10, "t", FAILED), sent(20, 1, 2, producer="b")]
    at_the_end = read_at_the_end(3, (0, 1), (1, 2), committed=[(1, 2)])

    assert kinds_in(begun, polled(200, 0, 3, (1, 2), isolation=COMMITTED), at_the_end) == set()


def test_nothing_is_read_from_beyond_the_high_watermark() -> None:
    poll = polled(20, 0, 3, (0, 1), (1, 2), (2, 3), high_watermark=2)

    assert Kind.BEYOND_VISIBLE_END in kinds_in(THREE, poll)


def test_nothing_committed_is_read_from_beyond_the_last_stable_offset() -> None:
    poll = polled(20, 0, 3, (0, 1), (1, 2), (2, 3), isolation=COMMITTED, high_watermark=3, last_stable=2)

    assert kinds_in(THREE, poll) == {Kind.BEYOND_VISIBLE_END}


def test_nothing_is_read_from_before_the_log_start() -> None:
    poll = polled(THREE[-1].begun_us, 1, 3, (1, 2), (2, 3), log_start=2)

    assert Kind.BEYOND_VISIBLE_END in kinds_in(THREE, poll)


def test_a_record_of_an_aborted_transaction_is_not_read_as_committed() -> None:
    aborted = [sent(10, 0, 1, transaction="t"), transaction(10, "t", FAILED)]

    assert kinds_in(aborted, read_at_the_end(2, (0, 1))) == {Kind.ABORTED_READ}
    assert kinds_in(aborted, read_at_the_end(2, (0, 1), committed=[])) == set()


def test_a_record_is_not_read_as_committed_before_its_transaction_is_to_be() -> None:
    begun = [sent(10, 0, 1, transaction="t"), transaction(10, "t")]
    early = polled(20, 0, 1, (0, 1), isolation=COMMITTED)

    assert kinds_in(begun, early, read_at_the_end(2, (0, 1))) == {Kind.DIRTY_READ}


def test_a_transaction_whose_end_is_unknown_may_be_seen_or_not() -> None:
    begun = [sent(10, 0, 1, transaction="t"), transaction(10, "t", UNKNOWN)]

    assert kinds_in(begun, read_at_the_end(2, (0, 1))) == set()
    assert kinds_in(begun, read_at_the_end(2, (0, 1), committed=[])) == set()
