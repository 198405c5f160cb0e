"""The topics and partitions of a log in memory, and their changes.

A change is begun here, run by a ``topic_changes`` object in any thread, and completed here; only then is it
visible. Callers hold ``PartitionLog`` objects, so a partition is the same object for as long as it exists.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from streamcore.errors import (
    InvalidConfigError,
    StorageError,
    TopicExistsError,
    UnknownTopicError,
    with_facts,
)
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.topics.topic_changes import Growth, NewPartitions, NewSettings, Removal, Shelf
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.log.storage.topics.topic_folders import check_topic_name, partitions_of
from streamcore.log.storage.topics.topic_registry import TopicState
from streamcore.model import TopicName, TopicPartition

PARTITION_COUNT_MAX: Final = 100_000
_KAFKAS_TEXT_OF_UNKNOWN: Final = "This server does not host this topic-partition."
_PARSED_MAX: Final = 1_000


class Catalog:
    """The topics of one log, as all callers see them."""

    def __init__(self, shelf: Shelf, defaults: Mapping[str, str]) -> None:
        """``defaults`` are topic settings, by Kafka's names, for topics that do not set them."""
        self._shelf = shelf
        self._defaults = dict(defaults)
        self.change_count = 0
        """The number of creations, growths and deletions of topics."""
        self._topics: dict[TopicName, TopicState] = {}
        self._names: dict[bytes, TopicName] = {}
        self._logs: dict[TopicName, list[PartitionLog]] = {}
        self._parsed: dict[tuple[tuple[str, str], ...], TopicConfig] = {}

    @property
    def topics(self) -> Mapping[TopicName, TopicState]:
        """All topics by name."""
        return MappingProxyType(self._topics)

    @property
    def names(self) -> Mapping[bytes, TopicName]:
        """The names of topics by the bytes of their topic ids."""
        return MappingProxyType(self._names)

    def logs(self, name: TopicName) -> Sequence[PartitionLog]:
        """Return the partitions of a topic, in order.

        Raises:
            UnknownTopicError: there is no such topic.
        """
        try:
            return self._logs[name]
        except KeyError as error:
            raise _unknown(name) from error

    def all_logs(self) -> Iterator[PartitionLog]:
        """Yield every partition."""
        for logs in self._logs.values():
            yield from logs

    def find(self, partition: TopicPartition) -> PartitionLog | None:
        """Return a partition; ``None`` if there is no such partition."""
        logs = self._logs.get(partition.topic, ())
        return logs[partition.partition] if 0 <= partition.partition < len(logs) else None

    def partition(self, partition: TopicPartition) -> PartitionLog:
        """Return the log of one partition.

        Raises:
            UnknownTopicError: there is no such partition.
        """
        found = self.find(partition)
        if found is None:
            count = len(self.logs(partition.topic))
            raise UnknownTopicError(
                with_facts(
                    "the topic has no such partition",
                    topic=partition.topic,
                    partition=partition.partition,
                    partitions=count,
                ),
                kafka_text=_KAFKAS_TEXT_OF_UNKNOWN,
            )
        return found

    def add(self, topic: TopicState, logs: Sequence[PartitionLog]) -> None:
        """Show a topic, or its additional partitions."""
        self.change_count += 1
        self._logs.setdefault(topic.name, []).extend(logs)
        self._topics[topic.name] = topic
        self._names[topic.topic_id.bytes] = topic.name

    # Settings

    def parsed(self, config: Mapping[str, str]) -> TopicConfig:
        """Return the typed settings of a topic; topics with the same settings share the object.

        Raises:
            InvalidConfigError: a setting is unknown or impossible.
        """
        key = tuple(sorted(config.items()))
        found = self._parsed.get(key)
        if found is None:
            found = TopicConfig.parse(config, defaults=self._defaults)
            if len(self._parsed) >= _PARSED_MAX:
                self._parsed.clear()
            self._parsed[key] = found
        return found

    def ensure_possible(self, config: Mapping[str, str]) -> None:
        """Refuse settings that no topic can have.

        Raises:
            InvalidConfigError: a setting is unknown or impossible.
        """
        self.parsed(config).ensure_consistent()

    @property
    def defaults(self) -> Mapping[str, str]:
        """The log's topic settings for topics that do not set them."""
        return self._defaults

    def set_defaults(self, defaults: Mapping[str, str]) -> None:
        """Replace the topic settings for topics that do not set them.

        Raises:
            InvalidConfigError: a setting is unknown or impossible.
        """
        if defaults == self._defaults:
            return
        TopicConfig.parse(defaults)
        self._defaults = dict(defaults)
        self._parsed.clear()
        for state in self._topics.values():
            self._obey(state)

    def with_config(self, name: TopicName, config: Mapping[str, str]) -> TopicState:
        """Return a topic with these settings in place of all that it has.

        Raises:
            UnknownTopicError: there is no such topic.
            InvalidConfigError: a setting is unknown or impossible.
        """
        state = self.topic(name)
        self.ensure_possible(config)
        return TopicState(name, state.topic_id, state.partition_count, dict(config))

    def begin_settings(self, states: Sequence[TopicState]) -> NewSettings:
        """Begin to give topics the settings of these states: ``run`` it, then ``complete_settings``."""
        return NewSettings(self._shelf, states)

    def complete_settings(self, change: NewSettings) -> None:
        """Apply the new settings."""
        for state in change.states:
            self._topics[state.name] = state
            self._obey(state)

    def _obey(self, state: TopicState) -> None:
        config = self.parsed(state.config)
        for log in self._logs[state.name]:
            log.config = config

    # Topics

    def new_topic(self, name: TopicName, partition_count: int, config: Mapping[str, str]) -> Growth:
        """Return a topic that may be created.

        Raises:
            TopicExistsError: the name is taken.
            InvalidConfigError: a bad name, count or setting.
        """
        check_topic_name(name)
        _check_partition_count(partition_count)
        if name in self._topics:
            raise TopicExistsError(
                with_facts("the topic exists already", topic=name),
                kafka_text=f"Topic '{name}' already exists.",
            )
        self.ensure_possible(config)
        topic = TopicState(name, uuid.uuid4(), partition_count, dict(config))
        return Growth(topic, self.parsed(config), partitions_of(topic))

    def more_partitions(self, name: TopicName, partition_count: int) -> Growth:
        """Return a topic with more partitions than it has.

        Raises:
            UnknownTopicError: there is no such topic.
            InvalidConfigError: the count is not higher, or too high.
        """
        old = self.topic(name)
        _check_partition_count(partition_count)
        if partition_count <= old.partition_count:
            raise InvalidConfigError(
                with_facts(
                    "partitions can only be added",
                    topic=name,
                    partitions=old.partition_count,
                    wanted=partition_count,
                )
            )
        topic = TopicState(name, old.topic_id, partition_count, old.config)
        return Growth(topic, self.parsed(old.config), partitions_of(topic)[old.partition_count :])

    def begin_creation(self, growths: Sequence[Growth]) -> NewPartitions:
        """Begin to create partitions: ``run`` is the long part, in any thread; then ``complete_creation``."""
        return NewPartitions(self._shelf, growths)

    def complete_creation(self, change: NewPartitions) -> None:
        """Show the created partitions."""
        for growth in change.growths:
            self.add(growth.topic, [change.logs[partition] for partition in growth.partitions])

    def begin_removal(self, names: Collection[TopicName]) -> Removal:
        """Begin to delete topics: ``run``, in any thread; ``complete_removal``; and ``remove_files``, in any
        thread.

        Raises:
            UnknownTopicError: there is no such topic.
        """
        return Removal(self._shelf, {name: partitions_of(self.topic(name)) for name in names})

    def abandon_removal(self, removal: Removal, error: StorageError) -> None:
        """Give up the partitions of a removal whose registry write failed: the next opening may not find
        them.
        """
        if self._shelf.registry.is_in_doubt:
            for partition in removal.partitions:
                self.partition(partition).health.fail(error)

    def complete_removal(self, removal: Removal) -> list[PartitionLog]:
        """Stop showing deleted topics; return their partitions."""
        removed: list[PartitionLog] = []
        self.change_count += 1
        for name in removal.topics:
            del self._names[self._topics.pop(name).topic_id.bytes]
            removed += self._logs.pop(name)
        for log in removed:
            log.leave()
        return removed

    def topic(self, name: TopicName) -> TopicState:
        """Return a topic by name.

        Raises:
            UnknownTopicError: there is no such topic.
        """
        try:
            return self._topics[name]
        except KeyError as error:
            raise _unknown(name) from error


def _unknown(name: TopicName) -> UnknownTopicError:
    return UnknownTopicError(
        with_facts("there is no such topic", topic=name), kafka_text=_KAFKAS_TEXT_OF_UNKNOWN
    )


def _check_partition_count(count: int) -> None:
    if not 1 <= count <= PARTITION_COUNT_MAX:
        raise InvalidConfigError(
            with_facts(f"a topic has 1 to {PARTITION_COUNT_MAX} partitions", partitions=count)
        )
