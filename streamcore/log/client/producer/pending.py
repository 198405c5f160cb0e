"""Records on their way: the batch that collects them, and the futures that stand for them.

A future is a batch and a place in it, so a send costs one small object; what became of the records is
kept once per batch. A batch is filled, then sealed, then settled: its records are cut into
pieces, normally one, and each piece was written or refused.

Locks are the producer's business: a batch is filled under its lock, and settled by one thread.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeAlias, TypeVar

from streamcore.durations import duration_ms
from streamcore.errors import StreamCoreError
from streamcore.log.client.port import Appended
from streamcore.model import Headers, Offset, TimestampMs, TopicName, TopicPartition

_logger = logging.getLogger(__name__)

Timeout: TypeAlias = "str | timedelta | float | None"
"""How long to wait: text, ``timedelta``, seconds as ``concurrent.futures`` has them, or for ever."""

F = TypeVar("F")

_watch_lock = threading.Lock()
"""Held while a batch becomes settled and while a callback is added. Both are rare: one lock serves all."""


def timeout_seconds(timeout: Timeout) -> float | None:
    """A time-out as seconds."""
    if timeout is None or isinstance(timeout, int | float):
        return timeout
    return duration_ms(timeout) / 1000


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a record was written, durably."""

    topic: TopicName
    partition: int
    offset: Offset
    timestamp_ms: TimestampMs

    @property
    def position(self) -> dict[TopicPartition, Offset]:
        """Past the record: what a table has to reach to reflect it."""
        return {TopicPartition(self.topic, self.partition): self.offset + 1}


@dataclass(frozen=True, slots=True)
class SentMany:
    """Where the records of a ``send_many`` were written, durably: runs of offsets in order of sending."""

    count: int
    ranges: tuple[Appended, ...]

    @property
    def position(self) -> dict[TopicPartition, Offset]:
        """Past the last record in each partition: what a table has to reach to reflect them all."""
        reached: dict[TopicPartition, Offset] = {}
        for written in self.ranges:
            reached[written.target] = max(written.end_offset, reached.get(written.target, 0))
        return reached


class Settler(Protocol):
    """Who brings batches to their end: the producer's sender."""

    def settle(self, batch: PendingBatch, timeout_s: float | None) -> None:
        """Send the batch now and wait until it is settled; ``RequestTimeoutError`` if that takes longer."""


class PendingBatch:
    """Records of one partition that will be appended together."""

    __slots__ = (
        "callbacks",
        "covered",
        "deadline_s",
        "headers",
        "is_settled",
        "is_watched",
        "keys",
        "outcomes",
        "settler",
        "size_bytes",
        "starts",
        "target",
        "timestamps_ms",
        "values",
    )

    def __init__(self, target: TopicPartition, settler: Settler, deadline_s: float) -> None:
        self.target = target
        self.settler = settler
        self.deadline_s = deadline_s
        self.size_bytes = 0
        self.keys: list[bytes | None] = []
        self.values: list[bytes | None] = []
        self.timestamps_ms: list[TimestampMs] = []
        self.headers: list[Headers] | None = None
        self.covered = 0
        """Up to which place (exclusive) it is known what became of the records."""
        self.starts: list[int] = []
        self.outcomes: list[Appended | Exception] = []
        self.is_settled = False
        self.is_watched = False
        """Whether somebody has asked what became of it; a failure nobody asked for is told by ``flush``."""
        self.callbacks: list[Callable[[], None]] = []

    def add_headers(self, headers: Headers) -> None:
        """Add the headers of the record that was added last."""
        if self.headers is None:
            self.headers = [()] * (len(self.values) - 1)
        self.headers.append(headers)

    def add_outcome(self, outcome: Appended | Exception, end: int | None = None) -> None:
        """Say what became of the next records, up to the place ``end`` or all that are left."""
        self.starts.append(self.covered)
        self.outcomes.append(outcome)
        self.covered = len(self.values) if end is None else end

    def outcome(self, index: int) -> tuple[int, Appended | Exception]:
        """What became of the record at a place of the batch, and at which place its piece began."""
        piece = bisect_right(self.starts, index) - 1
        return self.starts[piece], self.outcomes[piece]

    def failure(self) -> Exception | None:
        """The first refusal, if any record was refused."""
        return next((outcome for outcome in self.outcomes if isinstance(outcome, Exception)), None)

    def settle(self) -> list[Callable[[], None]]:
        """Be settled, and drop the records; return who wants to be called, now that it is so."""
        self.keys, self.values, self.timestamps_ms, self.headers = [], [], [], None
        with _watch_lock:
            self.is_settled = True
            callbacks, self.callbacks = self.callbacks, []
        return callbacks

    def watch(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once when the batch is settled, which may be now."""
        self.is_watched = True
        with _watch_lock:
            if not self.is_settled:
                self.callbacks.append(callback)
                return
        callback()


class SendFuture:
    """The promise of one ``send``."""

    __slots__ = ("_batch", "_index", "_timestamp_ms")

    def __init__(self, batch: PendingBatch, index: int, timestamp_ms: TimestampMs) -> None:
        self._batch = batch
        self._index = index
        self._timestamp_ms = timestamp_ms

    def done(self) -> bool:
        """Whether ``result`` would return or raise at once."""
        return self._batch.is_settled

    def result(self, timeout: Timeout = None) -> Sent:
        """Wait until the record is durable, and return where; whoever waits has it sent at once.

        Raises:
            RequestTimeoutError: the time given was not enough; the record is still on its way.
            StreamCoreError: why the record was not written.
        """
        outcome = self._outcome(timeout)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def exception(self, timeout: Timeout = None) -> Exception | None:
        """Wait like ``result``, and return what it would raise; ``None`` if the record was written."""
        outcome = self._outcome(timeout)
        return outcome if isinstance(outcome, Exception) else None

    def add_done_callback(self, callback: Callable[[SendFuture], object]) -> None:
        """Have ``callback`` called with this future once it is done, by the thread that settled it."""
        self._batch.watch(lambda: _call(callback, self))

    @property
    def position(self) -> dict[TopicPartition, Offset]:
        """Past the record, waiting for it if need be."""
        return self.result().position

    def _outcome(self, timeout: Timeout) -> Sent | Exception:
        batch, index = self._batch, self._index
        batch.is_watched = True
        if not batch.is_settled:
            batch.settler.settle(batch, timeout_seconds(timeout))
        start, outcome = batch.outcome(index)
        if isinstance(outcome, Exception):
            return outcome
        return Sent(
            outcome.target.topic,
            outcome.target.partition,
            outcome.base_offset + index - start,
            self._timestamp_ms if outcome.log_append_time_ms < 0 else outcome.log_append_time_ms,
        )


class SendManyFuture:
    """The promise of one ``send_many``: done when every record is."""

    __slots__ = ("_pieces",)

    def __init__(self, pieces: Iterable[tuple[PendingBatch, int, int]]) -> None:
        self._pieces = tuple(pieces)
        """Batches with the places ``[first, end)`` that belong to this call."""

    def __len__(self) -> int:
        return sum(end - first for _, first, end in self._pieces)

    def done(self) -> bool:
        """Whether ``result`` would return or raise at once."""
        return all(batch.is_settled for batch, _, _ in self._pieces)

    def result(self, timeout: Timeout = None) -> SentMany:
        """Wait until all records are durable, and return where.

        Raises:
            RequestTimeoutError: the time given was not enough; the records are still on their way.
            StreamCoreError: why some record was not written. Others may have been: to have all or
                none, send inside a transaction.
        """
        ranges: list[Appended] = []
        self._settle(timeout)
        for batch, first, end in self._pieces:
            index = first
            while index < end:
                start, outcome = batch.outcome(index)
                if isinstance(outcome, Exception):
                    raise outcome
                stop = min(end, start + outcome.end_offset - outcome.base_offset)
                base = outcome.base_offset - start
                ranges.append(Appended(outcome.target, base + index, base + stop, outcome.log_append_time_ms))
                index = stop
        return SentMany(len(self), tuple(ranges))

    def exception(self, timeout: Timeout = None) -> Exception | None:
        """Wait like ``result``, and return what it would raise; ``None`` if all were written."""
        self._settle(timeout)
        try:
            self.result()
        except StreamCoreError as error:
            return error
        return None

    def add_done_callback(self, callback: Callable[[SendManyFuture], object]) -> None:
        """Have ``callback`` called with this future once it is done, by the thread that settled it."""
        waiting = len(self._pieces)
        if not waiting:
            _call(callback, self)
            return
        tickets = list(range(waiting))

        def one_done() -> None:
            # Batches may be settled by two threads; taking from a list is atomic, so one takes the last.
            if tickets.pop() == 0:
                _call(callback, self)

        for batch, _, _ in self._pieces:
            batch.watch(one_done)

    @property
    def position(self) -> dict[TopicPartition, Offset]:
        """Past the last record in each partition, waiting for them if need be."""
        return self.result().position

    def _settle(self, timeout: Timeout) -> None:
        seconds = timeout_seconds(timeout)
        for batch, _, _ in reversed(self._pieces):
            batch.is_watched = True
            if not batch.is_settled:
                batch.settler.settle(batch, seconds)


def _call(callback: Callable[[F], object], future: F) -> None:
    try:
        callback(future)
    except Exception:
        # As in concurrent.futures: the thread belongs to the producer, which goes on.
        _logger.exception("a callback of a send failed")
