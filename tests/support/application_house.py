"""A log on a simulated disk and the state beside it, for applications that start, stop and change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamcore as sc
from streamcore.clock import ManualClock
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.model import RecordColumns, TopicPartition
from streamcore.processing.runtime.settings import WorkerSettings
from streamcore.processing.runtime.table_query import table_query
from streamcore.processing.runtime.worker import TaskWorker
from streamcore.state.engine import KeyValueEngine
from streamcore.state.memory import MemoryEngine
from streamcore.testing.sim_disk import SimDisk

START_MS = 1_700_000_000_000


class _Kept(MemoryEngine):
    """Memory that a closed task leaves behind, as a disk would."""

    def close(self) -> None:
        """Keep everything."""


class House:
    """One log, the state of its tasks, and workers one after the other."""

    def __init__(self) -> None:
        self.clock = ManualClock(START_MS)
        self.disk = SimDisk(0)
        self.engines: dict[str, _Kept] = {}
        self.log = self._opened()

    def _opened(self) -> EmbeddedLog:
        return EmbeddedLog.open(Path("/log"), clock=self.clock, file_system=self.disk, maintenance=False)

    def open(self, app: str, task: str) -> KeyValueEngine:
        """The state of a task, as an ``EngineSource`` gives it."""
        return self.engines.setdefault(task, _Kept())

    def lose_state(self) -> None:
        """Delete ``state/``."""
        self.engines.clear()

    def lose_log(self) -> None:
        """Begin with another, empty log."""
        self.log.close()
        self.disk = SimDisk(1)
        self.log = self._opened()

    def produce(self, topic: str, *pairs: tuple[str, object], partition: int = 0) -> None:
        """Append records of text keys and JSON values."""
        keys: list[bytes | None] = [key.encode() for key, _ in pairs]
        values: list[bytes | None] = [str(value).encode() for _, value in pairs]
        columns = RecordColumns(keys, values, [self.clock.now_ms()] * len(keys))
        producer = self.log.producer_port()
        producer.append_columns(TopicPartition(topic, partition), columns).result()
        producer.close()

    def worker(self, app: sc.App, **settings: Any) -> TaskWorker:
        """A worker that has opened its tasks. For use within ``asyncio.run``."""
        return TaskWorker(app.declared(), self.log, self, self.clock, WorkerSettings(**settings))

    def run(self, app: sc.App, table: str | None = None, **settings: Any) -> Mapping[Any, Any]:
        """Process what is there, and return the table."""

        async def work() -> Mapping[Any, Any]:
            worker = self.worker(app, **settings)
            try:
                await worker.run_until_end()
                return {} if table is None else table_of(worker, table)
            finally:
                await worker.close()

        return asyncio.run(work())


def table_of(worker: TaskWorker, table: str) -> Mapping[Any, Any]:
    """What a table holds."""
    view = table_query(lambda: worker.task_set, table, lambda *_: None, lambda: True)
    return {answer.key: answer.value for answer in view.all()}


def counting(topic: str = "numbers", **options: Any) -> sc.App:
    """An application that counts the records of each key, in the table ``counts``."""
    app = sc.App("counting", **options)
    app.topic(topic, key=str, value=int).count("counts")
    return app
