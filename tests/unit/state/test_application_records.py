"""The records of an application: written in transactions, read back, versioned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import CorruptDataError, UnsupportedVersionError
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.model import RecordColumns, TopicPartition
from streamcore.state.application_records import (
    TOPIC_CONFIG,
    InputRecord,
    RecordChanges,
    ResetRecord,
    TableRecord,
    read_records,
)
from streamcore.state.descriptions import StoreDescription
from streamcore.testing.sim_disk import SimDisk

CLOCK = ManualClock()
SOURCE = TopicPartition("app-descriptions", 0)
TABLE = TableRecord(
    description=StoreDescription(name="counts", kind="kv", key_codec="str", value_codec="msgpack"),
    changelog_id=UUID(int=7).hex,
)
INPUT = InputRecord(topic_id=UUID(int=8).hex, partitions=3)


@pytest.fixture
def log() -> Iterator[EmbeddedLog]:
    with EmbeddedLog.open(Path("/log"), clock=CLOCK, file_system=SimDisk(0), maintenance=False) as opened:
        opened.create_topic(SOURCE.topic, config=TOPIC_CONFIG)
        yield opened


def test_records_are_read_back_the_newest_of_each(log: EmbeddedLog) -> None:
    producer = log.producer_port(transactional_id="app-worker")
    first = RecordChanges(read_records(log, "app"))
    first.table("counts", TABLE)
    first.input("orders", InputRecord(topic_id=None, partitions=1))
    first.input("gone", INPUT)
    first.reset(ResetRecord(parts=["counts"]))
    with producer.transaction() as transaction:
        first.append_to(transaction, CLOCK)
    second = RecordChanges(read_records(log, "app"))
    second.input("orders", INPUT)
    second.forget_input("gone")
    second.reset(None)
    with producer.transaction() as transaction:
        second.append_to(transaction, CLOCK)

    found = read_records(log, "app")

    assert (found.tables, found.inputs, found.reset) == ({"counts": TABLE}, {"orders": INPUT}, None)


def test_what_says_nothing_new_is_not_written(log: EmbeddedLog) -> None:
    producer = log.producer_port(transactional_id="app-worker")
    changes = RecordChanges(read_records(log, "app"))
    changes.table("counts", TABLE)
    with producer.transaction() as transaction:
        changes.append_to(transaction, CLOCK)

    again = RecordChanges(read_records(log, "app"))
    again.table("counts", TABLE)
    again.reset(None)
    again.forget_input("orders")

    assert not again


def test_an_aborted_transaction_describes_nothing(log: EmbeddedLog) -> None:
    producer = log.producer_port(transactional_id="app-worker")
    changes = RecordChanges(read_records(log, "app"))
    changes.table("counts", TABLE)
    with pytest.raises(ZeroDivisionError), producer.transaction() as transaction:
        changes.append_to(transaction, CLOCK)
        raise ZeroDivisionError

    assert read_records(log, "app").tables == {}


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (b'{"version":9}', UnsupportedVersionError),
        (b'{"version":1}', CorruptDataError),
        (b"x", CorruptDataError),
    ],
)
def test_a_record_that_cannot_be_understood_is_refused_with_its_place(
    log: EmbeddedLog, value: bytes, error: type[Exception]
) -> None:
    columns = RecordColumns([b"input/orders"], [value], [0])
    log.producer_port().append_columns(SOURCE, columns).result()

    with pytest.raises(error, match="topic=app-descriptions offset=0 record=input/orders"):
        read_records(log, "app")


def test_records_of_kinds_that_this_version_does_not_know_are_left_alone(log: EmbeddedLog) -> None:
    columns = RecordColumns([b"owner/x", b"\xff"], [b"?", b"?"], [0, 0])
    log.producer_port().append_columns(SOURCE, columns).result()

    assert read_records(log, "app").tables == {}
