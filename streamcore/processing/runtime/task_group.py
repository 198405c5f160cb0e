"""A worker's membership in the group that shares the tasks of an application.

The group has the application's name. Its members subscribe to one input topic of each sub-topology, the one
with the most partitions (``leading_topics``): who is assigned a partition of it runs the task of this number,
with all inputs of the task. So tasks move as partitions do between consumers, by the assignor
``cooperative-sticky``: a task that stays goes on during a rebalance, and Kafka's tools show who runs what.

A thread of its own follows the group, so that a long round does not end the membership. It waits, before it
gives up tasks, until the worker has committed and closed them: the next owner finds everything committed,
and the state's folder free.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from streamcore.clock import Clock
from streamcore.errors import StreamCoreError, UsageError, fact_text
from streamcore.log.client.consumer.assignment import ConsumerAssignment
from streamcore.log.client.consumer.settings import GroupSettings
from streamcore.log.client.group_log import Member
from streamcore.log.connected_log import ConnectedLog
from streamcore.model import Membership, Offset, TopicName, TopicPartition
from streamcore.processing.runtime.task import TaskId
from streamcore.processing.topology.plan import Plan, task_count

_logger = logging.getLogger(__name__)

SESSION_S: Final = 10
"""How long a worker without a sign of life keeps its tasks."""

_FOLLOW_EVERY_S: Final = 0.1
_RELEASE_WAIT_S: Final = 60.0
"""How long the worker may take to commit and close tasks that it gives up; then it has lost them."""
_LEAVE_WAIT_S: Final = 5.0
_OTHER_PROTOCOL: Final = "INCONSISTENT_GROUP_PROTOCOL"


def leading_topics(plan: Plan, counts: Mapping[str, int]) -> dict[TopicName, str]:
    """Return the topic whose partitions stand for the tasks of each sub-topology: topic -> sub-topology."""
    found: dict[TopicName, str] = {}
    for sub_topology in plan.sub_topologies:
        names = [entry.topic.name for entry in sub_topology.inputs]
        tasks = task_count(sub_topology, counts)
        found[next(name for name in names if counts[name] == tasks)] = sub_topology.name
    return found


class TaskGroup:
    """The membership of one worker. For the worker's thread."""

    def __init__(
        self,
        log: ConnectedLog,
        app_id: str,
        clock: Clock,
        *,
        client_id: str,
        instance_id: str | None = None,
    ) -> None:
        """Prepare the membership; ``join`` begins it.

        Args:
            client_id: the name of the worker in the descriptions of the group.
            instance_id: a static member's name: a worker that starts again within the session gets its tasks
                back, and no other moves.
        """
        self._log = log
        self._app_id = app_id
        self._clock = clock
        self._settings = GroupSettings(
            assignors=("cooperative-sticky",),
            instance_id=instance_id,
            session_timeout=SESSION_S * 1000,
            heartbeat_interval="1s",
            max_poll_interval=f"{int(_RELEASE_WAIT_S * 2)}s",
            client_id=client_id,
        )
        self._changed = threading.Condition()
        self._topics: dict[TopicName, str] = {}
        self._wake: Callable[[], None] = lambda: None
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._unreleased: set[TopicPartition] = set()
        self._has_lost = False
        self._has_joined = False
        self._failure: StreamCoreError | None = None
        self._stopping = threading.Event()
        self._news = threading.Event()
        self._member: Member | None = None
        self._thread: threading.Thread | None = None

    def join(self, topics: Mapping[TopicName, str], wake: Callable[[], None]) -> None:
        """Join the group, with the leading topics of the sub-topologies.

        An application without tasks, which has only global tables, joins no group: there is nothing to share.

        Args:
            wake: called from another thread when the tasks of the worker have changed.
        """
        self._topics, self._wake = dict(topics), wake
        if not topics:
            self._has_joined = True
            return
        self._thread = threading.Thread(
            target=self._stay, name=f"streamcore-tasks-{self._app_id}", daemon=True
        )
        self._thread.start()

    @property
    def topics(self) -> Mapping[TopicName, str]:
        """The leading topics, with their sub-topologies; none before ``join``."""
        return self._topics

    @property
    def has_joined(self) -> bool:
        """Whether the group has assigned tasks to this worker, or none because others have all."""
        return self._has_joined

    @property
    def membership(self) -> Membership | None:
        """The credentials with which the worker commits; ``None`` while it may not.

        After others got its tasks, the worker may commit again once ``take_lost`` has said so: a broker takes
        the offsets of every member, whoever was assigned the partition.
        """
        membership = None if self._member is None else self._member.membership
        # In this order: what a member gets after a loss is never taken for what it had before.
        with self._changed:
            return None if self._has_lost else membership

    def assigned(self) -> frozenset[TaskId]:
        """Return the tasks that this worker is to run.

        Raises:
            StreamCoreError: the membership has ended.
        """
        with self._changed:
            if self._failure is not None:
                raise self._failure
            return frozenset(map(self._task, self._assigned))

    def take_lost(self) -> bool:
        """Whether other workers may run the tasks that this one has, since the last call."""
        with self._changed:
            has_lost, self._has_lost = self._has_lost, False
            return has_lost

    def keep_only(self, open_tasks: Collection[TaskId]) -> None:
        """Report which tasks this worker still has open: the group gives the others away."""
        with self._changed:
            self._unreleased = {each for each in self._unreleased if self._task(each) in open_tasks}
            self._changed.notify_all()

    def close(self) -> None:
        """Leave the group, so that others take over at once; a static member's tasks wait for its return."""
        self._stopping.set()
        self._news.set()
        with self._changed:
            self._changed.notify_all()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_LEAVE_WAIT_S)

    def _task(self, partition: TopicPartition) -> TaskId:
        return TaskId(self._topics[partition.topic], partition.partition)

    # --- the thread -----------------------------------------------------------------------------

    def _stay(self) -> None:
        owned = _OwnedTasks(self)
        try:
            member = self._member = self._log.join_group(
                self._app_id, sorted(self._topics), self._settings, self._news.set
            )
            while not self._stopping.is_set():
                member.follow(owned)
                if not self._has_joined and member.membership is not None:
                    self._has_joined = True
                    self._wake()
                self._news.wait(_FOLLOW_EVERY_S)
                self._news.clear()
        except StreamCoreError as error:
            with self._changed:
                self._failure = self._explained(error)
            self._wake()
        finally:
            if self._member is not None:
                self._member.stop()

    def _explained(self, error: StreamCoreError) -> StreamCoreError:
        if isinstance(error, UsageError) and _OTHER_PROTOCOL in str(error):
            return UsageError(
                "the worker cannot share the application's tasks: a worker that runs it alone on its folder, "
                "or an older version, is in the group; stop that one first. "
                f"{error} {fact_text(app=self._app_id)}"
            )
        return error

    def _add(self, partitions: Sequence[TopicPartition]) -> None:
        with self._changed:
            self._assigned |= {each for each in partitions if each.topic in self._topics}
        self._wake()

    def _give_up(self, partitions: Sequence[TopicPartition]) -> None:
        """Take tasks from the worker, and wait until it has closed them."""
        deadline_s = self._clock.monotonic_s() + _RELEASE_WAIT_S
        with self._changed:
            self._unreleased |= self._assigned & frozenset(partitions)
            self._assigned -= frozenset(partitions)
            self._wake()
            while self._unreleased and not self._stopping.is_set():
                left_s = deadline_s - self._clock.monotonic_s()
                if left_s <= 0:
                    _logger.warning(
                        "tasks are given to other workers although their last events have not ended; "
                        "what these did is not committed: %s",
                        fact_text(
                            app=self._app_id, tasks=",".join(map(str, map(self._task, self._unreleased)))
                        ),
                    )
                    self._has_lost = True
                    self._unreleased = set()
                    return
                self._changed.wait(left_s)

    def _lose(self) -> None:
        """Take all tasks from the worker: the group has removed it, and others may run them already."""
        with self._changed:
            if self._assigned:
                self._has_lost = True
            self._assigned = frozenset()
        self._wake()

    def _partitions(self) -> tuple[TopicPartition, ...]:
        with self._changed:
            return tuple(sorted(self._assigned))


class _OwnedTasks(ConsumerAssignment):
    """The partitions that stand for the worker's tasks, as a member of a group reports them."""

    def __init__(self, group: TaskGroup) -> None:
        self._tasks = group

    def __contains__(self, partition: TopicPartition) -> bool:
        return partition in self._tasks._partitions()

    def partitions(self) -> tuple[TopicPartition, ...]:
        """Return the partitions assigned now."""
        return self._tasks._partitions()

    def take(
        self, partitions: Sequence[TopicPartition], starts: Mapping[TopicPartition, Offset] | None = None
    ) -> None:
        """Add partitions."""
        self._tasks._add(partitions)

    def accept(self, partitions: Sequence[TopicPartition]) -> None:
        """Add partitions."""
        self._tasks._add(partitions)

    def revoke(self, partitions: Sequence[TopicPartition]) -> None:
        """Remove partitions once the worker has closed their tasks."""
        if partitions:
            self._tasks._give_up(partitions)

    def lose(self, partitions: Sequence[TopicPartition]) -> None:
        """Remove all partitions at once."""
        self._tasks._lose()
