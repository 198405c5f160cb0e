"""The public producer: sends records one by one or many at once, from any thread.

A record joins its partition's open batch (``accumulator``). The batch is sent when it is full, when its
linger is over, or when a caller waits for a record of it (``sender``). A send returns a future (``pending``).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from random import Random
from types import TracebackType
from typing import Protocol, Self

from msgspec import Struct

from streamcore.clock import Clock
from streamcore.durations import duration_ms
from streamcore.errors import (
    ClosedError,
    InvalidConfigError,
    InvalidTransactionStateError,
    StorageError,
    StreamCoreError,
    UsageError,
    fact_text,
)
from streamcore.log.client import port
from streamcore.log.client.producer.accumulator import Accumulator
from streamcore.log.client.producer.pending import (
    PendingBatch,
    SendFuture,
    SendManyFuture,
    Sent,
    Timeout,
    timeout_seconds,
)
from streamcore.log.client.producer.record_columns import (
    Sendable,
    as_bytes,
    checked_headers,
    column_chunks,
)
from streamcore.log.client.producer.record_times import TIME_MS_MAX, sendable_time_ms
from streamcore.log.client.producer.sender import Sender
from streamcore.model import RECORD_OVERHEAD_BYTES, CommittedOffset, TopicName, TopicPartition


class ProducerSettings(Struct, frozen=True, kw_only=True):
    """How a producer batches, and how many bytes it may hold."""

    linger: str | timedelta | int = "5ms"
    """How long a record may wait for others; a wait for its future ends that at once."""
    batch_bytes_max: int = 512 * 1024
    buffer_bytes_max: int = 32 * 1024 * 1024
    """The bytes that may be in flight; ``send`` waits at this limit."""

    def __post_init__(self) -> None:
        if self.batch_bytes_max < 1 or self.buffer_bytes_max < 1:
            facts = fact_text(batch_bytes_max=self.batch_bytes_max, buffer_bytes_max=self.buffer_bytes_max)
            raise InvalidConfigError(f"a producer's limits are at least one byte: {facts}")


class PositionSource(Protocol):
    """A consumer, as a transaction uses it: what it has read, and its group."""

    def commit_into(self, transaction: port.Transaction) -> None:
        """Add the consumer's positions to the transaction."""


class Producer:
    """Sends records: idempotent, acknowledged after they are durable. Safe to share between threads.

    With a transactional id, records are sent inside ``transaction()`` only.
    """

    def __init__(
        self,
        target: port.Producer,
        describe_topics: Callable[[], Mapping[TopicName, port.TopicDescription]],
        clock: Clock,
        *,
        is_transactional: bool = False,
        settings: ProducerSettings | None = None,
        random: Random | None = None,
    ) -> None:
        settings = settings or ProducerSettings()
        self._target = target
        self._now_ms = clock.now_ms
        self._time_min_ms = target.time_min_ms
        self._buffer_bytes_max = settings.buffer_bytes_max
        self._sender = Sender(clock, target.append_columns, buffer_bytes_max=settings.buffer_bytes_max)
        self._batches = self._sender.batches = Accumulator(
            describe_topics,
            self._sender,
            batch_bytes_max=settings.batch_bytes_max,
            linger_s=duration_ms(settings.linger) / 1000,
            monotonic_s=clock.monotonic_s,
            random=random or Random(),
        )
        self._lock = self._sender.lock
        self._is_transactional = is_transactional
        self._is_open = not is_transactional
        """Whether ``send`` is allowed: with a transactional id only while a transaction is open."""
        self._transaction: Transaction | None = None

    def send(
        self,
        topic: TopicName,
        *,
        key: bytes | None = None,
        value: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | datetime | str | None = None,
        headers: Iterable[tuple[str, bytes | None]] = (),
    ) -> SendFuture:
        """Send a record, and return the future of its offset.

        Args:
            topic: the topic, which must exist.
            key: records with equal keys go to the same partition, in order.
            value: bytes, or ``None``: a tombstone in a compacted topic.
            partition: the partition, instead of the key's.
            timestamp_ms: the record's time, from 1970 on; the present time by default.
            headers: names and bytes, in order.

        Raises:
            UnknownTopicError: the topic or the partition does not exist.
            UsageError: key, value or headers are not bytes.
            InvalidTimestampError: the time is before 1970 or beyond 64 bits; to a broker over the network
                also the first millisecond of 1970, which librdkafka would replace with the present time.
            InvalidTransactionStateError: a transactional producer without an open transaction.
            ClosedError: the producer is closed.
        """
        size = RECORD_OVERHEAD_BYTES
        if key is not None:
            if type(key) is not bytes:
                key = as_bytes("key", key)
            size += len(key)
        if value is not None:
            if type(value) is not bytes:
                value = as_bytes("value", value)
            size += len(value)
        if timestamp_ms is None:
            timestamp_ms = self._now_ms()
        elif type(timestamp_ms) is not int or not self._time_min_ms <= timestamp_ms <= TIME_MS_MAX:
            timestamp_ms = sendable_time_ms(timestamp_ms, self._time_min_ms)
        if headers:
            headers, headers_bytes = checked_headers(headers)
            size += headers_bytes
        else:
            headers = ()
        batches = self._batches
        with self._lock:
            if not self._is_open:
                raise self._refusal()
            if batches.pending_bytes + size > self._buffer_bytes_max:
                self._sender.wait_for_room(size)
            batch = batches.add(topic, partition, key, value, timestamp_ms, headers, size)
            index = len(batch.values) - 1
            if batches.has_news:
                self._sender.wake()
        return SendFuture(batch, index, timestamp_ms)

    def send_and_wait(
        self,
        topic: TopicName,
        *,
        key: bytes | None = None,
        value: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | datetime | str | None = None,
        headers: Iterable[tuple[str, bytes | None]] = (),
        timeout: Timeout = None,
    ) -> Sent:
        """Send a record and wait until it is durable; see ``send``."""
        return self.send(
            topic, key=key, value=value, partition=partition, timestamp_ms=timestamp_ms, headers=headers
        ).result(timeout)

    def send_many(
        self, topic: TopicName, records: Iterable[Sendable], *, partition: int | None = None
    ) -> SendManyFuture:
        """Send many records: the fast way to load a topic.

        The input may be endless: the bytes in flight stay bounded, and earlier records become durable while
        later ones are read.

        Args:
            topic: the topic, which must exist.
            records: pairs of key and value, or ``sc.Record``, whose time and headers are kept; a record
                without a time (``timestamp_ms=-1``) gets the present one. The topic, partition and offset of
                a record say where it came from, and are not used.
            partition: the partition of all records, instead of their keys' ones.

        Raises:
            UnknownTopicError: the topic or the partition does not exist.
            UsageError: an item is something else; the items before it were sent.
            InvalidTimestampError: ``send`` would refuse a record's time; the items before it were sent.
        """
        pieces: list[tuple[PendingBatch, int, int]] = []
        batches = self._batches
        for chunk in column_chunks(records, self._now_ms, self._time_min_ms):
            with self._lock:
                if not self._is_open:
                    raise self._refusal()
                if batches.pending_bytes + chunk.size_bytes > self._buffer_bytes_max:
                    self._sender.wait_for_room(chunk.size_bytes)
                batches.add_columns(topic, partition, chunk, pieces)
                if batches.has_news:
                    self._sender.wake()
        return SendManyFuture(pieces)

    def flush(self, timeout: Timeout = None) -> None:
        """Send everything now and wait until it is durable.

        Raises:
            RequestTimeoutError: the timeout was over.
            StreamCoreError: the first failure since the last flush for which no future was asked.
        """
        self._sender.flush(timeout_seconds(timeout))
        self._raise_unwatched()

    def has_room(self, size_bytes: int) -> bool:
        """Whether a record of this size can be sent now without waiting."""
        with self._lock:
            pending_bytes = self._batches.pending_bytes
        return (
            not pending_bytes or pending_bytes + size_bytes + RECORD_OVERHEAD_BYTES <= self._buffer_bytes_max
        )

    def hurry(self) -> None:
        """Send everything now, without waiting for it."""
        self._sender.hurry()

    def transaction(self) -> Transaction:
        """Begin a transaction for a ``with`` block: the block's end commits, an exception aborts.

        Raises:
            UsageError: the producer has no transactional id.
        """
        if not self._is_transactional:
            raise UsageError("a transaction needs a producer with an id: log.producer(transactional_id=…)")
        return Transaction(self, self._target, self._sender)

    def close(self, timeout: Timeout = None) -> None:
        """Send the remaining records, wait for them, and stop. A second call does nothing.

        An open transaction is aborted.

        Raises:
            RequestTimeoutError: the timeout was over; the remaining records are not sent.
            StreamCoreError: the first failure for which no future was asked. The producer is closed.
        """
        if self._sender.is_closed:
            return
        try:
            if self._transaction is not None:
                self._transaction.abort()
            self._sender.flush(timeout_seconds(timeout))
        finally:
            self._is_open = False
            self._sender.close()
            # Every record's outcome is known by now: a failed disk was reported by the futures.
            with contextlib.suppress(StorageError):
                self._target.close()
        self._raise_unwatched()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except StreamCoreError as unwatched:
            error.add_note(f"closing the producer also failed: {unwatched}")

    def _refusal(self) -> StreamCoreError:
        if self._sender.is_closed:
            return ClosedError("the producer is closed; make another with log.producer()")
        return InvalidTransactionStateError("send inside `with producer.transaction():`")

    def _raise_unwatched(self) -> None:
        for batch in self._sender.take_failures():
            failure = batch.failure()
            if failure is not None and not batch.is_watched:
                raise failure

    def _enter_transaction(self, transaction: Transaction | None) -> None:
        """Set the open transaction, through which all records must go; ``None`` ends it."""
        with self._lock:
            if self._sender.is_closed and transaction is not None:
                raise self._refusal()
            if transaction is not None and self._transaction is not None:
                raise InvalidTransactionStateError("this producer has a transaction open already")
            self._transaction = transaction
            self._is_open = transaction is not None


class Transaction:
    """Records and committed offsets that become visible together or not at all.

    The end of the ``with`` block commits; an exception in it, or one failed record, aborts.
    """

    def __init__(self, producer: Producer, target: port.Producer, sender: Sender) -> None:
        self._producer = producer
        self._target = target
        self._sender = sender
        self._context: AbstractContextManager[port.Transaction] | None = None
        self._inner: port.Transaction | None = None

    def send(
        self,
        topic: TopicName,
        *,
        key: bytes | None = None,
        value: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: int | datetime | str | None = None,
        headers: Iterable[tuple[str, bytes | None]] = (),
    ) -> SendFuture:
        """Send a record in the transaction; see ``Producer.send``."""
        return self._producer.send(
            topic, key=key, value=value, partition=partition, timestamp_ms=timestamp_ms, headers=headers
        )

    def send_many(
        self, topic: TopicName, records: Iterable[Sendable], *, partition: int | None = None
    ) -> SendManyFuture:
        """Send many records in the transaction; see ``Producer.send_many``."""
        return self._producer.send_many(topic, records, partition=partition)

    def commit_group_offsets(
        self, group: str, offsets: Mapping[TopicPartition, CommittedOffset | int]
    ) -> None:
        """Add a group's committed offsets to the transaction; they change only if it commits.

        Raises:
            InvalidTransactionStateError: the transaction is not open.
        """
        self._open_inner().commit_offsets(
            group,
            {
                partition: given if isinstance(given, CommittedOffset) else CommittedOffset(given)
                for partition, given in offsets.items()
            },
        )

    def commit_positions(self, group: str, positions: Mapping[TopicPartition, CommittedOffset | int]) -> None:
        """The former name of ``commit_group_offsets``."""
        warnings.warn(
            "Transaction.commit_positions is now Transaction.commit_group_offsets",
            DeprecationWarning,
            stacklevel=2,
        )
        self.commit_group_offsets(group, positions)

    def commit_offsets(self, consumer: PositionSource) -> None:
        """Add the consumer's positions to the transaction, for exactly-once: read, process, write.

        Raises:
            StaleGenerationError: another generation of the consumer's group has begun; abort, and read again.
            InvalidTransactionStateError: the transaction is not open.
        """
        consumer.commit_into(self._open_inner())

    def abort(self) -> None:
        """Abort now; the rest of the ``with`` block cannot send."""
        self._end(_Aborted())

    def __enter__(self) -> Self:
        self._producer._enter_transaction(self)
        try:
            self._sender.take_failures()
            self._context = self._target.transaction()
            self._inner = self._context.__enter__()
        except BaseException:
            self._producer._enter_transaction(None)
            raise
        self._sender.append_to(self._inner.append_columns)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._context is None:
            return
        if error is None:
            try:
                self._sender.flush(None)
                failed = self._sender.take_failures()
                if failed and (failure := failed[0].failure()) is not None:
                    raise failure
            except BaseException as failure:
                self._end(failure)
                raise
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        """Commit, or abort because of an error."""
        context = self._context
        if context is None:
            return
        self._context = self._inner = None
        try:
            if error is not None:
                self._sender.discard(
                    InvalidTransactionStateError("the transaction was aborted before this was sent")
                )
                self._sender.take_failures()
            self._sender.append_to(self._target.append_columns)
            _leave(context, error)
        finally:
            self._producer._enter_transaction(None)

    def _open_inner(self) -> port.Transaction:
        if self._inner is None:
            raise InvalidTransactionStateError("the transaction is not open: use it in a `with` block")
        return self._inner


class _Aborted(Exception):
    """The exception that the port's context gets when a program aborts on purpose."""


def _leave(context: AbstractContextManager[port.Transaction], error: BaseException | None) -> None:
    if error is None:
        context.__exit__(None, None, None)
        return
    try:
        context.__exit__(type(error), error, error.__traceback__)
    except BaseException as raised:
        if raised is not error:
            raise
