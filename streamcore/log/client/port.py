"""The port through which everything above the log uses it.

``state`` and ``processing`` see the log as a stranger would, through these protocols alone. The
embedded adapter (``embedded.py``) calls the broker in this process; an adapter for Apache Kafka
implements the same protocols with librdkafka. One contract suite (``tests/contract``) runs on each.

Calls block until they are done; an acknowledged write is durable. Objects may be shared between
threads unless their docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias
from uuid import UUID

from streamcore.errors import StreamCoreError
from streamcore.log.broker.requests import Membership
from streamcore.model import (
    CommittedPosition,
    FetchedColumns,
    Isolation,
    LogOffsets,
    Offset,
    RecordColumns,
    TimestampMs,
    TopicName,
    TopicPartition,
)


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as the log knows it: ``topic_id`` tells one incarnation of a name from the next."""

    name: TopicName
    topic_id: UUID
    partition_count: int
    config: Mapping[str, str] = field(default_factory=dict)
    """Only what differs from the defaults, by Kafka's names: ``retention.ms``, ``cleanup.policy``, …"""
    has_settings: bool = True
    """Whether the log told the settings; a broker may keep them from this user."""


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a run of records was written: offsets ``[base_offset, end_offset)`` of ``target``."""

    target: TopicPartition
    base_offset: Offset
    end_offset: Offset
    log_append_time_ms: TimestampMs = -1
    """The time that the log gave the records instead of their own (``message.timestamp.type``), or -1."""


Outcome: TypeAlias = "tuple[int, Appended | StreamCoreError]"
"""What became of a piece of a run: the place in the run where the piece ends (exclusive), and the consecutive
offsets that it was given, or why it was refused."""


class Acknowledgement(Protocol):
    """The promise of an append."""

    def result(self, timeout_s: float | None = None) -> Appended:
        """Wait until the run is durable, and return where; raise the first thing that went wrong instead.

        The range reaches from the first record to the last. Where other producers write to the same
        partition it may hold records of theirs; ``outcomes`` has the pieces between them.
        """

    def outcomes(self, timeout_s: float | None = None) -> Sequence[Outcome]:
        """Wait like ``result``, and return what became of each record, in pieces that cover the run.

        Raises:
            RequestTimeoutError: the time given was not enough.
            StreamCoreError: what concerns the whole run.
        """

    def done(self) -> bool:
        """Whether ``result`` would return or raise at once."""


class Transaction(Protocol):
    """One open transaction; see ``Producer.transaction``. Not for sharing between threads."""

    def append_columns(
        self,
        partition: TopicPartition,
        columns: RecordColumns,
    ) -> Acknowledgement:
        """Append records as part of the transaction; they are visible once it has committed.

        The acknowledgement tells where they are; durable they are when the transaction is. A transaction
        with a record that was refused does not commit.
        """

    def commit_positions(
        self,
        group: str,
        positions: Mapping[TopicPartition, CommittedPosition],
        *,
        membership: Membership | None = None,
    ) -> None:
        """Make the group's positions part of the transaction: they move only if it commits.

        Raises:
            StaleGenerationError: a membership was given, and the group has moved on without it.
        """


class Producer(Protocol):
    """Appends runs of records: idempotent, acknowledged once durable."""

    time_min_ms: TimestampMs
    """The earliest time that a record can have, at least 0. A record without a time (-1) stays without."""

    def append_columns(
        self,
        partition: TopicPartition,
        columns: RecordColumns,
    ) -> Acknowledgement:
        """Append records outside any transaction; runs to one partition keep their order.

        Raises:
            InvalidTimestampError: a time before ``time_min_ms`` that is not -1, or beyond 64 bits; nothing
                was appended.
        """

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction that commits when the block ends and aborts when it raises.

        Commit returns once the decision is durable. Only for producers with a transactional id.

        Raises:
            ProducerFencedError: a newer producer with this id has taken over.
        """

    def flush(self) -> None:
        """Wait until everything appended so far is acknowledged."""

    def close(self) -> None:
        """Flush and give up; an open transaction is aborted."""


class Reader(Protocol):
    """Reads assigned partitions, each from its own position. For one thread at a time."""

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        """Replace what is read by these partitions, from these positions."""

    def fetch(self, source: TopicPartition, *, bytes_max: int) -> FetchedColumns | None:
        """Return what is visible from the position and move the position past it.

        It never waits for records that are not visible yet. What is visible but has to come over a network is
        waited for, for a bounded time.

        At least one batch is returned if any is visible, even if it is larger than ``bytes_max``.
        A run may be empty and still move the position (markers, aborted records). ``None``
        means that the position is at the visible end.

        Raises:
            OffsetOutOfRangeError: the position is before the log start or after the log end.
        """

    def position(self, source: TopicPartition) -> Offset:
        """The next offset that ``fetch`` would look at."""

    def visible_end(self, source: TopicPartition) -> Offset:
        """Where reading would stop now, by this reader's isolation."""

    def wait(self, timeout_s: float) -> bool:
        """Wait until an assigned partition has something past its position; false on time-out."""

    def on_progress(self, callback: Callable[[], None] | None) -> None:
        """Have ``callback`` called, from any thread, when something may have become readable."""

    def close(self) -> None:
        """Stop reading."""


class Log(Protocol):
    """A log: topics, their offsets, groups' committed positions, and ways to write and read."""

    def topics(self) -> Mapping[TopicName, TopicDescription]:
        """All topics, internal ones included."""

    def described(self, names: Iterable[TopicName]) -> Mapping[TopicName, TopicDescription]:
        """Those of the topics that exist, asked for at once."""

    def create_topic(
        self, name: TopicName, *, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> TopicDescription:
        """Create a topic, durably. It keeps its records for ever, unless ``config`` sets ``retention.ms``.

        Raises:
            TopicExistsError: the name is taken.
            InvalidConfigError: a bad name, count, or an unknown or impossible setting.
        """

    def alter_topic(
        self,
        name: TopicName,
        *,
        partitions: int | None = None,
        config: Mapping[str, str | None] | None = None,
    ) -> TopicDescription:
        """Add partitions, or set settings (``None`` goes back to the default)."""

    def delete_topic(self, name: TopicName) -> None:
        """Delete a topic with its data. Raises ``UnknownTopicError``."""

    def delete_records(self, before: Mapping[TopicPartition, Offset]) -> None:
        """Move log starts forward; what is before them is no longer readable."""

    def offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogOffsets]:
        """The marks of partitions. Raises ``UnknownTopicError``."""

    def offsets_for_time(self, times: Mapping[TopicPartition, TimestampMs]) -> dict[TopicPartition, Offset]:
        """For each partition the first offset whose timestamp is at or after; the log end if none is."""

    def committed(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, CommittedPosition]:
        """A group's committed positions; partitions without one are left out."""

    def commit_positions(self, group: str, positions: Mapping[TopicPartition, CommittedPosition]) -> None:
        """Commit positions outside any transaction and any membership, durably."""

    def producer_port(self, *, transactional_id: str | None = None, compression: str = "none") -> Producer:
        """A producer of runs. With a transactional id, older producers of that id are fenced and
        their open transaction is aborted before this returns."""

    def reader(self, *, isolation: Isolation = Isolation.READ_COMMITTED) -> Reader:
        """A reader with nothing assigned yet."""

    def close(self) -> None:
        """Give everything back; everything acknowledged stays."""
