"""The public consumer without a group's company: positions, starts, seeks, pauses, isolation, limits."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamcore.errors import ClosedError, OffsetOutOfRangeError, UnknownTopicError, UsageError
from streamcore.log.client.consumer.consumer import Consumer
from streamcore.log.client.consumer.fetch_state import BytesRecord
from streamcore.log.connect import connect
from streamcore.log.connected_log import ConnectedLog
from streamcore.model import CommittedOffset, Record, TopicPartition

ONE = TopicPartition("one", 0)
START_MS = 1_356_998_400_000  # 2013-01-01T00:00Z


@pytest.fixture
def log(tmp_path: Path) -> Iterator[ConnectedLog]:
    """Topic ``one`` holds ten records, a second apart."""
    with connect(tmp_path / "data") as opened:
        opened.create_topic("one", config={"retention.ms": "-1"})
        opened.create_topic("t", partitions=3)
        with opened.producer() as producer:
            for number in range(10):
                producer.send("one", value=b"%d" % number, timestamp_ms=START_MS + 1_000 * number)
        yield opened


def drain(consumer: Consumer) -> list[BytesRecord]:
    records: list[BytesRecord] = []
    while any(consumer.lag().values()):
        records += consumer.poll("20ms")
    return records


def values(records: list[BytesRecord]) -> list[bytes | None]:
    return [record.value for record in records]


@pytest.mark.parametrize(
    ("start", "first"),
    [
        ("earliest", 0),
        ("latest", 10),
        (4, 4),
        ("2013-01-01T00:00:03Z", 3),
        ("2013-01-01T00:00:03.001Z", 4),
        (datetime(2013, 1, 1, 0, 0, 5, tzinfo=UTC), 5),
        ("2020-01-01T00:00Z", 10),
    ],
)
def test_a_consumer_begins_where_start_says(
    log: ConnectedLog, start: str | int | datetime, first: int
) -> None:
    with log.consumer("one", start=start) as consumer:
        assert values(drain(consumer)) == [b"%d" % number for number in range(first, 10)]


def test_a_record_comes_with_everything_that_was_sent(log: ConnectedLog) -> None:
    with log.producer() as producer:
        producer.send(
            "t", key=b"k", value=b"v", partition=2, timestamp_ms=5, headers=[("h", b"x"), ("n", None)]
        )
    with log.consumer("t") as consumer:
        assert consumer.poll() == [Record(b"k", b"v", 5, (("h", b"x"), ("n", None)), "t", 2, 0)]


def test_a_committed_position_wins_over_start(log: ConnectedLog) -> None:
    with log.consumer(assign=[ONE], group="g") as consumer:
        records = consumer.poll()
        consumer.commit(records[6])
        assert consumer.committed() == {ONE: CommittedOffset(7)}

    with log.consumer(assign=[("one", 0)], group="g", start="earliest") as consumer:
        assert values(drain(consumer)) == [b"7", b"8", b"9"]


def test_commit_covers_only_records_that_poll_returned(log: ConnectedLog) -> None:
    with log.consumer(assign=[ONE], group="g") as consumer:
        assert len(consumer.poll(records_max=3)) == 3
        consumer.commit()

        assert log.committed("g") == {ONE: CommittedOffset(3)}
        assert consumer.position(ONE) == 3


def test_positions_can_be_committed_by_partition_with_a_note(log: ConnectedLog) -> None:
    with log.consumer(assign=[ONE], group="g") as consumer:
        consumer.commit({ONE: CommittedOffset(5, "a note")})

        assert consumer.committed([("one", 0)]) == {ONE: CommittedOffset(5, "a note")}


def test_records_max_cuts_a_poll_without_losing_the_rest(log: ConnectedLog) -> None:
    with log.consumer("one") as consumer:
        polls = [values(consumer.poll(records_max=4)) for _ in range(3)]

    assert polls == [[b"0", b"1", b"2", b"3"], [b"4", b"5", b"6", b"7"], [b"8", b"9"]]


def test_partitions_take_turns(log: ConnectedLog) -> None:
    with log.producer() as producer:
        for number in range(30):
            producer.send("t", value=b"v", partition=number % 3)
    with log.consumer("t") as consumer:
        first_of_each_poll = [consumer.poll(records_max=10)[0].partition for _ in range(3)]

    assert sorted(first_of_each_poll) == [0, 1, 2]


def test_seek_goes_to_an_offset_and_forgets_what_was_fetched(log: ConnectedLog) -> None:
    with log.consumer("one") as consumer:
        consumer.poll(records_max=2)
        consumer.seek(ONE, 8)
        assert values(drain(consumer)) == [b"8", b"9"]
        consumer.seek(("one", 0), 0)
        assert len(drain(consumer)) == 10


def test_seek_to_a_time_the_beginning_and_the_end(log: ConnectedLog) -> None:
    with log.consumer("one") as consumer:
        consumer.seek_to_time("2013-01-01T00:00:07Z")
        assert consumer.position(ONE) == 7
        consumer.seek_to_beginning()
        assert consumer.position(ONE) == 0
        consumer.seek_to_end([ONE])
        assert consumer.poll("0s") == []


def test_a_paused_partition_returns_nothing_and_loses_nothing(log: ConnectedLog) -> None:
    with log.consumer("one") as consumer:
        consumer.poll(records_max=2)
        consumer.pause()
        assert consumer.paused() == {ONE}
        assert consumer.poll("20ms") == []
        consumer.resume([ONE])

        assert values(drain(consumer)) == [b"%d" % number for number in range(2, 10)]


def test_poll_returns_when_a_record_is_durable(log: ConnectedLog) -> None:
    with log.consumer("t", start="latest") as consumer, log.producer() as producer:
        assert consumer.poll("0s") == []
        threading.Timer(0.05, lambda: producer.send_and_wait("t", value=b"now")).start()

        assert values(consumer.poll("20s")) == [b"now"]


def test_aborted_and_open_transactions_are_hidden_unless_asked_for(log: ConnectedLog) -> None:
    with log.producer(transactional_id="x") as producer:
        with producer.transaction() as transaction:
            transaction.send("t", value=b"committed", partition=0)
        with producer.transaction() as transaction:
            transaction.send("t", value=b"aborted", partition=0).result()
            transaction.abort()
        with producer.transaction() as transaction:
            transaction.send("t", value=b"open", partition=0).result()
            with log.consumer("t") as committed:
                assert values(committed.poll("1s")) == [b"committed"]
                assert committed.poll("0s") == []
            with log.consumer("t", isolation="read_uncommitted") as everything:
                everything_seen = values(everything.poll("1s"))
            assert everything_seen[:2] == [b"committed", b"aborted"]


def test_reading_and_writing_in_one_transaction_happens_once(log: ConnectedLog) -> None:
    with (
        log.consumer("one", group="copy") as consumer,
        log.producer(transactional_id="copy") as producer,
    ):
        while not (records := consumer.poll("1s", records_max=4)):
            pass
        with producer.transaction() as transaction:
            transaction.send_many("t", records)
            transaction.commit_offsets(consumer)
        with producer.transaction() as transaction:
            transaction.send_many("t", consumer.poll("1s", records_max=4))
            transaction.commit_offsets(consumer)
            transaction.abort()

    assert log.committed("copy") == {ONE: CommittedOffset(4)}
    with log.consumer("t") as copied:
        assert sorted(values(drain(copied)), key=str) == [b"0", b"1", b"2", b"3"]


def test_a_position_that_is_no_longer_there_is_reset_by_start(log: ConnectedLog) -> None:
    with log.consumer("one", start="earliest") as consumer:
        log.delete_records({ONE: 4})

        assert values(drain(consumer))[0] == b"4"
    with log.consumer("one", start="latest") as consumer:
        consumer.seek(ONE, 2)
        assert consumer.poll("0s") == []


def test_a_position_that_is_no_longer_there_is_an_error_if_start_does_not_say(log: ConnectedLog) -> None:
    with log.consumer("one", start=2) as consumer:
        log.delete_records({ONE: 4})

        with pytest.raises(OffsetOutOfRangeError):
            consumer.poll()


def test_each_partition_may_be_given_its_own_offset(log: ConnectedLog) -> None:
    with log.consumer(assign={ONE: 8}) as consumer:
        assert consumer.assignment() == {ONE}
        assert values(drain(consumer)) == [b"8", b"9"]


@pytest.mark.slow
def test_partitions_added_to_a_topic_are_read_too(log: ConnectedLog) -> None:
    with log.consumer("one", start="earliest") as consumer:
        drain(consumer)
        log.alter_topic("one", partitions=2)
        with log.producer() as producer:
            producer.send("one", value=b"new", partition=1)

        assert values(consumer.poll("20s")) == [b"new"]


def test_several_topics_are_read_together(log: ConnectedLog) -> None:
    with log.producer() as producer:
        producer.send("t", value=b"t")
    with log.consumer(["one", "t"]) as by_list, log.consumer("one", "t") as by_arguments:
        assert len(drain(by_list)) == len(drain(by_arguments)) == 11


def test_a_wrong_use_is_refused_with_a_reason(log: ConnectedLog) -> None:
    with pytest.raises(UnknownTopicError, match="nowhere"):
        log.consumer("nowhere")
    with pytest.raises(UsageError):
        log.consumer()
    with pytest.raises(UsageError):
        log.consumer("one", assign=[ONE])
    with pytest.raises(UsageError):
        log.consumer("one", start="yesterday")
    with pytest.raises(UsageError):
        log.consumer("one", start=-1)
    with pytest.raises(UsageError):
        log.consumer("one", group="g", assignor="fairest")
    with log.consumer("one") as consumer:
        with pytest.raises(UsageError, match="group"):
            consumer.commit()
        with pytest.raises(UsageError, match="assigned"):
            consumer.seek(("t", 0), 1)
        with pytest.raises(UsageError):
            consumer.seek(ONE, -1)
        with pytest.raises(UsageError):
            consumer.poll(records_max=0)


def test_a_closed_consumer_refuses_and_closes_twice(log: ConnectedLog) -> None:
    consumer = log.consumer("one")
    consumer.close()
    consumer.close()

    with pytest.raises(ClosedError):
        consumer.poll()


@pytest.mark.slow
def test_closing_the_log_ends_a_poll_that_waits(tmp_path: Path) -> None:
    log = connect(tmp_path / "other")
    log.create_topic("empty")
    consumer = log.consumer("empty")
    threading.Timer(0.05, log.close).start()

    with pytest.raises(ClosedError):
        consumer.poll("20s")


@pytest.mark.slow
def test_consumers_leave_nothing_behind(log: ConnectedLog) -> None:
    before = threading.active_count()
    for _ in range(5):
        with log.consumer("one", group="g") as consumer:
            consumer.poll("2s")
    gc.collect()

    assert threading.active_count() <= before + 1
