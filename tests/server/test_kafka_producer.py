"""A topic is deleted while a producer over a network writes to it: an error within seconds."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest

import streamcore as sc
from streamcore.errors import UnknownTopicError
from streamcore.log.client.kafka.log import KafkaLog
from streamcore.log.client.kafka.settings import KafkaSettings
from streamcore.log.serving import ServedLog
from streamcore.model import RecordColumns, TopicPartition

pytestmark = pytest.mark.slow

LIMIT_S = 30
"""Less than the shortest time-out of librdkafka that could end the wait instead."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedLog]:
    with sc.serve(tmp_path_factory.mktemp("served"), listen="127.0.0.1:0") as found:
        yield found


@pytest.fixture
def log(served: ServedLog) -> Iterator[KafkaLog]:
    with KafkaLog(KafkaSettings(brokers=served.address)) as found:
        yield found


@pytest.fixture
def partition(log: KafkaLog) -> TopicPartition:
    name = f"t-{uuid.uuid4().hex[:8]}"
    log.create_topic(name)
    return TopicPartition(name, 0)


def one_record() -> RecordColumns:
    return RecordColumns([b"k"], [b"v"], [1_700_000_000_000])


def test_a_transaction_over_a_deleted_topic_aborts_within_seconds(
    served: ServedLog, log: KafkaLog, partition: TopicPartition
) -> None:
    producer = log.producer_port(transactional_id=partition.topic)
    with producer.transaction() as transaction:
        transaction.append_columns(partition, one_record())
    began_s = time.monotonic()

    with pytest.raises(UnknownTopicError), producer.transaction() as transaction:
        served.log.delete_topic(partition.topic)
        transaction.append_columns(partition, one_record())

    assert time.monotonic() - began_s < LIMIT_S
    producer.close()
