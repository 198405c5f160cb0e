"""Opens the engine of each task once, also where the tasks are opened again."""

from __future__ import annotations

from streamcore.processing.runtime.task_set import EngineSource
from streamcore.state.engine import KeyValueEngine


class OpenEngines:
    """Opens the engine of each task once: tasks that are opened again keep theirs."""

    def __init__(self, engines: EngineSource) -> None:
        self._engines = engines
        self._open: dict[str, KeyValueEngine] = {}

    def open(self, app: str, task: str) -> KeyValueEngine:
        """Return the engine of a task."""
        if task not in self._open:
            self._open[task] = self._engines.open(app, task)
        return self._open[task]
