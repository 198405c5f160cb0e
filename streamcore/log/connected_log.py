"""An open log as programs use it: the port, with the public producer, the public consumer and groups added.

The log behind it is in a folder, or behind a broker; ``ConnectedLog`` works the same for both. ``connect``
opens one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Literal, Protocol, Self, TypeAlias

from streamcore.clock import Clock
from streamcore.durations import duration_ms
from streamcore.errors import ClosedError, InvalidConfigError, UsageError, fact_text, with_facts
from streamcore.log.client import port
from streamcore.log.client.access import AccessControl
from streamcore.log.client.application_groups import ensure_not_an_application
from streamcore.log.client.consumer.consumer import Consumer
from streamcore.log.client.consumer.fetch_state import Start
from streamcore.log.client.consumer.settings import (
    ConsumerSettings,
    Duration,
    GroupSettings,
    PartitionLike,
    RebalanceCallback,
)
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.client.group_log import GroupLog, Member, MemberSummary
from streamcore.log.client.producer.producer import Producer, ProducerSettings
from streamcore.log.groups import GroupSummary, ResetTarget, reset_offsets, summarize
from streamcore.model import (
    CommittedOffset,
    Isolation,
    LogOffsets,
    Offset,
    TimestampMs,
    TopicName,
    TopicPartition,
)

IsolationName: TypeAlias = Literal["read_committed", "read_uncommitted"]

_TRANSACTION_TIMEOUT_MS_MIN: Final = 1_000
"""librdkafka takes no shorter one."""


class ProgramLog(GroupLog, Protocol):
    """The log behind a connection: a log with its groups, users and access rules."""

    @property
    def access(self) -> AccessControl:
        """Users and access rules."""


class ConnectedLog:
    """A log: its topics, its groups, producers and consumers. Safe to share between threads."""

    def __init__(self, log: ProgramLog, clock: Clock, release: Callable[[], None]) -> None:
        """``release`` releases the log; it is called once."""
        self._log = log
        self._clock = clock
        self._release = release
        self._is_closed = False

    # --- producers and consumers ----------------------------------------------------------------

    def producer(
        self,
        *,
        transactional_id: str | None = None,
        compression: str = "none",
        linger: Duration = "5ms",
        batch_bytes_max: int = 512 * 1024,
        buffer_bytes_max: int = 32 * 1024 * 1024,
        transaction_timeout: Duration | None = None,
    ) -> Producer:
        """Return a producer: idempotent, every acknowledged record durable.

        Args:
            transactional_id: for exactly-once; an older producer of this id is fenced and its open
                transaction aborted.
            compression: none, gzip, snappy, lz4 or zstd.
            linger: how long a record may wait for others; a wait for its future ends that at once.
            batch_bytes_max: the most bytes of a batch.
            buffer_bytes_max: the bytes that may be in flight; ``send`` waits at this limit.
            transaction_timeout: the log aborts a transaction that is open for longer; 60 s by default, at
                least 1 s, at most the ``transaction.max.timeout.ms`` of the log, 15 minutes by default.

        Raises:
            InvalidConfigError: the log does not allow this ``transaction_timeout``.
        """
        settings = ProducerSettings(
            linger=linger, batch_bytes_max=batch_bytes_max, buffer_bytes_max=buffer_bytes_max
        )
        timeout_ms = None if transaction_timeout is None else duration_ms(transaction_timeout)
        if timeout_ms is not None and timeout_ms < _TRANSACTION_TIMEOUT_MS_MIN:
            raise InvalidConfigError(
                with_facts("the transaction timeout is less than a second", timeout_ms=timeout_ms)
            )
        log = self._open()
        return Producer(
            log.producer_port(
                transactional_id=transactional_id,
                compression=compression,
                transaction_timeout_ms=timeout_ms,
            ),
            log.topics,
            self._clock,
            is_transactional=transactional_id is not None,
            settings=settings,
        )

    def consumer(
        self,
        *topics: TopicName | Iterable[TopicName],
        group: str | None = None,
        start: Start = "earliest",
        assign: Iterable[PartitionLike] | Mapping[TopicPartition, Offset] = (),
        isolation: IsolationName | Isolation = Isolation.READ_COMMITTED,
        records_max: int = 100_000,
        fetch_bytes_max: int = 1024 * 1024,
        assignor: str | Sequence[str] = ("range",),
        group_instance_id: str | None = None,
        session_timeout: Duration = "45s",
        heartbeat_interval: Duration = "200ms",
        max_poll_interval: Duration = "5m",
        on_assigned: RebalanceCallback | None = None,
        on_revoked: RebalanceCallback | None = None,
        on_lost: RebalanceCallback | None = None,
        client_id: str = "streamcore",
    ) -> Consumer:
        """Return a consumer of topics, alone or in a group, or of given partitions.

        Args:
            topics: what to read. With a group, its members share the partitions.
            group: the group whose committed offsets are used; ``commit`` changes them.
            start: where to begin without a committed offset: ``earliest``, ``latest``, an offset, or a time.
            assign: partitions to read, instead of topics; a mapping gives each its offset. A group is then
                only used for committed offsets.
            isolation: ``read_committed`` hides open and aborted transactions.
            records_max: the most records that a ``poll`` returns.
            fetch_bytes_max: the bytes fetched of a partition at once.
            assignor: ``range``, ``sticky``, ``cooperative-sticky``, or several in order of preference.
            group_instance_id: makes this a static member, which keeps its partitions over a restart.
            session_timeout: the time without a heartbeat after which the group removes a member.
            heartbeat_interval: the time between heartbeats, by which a member also learns of a rebalance.
            max_poll_interval: the time without ``poll`` after which a member leaves by itself.
            on_assigned: called with the partitions that were assigned.
            on_revoked: called with the partitions that are revoked, before they are removed.
            on_lost: called with the partitions that another member owns already; ``on_revoked`` by default.
            client_id: a name for people, in descriptions of the group.

        Raises:
            UnknownTopicError: a topic does not exist.
            UsageError: the group belongs to an application.
        """
        return Consumer(
            self._open(),
            self._clock,
            topics=_names(topics),
            assign=assign if isinstance(assign, Mapping) else tuple(assign),
            group=group,
            settings=ConsumerSettings(
                start=start,
                isolation=_isolation(isolation),
                records_max=records_max,
                fetch_bytes_max=fetch_bytes_max,
                on_assigned=on_assigned,
                on_revoked=on_revoked,
                on_lost=on_lost,
            ),
            group_settings=GroupSettings(
                assignors=(assignor,) if isinstance(assignor, str) else tuple(assignor),
                instance_id=group_instance_id,
                session_timeout=session_timeout,
                heartbeat_interval=heartbeat_interval,
                max_poll_interval=max_poll_interval,
                client_id=client_id,
            ),
        )

    # --- groups -----------------------------------------------------------------------------------

    def groups(self) -> list[str]:
        """Return all groups that have members or committed offsets, sorted."""
        return self._open().group_names()

    def describe_group(self, group: str) -> GroupSummary:
        """Return a group's state, members and committed offsets. Raises ``UsageError`` if it does not
        exist.
        """
        log = self._open()
        self._ensure_group(group)
        description = log.describe_group(group)
        committed = log.committed(group)
        summary = summarize(description, committed, {})
        return summarize(description, committed, self._marks(each.partition for each in summary.positions))

    def group_members(self, group: str) -> Sequence[MemberSummary]:
        """Return the members of a group; none if the group does not exist."""
        return self._open().describe_group(group).members

    def join_group(
        self,
        group: str,
        topics: Sequence[TopicName],
        settings: GroupSettings,
        wake: Callable[[], None],
    ) -> Member:
        """Start a membership in a group without reading; the caller stops it. See ``group_log``."""
        return self._open().join(group, topics, settings, self._clock, wake)

    def reset_group(
        self,
        group: str,
        to: ResetTarget,
        *,
        topics: Iterable[TopicName] | None = None,
        dry_run: bool = False,
        of_application: bool = False,
    ) -> dict[TopicPartition, CommittedOffset]:
        """Move the committed offsets of a group without members; return the new offsets.

        Args:
            group: a name that does not exist creates a group.
            to: ``earliest``, ``latest``, an offset, ``+n`` or ``-n``, a time, a duration back from now, or
                an offset for each partition.
            topics: only these; by default all topics with committed offsets of the group.
            dry_run: return the new offsets without a change.
            of_application: also if the group belongs to an application, which then refuses to start or, if
                it has no tables, continues from there.

        Raises:
            UsageError: the group has members, nothing to reset, or belongs to an application.
        """
        log = self._open()
        if not dry_run and not of_application:
            ensure_not_an_application(group, log.topics(), "move the committed offsets of the group")
        committed = log.committed(group)
        if topics is not None:
            known = log.topics()
            partitions = [
                TopicPartition(name, number)
                for name in topics
                for number in range(known[name].partition_count if name in known else 1)
            ]
        elif isinstance(to, Mapping):
            partitions = list(to)
        else:
            partitions = list(self._marks(committed))
        if not partitions:
            facts = fact_text(group=group)
            raise UsageError(f"the group has no committed offsets: name the topics to reset: {facts}")
        offsets = reset_offsets(log, partitions, to, committed=committed, now_ms=self._clock.now_ms())
        if not dry_run:
            log.commit_offsets(group, offsets)
        return offsets

    def delete_group(self, group: str, *, of_application: bool = False) -> None:
        """Delete a group without members, with its committed offsets.

        Args:
            of_application: also if the group belongs to an application.

        Raises:
            UsageError: the group has members, does not exist, or belongs to an application.
        """
        if not of_application:
            ensure_not_an_application(group, self._open().topics(), "delete the group")
        self._open().delete_group(group)

    def delete_offsets(
        self, group: str, partitions: Iterable[TopicPartition], *, of_application: bool = False
    ) -> None:
        """Delete committed offsets that no member uses.

        Args:
            of_application: also if the group belongs to an application.

        Raises:
            UsageError: a member uses one of them, or the group belongs to an application.
        """
        if not of_application:
            ensure_not_an_application(group, self._open().topics(), "delete committed offsets of the group")
        self._open().delete_offsets(group, partitions)

    def delete_positions(
        self, group: str, partitions: Iterable[TopicPartition], *, of_application: bool = False
    ) -> None:
        """The former name of ``delete_offsets``."""
        warnings.warn("Log.delete_positions is now Log.delete_offsets", DeprecationWarning, stacklevel=2)
        self.delete_offsets(group, partitions, of_application=of_application)

    # --- the port ---------------------------------------------------------------------------------

    def topics(self) -> Mapping[TopicName, port.TopicDescription]:
        """All topics, internal ones included."""
        return self._open().topics()

    def described(self, names: Iterable[TopicName]) -> Mapping[TopicName, port.TopicDescription]:
        """Return the descriptions of the topics that exist, in one request."""
        return self._open().described(names)

    def identities(self, names: Iterable[TopicName]) -> Mapping[TopicName, port.TopicIdentity]:
        """Return the ids and numbers of partitions of the topics that exist, in one request."""
        return self._open().identities(names)

    def create_topic(
        self, name: TopicName, *, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> port.TopicDescription:
        """Create a topic, durably.

        Records are kept for ever, unless ``config`` sets ``retention.ms``, or the log was opened with a
        default for it. ``{"retention.ms": "86400000"}`` keeps them for a day or more after their append.

        Raises:
            TopicExistsError: the name is taken.
            InvalidConfigError: a name, count or setting is not valid.
        """
        return self._open().create_topic(name, partitions=partitions, config=config)

    def alter_topic(
        self,
        name: TopicName,
        *,
        partitions: int | None = None,
        config: Mapping[str, str | None] | None = None,
    ) -> port.TopicDescription:
        """Add partitions or change settings; the value ``None`` removes a setting."""
        return self._open().alter_topic(name, partitions=partitions, config=config)

    def delete_topic(self, name: TopicName) -> None:
        """Delete a topic with its data. Raises ``UnknownTopicError``."""
        self._open().delete_topic(name)

    def delete_records(self, before: Mapping[TopicPartition, Offset]) -> None:
        """Move log starts forward; records before them cannot be read any more."""
        self._open().delete_records(before)

    def offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogOffsets]:
        """Return the marks of partitions. Raises ``UnknownTopicError``."""
        return self._open().offsets(partitions)

    def offsets_for_time(self, times: Mapping[TopicPartition, TimestampMs]) -> dict[TopicPartition, Offset]:
        """Return for each partition the first offset with a timestamp at or after a time, else the log
        end.
        """
        return self._open().offsets_for_time(times)

    def committed(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, CommittedOffset]:
        """Return a group's committed offsets; partitions without one are left out."""
        return self._open().committed(group, partitions)

    def commit_offsets(self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Commit offsets durably, outside any transaction and any membership."""
        self._open().commit_offsets(group, offsets)

    def commit_positions(self, group: str, positions: Mapping[TopicPartition, CommittedOffset]) -> None:
        """The former name of ``commit_offsets``."""
        warnings.warn("Log.commit_positions is now Log.commit_offsets", DeprecationWarning, stacklevel=2)
        self.commit_offsets(group, positions)

    def producer_port(
        self,
        *,
        transactional_id: str | None = None,
        compression: str = "none",
        transaction_timeout_ms: int | None = None,
    ) -> port.Producer:
        """Return a producer of columns; see the port."""
        return self._open().producer_port(
            transactional_id=transactional_id,
            compression=compression,
            transaction_timeout_ms=transaction_timeout_ms,
        )

    def reader(self, *, isolation: Isolation = Isolation.READ_COMMITTED) -> port.Reader:
        """Return a reader of columns; see the port."""
        return self._open().reader(isolation=isolation)

    @property
    def access(self) -> AccessControl:
        """Return the users and access rules of the served log."""
        return self._open().access

    @property
    def is_embedded(self) -> bool:
        """Whether the log is in this process, and not behind a broker."""
        return isinstance(self._open(), EmbeddedLog)

    @property
    def embedded(self) -> EmbeddedLog:
        """Return the log in this process, for tools. Raises ``UsageError`` if it is behind a broker."""
        log = self._open()
        if not isinstance(log, EmbeddedLog):
            raise UsageError("the log is behind a broker: connect to a data folder for this")
        return log

    def close(self) -> None:
        """Release the log; acknowledged records stay. Close producers and consumers before."""
        if not self._is_closed:
            self._is_closed = True
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> ProgramLog:
        if self._is_closed:
            raise ClosedError("the log is closed; connect again")
        return self._log

    def _marks(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogOffsets]:
        """Return the marks of the partitions that exist."""
        log = self._open()
        topics = log.topics()
        return log.offsets(
            partition
            for partition in partitions
            if partition.topic in topics and partition.partition < topics[partition.topic].partition_count
        )

    def _ensure_group(self, group: str) -> None:
        if group not in self._open().group_names():
            raise UsageError(with_facts("the group does not exist", group=group))


def _names(topics: Iterable[TopicName | Iterable[TopicName]]) -> list[TopicName]:
    names: list[TopicName] = []
    for topic in topics:
        if isinstance(topic, str):
            names.append(topic)
        else:
            names.extend(topic)
    return names


def _isolation(isolation: IsolationName | Isolation) -> Isolation:
    if isinstance(isolation, Isolation):
        return isolation
    try:
        return Isolation[isolation.upper()]
    except KeyError:
        facts = fact_text(given=isolation)
        raise UsageError(f"isolation is read_committed or read_uncommitted: {facts}") from None
