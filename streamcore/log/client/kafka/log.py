"""A log behind Kafka's protocol: the port's adapter for brokers, over librdkafka.

It works with any broker that speaks the protocol: StreamCore's own, served by another process, or Apache
Kafka. Where the protocol does not give a value, the nearest one is returned: the high watermark as log end,
and no generation of a group. A transaction's records become visible when the broker has marked them; on
Apache Kafka that is shortly after the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from streamcore.clock import Clock, SystemClock
from streamcore.log.client.consumer.settings import GroupSettings
from streamcore.log.client.group_log import DescribedGroup
from streamcore.log.client.kafka.access import KafkaAccess
from streamcore.log.client.kafka.connection import KafkaConnection
from streamcore.log.client.kafka.groups import KafkaGroups
from streamcore.log.client.kafka.member import KafkaMember
from streamcore.log.client.kafka.offsets import KafkaOffsets
from streamcore.log.client.kafka.producer import KafkaProducer
from streamcore.log.client.kafka.reader import KafkaReader
from streamcore.log.client.kafka.settings import KafkaSettings
from streamcore.log.client.kafka.topics import KafkaTopics
from streamcore.log.client.own_topics import own_topic_config
from streamcore.log.client.port import TopicDescription, TopicIdentity
from streamcore.model import (
    CommittedOffset,
    Isolation,
    LogOffsets,
    Offset,
    TimestampMs,
    TopicName,
    TopicPartition,
)


class KafkaLog:
    """A broker's log. Safe to share between threads."""

    def __init__(self, settings: KafkaSettings, *, clock: Clock | None = None) -> None:
        """Connect.

        Raises:
            RequestTimeoutError: the broker does not answer.
            UsageError: authentication failed, or a property is not valid.
        """
        self._connection = KafkaConnection(settings, clock or SystemClock())
        self._topics = KafkaTopics(self._connection)
        self._offsets = KafkaOffsets(self._connection, self._topics)
        self._groups = KafkaGroups(self._connection)
        self.access = KafkaAccess(self._connection)

    # --- topics ---------------------------------------------------------------------------------

    def topics(self) -> Mapping[TopicName, TopicDescription]:
        """All topics, internal ones included; a topic is described when it is looked at."""
        return self._topics.all()

    def described(self, names: Iterable[TopicName]) -> Mapping[TopicName, TopicDescription]:
        """Return the descriptions of the topics that exist, in one request."""
        return self._topics.described(names)

    def identities(self, names: Iterable[TopicName]) -> Mapping[TopicName, TopicIdentity]:
        """Return the ids and numbers of partitions of the topics that exist, in one request."""
        return self._topics.identities(names)

    def create_topic(
        self, name: TopicName, *, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> TopicDescription:
        """Create a topic, with the broker's default number of replicas.

        Records are kept for ever, whatever the broker's default, unless ``config`` sets ``retention.ms``.

        Raises:
            TopicExistsError: the name is taken.
            InvalidConfigError: a name, count or setting is not valid.
        """
        return self._topics.create(name, partitions, own_topic_config(config))

    def alter_topic(
        self,
        name: TopicName,
        *,
        partitions: int | None = None,
        config: Mapping[str, str | None] | None = None,
    ) -> TopicDescription:
        """Add partitions or change settings; the value ``None`` removes a setting."""
        return self._topics.alter(name, partitions, config or {})

    def delete_topic(self, name: TopicName) -> None:
        """Delete a topic with its data."""
        self._topics.delete(name)

    def delete_records(self, before: Mapping[TopicPartition, Offset]) -> None:
        """Move log starts forward; records before them cannot be read any more."""
        self._topics.delete_records(before)

    # --- offsets --------------------------------------------------------------------------------

    def offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogOffsets]:
        """Return the marks of partitions, with the high watermark as log end."""
        return self._offsets.marks(partitions)

    def offsets_for_time(self, times: Mapping[TopicPartition, TimestampMs]) -> dict[TopicPartition, Offset]:
        """Return for each partition the first offset with a timestamp at or after a time, else the log
        end.
        """
        return self._offsets.for_times(times)

    def committed(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, CommittedOffset]:
        """Return a group's committed offsets; waits for an open transaction that commits some."""
        return self._groups.committed(group, partitions)

    def commit_offsets(self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Commit offsets outside any transaction and any membership."""
        self._groups.commit(group, offsets)

    # --- writing and reading --------------------------------------------------------------------

    def producer_port(
        self,
        *,
        transactional_id: str | None = None,
        compression: str = "none",
        transaction_timeout_ms: int | None = None,
    ) -> KafkaProducer:
        """Return a producer of columns. With a transactional id, older producers of that id are fenced and
        their open transaction is aborted before this returns.

        Raises:
            InvalidConfigError: the broker does not allow this timeout.
        """
        return KafkaProducer(
            self._connection,
            self._topics,
            self._offsets,
            transactional_id=transactional_id,
            compression=compression,
            transaction_timeout_ms=transaction_timeout_ms,
        )

    def reader(self, *, isolation: Isolation = Isolation.READ_COMMITTED) -> KafkaReader:
        """Return a reader without partitions."""
        self._connection.ensure_open()
        return KafkaReader(self._connection, self._offsets, isolation)

    # --- groups ---------------------------------------------------------------------------------

    def group_names(self) -> list[str]:
        """Return all groups that have members or committed offsets, sorted."""
        return self._groups.names()

    def describe_group(self, group: str) -> DescribedGroup:
        """Return a group's state and members."""
        return self._groups.describe(group)

    def delete_group(self, group: str) -> None:
        """Delete a group without members, with its committed offsets. Raises ``UsageError``."""
        self._groups.delete(group)

    def delete_offsets(self, group: str, partitions: Iterable[TopicPartition]) -> None:
        """Raise ``UsageError``: librdkafka's binding has no call for it."""
        self._groups.delete_offsets(group)

    def join(
        self,
        group: str,
        topics: Sequence[TopicName],
        settings: GroupSettings,
        clock: Clock,
        wake: Callable[[], None],
    ) -> KafkaMember:
        """Start a membership in a group."""
        self._connection.ensure_open()
        return KafkaMember(self._connection, group, topics, settings)

    def close(self) -> None:
        """Close the connection. A second call does nothing. Close producers and readers before."""
        self._connection.close()
        self._groups.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
