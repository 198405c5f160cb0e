"""The open engines of a worker's tasks, by task."""

from __future__ import annotations

from typing import Protocol

from streamcore.state.engine import KeyValueEngine


class EngineSource(Protocol):
    """Opens the engines of tasks: on disk, or in memory."""

    def open(self, app: str, task: str) -> KeyValueEngine:
        """Open the state of a task; a new task has none yet."""


class OpenEngines:
    """Opens the engine of each task once, and closes it when the worker gives up the task.

    Tasks that are opened again, because their topics have changed, keep their engine.
    """

    def __init__(self, engines: EngineSource) -> None:
        self._engines = engines
        self._open: dict[str, KeyValueEngine] = {}

    def open(self, app: str, task: str) -> KeyValueEngine:
        """Return the engine of a task.

        Raises:
            DirectoryInUseError: another process has it open.
        """
        engine = self._open.get(task)
        if engine is None:
            engine = self._open[task] = self._engines.open(app, task)
        return engine

    def close(self, task: str) -> None:
        """Close the engine of a task, if it is open."""
        engine = self._open.pop(task, None)
        if engine is not None:
            engine.close()

    def close_all(self) -> None:
        """Close every engine; a start after an orderly stop has nothing to restore."""
        for task in list(self._open):
            self.close(task)
