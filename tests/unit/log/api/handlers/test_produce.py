"""What produce answers when something else happens while it waits for the disk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import StorageError
from streamcore.log.api.calls import Call, Caller, Endpoint
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.api.handlers.produce import produce
from streamcore.log.broker.operations import DurableUntil
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from streamcore.testing.sim_disk import SimDisk
from tests.support.serving import NOW_MS, PRODUCE_VERSION, batch


@pytest.fixture
def log() -> Iterator[EmbeddedLog]:
    with EmbeddedLog.open(
        "/data", file_system=SimDisk(1), clock=ManualClock(NOW_MS), maintenance=False
    ) as log:
        log.create_topic("deleted")
        log.create_topic("kept")
        yield log


def begun(log: EmbeddedLog) -> Any:
    """A request for both topics, at the point where it waits for the disk."""
    topics = [
        TopicProduceData(
            name=name,
            partition_data=[PartitionProduceData(index=0, records=memoryview(bytearray(batch(b"a"))))],
        )
        for name in ("deleted", "kept")
    ]
    caller = Caller(host="127.0.0.1", endpoint=Endpoint("127.0.0.1", 9092))
    operation = produce(
        ProduceRequest(acks=-1, timeout_ms=1_000, topic_data=topics),
        Call(PRODUCE_VERSION, None, caller, log.node.broker, ManualClock(NOW_MS)),
    )
    assert isinstance(next(operation), DurableUntil)
    return operation


def codes_of(operation: Any) -> list[int]:
    with pytest.raises(StopIteration) as end:
        operation.send(None)
    return [topic.partition_responses[0].error_code for topic in end.value.value.responses]


def test_a_topic_that_is_deleted_meanwhile_is_answered_as_unknown_and_the_others_as_ever(
    log: EmbeddedLog,
) -> None:
    operation = begun(log)

    log.delete_topic("deleted")
    log.node.driver.sync_all()

    assert codes_of(operation) == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.NONE]


def test_a_topic_that_is_deleted_after_its_disk_has_failed_is_answered_as_unknown(log: EmbeddedLog) -> None:
    operation = begun(log)

    log.delete_topic("deleted")
    assert isinstance(operation.throw(StorageError("the disk has failed")), DurableUntil)
    log.node.driver.sync_all()

    assert codes_of(operation) == [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.NONE]
