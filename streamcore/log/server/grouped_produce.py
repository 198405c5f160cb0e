"""Appends the batches of small Produce requests together, and sends their answers together.

Requests of one turn of the event loop are collected until its end. Then the batches of each partition are
written in one piece, in the order of arrival. After that a request only waits until its partition is on
disk: it is in a queue of its partition. After each sync the heads of the queues are answered, and the
answers of a connection are sent together.

Only requests that fit a ``ProducePattern`` are handled here. The handler of Produce answers for a batch that
is refused, or whose disk fails, as for any other request.

All methods run in the event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Mapping
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from streamcore.errors import StreamCoreError
from streamcore.log.api.produce_pattern import ProducePattern
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.requests import AppendedBatch
from streamcore.log.node.operation_driver import OperationDriver
from streamcore.log.protocol.apis import PRODUCE, Api
from streamcore.log.server.output import Part
from streamcore.log.server.runner import Running
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.partition.partition_replies import BatchAppended

_NOWHERE: Final = BatchAppended(-1, -1, -1)
_WRITTEN: Final = memoryview(b"")

Results: TypeAlias = list[BatchAppended | StreamCoreError]


class Loop(Protocol):
    """The part of an event loop that is used here."""

    def call_soon(self, callback: Callable[[], None], /) -> object:
        """Call a function in the next turn."""


class Asker(Protocol):
    """The connection of a request."""

    def send_answers(self) -> None:
        """Send the answers that are ready, in order."""

    def acknowledge(self, request: GroupedRequest, appended: AppendedBatch) -> None:
        """Answer a request by the handler of Produce."""

    def fail(self, error: Exception) -> None:
        """Close the connection, because a request cannot be answered."""


class GroupedRequest:
    """A request with one batch, from its arrival to its answer."""

    __slots__ = (
        "answer",
        "appended",
        "asker",
        "batch",
        "correlation_id",
        "frame_bytes",
        "pattern",
        "running",
    )

    api: Final[Api] = PRODUCE

    def __init__(
        self,
        asker: Asker,
        pattern: ProducePattern,
        correlation_id: int,
        batch: memoryview,
        frame_bytes: int,
    ) -> None:
        self.asker = asker
        self.pattern = pattern
        self.correlation_id = correlation_id
        self.batch = batch
        self.frame_bytes = frame_bytes
        self.answer: list[Part] | None = None
        self.running: Running[Any] | None = None
        self.appended = _NOWHERE


class GroupedProduce:
    """The grouped requests of all connections of a server."""

    def __init__(
        self,
        broker: Broker,
        driver: OperationDriver,
        loop: Loop,
        ask_sync: Callable[[], None],
    ) -> None:
        """``ask_sync`` starts a sync; ``progressed`` must be called after it."""
        self._broker = broker
        self._driver = driver
        self._loop = loop
        self._ask_sync = ask_sync
        self._unwritten: dict[PartitionLog, list[GroupedRequest]] = {}
        self._unsynced: dict[PartitionLog, deque[GroupedRequest]] = {}

    def add(self, log: PartitionLog, request: GroupedRequest) -> None:
        """Write the batch of a request at the end of this turn of the loop, and answer it once durable."""
        if not self._unwritten:
            self._loop.call_soon(self.write)
        group = self._unwritten.get(log)
        if group is None:
            self._unwritten[log] = [request]
        else:
            group.append(request)

    def write(self) -> None:
        """Write what was added; called earlier if a batch that is not grouped must come after it."""
        if not self._unwritten:
            return
        groups, self._unwritten = self._unwritten, {}
        done: dict[Asker, None] = {}
        try:
            results_by_log = self._driver.act(partial(self._append, groups))
        except Exception as error:  # noqa: BLE001 - a bug: what became of the batches is not known
            for asker in {request.asker: None for group in groups.values() for request in group}:
                asker.fail(error)
            return
        for (log, group), results in zip(groups.items(), results_by_log, strict=True):
            self._await_sync(log, group, results, done)
        for asker in done:
            asker.send_answers()
        if self._unsynced:
            self._ask_sync()

    def _append(self, groups: Mapping[PartitionLog, list[GroupedRequest]]) -> list[Results]:
        append = self._broker.batches.append_group
        return [append(log, [request.batch for request in group]) for log, group in groups.items()]

    def _await_sync(
        self,
        log: PartitionLog,
        group: list[GroupedRequest],
        results: Results,
        done: dict[Asker, None],
    ) -> None:
        """Answer the requests that are durable or refused; put the others into their queues."""
        waiting = self._unsynced.get(log)
        end = log.offsets.high_watermark
        for request, result in zip(group, results, strict=True):
            request.batch = _WRITTEN
            if isinstance(result, StreamCoreError):
                refused = AppendedBatch(log.topic_partition, error=result)
                request.asker.acknowledge(request, refused)
                continue
            request.appended = result
            if result.last_offset < end:
                _answer(request, log)
                done[request.asker] = None
                continue
            if waiting is None:
                waiting = self._unsynced[log] = deque()
            waiting.append(request)

    def progressed(self, deleted: Container[PartitionLog]) -> None:
        """Answer requests after a sync of partitions, or after a failed one."""
        done: dict[Asker, None] = {}
        given_up: list[tuple[PartitionLog, GroupedRequest]] = []
        for log, waiting in list(self._unsynced.items()):
            end = log.offsets.high_watermark
            while waiting and waiting[0].appended.last_offset < end:
                request = waiting.popleft()
                _answer(request, log)
                done[request.asker] = None
            if waiting and (log.health.error is not None or log in deleted):
                given_up += [(log, request) for request in waiting]
                waiting.clear()
            if not waiting:
                del self._unsynced[log]
        for asker in done:
            asker.send_answers()
        for log, request in given_up:
            request.asker.acknowledge(request, _written(log, request.appended))


def _answer(request: GroupedRequest, log: PartitionLog) -> None:
    appended = request.appended
    request.answer = [
        request.pattern.answer(
            request.correlation_id, appended.base_offset, appended.log_append_time_ms, log.offsets.log_start
        )
    ]


def _written(log: PartitionLog, appended: BatchAppended) -> AppendedBatch:
    return AppendedBatch(
        log.topic_partition,
        appended.base_offset,
        appended.last_offset + 1,
        appended.log_append_time_ms,
        appended.is_duplicate,
    )
