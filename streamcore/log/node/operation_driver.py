"""Drives the broker's operations for the threads of one process.

This is the only lock of the embedded log. The lock is held while the broker decides and writes, and released
while a thread waits: for the disk, for other members of a group, or for off-lock work.

Group commit. The first thread that needs a sync becomes the leader of a round: it takes all partitions that
have unsynced bytes, syncs them without the lock, and wakes the other threads. Threads that arrive meanwhile
wait for the next round, which one of them leads. So any number of waiting threads costs one fsync per
partition and round, and a single thread never waits for another thread's round.

With one thread no call waits on a condition, so a simulation runs the same code.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Generic, Protocol, Self, TypeAlias, TypeVar

from msgspec import Struct

from streamcore.clock import Clock
from streamcore.errors import ClosedError, RequestTimeoutError, StorageError
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.operations import (
    Completed,
    DurableUntil,
    MoreVisible,
    OffLockWork,
    Operation,
    Unsynced,
    Wait,
)
from streamcore.log.node.sync_threads import SyncThreads
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.partition.sync_ticket import SyncTicket

R = TypeVar("R")

_WAIT_S_MAX = 3600.0


ProgressListener: TypeAlias = Callable[[Sequence[PartitionLog]], None]


class Ended(Struct, Generic[R], frozen=True):
    """An operation has returned its reply."""

    reply: R


class Timekeeper(Protocol):
    """The part of the broker that completes waiting requests as time passes."""

    def expire_members(self) -> None:
        """End the sessions and rebalances whose time is over."""

    def next_deadline_s(self) -> float:
        """Return the next such time, in seconds of the monotonic clock."""


class OperationDriver:
    """One lock, one condition, one round of fsyncs at a time."""

    def __init__(
        self,
        clock: Clock,
        unsynced: Unsynced,
        timekeeper: Timekeeper,
        *,
        shows_unsynced: bool = False,
        sync_threads: SyncThreads | None = None,
    ) -> None:
        """``shows_unsynced``: records are visible once written, so every operation may show records.

        Without ``sync_threads`` the partitions of a round are synced one after the other.
        """
        self._sync_threads = sync_threads or SyncThreads(1)
        self._clock = clock
        self._shows_unsynced = shows_unsynced
        self._unsynced = unsynced
        self._timekeeper = timekeeper
        self._condition = threading.Condition(threading.Lock())
        self._is_syncing = False
        self._is_closed = False
        self._listeners: dict[object, ProgressListener] = {}
        self._waiting_count = 0
        self._off_lock_count = 0

    # The lock, for calls that need no waiting: ``with driver: ...``

    def __enter__(self) -> Self:
        self._condition.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._condition.release()

    def run(self, operation: Operation[R], *, timeout_s: float | None = None) -> R:
        """Drive an operation to its reply.

        ``timeout_s`` bounds the wait for other threads' fsyncs; a round that this thread leads runs to its
        end.

        Raises:
            RequestTimeoutError: the operation did not complete within ``timeout_s``.
            StreamCoreError: the broker refused the operation; the class says how the caller should react.
        """
        deadline_s = None if timeout_s is None else self._clock.monotonic_s() + timeout_s
        try:
            with self._condition:
                try:
                    wait = next(operation)
                    while True:
                        failure = self._wait_for(wait, deadline_s)
                        wait = operation.send(None) if failure is None else operation.throw(failure)
                except StopIteration as stop:
                    reply: R = stop.value
                    return reply
                finally:
                    operation.close()
                    self._announce(self._shown_unsynced())
        except ApiError as refused:
            raise refused.error() from refused  # the cause has Kafka's name for it

    def step(self, operation: Operation[R], error: BaseException | None = None) -> Wait | Ended[R]:
        """Run an operation up to its next wait, for a caller that waits by itself.

        ``error`` is the reason why the wait before failed.

        Raises:
            StreamCoreError: the broker refused the operation; ``ApiError`` is not converted, for callers that
                use Kafka's names.
        """
        with self._condition:
            try:
                return operation.send(None) if error is None else operation.throw(error)
            except StopIteration as stop:
                return Ended(stop.value)
            finally:
                self._announce(self._shown_unsynced())

    def act(self, action: Callable[[], R]) -> R:
        """Call a function that does not wait, under the lock; return its result."""
        with self._condition:
            try:
                return action()
            finally:
                self._announce(self._shown_unsynced())

    def run_off_lock(self, wait: OffLockWork) -> None:
        """Run an operation's off-lock work. Raises the errors of the work."""
        with self._condition:
            self._begin_off_lock()
        try:
            wait.work()
        finally:
            with self._condition:
                self._end_off_lock()

    def expire_members(self) -> float:
        """End the sessions and rebalances whose time is over; return the next such time, in seconds.

        The time is on the clock's ``monotonic_s``; infinity means that none is pending. An operation that
        begins a session may bring an earlier time.
        """
        with self._condition:
            self._timekeeper.expire_members()
            self._announce(())
            return self._timekeeper.next_deadline_s()

    def sync_all(self) -> None:
        """Sync everything that was written so far."""
        with self._condition:
            logs = list(self._unsynced.logs.values())
            self._wait_durable(DurableUntil(tuple((log, log.offsets.log_end) for log in logs)))
            if self._shows_unsynced and not self._is_syncing:
                # No thread waits for visible records, but they must be synced within about a second.
                behind = [log for log in logs if log.has_unsynced]
                if behind:
                    self._sync_round(behind)

    def wait_until(self, is_true: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a condition holds that appending or syncing can change."""
        deadline_s = self._clock.monotonic_s() + timeout_s
        with self._condition:
            while not is_true():
                if self._is_closed:
                    raise ClosedError("the log was closed while waiting for it")
                if not self._wait(deadline_s - self._clock.monotonic_s()):
                    return is_true()
        return True

    def listen(self, owner: object, callback: ProgressListener | None) -> None:
        """Register a callback, which is called without the lock with the partitions that may show more
        records.
        """
        with self._condition:
            if callback is None:
                self._listeners.pop(owner, None)
            else:
                self._listeners[owner] = callback

    def close(self) -> None:
        """Sync everything and wake all waiting threads; they get ``ClosedError``."""
        try:
            self.sync_all()
        finally:
            with self._condition:
                self._is_closed = True
                self._condition.notify_all()
                while self._off_lock_count:
                    self._condition.wait()

    # --- waiting, with the lock held ----------------------------------------------------------

    def _wait_for(self, wait: Wait, deadline_s: float | None) -> Exception | None:
        """Wait; return the failure to throw into the operation."""
        # The waits of other operations may be over now, although this operation is not.
        self._announce(())
        match wait:
            case DurableUntil():
                self._wait_durable(wait, deadline_s)
            case Completed():
                self._wait_completed(wait)
            case OffLockWork():
                return self._run_unlocked(wait)
            case MoreVisible():
                raise AssertionError("threads wait for records by ``wait_until``")
        return None

    def _run_unlocked(self, wait: OffLockWork) -> Exception | None:
        self._begin_off_lock()
        self._condition.release()
        try:
            wait.work()
        except Exception as error:  # noqa: BLE001 - raised again, inside the operation
            return error
        finally:
            self._condition.acquire()
            self._end_off_lock()
        return None

    def _begin_off_lock(self) -> None:
        if self._is_closed:
            raise ClosedError("the log was closed")
        self._off_lock_count += 1

    def _end_off_lock(self) -> None:
        self._off_lock_count -= 1
        if self._is_closed:
            self._condition.notify_all()

    def _wait_durable(self, wait: DurableUntil, deadline_s: float | None = None) -> None:
        while missing := wait.missing(self._unsynced.deleted):
            if self._is_syncing:
                remaining_s = _WAIT_S_MAX if deadline_s is None else deadline_s - self._clock.monotonic_s()
                if not self._wait(remaining_s) and deadline_s is not None:
                    raise RequestTimeoutError("the records were not durable in time; wait again")
            elif not self._sync_round(missing):
                raise StorageError("records were written that no sync covers: reopen the log")

    def _wait_completed(self, wait: Completed) -> None:
        while not wait.promise.is_done:
            if self._is_closed:
                raise ClosedError("the log was closed while waiting for it")
            self._timekeeper.expire_members()
            now_s = self._clock.monotonic_s()
            if wait.promise.is_done or now_s >= wait.deadline_s:
                return
            until_s = min(wait.deadline_s, self._timekeeper.next_deadline_s())
            if not self._wait(until_s - now_s) and self._clock.monotonic_s() == now_s:
                return  # the clock stands still: in a simulation no other thread would complete the future

    def _wait(self, timeout_s: float) -> bool:
        if timeout_s <= 0:
            return False
        self._waiting_count += 1
        try:
            return self._condition.wait(min(timeout_s, _WAIT_S_MAX))
        finally:
            self._waiting_count -= 1

    def _sync_round(self, missing: list[PartitionLog]) -> bool:
        """Sync everything unsynced, without the lock meanwhile; return false if there was nothing.

        Raises:
            StorageError: one of the ``missing`` is given up, and will never be durable.
        """
        for log in missing:
            self._unsynced.add(log)  # if it has failed, ``begin_sync`` raises the error
        tickets: list[tuple[PartitionLog, SyncTicket]] = []
        failure: StorageError | None = None
        for log in self._unsynced.take():
            try:
                ticket = log.begin_sync()
            except StorageError as error:
                failure = error if log in missing else failure
                continue
            if ticket is not None:
                tickets.append((log, ticket))
        if tickets:
            self._sync_unlocked(tickets)
        if failure is not None:
            raise failure
        return bool(tickets)

    def _sync_unlocked(self, tickets: list[tuple[PartitionLog, SyncTicket]]) -> None:
        self._is_syncing = True
        self._condition.release()
        try:
            self._sync_threads.sync([ticket for _, ticket in tickets])
        finally:
            self._condition.acquire()
            self._is_syncing = False
            for log, ticket in tickets:
                if ticket.is_synced:
                    with suppress(StorageError):
                        log.complete_sync(ticket)
                elif log not in self._unsynced.deleted:
                    self._unsynced.add(log)
        self._announce([log for log, _ in tickets])

    def _shown_unsynced(self) -> Sequence[PartitionLog]:
        """Return the partitions that show more records since the last sync, if these need no sync."""
        return list(self._unsynced.logs.values()) if self._shows_unsynced and self._listeners else ()

    def _announce(self, progressed: Sequence[PartitionLog]) -> None:
        """Wake the waiting threads; call the listeners, without the lock, with the partitions that show
        more.
        """
        if self._waiting_count:
            self._condition.notify_all()
        if not progressed or not self._listeners:
            return
        callbacks = list(self._listeners.values())
        self._condition.release()
        try:
            for callback in callbacks:
                callback(progressed)
        finally:
            self._condition.acquire()
