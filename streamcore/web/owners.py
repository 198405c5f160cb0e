"""Which worker has each task of an application, and at which address its HTTP server answers.

The members of the application's group name both: their assignment stands for tasks
(``runtime.task_group``), and their client id ends with the address. The group is asked when a task has no
known owner, at most once a second, and when a worker says that it does not have a task. Until an owner says
so, what is known holds: an answer is never wrong, because only the owner of a task gives it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from streamcore.errors import StreamCoreError, fact_text
from streamcore.log.client.group_log import MemberSummary
from streamcore.model import TopicName
from streamcore.processing.runtime.running import Worker
from streamcore.processing.runtime.task import TaskId
from streamcore.processing.runtime.task_group import leading_topics
from streamcore.processing.runtime.worker_presence import address_in, worker_in

_logger = logging.getLogger(__name__)

_ASK_EVERY_S: Final = 1.0
_ASK_AGAIN_S: Final = 0.1
"""The least time between two requests if an owner has said that it does not have a task any more."""
_WAIT_S: Final = 3.0
"""How long a query waits for the broker that describes the group."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A worker that has a task."""

    worker: str
    address: str | None
    """``HOST:PORT`` of its HTTP server; ``None`` if it has none."""


class Owners:
    """The owners of tasks, as the group last named them. Safe to share between threads."""

    def __init__(
        self,
        members: Callable[[], Iterable[MemberSummary]],
        leading: Callable[[], Mapping[TopicName, str]],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask nothing yet.

        Args:
            members: returns the members of the application's group.
            leading: returns the topics whose partitions stand for tasks, with their sub-topologies.
        """
        self._members = members
        self._leading = leading
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._owners: Mapping[TaskId, Owner] = {}
        self._asked_s: float | None = None
        self._answered: threading.Event | None = None

    def of(self, tasks: Collection[TaskId], *, refused: bool = False) -> Mapping[TaskId, Owner]:
        """Return the owners of tasks; a task that no worker has, as far as is known, is left out.

        Args:
            refused: the owner that is known for one of these tasks has said that it does not have it.
        """
        if refused:
            self._ask(_ASK_AGAIN_S)
        elif any(task not in self._owners for task in tasks):
            self._ask(_ASK_EVERY_S)
        owners = self._owners
        return {task: owners[task] for task in tasks if task in owners}

    def all(self) -> Collection[Owner]:
        """Return the workers that have tasks, as the group names them now, at most a second ago."""
        self._ask(_ASK_EVERY_S)
        return set(self._owners.values())

    def _ask(self, pause_s: float) -> None:
        """Ask the group, unless it was asked a moment ago; wait for the answer for a few seconds."""
        with self._lock:
            answered = self._answered
            if answered is None:
                now_s = self._monotonic_s()
                if self._asked_s is not None and now_s - self._asked_s < pause_s:
                    return
                self._asked_s = now_s
                answered = self._answered = threading.Event()
                threading.Thread(
                    target=self._learn, args=(answered,), name="streamcore-owners", daemon=True
                ).start()
        answered.wait(_WAIT_S)

    def _learn(self, answered: threading.Event) -> None:
        try:
            self._owners = owners_in(list(self._members()), self._leading(), self._owners)
        except StreamCoreError as error:
            _logger.warning(
                "the workers of the application are not known, queries go to those known before: %s",
                fact_text(error=error),
            )
        finally:
            with self._lock:
                self._answered = None
            answered.set()


def owners_of_worker(worker: Worker) -> Owners:
    """Return the owners of the tasks of a worker's application."""

    def leading() -> Mapping[TopicName, str]:
        task_set = worker.tasks.task_set
        return leading_topics(task_set.plan, task_set.counts)

    return Owners(lambda: worker.log.group_members(worker.app.app_id), leading)


def owners_in(
    members: Collection[MemberSummary],
    leading: Mapping[TopicName, str],
    former: Mapping[TaskId, Owner],
) -> dict[TaskId, Owner]:
    """Return the owners of tasks by the description of a group.

    While the members agree on an assignment, Apache Kafka describes none: then the owners before, who keep
    most of their tasks, are returned, without workers that have left.
    """
    owners = {
        member.member_id: Owner(worker_in(member.client_id), address_in(member.client_id))
        for member in members
    }
    if not any(member.assignment for member in members):
        present = set(owners.values())
        return {task: owner for task, owner in former.items() if owner in present}
    return {
        TaskId(leading[partition.topic], partition.partition): owners[member.member_id]
        for member in members
        for partition in member.assignment
        if partition.topic in leading
    }
