"""A batch of records on its way through a task, as columns of equal length.

``origins`` is, for each record, the place in the round of the fetched record that it was made from, in
ascending order. It restores the order of events where paths meet again, and names the record in an error.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from types import NoneType
from typing import Any, Protocol

from streamcore.model import Headers, Offset, Record, TopicName
from streamcore.processing.topology.error_policy import ErrorPolicy


class BatchSource(Protocol):
    """The fetched records that batches were made from: for errors, dead letters and the order of outputs.

    They may come from several inputs of a task; ``origin`` is a place in their common order.
    """

    partition_times_ms: Sequence[int]
    """For each record, its partition time: the stream time of its own source partition, this record included.
    The times ascend, because the record with the lowest partition time is taken first.
    """

    def record_at(self, origin: int) -> Record[bytes | None, bytes | None]:
        """Return the record as the log holds it."""

    def places_at(
        self, origins: Sequence[int]
    ) -> tuple[Iterable[TopicName], Iterable[int], Iterable[Offset]]:
        """Return topic, partition and offset of each of these records, as columns; the first two may go on
        without end.
        """

    def policy_at(self, origin: int) -> ErrorPolicy | None:
        """Return the policy of the topic that the record was read from, if the topic declares one."""


@dataclass(slots=True)
class Batch:
    """Columns; ``headers`` is ``None`` when no record has any.

    ``has_no_nulls`` means that no value is ``None``; ``False`` means that this is not known.
    ``held_times_ms`` is set where a step has held the records back: the time by which each of them is late or
    in time for a window. Otherwise that is the partition time of the fetched record (``source_times_ms``).
    """

    keys: list[Any]
    values: list[Any]
    timestamps_ms: list[int]
    origins: Sequence[int]
    headers: list[Headers] | None
    source: BatchSource
    has_no_nulls: bool = False
    held_times_ms: list[int] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, indexes: Sequence[int]) -> Batch:
        """Return the records at these indexes, which ascend; an index may repeat."""
        headers = self.headers
        return Batch(
            [self.keys[index] for index in indexes],
            [self.values[index] for index in indexes],
            [self.timestamps_ms[index] for index in indexes],
            [self.origins[index] for index in indexes],
            None if headers is None else [headers[index] for index in indexes],
            self.source,
            self.has_no_nulls,
            None if self.held_times_ms is None else [self.held_times_ms[index] for index in indexes],
        )

    def where(self, flags: Sequence[Any]) -> Batch:
        """Return the records whose flag is true."""
        return Batch(
            list(compress(self.keys, flags)),
            list(compress(self.values, flags)),
            list(compress(self.timestamps_ms, flags)),
            list(compress(self.origins, flags)),
            None if self.headers is None else list(compress(self.headers, flags)),
            self.source,
            self.has_no_nulls,
            None if self.held_times_ms is None else list(compress(self.held_times_ms, flags)),
        )

    def of_origins(self, start: int, end: int) -> Batch:
        """Return the records of the origins ``[start, end)``."""
        first, last = bisect_left(self.origins, start), bisect_left(self.origins, end)
        if first == 0 and last == len(self.origins):
            return self
        return Batch(
            self.keys[first:last],
            self.values[first:last],
            self.timestamps_ms[first:last],
            self.origins[first:last],
            None if self.headers is None else self.headers[first:last],
            self.source,
            self.has_no_nulls,
            None if self.held_times_ms is None else self.held_times_ms[first:last],
        )

    def with_values(self, values: list[Any]) -> Batch:
        """Return the same records with other values."""
        return Batch(
            self.keys,
            values,
            self.timestamps_ms,
            self.origins,
            self.headers,
            self.source,
            held_times_ms=self.held_times_ms,
        )

    def with_keys(self, keys: list[Any]) -> Batch:
        """Return the same records under other keys."""
        return Batch(
            keys,
            self.values,
            self.timestamps_ms,
            self.origins,
            self.headers,
            self.source,
            self.has_no_nulls,
            self.held_times_ms,
        )

    def source_times_ms(self) -> Sequence[int]:
        """Return for each record the time by which it is late or in time for a window."""
        return self.partition_times_ms() if self.held_times_ms is None else self.held_times_ms

    def partition_times_ms(self) -> Sequence[int]:
        """Return for each record the partition time of the fetched record."""
        times_ms = self.source.partition_times_ms
        if isinstance(self.origins, range):
            whole = len(self.origins) == len(times_ms)
            return times_ms if whole else times_ms[self.origins.start : self.origins.stop]
        return [times_ms[origin] for origin in self.origins]

    def headers_at(self, index: int) -> Headers:
        """Return the headers of one record."""
        return () if self.headers is None else self.headers[index]


def merged(batches: Iterable[Batch]) -> Batch | None:
    """Unite batches of one source in the order of events; within an event, in the given order of batches."""
    full = [batch for batch in batches if len(batch)]
    if not full:
        return None
    if len(full) == 1:
        return full[0]
    keys: list[Any] = []
    values: list[Any] = []
    timestamps_ms: list[int] = []
    origins: list[int] = []
    headers: list[Headers] | None = None
    if any(batch.headers is not None for batch in full):
        headers = []
    held_times_ms: list[int] | None = None
    if any(batch.held_times_ms is not None for batch in full):
        held_times_ms = [time_ms for batch in full for time_ms in batch.source_times_ms()]
    for batch in full:
        keys += batch.keys
        values += batch.values
        timestamps_ms += batch.timestamps_ms
        origins += batch.origins
        if headers is not None:
            headers += batch.headers if batch.headers is not None else [()] * len(batch)
    has_no_nulls = all(batch.has_no_nulls for batch in full)
    united = Batch(keys, values, timestamps_ms, origins, headers, full[0].source, has_no_nulls, held_times_ms)
    return united.take(sorted(range(len(origins)), key=origins.__getitem__))


def holds_none(column: Sequence[Any]) -> bool:
    """Whether ``None`` is among keys or values."""
    # By their classes: ``None in column`` would call the ``__eq__`` of each value.
    return NoneType in set(map(type, column))
