"""Brings a producer's batches to the log: in order, in rounds, whoever does the work.

A round appends every batch that is due and waits once, so one fsync serves all of them. Whoever waits does
the work: a caller in ``result`` or ``flush`` runs the round itself, and the sender thread runs
those that nobody waits for. One thread at a time runs a round (the drain lock), so the order
within a partition is the order of sending; what is sent meanwhile goes with the next round.

Two locks, taken in this order: the drain lock (appending), then ``lock`` (the accumulator). Callbacks
run under neither, so they may send.
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
    """Where a round goes: the ``append_columns`` of the port's producer, or of its open transaction."""

    def __call__(
        self,
        partition: TopicPartition,
        columns: RecordColumns,
    ) -> Acknowledgement:
        """Append; see the port."""


class Sender:
    """The accumulator's other end. Safe to share between threads."""

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
        """Have the next rounds go somewhere else."""
        with self._drain_lock:
            self._append_columns = append_columns

    # --- for who adds, with the lock held --------------------------------------------------------

    def wait_for_room(self, size_bytes: int) -> None:
        """With ``lock`` held: wait until so many bytes may be added.

        Who finds nobody draining does it: a callback that sends must not wait for its own thread. A record
        larger than the buffer goes alone.

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
                raise ClosedError("the producer was closed while a send waited for room")

    def wake(self) -> None:
        """With ``lock`` held: have the sender thread look at the batches; the first call starts it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="streamcore-sender", daemon=True)
            self._thread.start()
        self.batches.has_news = False
        self._changed.notify_all()

    # --- for who waits --------------------------------------------------------------------------

    def hurry(self) -> None:
        """Have the sender thread drain now, without waiting for it."""
        with self.lock:
            self._is_hurried = True
            self.wake()

    def settle(self, batch: PendingBatch, timeout_s: float | None) -> None:
        """Bring a batch to its end: by this thread if it may take its time, else by the sender's.

        Raises:
            RequestTimeoutError: the time given was not enough; the batch is still on its way.
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
                    facts = fact_text(target=batch.target, timeout_s=timeout_s)
                    raise RequestTimeoutError(f"the record is still on its way; wait longer {facts}")
                self._changed.wait(left_s)

    def flush(self, timeout_s: float | None) -> None:
        """Bring everything added so far to its end. Raises ``RequestTimeoutError``."""
        with self.lock:
            self.batches.seal_due(None)
            newest = self.batches.newest_sealed
        if newest is not None and not newest.is_settled:
            self.settle(newest, timeout_s)

    def take_failures(self) -> list[PendingBatch]:
        """The batches that failed since the last call; many failures are cut short."""
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
        """Take nothing more; what was not flushed fails. Returns when the thread has ended."""
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
            until: do nothing if another thread has settled this one meanwhile.
            only_due: leave batches that are neither full nor have waited long enough.
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
                # Ctrl-C in a caller that lends its thread, or a bug: nobody may wait for these for ever.
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
                acknowledgement = self._append_columns(batch.target, batch)
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
        """Wait for what became of the records ``[first, end)``; what was refused is looked at closer."""
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
        """A run, or a piece of one, is refused as a whole: find the guilty records, write the innocent."""
        if end - first == 1:
            batch.add_outcome(refusal, end)
            return
        middle = (first + end) // 2
        for low, high in ((first, middle), (middle, end)):
            try:
                acknowledgement = self._append_columns(batch.target, batch.slice(low, high))
            except InvalidRecordError as error:
                self._append_halves(batch, low, high, error)
            except StreamCoreError as error:
                batch.add_outcome(error, high)
            else:
                self._take_outcomes(batch, low, high, acknowledgement)

    def _settle(self, batches: Sequence[PendingBatch]) -> list[Callable[[], None]]:
        """Give back the bytes of batches whose outcomes are known; return who wants to be called."""
        callbacks = [callback for batch in batches for callback in batch.settle()]
        with self.lock:
            self.batches.release(batches)
            for batch in batches:
                if batch.failure() is not None:
                    self.batches.forget_route(batch.target.topic)
                    if len(self._failed) < _FAILED_BATCHES_MAX:
                        self._failed.append(batch)
            self._changed.notify_all()
        return callbacks

    def _run(self) -> None:
        """The sender thread: drains when something is due, until the producer is closed."""
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
                # The top of a thread: the batches have their error already, later ones want a sender.
                _logger.exception("a round of sends failed unexpectedly")


def _run_all(callbacks: Iterable[Callable[[], None]]) -> None:
    for callback in callbacks:
        callback()
