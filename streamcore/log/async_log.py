"""The log for programs with an event loop: the same calls, awaited.

A thin layer over the blocking client. Sends need no thread: their future calls back. Calls that wait
(polls, commits, topics) run in threads of this layer, one per consumer, so that a hundred idle
consumers do not occupy the loop's default executor, and each consumer is used by one thread at a time.

``_awaited`` makes a method from its blocking twin where that is enough: the parameters and the docstring
are those of the twin.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial, wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from streamcore.clock import Clock
from streamcore.log.client.consumer.consumer import Consumer
from streamcore.log.client.consumer.fetch_state import BytesRecord
from streamcore.log.client.consumer.settings import Duration, PartitionLike
from streamcore.log.client.producer.pending import SendFuture, Sent
from streamcore.log.client.producer.producer import Producer, Transaction
from streamcore.log.connect import connect
from streamcore.log.connected_log import ConnectedLog
from streamcore.log.node.node import Durability
from streamcore.model import CommittedOffset, Offset, TopicName, TopicPartition

B = TypeVar("B")
P = ParamSpec("P")
R = TypeVar("R")

_ADMIN_THREADS = 4


class _Twin(Generic[B]):
    """An object for one event loop, over a blocking one whose calls run in threads of an executor."""

    def __init__(self, blocking: B, executor: ThreadPoolExecutor) -> None:
        self._blocking = blocking
        self._executor = executor


def _awaited(
    method: Callable[Concatenate[B, P], R],
) -> Callable[Concatenate[_Twin[B], P], Coroutine[Any, Any, R]]:
    """Return the awaited twin of a blocking method."""

    @wraps(method)
    async def call(self: _Twin[B], /, *arguments: P.args, **named: P.kwargs) -> R:
        return await _run(self._executor, partial(method, self._blocking, *arguments, **named))

    return call


class AsyncProducer(_Twin[Producer]):
    """A producer for one event loop; see ``Producer``."""

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
        """Send a record; await the returned future for its offset. This call waits only for buffer space."""
        send = partial(
            self._blocking.send,
            topic,
            key=key,
            value=value,
            partition=partition,
            timestamp_ms=timestamp_ms,
            headers=headers,
        )
        size_bytes = len(key or b"") + len(value or b"")
        return send() if self._blocking.has_room(size_bytes) else await _run(self._executor, send)

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

    send_many = _awaited(Producer.send_many)
    flush = _awaited(Producer.flush)
    close = _awaited(Producer.close)

    def transaction(self) -> AsyncTransaction:
        """Begin a transaction: ``async with producer.transaction() as transaction``."""
        return AsyncTransaction(self._blocking.transaction(), self._executor)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _run(self._executor, partial(self._blocking.__exit__, kind, error, trace))


class AsyncTransaction(_Twin[Transaction]):
    """A transaction for one event loop; see ``Transaction``."""

    send = _awaited(Transaction.send)
    send_many = _awaited(Transaction.send_many)
    commit_group_offsets = _awaited(Transaction.commit_group_offsets)
    abort = _awaited(Transaction.abort)

    async def commit_positions(
        self, group: str, positions: Mapping[TopicPartition, CommittedOffset | int]
    ) -> None:
        """The former name of ``commit_group_offsets``."""
        warnings.warn(
            "AsyncTransaction.commit_positions is now AsyncTransaction.commit_group_offsets",
            DeprecationWarning,
            stacklevel=2,
        )
        await self.commit_group_offsets(group, positions)

    async def commit_offsets(self, consumer: AsyncConsumer) -> None:
        """Add the consumer's positions to the transaction."""
        await consumer.run(lambda blocking: self._blocking.commit_offsets(blocking))

    async def __aenter__(self) -> Self:
        await _run(self._executor, self._blocking.__enter__)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _run(self._executor, partial(self._blocking.__exit__, kind, error, trace))


class AsyncConsumer(_Twin[Consumer]):
    """A consumer for one event loop; see ``Consumer``. Calls run one after the other, in one thread."""

    def __init__(self, consumer: Consumer, executor: ThreadPoolExecutor) -> None:
        super().__init__(consumer, executor)
        self._polling: Future[list[BytesRecord]] | None = None

    async def poll(self, timeout: Duration = "1s", *, records_max: int | None = None) -> list[BytesRecord]:
        """Return records as soon as there are any; see ``Consumer.poll``.

        A poll that is cancelled loses nothing: the next one returns its records.
        """
        if self._polling is None:
            self._polling = self._executor.submit(self._blocking.poll, timeout, records_max=records_max)
        polling = self._polling
        records = await asyncio.shield(asyncio.wrap_future(polling))
        if self._polling is polling:
            self._polling = None
        return records

    async def run(self, call: Callable[[Consumer], R]) -> R:
        """Call a function of the blocking consumer in the consumer's thread."""
        return await _run(self._executor, partial(call, self._blocking))

    commit = _awaited(Consumer.commit)
    committed = _awaited(Consumer.committed)
    seek = _awaited(Consumer.seek)
    seek_to_time = _awaited(Consumer.seek_to_time)
    seek_to_beginning = _awaited(Consumer.seek_to_beginning)
    seek_to_end = _awaited(Consumer.seek_to_end)
    pause = _awaited(Consumer.pause)
    resume = _awaited(Consumer.resume)

    def position(self, partition: PartitionLike) -> Offset:
        """Return the offset of the next record that ``poll`` can return."""
        return self._blocking.position(partition)

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions that this consumer reads now."""
        return self._blocking.assignment()

    async def close(self) -> None:
        """Wait for a poll that is under way, leave the group and stop."""
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


class AsyncLog(_Twin[ConnectedLog]):
    """A log for one event loop; see ``ConnectedLog``."""

    @property
    def blocking(self) -> ConnectedLog:
        """The blocking log, for calls that have no twin here."""
        return self._blocking

    def producer(self, **settings: Any) -> AsyncProducerOpening:
        """Return a producer, with the settings of ``ConnectedLog.producer``: ``async with log.producer()
        as …``.
        """
        return AsyncProducerOpening(partial(self._blocking.producer, **settings), self._executor)

    def consumer(self, *topics: TopicName | Iterable[TopicName], **settings: Any) -> AsyncConsumerOpening:
        """Return a consumer, with the settings of ``ConnectedLog.consumer``: ``async with log.consumer(…)
        as …``.
        """
        return AsyncConsumerOpening(partial(self._blocking.consumer, *topics, **settings))

    topics = _awaited(ConnectedLog.topics)
    create_topic = _awaited(ConnectedLog.create_topic)
    alter_topic = _awaited(ConnectedLog.alter_topic)
    delete_topic = _awaited(ConnectedLog.delete_topic)
    delete_records = _awaited(ConnectedLog.delete_records)
    offsets = _awaited(ConnectedLog.offsets)
    offsets_for_time = _awaited(ConnectedLog.offsets_for_time)
    committed = _awaited(ConnectedLog.committed)
    groups = _awaited(ConnectedLog.groups)
    describe_group = _awaited(ConnectedLog.describe_group)
    reset_group = _awaited(ConnectedLog.reset_group)
    delete_group = _awaited(ConnectedLog.delete_group)
    delete_offsets = _awaited(ConnectedLog.delete_offsets)

    async def delete_positions(
        self, group: str, partitions: Iterable[TopicPartition], *, of_application: bool = False
    ) -> None:
        """The former name of ``delete_offsets``."""
        warnings.warn(
            "AsyncLog.delete_positions is now AsyncLog.delete_offsets", DeprecationWarning, stacklevel=2
        )
        await self.delete_offsets(group, partitions, of_application=of_application)

    async def run(self, call: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Run a blocking call in a thread of the log."""
        return await _run(self._executor, partial(call, *arguments, **named))

    async def close(self) -> None:
        """Release the log; acknowledged records stay."""
        try:
            await self.run(self._blocking.close)
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
    """An object that ``await`` or ``async with`` opens; the end of the block closes it."""

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
    """A producer that ``await`` or ``async with`` opens."""

    def __init__(self, make: Callable[[], Producer], executor: ThreadPoolExecutor) -> None:
        self._make = make
        self._executor = executor

    async def _open(self) -> AsyncProducer:
        return AsyncProducer(await _run(self._executor, self._make), self._executor)


class AsyncConsumerOpening(_Opening[AsyncConsumer]):
    """A consumer that ``await`` or ``async with`` opens."""

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
    """A connection that ``await`` or ``async with`` opens."""

    def __init__(self, connect: Callable[[], ConnectedLog]) -> None:
        self._connect = connect

    async def _open(self) -> AsyncLog:
        executor = ThreadPoolExecutor(_ADMIN_THREADS, thread_name_prefix="streamcore-log")
        try:
            return AsyncLog(await _run(executor, self._connect), executor)
        except BaseException:
            executor.shutdown(wait=False)
            raise


def connect_async(
    where: str | Path,
    *,
    durability: Durability = "durable",
    security: Mapping[str, str] | None = None,
    config: Mapping[str, str] | None = None,
    clock: Clock | None = None,
) -> AsyncConnection:
    """``connect`` for programs with an event loop: use it with ``async with`` or ``await``."""
    return AsyncConnection(
        lambda: connect(where, durability=durability, security=security, config=config, clock=clock)
    )


async def _run(executor: ThreadPoolExecutor, call: Callable[[], R]) -> R:
    return await asyncio.get_running_loop().run_in_executor(executor, call)
