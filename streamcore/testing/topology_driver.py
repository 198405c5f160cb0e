"""Run an application in a test, without files, ports and waiting.

The application runs on the real log over a simulated disk, with state in memory and a clock that only
``advance`` moves. Everything that was sent is processed before anything is read, so tests need no sleeps.
``crash`` loses what is not durable and starts the application again.

A driver works inside a running event loop too, in a notebook or in an ``async`` test: the application then
runs in a thread, and each call blocks the caller's loop until it returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from streamcore.clock import ManualClock
from streamcore.durations import duration_ms, time_ms
from streamcore.errors import StreamCoreError, UsageError, with_facts
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.model import Headers, Isolation, Record, RecordColumns, TopicPartition
from streamcore.processing.dsl.app import App
from streamcore.processing.dsl.topic import Topic
from streamcore.processing.runtime.commit import Guarantee
from streamcore.processing.runtime.outside import AnyTable
from streamcore.processing.runtime.settings import AHEAD_MS, WorkerSettings
from streamcore.processing.runtime.table_query import TableQuery, table_query
from streamcore.processing.runtime.topics import topics_of
from streamcore.processing.runtime.worker import TaskWorker
from streamcore.processing.topology.application import ensure_application
from streamcore.processing.topology.nodes import StoreSpec, TopicSpec
from streamcore.processing.topology.times import given_time_ms
from streamcore.state.engine import KeyValueEngine
from streamcore.state.memory import MemoryEngine
from streamcore.state.position import Position
from streamcore.testing.sim_disk import PowerCut, SimDisk

P = ParamSpec("P")
R = TypeVar("R")

_FOLDER = Path("/driver")


class TopologyDriver:
    """Sends records to an application and reads its results.

    ``seed`` decides what a crash leaves of what is not durable. ``slice_records_max`` limits the records of a
    batch: with 1, each event is a batch. ``fetch_bytes_max`` limits what one fetch reads of a partition; a
    batch that was sent as one is not cut. ``disk`` can be filled or made to fail.

    The clock starts at ``now``, by default at 1970. With ``now``, an event time that is more than a day ahead
    of the clock moves no stream time, as in a worker; without it any time does.
    """

    def __init__(
        self,
        app: App,
        *,
        seed: int = 0,
        now: datetime | str | int | None = None,
        guarantee: str | Guarantee = "exactly-once",
        slice_records_max: int = 65_536,
        fetch_bytes_max: int = 1 << 20,
    ) -> None:
        ensure_application(app)
        self.app = app
        self.clock = ManualClock(0 if now is None else time_ms(now))
        self._has_clock = now is not None
        self.disk = SimDisk(seed, clock=self.clock)
        self._engines = _Engines(Random(seed))
        self._guarantee = Guarantee.named(guarantee)
        self._slice_records_max = slice_records_max
        self._fetch_bytes_max = fetch_bytes_max
        self._work = _Work()
        self._read: dict[TopicPartition, int] = {}
        self._log: EmbeddedLog
        self._worker: TaskWorker
        self._topics: dict[str, TopicSpec]
        self._is_open = False
        self._crash_at: int | None = None
        self._failure: StreamCoreError | None = None
        self._shows_committed = True
        try:
            self._start()
        except BaseException:
            self._work.close()
            raise

    # -- feeding

    def send(
        self,
        topic: Topic[Any, Any] | str,
        *,
        value: Any,
        key: Any = None,
        at: datetime | str | int | None = None,
        partition: int | None = None,
        headers: Headers = (),
    ) -> None:
        """Write a record to a topic. ``at`` is its time; by default the driver's clock.

        Raises:
            InvalidTimestampError: the time is before 1970 or after the year 9999.
            InvalidRecordError: the headers are not pairs of text and bytes.
        """
        timestamp_ms = self.clock.now_ms() if at is None else given_time_ms(at)
        record = Record(key, value, timestamp_ms, headers, partition=-1 if partition is None else partition)
        self._worker.sender.send(self._spec(topic), [record])

    def send_bytes(
        self,
        topic: Topic[Any, Any] | str,
        *,
        value: bytes | None,
        key: bytes | None = None,
        at: datetime | str | int | None = None,
        partition: int = 0,
    ) -> None:
        """Write a record as bytes, for tests with input that does not decode.

        Any time can be written, as by a client: ``at=-1`` is a record without a time.
        """
        timestamp_ms = self.clock.now_ms() if at is None else time_ms(at)
        to_partition = TopicPartition(self._spec(topic).name, partition)
        self._log.producer_port().append_columns(
            to_partition, RecordColumns([key], [value], [timestamp_ms])
        ).result()

    def advance(self, duration: str | timedelta | int) -> None:
        """Process what was sent, then move the clock, and with it timers, cron entries and idle inputs."""
        self.process()
        until_ms = self.clock.now_ms() + duration_ms(duration)
        while True:
            dues = [due for due in (self._worker.next_due_ms(),) if due is not None and due <= until_ms]
            if not dues:
                break
            self.clock.advance(max(0, min(dues) - self.clock.now_ms()))
            self._do(self._timers())
            self.process()
        self.clock.advance(until_ms - self.clock.now_ms())
        self._do(self._timers())
        self.process()

    def process(self) -> None:
        """Process everything that was sent, and commit it. Reading does this first.

        An application that failed is stopped: this method raises the error again, while ``read`` and
        ``table`` return what was committed. ``crash`` starts the application again.

        Raises:
            UserCodeError: by the error policy of the step that failed.
        """
        if self._failure is not None:
            raise self._failure
        self._run_until_end(close_windows=False)

    def close_windows(self) -> None:
        """Close the open windows, because the input has ended."""
        if self._failure is not None:
            raise self._failure
        self._run_until_end(close_windows=True)

    # -- looking

    def read(self, topic: Topic[Any, Any] | str) -> list[Record[Any, Any]]:
        """Return the committed records of a topic since the last ``read``, partition after partition."""
        if self._failure is None:
            self.process()
        spec = self._spec(topic)
        reader = self._log.reader(isolation=Isolation.READ_COMMITTED)
        found: list[Record[Any, Any]] = []
        for number in range(self._log.topics()[spec.name].partition_count):
            source = TopicPartition(spec.name, number)
            reader.assign({source: self._read.get(source, 0)})
            while (run := reader.fetch(source, bytes_max=1 << 20)) is not None:
                found += [_decoded(record, spec) for record in run.records()]
                self._read[source] = run.next_offset
        reader.close()
        return found

    def table(self, table: AnyTable) -> TableQuery:
        """Return a table of the application, by its name or its declaration, as of everything sent.

        Raises:
            UsageError: the application has no such table.
        """
        self._process_or_recover()
        return table_query(lambda: self._worker.task_set, table, self._processed, lambda: True)

    @property
    def late_count(self) -> int:
        """The number of records that arrived after their windows had closed, since the last start."""
        return sum(self._worker.late_counts.values())

    # -- faults

    def crash(self) -> None:
        """Lose everything that is not durable, as a power cut does, and start again.

        Records that were sent but not processed are in the log, and are processed after the restart. The seed
        decides for each task whether its state is kept or lost; lost state is restored from the changelogs.
        """
        self._is_open = False
        self._do(self._worker.abandon())
        self.disk.crash()
        self._engines.crash()
        self._start()

    def crash_at(self, operation_count: int) -> None:
        """Crash while the application works, at the n-th operation on its files from now on.

        The application then starts again and continues; if it needs fewer operations, nothing happens.
        """
        assert operation_count >= 1
        self._crash_at = operation_count

    def close(self) -> None:
        """Stop the application. The driver cannot be used any more."""
        if self._is_open:
            self._is_open = False
            self._do(self._worker.close())
            self._log.close()
        self._work.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- within

    def _start(self) -> None:
        self._log = EmbeddedLog.open(
            _FOLDER,
            clock=self.clock,
            file_system=self.disk,
            # The events of a test may have any time, whatever the driver's clock says.
            topic_defaults={"message.timestamp.after.max.ms": str(2**63 - 1), "retention.ms": "-1"},
            maintenance=False,
        )
        self._failure = None
        self._worker = self._do(self._made_worker())
        self._is_open = True

    async def _made_worker(self) -> TaskWorker:
        settings = WorkerSettings(
            guarantee=self._guarantee.value,
            slice_records_start=min(256, self._slice_records_max),
            slice_records_max=self._slice_records_max,
            fetch_bytes_max=self._fetch_bytes_max,
            ahead_ms=AHEAD_MS if self._has_clock else None,
        )
        application = self.app.declared()
        self._topics = topics_of(application)
        return TaskWorker(
            application, self._log, self._engines, self.clock, settings, wait_ms=self.clock.advance
        )

    def _run_until_end(self, *, close_windows: bool) -> None:
        operation_count, self._crash_at = self._crash_at, None
        self.disk.crash_at(operation_count)
        try:
            self._do(self._worker.run_until_end(close_windows=close_windows, input_ends=close_windows))
        except PowerCut:
            self.crash()
            self._do(self._worker.run_until_end(close_windows=close_windows, input_ends=close_windows))
        except StreamCoreError as error:
            self._stop_after(error)
            raise
        finally:
            self.disk.crash_at(None)

    def _stop_after(self, error: StreamCoreError) -> None:
        """Process nothing more; the next call forgets what is not committed."""
        self._do(self._worker.abandon())
        self._failure = error
        self._shows_committed = False

    def _process_or_recover(self) -> None:
        if self._failure is None:
            self.process()
        elif not self._shows_committed:
            self._worker = self._do(self._made_worker())
            self._shows_committed = True

    async def _timers(self) -> None:
        self._worker.timers.start_due(self.clock.now_ms())
        await self._worker.timers.wait()

    def _do(self, work: Coroutine[Any, Any, R]) -> R:
        return self._work.run(work)

    def _processed(self, store: StoreSpec, position: Position, timeout_ms: int) -> None:
        """Do not wait: everything is processed before a table is returned."""

    def _spec(self, topic: Topic[Any, Any] | str) -> TopicSpec:
        if not isinstance(topic, str):
            return topic.spec
        found = self._topics.get(topic)
        if found is None:
            raise UsageError(with_facts("the application has no such topic", topic=topic))
        return found


class _Work:
    """Runs coroutines in an event loop of its own, whether or not the caller is in a running loop."""

    def __init__(self) -> None:
        # With a factory, the runner does not change the event loop of the caller's thread.
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._runner.get_loop()
        self._thread: ThreadPoolExecutor | None = None

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Return what the coroutine returns."""
        return self._outside_of_loops(self._runner.run, work)

    def close(self) -> None:
        """Close the loop."""
        self._outside_of_loops(self._runner.close)
        if self._thread is not None:
            self._thread.shutdown()

    def _outside_of_loops(self, call: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Call a function in this thread, or in another one if this thread runs a loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return call(*arguments, **named)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="streamcore-driver")
        return self._thread.submit(call, *arguments, **named).result()


class _Engines:
    """The states of tasks, in memory. A crash keeps or loses each of them completely."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._engines: dict[str, MemoryEngine] = {}

    def open(self, app: str, task: str) -> KeyValueEngine:
        """Return the state of a task, as the last crash left it."""
        return self._engines.setdefault(task, MemoryEngine())

    def crash(self) -> None:
        """Lose some states."""
        self._engines = {
            task: engine for task, engine in self._engines.items() if self._random.random() < 0.5
        }


def _decoded(record: Record[bytes | None, bytes | None], spec: TopicSpec) -> Record[Any, Any]:
    return Record(
        None if record.key is None else spec.key_serde.decode(record.key),
        None if record.value is None else spec.value_serde.decode(record.value),
        record.timestamp_ms,
        record.headers,
        record.topic,
        record.partition,
        record.offset,
    )
