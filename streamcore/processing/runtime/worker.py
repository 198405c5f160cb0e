"""A worker: fetches, runs its tasks lowest timestamp first, commits, and starts again. One thread.

A round takes from every partition what comes before the first thing not known yet: each partition
offers what was fetched of it, and the round ends at the lowest of their ends. So records meet in the
order of event time, in batches as large as what was fetched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from streamcore.clock import Clock
from streamcore.errors import OffsetOutOfRangeError, RetriableError, UsageError, fact_text
from streamcore.log.client.port import Log
from streamcore.model import Isolation, Offset, TopicPartition
from streamcore.processing.context import TaskTable
from streamcore.processing.dsl.app import App
from streamcore.processing.runtime.assembly import Assembly, EngineSource, assemble
from streamcore.processing.runtime.commit import Guarantee, commit
from streamcore.processing.runtime.global_tables import Progress
from streamcore.processing.runtime.idle import IdleTime
from streamcore.processing.runtime.inputs import InputBuffer, warn_of_gap
from streamcore.processing.runtime.sending import DirectSender
from streamcore.processing.runtime.settings import WorkerSettings
from streamcore.processing.runtime.timers import Timers
from streamcore.processing.topology.nodes import StoreSpec

_logger = logging.getLogger(__name__)

_IDLE_WAIT_S = 0.5
_FETCH_BYTES_MIN = 16 << 10


class TaskWorker:
    """Runs all tasks of an application on a log. For one thread and its event loop.

    ``start``, then ``step`` again and again; ``commit`` when due; ``close`` at the end, which does not
    commit. ``Worker`` in ``running.py`` is the same for users, with a log and folders of its own.
    """

    def __init__(
        self,
        app: App,
        log: Log,
        engines: EngineSource,
        clock: Clock,
        settings: WorkerSettings,
        *,
        progress: Progress | None = None,
    ) -> None:
        self.app = app
        self.settings = settings
        self.guarantee = Guarantee.named(settings.guarantee)
        self._log = log
        self._clock = clock
        self._producer = log.producer_port(transactional_id=f"{app.app_id}-worker")
        self._plain_producer = log.producer_port()
        self._reader = log.reader(isolation=Isolation.READ_COMMITTED)
        self.assembly: Assembly = assemble(
            app, log, engines, clock, wait_ms=settings.wait_ms, progress=progress
        )
        self._buffers = [(state, buffer) for state in self.assembly.states for buffer in state.task.inputs]
        for rank, (_, buffer) in enumerate(self._buffers):
            buffer.rank = rank
        self._reader.assign({buffer.source: buffer.position for _, buffer in self._buffers})
        self._sender = DirectSender(self._plain_producer, self.assembly.counts, clock)
        self._idle = IdleTime(self.assembly.states, clock.now_ms())
        self.timers = Timers(app.timers, self, clock.now_ms())
        self._last_commit_ms = self._last_purge_ms = clock.now_ms()
        self._repartition_topics = {topic.name for topic in self.assembly.plan.topics if topic.internal}
        share_bytes = settings.buffered_bytes_max // max(1, len(self._buffers))
        self._fetch_bytes = min(settings.fetch_bytes_max, max(_FETCH_BYTES_MIN, share_bytes))
        self._slice_records = settings.slice_records_start
        self._has_failed_to_purge = False
        self.commit_count = 0
        self._written: dict[TopicPartition, Offset] = {}
        """Where what this worker has written ends. A broker may show it a moment after the commit."""

    # -- what timers may use

    @property
    def sender(self) -> DirectSender:
        """Where the sends of timers and commands go: to the log at once, durable when they return."""
        return self._sender

    @property
    def event_time_ms(self) -> None:
        """Timers have no event at hand."""

    def table(self, store: StoreSpec) -> TaskTable:
        """Timers belong to no task, so they have no table."""
        raise UsageError(
            "a timer belongs to no partition; read tables with running.table(name), write them in agents: "
            + fact_text(table=store.name)
        )

    # -- processing

    async def step(self) -> bool:
        """Do one round, and commit if it is time; return whether anything was done."""
        moved = False
        for keeper in self.assembly.global_tables.values():
            moved |= keeper.follow()
        self.timers.start_due(self._clock.now_ms())
        started_s = self._clock.monotonic_s()
        processed = await self._round()
        if processed:
            self._adapt(processed, self._clock.monotonic_s() - started_s)
        else:
            moved |= await self._advance_idle()
        if self._commit_is_due(idle=not processed):
            moved |= self.commit()
        return moved or processed > 0

    async def _round(self) -> int:
        for _, buffer in self._buffers:
            if buffer.is_empty:
                self._fill(buffer)
        offered = [
            (order, buffer.rank)
            for _, buffer in self._buffers
            if (order := buffer.offered_order(self._slice_records)) is not None
        ]
        until = min(offered, default=None)
        processed = 0
        for state in self.assembly.states:
            processed += await state.task.process(until)
        self.assembly.outputs.end_round()
        return processed

    def _fill(self, buffer: InputBuffer) -> None:
        while buffer.is_empty:
            try:
                run = self._reader.fetch(buffer.source, bytes_max=self._fetch_bytes)
            except OffsetOutOfRangeError:
                # Retention or DeleteRecords overtook us: what is gone cannot be processed any more.
                log_start = self._log.offsets([buffer.source])[buffer.source].log_start
                if log_start <= buffer.position:
                    raise
                warn_of_gap(buffer.source, buffer.position, log_start)
                buffer.position = log_start
                self._reader.assign({each.source: each.fetch_position for _, each in self._buffers})
                continue
            buffer.caught_up = run is None
            if run is None:
                return
            buffer.fill(run)

    def _adapt(self, processed: int, seconds: float) -> None:
        """Aim the size of a round at half a commit interval: slow agents then commit in time."""
        target_s = self.settings.commit_interval_ms / 2000
        if seconds > target_s:
            self._slice_records = max(1, self._slice_records // 2)
        elif seconds * 4 < target_s and processed >= self._slice_records:
            self._slice_records = min(self.settings.slice_records_max, self._slice_records * 2)

    async def _advance_idle(self) -> bool:
        moved = False
        for task, stream_time_ms in self._idle.due(self._clock.now_ms()):
            before = task.time.stream_time_ms
            await task.advance_time(stream_time_ms)
            moved |= task.time.stream_time_ms > before
        self.assembly.outputs.end_round()
        return moved

    async def close_windows(self) -> bool:
        """Close the windows still open, because the input has ended; return whether there were any."""
        moved = False
        for state in self.assembly.states:
            closing_time_ms = state.task.closing_time_ms()
            if closing_time_ms is not None:
                await state.task.advance_time(closing_time_ms)
                moved = True
        self.assembly.outputs.end_round()
        return moved

    # -- committing

    def _commit_is_due(self, *, idle: bool) -> bool:
        outputs = self.assembly.outputs
        return (
            idle
            or self._clock.now_ms() - self._last_commit_ms >= self.settings.commit_interval_ms
            or outputs.record_count >= self.settings.pending_records_max
            or outputs.value_bytes >= self.settings.pending_bytes_max
        )

    def commit(self) -> bool:
        """Commit what was processed; return whether there was anything."""
        committed = commit(
            self.assembly.states,
            self.assembly.outputs,
            self._producer,
            self._plain_producer,
            group=self.app.app_id,
            guarantee=self.guarantee,
            clock=self._clock,
        )
        if committed is not None:
            self.commit_count += 1
            self._written.update(committed)
        # From its end: a disk that syncs slowly must not leave only commits to do.
        now_ms = self._last_commit_ms = self._clock.now_ms()
        if now_ms - self._last_purge_ms >= self.settings.purge_interval_ms:
            self._last_purge_ms = now_ms
            self._purge()
        return committed is not None

    def _purge(self) -> None:
        """Delete what is processed of repartition topics, which nobody else reads and which only grow."""
        processed = {
            source: offset
            for state in self.assembly.states
            for source, offset in state.committed.items()
            if source.topic in self._repartition_topics
        }
        try:
            starts = self._log.offsets(processed)
            self._log.delete_records(
                {source: offset for source, offset in processed.items() if offset > starts[source].log_start}
            )
        except (UsageError, RetriableError) as error:
            # A broker may not let this user delete, or not now. The topics grow, and nothing is wrong.
            if not self._has_failed_to_purge:
                _logger.warning("what is processed stays in the repartition topics: %s", error)
            self._has_failed_to_purge = True

    # -- running

    def is_caught_up(self) -> bool:
        """Whether everything in every input, as it is now, is processed and committed."""
        if self.assembly.outputs.record_count:
            return False
        return all(
            buffer.is_empty
            and state.committed.get(buffer.source) == buffer.position
            and buffer.position >= self._written.get(buffer.source, 0)
            and buffer.position >= self._reader.visible_end(buffer.source)
            for state, buffer in self._buffers
        )

    async def run_until_end(
        self, *, close_windows: bool = False, is_stopped: Callable[[], bool] | None = None
    ) -> None:
        """Process what is there, commit, and return; with ``close_windows`` close those still open.

        ``is_stopped`` is asked between rounds; once it says so, what is done is committed and the rest left.
        """
        while True:
            while await self.step() or not self.is_caught_up():
                if is_stopped is not None and is_stopped():
                    self.commit()
                    return
                # Let timers, agents and the like have their turn.
                await asyncio.sleep(0)
            if not (close_windows and await self.close_windows()):
                return

    async def run(self, stopping: asyncio.Event) -> None:
        """Process until ``stopping`` is set, then commit what is done."""
        loop = asyncio.get_running_loop()
        progress = asyncio.Event()
        self._reader.on_progress(lambda: _set_from_any_thread(loop, progress))
        waiting_stop = asyncio.ensure_future(stopping.wait())
        try:
            while not stopping.is_set():
                progress.clear()
                if await self.step():
                    # Let timers, agents and the like have their turn.
                    await asyncio.sleep(0)
                    continue
                waiting_progress = asyncio.ensure_future(progress.wait())
                await asyncio.wait(
                    (waiting_progress, waiting_stop),
                    timeout=self._wait_s(),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                waiting_progress.cancel()
            self.commit()
        finally:
            waiting_stop.cancel()
            self._reader.on_progress(None)

    def next_due_ms(self) -> int | None:
        """When something is to be done without new input; ``None`` if nothing is."""
        now_ms = self._clock.now_ms()
        dues = (self.timers.next_due_ms(), self._idle.next_due_ms(now_ms))
        return min((due for due in dues if due is not None), default=None)

    def _wait_s(self) -> float:
        due_ms = self.next_due_ms()
        if due_ms is None:
            return _IDLE_WAIT_S
        return max(0.0, min(_IDLE_WAIT_S, (due_ms - self._clock.now_ms()) / 1000))

    @property
    def late_counts(self) -> dict[str, int]:
        """Records that came too late, by task."""
        return {str(state.task.task_id): state.task.late_count for state in self.assembly.states}

    def sources(self) -> Iterable[TopicPartition]:
        """The partitions that the tasks read."""
        return [buffer.source for _, buffer in self._buffers]

    async def abandon(self) -> None:
        """Stop agents and timers and touch nothing else: as if the process were gone."""
        await self.timers.close()
        for state in self.assembly.states:
            await state.task.close()

    async def close(self) -> None:
        """Stop agents and timers and close the stores. What is not committed is forgotten."""
        await self.abandon()
        self._reader.close()
        self._producer.close()
        self._plain_producer.close()
        self.assembly.close()


def _set_from_any_thread(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)
