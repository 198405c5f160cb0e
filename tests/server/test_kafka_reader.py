"""Readers over a broker: bounded buffers, threads that end, positions kept over a change of what is read."""

from __future__ import annotations

import gc
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import pytest

import streamcore as sc
from streamcore.errors import ClosedError, UnknownTopicError, UsageError
from streamcore.log.client.kafka.log import KafkaLog
from streamcore.log.client.kafka.settings import KafkaSettings
from streamcore.log.serving import ServedLog
from streamcore.model import TopicPartition

WAIT_S = 20.0
BUFFERED_BYTES = 20_000
COUNT = 40_000
RECORD_BYTES = 100
LOOK_BYTES_MAX = 10_000 * RECORD_BYTES
"""One look into librdkafka's queue brings at most so much."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedLog]:
    with sc.serve(tmp_path_factory.mktemp("served"), listen="127.0.0.1:0") as found:
        yield found


@pytest.fixture
def log(served: ServedLog) -> Iterator[KafkaLog]:
    with KafkaLog(KafkaSettings(brokers=served.address, buffered_bytes_max=BUFFERED_BYTES)) as found:
        yield found


@pytest.fixture
def places(served: ServedLog) -> list[TopicPartition]:
    """Two partitions of a new topic, each with many records."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    served.log.create_topic(name, partitions=2)
    found = [TopicPartition(name, 0), TopicPartition(name, 1)]
    with served.log.producer() as producer:
        for place in found:
            rows = [(None, b"%0100d" % number) for number in range(COUNT)]
            producer.send_many(name, rows, partition=place.partition)
    return found


def wait_until(is_reached: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not is_reached():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def reader_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "streamcore-reader"]


def test_a_partition_that_is_not_read_is_kept_within_bounds_and_loses_nothing(
    log: KafkaLog, places: list[TopicPartition]
) -> None:
    first, second = places
    reader = log.reader()
    reader.assign(dict.fromkeys(places, 0))
    values: dict[TopicPartition, list[bytes | None]] = {place: [] for place in places}

    most_bytes = 0
    for place in (second, first):
        while (run := reader.fetch(place, bytes_max=100_000)) is not None:
            values[place] += run.values
            most_bytes = max(most_bytes, reader.buffered_bytes(first))
    reader.close()

    expected = [b"%0100d" % number for number in range(COUNT)]
    assert values == {first: expected, second: expected}
    assert most_bytes <= BUFFERED_BYTES + LOOK_BYTES_MAX < COUNT * RECORD_BYTES


def test_positions_of_what_stays_assigned_are_kept(log: KafkaLog, places: list[TopicPartition]) -> None:
    first, second = places
    reader = log.reader()
    reader.assign({first: 10})
    run = reader.fetch(first, bytes_max=1_000)
    assert run is not None

    reader.assign({first: run.next_offset, second: COUNT - 10})
    on, tail = reader.fetch(first, bytes_max=1), reader.fetch(second, bytes_max=1_000_000)
    reader.assign({first: 0})
    again = reader.fetch(first, bytes_max=1)
    with pytest.raises(UsageError):
        reader.fetch(second, bytes_max=1)
    reader.close()

    assert on is not None
    assert on.offsets == [run.next_offset]
    assert tail is not None
    assert tail.offsets[0] == COUNT - 10
    assert again is not None
    assert again.offsets == [0]


def test_reading_a_deleted_topic_raises_an_error(log: KafkaLog, places: list[TopicPartition]) -> None:
    reader = log.reader()
    reader.assign({places[0]: COUNT})
    assert reader.fetch(places[0], bytes_max=1) is None

    log.delete_topic(places[0].topic)

    with pytest.raises(UnknownTopicError):
        wait_until(lambda: reader.fetch(places[0], bytes_max=1) is not None)
    reader.close()


def test_the_thread_of_a_reader_that_is_dropped_ends(log: KafkaLog, places: list[TopicPartition]) -> None:
    before = len(reader_threads())
    told = threading.Event()
    reader = log.reader()
    reader.on_progress(told.set)
    reader.assign({places[0]: 0})
    assert told.wait(WAIT_S)
    assert len(reader_threads()) == before + 1

    del reader
    gc.collect()

    wait_until(lambda: len(reader_threads()) == before)


def test_a_closed_reader_says_so(log: KafkaLog, places: list[TopicPartition]) -> None:
    reader = log.reader()
    reader.assign({places[0]: 0})
    reader.close()
    reader.close()

    with pytest.raises(ClosedError):
        reader.fetch(places[0], bytes_max=1)
