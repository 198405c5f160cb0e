"""Fetches records into the record queues of all tasks of a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streamcore.clock import Clock
from streamcore.errors import OffsetOutOfRangeError
from streamcore.log.client.port import Log, Reader
from streamcore.model import Offset, TopicPartition
from streamcore.processing.runtime.commit import TaskState
from streamcore.processing.runtime.input_watch import InputWatch
from streamcore.processing.runtime.inputs import RecordQueue, warn_of_gap
from streamcore.processing.runtime.settings import WorkerSettings
from streamcore.processing.runtime.task_set import TaskSet

_FETCH_BYTES_MIN: Final = 16 << 10


class InputFetcher:
    """Fetches the inputs of one task set, and checks how far they are committed. For the worker's thread.

    The queues share ``buffered_bytes_max``: the more inputs, the smaller a fetch.
    """

    def __init__(
        self, task_set: TaskSet, reader: Reader, log: Log, clock: Clock, settings: WorkerSettings
    ) -> None:
        """Read nothing yet; ``assign`` begins."""
        self._reader = reader
        self._log = log
        self._clock = clock
        self._settings = settings
        self._queues: list[tuple[TaskState, RecordQueue]] = []
        self.watch = InputWatch(task_set.plan.sub_topologies, task_set.counts)
        self._ahead_ms = settings.ahead_ms
        self._fetch_bytes = settings.fetch_bytes_max

    def assign(self, task_set: TaskSet) -> None:
        """Read the inputs of the open tasks, each from where its queue has read it."""
        self._queues = [(state, queue) for state in task_set.states for queue in state.task.inputs]
        for rank, (_, queue) in enumerate(self._queues):
            queue.rank = rank
        self._reader.assign({queue.partition: queue.fetch_position for _, queue in self._queues})
        share_bytes = self._settings.buffered_bytes_max // max(1, len(self._queues))
        self._fetch_bytes = min(self._settings.fetch_bytes_max, max(_FETCH_BYTES_MIN, share_bytes))

    def fill(self, queue: RecordQueue) -> None:
        """Fill an empty queue with the next records of its partition, if there are any.

        Raises:
            OffsetOutOfRangeError: the log ends before the offset of the queue.
            UnknownTopicError: the topic was deleted.
            RetriableError: the log does not answer.
        """
        while queue.is_empty:
            try:
                fetched = self._reader.fetch(queue.partition, bytes_max=self._fetch_bytes)
            except OffsetOutOfRangeError:
                # Retention or DeleteRecords removed records before they were fetched: they are lost.
                log_start = self._log.offsets([queue.partition])[queue.partition].log_start
                if log_start <= queue.position:
                    raise
                warn_of_gap(queue.partition, queue.position, log_start)
                queue.position = log_start
                self._reader.assign({each.partition: each.fetch_position for _, each in self._queues})
                continue
            queue.caught_up = fetched is None
            if fetched is None:
                return
            now_ms = self._clock.now_ms()
            ahead = queue.fill(fetched, now_ms, self._ahead_ms)
            self.watch.look(queue.partition, fetched, ahead, now_ms)

    def is_caught_up(self, written: Mapping[TopicPartition, Offset]) -> bool:
        """Whether all records of every input, up to its present end, are committed.

        Args:
            written: the end offsets of what the tasks wrote; the log may show them slightly later.

        Raises:
            UnknownTopicError: a topic was deleted.
        """
        return all(
            queue.is_empty
            and state.committed.get(queue.partition) == queue.position
            and queue.position >= written.get(queue.partition, 0)
            and queue.position >= self._reader.visible_end(queue.partition)
            for state, queue in self._queues
        )
