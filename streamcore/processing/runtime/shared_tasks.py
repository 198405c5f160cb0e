"""Keeps a worker's tasks those that its group assigns: opens what comes, commits and closes what goes.

A part changes only at rest, and only the parts that have such tasks: all others go on. State is restored in
another thread (``opening_tasks``).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from streamcore.clock import Clock
from streamcore.errors import (
    RebalanceInProgressError,
    StaleGenerationError,
    StreamCoreError,
    TopologyError,
    fact_text,
)
from streamcore.log.client.port import Log
from streamcore.model import Membership, TopicPartition
from streamcore.processing.runtime.commit import TaskState
from streamcore.processing.runtime.opening_tasks import OpeningTasks
from streamcore.processing.runtime.parts import Part
from streamcore.processing.runtime.task import TaskId
from streamcore.processing.runtime.task_group import TaskGroup, leading_topics
from streamcore.processing.runtime.task_set import TaskSet
from streamcore.processing.runtime.waking import Waking
from streamcore.processing.topology.timers import Timer

_logger = logging.getLogger(__name__)

_LAST_COMMIT_WAIT_S: Final = 2.0
"""How long a worker that stops waits for the end of a rebalance, so that no work is done again."""
_LAST_COMMIT_EVERY_S: Final = 0.01


class TaskHolder(Protocol):
    """A worker, as far as its tasks are concerned."""

    task_set: TaskSet
    parts: list[Part]
    """The parts, in the order of the groups of ``task_set``."""

    def commit(self) -> bool:
        """Commit the work of the parts at rest, unless the group does not take it now."""

    def renew_parts(self) -> None:
        """Make the parts of the tasks that ``task_set`` now has."""


class SharedTasks:
    """The tasks of one worker of several. For the worker's thread."""

    def __init__(
        self, group: TaskGroup, clock: Clock, wake: Callable[[], None], timers: Iterable[Timer] = ()
    ) -> None:
        """Prepare; ``begin`` joins the group.

        Args:
            wake: called, from any thread, when ``follow`` has work.
            timers: the timers of the application.
        """
        self._group = group
        self._clock = clock
        self._wake = wake
        self._timers = timers
        self._task_set: TaskSet
        self._opening: OpeningTasks | None = None

    @property
    def membership(self) -> Membership | None:
        """The credentials with which the worker commits; ``None`` while it may not."""
        return self._group.membership

    def begin(self, task_set: TaskSet) -> None:
        """Open tasks for this set from now on; join the group at the first call.

        Raises:
            StreamCoreError: the partitions of topics have changed in a way that needs a new start.
            TopologyError: a timer has ``leader=True``, and the application reads no topic.
        """
        if self._opening is not None:
            self._opening.close()
        topics = leading_topics(task_set.plan, task_set.counts)
        leading = next((timer for timer in self._timers if timer.leader), None)
        if leading is not None and not topics:
            raise TopologyError(
                "the worker of the application's first task calls the timers with leader=True, and an "
                "application that reads no topic has no task: leave out leader=True and run one worker, or "
                f"declare a topic that the application reads: {fact_text(timer=leading.name)}"
            )
        if not self._group.topics:
            self._group.join(topics, self._wake)
        elif topics != self._group.topics:
            raise StreamCoreError(
                "topics got partitions, so that other topics stand for the application's tasks; stop all of "
                "its workers and start them again"
            )
        self._task_set = task_set
        self._opening = OpeningTasks(task_set, self._wake)

    def is_done(self, log: Log) -> bool:
        """Whether all records of all tasks, also of other workers, up to the present end, are committed."""
        assert self._opening is not None
        if not self.is_settled():
            return False
        plan, counts = self._task_set.plan, self._task_set.counts
        inputs = [
            TopicPartition(entry.topic.name, number)
            for sub_topology in plan.sub_topologies
            for entry in sub_topology.inputs
            for number in range(counts[entry.topic.name])
        ]
        # In this order: what is committed at the ends that are read later has nothing behind it.
        committed = log.committed(plan.app_id, inputs)
        ends = log.offsets(inputs)
        return all(
            partition in committed and committed[partition].offset >= ends[partition].high_watermark
            for partition in inputs
        )

    def is_settled(self) -> bool:
        """Whether the worker has joined, and every task that is assigned to it is open."""
        assert self._opening is not None
        return self._group.has_joined and not self._opening.is_busy

    async def follow(self, holder: TaskHolder) -> bool:
        """Open and close tasks as the group assigns them; return whether the worker's tasks have changed.

        Raises:
            StreamCoreError: the membership has ended, or a task cannot be opened.
        """
        assert self._opening is not None
        if self._group.take_lost():
            _logger.warning(
                "other workers have got the tasks of this one, which gave no sign of life; they do again "
                "what it had not committed: %s",
                fact_text(app=holder.task_set.plan.app_id),
            )
            await self._drop_all(holder)
            return True
        assigned = self._group.assigned()
        has_changed = False
        for number, part in enumerate(holder.parts):
            leaving = [state.task.task_id for state in part.states if state.task.task_id not in assigned]
            if leaving and self._is_at_rest(part):
                holder.commit()
                if part.has_changes:  # The members are being assigned their tasks: in a moment.
                    continue
                await self._close(holder, number, leaving)
                has_changed = True
        self._opening.want([each for each in assigned if each not in self._open(holder)])
        arrived = self._opening.take(
            lambda task_id: self._is_at_rest(holder.parts[holder.task_set.group_of(task_id)])
        )
        if arrived and self._add(holder, arrived):
            has_changed = True
        if has_changed:
            holder.renew_parts()
        self._group.keep_only(self._open(holder) | self._opening.held())
        return has_changed

    async def commit_rest(self, holder: TaskHolder, waking: Waking) -> None:
        """Commit, before the worker stops, what the group did not take because of a rebalance."""
        deadline_s = self._clock.monotonic_s() + _LAST_COMMIT_WAIT_S
        while self._clock.monotonic_s() < deadline_s and any(
            part.has_changes for part in holder.parts if not part.is_busy and not part.is_lost
        ):
            await waking.wait(_LAST_COMMIT_EVERY_S)
            holder.commit()

    async def _drop_all(self, holder: TaskHolder) -> None:
        """Close all tasks without a commit: what they did since the last one is done by their new owners."""
        for number, part in enumerate(holder.parts):
            await part.abandon()
            part.outputs.clear()  # They outlive the tasks: the next commit must not write them.
            await self._close(holder, number, [state.task.task_id for state in part.states])
        holder.renew_parts()
        assert self._opening is not None
        self._group.keep_only(self._opening.held())

    def close(self) -> None:
        """Leave the group. Call it once the engines are closed, for then others take over."""
        self._group.close()

    def stop_opening(self) -> None:
        """Open no more tasks."""
        if self._opening is not None:
            self._opening.close()

    def _add(self, holder: TaskHolder, states: Sequence[TaskState]) -> bool:
        """Add open tasks; return false if the group does not take their first offsets now."""
        assert self._opening is not None
        membership = self._group.membership
        if membership is not None:
            with contextlib.suppress(StaleGenerationError, RebalanceInProgressError):
                holder.task_set.add(states, membership)
                return True
        self._opening.put_back(states)
        return False

    async def _close(self, holder: TaskHolder, number: int, tasks: Sequence[TaskId]) -> None:
        for state in holder.task_set.groups[number]:
            if state.task.task_id in tasks:
                await state.task.close()
        holder.task_set.remove(tasks)

    def _is_at_rest(self, part: Part) -> bool:
        """Whether a part is at rest; otherwise the events under way are the last of its round."""
        if part.is_busy and not part.has_ended:
            part.cut(self._clock.now_ms())
        return not part.is_busy

    @staticmethod
    def _open(holder: TaskHolder) -> set[TaskId]:
        return {state.task.task_id for state in holder.task_set.states}
