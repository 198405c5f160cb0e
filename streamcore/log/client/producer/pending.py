"""Records that were sent and not acknowledged: their batches and their futures.

A future is a batch and an index in it, so a send creates one small object; the outcomes are stored once per
batch. A batch is filled, then sealed, then settled: its records are cut into pieces, normally one, and each
piece was written or refused.

The producer owns the locks: a batch is filled under the producer's lock, and settled by one thread.

The futures are ``concurrent.futures.Future``: ``asyncio.wrap_future``, ``concurrent.futures.wait`` and
``as_completed`` take them, and a coroutine can await them. No future has its own state; it reads its
batches.
"""

from __future__ import annotations

import logging
import threading
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, Protocol, TypeAlias, TypeVar

from msgspec import Struct

from streamcore.durations import duration_ms
from streamcore.errors import StreamCoreError
from streamcore.log.client.port import Appended
from streamcore.model import Headers, Offset, RecordColumns, TimestampMs, TopicName, TopicPartition

_logger = logging.getLogger(__name__)

Timeout: TypeAlias = "str | timedelta | float | None"
"""How long to wait: text, ``timedelta``, seconds as in ``concurrent.futures``, or without a limit."""

F = TypeVar("F")
R = TypeVar("R")

_watch_lock = threading.RLock()
"""Held while a batch becomes settled and while a callback is added. Both are rare: one lock serves all.
``concurrent.futures`` holds it for several futures at once, so it is reentrant.
"""


def timeout_seconds(timeout: Timeout) -> float | None:
    """Return a timeout in seconds."""
    if timeout is None or isinstance(timeout, int | float):
        return timeout
    return duration_ms(timeout) / 1000


class Sent(Struct, frozen=True):
    """Where a record was written, durably."""

    topic: TopicName
    partition: int
    offset: Offset
    timestamp_ms: TimestampMs

    @property
    def position(self) -> dict[TopicPartition, Offset]:
        """Return the position behind the record: a table that reaches it includes the record."""
        return {TopicPartition(self.topic, self.partition): self.offset + 1}


class SentMany(Struct, frozen=True):
    """Where the records of a ``send_many`` were written, durably: ranges of offsets in order of sending."""

    count: int
    ranges: tuple[Appended, ...]

    @property
    def position(self) -> dict[TopicPartition, Offset]:
        """Return the position behind the last record of each partition: a table that reaches it includes
        all.
        """
        reached: dict[TopicPartition, Offset] = {}
        for written in self.ranges:
            reached[written.partition] = max(written.end_offset, reached.get(written.partition, 0))
        return reached


class Settler(Protocol):
    """What settles batches: the producer's sender."""

    def settle(self, batch: PendingBatch, timeout_s: float | None) -> None:
        """Send the batch now and wait until it is settled; raise ``RequestTimeoutError`` on timeout."""

    def hurry(self) -> None:
        """Send everything now, without waiting for it."""


class PendingBatch(RecordColumns):
    """Records of one partition that will be appended together."""

    __slots__ = (
        "callbacks",
        "covered",
        "deadline_s",
        "is_settled",
        "is_watched",
        "outcomes",
        "partition",
        "settler",
        "starts",
    )

    size_bytes: int

    def __init__(self, partition: TopicPartition, settler: Settler, deadline_s: float) -> None:
        super().__init__()
        self.partition = partition
        self.settler = settler
        self.deadline_s = deadline_s
        self.size_bytes = 0
        self.covered = 0
        """The index (exclusive) up to which the outcomes are known."""
        self.starts: list[int] = []
        self.outcomes: list[Appended | Exception] = []
        self.is_settled = False
        self.is_watched = False
        """Whether a caller has asked for the outcome; ``flush`` raises a failure that no caller asked for."""
        self.callbacks: list[Callable[[], None]] = []

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def add_headers(self, headers: Headers) -> None:
        """Add the headers of the record that was added last."""
        if self.headers is None:
            self.headers = [()] * (len(self.values) - 1)
        self.headers.append(headers)

    def add_outcome(self, outcome: Appended | Exception, end: int | None = None) -> None:
        """Store the outcome of the next records, up to the index ``end`` or of all that are left."""
        self.starts.append(self.covered)
        self.outcomes.append(outcome)
        self.covered = len(self.values) if end is None else end

    def outcome(self, index: int) -> tuple[int, Appended | Exception]:
        """Return the outcome of the record at an index, and the index at which its piece begins."""
        piece = bisect_right(self.starts, index) - 1
        return self.starts[piece], self.outcomes[piece]

    def failure(self) -> Exception | None:
        """The first refusal, if any record was refused."""
        return next((outcome for outcome in self.outcomes if isinstance(outcome, Exception)), None)

    def settle(self) -> list[Callable[[], None]]:
        """Mark the batch settled, free its records, return the callbacks to run."""
        self.keys, self.values, self.timestamps_ms, self.headers = [], [], [], None
        with _watch_lock:
            self.is_settled = True
            callbacks, self.callbacks = self.callbacks, []
        return callbacks

    def watch(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once when the batch is settled, which may be now."""
        self.is_watched = True
        with _watch_lock:
            if not self.is_settled:
                self.callbacks.append(callback)
                return
        callback()


class _BatchFuture(Future[R]):
    """The interface of a ``concurrent.futures`` and ``asyncio`` future, over batches.

    ``Future.__init__`` is never called: its condition and its result would cost more than the send.
    """

    __slots__ = ()

    def __init__(self) -> None:
        raise AssertionError("each kind of send sets its own slots")

    def _batches(self) -> Iterable[PendingBatch]:
        raise AssertionError("each kind of send has its batches")

    def done(self) -> bool:
        """Whether ``result`` would return or raise at once."""
        return all(batch.is_settled for batch in self._batches())

    def running(self) -> bool:
        """Whether the records were not settled yet."""
        return not self.done()

    def cancel(self) -> bool:
        """Return ``False``: a record that was sent cannot be withdrawn."""
        return False

    def cancelled(self) -> bool:
        """Return ``False``."""
        return False

    def __await__(self) -> Generator[Any, None, R]:
        """Send the records at once and wait for them; cancelling the wait does not cancel the records."""
        if not self.done():
            import asyncio

            for batch in self._batches():
                batch.is_watched = True
                batch.settler.hurry()
            yield from asyncio.wrap_future(self).__await__()
        return self.result()

    def __repr__(self) -> str:
        state = "done" if self.done() else "on its way"
        return f"<{type(self).__name__} {state}>"

    # -- what concurrent.futures.wait and as_completed look at ----------------------------------------

    @property
    def _state(self) -> str:  # type: ignore[override]
        return "FINISHED" if self.done() else "RUNNING"

    @property
    def _condition(self) -> Any:  # type: ignore[override]
        """The lock under which ``_state`` does not change."""
        return _watch_lock

    @property
    def _waiters(self) -> Any:  # type: ignore[override]
        return _Waiters(self)


class SendFuture(_BatchFuture[Sent]):
    """The future of one ``send``; await it, or call ``result``."""

    __slots__ = ("_batch", "_index", "_timestamp_ms")

    def __init__(self, batch: PendingBatch, index: int, timestamp_ms: TimestampMs) -> None:
        self._batch = batch
        self._index = index
        self._timestamp_ms = timestamp_ms

    def _batches(self) -> Iterable[PendingBatch]:
        return (self._batch,)

    def done(self) -> bool:
        """Whether ``result`` would return or raise at once."""
        return self._batch.is_settled

    def result(self, timeout: Timeout = None) -> Sent:
        """Send the record at once, wait until it is durable, and return its offset.

        Raises:
            RequestTimeoutError: the timeout was over; the record may still be written.
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
        """Call ``callback`` with this future once it is done, in the thread that settled it."""
        self._batch.watch(lambda: _call(callback, self))

    @property
    def position(self) -> dict[TopicPartition, Offset]:
        """Wait for the record, and return the position behind it."""
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
            outcome.partition.topic,
            outcome.partition.partition,
            outcome.base_offset + index - start,
            self._timestamp_ms if outcome.log_append_time_ms < 0 else outcome.log_append_time_ms,
        )


class SendManyFuture(_BatchFuture[SentMany]):
    """The future of one ``send_many``: done when every record is; await it, or call ``result``."""

    __slots__ = ("_pieces",)

    def __init__(self, pieces: Iterable[tuple[PendingBatch, int, int]]) -> None:
        self._pieces = tuple(pieces)
        """Batches, each with the range of indexes ``[first, end)`` that belongs to this call."""

    def __len__(self) -> int:
        return sum(end - first for _, first, end in self._pieces)

    def _batches(self) -> Iterable[PendingBatch]:
        return (batch for batch, _, _ in self._pieces)

    def result(self, timeout: Timeout = None) -> SentMany:
        """Wait until all records are durable, and return their offsets.

        Raises:
            RequestTimeoutError: the timeout was over; the records may still be written.
            StreamCoreError: why a record was not written. Others may have been: to write all or
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
                ranges.append(
                    Appended(outcome.partition, base + index, base + stop, outcome.log_append_time_ms)
                )
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
        """Call ``callback`` with this future once it is done, in the thread that settled it."""
        waiting = len(self._pieces)
        if not waiting:
            _call(callback, self)
            return
        tickets = list(range(waiting))

        def one_done() -> None:
            # Two threads may settle batches; taking from a list is atomic, so one of them takes the last.
            if tickets.pop() == 0:
                _call(callback, self)

        for batch, _, _ in self._pieces:
            batch.watch(one_done)

    @property
    def position(self) -> dict[TopicPartition, Offset]:
        """Wait for the records, and return the position behind the last record of each partition."""
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
        # As in concurrent.futures: the thread belongs to the producer, which continues.
        _logger.exception("a callback of a send failed")


class _Waiters:
    """The waiters of a future, as ``concurrent.futures`` adds them under ``_condition``."""

    __slots__ = ("_future",)

    def __init__(self, future: _BatchFuture[Any]) -> None:
        self._future = future

    def append(self, waiter: Any) -> None:
        """Report the end of the future to the waiter; a future that has ended was counted by it already."""

        def report(future: Future[Any]) -> None:
            if future.exception() is None:
                waiter.add_result(future)
            else:
                waiter.add_exception(future)

        if not self._future.done():
            self._future.add_done_callback(report)

    def remove(self, waiter: Any) -> None:
        """Do nothing: a waiter ignores reports after its wait."""
