"""Deletes processed records of repartition topics, which no other reader needs and which would only grow."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from streamcore.errors import RetriableError, UsageError
from streamcore.log.client.port import Log
from streamcore.processing.runtime.commit import TaskState
from streamcore.processing.topology.plan import Plan

_logger = logging.getLogger(__name__)


class RepartitionPurge:
    """Deletes processed records of repartition topics, once in an interval."""

    def __init__(self, log: Log, interval_ms: int, now_ms: int) -> None:
        self._log = log
        self._interval_ms = interval_ms
        self._last_ms = now_ms
        self._has_failed = False

    def purge_if_due(self, plan: Plan, states: Iterable[TaskState], now_ms: int) -> None:
        """Delete the records that the tasks have committed, once the interval is over.

        A log that does not permit the deletion, or fails, is logged once: the topics grow, and results are
        right.
        """
        if now_ms - self._last_ms < self._interval_ms:
            return
        self._last_ms = now_ms
        topics = {topic.name for topic in plan.topics if topic.internal}
        processed = {
            partition: offset
            for state in states
            for partition, offset in state.committed.items()
            if partition.topic in topics
        }
        try:
            starts = self._log.offsets(processed)
            self._log.delete_records(
                {
                    partition: offset
                    for partition, offset in processed.items()
                    if offset > starts[partition].log_start
                }
            )
        except (UsageError, RetriableError) as error:
            if not self._has_failed:
                _logger.warning("what is processed stays in the repartition topics: %s", error)
            self._has_failed = True
