"""The records by which an application describes, beside its changelogs, its tables and input topics.

The records are in a compacted topic of one partition, so they survive the loss of ``state/``::

    topic   <app>-descriptions
    record  key := "table/" table     value := JSON of ``TableRecord``
            key := "input/" topic     value := JSON of ``InputRecord``
            key := "reset"            value := JSON of ``ResetRecord``, null once the reset is complete

Before a worker processes anything, it compares them with the declarations and with the log. It writes them,
in one transaction of its producer, after the state of all tasks is open. A changelog without a record is
therefore empty, or was written by version 0.1.0, which had no records.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import msgspec

from streamcore.clock import Clock
from streamcore.errors import CorruptDataError, UnsupportedVersionError, with_facts
from streamcore.log.client.application_groups import descriptions_topic
from streamcore.log.client.port import Reader, Transaction
from streamcore.model import Isolation, Offset, RecordColumns, TopicName, TopicPartition
from streamcore.state.descriptions import StoreDescription

RECORD_VERSION: Final = 1

TOPIC_CONFIG: Final[Mapping[str, str]] = {
    "cleanup.policy": "compact",
    "message.timestamp.type": "LogAppendTime",
}
"""The settings of the topic."""

_FETCH_BYTES: Final = 1 << 20


class TableRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A table with a changelog."""

    description: StoreDescription | None = None
    """The description of the stored data; ``None`` after a reset, until the table is written again."""
    changelog_id: str | None = None
    """The id of the changelog topic, in hexadecimal."""
    replaced_ids: list[str] = []
    """The ids of changelogs that resets deleted: a store that was made from one of them is rebuilt."""
    version: int = RECORD_VERSION


class InputRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A topic that the application reads."""

    topic_id: str | None
    """The id of the topic, in hexadecimal. ``None`` after a reset, until it is read again."""
    partitions: int
    """How many partitions the topic had when the application first read it."""
    written: StoreDescription | None = None
    """How the application writes keys and values of a repartition topic; ``None`` for other topics, after a
    reset, and in version 0.2.0.
    """
    version: int = RECORD_VERSION


class ResetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A reset that was begun: until this record is deleted, its tables and inputs may be partly reset."""

    parts: list[str]
    """The names of the sub-topologies that start over."""
    version: int = RECORD_VERSION


class ReadableLog(Protocol):
    """The part of the log's port that reading the records needs."""

    def reader(self, *, isolation: Isolation = ...) -> Reader:
        """Return a reader with nothing assigned."""

    def offsets(self, partitions: Any) -> Any:
        """Return the offsets of partitions."""


@dataclass(slots=True)
class ApplicationRecords:
    """The records of one application, as read from the log."""

    app_id: str
    tables: dict[str, TableRecord] = field(default_factory=dict)
    inputs: dict[TopicName, InputRecord] = field(default_factory=dict)
    reset: ResetRecord | None = None

    @property
    def partition(self) -> TopicPartition:
        """The partition that holds the records."""
        return TopicPartition(descriptions_topic(self.app_id), 0)


class RecordChanges:
    """Changed records, collected to be written in one transaction."""

    def __init__(self, records: ApplicationRecords) -> None:
        self._records = records
        self._changed: dict[str, msgspec.Struct | None] = {}

    def table(self, name: str, record: TableRecord) -> None:
        """Write the record of a table, if it differs."""
        if self._records.tables.get(name) != record:
            self._records.tables[name] = record
            self._changed[f"table/{name}"] = record

    def input(self, topic: TopicName, record: InputRecord) -> None:
        """Write the record of a topic, if it differs."""
        if self._records.inputs.get(topic) != record:
            self._records.inputs[topic] = record
            self._changed[f"input/{topic}"] = record

    def forget_input(self, topic: TopicName) -> None:
        """Delete the record of a topic."""
        if self._records.inputs.pop(topic, None) is not None:
            self._changed[f"input/{topic}"] = None

    def reset(self, record: ResetRecord | None) -> None:
        """Write the record of a reset, or delete it with ``None``."""
        if self._records.reset != record:
            self._records.reset = record
            self._changed["reset"] = record

    def __bool__(self) -> bool:
        return bool(self._changed)

    def append_to(self, transaction: Transaction, clock: Clock) -> None:
        """Append the changes to a transaction."""
        keys: list[bytes | None] = [name.encode() for name in self._changed]
        values = [
            None if record is None else msgspec.json.encode(record) for record in self._changed.values()
        ]
        if keys:
            times_ms = [clock.now_ms()] * len(keys)
            transaction.append_columns(self._records.partition, RecordColumns(keys, values, times_ms))
        self._changed.clear()


def read_records(log: ReadableLog, app_id: str) -> ApplicationRecords:
    """Read an application's records. The topic must exist.

    Raises:
        UnsupportedVersionError: a newer version of this program wrote one.
        CorruptDataError: a record cannot be read.
    """
    records = ApplicationRecords(app_id)
    newest: dict[str, tuple[bytes | None, Offset]] = {}
    partition = records.partition
    start = log.offsets([partition])[partition].log_start
    with closing(log.reader(isolation=Isolation.READ_COMMITTED)) as reader:
        reader.assign({partition: start})
        while (columns := reader.fetch(partition, bytes_max=_FETCH_BYTES)) is not None:
            for key, value, offset in zip(columns.keys, columns.values, columns.offsets, strict=True):
                if key is not None:
                    newest[key.decode(errors="replace")] = value, offset
    for name, (value, offset) in newest.items():
        if value is not None:
            _take(records, name, value, offset)
    return records


R = TypeVar("R", bound=msgspec.Struct)


def _take(records: ApplicationRecords, name: str, value: bytes, offset: Offset) -> None:
    kind, _, rest = name.partition("/")
    facts = {"topic": records.partition.topic, "offset": offset, "record": name}
    if kind == "table":
        records.tables[rest] = _decoded(value, TableRecord, facts)
    elif kind == "input":
        records.inputs[rest] = _decoded(value, InputRecord, facts)
    elif name == "reset":
        records.reset = _decoded(value, ResetRecord, facts)


def _decoded(value: bytes, kind: type[R], facts: Mapping[str, object]) -> R:
    try:
        version = msgspec.json.decode(value, type=_Versioned).version
        if version > RECORD_VERSION:
            raise UnsupportedVersionError(
                with_facts(
                    "a newer version of streamcore wrote the description of the application: update this "
                    "program",
                    **facts,
                    version=version,
                    readable=RECORD_VERSION,
                )
            )
        return msgspec.json.decode(value, type=kind)
    except msgspec.MsgspecError as error:
        raise CorruptDataError(
            with_facts(
                "the description of the application cannot be read; another program wrote to its topic: "
                f"{error}",
                **facts,
            )
        ) from error


class _Versioned(msgspec.Struct):
    """The part of a record that every version has."""

    version: int
