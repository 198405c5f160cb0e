"""Silent inputs: they stop to hold the watermark of their task, and may move it with the clock.

An input that has nothing to read for ``idle_after`` of its topic, by default a second, does not hold the
watermark until its next record. Once all inputs of a task are idle, the watermark is the highest time of any.
If a topic declares ``idle_after``, the watermark then advances with the clock, by the time since the last
record arrived: windows close when their end would have passed.

A repartition topic with marks is not silent by itself: it is idle when the tasks that write it are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from streamcore.processing.runtime.commit import TaskState
from streamcore.processing.runtime.inputs import RecordQueue
from streamcore.processing.runtime.task import Task
from streamcore.processing.topology.times import NO_TIME

IDLE_AFTER_MS: Final = 1_000
"""How long an input is silent before it is idle, if its topic does not say."""


_CLOCK_STEP_MS_MAX: Final = 1_000


@dataclass(slots=True)
class _Silence:
    """An input, and when it had its last record."""

    queue: RecordQueue
    fetch_position: int
    last_record_ms: int

    @property
    def idle_after_ms(self) -> int:
        declared_ms = self.queue.topic.idle_after_ms
        return IDLE_AFTER_MS if declared_ms is None else declared_ms


@dataclass(slots=True)
class _Watched:
    task: Task
    inputs: list[_Silence] = field(default_factory=list)

    @property
    def follows_clock(self) -> bool:
        return any(silence.queue.topic.idle_after_ms is not None for silence in self.inputs)

    @property
    def clock_step_ms(self) -> int:
        """By how much the watermark moves at least if it follows the clock."""
        return min(_CLOCK_STEP_MS_MAX, *(silence.idle_after_ms for silence in self.inputs))


class IdleTime:
    """Watches the inputs that hold watermarks by which windows close."""

    def __init__(self, states: Sequence[TaskState], now_ms: int) -> None:
        self._watched: list[_Watched] = []
        for state in states:
            task = state.task
            if not (task.sub_topology.has_windows or task.sub_topology.marked):
                continue
            silent = [queue for queue in task.holding if not queue.has_marks]
            watched = _Watched(task, [_Silence(queue, queue.fetch_position, now_ms) for queue in silent])
            has_marks = len(silent) < len(task.holding) or bool(task.sub_topology.marked)
            if len(task.holding) > 1 or watched.follows_clock or has_marks:
                self._watched.append(watched)

    def mark(self, now_ms: int, *, at_once: bool = False) -> None:
        """Note which inputs have become idle; with ``at_once``, all that have nothing to read."""
        for watched in self._watched:
            for silence in watched.inputs:
                queue = silence.queue
                if queue.fetch_position != silence.fetch_position or not queue.is_empty:
                    silence.fetch_position, silence.last_record_ms = queue.fetch_position, now_ms
                elif at_once or now_ms - silence.last_record_ms >= silence.idle_after_ms:
                    queue.is_idle = True

    def due(self, now_ms: int | None) -> Iterator[tuple[Task, int]]:
        """Yield the tasks whose watermark moves without a record, each with its new watermark.

        With ``None`` no watermark follows the clock.
        """
        for watched in self._watched:
            watermark_ms = watched.task.time.without_idle()
            if watermark_ms == NO_TIME:
                continue
            is_silent = all(queue.is_idle for queue in watched.task.holding)
            if watched.follows_clock and is_silent and now_ms is not None:
                by_clock_ms = watermark_ms + now_ms - max(each.last_record_ms for each in watched.inputs)
                # Each move is a commit, with marks that wake other tasks.
                if by_clock_ms >= watched.task.time.watermark_ms + watched.clock_step_ms:
                    watermark_ms = by_clock_ms
            if watermark_ms > watched.task.time.watermark_ms:
                yield watched.task, watermark_ms

    def next_due_ms(self, now_ms: int) -> int | None:
        """Return the time of the next check; ``None`` if no input can become idle."""
        found: list[int] = []
        for watched in self._watched:
            waiting = [silence for silence in watched.inputs if not silence.queue.is_idle]
            if waiting:
                found += [max(now_ms, silence.last_record_ms + silence.idle_after_ms) for silence in waiting]
            elif watched.follows_clock:
                found.append(now_ms + min(silence.idle_after_ms for silence in watched.inputs))
        return min(found, default=None)
