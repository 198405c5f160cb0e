"""Detects changes of a worker's topics while it runs: added partitions, or a topic that was created again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias
from uuid import UUID

from streamcore.clock import Clock
from streamcore.errors import RetriableError
from streamcore.log.client.port import Log
from streamcore.model import TopicName
from streamcore.processing.topology.plan import Plan
from streamcore.state.changelog import changelog_topic

_Seen: TypeAlias = Mapping[TopicName, tuple[UUID, int]]


class TopicWatch:
    """Compares topics, at intervals, with their state at the creation of this object. For one thread."""

    def __init__(self, log: Log, plan: Plan, clock: Clock, interval_ms: int) -> None:
        """Read the topics of a plan.

        Args:
            interval_ms: how long an answer is valid.
        """
        self._log = log
        self._clock = clock
        self._interval_ms = interval_ms
        self._names = [topic.name for topic in plan.topics]
        self._names += [
            changelog_topic(plan.app_id, store.name)
            for sub_topology in plan.sub_topologies
            for store in sub_topology.stores
            if store.source_topic is None
        ]
        self._first = self._look()
        self._due_ms = clock.now_ms() + interval_ms
        self._has_changed = False

    def sees_change(self, *, now: bool = False) -> bool:
        """Whether a topic has changed; with ``now`` the topics are read at once.

        A broker that does not answer changes nothing, unless ``now`` is given: then the topics count
        as changed, because it is not known that they are the same.
        """
        if not now and not self._has_changed and self._clock.now_ms() < self._due_ms:
            return False
        try:
            self._has_changed = self._look() != self._first
        except RetriableError:
            return now
        finally:
            self._due_ms = self._clock.now_ms() + self._interval_ms
        return self._has_changed

    def has_other_topics(self) -> bool:
        """Whether a topic was deleted, or another one of its name exists."""
        now = {name: topic_id for name, (topic_id, _) in self._look().items()}
        return now != {name: topic_id for name, (topic_id, _) in self._first.items()}

    def _look(self) -> _Seen:
        found = self._log.described(self._names)
        return {name: (topic.topic_id, topic.partition_count) for name, topic in found.items()}
