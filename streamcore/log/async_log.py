"""The log for programs with an event loop: the same calls, awaited.

A thin layer over the blocking client. Sends do not need a thread: their future calls back. What waits
(polls, commits, topics) runs in threads of this layer's own, one per consumer, so that a hundred idle
consumers do not starve the loop's default executor, and each consumer keeps to one thread at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar

from streamcore.log.client import port
from streamcore.log.client.consumer.consumer import Consumer
from streamcore.log.client.consumer.fetch_state import BytesRecord
from streamcore.log.client.consumer.settings import Duration, PartitionLike
from streamcore.log.client.producer.pending import SendFuture, SendManyFuture, Sent
from streamcore.log.client.producer.producer import Producer, Transaction
from streamcore.log.client.producer.record_columns import Sendable
from streamcore.log.connect import ConnectedLog
from streamcore.log.groups import GroupSummary, ResetTarget
from streamcore.model import CommittedPosition, LogOffsets, Offset, TopicName, TopicPartition

P = ParamSpec("P")
R = TypeVar("R")

_ADMIN_THREADS = 4


class AsyncProducer:
    """A producer for one event loop; see ``Producer``."""

    def __init__(self, producer: Producer, executor: ThreadPoolExecutor) -> None:
        self._producer = producer
        self._executor = executor

    async def send(
        self,
        topic: TopicName,
        *,
        key: bytes | None = None,
        value: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: Any = None,
        headers: Iterable[tuple[str, bytes | None]] = (),
    ) -> SendFuture:
        """Put a record on its way; await what this returns for its place. Waits only for room."""
        send = partial(
            self._producer.send,
            topic,
            key=key,
            value=value,
            partition=partition,
            timestamp_ms=timestamp_ms,
            headers=headers,
        )
        size_bytes = len(key or b"") + len(value or b"")
        return send() if self._producer.has_room(size_bytes) else await _run(self._executor, send)

    async def send_and_wait(
        self,
        topic: TopicName,
        *,
        key: bytes | None = None,
        value: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: Any = None,
        headers: Iterable[tuple[str, bytes | None]] = (),
    ) -> Sent:
        """Send a record and wait until it is durable."""
        future = await self.send(
            topic, key=key, value=value, partition=partition, timestamp_ms=timestamp_ms, headers=headers
        )
        return await future

    async def send_many(
        self, topic: TopicName, records: Iterable[Sendable], *, partition: int | None = None
    ) -> SendManyFuture:
        """Put many records on their way; the iterable is read in another thread."""
        send = partial(self._producer.send_many, topic, records, partition=partition)
        return await _run(self._executor, send)

    async def flush(self) -> None:
        """Send everything now and wait until it is durable; raises failures that nobody awaited."""
        await _run(self._executor, self._producer.flush)

    def transaction(self) -> AsyncTransaction:
        """Begin a transaction: ``async with producer.transaction() as transaction``."""
        return AsyncTransaction(self._producer.transaction(), self._producer, self._executor)

    async def close(self) -> None:
        """Send what is on its way, wait for it, and stop."""
        await _run(self._executor, self._producer.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _run(self._executor, partial(self._producer.__exit__, kind, error, trace))


class AsyncTransaction:
    """A transaction for one event loop; see ``Transaction``."""

    def __init__(self, transaction: Transaction, producer: Producer, executor: ThreadPoolExecutor) -> None:
        self._transaction = transaction
        self._producer = producer
        self._executor = executor

    async def send(
        self,
        topic: TopicName,
        *,
        key: bytes | None = None,
        value: bytes | None = None,
        partition: int | None = None,
        timestamp_ms: Any = None,
        headers: Iterable[tuple[str, bytes | None]] = (),
    ) -> SendFuture:
        """Send a record as part of the transaction."""
        send = partial(
            self._transaction.send,
            topic,
            key=key,
            value=value,
            partition=partition,
            timestamp_ms=timestamp_ms,
            headers=headers,
        )
        return await _run(self._executor, send)

    async def send_many(
        self, topic: TopicName, records: Iterable[Sendable], *, partition: int | None = None
    ) -> SendManyFuture:
        """Send many records as part of the transaction."""
        send = partial(self._transaction.send_many, topic, records, partition=partition)
        return await _run(self._executor, send)

    async def commit_positions(
        self, group: str, positions: Mapping[TopicPartition, CommittedPosition | int]
    ) -> None:
        """Make a group's positions part of the transaction."""
        await _run(self._executor, partial(self._transaction.commit_positions, group, positions))

    async def commit_offsets(self, consumer: AsyncConsumer) -> None:
        """Make what the consumer has read part of the transaction."""
        await consumer.run(lambda blocking: self._transaction.commit_offsets(blocking))

    async def __aenter__(self) -> Self:
        await _run(self._executor, self._transaction.__enter__)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _run(self._executor, partial(self._transaction.__exit__, kind, error, trace))


class AsyncConsumer:
    """A consumer for one event loop; see ``Consumer``. Calls run one after the other, in one thread."""

    def __init__(self, consumer: Consumer, executor: ThreadPoolExecutor) -> None:
        self._consumer = consumer
        self._executor = executor
        self._polling: Future[list[BytesRecord]] | None = None

    async def poll(self, timeout: Duration = "1s", *, records_max: int | None = None) -> list[BytesRecord]:
        """Return records as soon as there are any; see ``Consumer.poll``.

        A poll that is cancelled loses nothing: the next one returns its records.
        """
        if self._polling is None:
            self._polling = self._executor.submit(self._consumer.poll, timeout, records_max=records_max)
        polling = self._polling
        records = await asyncio.shield(asyncio.wrap_future(polling))
        if self._polling is polling:
            self._polling = None
        return records

    async def run(self, call: Callable[[Consumer], R]) -> R:
        """Call something of the blocking consumer in its own thread."""
        return await _run(self._executor, partial(call, self._consumer))

    async def commit(
        self, what: BytesRecord | Mapping[TopicPartition, Offset | CommittedPosition] | None = None
    ) -> None:
        """Make positions durable; see ``Consumer.commit``."""
        await self.run(lambda consumer: consumer.commit(what))

    async def committed(
        self, partitions: Iterable[PartitionLike] | None = None
    ) -> dict[TopicPartition, CommittedPosition]:
        """The group's committed positions."""
        return await self.run(lambda consumer: consumer.committed(partitions))

    async def seek(self, partition: PartitionLike, offset: Offset) -> None:
        """Go on from an offset."""
        await self.run(lambda consumer: consumer.seek(partition, offset))

    async def seek_to_time(self, time: Any, partitions: Iterable[PartitionLike] | None = None) -> None:
        """Go on from the first record whose time is at or after this one."""
        await self.run(lambda consumer: consumer.seek_to_time(time, partitions))

    async def seek_to_beginning(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """Go back to the first record that is still there."""
        await self.run(lambda consumer: consumer.seek_to_beginning(partitions))

    async def seek_to_end(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """Skip what is there."""
        await self.run(lambda consumer: consumer.seek_to_end(partitions))

    async def pause(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """Return nothing of these partitions until ``resume``."""
        await self.run(lambda consumer: consumer.pause(partitions))

    async def resume(self, partitions: Iterable[PartitionLike] | None = None) -> None:
        """End ``pause``."""
        await self.run(lambda consumer: consumer.resume(partitions))

    def position(self, partition: PartitionLike) -> Offset:
        """The offset of the next record that ``poll`` may return."""
        return self._consumer.position(partition)

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this consumer reads now."""
        return self._consumer.assignment()

    async def close(self) -> None:
        """Leave the group and stop; a poll under way is waited for."""
        try:
            await self.run(lambda consumer: consumer.close())
        finally:
            self._executor.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncLog:
    """A log for one event loop; see ``ConnectedLog``."""

    def __init__(self, log: ConnectedLog, executor: ThreadPoolExecutor) -> None:
        self._log = log
        self._executor = executor

    @property
    def blocking(self) -> ConnectedLog:
        """The log itself, for what has no twin here."""
        return self._log

    def producer(self, **settings: Any) -> AsyncProducerOpening:
        """A producer, with the settings of ``ConnectedLog.producer``: ``async with log.producer() as …``."""
        return AsyncProducerOpening(partial(self._log.producer, **settings), self._executor)

    def consumer(self, *topics: TopicName | Iterable[TopicName], **settings: Any) -> AsyncConsumerOpening:
        """A consumer, with the settings of ``ConnectedLog.consumer``: ``async with log.consumer(…) as …``."""
        return AsyncConsumerOpening(partial(self._log.consumer, *topics, **settings))

    async def topics(self) -> Mapping[TopicName, port.TopicDescription]:
        """All topics, internal ones included."""
        return await self.run(self._log.topics)

    async def create_topic(
        self, name: TopicName, *, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> port.TopicDescription:
        """Create a topic, durably; see ``ConnectedLog.create_topic``."""
        return await self.run(self._log.create_topic, name, partitions=partitions, config=config)

    async def alter_topic(
        self,
        name: TopicName,
        *,
        partitions: int | None = None,
        config: Mapping[str, str | None] | None = None,
    ) -> port.TopicDescription:
        """Add partitions, or set settings."""
        return await self.run(self._log.alter_topic, name, partitions=partitions, config=config)

    async def delete_topic(self, name: TopicName) -> None:
        """Delete a topic with its data."""
        await self.run(self._log.delete_topic, name)

    async def delete_records(self, before: Mapping[TopicPartition, Offset]) -> None:
        """Move log starts forward."""
        await self.run(self._log.delete_records, before)

    async def offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogOffsets]:
        """The marks of partitions."""
        return await self.run(self._log.offsets, partitions)

    async def groups(self) -> list[str]:
        """All groups that have members or committed positions."""
        return await self.run(self._log.groups)

    async def describe_group(self, group: str) -> GroupSummary:
        """A group's state, members and positions."""
        return await self.run(self._log.describe_group, group)

    async def reset_group(
        self, group: str, to: ResetTarget, *, topics: Iterable[TopicName] | None = None
    ) -> dict[TopicPartition, CommittedPosition]:
        """Move the positions of a group that has no members."""
        return await self.run(self._log.reset_group, group, to, topics=topics)

    async def delete_group(self, group: str) -> None:
        """Delete a group without members."""
        await self.run(self._log.delete_group, group)

    async def run(self, call: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Make a blocking call in a thread of the log's own."""
        return await _run(self._executor, partial(call, *arguments, **named))

    async def close(self) -> None:
        """Give the log back; everything acknowledged stays."""
        try:
            await self.run(self._log.close)
        finally:
            self._executor.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


T = TypeVar("T", bound="AsyncProducer | AsyncConsumer | AsyncLog")


class _Opening(Generic[T]):
    """Something that is opened by ``await`` or by ``async with``, and closed at the block's end."""

    _opened: T | None = None

    async def _open(self) -> T:
        raise AssertionError("each opening opens something")

    def __await__(self) -> Generator[Any, None, T]:
        return self._open().__await__()

    async def __aenter__(self) -> T:
        self._opened = await self._open()
        return self._opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.__aexit__(kind, error, trace)


class AsyncProducerOpening(_Opening[AsyncProducer]):
    """A producer to be: await it, or enter it."""

    def __init__(self, make: Callable[[], Producer], executor: ThreadPoolExecutor) -> None:
        self._make = make
        self._executor = executor

    async def _open(self) -> AsyncProducer:
        return AsyncProducer(await _run(self._executor, self._make), self._executor)


class AsyncConsumerOpening(_Opening[AsyncConsumer]):
    """A consumer to be: await it, or enter it."""

    def __init__(self, make: Callable[[], Consumer]) -> None:
        self._make = make

    async def _open(self) -> AsyncConsumer:
        executor = ThreadPoolExecutor(1, thread_name_prefix="streamcore-consumer")
        try:
            return AsyncConsumer(await _run(executor, self._make), executor)
        except BaseException:
            executor.shutdown(wait=False)
            raise


class AsyncConnection(_Opening[AsyncLog]):
    """A connection to be: await it, or enter it."""

    def __init__(self, connect: Callable[[], ConnectedLog]) -> None:
        self._connect = connect

    async def _open(self) -> AsyncLog:
        executor = ThreadPoolExecutor(_ADMIN_THREADS, thread_name_prefix="streamcore-log")
        try:
            return AsyncLog(await _run(executor, self._connect), executor)
        except BaseException:
            executor.shutdown(wait=False)
            raise


async def _run(executor: ThreadPoolExecutor, call: Callable[[], R]) -> R:
    return await asyncio.get_running_loop().run_in_executor(executor, call)
