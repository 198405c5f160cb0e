"""Readers over librdkafka: each assigned partition is received ahead into its own buffer.

librdkafka fetches in the background into one bounded queue. A thread that needs records moves the queue's
content (``_pump``), one thread at a time, into the buffers of the partitions (``kafka.buffer``). A partition
whose buffer is full, because another one is read, is not fetched until it is read again. The reader has its
own thread that pumps only while ``on_progress`` has a callback.

librdkafka reports the visible end when it reaches it, or the broker is asked for it. A wait without records
proves nothing.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, Message
from confluent_kafka import TopicPartition as KafkaPartition

from streamcore.errors import ClosedError, OffsetOutOfRangeError, UsageError, with_facts
from streamcore.log.client.kafka.buffer import PartitionBuffer
from streamcore.log.client.kafka.connection import KafkaConnection
from streamcore.log.client.kafka.errors import translated
from streamcore.log.client.kafka.offsets import KafkaOffsets
from streamcore.model import FetchedColumns, Isolation, Offset, TopicPartition

_MESSAGES_MAX: Final = 10_000
"""How many messages are taken from librdkafka's queue at once."""
_WAIT_S: Final = 0.05
"""How long one wait for librdkafka lasts; closing a reader with a callback takes up to this long."""
_END_TRUST_S: Final = 0.02
"""How long the broker's answer that a position is at the end counts."""
_EMPTY_TRUST_S: Final = 0.001
"""How long an empty queue of librdkafka is not read again: a worker asks for each partition."""
_PASSING: Final = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._TIMED_OUT})
"""Errors from which librdkafka recovers. A wait for records ends by timeout."""

_PROPERTIES: Final[Mapping[str, Any]] = {
    "group.id": "streamcore-readers",  # required by librdkafka; nothing is committed, and no group is joined
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "check.crcs": True,
    "queued.min.messages": 50_000,
    "queued.max.messages.kbytes": 16_384,
    "fetch.queue.backoff.ms": 1,
}


class KafkaReader:
    """Reads assigned partitions, each from its own position. For one thread at a time."""

    def __init__(self, connection: KafkaConnection, offsets: KafkaOffsets, isolation: Isolation) -> None:
        self._connection = connection
        self._monotonic_s = connection.clock.monotonic_s
        self._offsets = offsets
        self._isolation = isolation
        self._buffers: dict[TopicPartition, PartitionBuffer] = {}
        self._topic_names: list[str] = []
        self._known_ends: dict[TopicPartition, Offset] = {}
        """Ends that were asked for: a position before its end has records to wait for."""
        # Held while buffers change. The thread that pumps waits for librdkafka without it, but alone.
        self._changed = threading.Condition()
        self._empty_s = float("-inf")
        """The time at which librdkafka's queue was last empty."""
        self._is_pumping = False
        self._claims = 0
        """How many threads wait for their turn to change the assignment."""
        self._watcher: threading.Thread | None = None
        self._callback: Callable[[], None] | None = None
        self._is_closed = False
        self._consumer: Consumer = connection.consumer(
            {
                **_PROPERTIES,
                "isolation.level": isolation.name.lower(),
                "fetch.wait.max.ms": connection.settings.fetch_wait_ms,
            }
        )

    # --- the port -------------------------------------------------------------------------------

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        """Replace the partitions that are read, and their positions."""
        self._ensure_open()
        ends = self._offsets.visible_ends(positions, self._isolation)
        with self._pumping(None), self._changed:
            kept = {
                partition: buffer
                for partition, buffer in self._buffers.items()
                if positions.get(partition) == buffer.position and buffer.failure is None
            }
            self._stop_fetching(
                buffer for partition, buffer in self._buffers.items() if partition not in kept
            )
            fresh = [
                PartitionBuffer(partition, start)
                for partition, start in positions.items()
                if partition not in kept
            ]
            self._buffers = kept | {buffer.partition: buffer for buffer in fresh}
            self._known_ends = ends
            self._start_fetching(fresh)

    def fetch(self, partition: TopicPartition, *, bytes_max: int) -> FetchedColumns | None:
        """Return what is visible from the position and move the position past it."""
        self._ensure_open()
        buffer = self._of(partition)
        if not buffer.has_news():
            self._pump(0)
        if not buffer.has_news() and not self._is_at_end(buffer):
            self._await(buffer)
        with self._changed:
            columns = buffer.take(bytes_max)
            if buffer.is_halted and not buffer.size_bytes:
                buffer.is_halted = False
                self._start_fetching([buffer])
            self._changed.notify_all()
        if columns is None and buffer.failure is not None:
            raise buffer.failure
        return columns

    def position(self, partition: TopicPartition) -> Offset:
        """Return the next offset that ``fetch`` reads."""
        return self._of(partition).position

    def visible_end(self, partition: TopicPartition) -> Offset:
        """Ask the broker where reading stops now, by this reader's isolation."""
        self._ensure_open()
        return self._ask_end(self._of(partition))

    def buffered_bytes(self, partition: TopicPartition) -> int:
        """Return the bytes received of a partition and not fetched yet."""
        return self._of(partition).size_bytes

    def wait(self, timeout_s: float) -> bool:
        """Wait until an assigned partition has records past its position; return false on timeout."""
        self._ensure_open()
        deadline_s = self._monotonic_s() + timeout_s
        while not self._has_news():
            left_s = deadline_s - self._monotonic_s()
            self._pump(max(0.0, min(left_s, _WAIT_S)))
            if left_s <= 0:
                return self._has_news()
        return True

    def on_progress(self, callback: Callable[[], None] | None) -> None:
        """Call ``callback``, from a thread of the reader, when records may be readable."""
        self._callback = callback
        if callback is not None and self._watcher is None:
            self._watcher = threading.Thread(
                target=_watch, args=(weakref.ref(self),), name="streamcore-reader", daemon=True
            )
            self._watcher.start()

    def close(self) -> None:
        """Stop reading."""
        with self._changed:
            if self._is_closed:
                return
            self._is_closed = True
            self._callback = None
            self._changed.notify_all()
        if self._watcher is not None:
            self._watcher.join()
        self._buffers = {}
        self._consumer.close()

    # --- the end --------------------------------------------------------------------------------

    def _is_at_end(self, buffer: PartitionBuffer) -> bool:
        """Whether the position of an empty buffer was at the visible end a short time ago."""
        if buffer.failure is not None or buffer.is_at_end():
            return True
        end = self._known_ends[buffer.partition]
        if buffer.position >= end and self._monotonic_s() >= buffer.end_asked_s + _END_TRUST_S:
            end = self._ask_end(buffer)
        if buffer.position > end:
            self._ensure_in_range(buffer)
        return buffer.position >= end

    def _ask_end(self, buffer: PartitionBuffer) -> Offset:
        end = self._offsets.visible_ends([buffer.partition], self._isolation)[buffer.partition]
        self._known_ends[buffer.partition] = end
        buffer.end_asked_s = self._monotonic_s()
        return end

    def _ensure_in_range(self, buffer: PartitionBuffer) -> None:
        """Accept a position between visible end and high watermark: its records are undecided."""
        marks = self._offsets.marks([buffer.partition])[buffer.partition]
        if buffer.position > marks.high_watermark:
            raise OffsetOutOfRangeError(
                with_facts(
                    "the position is past the end of the partition; seek to where it has records",
                    partition=buffer.partition,
                    position=buffer.position,
                    end=marks.high_watermark,
                )
            )

    def _await(self, buffer: PartitionBuffer) -> None:
        """Wait for records that exist, or for librdkafka's report of the end."""
        timeout_s = self._connection.settings.request_timeout_s
        deadline_s = self._monotonic_s() + timeout_s
        while not (buffer.has_news() or buffer.is_at_end() or buffer.failure is not None):
            if self._monotonic_s() >= deadline_s:
                facts = {"partition": buffer.partition, "position": buffer.position}
                raise self._connection.silence("read", timeout_s, **facts)
            self._pump(_WAIT_S)
            self._ensure_open()

    # --- receiving ------------------------------------------------------------------------------

    def _pump(self, timeout_s: float) -> None:
        """Move what has arrived into the buffers; wait for messages, or for another thread that pumps."""
        with self._pumping(timeout_s) as is_alone:
            if not is_alone:
                return
            if timeout_s == 0 and self._monotonic_s() < self._empty_s + _EMPTY_TRUST_S:
                return
            messages = self._consumer.consume(_MESSAGES_MAX, 0)
            self._empty_s = float("-inf") if messages else self._monotonic_s()
            if not messages and timeout_s > 0:
                # A wait for more than one message would last until all of them have arrived.
                messages = self._consumer.consume(1, timeout_s)
                if messages:
                    messages += self._consumer.consume(_MESSAGES_MAX, 0)
            if messages:
                with self._changed:
                    self._sort(messages)

    @contextmanager
    def _pumping(self, timeout_s: float | None) -> Iterator[bool]:
        """Become the thread that pumps; return false after a bounded wait if another thread pumps.

        Without a timeout it waits for its turn, with priority over threads that have a timeout.
        """
        with self._changed:
            if timeout_s is None:
                self._claims += 1
                self._changed.wait_for(lambda: not self._is_pumping)
                self._claims -= 1
                is_alone = True
            else:
                if (self._is_pumping or self._claims) and timeout_s > 0:
                    self._changed.wait(timeout_s)
                is_alone = not self._is_pumping and not self._claims
            self._is_pumping |= is_alone
        try:
            yield is_alone
        finally:
            if is_alone:
                with self._changed:
                    self._is_pumping = False
                    self._changed.notify_all()

    def _sort(self, messages: list[Message]) -> None:
        """Give each buffer its messages, and pause fetching for buffers that are full."""
        for partition, group in self._by_partition(messages):
            buffer = self._buffers.get(partition)
            if buffer is not None and not buffer.is_halted:
                _receive(buffer, group)
        bytes_max = self._connection.settings.buffered_bytes_max
        full = [buffer for buffer in self._buffers.values() if buffer.size_bytes > bytes_max]
        self._stop_fetching(full)
        for buffer in full:
            buffer.is_halted = True

    def _by_partition(self, messages: list[Message]) -> Iterator[tuple[TopicPartition, list[Message]]]:
        """Group consecutive messages of one partition; a topic's error is repeated for each partition."""
        for number, same_number in groupby(messages, Message.partition):
            if len(self._topic_names) == 1 and number >= 0:
                yield TopicPartition(self._topic_names[0], number), list(same_number)
                continue
            for topic, group in groupby(same_number, Message.topic):
                if number >= 0:
                    yield TopicPartition(topic, number), list(group)
                    continue
                concerned = list(group)
                for partition in [partition for partition in self._buffers if partition.topic == topic]:
                    yield partition, concerned

    def _start_fetching(self, buffers: Iterable[PartitionBuffer]) -> None:
        self._topic_names = sorted({partition.topic for partition in self._buffers})
        starts = [
            KafkaPartition(buffer.partition.topic, buffer.partition.partition, buffer.received_to)
            for buffer in buffers
        ]
        if starts:
            self._consumer.incremental_assign(starts)

    def _stop_fetching(self, buffers: Iterable[PartitionBuffer]) -> None:
        partitions = [
            KafkaPartition(buffer.partition.topic, buffer.partition.partition)
            for buffer in buffers
            if not buffer.is_halted
        ]
        if partitions:
            self._consumer.incremental_unassign(partitions)

    # --- small things ---------------------------------------------------------------------------

    def _watch_once(self) -> bool:
        """Wait for messages and call the callback; return false when the reader is closed."""
        with self._changed:
            # These records were reported. Until they are fetched, librdkafka's bounded queue
            # keeps the others.
            if not self._is_closed and (not self._buffers or self._has_news()):
                self._changed.wait(_WAIT_S)
        if self._is_closed:
            return False
        if not self._has_news():
            self._pump(_WAIT_S)
            callback = self._callback
            if callback is not None and self._has_news():
                callback()
        return True

    def _has_news(self) -> bool:
        return any(buffer.has_news() or buffer.failure is not None for buffer in list(self._buffers.values()))

    def _of(self, partition: TopicPartition) -> PartitionBuffer:
        buffer = self._buffers.get(partition)
        if buffer is None:
            raise UsageError(with_facts("the partition is not assigned to this reader", partition=partition))
        return buffer

    def _ensure_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the reader is closed")


def _receive(buffer: PartitionBuffer, messages: list[Message]) -> None:
    """Add messages of one partition to its buffer; errors and the end may be among them."""
    start = 0
    for index, error in enumerate(map(Message.error, messages)):
        if error is None:
            continue
        if index > start:
            buffer.add(messages[start:index])
        start = index + 1
        if error.code() == KafkaError._PARTITION_EOF:
            buffer.see_end(messages[index].offset())
        elif error.code() not in _PASSING:
            buffer.failure = translated(
                error, "read", partition=buffer.partition, position=buffer.received_to
            )
    if start < len(messages):
        buffer.add(messages[start:] if start else messages)


def _watch(reference: weakref.ref[KafkaReader]) -> None:
    """Run a reader's thread; it ends with the reader, also if the program drops the reader without
    ``close``.
    """
    is_watching = True
    while is_watching:
        reader = reference()
        is_watching = reader is not None and reader._watch_once()
        del reader
