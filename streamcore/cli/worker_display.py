"""The output of ``streamcore worker``: the plan, the progress of restore and processing, a summary.

On a terminal, restore and processing have progress bars; elsewhere they are plain lines, so that a log file
stays readable.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamcore.cli.output import print_line, print_note, progress_bar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from streamcore.log.client.port import Log
    from streamcore.processing.runtime.inputs import RecordQueue
    from streamcore.processing.runtime.worker import TaskWorker
    from streamcore.processing.topology.nodes import StoreSpec
    from streamcore.processing.topology.plan import Plan

_LINE_EVERY_S = 2.0


def say(text: str) -> None:
    """Print a line and flush it, also into a pipe."""
    print_line(text)
    sys.stdout.flush()


def plan_lines(plan: Plan, counts: Mapping[str, int]) -> list[str]:
    """Return the worker's plan as lines: topics with their partitions, tables, tasks."""
    from streamcore.processing.topology.plan import task_count

    tasks = {found.name: task_count(found, counts) for found in plan.sub_topologies}
    inputs = {entry.topic.name for found in plan.sub_topologies for entry in found.inputs}
    inputs |= {table.topic.name for table in plan.global_tables}
    topics = [topic for topic in plan.topics if not topic.internal]
    read = [_with_partitions(topic.name, counts) for topic in topics if topic.name in inputs]
    written = [_with_partitions(topic.name, counts) for topic in topics if topic.name not in inputs]
    internal = [_with_partitions(topic.name, counts) for topic in plan.topics if topic.internal]
    tables = [_table_text(store) for found in plan.sub_topologies for store in found.stores]
    tables += [f"{table.store.name} (global)" for table in plan.global_tables]
    lines = [
        ("reads", read),
        ("writes", written),
        ("between", internal),
        ("tables", tables),
        ("tasks", [f"{sum(tasks.values())}: " + ", ".join(f"{name} x {n}" for name, n in tasks.items())]),
    ]
    return [f"  {title:<8} {', '.join(words)}" for title, words in lines if words]


def _with_partitions(topic: str, counts: Mapping[str, int]) -> str:
    count = counts.get(topic, 1)
    return f"{topic} ({count} partition{'s'[: count != 1]})"


def _table_text(store: StoreSpec) -> str:
    if store.windows is None:
        return store.name
    return f"{store.name} ({store.windows.text})"


class RestoreDisplay:
    """Shows the progress of restores; prints nothing if there is nothing to restore."""

    def __init__(self) -> None:
        self.stores: dict[str, tuple[int, int]] = {}
        """For each store, how many changelog records are replayed, and of how many."""
        self._is_tty = sys.stderr.isatty()
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told_s: dict[str, float] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        """Set the progress of a store."""
        self.stores[name] = (done, total)
        if self._is_tty:
            self._draw(name, done, total)
        else:
            self._tell(name, done, total)

    def _draw(self, name: str, done: int, total: int) -> None:
        if self._bars is None:
            self._bars = progress_bar()
            self._bars.start()
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(f"restoring {name}", total=total)
        self._bars.update(self._tasks[name], completed=done, total=total)
        if done >= total:
            self._bars.remove_task(self._tasks.pop(name))

    def _tell(self, name: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if done < total and now_s - self._told_s.setdefault(name, now_s) < _LINE_EVERY_S:
            return
        self._told_s[name] = now_s
        say(f"restoring {name}: {done:,} of {total:,} records")

    def close(self) -> None:
        """Remove the progress bars."""
        bars, self._bars = self._bars, None
        if bars is not None:
            bars.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ProcessingDisplay:
    """Counts what a worker has processed since this was made, and shows it while it runs to the end."""

    def __init__(self, tasks: TaskWorker, log: Log) -> None:
        self._tasks = tasks
        self._log = log
        self._started_s = time.monotonic()
        self._begun_at = sum(queue.position for queue in self._inputs())
        self._bars: Progress | None = progress_bar() if sys.stderr.isatty() else None
        self._bar = self._bars.add_task("processing", total=None) if self._bars is not None else None

    @property
    def is_shown(self) -> bool:
        """Whether stderr is a terminal."""
        return self._bars is not None

    def update(self) -> None:
        """Draw how far the inputs are read."""
        if self._bars is None or self._bar is None:
            return
        inputs = self._inputs()
        marks = self._log.offsets([queue.partition for queue in inputs])
        self._bars.update(
            self._bar,
            completed=sum(queue.position for queue in inputs) - self._begun_at,
            total=sum(mark.last_stable for mark in marks.values()) - self._begun_at,
        )

    def summary(self) -> str:
        """Return how much was processed, and how fast."""
        elapsed_s = max(time.monotonic() - self._started_s, 1e-6)
        outside = inside = 0
        for state in self._tasks.task_set.states:
            if all(queue.topic.internal for queue in state.task.inputs):
                inside += state.task.processed_count
            else:
                outside += state.task.processed_count
        parts = [f"processed {_records(outside)} in {elapsed_s:.1f} s, {outside / elapsed_s:,.0f} a second"]
        if inside:
            parts.append(f"{inside:,} more from repartition topics")
        late = sum(self._tasks.late_counts.values())
        if late:
            parts.append(f"{_records(late)} late")
        failures = self._tasks.task_set.builder.failures.counts
        parts += [f"{_records(count)} failed in {node} ({how})" for (node, how), count in failures.items()]
        return "; ".join(parts)

    def _inputs(self) -> list[RecordQueue]:
        """Return the external inputs; repartition topics grow while they are read and would mislead."""
        return [
            queue
            for state in self._tasks.task_set.states
            for queue in state.task.inputs
            if not queue.topic.internal
        ]

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()


def _records(count: int) -> str:
    return f"{count:,} record{'s'[: count != 1]}"


def tell_stop(signal_name: str, stopping: str) -> None:
    """Print the signal's name, what the program does now, and how to end it at once."""
    again = "press Ctrl-C again" if signal_name == "SIGINT" else f"send {signal_name} again"
    print_note(f"{signal_name}: {stopping}; {again} to stop at once")
