"""A consumer's membership in a group of a broker, over librdkafka.

The member has its own handle of librdkafka, which subscribes and sends heartbeats but reads nothing. The
consumer's reader, which has another handle, reads the assigned partitions. librdkafka calls back inside
``follow``, so partitions change in the consumer's thread. A program that does not poll for
``max_poll_interval`` loses its partitions, as with any client of Kafka.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaPartition

from streamcore.durations import duration_ms
from streamcore.errors import StaleGenerationError, StreamCoreError, UsageError, fact_text, with_facts
from streamcore.log.client.consumer.assignment import ConsumerAssignment
from streamcore.log.client.consumer.settings import GroupSettings
from streamcore.log.client.kafka.connection import KafkaConnection
from streamcore.log.client.kafka.errors import translated
from streamcore.log.client.kafka.groups import kafka_offsets
from streamcore.model import CommittedOffset, Membership, TopicName, TopicPartition

_logger = logging.getLogger(__name__)

_WAIT_S: Final = 0.05
_COOPERATIVE: Final = "cooperative-sticky"
_ASSIGNORS: Final = ("range", "roundrobin", _COOPERATIVE)
_PASSING: Final = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._MAX_POLL_EXCEEDED,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError._PARTITION_EOF,
    }
)
"""Errors from which librdkafka recovers, or which it also reports by a callback."""


@dataclass(frozen=True, slots=True)
class KafkaMembership(Membership):
    """A member's credentials, also in librdkafka's form, which a transaction needs."""

    credentials: bytes = b""


class KafkaMember:
    """One member of a group of a broker. For the consumer's thread."""

    def __init__(
        self, connection: KafkaConnection, group: str, topics: Sequence[TopicName], settings: GroupSettings
    ) -> None:
        self.wait_s_max = _WAIT_S
        self._connection = connection
        self._group = group
        self._is_cooperative = _COOPERATIVE in settings.assignors
        self._owned: ConsumerAssignment | None = None
        self._membership: KafkaMembership | None = None
        self._consumer: Consumer = connection.consumer(_properties(group, settings))
        self._consumer.subscribe(
            list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    @property
    def membership(self) -> KafkaMembership | None:
        """The credentials of the last generation joined, as of the last ``follow``. For any thread."""
        return self._membership

    def follow(self, owned: ConsumerAssignment) -> None:
        """Run librdkafka's callbacks; raise an error that librdkafka cannot recover from."""
        self._owned = owned
        try:
            failure = self._failure()
        finally:
            self._owned = None
        if failure is not None:
            owned.lose(owned.partitions())
            raise failure

    def _failure(self) -> StreamCoreError | None:
        """Serve librdkafka's events; return the first error that ends the membership."""
        if self._membership is not None:
            self._note_membership()
        try:
            while (message := self._consumer.poll(0)) is not None:
                error = message.error()
                if error is None or error.code() in _PASSING:
                    continue
                if error.code() == KafkaError._FATAL:
                    return self._replaced()
                return translated(error, "take part in the group", group=self._group)
        except KafkaException as raised:
            return self._connection.translated(raised, "take part in the group", group=self._group)
        return None

    def commit(self, offsets: Mapping[TopicPartition, CommittedOffset], owned: ConsumerAssignment) -> None:
        """Commit as a member. Raises ``StaleGenerationError`` if another generation has begun."""
        if self._membership is None or not all(partition in owned for partition in offsets):
            raise StaleGenerationError(
                with_facts(
                    "the group has assigned these partitions to other members; poll to join again",
                    group=self._group,
                )
            )
        try:
            committed = self._consumer.commit(offsets=kafka_offsets(offsets), asynchronous=False)
        except KafkaException as raised:
            if raised.args[0].code() == KafkaError._FATAL:
                raise self._replaced() from raised
            raise self._connection.translated(raised, "commit offsets", group=self._group) from raised
        for partition in committed or ():
            if partition.error is not None:
                raise translated(
                    partition.error,
                    "commit offsets",
                    group=self._group,
                    partition=f"{partition.topic}-{partition.partition}",
                )

    def _replaced(self) -> StaleGenerationError:
        """Return the error of a static member that was replaced: librdkafka ends no member otherwise."""
        return StaleGenerationError(
            with_facts("another member has taken this instance id: stop one of them", group=self._group)
        )

    def stop(self) -> None:
        """Leave the group; the group keeps a static member until its session ends."""
        self._owned = None
        self._membership = None
        self._consumer.close()

    # --- what librdkafka calls, within ``follow`` -----------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._note_membership()
        try:
            if self._owned is not None and (partitions or not self._is_cooperative):
                self._owned.accept(_topic_partitions(partitions))
        finally:
            # The consumer reads them with its reader: this handle gets no partitions.
            (consumer.incremental_assign if self._is_cooperative else consumer.assign)([])

    def _revoked(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._note_membership()
        try:
            if self._owned is not None:
                self._owned.revoke(_topic_partitions(partitions))
        finally:
            self._let_go(consumer)

    def _lost(self, consumer: Consumer, partitions: list[KafkaPartition]) -> None:
        self._membership = None
        if self._owned is not None and self._owned.partitions():
            _logger.warning(
                "the group has removed this member, joining again %s", fact_text(group=self._group)
            )
        try:
            if self._owned is not None:
                self._owned.lose(self._owned.partitions())
        finally:
            self._let_go(consumer)

    def _note_membership(self) -> None:
        """Keep the credentials: while a callback runs, librdkafka gives them to no other thread."""
        credentials: bytes = self._consumer.consumer_group_metadata()
        self._membership = KafkaMembership(self._consumer.memberid() or "", -1, None, credentials)

    def _let_go(self, consumer: Consumer) -> None:
        if self._is_cooperative:
            consumer.incremental_unassign([])
        else:
            consumer.unassign()


def strangers_credentials(connection: KafkaConnection, group: str) -> bytes:
    """Return the credentials by which a transaction commits for a group without a membership."""
    consumer = connection.consumer({"group.id": group})
    with contextlib.closing(consumer):
        credentials: bytes = consumer.consumer_group_metadata()
    return credentials


def _properties(group: str, settings: GroupSettings) -> dict[str, Any]:
    for name in settings.assignors:
        if name not in _ASSIGNORS:
            raise UsageError(
                with_facts(f"over a network groups assign by {', '.join(_ASSIGNORS)}", assignor=name)
            )
    properties: dict[str, Any] = {
        "group.id": group,
        "client.id": settings.client_id,
        "partition.assignment.strategy": ",".join(settings.assignors),
        "session.timeout.ms": duration_ms(settings.session_timeout),
        "heartbeat.interval.ms": duration_ms(settings.heartbeat_interval),
        "max.poll.interval.ms": duration_ms(settings.max_poll_interval),
        "topic.metadata.refresh.interval.ms": 10_000,  # how soon added partitions are noticed
    }
    if settings.instance_id is not None:
        properties["group.instance.id"] = settings.instance_id
    return properties


def _topic_partitions(partitions: Sequence[KafkaPartition]) -> tuple[TopicPartition, ...]:
    return tuple(sorted(TopicPartition(found.topic, found.partition) for found in partitions))
