"""Runs an application in a separate thread: ``sc.run``."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from streamcore.durations import duration_ms
from streamcore.errors import (
    ClosedError,
    RequestTimeoutError,
    UserCodeError,
)
from streamcore.log.client.producer.pending import Sent, SentMany
from streamcore.log.connected_log import ConnectedLog
from streamcore.model import Headers, Record
from streamcore.processing.runtime.commit import Guarantee
from streamcore.processing.runtime.global_tables import Progress
from streamcore.processing.runtime.outside import AnyTable, AnyTopic
from streamcore.processing.runtime.running import DEFAULT_DATA, Worker, new_event_loop, still_busy
from streamcore.processing.runtime.table_query import TableQuery
from streamcore.processing.topology.application import DeclaredApplication


class Running:
    """An application that runs in a separate thread; created by ``run``."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._loop = new_event_loop()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"streamcore-{worker.app.app_id}", daemon=True)
        self._opened = threading.Event()
        self._thread.start()
        self._opened.wait()
        if not worker.is_open:
            self._thread.join()
            self._raise_failure()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._work())
        except asyncio.CancelledError as error:
            self._error = UserCodeError("the worker was cancelled by the application's code")
            self._error.__cause__ = error
        except BaseException as error:  # noqa: BLE001 - the top of a thread; raised again to the caller
            self._error = error
        finally:
            self._ended.set()
            self._opened.set()

    async def _work(self) -> None:
        await self._worker.open()
        try:
            self._worker.start()
            self._opened.set()
            await self._worker.wait()
        finally:
            await self._worker.stop()

    def __repr__(self) -> str:
        state = "failed" if self.failure is not None else "stopped" if self._ended.is_set() else "running"
        return f"<Running {self._worker.app.app_id!r} {state}>"

    @property
    def failure(self) -> BaseException | None:
        """The error that stopped the application; ``None`` while it runs, and after an orderly stop."""
        if self._error is not None:
            return self._error
        return self._worker.failure()

    def wait(self, timeout: str | timedelta | int | None = None) -> None:
        """Wait until the application ends; return if it was stopped in order.

        Raises:
            RequestTimeoutError: the application runs longer than ``timeout``; without one, there is no bound.
            UserCodeError: and other errors that stopped the application.
        """
        if not self._ended.wait(None if timeout is None else duration_ms(timeout) / 1000):
            raise RequestTimeoutError("the application still runs")
        self._raise_failure()

    @property
    def log(self) -> ConnectedLog:
        """The application's log: to produce to and to read from."""
        self._ensure_going()
        return self._worker.log

    def table(self, table: AnyTable) -> TableQuery:
        """Return the query object of a table, given by its name or as declared.

        Raises:
            UsageError: the application has no such table.
        """
        self._ensure_going()
        return self._worker.table(table)

    def send(
        self,
        topic: AnyTopic,
        *,
        value: Any,
        key: Any = None,
        at: datetime | str | int | None = None,
        partition: int | None = None,
        headers: Headers = (),
    ) -> Sent:
        """Write a record to a topic of the application; return its partition and offset, once it is durable.

        ``table.get(key, at_least=sent.position)`` waits until a table reflects it. For the arguments and the
        errors see ``Worker.send``.
        """
        self._ensure_going()
        return self._worker.outside.send(
            topic, key=key, value=value, at=at, partition=partition, headers=headers
        ).result()

    def send_many(self, topic: AnyTopic, records: Iterable[Record[Any, Any] | tuple[Any, Any]]) -> SentMany:
        """Write records, or pairs of key and value; return their offsets, once all are durable.

        Raises like ``send``; records before the refused one may be written.
        """
        self._ensure_going()
        return self._worker.outside.send_many(topic, records).result()

    def table_names(self) -> list[str]:
        """The tables of the application, sorted."""
        self._ensure_going()
        return self._worker.table_names()

    def wait_until_caught_up(self, timeout: str | timedelta | int | None = None) -> None:
        """Wait until everything in the inputs is processed and committed.

        Raises:
            RequestTimeoutError: it takes longer than ``timeout``; without one, there is no bound.
            UserCodeError: and other errors that stopped the application.
        """
        deadline_s = None if timeout is None else time.monotonic() + duration_ms(timeout) / 1000
        while not self._is_caught_up():
            if self._ended.wait(0.005):
                self._raise_failure()
                raise ClosedError("the application has stopped")
            if deadline_s is not None and time.monotonic() >= deadline_s:
                raise still_busy()

    def _is_caught_up(self) -> bool:
        self._raise_failure()
        caught_up: bool = False
        asked = threading.Event()

        def ask() -> None:
            nonlocal caught_up
            with contextlib.suppress(ClosedError):
                caught_up = self._worker.is_caught_up()
            asked.set()

        try:
            self._loop.call_soon_threadsafe(ask)
        except RuntimeError:  # the loop has ended; the failure or the end shows at the next look
            return False
        while not asked.wait(0.05):
            if self._ended.is_set():
                return False
        return caught_up

    def stop(self) -> None:
        """Commit the work that is done and stop. Raises the error that stopped the application before, if
        any.
        """
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._worker._stopping.set)
        self._thread.join()
        self._raise_failure()

    def _raise_failure(self) -> None:
        failure = self.failure
        if failure is not None:
            raise failure

    def _ensure_going(self) -> None:
        failure = self.failure
        if failure is not None:
            raise ClosedError(f"the application has stopped by a failure: {failure}") from failure


def run(
    app: DeclaredApplication,
    *,
    data: Path | str = DEFAULT_DATA,
    broker: str | None = None,
    security: Mapping[str, str] | None = None,
    guarantee: str | Guarantee = "exactly-once",
    commit_interval: str | timedelta | int = "100ms",
    state: Literal["rocksdb", "memory"] = "rocksdb",
    durability: Literal["durable", "relaxed"] = "durable",
    stop_timeout: str | timedelta | int = "10s",
    progress: Progress | None = None,
) -> AbstractContextManager[Running]:
    """Run an application in a thread while the block lasts; see ``Worker`` for the arguments.

    A failure of the application is logged as an error; it is the cause of the errors that its log and
    tables raise from then on.

    Raises:
        UsageError: ``app`` is not an application, or another argument is invalid; at the call.
        UserCodeError: and any other error that stopped the application, at the end of the block at the
        latest.
    """
    worker = Worker(
        app,
        data=data,
        broker=broker,
        security=security,
        guarantee=guarantee,
        commit_interval=commit_interval,
        state=state,
        durability=durability,
        stop_timeout=stop_timeout,
        progress=progress,
    )
    return _running(worker)


@contextmanager
def _running(worker: Worker) -> Iterator[Running]:
    running = Running(worker)
    try:
        yield running
    except BaseException as error:
        with contextlib.suppress(Exception):
            running.stop()
        failure = running.failure
        if isinstance(error, ClosedError) and error.__cause__ is None and failure is not None:
            error.__cause__ = failure
        raise
    running.stop()
