"""The topics of the log as groups see them: by name, by id, and whether anything has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Final, Protocol

from streamcore.log.broker.cluster_state import TOPIC as STATE_TOPIC
from streamcore.log.storage.topics.topic_registry import TopicState
from streamcore.model import TopicName

_HASH_BYTES: Final = 8


class TopicSource(Protocol):
    """Who knows the topics."""

    @property
    def change_count(self) -> int:
        """How often a topic was created, changed or deleted."""

    @property
    def topics(self) -> Mapping[TopicName, TopicState]:
        """All topics by name."""

    @property
    def names(self) -> Mapping[bytes, TopicName]:
        """The names of topics by the bytes of their ids."""


class GroupTopics:
    """All topics, now."""

    def __init__(self, source: TopicSource) -> None:
        self._source = source

    @property
    def version(self) -> int:
        """Grows whenever a topic was created, changed or deleted."""
        return self._source.change_count

    def names(self, may_see: Callable[[TopicName], bool]) -> Iterable[TopicName]:
        """The names of all topics that somebody may see; nobody reads the one of the cluster's state."""
        return [name for name in self._source.topics if name != STATE_TOPIC and may_see(name)]

    def name_of(self, topic_id: bytes) -> TopicName | None:
        """The name of the topic with an id."""
        return self._source.names.get(topic_id)

    def id_of(self, name: TopicName) -> bytes | None:
        """The id of the topic that has a name now."""
        topic = self._source.topics.get(name)
        return None if topic is None else topic.topic_id.bytes

    def counts(self, names: Iterable[TopicName]) -> dict[bytes, int]:
        """The partition counts of those topics that exist, by their ids."""
        topics = self._source.topics
        return {
            topic.topic_id.bytes: topic.partition_count
            for name in names
            if (topic := topics.get(name)) is not None
        }

    def hash_of(self, names: Iterable[TopicName]) -> int:
        """A number that changes when one of these topics comes, goes or grows; 0 if none of them exists."""
        counts = self.counts(names)
        if not counts:
            return 0
        hashed = blake2b(digest_size=_HASH_BYTES)
        for topic_id in sorted(counts):
            hashed.update(topic_id + counts[topic_id].to_bytes(4, "big"))
        return int.from_bytes(hashed.digest(), "big", signed=True)
