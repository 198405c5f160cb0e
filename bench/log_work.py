"""The log alone: records of 100 bytes in and out of the embedded, durable log, by public calls."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.usage import Cost, measured
from streamcore.log.client.producer.producer import Producer
from streamcore.log.connect import connect
from streamcore.log.connected_log import ConnectedLog
from streamcore.model import Record, TopicPartition

VALUE = b"v" * 100
TOPIC = "records"


def send_one_by_one(folder: Path, count: int) -> Cost:
    """Call ``producer.send`` for each record; the end is when all are durable."""

    def work(producer: Producer) -> None:
        send = producer.send
        for _ in range(count):
            send(TOPIC, value=VALUE)
        producer.flush()

    return _produce(folder, count, work)


def send_many(folder: Path, count: int) -> Cost:
    """Call ``producer.send_many`` for all records; the end is when all are durable."""

    def work(producer: Producer) -> None:
        producer.send_many(TOPIC, ((None, VALUE) for _ in range(count))).result()

    return _produce(folder, count, work)


def consume(folder: Path, count: int) -> Cost:
    """Call ``consumer.poll`` until all records have arrived, each a ``Record``."""
    with connect(folder) as log, log.consumer(TOPIC, start="earliest") as consumer:
        left, newest = count, None
        with measured() as cost:
            while left > 0:
                records = consumer.poll("5s")
                assert records, "the records loaded before are not all there"
                left -= len(records)
                newest = records[-1]
        assert left == 0
        assert type(newest) is Record
        assert newest.value == VALUE
    return cost


def _produce(folder: Path, count: int, work: Callable[[Producer], None]) -> Cost:
    with connect(folder) as log:
        log.create_topic(TOPIC, partitions=1)
        with log.producer() as producer, measured() as cost:
            work(producer)
        assert _end(log) == count
    return cost


def _end(log: ConnectedLog) -> int:
    partition = TopicPartition(TOPIC, 0)
    return log.offsets([partition])[partition].high_watermark
