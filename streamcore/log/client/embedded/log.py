"""The log in this process: the port's embedded adapter.

It is a thin layer over a ``Node``, the running broker of a folder. ``streamcore.log.broker`` decides what the
calls mean. A server for other processes may use the same node.

Beside the port it has calls for the public producer and consumer, which batch and join groups themselves:
encoded batches, producer identities, and the group protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from streamcore.clock import Clock, SystemClock
from streamcore.errors import CorruptDataError
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.requests import JoinReply, JoinRequest, ProducerIdentity, SyncReply, SyncRequest
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.client.access import AccessControl, EmbeddedAccess
from streamcore.log.client.consumer.settings import GroupSettings
from streamcore.log.client.embedded.member import EmbeddedMember
from streamcore.log.client.embedded.producer import EmbeddedProducer
from streamcore.log.client.embedded.reader import EmbeddedReader
from streamcore.log.client.group_log import DescribedGroup, MemberSummary
from streamcore.log.client.own_topics import own_topic_config
from streamcore.log.client.port import MESSAGE_BYTES_MAX, TopicDescription, TopicIdentity
from streamcore.log.node.node import Durability, Node
from streamcore.log.node.operation_driver import OperationDriver
from streamcore.log.protocol.consumer_protocol import decode_assignment
from streamcore.log.storage.files import FileSystem
from streamcore.log.storage.topics.topic_registry import TopicState
from streamcore.model import (
    CommittedOffset,
    Isolation,
    LogOffsets,
    Membership,
    Offset,
    TimestampMs,
    TopicName,
    TopicPartition,
)

R = TypeVar("R")

_ENDING_WAIT_S = 30.0


class EmbeddedLog:
    """A log in a folder that this process owns. Safe to share between threads."""

    def __init__(self, node: Node, clock: Clock) -> None:
        """``clock`` measures how long a producer waits for the end of an older one's transaction."""
        self.node = node
        """The running broker; a server may serve it at the same time."""
        self._broker = node.broker
        self._driver = node.driver
        self._clock = clock

    @classmethod
    def open(
        cls,
        data: Path | str,
        *,
        durability: Durability = "durable",
        clock: Clock | None = None,
        file_system: FileSystem | None = None,
        settings: BrokerSettings | None = None,
        topic_defaults: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
        maintenance: bool = True,
    ) -> Self:
        """Open the node of a folder, and the log on it; arguments and errors are those of ``Node.open``."""
        clock = clock or SystemClock()
        node = Node.open(
            data,
            durability=durability,
            clock=clock,
            file_system=file_system,
            settings=settings,
            topic_defaults=topic_defaults,
            config=config,
            maintenance=maintenance,
        )
        return cls(node, clock)

    # --- the port -----------------------------------------------------------------------------

    def topics(self) -> Mapping[TopicName, TopicDescription]:
        """All topics, internal ones included."""
        with self._entered():
            defaults = self._broker.topic_defaults
            return {state.name: _description(state, defaults) for state in self._broker.topics.values()}

    def described(self, names: Iterable[TopicName]) -> Mapping[TopicName, TopicDescription]:
        """Return the descriptions of the topics that exist, in one request."""
        topics = self.topics()
        return {name: topics[name] for name in names if name in topics}

    def identities(self, names: Iterable[TopicName]) -> Mapping[TopicName, TopicIdentity]:
        """Return the ids and numbers of partitions of the topics that exist, in one request."""
        with self._entered():
            topics = self._broker.topics
            found = [topics[name] for name in names if name in topics]
        return {state.name: TopicIdentity(state.topic_id, state.partition_count) for state in found}

    def create_topic(
        self, name: TopicName, *, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> TopicDescription:
        """Create a topic, durably.

        Records are kept for ever, unless ``config`` sets ``retention.ms``, or the log has a default.

        Raises:
            TopicExistsError: the name is taken.
            InvalidConfigError: a name, count or setting is not valid.
        """
        with self._entered():
            has_default = "retention.ms" in self._broker.topic_defaults
        wanted = dict(config or {}) if has_default else own_topic_config(config)
        created = self._run(self._broker.create_topic(name, partitions, wanted))
        return _description(created, self._broker.topic_defaults)

    def alter_topic(
        self,
        name: TopicName,
        *,
        partitions: int | None = None,
        config: Mapping[str, str | None] | None = None,
    ) -> TopicDescription:
        """Add partitions or change settings; the value ``None`` removes a setting."""
        altered = self._run(self._broker.alter_topic(name, partitions, dict(config or {})))
        return _description(altered, self._broker.topic_defaults)

    def delete_topic(self, name: TopicName) -> None:
        """Delete a topic with its data and the offsets committed for it."""
        outcome = self._run(self._broker.delete_topics({name: None}))[name]
        if isinstance(outcome, Exception):
            raise outcome
        self.node.free_removed()

    def delete_records(self, before: Mapping[TopicPartition, Offset]) -> None:
        """Move log starts forward; records before them cannot be read any more."""
        for outcome in self._run(self._broker.delete_records(before)).values():
            if not isinstance(outcome, int):
                raise outcome
        self.node.free_removed()

    def offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogOffsets]:
        """Return the marks of partitions. Raises ``UnknownTopicError``."""
        with self._entered():
            return {partition: self._broker.partition(partition).offsets for partition in partitions}

    def offsets_for_time(self, times: Mapping[TopicPartition, TimestampMs]) -> dict[TopicPartition, Offset]:
        """Return for each partition the first offset with a timestamp at or after a time, else the log
        end.
        """
        with self._entered():
            return {
                partition: self._broker.offset_for_time(partition, timestamp_ms)
                for partition, timestamp_ms in times.items()
            }

    def committed(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, CommittedOffset]:
        """Return a group's committed offsets; waits for an open transaction that commits some.

        Raises:
            RequestTimeoutError: the transaction was not decided in time (``unstable_wait_ms``).
        """
        wanted = None if partitions is None else list(partitions)
        found = self._run(self._broker.groups.committed(group, wanted))
        # The Python binding of librdkafka sends notes with the zero byte that ends C's strings.
        return {
            partition: replace(committed, metadata=committed.metadata.rstrip("\0"))
            for partition, committed in found.items()
        }

    def commit_offsets(
        self,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        *,
        membership: Membership | None = None,
    ) -> None:
        """Commit offsets durably, outside any transaction.

        Raises:
            StaleGenerationError: the group does not know this membership any more.
            UsageError: the group has members, and no membership was given.
        """
        self._run(self._broker.groups.commit_offsets(group, offsets, membership))

    def producer_port(
        self,
        *,
        transactional_id: str | None = None,
        compression: str = "none",
        transaction_timeout_ms: int | None = None,
    ) -> EmbeddedProducer:
        """Return a producer of columns. With a transactional id, older producers of that id are fenced and
        their open transaction is aborted before this returns.

        Raises:
            InvalidConfigError: the log does not allow this timeout.
        """
        identity = self._run(
            _initialized(self._broker, transactional_id, transaction_timeout_ms, self._clock)
        )
        return EmbeddedProducer(self._driver, self._broker, identity, transactional_id, compression)

    def reader(self, *, isolation: Isolation = Isolation.READ_COMMITTED) -> EmbeddedReader:
        """Return a reader without partitions."""
        return EmbeddedReader(self._driver, self._broker, isolation)

    def close(self) -> None:
        """Close the node: make everything durable and release the folder. A second call does nothing."""
        self.node.close()

    # --- groups -------------------------------------------------------------------------------

    def join_group(self, request: JoinRequest) -> JoinReply:
        """Join or rejoin; waits for the other members, at most for the rebalance timeout.

        Raises:
            StaleGenerationError: the group does not know the member; join without a member id.
        """
        return self._run(self._broker.groups.join(request))

    def sync_group(self, request: SyncRequest) -> SyncReply:
        """Return the member's assignment; waits for the leader's.

        Raises:
            RebalanceInProgressError: another rebalance has begun; join again.
        """
        return self._run(self._broker.groups.sync(request))

    def heartbeat(self, group: str, membership: Membership) -> None:
        """Renew the member's session.

        Raises:
            RebalanceInProgressError: join again for a new assignment.
            StaleGenerationError: the group has removed this member.
        """
        self._run(self._broker.groups.heartbeat(group, membership))

    def leave_group(self, group: str, member_id: str, *, instance_id: str | None = None) -> None:
        """Leave at once, instead of by session timeout."""
        self._run(self._broker.groups.leave(group, member_id, instance_id))

    def group_names(self) -> list[str]:
        """Return all groups that have members or committed offsets, sorted."""
        with self._entered():
            return self._broker.groups.names()

    def describe_group(self, group: str) -> DescribedGroup:
        """Return a group's state and members."""
        with self._entered():
            found = self._broker.groups.describe(group)
        return DescribedGroup(
            found.group,
            found.state,
            found.protocol,
            found.generation,
            tuple(
                MemberSummary(
                    member.member_id,
                    member.instance_id,
                    member.client_id,
                    member.client_host,
                    _assignment(member.assignment) if found.protocol_type == "consumer" else (),
                )
                for member in found.members
            ),
            found.kind,
            found.protocol_type,
        )

    def join(
        self,
        group: str,
        topics: Sequence[TopicName],
        settings: GroupSettings,
        clock: Clock,
        wake: Callable[[], None],
    ) -> EmbeddedMember:
        """Start a membership in a group."""
        return EmbeddedMember(self, group, topics, settings, clock, wake)

    def delete_group(self, group: str) -> None:
        """Delete a group without members, with its committed offsets. Raises ``UsageError``."""
        self._run(self._broker.groups.delete(group))

    def delete_offsets(self, group: str, partitions: Iterable[TopicPartition]) -> None:
        """Delete committed offsets that no member uses."""
        self._run(self._broker.groups.delete_offsets(group, list(partitions)))

    @property
    def access(self) -> AccessControl:
        """Users and access rules."""
        return EmbeddedAccess(self._broker, self._driver)

    def maintain(self) -> None:
        """Run one pass of maintenance; see ``Node.maintain``."""
        self.node.maintain()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _entered(self) -> OperationDriver:
        self.node.ensure_open()
        return self._driver

    def _run(self, operation: Operation[R]) -> R:
        self.node.ensure_open()
        return self._driver.run(operation)


def _initialized(
    broker: Broker, transactional_id: str | None, timeout_ms: int | None, clock: Clock
) -> Operation[ProducerIdentity]:
    """Initialize a producer; repeat while another operation ends the id's transaction, as clients do."""
    deadline_s = clock.monotonic_s() + _ENDING_WAIT_S
    while True:
        try:
            return (yield from broker.transactions.init_producer_id(transactional_id, timeout_ms))
        except ApiError as refused:
            if refused.refusal is not ErrorName.CONCURRENT_TRANSACTIONS or transactional_id is None:
                raise
            if not (yield from broker.transactions.ended(transactional_id, deadline_s)):
                raise


def _assignment(data: bytes) -> tuple[TopicPartition, ...]:
    try:
        return tuple(sorted(decode_assignment(data)))
    except CorruptDataError:
        return ()  # another client's format


def _description(state: TopicState, defaults: Mapping[str, str]) -> TopicDescription:
    config = dict(state.config)
    message_bytes_max = int({**defaults, **config}.get("max.message.bytes", MESSAGE_BYTES_MAX))
    return TopicDescription(
        state.name, state.topic_id, state.partition_count, config, message_bytes_max=message_bytes_max
    )
