"""A run on its way to a broker: reports on single records become pieces."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, Message

from streamcore.errors import (
    InvalidRecordError,
    ProducerFencedError,
    RecordTooLargeError,
    RequestTimeoutError,
)
from streamcore.log.client.kafka.delivery import Delivery
from streamcore.log.client.port import Appended
from streamcore.model import TopicPartition

TARGET = TopicPartition("t", 0)
TOO_LARGE = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
NO_KEY = KafkaError(KafkaError.INVALID_RECORD)


def never(run: Delivery, timeout_s: float | None) -> None:
    raise RequestTimeoutError("nothing more is reported")


def run_of(count: int) -> Delivery:
    return Delivery(TARGET, count, 100, wait=never, reported_all=Delivery.seal)


def at(offset: int, *, time: tuple[int, int] = (1, 5)) -> Message:
    return Message(topic="t", partition=0, offset=offset, timestamp=time)


def refused() -> Message:
    return Message(topic="t", partition=0)


def test_records_at_consecutive_offsets_are_one_piece() -> None:
    run = run_of(3)

    for offset in (7, 8, 9):
        assert not run.done()
        run(None, at(offset))

    assert run.done()
    assert run.outcomes() == [(3, Appended(TARGET, 7, 10))]
    assert run.result() == Appended(TARGET, 7, 10)


def test_another_producers_records_in_between_make_two_pieces() -> None:
    run = run_of(3)

    for offset in (7, 8, 20):
        run(None, at(offset))

    assert run.outcomes() == [(2, Appended(TARGET, 7, 9)), (3, Appended(TARGET, 20, 21))]
    assert run.result() == Appended(TARGET, 7, 21)


def test_the_time_that_the_log_gave_is_kept() -> None:
    run = run_of(1)

    run(None, at(0, time=(2, 1_234)))

    assert run.result().log_append_time_ms == 1_234


def test_refusals_are_pieces_by_their_reason_and_the_first_is_raised() -> None:
    run = run_of(5)

    run(None, at(3))
    run(TOO_LARGE, refused())
    run(NO_KEY, refused())
    run(NO_KEY, refused())
    run(None, at(4))

    ends, outcomes = zip(*run.outcomes(), strict=True)
    assert ends == (1, 2, 4, 5)
    assert [type(outcome) for outcome in outcomes] == [
        Appended,
        RecordTooLargeError,
        InvalidRecordError,
        Appended,
    ]
    with pytest.raises(RecordTooLargeError, match=r"max\.message\.bytes"):
        run.result()


def test_a_delivery_that_librdkafka_accepted_in_part_ends_with_that_part() -> None:
    run = run_of(3)
    error = ProducerFencedError("a newer producer has taken over")

    run(None, at(0))
    run.cut(1, error)

    assert run.outcomes() == [(1, Appended(TARGET, 0, 1)), (3, error)]


def test_records_without_a_report_fail_with_the_handle() -> None:
    run = run_of(3)
    error = ProducerFencedError("a newer producer has taken over")
    run(None, at(0))

    with pytest.raises(RequestTimeoutError):
        run.outcomes(0)
    run.seal(error)

    assert run.outcomes() == [(1, Appended(TARGET, 0, 1)), (3, error)]
