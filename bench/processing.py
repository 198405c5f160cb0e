"""Run an application over loaded events to their end, and restore its state from the changelog.

The measured part is ``run_until_end`` of the public ``Worker`` with its defaults: RocksDB, exactly-once, a
commit every 100 ms, every commit durable. Opening and checking are not measured.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from bench.applications import Check, make_application
from bench.usage import Cost, measured
from streamcore.processing.runtime.running import Worker, new_event_loop

R = TypeVar("R")


def process_events(folder: Path, work: str, value_type: str, count: int) -> Cost:
    """Process the ``count`` events in ``folder``; assert that the answers are right."""
    app, check = make_application(work, value_type)

    async def run() -> Cost:
        worker = Worker(app, data=folder)
        await worker.open()
        try:
            with measured() as cost:
                await worker.run_until_end()
            _ensure_right(worker, check, count)
        finally:
            await worker.stop()
        return cost

    return _run(run)


def restore_state(folder: Path, work: str, value_type: str) -> tuple[Cost, int]:
    """Delete the state in ``folder`` and open the application; return also how many records were replayed.

    The measured part is ``Worker.open``, including the opening of the log.
    """
    shutil.rmtree(folder / "state")
    app, _ = make_application(work, value_type)

    async def run() -> tuple[Cost, int]:
        worker = Worker(app, data=folder)
        with measured() as cost:
            await worker.open()
        try:
            changelogs = [
                source for state in worker.tasks.task_set.states for source in state.changelogs.values()
            ]
            offsets = worker.log.offsets(changelogs).values()
            assert any(True for table in worker.table_names() for _ in worker.table(table).all())
            return cost, sum(each.log_end - each.log_start for each in offsets)
        finally:
            await worker.stop()

    return _run(run)


def _ensure_right(worker: Worker, check: Check, count: int) -> None:
    processed = sum(state.task.processed_count for state in worker.tasks.task_set.states)
    assert processed >= count, f"{processed} events of {count}"
    check(worker, count)


def _run(work: Callable[[], Coroutine[Any, Any, R]]) -> R:
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(work())
