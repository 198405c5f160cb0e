"""The public log over a broker: the same calls as on a folder, through librdkafka, on our own server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.clock import SystemClock
from streamcore.errors import (
    ClosedError,
    InvalidConfigError,
    InvalidTransactionStateError,
    ProducerFencedError,
    RequestTimeoutError,
    StaleGenerationError,
    UnknownTopicError,
    UsageError,
)
from streamcore.log.async_log import connect_async
from streamcore.log.client.consumer.consumer import Consumer
from streamcore.log.client.consumer.fetch_state import BytesRecord
from streamcore.log.client.kafka.log import KafkaLog
from streamcore.log.client.kafka.settings import KafkaSettings
from streamcore.log.connect import connect
from streamcore.log.connected_log import ConnectedLog
from streamcore.log.serving import ServedLog
from streamcore.model import CommittedOffset, Record, TopicPartition

WAIT_S = 20.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedLog]:
    with sc.serve(tmp_path_factory.mktemp("served"), listen="127.0.0.1:0") as found:
        yield found


@pytest.fixture
def log(served: ServedLog) -> Iterator[ConnectedLog]:
    with connect(served.address) as found:
        yield found


@pytest.fixture
def topic(log: ConnectedLog) -> str:
    """A topic of the test's own, with four partitions; groups and ids are named after it."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    log.create_topic(name, partitions=4)
    return name


def read_all(consumer: Consumer, count: int) -> list[BytesRecord]:
    records: list[BytesRecord] = []
    deadline_s = time.monotonic() + WAIT_S
    while len(records) < count:
        assert time.monotonic() < deadline_s, f"{len(records)} of {count} came"
        records += consumer.poll("100ms")
    return records


def poll_until(consumers: Sequence[Consumer], is_reached: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not is_reached():
        assert time.monotonic() < deadline_s, [consumer.assignment() for consumer in consumers]
        for consumer in consumers:
            consumer.poll("20ms")


# --- writing and reading --------------------------------------------------------------------------


def test_sent_records_are_read_with_keys_times_and_headers(log: ConnectedLog, topic: str) -> None:
    with log.producer(compression="zstd") as producer:
        sent = producer.send_and_wait(
            topic, key=b"k", value=b"v", timestamp_ms=1_795_000_000_000, headers=[("a", b"1"), ("a", None)]
        )
        tombstone = producer.send_and_wait(topic, key=b"k", value=None)

    with log.consumer(topic) as consumer:
        first, second = read_all(consumer, 2)

    assert first == Record(
        b"k", b"v", 1_795_000_000_000, (("a", b"1"), ("a", None)), topic, sent.partition, sent.offset
    )
    assert (second.value, second.offset) == (None, tombstone.offset)


def test_many_records_are_read_in_the_order_of_their_partitions(log: ConnectedLog, topic: str) -> None:
    rows = [(b"%d" % (number % 50), b"%d" % number) for number in range(20_000)]

    with log.producer() as producer:
        sent = producer.send_many(topic, rows).result()
    with log.consumer(topic) as consumer:
        records = read_all(consumer, len(rows))
        lag = consumer.lag()

    by_key: dict[bytes | None, list[bytes | None]] = {}
    for record in records:
        by_key.setdefault(record.key, []).append(record.value)
    assert sent.count == len(rows)
    assert by_key == {key: [value for other, value in rows if other == key] for key in dict(rows)}
    assert set(lag.values()) == {0}


def test_a_consumer_begins_seeks_pauses_and_sees_the_end(log: ConnectedLog, topic: str) -> None:
    place = TopicPartition(topic, 0)
    start_ms = int(time.time() * 1000)
    with log.producer() as producer:
        for number in range(10):
            producer.send(topic, value=b"%d" % number, partition=0, timestamp_ms=start_ms + number)

    with log.consumer(assign={place: 7}) as consumer:
        tail = read_all(consumer, 3)
        consumer.seek(place, 2)
        again = consumer.poll("5s", records_max=1)
        consumer.seek_to_time(start_ms + 5, [place])
        later = consumer.poll("5s", records_max=1)
        consumer.pause([place])
        nothing = consumer.poll("50ms")
        consumer.resume([place])
        rest = read_all(consumer, 4)
        end = consumer.poll("50ms")

    assert [record.offset for record in tail] == [7, 8, 9]
    assert [record.offset for record in again] == [2]
    assert [record.offset for record in later] == [5]
    assert nothing == []
    assert [record.offset for record in rest] == [6, 7, 8, 9]
    assert end == []


def test_a_later_append_wakes_a_waiting_consumer(log: ConnectedLog, topic: str) -> None:
    with log.consumer(topic) as consumer, log.producer() as producer:
        assert consumer.poll("20ms") == []
        producer.send_and_wait(topic, value=b"late")

        assert [record.value for record in read_all(consumer, 1)] == [b"late"]


def test_unknown_topics_and_partitions_are_refused_at_once_and_not_made(
    log: ConnectedLog, topic: str
) -> None:
    nowhere = f"{topic}-nowhere"

    with log.producer() as producer:
        with pytest.raises(UnknownTopicError):
            producer.send_and_wait(nowhere, value=b"v")
        with pytest.raises(UnknownTopicError):
            producer.send_and_wait(topic, value=b"v", partition=9)
    with pytest.raises(UnknownTopicError):
        log.consumer(nowhere)

    assert nowhere not in log.topics()


# --- groups -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
def test_members_divide_the_partitions_and_take_over_when_one_closes(
    served: ServedLog, log: ConnectedLog, topic: str, assignor: str
) -> None:
    everything = frozenset(TopicPartition(topic, number) for number in range(4))
    moved: list[tuple[str, frozenset[TopicPartition]]] = []

    first = log.consumer(
        topic,
        group=topic,
        assignor=assignor,
        on_assigned=lambda places: moved.append(("assigned", frozenset(places))),
        on_revoked=lambda places: moved.append(("revoked", frozenset(places))),
    )
    poll_until([first], lambda: first.assignment() == everything)
    second = log.consumer(topic, group=topic, assignor=assignor)
    poll_until([first, second], lambda: len(first.assignment()) == len(second.assignment()) == 2)
    shared = log.describe_group(topic)
    second.close()
    poll_until([first], lambda: first.assignment() == everything)
    first.close()

    assert moved[0] == ("assigned", everything)
    assert moved[1][0] == "revoked"
    assert len(moved[1][1]) == (4 if assignor == "range" else 2)
    assert (shared.state, shared.protocol, len(shared.members)) == ("Stable", assignor, 2)
    assert {len(member.assignment) for member in shared.members} == {2}
    assert log.describe_group(topic).state == "Empty"


@pytest.mark.slow
def test_a_group_continues_at_its_committed_offsets_and_can_be_described_reset_and_deleted(
    log: ConnectedLog, topic: str
) -> None:
    place = TopicPartition(topic, 0)
    with log.producer() as producer:
        producer.send_many(topic, [(None, b"%d" % number) for number in range(10)], partition=0).result()

    with log.consumer(topic, group=topic) as consumer:
        read_all(consumer, 10)
        consumer.commit({place: CommittedOffset(4, "half")})
        committed = consumer.committed([place])
    with pytest.raises(UsageError, match="the group does not exist"):
        log.describe_group(f"{topic}-other")
    (position,) = log.describe_group(topic).positions
    with log.consumer(topic, group=topic) as consumer:
        rest = read_all(consumer, 6)
    moved = log.reset_group(topic, "-2")
    log.delete_group(topic)

    assert committed == {place: CommittedOffset(4, "half")}
    assert (position.committed, position.log_end, position.lag, position.metadata) == (4, 10, 6, "half")
    assert [record.offset for record in rest] == list(range(4, 10))
    assert moved == {place: CommittedOffset(2)}
    assert topic not in log.groups()


def test_a_group_with_members_is_not_moved_from_outside(log: ConnectedLog, topic: str) -> None:
    with log.consumer(topic, group=topic) as consumer:
        poll_until([consumer], lambda: len(consumer.assignment()) == 4)

        with pytest.raises(UsageError, match="members"):
            log.reset_group(topic, "earliest", topics=[topic])
        with pytest.raises(UsageError, match="members"):
            log.delete_group(topic)


def test_an_assignor_that_librdkafka_lacks_is_refused(log: ConnectedLog, topic: str) -> None:
    with pytest.raises(UsageError, match="cooperative-sticky"):
        log.consumer(topic, group=topic, assignor="sticky")


# --- transactions -----------------------------------------------------------------------------------


def test_read_process_write_is_exactly_once(log: ConnectedLog, topic: str) -> None:
    source, target = TopicPartition(topic, 0), TopicPartition(topic, 1)
    with log.producer() as plain:
        plain.send_many(topic, [(None, b"%d" % number) for number in range(5)], partition=0).result()

    with (
        log.producer(transactional_id=topic) as producer,
        log.consumer(assign=[source], group=topic) as consumer,
    ):
        records = read_all(consumer, 5)
        with pytest.raises(ZeroDivisionError), producer.transaction() as transaction:
            transaction.send(topic, value=b"lost", partition=1)
            transaction.commit_offsets(consumer)
            raise ZeroDivisionError
        with producer.transaction() as transaction:
            transaction.send_many(topic, [(None, record.value) for record in records], partition=1)
            transaction.commit_offsets(consumer)
        with pytest.raises(InvalidTransactionStateError):
            producer.send(topic, value=b"outside")

    assert log.committed(topic, [source]) == {source: CommittedOffset(5)}
    with log.consumer(assign=[target]) as consumer:
        assert [record.value for record in read_all(consumer, 5)] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_newer_producer_fences_the_older(log: ConnectedLog, topic: str) -> None:
    old = log.producer(transactional_id=topic)
    with pytest.raises(ProducerFencedError), old.transaction() as transaction:
        transaction.send(topic, value=b"zombie").result()
        new = log.producer(transactional_id=topic)
        transaction.send(topic, value=b"more").result()
    with new.transaction() as transaction:
        transaction.send(topic, value=b"heir")
    new.close()

    with pytest.raises(ProducerFencedError):
        old.transaction().__enter__()
    with log.consumer(topic) as consumer:
        assert [record.value for record in read_all(consumer, 1)] == [b"heir"]


@pytest.mark.slow
def test_a_replaced_member_cannot_commit_offsets_in_a_transaction(log: ConnectedLog, topic: str) -> None:
    with log.producer() as plain:
        plain.send_and_wait(topic, value=b"v", partition=0)
    with (
        log.producer(transactional_id=topic) as producer,
        log.consumer(topic, group=topic, group_instance_id="me") as first,
    ):
        read_all(first, 1)
        with log.consumer(topic, group=topic, group_instance_id="me") as second:
            poll_until([second], lambda: len(second.assignment()) == 4)

            with pytest.raises(StaleGenerationError), producer.transaction() as transaction:
                transaction.commit_offsets(first)
            with pytest.raises(StaleGenerationError):
                poll_until([first], lambda: False)

    assert log.committed(topic) == {}


# --- the connection -----------------------------------------------------------------------------------


def test_an_error_about_a_silent_broker_names_its_address(log: ConnectedLog) -> None:
    with pytest.raises(RequestTimeoutError, match=r"Connection refused.*brokers=127\.0\.0\.1:1 "):
        KafkaLog(KafkaSettings(brokers="127.0.0.1:1", connect_timeout_s=0.3), clock=SystemClock())


def test_properties_that_make_no_sense_are_refused(served: ServedLog) -> None:
    with pytest.raises(InvalidConfigError, match=r"security\.protocol"):
        connect(served.address, security={"security.protocol": "NONSENSE"})
    with pytest.raises(InvalidConfigError, match="acks"):
        connect(served.address, security={"acks": "0"})


def test_arguments_of_the_other_kind_of_log_are_refused(served: ServedLog, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="durability"):
        connect(served.address, durability="relaxed")
    with pytest.raises(UsageError, match="config"):
        connect(served.address, config={"log.retention.hours": "24"})
    with pytest.raises(UsageError, match="security"):
        connect(tmp_path, security={})
    with connect(served.address) as log, pytest.raises(UsageError, match="folder"):
        _ = log.embedded


def test_a_closed_log_says_so(served: ServedLog) -> None:
    log = connect(f"kafka://{served.address}")
    log.close()
    log.close()

    with pytest.raises(ClosedError):
        log.topics()


def test_the_asyncio_twin_speaks_to_a_broker_too(served: ServedLog, topic: str) -> None:
    async def work() -> list[bytes | None]:
        async with connect_async(served.address) as log:
            async with log.producer() as producer:
                await (await producer.send(topic, value=b"v"))
            async with log.consumer(topic) as consumer:
                values: list[bytes | None] = []
                while not values:
                    values = [record.value for record in await consumer.poll("100ms")]
                return values

    assert asyncio.run(work()) == [b"v"]


def test_a_log_in_a_folder_does_without_librdkafka(tmp_path: Path, project: Path) -> None:
    program = (
        "import sys, streamcore as sc\n"
        "with sc.connect(sys.argv[1]) as log:\n"
        "    log.create_topic('t')\n"
        "    log.producer().send_and_wait('t', value=b'v')\n"
        "print('confluent_kafka' in sys.modules)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout == "False\n"
