"""Tasks that are opened in another thread: taken when they are open, closed when they are not wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Any

import pytest

import streamcore as sc
from streamcore.processing.runtime.opening import TaskNotWantedError
from streamcore.processing.runtime.opening_tasks import OpeningTasks
from streamcore.processing.runtime.task import TaskId

ONE, TWO = TaskId("totals", 1), TaskId("totals", 2)
WAIT_S = 5.0


class Opened:
    """Stands for an open task."""

    def __init__(self, task_id: TaskId) -> None:
        self.task = self
        self.task_id = task_id


class TasksToOpen:
    """A set whose tasks open when the test says so, or fail as it says."""

    def __init__(self, *failures: Exception) -> None:
        self.may_open = threading.Event()
        self.may_open.set()
        self.failures = list(failures)
        self.removed: list[TaskId] = []
        self.begun = threading.Semaphore(0)

    def open(self, task_id: TaskId, is_wanted: Callable[[], bool]) -> Any:
        self.begun.release()
        while not self.may_open.wait(0.001):
            if not is_wanted():
                raise TaskNotWantedError("the restore has ended")
        if self.failures:
            raise self.failures.pop(0)
        return Opened(task_id)

    def remove(self, ids: Collection[TaskId]) -> None:
        self.removed += ids


def opening(tasks: TasksToOpen) -> OpeningTasks:
    return OpeningTasks(tasks, lambda: None)  # type: ignore[arg-type]


def taken(found: OpeningTasks, count: int) -> set[TaskId]:
    deadline_s = time.monotonic() + WAIT_S
    ids: set[TaskId] = set()
    while len(ids) < count and time.monotonic() < deadline_s:
        ids |= {state.task.task_id for state in found.take(lambda _: True)}
    return ids


def test_wanted_tasks_are_opened_once_and_taken() -> None:
    tasks = TasksToOpen()
    found = opening(tasks)

    found.want([ONE, TWO])
    found.want([ONE, TWO])

    assert taken(found, 2) == {ONE, TWO}
    assert not found.is_busy
    found.close()
    assert tasks.removed == []


def test_a_task_whose_former_worker_still_has_it_is_tried_again() -> None:
    found = opening(TasksToOpen(sc.DirectoryInUseError("locked"), sc.RequestTimeoutError("open transaction")))

    found.want([ONE])

    assert taken(found, 1) == {ONE}
    found.close()


def test_another_error_is_raised_in_the_workers_thread() -> None:
    found = opening(TasksToOpen(sc.UsageError("the changelog is gone")))

    found.want([ONE])

    with pytest.raises(sc.UsageError, match="the changelog is gone"):
        taken(found, 1)
    found.close()


def test_a_task_that_is_not_wanted_any_more_is_closed() -> None:
    tasks = TasksToOpen()
    tasks.may_open.clear()
    found = opening(tasks)
    found.want([ONE])
    assert tasks.begun.acquire(timeout=WAIT_S)
    held = found.held()

    found.want([])
    found.close()

    assert held == {ONE}
    assert found.held() == set()
    assert tasks.removed == [ONE]


def test_a_task_that_is_wanted_again_while_it_is_given_up_is_opened() -> None:
    tasks = TasksToOpen(TaskNotWantedError("the restore has ended"))
    found = opening(tasks)

    found.want([ONE])

    assert taken(found, 1) == {ONE}
    found.close()


def test_what_was_opened_and_not_taken_is_closed_at_the_end() -> None:
    tasks = TasksToOpen()
    found = opening(tasks)
    found.want([ONE])
    states: list[Any] = []
    deadline_s = time.monotonic() + WAIT_S
    while not states and time.monotonic() < deadline_s:
        states = found.take(lambda _: True)
    found.put_back(states)

    found.close()

    assert tasks.removed == [ONE]
    assert not found.is_busy
