"""The topics of the log as groups see them: by name, by id, and with a count of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Final, Protocol

from streamcore.log.broker.cluster_state import TOPIC as STATE_TOPIC
from streamcore.log.storage.topics.topic_registry import TopicState
from streamcore.model import TopicName

_HASH_BYTES: Final = 8


class TopicSource(Protocol):
    """The source of all topics."""

    @property
    def change_count(self) -> int:
        """The number of times that a topic was created, changed or deleted."""

    @property
    def topics(self) -> Mapping[TopicName, TopicState]:
        """All topics by name."""

    @property
    def names(self) -> Mapping[bytes, TopicName]:
        """The names of topics by the bytes of their ids."""


class GroupTopics:
    """All topics as they are now."""

    def __init__(self, source: TopicSource) -> None:
        self._source = source

    @property
    def version(self) -> int:
        """A number that grows whenever a topic is created, changed or deleted."""
        return self._source.change_count

    def names(self, may_see: Callable[[TopicName], bool]) -> Iterable[TopicName]:
        """The names of all topics that clients may see, without the one of the cluster state."""
        return [name for name in self._source.topics if name != STATE_TOPIC and may_see(name)]

    def name_of(self, topic_id: bytes) -> TopicName | None:
        """Return the name of the topic with an id."""
        return self._source.names.get(topic_id)

    def id_of(self, name: TopicName) -> bytes | None:
        """Return the id of the topic that has a name now."""
        topic = self._source.topics.get(name)
        return None if topic is None else topic.topic_id.bytes

    def counts(self, names: Iterable[TopicName]) -> dict[bytes, int]:
        """Return the partition counts of the topics that exist, by their ids."""
        topics = self._source.topics
        return {
            topic.topic_id.bytes: topic.partition_count
            for name in names
            if (topic := topics.get(name)) is not None
        }

    def hash_of(self, names: Iterable[TopicName]) -> int:
        """Return a number that changes when one of these topics is created, deleted or grows; 0 if none
        exists.
        """
        counts = self.counts(names)
        if not counts:
            return 0
        hashed = blake2b(digest_size=_HASH_BYTES)
        for topic_id in sorted(counts):
            hashed.update(topic_id + counts[topic_id].to_bytes(4, "big"))
        return int.from_bytes(hashed.digest(), "big", signed=True)
