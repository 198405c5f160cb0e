"""Which times of records the public producer sends, and which it refuses."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from streamcore.errors import InvalidTimestampError
from streamcore.model import Record, TopicPartition
from tests.unit.log.client.producer.test_producer import MemoryPort, producer_on


@pytest.fixture
def port() -> MemoryPort:
    return MemoryPort()


OUT_OF_RANGE = [-1, -5, "1969-12-31T23:59:58Z", "-1", datetime(1969, 12, 31, tzinfo=UTC), 2**63, -(2**63) - 1]


@pytest.mark.parametrize("given", OUT_OF_RANGE)
def test_a_time_before_1970_or_beyond_64_bits_is_refused_by_the_send(
    port: MemoryPort, given: int | str | datetime
) -> None:
    with producer_on(port) as producer:
        before = producer.send("one", value=b"before", timestamp_ms=0)
        with pytest.raises(InvalidTimestampError, match="1970"):
            producer.send("one", value=b"bad", timestamp_ms=given)
        after = producer.send("one", value=b"after", timestamp_ms=2**63 - 1)
        assert [before.result().offset, after.result().offset] == [0, 1]

    assert [row[1:3] for row in port.rows[TopicPartition("one", 0)]] == [
        (b"before", 0),
        (b"after", 2**63 - 1),
    ]


@pytest.mark.parametrize("bad", [-2, -5_000, 2**63])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_send_many_refuses_the_times_that_send_refuses(port: MemoryPort, bad: int, place: int) -> None:
    records = [Record(None, b"a", 1), Record(None, b"b", 2)]
    records.insert(place, Record(None, b"bad", bad))
    with producer_on(port) as producer, pytest.raises(InvalidTimestampError, match=f"timestamp_ms={bad}"):
        producer.send_many("one", records)


def test_a_record_of_send_many_without_a_time_gets_the_present_one(port: MemoryPort) -> None:
    with producer_on(port) as producer:
        producer.send_many(
            "one", [Record(None, b"a"), Record(None, b"b", -1), Record(None, b"c", 0)]
        ).result()

    times_ms = [row[2] for row in port.rows[TopicPartition("one", 0)]]
    assert min(times_ms[:2]) > 1_700_000_000_000
    assert times_ms[2] == 0


def test_the_time_that_librdkafka_would_replace_is_refused_where_it_is_sent_through(port: MemoryPort) -> None:
    port.time_min_ms = 1
    with producer_on(port) as producer:
        with pytest.raises(InvalidTimestampError, match="librdkafka"):
            producer.send("one", value=b"bad", timestamp_ms=0)
        with pytest.raises(InvalidTimestampError, match="librdkafka"):
            producer.send_many("one", [Record(None, b"bad", 0)])
        assert producer.send_and_wait("one", value=b"good", timestamp_ms=1).timestamp_ms == 1
