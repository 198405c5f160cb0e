"""A worker: fetches, runs the rounds of its parts, commits, and starts again. One thread.

Parts without agents run their rounds at once; a round with agents runs concurrently, because its
code may wait. Timers, commits and other parts run meanwhile. A commit covers the parts that are at
rest; a round that lasts longer than the commit interval is cut for it, between two events.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamcore.clock import Clock
from streamcore.errors import (
    FencedError,
    OffsetOutOfRangeError,
    ProducerFencedError,
    RebalanceInProgressError,
    RetriableError,
    StaleGenerationError,
    UnknownTopicError,
    UserCodeError,
    fact_text,
)
from streamcore.log.client.application_groups import worker_transactional_id
from streamcore.log.client.port import Log
from streamcore.model import Isolation, Offset, TopicPartition
from streamcore.processing.context import TaskTable
from streamcore.processing.runtime.commit import Guarantee, UnstorableError, commit
from streamcore.processing.runtime.due_times import IDLE_WAIT_S, next_due_ms, wait_s
from streamcore.processing.runtime.end_of_input import close_open_windows, leave_silent_inputs
from streamcore.processing.runtime.failures import FailureLog
from streamcore.processing.runtime.feeding import Feeding
from streamcore.processing.runtime.global_tables import Progress
from streamcore.processing.runtime.input_fetcher import InputFetcher
from streamcore.processing.runtime.open_engines import EngineSource, OpenEngines
from streamcore.processing.runtime.parts import Part, cut_rounds
from streamcore.processing.runtime.purging import RepartitionPurge
from streamcore.processing.runtime.redoing import Redoing
from streamcore.processing.runtime.sending import DirectSender
from streamcore.processing.runtime.settings import WorkerSettings
from streamcore.processing.runtime.shared_tasks import SharedTasks
from streamcore.processing.runtime.stopping import close_ports, end_rounds
from streamcore.processing.runtime.table_query import committed_table
from streamcore.processing.runtime.task_group import TaskGroup
from streamcore.processing.runtime.task_set import TaskSet, open_task_set
from streamcore.processing.runtime.timers import Timers, call_hook
from streamcore.processing.runtime.topic_watch import TopicWatch
from streamcore.processing.runtime.waking import Waking
from streamcore.processing.topology.application import Application
from streamcore.processing.topology.nodes import StoreSpec

_logger = logging.getLogger(__name__)

_SETTLING_WAIT_S = 0.005
"""The interval between checks for the end: committed records may become readable slightly later."""


class TaskWorker:
    """Runs all tasks of an application on a log. For one thread and its event loop.

    ``run`` or ``run_until_end``, then ``close``, which does not commit. ``Worker`` in ``running.py`` is the
    interface for users; it opens the log and the folders.
    """

    def __init__(
        self,
        application: Application,
        log: Log,
        engines: EngineSource,
        clock: Clock,
        settings: WorkerSettings,
        *,
        wait_ms: Callable[[int], None] | None = None,
        progress: Progress | None = None,
        group: TaskGroup | None = None,
        transactional_id: str | None = None,
    ) -> None:
        """Open the tasks.

        Args:
            wait_ms: waits before a retry, by default by the machine's clock.
            progress: called during a restore, with its subject, the amount done and the total.
            group: shares the tasks with other workers: ``step`` opens those that the group assigns. Without
                one the worker runs all tasks.
            transactional_id: the id of this worker's transactions, if there are several workers.
        """
        self.application = application
        self.settings = settings
        self.guarantee = Guarantee.named(settings.guarantee)
        self._log = log
        self._clock = clock
        self._producer = log.producer_port(
            transactional_id=transactional_id or worker_transactional_id(application.app_id)
        )
        self._plain_producer = log.producer_port()
        self._reader = log.reader(isolation=Isolation.READ_COMMITTED)
        self._progress = progress
        self._wait_ms = wait_ms
        self._engines = OpenEngines(engines)
        self._failures = FailureLog(clock.monotonic_s)
        self._waking = Waking()
        wake, timers = self._waking.set_from_any_thread, application.timers
        self._shared = None if group is None else SharedTasks(group, clock, wake, timers)
        self._redoing = Redoing()
        self.task_set: TaskSet
        self._open_task_set()
        now_ms = clock.now_ms()
        self.timers = Timers(
            application.timers,
            self,
            now_ms,
            on_error=application.on_error,
            failures=self._failures,
            ended=self._waking.set,
            wait_ms=wait_ms,
            is_leader=self._runs_first_task,
        )
        self._purge = RepartitionPurge(log, settings.purge_interval_ms, now_ms)
        self._has_started = False
        self._input_has_ended = False
        """Whether no more records come, so that no watermark follows the clock."""
        self._is_stopping: Callable[[], bool] = lambda: False
        self.commit_count = 0
        self._written: dict[TopicPartition, Offset] = {}
        """The end offsets of this worker's writes. A broker may show them slightly after the commit."""

    def _open_task_set(self) -> None:
        """Open the tasks; after topics have changed once more, with their open engines."""
        settings = self.settings
        self.task_set = open_task_set(
            self.application,
            self._log,
            self._engines,
            self._clock,
            producer=self._producer,
            failures=self._failures,
            wait_ms=self._wait_ms,
            progress=self._progress,
            may_lose_end=settings.may_lose_end,
            is_shared=self._shared is not None,
        )
        self._watch = TopicWatch(self._log, self.task_set.plan, self._clock, settings.topics_interval_ms)
        self.parts: list[Part] = []
        self.fetcher = InputFetcher(self.task_set, self._reader, self._log, self._clock, settings)
        self.renew_parts()
        self._sender = DirectSender(self._plain_producer, self.task_set.counts, self._clock)
        if self._shared is not None:
            self._shared.begin(self.task_set)

    def renew_parts(self) -> None:
        """Make the parts of the open tasks, except those whose tasks are the same, and read their inputs."""
        task_set = self.task_set
        former: list[Part | None] = [*self.parts] or [None for _ in task_set.groups]
        self.parts = [
            part
            if part is not None and [*map(id, part.states)] == [*map(id, states)]
            else Part(list(states), outputs, self.settings, self._clock)
            for part, states, outputs in zip(former, task_set.groups, task_set.outputs, strict=True)
        ]
        self._redoing.begin(self.parts, self.task_set.builder.guard_of)
        self._feeding = Feeding()
        self.fetcher.assign(task_set)

    async def _follow_topics(self) -> bool:
        """Use added partitions: commit, and open the tasks for the topics as they are now.

        Rounds under way are cut first; the result is ``False`` until they have ended. Where a topic was
        created again, nothing is committed: the offsets belong to the old topic.

        Raises:
            TopologyError: a topic was deleted, or got partitions where equal keys must stay together.
        """
        if cut_rounds(self.parts, self._clock.now_ms()):
            return False
        if self._watch.has_other_topics():
            self._written.clear()
        else:
            self.commit()
        await self._open_again()
        return True

    async def _open_again(self) -> None:
        """Open the tasks at their last commit."""
        before = self.task_set
        for part in self.parts:
            await part.abandon()
        self.parts = []
        if self._shared is not None:
            # Some may be given to others before they are open again, who then need the folders.
            self._shared.stop_opening()
            self._engines.close_all()
        self._open_task_set()
        self.task_set.count_from(before)

    # -- what timers may use

    def _runs_first_task(self) -> bool:
        """Whether this worker, of all that share the tasks, calls the timers that one worker alone calls."""
        first = self.task_set.all_ids()[:1]
        return not first or any(state.task.task_id == first[0] for state in self.task_set.states)

    @property
    def sender(self) -> DirectSender:
        """The sender of timers and commands: records go to the log at once, and are durable on return."""
        return self._sender

    @property
    def event_time_ms(self) -> None:
        """``None``: a timer has no event."""

    def table(self, store: StoreSpec) -> TaskTable:
        """Return a table for reading: the parts of all tasks of this worker, as of the last commit.

        Raises:
            UsageError: the application has no such table.
        """
        return committed_table(lambda: self.task_set, store)

    # -- start and stop

    async def open_tasks(self) -> None:
        """Open the tasks that the group assigns first; a worker that is alone has opened all already.

        Raises:
            StreamCoreError: a task cannot be opened, or the worker cannot join the group.
        """
        if self._shared is None:
            return
        self._waking.attach()
        while await self._shared.follow(self) or not self._shared.is_settled():
            await self._waking.wait(IDLE_WAIT_S)

    async def start(self) -> None:
        """Call the functions that the application declared for the start; once.

        Raises:
            UserCodeError: one of them failed.
        """
        if self._has_started:
            return
        self._has_started = True
        for hook in self.application.start_hooks:
            await call_hook(hook, self)

    # -- processing

    async def step(self) -> bool:
        """Do all work that is possible now, and commit if it is due; return whether there was any work.

        Raises:
            UserCodeError: application code failed, by its error policy.
            TopologyError: topics changed in a way that the application cannot follow.
            UsageError: a changelog was deleted.
        """
        try:
            return await self._step()
        except (UnknownTopicError, OffsetOutOfRangeError):
            # A topic was deleted, or created again with fewer records: decided as at a start.
            if not self._watch.sees_change(now=True):
                raise
            return await self._follow_topics()

    async def _step(self) -> bool:
        moved = False
        for keeper in self.task_set.global_tables.values():
            with self._unless_stopping():
                moved |= keeper.follow()
        self.timers.start_due(self._clock.now_ms())
        for part in self.parts:
            if part.has_ended:
                processed = part.end_round(self._clock.now_ms())
                part.is_idle = not processed and not part.has_records
                part.adapt(processed, self._clock.monotonic_s())
                moved = True
        if self._shared is not None:
            # After the ends of rounds, for only parts at rest get tasks, and before others begin.
            moved |= await self._shared.follow(self)
        if self._redoing.is_due:
            if not cut_rounds(self.parts, self._clock.now_ms()):
                await self._open_again()
            return True
        has_changed = False
        with self._unless_stopping():
            has_changed = self._watch.sees_change()
        if has_changed:
            return await self._follow_topics() or moved
        moved |= self._commit_if_due()
        for part in self.parts:
            if not part.is_busy and not part.is_lost:
                moved |= await self._begin(part)
        return moved | self._commit_if_due()

    async def _begin(self, part: Part) -> bool:
        """Begin a round of a part; return whether it processed records at once."""
        for queue in part.queues:
            if queue.is_empty:
                with self._unless_stopping():
                    self.fetcher.fill(queue)
        started_s = self._clock.monotonic_s()
        clock_due_ms = part.clock_due_ms()
        if clock_due_ms is not None and clock_due_ms <= self._clock.now_ms():
            fired = part.fire_clock(self._clock.now_ms())
            if not any(state.task.agents for state in part.states):
                return await fired > 0
            part.start(fired, self._waking.set)
            return False
        if part.has_records:
            part.is_idle = False
            processed = await part.begin_round(started_s, self._waking.set)
            if processed is None:
                return False
            part.adapt(processed, self._clock.monotonic_s())
            if processed:
                return True
        part.is_idle = True
        now_ms = self._clock.now_ms()
        part.idle_time.mark(now_ms)
        due = list(part.idle_time.due(None if self._input_has_ended else now_ms))
        if not due:
            return False
        if any(task.agents for task, _ in due):
            part.start(part.advance_time(due), self._waking.set)
            return False
        return await part.advance_time(due) > 0

    @contextmanager
    def _unless_stopping(self) -> Iterator[None]:
        """Run a request that a stopping worker does not need: no answer is then no error."""
        try:
            yield
        except RetriableError:
            if not self._is_stopping():
                raise

    # -- committing

    def _commit_if_due(self) -> bool:
        """Commit the work at rest if any of it is due; cut rounds that last too long."""
        now_ms = self._clock.now_ms()
        for part in self.parts:
            part.cut_if_due()
        if any(
            not part.is_busy and part.is_commit_due(now_ms, gets_more=self._feeding.gets_more(part))
            for part in self.parts
        ):
            return self.commit()
        return False

    def commit(self) -> bool:
        """Commit the work of the parts at rest; return whether there was any.

        Nothing is committed if a value cannot be stored; the next step processes the records again.

        Raises:
            ProducerFencedError: another worker of the application has taken over.
            UnknownTopicError: a topic that was read is deleted, or another one has its name.
        """
        if self._redoing.is_due:
            return False
        membership = None if self._shared is None else self._shared.membership
        if self._shared is not None and membership is None:
            return False  # Offsets without a membership would be taken, although others have the tasks.
        resting = [part for part in self.parts if not part.is_busy and not part.is_lost]
        self._feeding.note(resting)
        if any(state.has_moved() for part in resting for state in part.states):
            self._watch.ensure_read_topics()
        try:
            committed = commit(
                resting,
                self._producer,
                self._plain_producer,
                group=self.application.app_id,
                guarantee=self.guarantee,
                clock=self._clock,
                membership=membership,
            )
        except UnstorableError as error:
            self._redoing.commit_failed(error, self.parts)
            return False
        except (RebalanceInProgressError, StaleGenerationError):
            # The group is assigning tasks, or has removed this worker, which then hears of it.
            if self._shared is None:
                raise
            return False
        except FencedError as error:
            raise ProducerFencedError(
                "another worker has taken over the name of this one, "
                f"so this one ends and what it had not committed is left to the other: "
                f"{fact_text(app=self.application.app_id)}. {error}"
            ) from error
        if committed is not None:
            self.commit_count += 1
            self._written.update(committed)
        # Counted from its end: a disk that syncs slowly must not leave time for commits only.
        now_ms = self._clock.now_ms()
        for part in resting:
            part.committed(now_ms)
        if not self._is_stopping():
            self._purge.purge_if_due(self.task_set.plan, self.task_set.states, now_ms)
        return committed is not None

    # -- running

    def is_caught_up(self) -> bool:
        """Whether all records of every input, up to its present end, are committed."""
        if self._redoing.is_due:
            return False
        if any(part.is_busy or part.is_lost or part.outputs.record_count for part in self.parts):
            return False
        try:
            return (
                self.fetcher.is_caught_up(self._written)
                and not self._watch.sees_change(now=True)
                and (self._shared is None or self._shared.is_done(self._log))
            )
        except UnknownTopicError:  # a topic was deleted; the next step decides the consequence
            return False

    async def run_until_end(
        self,
        *,
        close_windows: bool = False,
        input_ends: bool = True,
        is_stopped: Callable[[], bool] | None = None,
    ) -> None:
        """Process all records, commit, and return; with ``close_windows`` close the open windows.

        With ``input_ends`` the watermarks do not wait for inputs that have nothing more to read.

        ``is_stopped`` is called between rounds; once it is true, finished work is committed and the rest
        left.
        """
        self._waking.attach()
        self._is_stopping = is_stopped or self._is_stopping
        self._input_has_ended = input_ends
        self._reader.on_progress(self._waking.set_from_any_thread)
        try:
            await self.start()
            while True:
                while (moved := await self.step()) or not self.is_caught_up():
                    if is_stopped is not None and is_stopped():
                        await self.stop()
                        return
                    await self._rest(0 if moved else min(self._wait_s(), _SETTLING_WAIT_S))
                if input_ends and await leave_silent_inputs(self.parts, self._waking, self._clock):
                    continue
                if not (close_windows and await close_open_windows(self.parts, self._waking, self._clock)):
                    return
        finally:
            self._input_has_ended = False
            self._reader.on_progress(None)

    async def run(self, stopping: asyncio.Event) -> None:
        """Process until ``stopping`` is set, then end the events under way and commit the finished work.

        Raises:
            UserCodeError: application code failed, by its error policy.
        """
        self._waking.attach()
        self._reader.on_progress(self._waking.set_from_any_thread)
        self._is_stopping = stopping.is_set
        waiting_stop = asyncio.ensure_future(stopping.wait())
        waiting_stop.add_done_callback(lambda _: self._waking.set())
        try:
            await self.start()
            while not stopping.is_set():
                moved = await self.step()
                await self._rest(0 if moved else self._wait_s())
            await self.stop()
        finally:
            waiting_stop.cancel()
            self._reader.on_progress(None)

    async def _rest(self, seconds: float) -> None:
        """Run timers and agents; wait until there is work, for ``seconds`` at most."""
        if seconds > 0:
            await self._waking.wait(seconds)
        else:
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """End the rounds under way and commit the finished work.

        Events under way may take ``stop_timeout_ms``; then they are cancelled and left uncommitted. Work that
        cannot be separated from their effects is left, too, and processed at the next start.

        Raises:
            UserCodeError: an event under way failed, by its error policy.
        """
        failure = await end_rounds(self.parts, self._waking, self._clock, self.settings.stop_timeout_ms)
        self.commit()
        if self._shared is not None:
            await self._shared.commit_rest(self, self._waking)
        self._redoing.warn_if_due()
        if failure is not None:
            raise failure

    def next_due_ms(self) -> int | None:
        """Return when there is work without new input; ``None`` if there is none."""
        return next_due_ms(self.timers, self.parts, self._clock.now_ms())

    def _wait_s(self) -> float:
        return wait_s(self.timers, self.parts, self._clock.now_ms(), self.settings.commit_interval_ms)

    @property
    def late_counts(self) -> dict[str, int]:
        """Records that came too late, by task."""
        return {str(state.task.task_id): state.task.late_count for state in self.task_set.states}

    def release(self) -> None:
        """Close the stores, then leave the group, so that others can take over."""
        if self._shared is not None:
            self._shared.stop_opening()
        self._engines.close_all()
        if self._shared is not None:
            self._shared.close()

    async def abandon(self) -> None:
        """Stop agents and timers and touch nothing else, as if the process had been killed."""
        await self.timers.close()
        for part in self.parts:
            await part.abandon()

    async def close(self) -> None:
        """Stop agents and timers and close the stores. Uncommitted work is dropped.

        Raises:
            UserCodeError: a function that the application declared for the stop failed.
        """
        await self.abandon()
        failure: UserCodeError | None = None
        for hook in reversed(self.application.stop_hooks if self._has_started else []):
            try:
                await call_hook(hook, self)
            except UserCodeError as error:
                _logger.error("%s", error, exc_info=error)
                failure = failure or error
        close_ports((self._reader.close, self._producer.close, self._plain_producer.close))
        self.release()
        if failure is not None:
            raise failure
