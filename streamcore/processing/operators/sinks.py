"""Operators that write: they encode keys and values and add them to the outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from streamcore.errors import RecordTooLargeError
from streamcore.model import Headers, Record, RecordColumns
from streamcore.processing.operators.batch import Batch, holds_none
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.outputs import BatchOutputs
from streamcore.processing.topology.made_records import partition_without_key, wanted_partition
from streamcore.processing.topology.nodes import TopicSpec
from streamcore.processing.topology.record_sizes import (
    NO_LIMIT,
    ensure_fits,
    longest,
    longest_headers,
)
from streamcore.processing.topology.source_times import headers_with_source_times
from streamcore.state.dynamic_keys import is_plain


class SinkOperator:
    """Writes a stream to a topic: equal keys to one partition, records without a key to each in turn."""

    def __init__(
        self,
        guard: Guard,
        topic: TopicSpec,
        partition_count: int,
        partition_of: Callable[[bytes, int], int],
        outputs: BatchOutputs,
        *,
        record_bytes_max: int = NO_LIMIT,
        keyed_only: bool = False,
    ) -> None:
        """Create the operator; the topic takes no record above ``record_bytes_max``."""
        self._guard = guard
        self._topic = topic
        self._partition_count = partition_count
        self._partition_of = partition_of
        self._outputs = outputs
        self._record_bytes_max = record_bytes_max
        self._keyed_only = keyed_only
        self._next_without_key = 0
        self._longest_key = 0
        """The most bytes that a key has had so far."""

    def process(self, batch: Batch) -> None:
        """Encode the batch and add it to the outputs."""
        if self._keyed_only:
            batch = self._guard.with_keys(batch)
        if not len(batch):
            return
        values, kept = _encoded(self._guard, self._topic.value_serde.encode, batch.values, batch)
        if kept is not None:
            batch = batch.take(kept)
        keys = self._encoded_once(batch.keys)
        if keys is None:
            keys, kept = _encoded(self._guard, self._topic.key_serde.encode, batch.keys, batch)
            if kept is not None:
                batch = batch.take(kept)
                values = [values[index] for index in kept]
            self._longest_key = max(self._longest_key, longest(keys))
        self._write(batch, keys, values)

    def write_encoded(self, batch: Batch, partitions: Sequence[int] | None = None) -> None:
        """Add a batch whose keys and values are bytes to the outputs.

        Args:
            partitions: the partition of each record, -1 where its key decides; ``None`` for all.
        """
        self._longest_key = max(self._longest_key, longest(batch.keys))
        self._write(batch, batch.keys, batch.values, partitions)

    def ensure_partition(self, record: Record[Any, Any]) -> None:
        """Raise ``UsageError`` if a record names a partition that the topic does not have."""
        wanted_partition(self._topic.name, record, self._partition_count)

    def ensure_fits(self, record: Record[bytes | None, bytes | None]) -> None:
        """Raise ``RecordTooLargeError`` if the topic does not take a record."""
        ensure_fits(self._topic.name, record.key, record.value, record.headers, self._record_bytes_max)

    def _write(
        self,
        batch: Batch,
        keys: list[bytes | None],
        values: list[bytes | None],
        given: Sequence[int] | None = None,
    ) -> None:
        headers = batch.headers
        if self._topic.internal:
            headers = headers_with_source_times(headers, batch.timestamps_ms, batch.source_times_ms())
        if longest(values) + self._longest_key + longest_headers(headers) > self._record_bytes_max:
            kept = self._fitting(batch, keys, values, headers)
            if len(kept) < len(keys):
                keys, values = [keys[index] for index in kept], [values[index] for index in kept]
                headers = None if headers is None else [headers[index] for index in kept]
                given = None if given is None else [given[index] for index in kept]
                batch = batch.take(kept)
            if not kept:
                return
        columns = RecordColumns(keys, values, batch.timestamps_ms, headers)
        partition_times_ms = batch.partition_times_ms()
        if self._partition_count == 1:
            # The outputs grow their columns in place; the batch's columns must not grow with them.
            columns.timestamps_ms = list(columns.timestamps_ms)
            columns.headers = None if columns.headers is None else list(columns.headers)
            self._outputs.add(
                self._topic, 0, columns, origins=batch.origins, partition_times_ms=partition_times_ms
            )
            return
        for partition, indexes in self._indexes(keys, batch, given).items():
            self._outputs.add(
                self._topic,
                partition,
                columns.take(indexes),
                origins=[batch.origins[index] for index in indexes],
                partition_times_ms=[partition_times_ms[index] for index in indexes],
            )

    def _fitting(
        self,
        batch: Batch,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        headers: Sequence[Headers] | None,
    ) -> list[int]:
        """Return the indexes of the records that the topic takes; the policy decides about the others."""
        kept = []
        for index, (key, value) in enumerate(zip(keys, values, strict=True)):
            row = () if headers is None else headers[index]
            try:
                ensure_fits(self._topic.name, key, value, row, self._record_bytes_max)
            except RecordTooLargeError as error:
                self._guard.failed(batch, index, error)
            else:
                kept.append(index)
        return kept

    def _encoded_once(self, keys: list[Any]) -> list[bytes | None] | None:
        """Return the bytes of keys, each distinct one encoded once; ``None`` if they must be encoded one by
        one.

        Only keys whose equality in Python is that of their bytes are encoded once: ``True`` and ``1`` are
        not.
        """
        present = keys
        if not is_plain(keys):
            present = [key for key in keys if key is not None]
            if len(present) == len(keys) or not is_plain(present):
                return None
        distinct = list(set(present))
        encoded = self._encoded_keys(distinct)
        if encoded is None:
            return None
        self._longest_key = max(self._longest_key, longest(encoded))
        bytes_by_key: dict[Any, bytes | None] = dict(zip(distinct, encoded, strict=True))
        if present is not keys:
            bytes_by_key[None] = None
        return list(map(bytes_by_key.__getitem__, keys))

    def _encoded_keys(self, keys: list[Any]) -> list[bytes] | None:
        """Return the bytes of keys; ``None`` if one of them does not encode."""
        serde = self._topic.key_serde
        if serde.encode_many is not None:
            columns = self._guard.attempt(serde.encode_many, [keys])
            return None if columns is None else columns[0]
        return self._guard.attempt(serde.encode, keys)

    def _indexes(
        self, keys: list[bytes | None], batch: Batch, given: Sequence[int] | None
    ) -> dict[int, list[int]]:
        distinct = set(keys)
        partition_by_key: dict[bytes | None, int] = {
            key: self._partition_of(key, self._partition_count) for key in distinct if key is not None
        }
        if None in distinct:
            partition_by_key[None] = self._next_without_key
            self._next_without_key = (self._next_without_key + 1) % self._partition_count
        indexes: dict[int, list[int]] = {}
        partitions: Iterable[int] = map(partition_by_key.__getitem__, keys)
        if None in distinct and self._topic.internal:
            record_at, count = batch.source.record_at, self._partition_count
            partitions = [
                partition_by_key[key] if key is not None else partition_without_key(record_at(origin), count)
                for key, origin in zip(keys, batch.origins, strict=True)
            ]
        if given is not None:
            partitions = [
                by_key if named < 0 else named for named, by_key in zip(given, partitions, strict=True)
            ]
        for index, partition in enumerate(partitions):
            found = indexes.get(partition)
            if found is None:
                indexes[partition] = [index]
            else:
                found.append(index)
        return indexes


def _or_none(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes | None]:
    return lambda value: None if value is None else encode(value)


def _encoded(
    guard: Guard, encode: Callable[[Any], bytes], values: list[Any], batch: Batch
) -> tuple[list[bytes | None], list[int] | None]:
    function = encode if not holds_none(values) else _or_none(encode)
    return guard.map(function, values, batch)
