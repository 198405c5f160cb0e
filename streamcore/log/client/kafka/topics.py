"""Topics of a broker: description, creation, change, deletion.

A broker answers a change when it is decided; other brokers may see it later. A call here that changes
something returns when the change is visible.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from typing import Final, TypeVar
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException, TopicCollection, Uuid
from confluent_kafka import TopicPartition as KafkaPartition
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    ResourceType,
)
from confluent_kafka.admin import TopicDescription as KafkaTopic

from streamcore.errors import (
    InvalidConfigError,
    RequestTimeoutError,
    UnknownTopicError,
    with_facts,
)
from streamcore.log.client.kafka.connection import KafkaConnection
from streamcore.log.client.kafka.errors import error_in
from streamcore.log.client.port import MESSAGE_BYTES_MAX, TopicDescription, TopicIdentity
from streamcore.model import Offset, TopicName, TopicPartition

_KNOWN_S: Final = 1.0
"""How long a description counts for a check whether a partition exists."""
_SETTLE_S: Final = 5.0
_DEFAULT_REPLICATION: Final = -1
_MISSING: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID})
_UNTOLD: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError._UNSUPPORTED_FEATURE,
    }
)
"""If the broker does not show a topic's settings to this user, the topic is described without them."""

R = TypeVar("R")


class KafkaTopics:
    """The topics of one broker. Safe to share between threads."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._known: dict[TopicName, tuple[float, TopicDescription]] = {}

    # --- looking --------------------------------------------------------------------------------

    def all(self) -> Mapping[TopicName, TopicDescription]:
        """Return all topics; a topic is described when it is looked at."""
        self._connection.ensure_open()
        return _TopicsView(self)

    def names(self) -> list[TopicName]:
        """Return the names of all topics."""
        connection = self._connection
        timeout_s = connection.attempt_timeout_s
        found = connection.retried(
            lambda: connection.admin.list_topics(timeout=timeout_s), "list topics", asks_others=True
        )
        return sorted(found.topics)

    def described(self, names: Iterable[TopicName]) -> dict[TopicName, TopicDescription]:
        """Return the descriptions of the topics that exist."""
        wanted = sorted(set(names))
        if not wanted:
            return {}
        timeout_s = self._connection.attempt_timeout_s
        found = self._connection.retried(
            lambda: self._ask(wanted, timeout_s), "describe topics", asks_others=True, topics=",".join(wanted)
        )
        expires_s = self._connection.clock.monotonic_s() + _KNOWN_S
        for name in wanted:
            self._known.pop(name, None)
        self._known.update((name, (expires_s, topic)) for name, topic in found.items())
        return found

    def identities(self, names: Iterable[TopicName]) -> dict[TopicName, TopicIdentity]:
        """Return the ids and numbers of partitions of the topics that exist, in one request."""
        wanted = sorted(set(names))
        if not wanted:
            return {}
        timeout_s = self._connection.attempt_timeout_s
        return self._connection.retried(
            lambda: self._ask_identities(wanted, timeout_s),
            "describe topics",
            asks_others=True,
            topics=",".join(wanted),
        )

    def of(self, partition: TopicPartition) -> TopicDescription:
        """Return the topic of a partition, as described a short time ago.

        Raises:
            UnknownTopicError: the topic or the partition does not exist.
        """
        expires_s, topic = self._known.get(partition.topic, (0.0, None))
        if (
            topic is None
            or partition.partition >= topic.partition_count
            or (self._connection.clock.monotonic_s() >= expires_s)
        ):
            try:
                topic = self.described([partition.topic]).get(partition.topic)
            except RequestTimeoutError:
                # The old description is used: the caller's own request detects whether it still holds.
                if topic is None or partition.partition >= topic.partition_count:
                    raise
        if topic is None:
            raise UnknownTopicError(with_facts("create the topic first", topic=partition.topic))
        if not 0 <= partition.partition < topic.partition_count:
            raise UnknownTopicError(
                with_facts(
                    "the topic has no such partition",
                    topic=partition.topic,
                    partition=partition.partition,
                    partitions=topic.partition_count,
                )
            )
        return topic

    # --- changing -------------------------------------------------------------------------------

    def create(self, name: TopicName, partitions: int, config: Mapping[str, str]) -> TopicDescription:
        """Create a topic with the broker's default number of replicas."""
        if partitions < 1:
            raise InvalidConfigError(with_facts("a topic has at least one partition", partitions=partitions))
        new = NewTopic(name, partitions, _DEFAULT_REPLICATION, config=dict(config))
        admin, timeout_s = self._connection.admin, self._connection.settings.request_timeout_s
        self._connection.answer(
            lambda: admin.create_topics([new], request_timeout=timeout_s)[name],
            "create the topic",
            topic=name,
        )
        return self._wait_until(name, lambda topic: topic.partition_count == partitions)

    def alter(
        self, name: TopicName, partitions: int | None, config: Mapping[str, str | None]
    ) -> TopicDescription:
        """Add partitions or change settings."""
        topic = self.of(TopicPartition(name, 0))
        if partitions is not None and partitions < topic.partition_count:
            raise InvalidConfigError(
                with_facts(
                    "partitions can be added, not removed",
                    topic=name,
                    partitions=topic.partition_count,
                    wanted=partitions,
                )
            )
        admin, timeout_s = self._connection.admin, self._connection.settings.request_timeout_s
        if config:
            resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=_changes(config))
            self._connection.answer(
                lambda: admin.incremental_alter_configs([resource], request_timeout=timeout_s)[resource],
                "change the topic",
                topic=name,
            )
        if partitions is not None and partitions > topic.partition_count:
            more = NewPartitions(name, partitions)
            self._connection.answer(
                lambda: admin.create_partitions([more], request_timeout=timeout_s)[name],
                "add partitions",
                topic=name,
            )
        return self._wait_until(
            name,
            lambda topic: (
                topic.partition_count >= (partitions or 0)
                and all(topic.config.get(setting) == value for setting, value in config.items())
            ),
        )

    def delete(self, name: TopicName) -> None:
        """Delete a topic; return when it is gone."""
        admin, timeout_s = self._connection.admin, self._connection.settings.request_timeout_s
        self._connection.answer(
            lambda: admin.delete_topics([name], request_timeout=timeout_s)[name],
            "delete the topic",
            topic=name,
        )
        clock = self._connection.clock
        deadline_s = clock.monotonic_s() + timeout_s
        while name in self.described([name]):
            if clock.monotonic_s() >= deadline_s:
                raise self._connection.silence("see the topic go", timeout_s, topic=name)
            self._connection.pause()

    def delete_records(self, before: Mapping[TopicPartition, Offset]) -> None:
        """Move log starts forward."""
        for partition in before:
            self.of(partition)
        if not before:
            return
        admin, timeout_s = self._connection.admin, self._connection.settings.request_timeout_s
        wanted = [
            KafkaPartition(partition.topic, partition.partition, offset)
            for partition, offset in before.items()
        ]

        def ask() -> None:
            for answer in admin.delete_records(wanted, request_timeout=timeout_s).values():
                answer.result(timeout_s)

        self._connection.retried(ask, "delete records", partitions=",".join(map(str, before)))

    # --- inside ---------------------------------------------------------------------------------

    def _ask(self, wanted: list[TopicName], timeout_s: float) -> dict[TopicName, TopicDescription]:
        admin = self._connection.admin
        resources = {name: ConfigResource(ResourceType.TOPIC, name) for name in wanted}
        # Both at once: settings are asked for by name, without a description of the topics.
        topics = admin.describe_topics(TopicCollection(wanted), request_timeout=timeout_s)
        configs = admin.describe_configs(list(resources.values()), request_timeout=timeout_s)
        found: dict[TopicName, TopicDescription] = {}
        for name in wanted:
            try:
                topic: KafkaTopic = topics[name].result(timeout_s)
                entries = _unless(_UNTOLD, configs[resources[name]], timeout_s)
            except KafkaException as raised:
                if _is_one_of(_MISSING, raised):
                    continue
                raise
            found[name] = TopicDescription(
                name,
                _uuid(topic.topic_id),
                len(topic.partitions),
                _settings_of_its_own(entries or {}),
                has_settings=entries is not None,
                message_bytes_max=_message_bytes_max(entries or {}),
            )
        return found

    def _ask_identities(self, wanted: list[TopicName], timeout_s: float) -> dict[TopicName, TopicIdentity]:
        topics = self._connection.admin.describe_topics(TopicCollection(wanted), request_timeout=timeout_s)
        found: dict[TopicName, TopicIdentity] = {}
        for name in wanted:
            try:
                topic: KafkaTopic = topics[name].result(timeout_s)
            except KafkaException as raised:
                if _is_one_of(_MISSING, raised):
                    continue
                raise
            found[name] = TopicIdentity(_uuid(topic.topic_id), len(topic.partitions))
        return found

    def _wait_until(
        self, name: TopicName, is_reached: Callable[[TopicDescription], bool]
    ) -> TopicDescription:
        """Wait until a change is visible. A change that the broker shows in another form counts too."""
        clock = self._connection.clock
        deadline_s = clock.monotonic_s() + _SETTLE_S
        while True:
            topic = self.described([name]).get(name)
            is_over = clock.monotonic_s() >= deadline_s
            if topic is not None and (is_reached(topic) or is_over):
                return topic
            if is_over:
                raise self._connection.silence("see the change", _SETTLE_S, topic=name)
            self._connection.pause()


class _TopicsView(Mapping[TopicName, TopicDescription]):
    """All topics; each is described at its first access, all at once by an iteration over the values."""

    def __init__(self, topics: KafkaTopics) -> None:
        self._topics = topics
        self._found: dict[TopicName, TopicDescription | None] = {}
        self._has_all = False

    def __getitem__(self, name: TopicName) -> TopicDescription:
        if name not in self._found and not self._has_all:
            self._found[name] = self._topics.described([name]).get(name)
        found = self._found.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[TopicName]:
        if not self._has_all:
            self._found = dict(self._topics.described(self._topics.names()))
            self._has_all = True
        return iter(self._found)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _changes(config: Mapping[str, str | None]) -> list[ConfigEntry]:
    return [
        ConfigEntry(
            name,
            value,
            incremental_operation=AlterConfigOpType.DELETE if value is None else AlterConfigOpType.SET,
        )
        for name, value in config.items()
    ]


def _settings_of_its_own(entries: Mapping[str, ConfigEntry]) -> dict[str, str]:
    return {
        entry.name: entry.value
        for entry in entries.values()
        if entry.source == ConfigSource.DYNAMIC_TOPIC_CONFIG.value and entry.value is not None
    }


def _message_bytes_max(entries: Mapping[str, ConfigEntry]) -> int:
    found = entries.get("max.message.bytes")
    return MESSAGE_BYTES_MAX if found is None or found.value is None else int(found.value)


def _unless(codes: frozenset[int], answer: Future[R], timeout_s: float) -> R | None:
    """Return an answer, or ``None`` for one of these errors."""
    try:
        return answer.result(timeout_s)
    except KafkaException as raised:
        if _is_one_of(codes, raised):
            return None
        raise


def _is_one_of(codes: frozenset[int], raised: KafkaException) -> bool:
    error = error_in(raised)
    return error is not None and error.code() in codes


def _uuid(topic_id: Uuid) -> UUID:
    text = str(topic_id).replace("-", "+").replace("_", "/")
    return UUID(bytes=base64.b64decode(text + "=="))
