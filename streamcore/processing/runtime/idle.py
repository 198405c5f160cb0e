"""Advances event time when a source that declares ``idle_after`` has no new records.

Once no input of a task has received a record for ``idle_after``, the task's stream time advances with the
clock: by the time since the last record arrived. Windows then close when their end would have passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamcore.processing.runtime.commit import TaskState
from streamcore.processing.runtime.task import Task
from streamcore.processing.topology.times import NO_TIME


@dataclass(slots=True)
class _Watched:
    task: Task
    idle_after_ms: int
    processed_count: int
    last_record_ms: int
    stream_time_ms: int


class IdleTime:
    """Watches the tasks whose inputs all declare ``idle_after``."""

    def __init__(self, states: Sequence[TaskState], now_ms: int) -> None:
        self._watched: list[_Watched] = []
        for state in states:
            task = state.task
            spans = [queue.topic.idle_after_ms for queue in task.inputs]
            declared = [span for span in spans if span is not None]
            if declared and len(declared) == len(spans):
                self._watched.append(_Watched(task, max(declared), 0, now_ms, task.time.stream_time_ms))

    def due(self, now_ms: int) -> Iterator[tuple[Task, int]]:
        """Return the idle tasks, each with the stream time to move to."""
        for watched in self._watched:
            task = watched.task
            if task.processed_count != watched.processed_count:
                watched.processed_count = task.processed_count
                watched.last_record_ms = now_ms
                watched.stream_time_ms = task.time.stream_time_ms
            silent_ms = now_ms - watched.last_record_ms
            if silent_ms >= watched.idle_after_ms and watched.stream_time_ms != NO_TIME:
                yield task, watched.stream_time_ms + silent_ms

    def next_due_ms(self, now_ms: int) -> int | None:
        """Return the time of the next check; ``None`` if nothing is watched."""
        return now_ms + min(watched.idle_after_ms for watched in self._watched) if self._watched else None
