"""The public producer on a disk that runs full, fails to sync, or forgets: nothing acknowledged is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamcore.clock import SystemClock
from streamcore.errors import InvalidRecordError, StorageError
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.client.producer.producer import Producer
from streamcore.model import TopicPartition
from streamcore.testing.sim_disk import SimDisk

T = TopicPartition("t", 0)


def open_on(disk: SimDisk) -> EmbeddedLog:
    return EmbeddedLog.open(Path("/data"), file_system=disk, maintenance=False)


def producer_on(log: EmbeddedLog) -> Producer:
    return Producer(log.producer_port(), log.topics, SystemClock())


def stored_values(log: EmbeddedLog) -> list[bytes | None]:
    reader = log.reader()
    reader.assign({T: 0})
    seen: list[bytes | None] = []
    while (run := reader.fetch(T, bytes_max=1_000_000)) is not None:
        seen += run.values
    return seen


def test_sends_fail_on_a_full_disk_and_work_again_when_there_is_room() -> None:
    disk = SimDisk(1)
    log = open_on(disk)
    log.create_topic("t")
    producer = producer_on(log)
    producer.send_and_wait("t", value=b"before")
    disk.fill_after(1_000)

    with pytest.raises(StorageError):
        producer.send_and_wait("t", value=b"x" * 5_000)
    disk.fill_after(None)
    producer.send_and_wait("t", value=b"after")

    producer.close()
    assert stored_values(log) == [b"before", b"after"]
    log.close()


def test_a_failed_sync_fails_the_send_and_every_later_send() -> None:
    disk = SimDisk(1)
    log = open_on(disk)
    log.create_topic("t")
    producer = producer_on(log)
    producer.send_and_wait("t", value=b"before")
    disk.fail_sync()

    with pytest.raises(StorageError):
        producer.send_and_wait("t", value=b"lost")
    with pytest.raises(StorageError):
        producer.send_and_wait("t", value=b"lost too")
    producer.close()


@pytest.mark.parametrize("seed", range(10))
def test_acknowledged_records_survive_a_power_cut(seed: int) -> None:
    disk = SimDisk(seed)
    log = open_on(disk)
    log.create_topic("t")
    producer = producer_on(log)
    acknowledged = [b"%d" % number for number in range(seed * 10 + 1)]
    producer.send_many("t", [(None, value) for value in acknowledged]).result()

    disk.crash()
    with open_on(disk) as reopened:
        assert stored_values(reopened) == acknowledged


def test_a_record_larger_than_the_topic_allows_fails_alone() -> None:
    log = open_on(SimDisk(1))
    log.create_topic("t", config={"max.message.bytes": "1000"})
    with producer_on(log) as producer:
        futures = [producer.send("t", value=value) for value in (b"a", b"x" * 2_000, b"b")]

        assert isinstance(futures[1].exception(), InvalidRecordError)
        assert [futures[0].result().offset, futures[2].result().offset] == [0, 1]
    assert stored_values(log) == [b"a", b"b"]
    log.close()


def test_only_the_record_without_a_key_fails_in_a_compacted_topic() -> None:
    log = open_on(SimDisk(1))
    log.create_topic("t", config={"cleanup.policy": "compact"})
    with producer_on(log) as producer:
        future = producer.send_many("t", [(b"k1", b"a"), (None, b"bad"), (b"k2", b"b")])

        assert isinstance(future.exception(), InvalidRecordError)
    assert stored_values(log) == [b"a", b"b"]
    log.close()


def test_the_append_time_is_answered_where_a_topic_keeps_it() -> None:
    log = open_on(SimDisk(1))
    log.create_topic("t", config={"message.timestamp.type": "LogAppendTime"})
    with producer_on(log) as producer:
        sent = producer.send_and_wait("t", value=b"v", timestamp_ms=5)

    assert sent.timestamp_ms > 5
    log.close()
