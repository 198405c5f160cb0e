"""Sends records of code outside tasks: timers and commands. They are durable when ``send`` returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from streamcore.clock import Clock
from streamcore.errors import SerdeError, UsageError, fact_text
from streamcore.log.client.port import Producer
from streamcore.model import Headers, Record, RecordColumns, TopicPartition
from streamcore.partitioning import partition_of_key
from streamcore.processing.operators.guard import each
from streamcore.processing.topology.made_records import made_record, wanted_partition
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.times import NO_TIMESTAMP

_CHUNK_RECORDS = 10_000


def partitions_of(topic: TopicSpec, counts: Mapping[str, int]) -> int:
    """Return the number of partitions of a topic of the application.

    Raises:
        UsageError: the topic was declared on another application.
    """
    count = counts.get(topic.name)
    if count is None:
        raise UsageError(
            "the running application has no such topic; declare it on this one, with app.topic(...): "
            + fact_text(topic=topic.name)
        )
    return count


class DirectSender:
    """Encodes typed records and appends them through a producer."""

    def __init__(self, producer: Producer, counts: Mapping[str, int], clock: Clock) -> None:
        self._producer = producer
        self._counts = counts
        self._clock = clock
        self._next_without_key = 0

    def send(self, topic: TopicSpec, records: Iterable[Record[Any, Any]]) -> int:
        """Write records in their order; return their number. Records of each chunk are acknowledged together.

        Raises:
            SerdeError: a key or value is not of the topic's type; records before its chunk are written.
            UsageError: a partition that the topic does not have.
            InvalidRecordError: a time or headers that no record can have.
        """
        iterator = iter(records)
        count = partitions_of(topic, self._counts)
        sent = 0
        pending = []
        while chunk := list(islice(iterator, _CHUNK_RECORDS)):
            for to_partition, columns in self._partitioned(topic, chunk, count).items():
                pending.append(
                    self._producer.append_columns(
                        to_partition,
                        RecordColumns(columns.keys, columns.values, columns.timestamps_ms, columns.headers),
                    )
                )
            sent += len(chunk)
            # One chunk is being written while the next is encoded.
            while len(pending) > 2 * count:
                pending.pop(0).result()
        for acknowledgement in pending:
            acknowledgement.result()
        return sent

    def _partitioned(
        self, topic: TopicSpec, chunk: list[Record[Any, Any]], count: int
    ) -> dict[TopicPartition, RecordColumns]:
        now_ms = self._clock.now_ms()
        chunk = [
            record if record.timestamp_ms == NO_TIMESTAMP and record.headers == () else made_record(record)
            for record in chunk
        ]
        keys = _encoded(topic, "key", topic.key_serde.encode, [record.key for record in chunk])
        values = _encoded(topic, "value", topic.value_serde.encode, [record.value for record in chunk])
        partition_by_key: dict[bytes | None, int] = {None: self._next_without_key}
        self._next_without_key = (self._next_without_key + 1) % count
        columns: dict[TopicPartition, RecordColumns] = {}
        headers: dict[TopicPartition, list[Headers]] = {}
        has_headers = any(record.headers for record in chunk)
        for record, key, value in zip(chunk, keys, values, strict=True):
            partition = wanted_partition(topic.name, record, count)
            if partition < 0:
                found = partition_by_key.get(key)
                if found is None:
                    assert key is not None
                    found = partition_by_key[key] = partition_of_key(key, count)
                partition = found
            to_partition = TopicPartition(topic.name, partition)
            to = columns.get(to_partition)
            if to is None:
                to = columns[to_partition] = RecordColumns()
                headers[to_partition] = []
            to.keys.append(key)
            to.values.append(value)
            to.timestamps_ms.append(record.timestamp_ms if record.timestamp_ms >= 0 else now_ms)
            if has_headers:
                headers[to_partition].append(record.headers)
        if has_headers:
            for to_partition, found_headers in headers.items():
                columns[to_partition].headers = found_headers
        return columns


def _encoded(topic: TopicSpec, what: str, encode: Any, column: list[Any]) -> list[bytes | None]:
    def failed(position: int, error: BaseException) -> bytes:
        raise SerdeError(
            f"this {what} is not of the topic's type; nothing of its chunk is written: "
            + fact_text(topic=topic.name, value=repr(column[position])[:100], error=error)
        ) from error

    return each(lambda value: None if value is None else encode(value), column, failed)
