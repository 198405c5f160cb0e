"""Detects changes of a worker's topics while it runs: added partitions, or a topic that was created again."""

from __future__ import annotations

from collections.abc import Mapping

from streamcore.clock import Clock
from streamcore.errors import RetriableError, UnknownTopicError, with_facts
from streamcore.log.client.port import Log, TopicIdentity
from streamcore.model import TopicName
from streamcore.processing.topology.plan import Plan
from streamcore.state.changelog import changelog_topic


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
        read = {entry.topic.name for part in plan.sub_topologies for entry in part.inputs}
        self._read = sorted(read & self._first.keys())
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
        now = {name: topic.topic_id for name, topic in self._look().items()}
        return now != {name: topic.topic_id for name, topic in self._first.items()}

    def ensure_read_topics(self) -> None:
        """Ask whether the topics that the tasks read still exist. Called before their offsets are committed.

        A reader over a network continues in a new topic of the same name at the old offset, without an error.

        Raises:
            UnknownTopicError: a topic was deleted, or deleted and created again: nothing may be committed.
        """
        now = self._log.identities(self._read)
        replaced = [
            name for name in self._read if name not in now or now[name].topic_id != self._first[name].topic_id
        ]
        if replaced:
            raise UnknownTopicError(
                with_facts(
                    "a topic was deleted, or deleted and created again, while it was read; what was read "
                    "is not committed",
                    topics=",".join(replaced),
                )
            )

    def _look(self) -> Mapping[TopicName, TopicIdentity]:
        return self._log.identities(self._names)
