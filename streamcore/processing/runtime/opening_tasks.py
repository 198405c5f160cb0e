"""Opens a worker's tasks in another thread, so that its other tasks go on while state is restored."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final

from streamcore.errors import DirectoryInUseError, RetriableError
from streamcore.processing.runtime.commit import TaskState
from streamcore.processing.runtime.opening import TaskNotWantedError
from streamcore.processing.runtime.task import TaskId
from streamcore.processing.runtime.task_set import TaskSet

_TRY_AGAIN_S: Final = 0.1
_WAIT_S: Final = 120.0
"""How long another worker may hold the state of a task, or its transaction the task's offsets."""


class OpeningTasks:
    """Opens tasks one after the other. For the worker's thread."""

    def __init__(self, task_set: TaskSet, opened: Callable[[], None]) -> None:
        """``opened`` is called, from another thread, when ``take`` has a task or an error."""
        self._task_set = task_set
        self._opened = opened
        self._changed = threading.Condition()
        self._waiting: deque[TaskId] = deque()
        self._wanted: frozenset[TaskId] = frozenset()
        self._current: TaskId | None = None
        self._ready: dict[TaskId, TaskState] = {}
        self._failure: BaseException | None = None
        self._is_closed = False
        self._thread: threading.Thread | None = None

    def want(self, tasks: Collection[TaskId]) -> None:
        """Open these tasks, those that are not open or under way; drop what is not wanted any more."""
        with self._changed:
            self._wanted = frozenset(tasks)
            known = {*self._ready, *self._waiting, self._current}
            self._waiting = deque(each for each in self._waiting if each in self._wanted)
            self._waiting += sorted(
                (each for each in self._wanted if each not in known),
                key=lambda each: (each.sub_topology, each.partition),
            )
            for task_id in [each for each in self._ready if each not in self._wanted]:
                del self._ready[task_id]
                self._task_set.remove([task_id])
            if self._waiting and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="streamcore-opening", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    @property
    def is_busy(self) -> bool:
        """Whether there are tasks that are not taken yet."""
        with self._changed:
            return bool(self._ready or self._waiting or self._current is not None)

    def held(self) -> set[TaskId]:
        """Return the tasks whose state is open, or is being opened, and that are not taken."""
        with self._changed:
            return {*self._ready, *([] if self._current is None else [self._current])}

    def take(self, is_welcome: Callable[[TaskId], bool]) -> list[TaskState]:
        """Return the tasks that are open and that may be added now.

        Raises:
            StreamCoreError: a task cannot be opened.
        """
        with self._changed:
            if self._failure is not None:
                raise self._failure
            return [self._ready.pop(task_id) for task_id in list(self._ready) if is_welcome(task_id)]

    def put_back(self, states: Sequence[TaskState]) -> None:
        """Take back tasks that could not be added now; ``take`` returns them again."""
        with self._changed:
            self._ready.update((state.task.task_id, state) for state in states)

    def close(self) -> None:
        """Open nothing more, and close what was not taken. A restore under way stops at its next chunk."""
        with self._changed:
            self._is_closed = True
            self._wanted = frozenset()
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._task_set.remove(list(self._ready))
        self._ready.clear()

    def is_wanted(self, task_id: TaskId) -> bool:
        """Whether a task is still to be opened. For any thread."""
        return task_id in self._wanted and not self._is_closed

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if self._is_closed:
                    return
                task_id = self._current = self._waiting.popleft()
            state, failure = self._open(task_id)
            with self._changed:
                self._current = None
                if state is not None and self.is_wanted(task_id):
                    self._ready[task_id] = state
                else:
                    self._task_set.remove([task_id])
                    self._failure = self._failure or failure
                    if failure is None and self.is_wanted(task_id):
                        self._waiting.append(task_id)  # Given up while it was opened, and wanted again.
            self._opened()

    def _open(self, task_id: TaskId) -> tuple[TaskState | None, BaseException | None]:
        """Return the open task, or why it cannot be opened; neither, if it was not wanted meanwhile."""
        deadline_s = time.monotonic() + _WAIT_S
        while True:
            try:
                return self._task_set.open(task_id, lambda: self.is_wanted(task_id)), None
            except (DirectoryInUseError, RetriableError) as error:
                # The worker that had the task before closes it, or is killed; its transaction ends.
                if not self.is_wanted(task_id):
                    return None, None
                if time.monotonic() >= deadline_s:
                    return None, error
                time.sleep(_TRY_AGAIN_S)
            except TaskNotWantedError:
                return None, None
            except BaseException as error:  # noqa: BLE001 - raised in the worker's thread
                return None, error
