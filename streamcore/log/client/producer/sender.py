"""Appends a producer's batches to the log: in order, in rounds, in the thread that waits.

A round appends every due batch and waits once, so that one fsync serves all of them. A thread that waits does
the work: a caller in ``result`` or ``flush`` runs the round itself, and the sender thread runs the rounds
for which no caller waits. One thread at a time runs a round (the drain lock), so the order within a partition
is the order of sending; records sent meanwhile go with the next round.

Two locks, taken in this order: the drain lock (appending), then ``lock`` (the accumulator). Callbacks run
under neither, so they may send.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from streamcore.clock import Clock
from streamcore.errors import (
    ClosedError,
    InvalidRecordError,
    RequestTimeoutError,
    StreamCoreError,
    fact_text,
)
from streamcore.log.client.port import Acknowledgement
from streamcore.log.client.producer.accumulator import Accumulator
from streamcore.log.client.producer.pending import PendingBatch
from streamcore.model import RecordColumns, TopicPartition

_logger = logging.getLogger(__name__)

_FAILED_BATCHES_MAX = 64


class AppendColumns(Protocol):
    """Where a round appends: the ``append_columns`` of the port's producer, or of its open transaction."""

    def __call__(
        self,
        partition: TopicPartition,
        columns: RecordColumns,
    ) -> Acknowledgement:
        """Append columns; see the port."""


class Sender:
    """Sends the accumulator's batches. Safe to share between threads."""

    def __init__(self, clock: Clock, append_columns: AppendColumns, *, buffer_bytes_max: int) -> None:
        self.lock = threading.Lock()
        self.batches: Accumulator
        self.is_closed = False
        self._append_columns = append_columns
        self._buffer_bytes_max = buffer_bytes_max
        self._monotonic_s = clock.monotonic_s
        self._changed = threading.Condition(self.lock)
        self._drain_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_hurried = False
        self._failed: list[PendingBatch] = []

    def append_to(self, append_columns: AppendColumns) -> None:
        """Set where the next rounds append."""
        with self._drain_lock:
            self._append_columns = append_columns

    # --- for who adds, with the lock held --------------------------------------------------------

    def wait_for_room(self, size_bytes: int) -> None:
        """With ``lock`` held: wait until so many bytes may be added.

        If no thread drains, the caller does: a callback that sends must not wait for its own thread. A record
        larger than the buffer is sent alone.

        Raises:
            ClosedError: the producer was closed meanwhile.
        """
        batches = self.batches
        while batches.pending_bytes and batches.pending_bytes + size_bytes > self._buffer_bytes_max:
            if self._drain_lock.locked():
                self._changed.wait(0.05)
            else:
                self.lock.release()
                try:
                    self.drain()
                finally:
                    self.lock.acquire()
            if self.is_closed:
                raise ClosedError("the producer was closed while a send waited for buffer space")

    def wake(self) -> None:
        """With ``lock`` held: wake the sender thread; the first call starts it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="streamcore-sender", daemon=True)
            self._thread.start()
        self.batches.has_news = False
        self._changed.notify_all()

    # --- for who waits --------------------------------------------------------------------------

    def hurry(self) -> None:
        """Make the sender thread drain now, without waiting for it."""
        with self.lock:
            self._is_hurried = True
            self.wake()

    def settle(self, batch: PendingBatch, timeout_s: float | None) -> None:
        """Settle a batch: in this thread if there is no timeout, else in the sender's.

        Raises:
            RequestTimeoutError: the timeout was over; the batch may still be written.
        """
        if timeout_s is None:
            while not batch.is_settled:
                self.drain(until=batch)
            return
        deadline_s = self._monotonic_s() + timeout_s
        self.hurry()
        with self.lock:
            while not batch.is_settled:
                left_s = deadline_s - self._monotonic_s()
                if left_s <= 0:
                    facts = fact_text(partition=batch.partition, timeout_s=timeout_s)
                    raise RequestTimeoutError(f"the record is still on its way; wait longer: {facts}")
                self._changed.wait(left_s)

    def flush(self, timeout_s: float | None) -> None:
        """Settle everything added so far. Raises ``RequestTimeoutError``."""
        with self.lock:
            self.batches.seal_due(None)
            newest = self.batches.newest_sealed
        if newest is not None and not newest.is_settled:
            self.settle(newest, timeout_s)

    def take_failures(self) -> list[PendingBatch]:
        """Return the batches that failed since the last call, up to a limit."""
        with self.lock:
            failed, self._failed = self._failed, []
        return failed

    def discard(self, error: Exception) -> None:
        """Settle everything added so far as failed, without appending it."""
        with self._drain_lock:
            with self.lock:
                self.batches.seal_due(None)
                taken = self.batches.take_sealed()
            for batch in taken:
                batch.add_outcome(error)
            callbacks = self._settle(taken)
        _run_all(callbacks)

    def close(self) -> None:
        """Accept nothing more and fail what was not flushed. Returns when the thread has ended."""
        with self.lock:
            self.is_closed = True
            self._changed.notify_all()
        self.discard(ClosedError("the producer was closed before the record was sent"))
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    # --- rounds ---------------------------------------------------------------------------------

    def drain(self, *, until: PendingBatch | None = None, only_due: bool = False) -> None:
        """Run one round.

        Args:
            until: do nothing if another thread has settled this batch meanwhile.
            only_due: leave batches that are neither full nor past their linger.
        """
        with self._drain_lock:
            if until is not None and until.is_settled:
                return
            with self.lock:
                self.batches.seal_due(self._monotonic_s() if only_due else None)
                taken = self.batches.take_sealed()
            if not taken:
                return
            try:
                self._append_round(taken)
            except BaseException as error:
                # Ctrl-C in the calling thread, or a bug: no caller may wait for these batches for ever.
                lost = StreamCoreError(
                    f"sending was interrupted; the record may or may not be written: {error!r}"
                )
                lost.__cause__ = error
                for batch in taken:
                    if batch.covered < len(batch.values):
                        batch.add_outcome(lost)
                raise
            finally:
                callbacks = self._settle(taken)
        _run_all(callbacks)

    def _append_round(self, batches: Sequence[PendingBatch]) -> None:
        waiting: list[tuple[PendingBatch, Acknowledgement]] = []
        for batch in batches:
            try:
                acknowledgement = self._append_columns(batch.partition, batch)
            except InvalidRecordError as error:
                self._append_halves(batch, 0, len(batch.values), error)
            except StreamCoreError as error:
                batch.add_outcome(error)
            else:
                waiting.append((batch, acknowledgement))
        for batch, acknowledgement in waiting:
            self._take_outcomes(batch, 0, len(batch.values), acknowledgement)

    def _take_outcomes(
        self, batch: PendingBatch, first: int, end: int, acknowledgement: Acknowledgement
    ) -> None:
        """Wait for the outcomes of the records ``[first, end)``; append refused parts again in halves."""
        try:
            outcomes = acknowledgement.outcomes()
        except StreamCoreError as error:
            batch.add_outcome(error, end)
            return
        start = first
        for length, outcome in outcomes:
            if isinstance(outcome, InvalidRecordError):
                self._append_halves(batch, start, first + length, outcome)
            else:
                batch.add_outcome(outcome, first + length)
            start = first + length

    def _append_halves(self, batch: PendingBatch, first: int, end: int, refusal: StreamCoreError) -> None:
        """Find the refused records of a piece that was refused as a whole; write the others."""
        if end - first == 1:
            batch.add_outcome(refusal, end)
            return
        middle = (first + end) // 2
        for low, high in ((first, middle), (middle, end)):
            try:
                acknowledgement = self._append_columns(batch.partition, batch.slice(low, high))
            except InvalidRecordError as error:
                self._append_halves(batch, low, high, error)
            except StreamCoreError as error:
                batch.add_outcome(error, high)
            else:
                self._take_outcomes(batch, low, high, acknowledgement)

    def _settle(self, batches: Sequence[PendingBatch]) -> list[Callable[[], None]]:
        """Release the bytes of batches whose outcomes are known; return the callbacks to run."""
        callbacks = [callback for batch in batches for callback in batch.settle()]
        with self.lock:
            self.batches.release(batches)
            for batch in batches:
                if batch.failure() is not None:
                    self.batches.forget_route(batch.partition.topic)
                    if len(self._failed) < _FAILED_BATCHES_MAX:
                        self._failed.append(batch)
            self._changed.notify_all()
        return callbacks

    def _run(self) -> None:
        """Run the sender thread: drain when a batch is due, until the producer is closed."""
        while True:
            with self.lock:
                while not self.is_closed and not self._is_hurried:
                    due_s = self.batches.due_s()
                    left_s = None if due_s is None else due_s - self._monotonic_s()
                    if left_s is not None and left_s <= 0:
                        break
                    self._changed.wait(left_s)
                if self.is_closed:
                    return
                only_due, self._is_hurried = not self._is_hurried, False
            try:
                self.drain(only_due=only_due)
            except Exception:
                # The top of a thread: the batches have their error, and later ones need the thread.
                _logger.exception("a round of sends failed unexpectedly")


def _run_all(callbacks: Iterable[Callable[[], None]]) -> None:
    for callback in callbacks:
        callback()
