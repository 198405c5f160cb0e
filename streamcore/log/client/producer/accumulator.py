"""Collects sent records into batches, one open batch per partition.

It decides the partition and the batch of a record, and when a batch is due: it is full, or its linger is
over. It never waits and runs no callback. The producer holds its lock around every call and takes the due
batches.

Invariants:

* Records of a partition leave in the order in which they were added.
* ``pending_bytes`` counts every record added and not yet released, so that the producer can bound it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from random import Random

from streamcore.errors import UnknownTopicError, UsageError, fact_text, with_facts
from streamcore.log.client.port import TopicDescription
from streamcore.log.client.producer.pending import PendingBatch, Settler
from streamcore.log.client.producer.record_columns import SizedColumns
from streamcore.log.client.producer.sticky_partition import StickyPartition
from streamcore.model import Headers, TimestampMs, TopicName, TopicPartition
from streamcore.partitioning import KeyPartitions

_ROUTE_LIFETIME_S = 1.0
_BATCH_HEADER_BYTES = 61


class Route:
    """How records are distributed over one topic's partitions, as of the time when the route was made."""

    __slots__ = ("batch_bytes_max", "expires_s", "key_partitions", "open", "partition_count", "sticky")

    def __init__(self, partition_count: int, batch_bytes_max: int, random: Random, expires_s: float) -> None:
        self.partition_count = partition_count
        self.batch_bytes_max = batch_bytes_max
        self.expires_s = expires_s
        self.key_partitions = KeyPartitions(partition_count)
        self.sticky = StickyPartition(random)
        self.sticky.next(partition_count)
        self.open: list[PendingBatch | None] = [None] * partition_count


class Accumulator:
    """The open and the sealed batches of one producer."""

    def __init__(
        self,
        describe_topics: Callable[[], Mapping[TopicName, TopicDescription]],
        settler: Settler,
        *,
        batch_bytes_max: int,
        linger_s: float,
        monotonic_s: Callable[[], float],
        random: Random,
    ) -> None:
        self._describe_topics = describe_topics
        self._settler = settler
        self._batch_bytes_max = batch_bytes_max
        self._linger_s = linger_s
        self._monotonic_s = monotonic_s
        self._random = random
        self._routes: dict[TopicName, Route] = {}
        self._open: dict[PendingBatch, Route] = {}
        self._sealed: list[PendingBatch] = []
        self.pending_bytes = 0
        self.has_news = False
        """Whether a batch was opened or sealed after the sender's last check."""
        self.newest_sealed: PendingBatch | None = None
        """Batches are settled in the order of sealing, so all are settled when this one is."""

    def due_s(self) -> float | None:
        """The time at which the sender has work: ``-inf`` for at once, ``None`` for never."""
        if self._sealed:
            return float("-inf")
        return min((batch.deadline_s for batch in self._open), default=None)

    def add(
        self,
        topic: TopicName,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: TimestampMs,
        headers: Headers,
        size_bytes: int,
    ) -> PendingBatch:
        """Append a record to the open batch of its partition."""
        route = self._routes.get(topic) or self._look_up(topic)
        if partition is None:
            number = route.key_partitions[key] if key is not None else route.sticky.current
        else:
            number = partition
            if not 0 <= partition < route.partition_count:
                route = self._route_with(topic, partition)
        batch = route.open[number]
        if batch is None or batch.size_bytes + size_bytes > route.batch_bytes_max:
            batch = self._next_batch(topic, partition, key, batch)
        batch.values.append(value)
        batch.keys.append(key)
        batch.timestamps_ms.append(timestamp_ms)
        if headers or batch.headers is not None:
            batch.add_headers(headers)
        batch.size_bytes += size_bytes
        self.pending_bytes += size_bytes
        return batch

    def add_columns(
        self,
        topic: TopicName,
        partition: int | None,
        columns: SizedColumns,
        pieces: list[tuple[PendingBatch, int, int]],
    ) -> None:
        """Append many records to open batches; add the batches and index ranges to ``pieces``."""
        route = self._current_route(topic)
        if partition is not None:
            if not 0 <= partition < route.partition_count:
                route = self._route_with(topic, partition)
            self._extend(route, TopicPartition(topic, partition), columns, pieces)
            return
        for number, rows in _rows_by_partition(route, columns.keys).items():
            part = columns if rows is None else columns.take(rows)
            self._extend(route, TopicPartition(topic, number), part, pieces)

    def _extend(
        self,
        route: Route,
        partition: TopicPartition,
        columns: SizedColumns,
        pieces: list[tuple[PendingBatch, int, int]],
    ) -> None:
        """Append columns to the partition's batches, as many as they fill."""
        ends = list(accumulate(columns.sizes_bytes))
        self.pending_bytes += ends[-1]
        row = taken_bytes = 0
        while row < len(ends):
            batch = route.open[partition.partition]
            room = route.batch_bytes_max - batch.size_bytes if batch is not None else 0
            end = bisect_right(ends, taken_bytes + room, lo=row)
            if batch is None or end == row:
                if batch is not None:
                    self._seal(batch, route)
                batch = self._open_batch(route, partition)
                end = max(bisect_right(ends, taken_bytes + route.batch_bytes_max, lo=row), row + 1)
            first = len(batch.values)
            batch.keys += columns.keys[row:end]
            batch.values += columns.values[row:end]
            batch.timestamps_ms += columns.timestamps_ms[row:end]
            if columns.headers is not None or batch.headers is not None:
                if batch.headers is None:
                    batch.headers = [()] * first
                batch.headers += [()] * (end - row) if columns.headers is None else columns.headers[row:end]
            batch.size_bytes += ends[end - 1] - taken_bytes
            taken_bytes = ends[end - 1]
            if pieces and pieces[-1][0] is batch and pieces[-1][2] == first:
                pieces[-1] = (batch, pieces[-1][1], len(batch.values))
            else:
                pieces.append((batch, first, len(batch.values)))
            row = end

    def seal_due(self, now_s: float | None) -> None:
        """Seal the batches whose linger is over; ``None`` seals all."""
        for batch, route in list(self._open.items()):
            if now_s is None or batch.deadline_s <= now_s:
                self._seal(batch, route)

    def take_sealed(self) -> list[PendingBatch]:
        """Return the sealed batches, in the order in which they must be appended."""
        sealed, self._sealed = self._sealed, []
        return sealed

    def release(self, batches: Sequence[PendingBatch]) -> None:
        """Subtract the bytes of settled batches from ``pending_bytes``."""
        self.pending_bytes -= sum(batch.size_bytes for batch in batches)

    def forget_route(self, topic: TopicName) -> None:
        """Look the topic up again for the next batch, because the route was wrong."""
        route = self._routes.get(topic)
        if route is not None:
            route.expires_s = float("-inf")

    def _next_batch(
        self, topic: TopicName, partition: int | None, key: bytes | None, full: PendingBatch | None
    ) -> PendingBatch:
        """Return the batch for a record that has none, or whose batch is full."""
        if full is not None:
            self._seal(full, self._open[full])
        route = self._current_route(topic)
        if partition is None:
            partition = route.key_partitions[key] if key is not None else route.sticky.current
        elif partition >= route.partition_count:
            raise _no_partition(topic, partition, route.partition_count)
        # The sticky partition may have changed to one whose batch is already open.
        return route.open[partition] or self._open_batch(route, TopicPartition(topic, partition))

    def _open_batch(self, route: Route, partition: TopicPartition) -> PendingBatch:
        batch = PendingBatch(partition, self._settler, self._monotonic_s() + self._linger_s)
        route.open[partition.partition] = batch
        self._open[batch] = route
        self.has_news = True
        return batch

    def _seal(self, batch: PendingBatch, route: Route) -> None:
        del self._open[batch]
        partition = batch.partition.partition
        route.open[partition] = None
        if partition == route.sticky.current:
            route.sticky.next(route.partition_count)
        self._sealed.append(batch)
        self.newest_sealed = batch
        self.has_news = True

    def _current_route(self, topic: TopicName) -> Route:
        """Return the topic's route; look it up again if it is too old."""
        route = self._routes.get(topic)
        if route is None or self._monotonic_s() >= route.expires_s:
            return self._look_up(topic)
        return route

    def _look_up(self, topic: TopicName) -> Route:
        """Look the topic up; open batches stay open, an unchanged topic keeps its route."""
        described = self._describe_topics().get(topic)
        old = self._routes.get(topic)
        if described is None:
            if old is not None:
                del self._routes[topic]
            raise UnknownTopicError(with_facts("create the topic before sending to it", topic=topic))
        expires_s = self._monotonic_s() + _ROUTE_LIFETIME_S
        bytes_max = described.message_bytes_max - _BATCH_HEADER_BYTES
        batch_bytes_max = max(min(self._batch_bytes_max, bytes_max), 1)
        if old is not None and old.partition_count == described.partition_count:
            old.expires_s, old.batch_bytes_max = expires_s, batch_bytes_max
            return old
        if old is not None:
            # Keys move to other partitions: batches opened with the old count are sent first.
            for batch in [batch for batch in old.open if batch is not None]:
                self._seal(batch, old)
        route = Route(described.partition_count, batch_bytes_max, self._random, expires_s)
        self._routes[topic] = route
        return route

    def _route_with(self, topic: TopicName, partition: int) -> Route:
        """Return the present route: the partition may have been added after the route was made."""
        route = self._look_up(topic)
        if not 0 <= partition < route.partition_count:
            raise _no_partition(topic, partition, route.partition_count)
        return route


def _rows_by_partition(route: Route, keys: Sequence[bytes | None]) -> Mapping[int, list[int] | None]:
    """Return the indexes of the rows for each partition; ``None`` means all rows."""
    if route.partition_count == 1:
        return {0: None}
    numbers: list[int]
    if None in keys:
        sticky = route.sticky.current
        if not any(key is not None for key in keys):
            return {sticky: None}
        numbers = [sticky if key is None else route.key_partitions[key] for key in keys]
    else:
        numbers = list(map(route.key_partitions.__getitem__, keys))  # type: ignore[arg-type]
    rows: dict[int, list[int]] = {number: [] for number in dict.fromkeys(numbers)}
    for row, number in enumerate(numbers):
        rows[number].append(row)
    return rows


def _no_partition(topic: TopicName, partition: int, partition_count: int) -> UsageError:
    facts = fact_text(topic=topic, partition=partition, partitions=partition_count)
    return UnknownTopicError(f"the topic has no such partition: {facts}")
