"""The broker as one object: topics, batches in and out, groups, transactions.

The broker works on the open partitions and has neither sockets nor threads. Its owner calls it from one
thread at a time, drives the operations it returns (``operations``), and makes durable what ``unsynced``
names. The rules are in other modules: ``transactions.coordinator``, ``groups.coordinator``,
``groups.offsets``.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final
from uuid import UUID

from streamcore.clock import Clock
from streamcore.errors import (
    InvalidConfigError,
    OffsetOutOfRangeError,
    StorageError,
    StreamCoreError,
    UsageError,
)
from streamcore.log.broker.access.rules import AccessRules
from streamcore.log.broker.access.users import Users
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.batches import Batches
from streamcore.log.broker.cluster_state import TOPIC as STATE_TOPIC
from streamcore.log.broker.cluster_state import ClusterState
from streamcore.log.broker.config.configuration import Configuration, Start
from streamcore.log.broker.groups.coordinator import TOPIC as OFFSETS_TOPIC
from streamcore.log.broker.groups.coordinator import GroupCoordinator
from streamcore.log.broker.internal_topic import InternalTopic
from streamcore.log.broker.operations import DurableUntil, OffLockWork, Operation, Unsynced
from streamcore.log.broker.partitions import Partitions
from streamcore.log.broker.requests import (
    TransactionDescription,
)
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.broker.topics import Outcome, Topics, WantedTopic
from streamcore.log.broker.transactions.coordinator import TOPIC as TRANSACTIONS_TOPIC
from streamcore.log.broker.transactions.coordinator import TransactionCoordinator
from streamcore.log.broker.transactions.listing import TransactionFilter, described, listed
from streamcore.log.broker.transactions.producer_ids import TOPIC as PRODUCER_IDS_TOPIC
from streamcore.log.broker.transactions.producer_ids import ProducerIds
from streamcore.log.storage.compaction.compaction import Compaction
from streamcore.log.storage.files import DiskSpace
from streamcore.log.storage.identity import LogIdentity
from streamcore.log.storage.log_manager import LogManager
from streamcore.log.storage.partition.offset_lookup import offset_for_time
from streamcore.log.storage.partition.partition_log import PartitionLog
from streamcore.log.storage.topics.topic_registry import TopicState
from streamcore.model import Offset, TimestampMs, TopicName, TopicPartition

INTERNAL_TOPICS: Final = frozenset({OFFSETS_TOPIC, TRANSACTIONS_TOPIC, PRODUCER_IDS_TOPIC, STATE_TOPIC})

_METADATA_LOG: Final = "__cluster_metadata"
"""The topic in which Kafka keeps such state. Clients ask its quorum about it, and may not create it."""


class Broker:
    """All decisions of a log over its partitions."""

    def __init__(
        self,
        logs: LogManager,
        clock: Clock,
        settings: BrokerSettings,
        *,
        config: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """``config`` is the settings by Kafka's names from which ``settings`` and those of the log were
        made.
        """
        self._logs = logs
        self._clock = clock
        self._partitions = partitions = Partitions(logs, clock)

        def internal(name: TopicName, partition_count: int) -> InternalTopic:
            return InternalTopic(name, partition_count, settings.internal_topic_config, partitions)

        self.topic_changes = Topics(logs.catalog, partitions.unsynced)
        self.state = ClusterState(internal(STATE_TOPIC, 1))
        self.configuration = Configuration(
            Start(settings, logs.settings, config), logs.identity.node_id, self.state, logs.catalog
        )
        self.configuration.advertise({"log.dirs": str(logs.root), "log.dir": str(logs.root)})
        self.users = Users(
            self.state, user_count_max=settings.user_count_max, random_bytes=secrets.token_bytes
        )
        self.access_rules = AccessRules(self.state, rule_count_max=settings.access_rule_count_max)
        self.groups = GroupCoordinator(
            internal(OFFSETS_TOPIC, settings.offsets_partition_count),
            logs.catalog,
            clock,
            settings,
            self.configuration,
        )
        self._producer_ids = ProducerIds(internal(PRODUCER_IDS_TOPIC, 1), settings.producer_id_block_count)
        self.transactions = TransactionCoordinator(
            internal(TRANSACTIONS_TOPIC, settings.transactions_partition_count),
            partitions,
            self._producer_ids,
            clock,
            settings,
            self.groups.on_marker,
        )
        self.batches = Batches(partitions, self.transactions, self.groups)

    @property
    def unsynced(self) -> Unsynced:
        """The partitions with bytes that no fsync has covered."""
        return self._partitions.unsynced

    def recover(self) -> Operation[None]:
        """Replay the internal topics and complete what a crash interrupted. Run before any other
        operation.
        """
        self.state.load()
        self.groups.load()
        self.transactions.load()
        self._producer_ids.recover(self._partitions.producer_ids())
        yield from self.transactions.recover()
        self.groups.recover()

    @property
    def identity(self) -> LogIdentity:
        """The ids of the log."""
        return self._logs.identity

    @property
    def log_root(self) -> Path:
        """The folder of the log."""
        return self._logs.root

    def disk_space(self) -> DiskSpace:
        """Return the space of the log's disk.

        Raises:
            StorageError: the disk refused.
        """
        return self._logs.space()

    @property
    def state_log(self) -> PartitionLog | None:
        """The partition with the broker's own state, if there is one."""
        return self._logs.catalog.find(TopicPartition(STATE_TOPIC, 0))

    @property
    def settings(self) -> BrokerSettings:
        """The broker's present settings."""
        return self.configuration.settings

    # --- topics -------------------------------------------------------------------------------

    @property
    def topics(self) -> Mapping[TopicName, TopicState]:
        """All topics by name."""
        return self._logs.topics

    @property
    def topic_defaults(self) -> Mapping[str, str]:
        """The topic settings for topics that do not set them, as far as the broker's settings have any."""
        return self._logs.catalog.defaults

    def topic_name(self, topic_id: bytes) -> TopicName | None:
        """Return the name of the topic with an id."""
        return self._logs.catalog.names.get(topic_id)

    def is_internal(self, name: TopicName) -> bool:
        """Whether the broker keeps its own state in the topic."""
        return name in INTERNAL_TOPICS

    def create_topic(
        self, name: TopicName, partition_count: int, config: Mapping[str, str]
    ) -> Operation[TopicState]:
        """Create a topic, durably.

        Raises:
            TopicExistsError: the name is taken.
            InvalidConfigError: a setting is unknown or impossible.
            Refused: a bad name or number of partitions.
        """
        _ensure_not_hidden(name)
        outcomes = yield from self.topic_changes.create([WantedTopic(name, partition_count, config)])
        return _only(outcomes)

    def alter_topic(
        self, name: TopicName, partition_count: int | None, config: Mapping[str, str | None]
    ) -> Operation[TopicState]:
        """Add partitions, or change settings; ``None`` resets a setting to its default."""
        _ensure_not_hidden(name)
        state = self.topic(name)
        if partition_count is not None and partition_count < state.partition_count:
            raise InvalidConfigError(
                "partitions can be added, not removed: "
                f"topic={name} partitions={state.partition_count} asked={partition_count}"
            )
        if config:
            changes = {name: partial(_with, config)}
            _only((yield from self.topic_changes.set_configs(changes)).values())
        if partition_count is not None and partition_count > self.topic(name).partition_count:
            _only((yield from self.topic_changes.grow([WantedTopic(name, partition_count)])))
        return self.topic(name)

    def ensure_may_create(self, name: TopicName) -> None:
        """Raise ``ApiError`` for the name of a topic that only the broker, or Kafka's controller, creates."""
        if name == _METADATA_LOG or (name in INTERNAL_TOPICS and name not in self.topics):
            raise ApiError(ErrorName.INVALID_REQUEST, topic=name, hint="only the log creates this topic")

    def delete_topics(self, ids: Mapping[TopicName, UUID | None]) -> Operation[dict[TopicName, Outcome]]:
        """Delete topics, and every group's committed offsets in them; return the error of each that is not
        deleted.

        With an id only the topic of that id is deleted. Deleted topics are returned as they were before.
        """
        outcomes: dict[TopicName, Outcome] = {}
        for name in INTERNAL_TOPICS.intersection(ids):
            outcomes[name] = UsageError(f"the log needs this topic: topic={name}")
        others = {name: topic_id for name, topic_id in ids.items() if name not in INTERNAL_TOPICS}
        return {**outcomes, **(yield from self.topic_changes.delete(others, self._forget_offsets))}

    def _forget_offsets(self, topics: Collection[TopicName]) -> Operation[None]:
        """Delete the committed offsets of all groups in topics that are about to be deleted.

        This runs first: a crash between the two steps leaves a topic that is read from its start again,
        instead of committed offsets that a new topic of the same name would inherit.
        """
        for name in topics:
            self.groups.forget_topic(name)
        if OFFSETS_TOPIC in self.topics:
            yield self._partitions.written(self._logs.catalog.logs(OFFSETS_TOPIC))

    def topic(self, name: TopicName) -> TopicState:
        """Return a topic by name.

        Raises:
            UnknownTopicError: there is no such topic.
        """
        return self._logs.catalog.topic(name)

    # --- partitions ---------------------------------------------------------------------------

    def partition(self, partition: TopicPartition) -> PartitionLog:
        """Return a partition.

        Raises:
            UnknownTopicError: there is no such partition.
        """
        return self._partitions.get(partition)

    def find_partition(self, partition: TopicPartition) -> PartitionLog | None:
        """Return a partition; ``None`` if there is no such partition."""
        return self._logs.catalog.find(partition)

    def has_partition(self, partition: TopicPartition) -> bool:
        """Whether there is such a partition."""
        return self._partitions.exists(partition)

    def partitions_of(self, topic: TopicName) -> Sequence[PartitionLog]:
        """Return the partitions of a topic, in order.

        Raises:
            UnknownTopicError: there is no such topic.
        """
        return self._logs.catalog.logs(topic)

    def all_partitions(self) -> list[TopicPartition]:
        """Return every partition of every topic."""
        return self._partitions.all()

    def offset_for_time(self, partition: TopicPartition, timestamp_ms: TimestampMs) -> Offset:
        """Return the first offset whose record has this time or a later one; the log end if there is none."""
        log = self.partition(partition)
        found = offset_for_time(log, timestamp_ms)
        return log.offsets.log_end if found is None else found.offset

    def delete_records(
        self, before: Mapping[TopicPartition, Offset]
    ) -> Operation[dict[TopicPartition, Offset | StreamCoreError]]:
        """Move log starts forward, durably; return the new log start or the error of each partition.

        The log starts are written together, as off-lock work; the remaining work is quick.
        """
        outcomes: dict[TopicPartition, Offset | StreamCoreError] = {}
        logs: dict[TopicPartition, PartitionLog] = {}
        for partition, offset in before.items():
            try:
                _ensure_not_hidden(partition.topic)
                log = self.partition(partition)
                if offset < 0:
                    raise OffsetOutOfRangeError(
                        f"there is no such offset: partition={partition} offset={offset}"
                    )
                log.begin_deletion(offset)
                logs[partition] = log
            except StreamCoreError as error:
                outcomes[partition] = error
        if logs:
            try:
                yield OffLockWork(self._logs.write_log_starts)
            except StorageError as error:
                return {**outcomes, **dict.fromkeys(logs, error)}
        for partition, log in logs.items():
            try:
                if self.partition(partition) is log:
                    log.delete_records_before(before[partition])
                outcomes[partition] = log.offsets.log_start
            except StreamCoreError as error:
                outcomes[partition] = error
        return outcomes

    # --- transactions ---------------------------------------------------------------------------

    def describe_transaction(self, transactional_id: str) -> TransactionDescription | None:
        """Return a transactional id, or ``None`` if it is unknown."""
        record = self.transactions.table.get(transactional_id)
        return None if record is None else described(record)

    def list_transactions(self, wanted: TransactionFilter) -> list[TransactionDescription]:
        """Return the transactional ids that a filter accepts, sorted."""
        return listed(self.transactions.table, wanted, self._clock.now_ms())

    def written_to(self, partitions: Iterable[TopicPartition]) -> DurableUntil:
        """Return the wait for everything that was written to partitions so far."""
        return self._partitions.written(map(self.partition, partitions))

    # --- time ---------------------------------------------------------------------------------

    def expire_due(
        self, *, transactions: bool = True, transactional_ids: bool = True, committed_offsets: bool = True
    ) -> Operation[None]:
        """Run what is due by time: for transactions and members, transactional ids, committed offsets."""
        if transactions:
            yield from self.transactions.end_late()
            self.groups.expire_members()
        if transactional_ids:
            self.transactions.forget_unused()
        if committed_offsets:
            self.groups.expire_offsets()

    def begin_maintenance(
        self, partition: TopicPartition, *, deletes_old: bool, compacts: bool
    ) -> Compaction | None:
        """Run retention of one partition; return the compaction that is due. See ``LogManager``."""
        return self._logs.begin_maintenance(partition, deletes_old=deletes_old, compacts=compacts)

    def go_on_with(self, compaction: Compaction) -> bool:
        """Install one cleaned segment; return whether more follow."""
        return self._logs.go_on_with(compaction)

    def write_recovery_points(self) -> None:
        """Write the recovery points that were noted by the last maintenance; for any thread."""
        self._logs.write_recovery_points()

    def release_idle(self) -> None:
        """Close the data files that are not read any more."""
        self._logs.release_idle()

    def free_removed(self) -> None:
        """Free the space of removed files whose delay is over; for any thread."""
        self._logs.free_removed()


def _ensure_not_hidden(topic: TopicName) -> None:
    """Refuse the topic with users and rules, which only the broker itself reads and writes."""
    if topic == STATE_TOPIC:
        raise UsageError(f"the log keeps its users and access rules in this topic: topic={topic}")


def _with(changes: Mapping[str, str | None], config: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in {**config, **changes}.items() if value is not None}


def _only(outcomes: Iterable[Outcome]) -> TopicState:
    (outcome,) = outcomes
    if isinstance(outcome, TopicState):
        return outcome
    raise outcome
