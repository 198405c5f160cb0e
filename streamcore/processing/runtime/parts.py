"""The parts of an application: tasks that topics connect, and that process their records in rounds.

A round takes from every partition of a part the records before the first record that is not known yet: each
partition offers its fetched records, and the round ends at the lowest of their ends. So records are processed
in the order of event time, in batches as large as the fetches. Parts that no topic connects do not wait for
each other, neither for their records nor for their agents.

A part is at rest between two rounds, and only then its work can be committed. A round of agents that takes
long is cut: it ends between two events, and the next round continues from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from streamcore.clock import Clock
from streamcore.errors import UserCodeError
from streamcore.processing.operators.guard import Guard
from streamcore.processing.operators.outputs import Outputs
from streamcore.processing.runtime.commit import TaskState
from streamcore.processing.runtime.idle import IdleTime
from streamcore.processing.runtime.inputs import RecordQueue, RoundEnd
from streamcore.processing.runtime.narrowing import Narrowing, refused_in
from streamcore.processing.runtime.refused_rows import OneByOne, Place
from streamcore.processing.runtime.settings import WorkerSettings
from streamcore.processing.runtime.task import Task
from streamcore.processing.topology.nodes import Node, Repartition, To
from streamcore.processing.topology.plan import Plan, SubTopology, topics_written_by


def connected(plan: Plan) -> list[list[SubTopology]]:
    """Return the sub-topologies in groups: those that a topic of the topology connects are in one group."""
    groups: list[list[SubTopology]] = []
    for sub_topology in plan.sub_topologies:
        topics = _topics_of(sub_topology)
        joined = [group for group in groups if any(topics & _topics_of(each) for each in group)]
        groups = [group for group in groups if group not in joined]
        groups.append([each for group in joined for each in group] + [sub_topology])
    order = {id(each): number for number, each in enumerate(plan.sub_topologies)}
    for group in groups:
        group.sort(key=lambda each: order[id(each)])
    return sorted(groups, key=lambda group: order[id(group[0])])


def _topics_of(sub_topology: SubTopology) -> set[str]:
    read = {entry.topic.name for entry in sub_topology.inputs}
    return read | {node.topic.name for node in sub_topology.nodes if isinstance(node, To | Repartition)}


def _upstream_first(
    sub_topologies: Iterable[SubTopology], open_until: Sequence[tuple[Task, int]]
) -> list[tuple[Task, int]]:
    """Return the tasks with open windows that get no results of the windows of others among them.

    ``sub_topologies`` are all that topics connect. Where all tasks get results of one another, in a ring, all
    of them are returned.
    """
    written = {each.name: {topic.name for topic in topics_written_by(each)} for each in sub_topologies}
    read = {each.name: {entry.topic.name for entry in each.inputs} for each in sub_topologies}
    fed: set[str] = set()
    for name in {task.sub_topology.name for task, _ in open_until}:
        reached, waiting = {name}, [name]
        while waiting:
            topics = written[waiting.pop()]
            below = [other for other in read if topics & read[other] and other not in reached]
            reached.update(below)
            waiting += below
        fed |= reached - {name}
    return [found for found in open_until if found[0].sub_topology.name not in fed] or list(open_until)


class Part:
    """Tasks that share rounds, outputs and commits."""

    def __init__(
        self, states: Sequence[TaskState], outputs: Outputs, settings: WorkerSettings, clock: Clock
    ) -> None:
        now_ms = clock.now_ms()
        self.states = states
        self.outputs = outputs
        self.queues: list[RecordQueue] = [queue for state in states for queue in state.task.inputs]
        self.idle_time = IdleTime(states, now_ms)
        """The silent inputs, which do not hold watermarks."""
        self.last_commit_ms = now_ms
        self.is_idle = False
        """Whether the worker's end interrupted the part in the middle of its work, which is not committed
        any more.
        """
        self.is_lost = False
        """Whether the worker's end has come in the middle of its work: it is not committed any more."""
        self._settings = settings
        self._clock = clock
        self._with_agents = [state.task for state in states if state.task.agents]
        lanes = sum(agent.lane_count for task in self._with_agents for agent in task.agents)
        self._cut_makes_wait = lanes > 1
        self._slice_records_min = max((state.task.slice_records_min for state in states), default=1)
        self._slice_records = max(self._slice_records_min, settings.slice_records_start)
        self.narrowing: Narrowing | None = None
        """How records are processed again whose commit failed."""
        self.alone: Place | None = None
        """The record that was processed alone since the last commit."""
        self._round: asyncio.Task[int] | None = None
        self._round_started_s = 0.0
        self._cut_ms: int | None = None
        self._last_cut_took_ms = 0

    # -- rounds

    @property
    def is_busy(self) -> bool:
        """Whether a round is under way."""
        return self._round is not None

    @property
    def has_ended(self) -> bool:
        """Whether the round under way has ended, so that ``end_round`` may be called."""
        return self._round is not None and self._round.done()

    @property
    def has_records(self) -> bool:
        """Whether there are records for a round."""
        return not all(queue.is_empty for queue in self.queues)

    async def begin_round(self, monotonic_s: float, ended: Callable[[], None]) -> int | None:
        """Process the waiting records; return the number processed.

        A round with agents runs concurrently: the result is ``None``, and ``ended`` is called at its end, for
        ``end_round``.
        """
        self._round_started_s = monotonic_s
        now_ms = self._clock.now_ms()
        self.idle_time.mark(now_ms)
        self._limit_times(now_ms)
        if not self._with_agents:
            return await self._process()
        self.start(self._process(), ended)
        return None

    def start(self, work: Coroutine[Any, Any, int], ended: Callable[[], None]) -> None:
        """Run a round, or a replacement of one, concurrently."""
        for task in self._with_agents:
            task.turn.begin()
            task.turn.cut_if_due = self.cut_if_due
        self._round = asyncio.get_running_loop().create_task(work)
        self._round.add_done_callback(lambda _: ended())

    def end_round(self, now_ms: int) -> int:
        """End the round; return the number of records processed. Raises the error of the round.

        Raises:
            UserCodeError: application code failed, or has cancelled the round.
        """
        ended, self._round = self._round, None
        assert ended is not None
        if self._cut_ms is not None:
            self._last_cut_took_ms, self._cut_ms = now_ms - self._cut_ms, None
        if ended.cancelled():
            raise UserCodeError(
                "the worker was cancelled by the application's code; cancel only tasks that it has started"
            )
        self.is_lost |= any(task.is_spoiled for task in self._with_agents)
        return ended.result()

    def windows_to_close(self) -> list[tuple[Task, int]]:
        """Return the tasks whose open windows get no more results of others, and the watermarks that close
        them.
        """
        self._limit_times(self._clock.now_ms())
        open_until = [
            (state.task, closing_time_ms)
            for state in self.states
            if (closing_time_ms := state.task.closing_time_ms()) is not None
        ]
        return _upstream_first([state.task.sub_topology for state in self.states], open_until)

    def _limit_times(self, now_ms: int) -> None:
        """Set how far ahead of the clock the windows start that tasks wait for."""
        if self._settings.ahead_ms is None:
            return
        for state in self.states:
            if not any(entry.topic.limits_no_time for entry in state.task.sub_topology.inputs):
                state.task.latest_ms = now_ms + self._settings.ahead_ms

    @property
    def has_marks(self) -> bool:
        """Whether a task is to write how far it is with the next commit."""
        return any(state.marks_due() for state in self.states)

    async def advance_time(self, times_ms: Sequence[tuple[Any, int]]) -> int:
        """Move the watermarks of tasks without records; return how many tasks moved."""
        moved = 0
        for task, watermark_ms in times_ms:
            before = task.time.watermark_ms
            await task.advance_time(watermark_ms)
            moved += task.time.watermark_ms > before
        self.outputs.end_round()
        return moved

    def clock_due_ms(self) -> int | None:
        """The time at which a processor's next timer of the clock is due; ``None`` without one.

        For a part at rest.
        """
        dues = [state.task.clock_due_ms() for state in self.states if state.task.has_processors]
        return min((due_ms for due_ms in dues if due_ms is not None), default=None)

    async def fire_clock(self, now_ms: int) -> int:
        """Call the timers of the clock that are due; return in how many tasks."""
        fired = 0
        for state in self.states:
            due_ms = state.task.clock_due_ms() if state.task.has_processors else None
            if due_ms is not None and due_ms <= now_ms:
                await state.task.fire_clock(now_ms)
                fired += 1
        self.outputs.end_round()
        return fired

    async def _process(self) -> int:
        records_max = self._slice_records if self.narrowing is None else self.narrowing.records_max
        offered = [
            (time_ms, queue.rank)
            for queue in self.queues
            if (time_ms := queue.offered_time_ms(records_max)) is not None
        ]
        until = min(offered, default=None)
        if self.narrowing is not None and self.narrowing.is_of_one:
            self._take_one(until)
        if len(self._with_agents) > 1:
            counts = await asyncio.gather(*(state.task.process(until) for state in self.states))
            processed = sum(counts)
        else:
            processed = 0
            for state in self.states:
                processed += await state.task.process(until)
        self.outputs.end_round()
        return processed

    def narrow(self, narrowing: Narrowing, guard_of: Callable[[Task, Node], Guard]) -> None:
        """Process records in smaller rounds, up to those whose commit failed."""
        self.narrowing = narrowing
        if narrowing.is_of_one:
            for state in self.states:
                state.task.one_by_one = OneByOne(refused_in(narrowing, state.task, guard_of))

    def _take_one(self, until: RoundEnd | None) -> None:
        """Process the first record of all in its task, unless a record is under way."""
        if any(state.task.is_under_way for state in self.states):
            return
        heads = [
            (queue.head_time_ms(), queue.rank, state.task, queue)
            for state in self.states
            for queue in state.task.inputs
            if queue.count_until(until)
        ]
        if heads:
            _, _, task, queue = min(heads, key=lambda head: head[:2])
            self.alone = (queue.partition, queue.head_offset())
            assert task.one_by_one is not None
            task.one_by_one.give(queue)

    def adapt(self, processed: int, monotonic_s: float) -> None:
        """Set the size of a round to half a commit interval, so that slow steps commit in time."""
        seconds = monotonic_s - self._round_started_s
        target_s = self._settings.commit_interval_ms / 2000
        if seconds > target_s:
            self._slice_records = max(self._slice_records_min, self._slice_records // 2)
        elif seconds * 2 < target_s and processed >= self._slice_records:
            self._slice_records = min(self._settings.slice_records_max, self._slice_records * 2)

    # -- commits

    def commit_due_ms(self) -> int | None:
        """The time at which to cut the round under way for a commit; ``None`` if it is cut, or at rest.

        Lanes that wait for the slowest of them do nothing meanwhile: a third of the time at most.
        """
        if self._round is None or self._cut_ms is not None:
            return None
        wait_ms = self._settings.commit_interval_ms
        if self._cut_makes_wait:
            wait_ms = max(wait_ms, 2 * self._last_cut_took_ms)
        return self.last_commit_ms + wait_ms

    @property
    def has_changes(self) -> bool:
        """Whether the part has work to commit. For a part at rest."""
        return bool(self.outputs.record_count) or any(state.has_changes() for state in self.states)

    def is_commit_due(self, now_ms: int, *, gets_more: bool = False) -> bool:
        """Whether the work at rest should be committed now.

        Args:
            gets_more: another part at work writes records for this one, so this one is not at the end.
        """
        if self.narrowing is not None:
            return self.has_changes
        outputs, settings = self.outputs, self._settings
        return (
            (self.is_idle and not gets_more and self.has_changes)
            or now_ms - self.last_commit_ms >= settings.commit_interval_ms
            or outputs.record_count >= settings.pending_records_max
            or outputs.size_bytes >= settings.pending_bytes_max
        )

    def committed(self, now_ms: int) -> None:
        """Note that the work of the part is committed, or that there was none."""
        self.last_commit_ms = now_ms
        self.alone = None
        if self.narrowing is None:
            return
        until = self.narrowing.until
        if all(queue.position >= until.get(queue.partition, 0) for queue in self.queues):
            self.narrowing = None
            for state in self.states:
                state.task.one_by_one = None

    def cut_if_due(self) -> None:
        """Ask the round under way to end between two events, if it is time for a commit."""
        due_ms, now_ms = self.commit_due_ms(), self._clock.now_ms()
        if due_ms is not None and due_ms <= now_ms:
            self.cut(now_ms)

    def cut(self, now_ms: int) -> None:
        """Request the end of the round under way between two events."""
        self._cut_ms = now_ms
        for task in self._with_agents:
            task.turn.cut()
            for agent in task.agents:
                agent.wake()

    # -- the end

    def stop(self, now_ms: int) -> None:
        """Request the end of the round after the events under way."""
        for task in self._with_agents:
            task.turn.is_stopping = True
        if self._round is not None:
            self.cut(now_ms)

    def cancel_events(self) -> None:
        """Cancel the events under way."""
        for task in self._with_agents:
            for agent in task.agents:
                agent.cancel_events()

    async def abandon(self) -> None:
        """Stop the agents at once. The part cannot be used any more."""
        if self._round is not None and not self._round.done():
            self.is_lost = True
            self._round.cancel()
            await asyncio.wait((self._round,), timeout=1)
        elif self._round is not None and not self._round.cancelled():
            self._round.exception()
        for state in self.states:
            await state.task.close()


def cut_rounds(parts: Iterable[Part], now_ms: int) -> bool:
    """Ask the rounds under way to end; return whether there are any."""
    under_way = [part for part in parts if part.is_busy]
    for part in under_way:
        if not part.has_ended:
            part.cut(now_ms)
    return bool(under_way)
