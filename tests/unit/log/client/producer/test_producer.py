"""The public producer: batches, futures, memory, failures, transactions; over a log held in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from uuid import UUID

import pytest

from streamcore.clock import SystemClock
from streamcore.errors import (
    ClosedError,
    InvalidConfigError,
    InvalidRecordError,
    InvalidTransactionStateError,
    RequestTimeoutError,
    StorageError,
    UnknownTopicError,
    UsageError,
)
from streamcore.log.client.port import Appended, Outcome, TopicDescription
from streamcore.log.client.producer.pending import SendFuture, SendManyFuture
from streamcore.log.client.producer.producer import Producer, ProducerSettings
from streamcore.log.client.producer.record_columns import Sendable
from streamcore.model import CommittedOffset, Headers, Membership, Record, RecordColumns, TopicPartition
from streamcore.partitioning import partition_of_key

Row = tuple[bytes | None, bytes | None, int, Headers]
LONG_LINGER = "1h"


class MemoryAcknowledgement:
    def __init__(self, written: Appended, gate: threading.Event) -> None:
        self.written = written
        self.gate = gate

    def result(self, timeout_s: float | None = None) -> Appended:
        assert self.gate.wait(10), "the test never opened the gate"
        return self.written

    def outcomes(self, timeout_s: float | None = None) -> list[Outcome]:
        written = self.result(timeout_s)
        return [(written.end_offset - written.base_offset, written)]

    def done(self) -> bool:
        return self.gate.is_set()


class MemoryPort:
    """A port producer whose log is lists: refuses what it is told to refuse, and can be held up."""

    time_min_ms = 0

    def __init__(self) -> None:
        self.topics = {
            name: TopicDescription(name, UUID(int=0), count) for name, count in (("t", 4), ("one", 1))
        }
        self.rows: dict[TopicPartition, list[Row]] = {}
        self.runs: list[tuple[TopicPartition, int]] = []
        self.refuses: Callable[[Row], Exception | None] = lambda row: None
        self.gate = threading.Event()
        self.gate.set()
        self.positions: dict[TopicPartition, CommittedOffset] = {}
        self.ended: list[str] = []
        self.is_closed = False

    def append_columns(
        self,
        partition: TopicPartition,
        columns: RecordColumns,
    ) -> MemoryAcknowledgement:
        return MemoryAcknowledgement(self.write(partition, columns), self.gate)

    def write(
        self,
        partition: TopicPartition,
        columns: RecordColumns,
    ) -> Appended:
        headers = columns.headers or [()] * len(columns)
        rows = list(zip(columns.keys, columns.values, columns.timestamps_ms, headers, strict=True))
        for row in rows:
            if (refusal := self.refuses(row)) is not None:
                raise refusal
        stored = self.rows.setdefault(partition, [])
        stored.extend(rows)
        self.runs.append((partition, len(rows)))
        return Appended(partition, len(stored) - len(rows), len(stored))

    @contextmanager
    def transaction(self) -> Iterator[MemoryTransaction]:
        before = {target: rows.copy() for target, rows in self.rows.items()}
        try:
            yield MemoryTransaction(self)
        except BaseException:
            self.rows = before
            self.ended.append("abort")
            raise
        self.ended.append("commit")

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True

    def values(self, topic: str) -> list[bytes | None]:
        return [row[1] for target, rows in sorted(self.rows.items()) if target.topic == topic for row in rows]


class MemoryTransaction:
    def __init__(self, port: MemoryPort) -> None:
        self.port = port

    def append_columns(
        self,
        partition: TopicPartition,
        columns: RecordColumns,
    ) -> MemoryAcknowledgement:
        return self.port.append_columns(partition, columns)

    def commit_offsets(
        self,
        group: str,
        positions: Mapping[TopicPartition, CommittedOffset],
        *,
        membership: Membership | None = None,
    ) -> None:
        self.port.positions.update(positions)


@pytest.fixture
def port() -> MemoryPort:
    return MemoryPort()


def producer_on(port: MemoryPort, *, transactional: bool = False, **settings: object) -> Producer:
    return Producer(
        port,
        lambda: port.topics,
        SystemClock(),
        is_transactional=transactional,
        settings=ProducerSettings(**{"linger": LONG_LINGER, **settings}),  # type: ignore[arg-type]
        random=Random(1),
    )


def test_a_future_knows_where_its_record_is(port: MemoryPort) -> None:
    with producer_on(port) as producer:
        first = producer.send("one", value=b"a", timestamp_ms=7)
        second = producer.send(
            "one", key=b"k", value=b"b", timestamp_ms="2013-01-01T00:00Z", headers=[("h", b"x")]
        )
        assert not first.done()

        sent = second.result()

        assert (sent.topic, sent.partition, sent.offset, sent.timestamp_ms) == ("one", 0, 1, 1356998400000)
        assert sent.position == {TopicPartition("one", 0): 2}
        assert first.done()
        assert first.result().offset == 0
        assert first.exception() is None
    assert port.rows[TopicPartition("one", 0)] == [
        (None, b"a", 7, ()),
        (b"k", b"b", 1356998400000, (("h", b"x"),)),
    ]


def test_records_without_a_waiter_are_sent_when_their_linger_is_over(port: MemoryPort) -> None:
    is_settled = threading.Event()
    with producer_on(port, linger="1ms") as producer:
        producer.send("one", value=b"a").add_done_callback(lambda _: is_settled.set())

        assert is_settled.wait(10)


def test_keys_choose_kafkas_partition_and_a_chosen_partition_wins(port: MemoryPort) -> None:
    with producer_on(port) as producer:
        by_key = producer.send("t", key=b"foobar", value=b"v").result()
        chosen = producer.send("t", key=b"foobar", value=b"v", partition=3).result()

    assert by_key.partition == partition_of_key(b"foobar", 4)
    assert chosen.partition == 3


def test_records_without_a_key_fill_one_batch_before_they_move_on(port: MemoryPort) -> None:
    with producer_on(port, batch_bytes_max=650) as producer:
        for number in range(100):
            producer.send("t", value=b"%d" % number)

    assert len(port.runs) == 4
    assert len({target for target, _ in port.runs}) > 1


def test_records_of_a_partition_keep_the_order_of_sending(port: MemoryPort) -> None:
    with producer_on(port, batch_bytes_max=200) as producer:
        for number in range(50):
            producer.send("one", value=b"%d" % number)
        producer.send_many("one", [(None, b"%d" % number) for number in range(50, 300)])
        producer.send("one", value=b"300")

    assert port.values("one") == [b"%d" % number for number in range(301)]


def test_one_flush_makes_everything_durable(port: MemoryPort) -> None:
    with producer_on(port) as producer:
        futures = [producer.send("t", key=b"%d" % number, value=b"v") for number in range(20)]
        producer.flush()

        assert all(future.done() for future in futures)


def test_send_many_takes_pairs_and_records_and_returns_every_range(port: MemoryPort) -> None:
    records: list[Sendable] = [
        (b"k1", b"v1"),
        Record(b"k2", b"v2", 5, (("h", b"x"),), "elsewhere", 3, 99),
        (None, None),
    ]
    with producer_on(port) as producer:
        future = producer.send_many("one", records)
        assert len(future) == 3
        sent = future.result()

    assert sent.count == 3
    assert sent.ranges == (Appended(TopicPartition("one", 0), 0, 3),)
    assert sent.position == {TopicPartition("one", 0): 3}
    rows = port.rows[TopicPartition("one", 0)]
    assert [(key, value, headers) for key, value, _, headers in rows] == [
        (b"k1", b"v1", ()),
        (b"k2", b"v2", (("h", b"x"),)),
        (None, None, ()),
    ]
    assert rows[1][2] == 5


def test_send_many_puts_each_key_where_send_puts_it(port: MemoryPort) -> None:
    keys = [b"key-%d" % (number % 50) for number in range(5_000)]
    with producer_on(port, batch_bytes_max=5_000) as producer:
        sent = producer.send_many("t", ((key, b"v") for key in keys)).result()

    assert sent.count == sum(written.end_offset - written.base_offset for written in sent.ranges) == 5_000
    for target, rows in port.rows.items():
        assert all(partition_of_key(row[0] or b"", 4) == target.partition for row in rows)
        expected = [key for key in keys if partition_of_key(key, 4) == target.partition]
        assert [row[0] for row in rows] == expected


def test_sending_nothing_is_done_at_once(port: MemoryPort) -> None:
    called: list[SendManyFuture] = []
    with producer_on(port) as producer:
        future = producer.send_many("one", [])
        future.add_done_callback(called.append)

        assert future.done()
        assert future.result().count == 0
        assert called == [future]


@pytest.mark.parametrize(
    "bad", [{"value": "text"}, {"key": 5}, {"headers": [("h", "text")]}, {"headers": [5]}]
)
def test_keys_and_values_that_are_not_bytes_are_refused_at_once(
    port: MemoryPort, bad: dict[str, object]
) -> None:
    with producer_on(port) as producer, pytest.raises(UsageError):
        producer.send("one", **bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [["text"], [(b"k", b"v", b"x")], [(b"k", 5)], [5]])
def test_send_many_refuses_what_is_no_record(port: MemoryPort, bad: list[object]) -> None:
    with producer_on(port) as producer, pytest.raises(UsageError):
        producer.send_many("one", bad)  # type: ignore[arg-type]


def test_bytes_like_values_are_taken_as_they_are_now(port: MemoryPort) -> None:
    value = bytearray(b"before")
    with producer_on(port) as producer:
        producer.send("one", value=value)  # type: ignore[arg-type]
        value[:] = b"after!"

    assert port.values("one") == [b"before"]


def test_unknown_topics_and_partitions_are_refused_at_once(port: MemoryPort) -> None:
    with producer_on(port) as producer:
        with pytest.raises(UnknownTopicError):
            producer.send("nowhere", value=b"v")
        with pytest.raises(UnknownTopicError):
            producer.send("t", value=b"v", partition=4)
        with pytest.raises(UnknownTopicError):
            producer.send_many("nowhere", [(None, b"v")])


def test_a_partition_that_was_added_can_be_sent_to(port: MemoryPort) -> None:
    with producer_on(port) as producer:
        producer.send("one", value=b"v").result()
        port.topics["one"] = TopicDescription("one", UUID(int=0), 2)

        assert producer.send("one", value=b"v", partition=1).result().partition == 1


def test_only_the_record_that_the_log_refuses_fails(port: MemoryPort) -> None:
    port.refuses = lambda row: InvalidRecordError("too large") if row[1] == b"bad" else None
    with producer_on(port) as producer:
        futures = [producer.send("one", value=value) for value in (b"a", b"b", b"bad", b"c", b"d")]

        assert isinstance(futures[2].exception(), InvalidRecordError)
        assert [future.result().offset for future in futures if future is not futures[2]] == [0, 1, 2, 3]
        with pytest.raises(InvalidRecordError):
            futures[2].result()
    assert port.values("one") == [b"a", b"b", b"c", b"d"]


def test_after_a_full_disk_later_sends_work_again(port: MemoryPort) -> None:
    port.refuses = lambda row: StorageError("the disk is full")
    with producer_on(port) as producer:
        failed = producer.send("one", value=b"lost")
        with pytest.raises(StorageError):
            failed.result()
        port.refuses = lambda row: None

        assert producer.send_and_wait("one", value=b"kept").offset == 0
        producer.flush()


def test_flush_raises_a_failure_that_was_not_raised_before_once(port: MemoryPort) -> None:
    port.refuses = lambda row: StorageError("the disk is full")
    producer = producer_on(port)
    producer.send("one", value=b"lost")

    with pytest.raises(StorageError):
        producer.flush()
    producer.flush()
    producer.close()


def test_close_raises_a_failure_that_was_not_raised_before(port: MemoryPort) -> None:
    port.refuses = lambda row: StorageError("the disk is full")
    producer = producer_on(port)
    producer.send("one", value=b"lost")

    with pytest.raises(StorageError):
        producer.close()

    assert port.is_closed
    producer.close()


def test_a_producer_that_is_closed_refuses_to_send(port: MemoryPort) -> None:
    producer = producer_on(port)
    pending = producer.send("one", value=b"v")
    producer.close()

    assert pending.done()
    with pytest.raises(ClosedError):
        producer.send("one", value=b"v")
    with pytest.raises(ClosedError):
        producer.send_many("one", [(None, b"v")])


def test_waiting_longer_than_allowed_is_an_error_and_the_record_stays_on_its_way(port: MemoryPort) -> None:
    port.gate.clear()
    with producer_on(port) as producer:
        future = producer.send("one", value=b"v")
        with pytest.raises(RequestTimeoutError):
            future.result(timeout="20ms")
        with pytest.raises(RequestTimeoutError):
            future.result(timeout=0.02)
        port.gate.set()

        assert future.result().offset == 0


def test_a_full_buffer_makes_send_wait_until_there_is_room(port: MemoryPort) -> None:
    port.gate.clear()
    producer = producer_on(port, buffer_bytes_max=1_000, batch_bytes_max=200, linger="1ms")
    sent_count = 0
    is_finished = threading.Event()

    def send_all() -> None:
        nonlocal sent_count
        for _ in range(200):
            producer.send("one", value=b"v" * 20)
            sent_count += 1
        is_finished.set()

    thread = threading.Thread(target=send_all)
    thread.start()
    assert not is_finished.wait(0.2)
    assert sent_count < 60, "the rest does not fit"
    port.gate.set()
    thread.join(10)

    assert is_finished.is_set()
    producer.close()
    assert len(port.values("one")) == 200


def test_a_record_larger_than_the_buffer_goes_alone(port: MemoryPort) -> None:
    with producer_on(port, buffer_bytes_max=100) as producer:
        producer.send("one", value=b"small")
        assert producer.send("one", value=b"x" * 1_000).result().offset == 1


def test_a_callback_may_send_even_when_the_buffer_is_full(port: MemoryPort) -> None:
    seen: list[int] = []
    with producer_on(port, buffer_bytes_max=100, linger="1ms") as producer:

        def again(future: SendFuture) -> None:
            seen.append(future.result().offset)
            if len(seen) < 20:
                producer.send("one", value=b"x" * 60).add_done_callback(again)

        producer.send("one", value=b"x" * 60).add_done_callback(again)
        while len(seen) < 20:
            producer.flush()

    assert seen == list(range(20))


def test_a_failing_callback_does_not_affect_the_other_callbacks(
    port: MemoryPort, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: object) -> None:
        raise ValueError("a bug of the program")

    with producer_on(port) as producer:
        future = producer.send("one", value=b"v")
        future.add_done_callback(fail)
        assert future.result().offset == 0

    assert "a callback of a send failed" in caplog.text


def test_a_callback_added_late_is_called_at_once(port: MemoryPort) -> None:
    called: list[SendFuture] = []
    with producer_on(port) as producer:
        future = producer.send("one", value=b"v")
        future.result()
        future.add_done_callback(called.append)

    assert called == [future]


def test_a_callback_of_many_is_called_once_when_all_are_done(port: MemoryPort) -> None:
    called: list[SendManyFuture] = []
    with producer_on(port, batch_bytes_max=100) as producer:
        future = producer.send_many("t", [(b"%d" % number, b"v") for number in range(100)])
        future.add_done_callback(called.append)
        future.result()

    assert called == [future]


def test_many_threads_may_share_a_producer(port: MemoryPort) -> None:
    offsets: list[int] = []

    def work(name: int) -> None:
        for number in range(200):
            future = producer.send("one", key=b"%d" % name, value=b"%d" % number)
            if number % 50 == 0:
                offsets.append(future.result().offset)

    with producer_on(port, linger="1ms", batch_bytes_max=500) as producer:
        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

    rows = port.rows[TopicPartition("one", 0)]
    assert len(rows) == 800
    assert len(set(offsets)) == len(offsets) == 16
    for name in range(4):
        assert [row[1] for row in rows if row[0] == b"%d" % name] == [b"%d" % number for number in range(200)]


def test_an_interrupted_round_settles_what_it_took(port: MemoryPort) -> None:
    def interrupt(row: Row) -> Exception | None:
        port.refuses = lambda row: None
        raise KeyboardInterrupt

    port.refuses = interrupt
    producer = producer_on(port)
    future = producer.send("one", value=b"v")
    with pytest.raises(KeyboardInterrupt):
        future.result()

    assert future.done()
    assert "interrupted" in str(future.exception())
    assert producer.send_and_wait("one", value=b"w").offset == 0
    producer.close()


def test_the_input_of_send_many_may_be_endless_because_settled_records_are_dropped(port: MemoryPort) -> None:
    with producer_on(port, batch_bytes_max=1_000, buffer_bytes_max=10_000) as producer:
        future = producer.send_many("one", ((None, b"x" * 100) for _ in range(5_000)))
        future.result()

        assert all(not batch.values for batch, _, _ in future._pieces)


def test_a_transaction_commits_the_records_sent_in_it(port: MemoryPort) -> None:
    with producer_on(port, transactional=True) as producer:
        with producer.transaction() as transaction:
            transaction.send("one", value=b"a")
            transaction.send_many("one", [(None, b"b"), (None, b"c")])
            producer.send("one", value=b"d")
            transaction.commit_group_offsets("g", {TopicPartition("in", 0): 5})

        assert port.ended == ["commit"]
        assert port.values("one") == [b"a", b"b", b"c", b"d"]
        assert port.positions == {TopicPartition("in", 0): CommittedOffset(5)}


def test_an_exception_in_the_block_aborts_and_fails_unsent_records(port: MemoryPort) -> None:
    with producer_on(port, transactional=True) as producer:
        pending: list[SendFuture] = []

        def fail_half_way() -> None:
            with producer.transaction() as transaction:
                pending.append(transaction.send("one", value=b"a"))
                raise ValueError("mine")

        with pytest.raises(ValueError, match="mine"):
            fail_half_way()

        assert port.ended == ["abort"]
        assert port.values("one") == []
        assert isinstance(pending[0].exception(), InvalidTransactionStateError)


def test_one_failed_record_aborts_the_whole_transaction(port: MemoryPort) -> None:
    port.refuses = lambda row: InvalidRecordError("too large") if row[1] == b"bad" else None
    with producer_on(port, transactional=True) as producer:
        with pytest.raises(InvalidRecordError), producer.transaction() as transaction:
            transaction.send_many("one", [(None, b"good"), (None, b"bad")]).exception()

        assert port.ended == ["abort"]
        with producer.transaction() as transaction:
            transaction.send("one", value=b"next")
        assert port.values("one") == [b"next"]


def test_a_transaction_can_be_aborted_on_purpose(port: MemoryPort) -> None:
    with producer_on(port, transactional=True) as producer:
        with producer.transaction() as transaction:
            transaction.send("one", value=b"a")
            transaction.abort()
            with pytest.raises(InvalidTransactionStateError):
                transaction.send("one", value=b"b")

        assert port.ended == ["abort"]


def test_closing_a_producer_aborts_its_open_transaction(port: MemoryPort) -> None:
    producer = producer_on(port, transactional=True)
    transaction = producer.transaction().__enter__()
    transaction.send("one", value=b"a")

    producer.close()

    assert port.ended == ["abort"]


def test_sends_and_transactions_must_fit_the_producer(port: MemoryPort) -> None:
    with producer_on(port) as plain, pytest.raises(UsageError):
        plain.transaction()
    with producer_on(port, transactional=True) as producer:
        with pytest.raises(InvalidTransactionStateError):
            producer.send("one", value=b"v")
        with producer.transaction(), pytest.raises(InvalidTransactionStateError), producer.transaction():
            pass


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(InvalidConfigError):
        ProducerSettings(batch_bytes_max=0)
    with pytest.raises(InvalidConfigError):
        ProducerSettings(buffer_bytes_max=-1)


def test_times_are_taken_in_every_public_form(port: MemoryPort) -> None:
    with producer_on(port) as producer:
        sent = producer.send_and_wait("one", value=b"v", timestamp_ms=datetime(2013, 1, 1, tzinfo=UTC))

    assert sent.timestamp_ms == 1356998400000
