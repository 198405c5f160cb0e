"""The records that a reader has received of one partition and not returned yet.

librdkafka delivers the messages of all partitions through one queue, and reports the end of a partition by a
special message. A buffer keeps the records of one partition as columns and knows whether the position behind
them is the end.

Invariant: offsets grow from chunk to chunk, and ``received_to`` is behind all of them. It moves past offsets
that are not delivered (markers, aborted records) with the next message, or when the end is reached.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import add

from confluent_kafka import Message

from streamcore.errors import StreamCoreError
from streamcore.model import FetchedColumns, Headers, Offset, TimestampMs, TopicPartition


@dataclass(slots=True)
class _Chunk:
    """Records received together; those from ``taken`` on were not returned yet."""

    offsets: list[Offset]
    timestamps_ms: list[TimestampMs]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[Headers] | None
    ends_bytes: list[int]
    """For each record the bytes of keys and values up to and including it."""
    taken: int = 0

    @property
    def left_bytes(self) -> int:
        return self.ends_bytes[-1] - (self.ends_bytes[self.taken - 1] if self.taken else 0)

    def count_within(self, bytes_max: int) -> int:
        """Return how many of the next records have at most so many bytes together; at least one."""
        before = self.ends_bytes[self.taken - 1] if self.taken else 0
        end = bisect_right(self.ends_bytes, before + bytes_max, self.taken)
        return max(1, end - self.taken)


class PartitionBuffer:
    """One assigned partition: what was received, and where that ends."""

    def __init__(self, partition: TopicPartition, position: Offset) -> None:
        self.partition = partition
        self.position = position
        """The next offset that ``take`` returns."""
        self.received_to = position
        """The next offset to receive."""
        self.size_bytes = 0
        self.failure: StreamCoreError | None = None
        """Why no more records arrive, after everything received is returned."""
        self.is_halted = False
        """Whether fetching is paused in librdkafka."""
        self.end_asked_s = float("-inf")
        """The time at which the broker was asked for the end."""
        self._chunks: deque[_Chunk] = deque()
        self._end: Offset = -1

    def has_news(self) -> bool:
        """Whether ``take`` would return something."""
        return self.received_to > self.position

    def is_at_end(self) -> bool:
        """Whether the position is the partition's end, as far as it was reported."""
        return self._end == self.position

    def see_end(self, offset: Offset) -> None:
        """Record that the visible end is here, and that everything before it was received."""
        self._end = offset
        self.received_to = max(self.received_to, offset)

    def add(self, messages: Sequence[Message]) -> None:
        """Add messages, at least one, in order and without errors."""
        keys: list[bytes | None] = list(map(Message.key, messages))
        values: list[bytes | None] = list(map(Message.value, messages))
        offsets: list[Offset] = list(map(Message.offset, messages))
        headers = list(map(Message.headers, messages))
        chunk = _Chunk(
            offsets,
            [time_ms for _, time_ms in map(Message.timestamp, messages)],
            keys,
            values,
            [tuple(row or ()) for row in headers] if any(headers) else None,
            list(accumulate(map(add, _lengths(keys), _lengths(values)))),
        )
        self._chunks.append(chunk)
        self.size_bytes += chunk.left_bytes
        self.received_to = offsets[-1] + 1

    def take(self, bytes_max: int) -> FetchedColumns | None:
        """Return the next records, about ``bytes_max`` bytes and at least one; move the position past them.

        The columns are empty where the position moves without records; ``None`` where it does not move.
        """
        if not self.has_news():
            return None
        columns = FetchedColumns(partition=self.partition, offsets=[], next_offset=self.received_to)
        left_bytes = bytes_max
        while self._chunks and (left_bytes > 0 or not columns.offsets):
            chunk = self._chunks[0]
            count = chunk.count_within(left_bytes)
            before_bytes = chunk.left_bytes
            _move(chunk, count, columns)
            if chunk.taken == len(chunk.offsets):
                self._chunks.popleft()
                moved_bytes = before_bytes
            else:
                moved_bytes = before_bytes - chunk.left_bytes
            left_bytes -= moved_bytes
            self.size_bytes -= moved_bytes
        if self._chunks:
            columns.next_offset = columns.offsets[-1] + 1
        self.position = columns.next_offset
        return columns


def _lengths(column: list[bytes | None]) -> list[int]:
    try:
        return list(map(len, column))  # type: ignore[arg-type]
    except TypeError:
        return [0 if field is None else len(field) for field in column]


def _move(chunk: _Chunk, count: int, columns: FetchedColumns) -> None:
    """Move the next records of a chunk to columns."""
    start, end = chunk.taken, chunk.taken + count
    before = len(columns.offsets)
    if not before and count == len(chunk.offsets):
        columns.offsets, columns.timestamps_ms = chunk.offsets, chunk.timestamps_ms
        columns.keys, columns.values, columns.headers = chunk.keys, chunk.values, chunk.headers
    else:
        columns.offsets += chunk.offsets[start:end]
        columns.timestamps_ms += chunk.timestamps_ms[start:end]
        columns.keys += chunk.keys[start:end]
        columns.values += chunk.values[start:end]
        if chunk.headers is not None or columns.headers is not None:
            columns.headers = columns.headers or [()] * before
            columns.headers += [()] * count if chunk.headers is None else chunk.headers[start:end]
    chunk.taken = end
