"""Runs an application: ``Worker`` inside an event loop, ``run`` from anywhere else.

Both open the log in a folder, or one behind a broker, run the tasks, and answer queries of tables meanwhile.
State is in the folder in both cases.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from streamcore.clock import Clock, SystemClock
from streamcore.durations import duration_ms
from streamcore.errors import (
    ClosedError,
    RequestTimeoutError,
    UsageError,
    UserCodeError,
    fact_text,
    with_facts,
)
from streamcore.log.client.application_groups import worker_transactional_id
from streamcore.log.client.producer.pending import Sent, SentMany
from streamcore.log.connect import broker_place, connect, hold_folder
from streamcore.log.connected_log import ConnectedLog
from streamcore.model import Headers, Record
from streamcore.processing.runtime.collecting import COLLECTOR_PACE
from streamcore.processing.runtime.commit import Guarantee
from streamcore.processing.runtime.freshness import Freshness
from streamcore.processing.runtime.global_tables import Progress
from streamcore.processing.runtime.open_engines import EngineSource
from streamcore.processing.runtime.outside import AnyTable, AnyTopic, OutsideSender
from streamcore.processing.runtime.settings import WorkerSettings
from streamcore.processing.runtime.table_query import TableQuery, stores_of, table_query
from streamcore.processing.runtime.task_group import TaskGroup
from streamcore.processing.runtime.task_set import GLOBAL_TASK
from streamcore.processing.runtime.topics import topics_of
from streamcore.processing.runtime.worker import TaskWorker
from streamcore.processing.runtime.worker_presence import (
    CLIENT_PREFIX,
    alone_in_process,
    client_id_of,
    worker_name,
    worker_presence,
)
from streamcore.processing.topology.application import DeclaredApplication, ensure_application
from streamcore.processing.topology.nodes import StoreSpec
from streamcore.state.directory import StateDirectory
from streamcore.state.engine import KeyValueEngine
from streamcore.state.memory import MemoryEngine
from streamcore.state.position import Position

_logger = logging.getLogger(__name__)

DEFAULT_DATA = "streamcore-data"


class MemoryEngines:
    """Keeps state in memory only: each start replays the changelogs."""

    def open(self, app: str, task: str) -> KeyValueEngine:
        """Return an empty engine."""
        return MemoryEngine()


class _FolderOfSeveral:
    """The states in a folder that several workers share: each has its own copy of the global tables."""

    def __init__(self, directory: StateDirectory, worker: str) -> None:
        self._directory = directory
        self._worker = worker

    def open(self, app: str, task: str) -> KeyValueEngine:
        """Open the state of a task.

        Raises:
            DirectoryInUseError: another worker has it open.
        """
        return self._directory.open(app, f"{task}-{self._worker}" if task == GLOBAL_TASK else task)


class Worker:
    """A running application on the log of a folder or of a broker, inside an event loop.

    ``async with Worker(app, data="data") as worker:`` processes until the block ends. Tables may be
    read from any thread. An error that stops the processing is in ``failure``, and is raised by the waiting
    calls and at the end of the block.
    """

    def __init__(
        self,
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
        instance_id: str | None = None,
        shares_folder: str | None = None,
    ) -> None:
        """Prepare the worker; nothing is opened yet.

        Args:
            data: the folder of the log and the state.
            broker: ``HOST:PORT``, or ``kafka://HOST:PORT,…``: the log is there, the state in the folder.
            security: how to authenticate with the broker; see ``connect``.
            guarantee: ``"exactly-once"`` or ``"at-least-once"``.
            commit_interval: the longest time until results are committed and visible, while others arrive.
            state: where tables are kept; in memory they are restored from their changelogs at each start.
            durability: with ``"relaxed"`` a power cut may lose the last second.
            stop_timeout: how long events under way may take at a stop; then they are cancelled and left
                uncommitted.
            progress: called during a restore, with its subject, the amount done and the total.
            instance_id: of a worker of a broker: its name as a static member of the application's group. A
                worker that starts again with the same name within 10 s gets its tasks back, and no other
                worker's tasks move; the tasks of one that does not come back wait so long.
            shares_folder: the name of this worker among those that ``streamcore worker --workers`` runs on
                one folder; the process that runs them holds the folder.

        Raises:
            UsageError: ``app`` is not an application, or another argument is invalid.
        """
        ensure_application(app)
        if state not in ("rocksdb", "memory"):
            raise UsageError(f"state is 'rocksdb' or 'memory': {fact_text(state=repr(state))}")
        self.app = app
        if not isinstance(data, str | PathLike):
            raise UsageError(f"data= is the path of a folder: {fact_text(given=repr(data)[:80])}")
        self.data = Path(data)
        self.broker = None if broker is None else broker_place(broker)
        self._security = security
        self.guarantee = Guarantee.named(guarantee)
        self._settings = WorkerSettings(
            guarantee=self.guarantee.value,
            commit_interval_ms=duration_ms(commit_interval),
            may_lose_end=durability == "relaxed",
            stop_timeout_ms=duration_ms(stop_timeout),
        )
        if instance_id is not None and self.broker is None:
            raise UsageError(
                with_facts(
                    "a worker on its own folder shares no tasks: leave instance_id out", given=instance_id
                )
            )
        self._instance_id = instance_id
        self._address: str | None = None
        self.shared_name: str | None = None
        """The name of this worker among those that share the application's tasks; ``None`` if it runs all."""
        self._shares_folder = shares_folder
        self._state = state
        self._durability: Literal["durable", "relaxed"] = durability
        self._progress = progress
        self._clock: Clock = SystemClock()
        self._log: ConnectedLog | None = None
        self._tasks: TaskWorker | None = None
        self._outside: OutsideSender | None = None
        self._resources = contextlib.ExitStack()
        self._stopping = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    # -- running

    def announce(self, address: str) -> None:
        """Name the address at which other workers of the application reach this one's HTTP server.

        It has an effect before ``open`` only: the worker joins its group with the address.
        """
        self._address = address

    async def open(self) -> None:
        """Open the log and restore the state; process nothing yet.

        Raises:
            DirectoryInUseError: another process uses the folder.
            RequestTimeoutError: the broker does not answer.
            TopologyError: the declarations contradict each other, or the topics and tables in the log.
            UsageError: another worker runs the application, or the log lost records of its tables.
        """
        self._log = self.connect()
        self._resources.callback(self._log.close)
        try:
            has_state = self._state == "rocksdb"
            if self.broker is not None and has_state and self._shares_folder is None:
                self._resources.enter_context(hold_folder(self.data))
            self._resources.enter_context(
                alone_in_process(self.data, self.app.app_id, self._shares_folder or "")
            )
            self._resources.enter_context(COLLECTOR_PACE.held())
            group, transactional_id = None, None
            if self.broker is None:
                presence = worker_presence(self._log, self.app.app_id, self._clock)
                self._resources.callback(presence.close)
                await presence.claim()
            else:
                name = worker_name(self.data, self.app.app_id, has_state=has_state)
                if self._shares_folder is not None:
                    name = f"{name}-{self._shares_folder}"
                transactional_id = worker_transactional_id(self.app.app_id, name)
                self.shared_name = f"{CLIENT_PREFIX}{name}"
                group = TaskGroup(
                    self._log,
                    self.app.app_id,
                    self._clock,
                    client_id=client_id_of(self.shared_name, self._address),
                    instance_id=self._instance_id,
                )
            application = self.app.declared()
            tasks = TaskWorker(
                application,
                self._log,
                self._engines(),
                self._clock,
                self._settings,
                progress=self._progress,
                group=group,
                transactional_id=transactional_id,
            )
            self._resources.callback(tasks.release)
            await tasks.open_tasks()
            self._tasks = tasks
            self._outside = OutsideSender(self._log, topics_of(application))
            self._resources.callback(self._outside.close)
        except BaseException:
            self._resources.close()
            raise

    def _engines(self) -> EngineSource:
        if self._state == "memory":
            return MemoryEngines()
        directory = StateDirectory(self.data / "state")
        return directory if self._shares_folder is None else _FolderOfSeveral(directory, self._shares_folder)

    def connect(self) -> ConnectedLog:
        """Open a second connection to the worker's log, for tools; the caller closes it."""
        where = self.data if self.broker is None else self.broker
        return connect(where, durability=self._durability, security=self._security)

    def start(self, *, logs_failure: bool = True) -> None:
        """Start to process, in a task of the event loop.

        An error that ends the processing is logged with its traceback, unless the caller shows it.
        """
        self._running = asyncio.get_running_loop().create_task(self._process(logs_failure))

    async def _process(self, logs_failure: bool) -> None:
        try:
            await self.tasks.run(self._stopping)
        except asyncio.CancelledError:
            # No code here cancels this task: it is requested to stop, and then awaited.
            error = UserCodeError(
                "the worker was cancelled by the application's code; cancel only tasks that it has started: "
                + fact_text(app=self.app.app_id)
            )
            if logs_failure:
                self._log_failure(error)
            raise error from None
        except BaseException as error:
            if logs_failure:
                self._log_failure(error)
            raise

    def _log_failure(self, error: BaseException) -> None:
        _logger.error(
            "the application has stopped, nothing is processed any more: %s",
            fact_text(app=self.app.app_id, error=f"{type(error).__name__}: {error}"),
            exc_info=error,
        )

    async def run_until_end(
        self, *, close_windows: bool = False, is_stopped: Callable[[], bool] | None = None
    ) -> None:
        """Instead of ``start``: process all records, commit, and return.

        With ``close_windows`` the open windows are closed, because the input has ended.
        ``is_stopped`` is called between rounds; if true, the processing ends early.
        """
        await self.tasks.run_until_end(close_windows=close_windows, is_stopped=is_stopped)

    async def wait(self) -> None:
        """Wait until the processing ends; raise the error that stopped it."""
        if self._running is not None:
            await asyncio.wait((self._running,))
            self._running.result()

    async def stop(self) -> None:
        """Commit the work that is done and close. Raises the error that stopped the processing before, if
        any.
        """
        self._stopping.set()
        failure: BaseException | None = None
        try:
            await self.wait()
        except BaseException as error:  # noqa: BLE001 - raised again once everything is closed
            failure = error
        tasks, self._tasks = self._tasks, None
        try:
            if tasks is not None:
                await tasks.close()
        except UserCodeError as error:  # of a function that is called at the stop
            failure = failure or error
        finally:
            self._resources.close()
        if failure is not None:
            raise failure

    async def __aenter__(self) -> Self:
        await self.open()
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # -- looking at it

    @property
    def tasks(self) -> TaskWorker:
        """The task worker. Raises ``ClosedError`` before ``open`` and after ``stop``."""
        if self._tasks is None:
            raise ClosedError("the worker is not open")
        return self._tasks

    @property
    def log(self) -> ConnectedLog:
        """The worker's log."""
        if self._log is None:
            raise ClosedError("the worker is not open")
        return self._log

    @property
    def is_open(self) -> bool:
        """Whether tables can be read."""
        return self._tasks is not None

    def failure(self) -> BaseException | None:
        """The error that stopped the processing; ``None`` while it runs."""
        running = self._running
        if running is None or not running.done() or running.cancelled():
            return None
        return running.exception()

    def is_caught_up(self) -> bool:
        """Whether all records of the inputs are processed and committed. For the worker's thread only."""
        return self.tasks.is_caught_up()

    async def wait_until_caught_up(self, timeout: str | timedelta | int | None = None) -> None:
        """Wait until everything in the inputs is processed and committed.

        Raises:
            RequestTimeoutError: it takes longer than ``timeout``; without one, there is no bound.
            UserCodeError: and other errors that stopped the application.
        """
        deadline_s = None if timeout is None else time.monotonic() + duration_ms(timeout) / 1000
        while not self.is_caught_up():
            failure = self.failure()
            if failure is not None:
                raise failure
            if self._running is None or self._running.done():
                raise ClosedError("the worker does not process: start it, or it was stopped")
            if deadline_s is not None and time.monotonic() >= deadline_s:
                raise still_busy()
            await asyncio.sleep(0.005)

    def table_names(self) -> list[str]:
        """The tables of the application, sorted."""
        return sorted(store.name for store in stores_of(self.tasks.task_set))

    def table(self, table: AnyTable) -> TableQuery:
        """Return the query object of a table, given by its name or as declared.

        Raises:
            UsageError: the application has no such table.
        """
        return table_query(lambda: self.tasks.task_set, table, self._wait_for, lambda: self.is_open)

    # -- sending to it

    async def send(
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

        The record is not part of a commit. ``table.get(key, at_least=sent.position)`` waits until a table
        reflects it.

        Args:
            topic: as declared, or its name.
            value: of the topic's type; ``None`` is a tombstone.
            key: of the topic's type.
            at: the time of the record; now by default.
            partition: the partition; by default that of the key.
            headers: names and bytes, in order.

        Raises:
            ClosedError: the worker is not open.
            SerdeError: the key or the value is not of the topic's type.
            UsageError: the application has no such topic.
        """
        send = functools.partial(
            self.outside.send, topic, key=key, value=value, at=at, partition=partition, headers=headers
        )
        return await (await asyncio.to_thread(send))

    async def send_many(
        self, topic: AnyTopic, records: Iterable[Record[Any, Any] | tuple[Any, Any]]
    ) -> SentMany:
        """Write records, or pairs of key and value; return their offsets, once all are durable. Raises as
        ``send``.

        The records are iterated over in another thread.
        """
        return await (await asyncio.to_thread(self.outside.send_many, topic, records))

    @property
    def outside(self) -> OutsideSender:
        """The sender that does not wait. Raises ``ClosedError`` before ``open`` and after ``stop``."""
        if self._outside is None:
            raise ClosedError("the worker is not open")
        return self._outside

    def freshness(self, store: StoreSpec, position: Position) -> Freshness:
        """Return a check whether a store reflects a position, for callers with a different way to wait."""
        return Freshness(self.tasks.task_set, self.log, store, position)

    def _wait_for(self, store: StoreSpec, position: Position, timeout_ms: int) -> None:
        """Wait, in any thread but the worker's, until a store reflects a position."""
        freshness = self.freshness(store, position)
        deadline_s = time.monotonic() + timeout_ms / 1000
        while not freshness.is_reached():
            failure = self.failure()
            if failure is not None:
                raise failure
            if time.monotonic() >= deadline_s:
                raise RequestTimeoutError(
                    "the table does not reflect the position yet; wait longer, or look at the lag: "
                    + fact_text(table=store.name, position=position.to_text(), timeout_ms=timeout_ms)
                )
            time.sleep(0.005)


def still_busy() -> RequestTimeoutError:
    """Return the error for an application that has not caught up in the given time."""
    return RequestTimeoutError("the application is still busy; wait longer")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop of uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop
