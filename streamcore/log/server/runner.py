"""Drives the broker's operations from an event loop: the counterpart of the threads' ``OperationDriver``.

An operation is stepped under the driver's lock, as in a thread. Where it waits, the loop does not block: the
operation is suspended, and resumed when what it waits for has happened.

* The disk: a sync thread runs a round whenever something was written, one for all operations that wait by
  then. After each round, also of other threads, operations that wait for a sync or for records are checked.
* A future: its completion resumes the operation.
* Time: a timer of the loop.
* Off-lock work: a few threads.

All methods run in the loop, except ``_sync`` and ``_progressed``.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Container, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

from streamcore.clock import Clock
from streamcore.errors import StorageError
from streamcore.log.broker.operations import (
    Completed,
    DurableUntil,
    MoreVisible,
    OffLockWork,
    Operation,
    Unsynced,
    Wait,
)
from streamcore.log.node.operation_driver import Ended, OperationDriver
from streamcore.log.storage.partition.partition_log import PartitionLog

_logger = logging.getLogger(__name__)

R = TypeVar("R")

_TICK_S: Final = 0.05
"""The time between two looks at the deadlines of groups, in seconds.

If a deadline comes before the next look, the next look is at that deadline. So the runner is late only for a
deadline that was set less than this time ahead, and by this time at most.
"""
_TICK_S_MIN: Final = 0.001
"""The least time between two looks, in seconds: after a failed look the deadline is still in the past."""

_WORKER_THREADS: Final = 2


class Running(Generic[R]):
    """An operation under way; ``cancel`` it when its reply is not needed any more."""

    __slots__ = ("_runner", "done", "failed", "is_over", "is_wanted", "operation", "timer", "wait")

    def __init__(
        self,
        runner: OperationRunner,
        operation: Operation[R],
        done: Callable[[R], None],
        failed: Callable[[Exception], None],
    ) -> None:
        self._runner = runner
        self.operation = operation
        self.done = done
        self.failed = failed
        self.wait: Wait | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.is_over = False
        self.is_wanted = True

    def cancel(self) -> None:
        """Stop the operation where it waits; off-lock work that has begun is completed first."""
        self.is_wanted = False
        if not self.is_over and not isinstance(self.wait, OffLockWork):
            self.is_over = True
            self._runner.take_back(self)
            self.operation.close()


class OperationRunner:
    """All operations that are under way."""

    def __init__(
        self, driver: OperationDriver, unsynced: Unsynced, clock: Clock, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._driver = driver
        self._unsynced = unsynced
        self._clock = clock
        self._loop = loop
        self._for_disk: dict[Running[Any], DurableUntil] = {}
        self._for_records: dict[PartitionLog, set[Running[Any]]] = {}
        self._sync_requests: SimpleQueue[bool] = SimpleQueue()
        self._is_sync_asked = False
        self._is_syncing = False
        self.before_sync: Callable[[], None] | None = None
        """Called in the loop before a round of syncs that follows another."""
        self._thread = threading.Thread(target=self._sync, name="streamcore-server-sync", daemon=True)
        self._workers = ThreadPoolExecutor(_WORKER_THREADS, thread_name_prefix="streamcore-server-work")
        self._news_lock = threading.Lock()
        self._news: set[PartitionLog] | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self.on_progress: Callable[[Container[PartitionLog]], None] | None = None
        """Called in the loop after each round of syncs, with the partitions that were deleted."""

    def start(self) -> None:
        """Start the sync thread, the listener for progress, and the timer for deadlines."""
        self._driver.listen(self, self._progressed)
        self._thread.start()
        self._tick()

    def stop(self) -> None:
        """End the threads, after the work under way; waiting operations are not resumed."""
        if self._ticking is not None:
            self._ticking.cancel()
        self._driver.listen(self, None)
        self._sync_requests.put(False)
        self._thread.join()
        self._workers.shutdown()

    def run(
        self, operation: Operation[R], done: Callable[[R], None], failed: Callable[[Exception], None]
    ) -> Running[R]:
        """Drive an operation; ``done`` gets its reply, perhaps before this returns."""
        running = Running(self, operation, done, failed)
        self._go_on(running)
        return running

    # --- stepping and putting aside -------------------------------------------------------------

    def _go_on(self, running: Running[R], error: BaseException | None = None) -> None:
        try:
            while True:
                step = self._driver.step(running.operation, error)
                if isinstance(step, Ended):
                    break
                if not running.is_wanted and not isinstance(step, OffLockWork):
                    running.is_over = True
                    running.operation.close()
                    return
                if self._put_aside(running, step):
                    return
                error = None
        except Exception as failure:  # noqa: BLE001 - the connection decides what becomes of it
            running.is_over = True
            if running.is_wanted:
                running.failed(failure)
            return
        running.is_over = True
        if running.is_wanted:
            running.done(step.reply)

    def _put_aside(self, running: Running[Any], wait: Wait) -> bool:
        """Register what an operation waits for; return false if it has happened already."""
        match wait:
            case DurableUntil():
                if not wait.missing(self._unsynced.deleted):
                    return False
                self._for_disk[running] = wait
                self.ask_sync()
            case Completed():
                with self._driver:
                    if wait.promise.is_done:
                        return False
                    wait.promise.listeners[running] = lambda: self._wake_from_any_thread(running)
                self._set_timer(running, wait.deadline_s)
            case MoreVisible():
                for log in wait.logs:
                    self._for_records.setdefault(log, set()).add(running)
                self._set_timer(running, wait.deadline_s)
            case OffLockWork():
                work = self._workers.submit(self._driver.run_off_lock, wait)
                work.add_done_callback(lambda done: self._ran_off_lock(running, done))
        running.wait = wait
        return True

    def take_back(self, running: Running[Any]) -> None:
        """Cancel the registration of an operation's wait."""
        wait, running.wait = running.wait, None
        if running.timer is not None:
            running.timer.cancel()
            running.timer = None
        match wait:
            case DurableUntil():
                self._for_disk.pop(running, None)
            case Completed():
                wait.promise.listeners.pop(running, None)
            case OffLockWork() | None:
                pass
            case MoreVisible():
                for log in wait.logs:
                    waiting = self._for_records.get(log)
                    if waiting is not None:
                        waiting.discard(running)
                        if not waiting:
                            del self._for_records[log]

    def _ran_off_lock(self, running: Running[Any], done: Future[None]) -> None:
        """Resume an operation after its off-lock work; called in the thread of the work."""
        with suppress(RuntimeError):  # the loop has ended: no connection is left to answer
            self._loop.call_soon_threadsafe(self._wake, running, done.exception())

    def _wake(self, running: Running[Any], error: BaseException | None = None) -> None:
        if not running.is_over and running.wait is not None:
            self.take_back(running)
            self._go_on(running, error)

    def _wake_from_any_thread(self, running: Running[Any]) -> None:
        self._loop.call_soon_threadsafe(self._wake, running)

    def _set_timer(self, running: Running[Any], deadline_s: float) -> None:
        if deadline_s != float("inf"):
            delay_s = max(0.0, deadline_s - self._clock.monotonic_s())
            running.timer = self._loop.call_later(delay_s, self._wake, running)

    # --- progress -------------------------------------------------------------------------------

    def ask_sync(self) -> None:
        """Start a sync of everything written, or another one after the present round."""
        if self._is_syncing:
            self._is_sync_asked = True
        else:
            self._is_syncing = True
            self._sync_requests.put(True)

    def _end_sync(self) -> None:
        """Begin the next round in the next turn: clients that were just answered may have sent more."""
        if self._is_sync_asked:
            self._loop.call_soon(self._begin_next_sync)
        else:
            self._is_syncing = False

    def _begin_next_sync(self) -> None:
        if self.before_sync is not None:
            self.before_sync()
        self._is_sync_asked = False
        self._sync_requests.put(True)

    def _sync(self) -> None:
        """Run the sync thread: one round for each request in the queue."""
        while self._sync_requests.get():
            try:
                self._driver.sync_all()
            except StorageError:
                self._progressed(())  # the partition has the failure; operations that wait for it must get it
            except Exception:
                _logger.exception("a sync has failed; the next request tries it again")
                self._progressed(())
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._end_sync)

    def _progressed(self, logs: Iterable[PartitionLog]) -> None:
        """Report partitions that were synced or show more; called in any thread."""
        with self._news_lock:
            if self._news is not None:
                self._news.update(logs)
                return
            self._news = set(logs)
        self._loop.call_soon_threadsafe(self._take_news)

    def _take_news(self) -> None:
        with self._news_lock:
            news, self._news = self._news, None
        if self.on_progress is not None:
            self.on_progress(self._unsynced.deleted)
        for running, wait in list(self._for_disk.items()):
            if not wait.missing(self._unsynced.deleted):
                self._wake(running)
            elif (failure := wait.failure()) is not None:
                self._wake(running, failure)
        for log in news or ():
            for running in list(self._for_records.get(log, ())):
                self._wake(running)

    def _tick(self) -> None:
        delay_s = _TICK_S
        try:
            next_s = self._driver.expire_members()
            delay_s = min(_TICK_S, max(_TICK_S_MIN, next_s - self._clock.monotonic_s()))
        finally:
            self._ticking = self._loop.call_later(delay_s, self._tick)
