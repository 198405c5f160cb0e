"""The port through which ``state`` and ``processing`` use the log.

They use these protocols alone, and nothing behind them. The embedded adapter (``embedded``) calls the broker
in this process; the adapter for brokers (``kafka``) uses librdkafka. One contract suite (``tests/contract``)
runs on each.

Calls block until they are done; an acknowledged write is durable. Objects may be shared between
threads unless their docstring says otherwise.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple, Protocol, TypeAlias
from uuid import UUID

from msgspec import Struct, field

from streamcore.errors import StreamCoreError
from streamcore.model import (
    CommittedOffset,
    FetchedColumns,
    Isolation,
    LogOffsets,
    Membership,
    Offset,
    RecordColumns,
    TimestampMs,
    TopicName,
    TopicPartition,
)

MESSAGE_BYTES_MAX: Final = 1_048_588
"""Kafka's default of ``max.message.bytes``."""


class TopicDescription(Struct, frozen=True):
    """A topic of the log. ``topic_id`` differs between a deleted topic and a new one of the same name."""

    name: TopicName
    topic_id: UUID
    partition_count: int
    config: Mapping[str, str] = field(default_factory=dict)
    """Only the settings that differ from the defaults, by Kafka's names: ``retention.ms``,
    ``cleanup.policy``, …
    """
    has_settings: bool = True
    """Whether the log returned the settings; a broker may hide them from this user."""
    message_bytes_max: int = MESSAGE_BYTES_MAX
    """The largest batch that the topic accepts: its ``max.message.bytes``, or the broker's."""


class TopicIdentity(NamedTuple):
    """What changes when a topic is deleted and created again, or gets partitions."""

    topic_id: UUID
    partition_count: int


class Appended(Struct, frozen=True):
    """Where columns were written: offsets ``[base_offset, end_offset)`` of ``partition``."""

    partition: TopicPartition
    base_offset: Offset
    end_offset: Offset
    log_append_time_ms: TimestampMs = -1
    """The time that the log gave the records instead of their own (``message.timestamp.type``), or -1."""

    @property
    def target(self) -> TopicPartition:
        """The former name of ``partition``."""
        warnings.warn("Appended.target is now Appended.partition", DeprecationWarning, stacklevel=2)
        return self.partition


Outcome: TypeAlias = "tuple[int, Appended | StreamCoreError]"
"""The outcome of a piece of an append: the index where the piece ends (exclusive), and the consecutive
offsets of its records, or why they were refused.
"""


class Acknowledgement(Protocol):
    """The future of an append."""

    def result(self, timeout_s: float | None = None) -> Appended:
        """Wait until the records are durable, and return their offsets; raise the first failure instead.

        The range reaches from the first record to the last. If other producers write to the same partition,
        it may contain records of theirs; ``outcomes`` returns the pieces between them.
        """

    def outcomes(self, timeout_s: float | None = None) -> Sequence[Outcome]:
        """Wait like ``result``, and return the outcome of each record, in pieces that cover all.

        Raises:
            RequestTimeoutError: the timeout was over.
            StreamCoreError: a failure that concerns all records.
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
        """Append records in the transaction; they become visible when it commits.

        The acknowledgement has their offsets; they are durable when the transaction is. A transaction
        with a record that was refused does not commit.
        """

    def commit_offsets(
        self,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        *,
        membership: Membership | None = None,
    ) -> None:
        """Add a group's committed offsets to the transaction; they change only if it commits.

        Raises:
            StaleGenerationError: a membership was given, and another generation has begun without it.
        """


class Producer(Protocol):
    """Appends columns of records: idempotent, acknowledged after they are durable."""

    time_min_ms: TimestampMs
    """The earliest time that a record can have, at least 0. A record without a time (-1) stays without."""

    def append_columns(
        self,
        partition: TopicPartition,
        columns: RecordColumns,
    ) -> Acknowledgement:
        """Append records outside any transaction; appends to one partition keep their order.

        Raises:
            InvalidTimestampError: a time before ``time_min_ms`` that is not -1, or beyond 64 bits; nothing
                was appended.
        """

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction that commits when the block ends and aborts when it raises.

        Commit returns after the decision is durable. Only for producers with a transactional id.

        Raises:
            ProducerFencedError: a newer producer with this id has taken over.
        """

    def flush(self) -> None:
        """Wait until everything appended so far is acknowledged."""

    def close(self) -> None:
        """Flush and close; an open transaction is aborted."""


class Reader(Protocol):
    """Reads assigned partitions, each from its own position. For one thread at a time."""

    def assign(self, positions: Mapping[TopicPartition, Offset]) -> None:
        """Replace the partitions that are read, and their positions."""

    def fetch(self, partition: TopicPartition, *, bytes_max: int) -> FetchedColumns | None:
        """Return what is visible from the position and move the position past it.

        It never waits for records that are not visible yet. For visible records that have to arrive over a
        network it waits, for a bounded time.

        At least one batch is returned if any is visible, even if it is larger than ``bytes_max``.
        The columns may be empty while the position moves (markers, aborted records). ``None``
        means that the position is at the visible end.

        Raises:
            OffsetOutOfRangeError: the position is before the log start or after the log end.
        """

    def position(self, partition: TopicPartition) -> Offset:
        """Return the next offset that ``fetch`` reads."""

    def visible_end(self, partition: TopicPartition) -> Offset:
        """Return where reading stops now, by this reader's isolation."""

    def wait(self, timeout_s: float) -> bool:
        """Wait until an assigned partition has records past its position; return false on timeout."""

    def on_progress(self, callback: Callable[[], None] | None) -> None:
        """Call ``callback``, from any thread, when records may have become readable."""

    def close(self) -> None:
        """Stop reading."""


class Log(Protocol):
    """A log: topics, their offsets, committed offsets of groups, and producers and readers."""

    def topics(self) -> Mapping[TopicName, TopicDescription]:
        """All topics, internal ones included."""

    def described(self, names: Iterable[TopicName]) -> Mapping[TopicName, TopicDescription]:
        """Return the descriptions of the topics that exist, in one request."""

    def identities(self, names: Iterable[TopicName]) -> Mapping[TopicName, TopicIdentity]:
        """Return the ids and numbers of partitions of the topics that exist, in one request."""

    def create_topic(
        self, name: TopicName, *, partitions: int = 1, config: Mapping[str, str] | None = None
    ) -> TopicDescription:
        """Create a topic, durably. Records are kept for ever, unless ``config`` sets ``retention.ms``.

        Raises:
            TopicExistsError: the name is taken.
            InvalidConfigError: a name, count or setting is not valid.
        """

    def alter_topic(
        self,
        name: TopicName,
        *,
        partitions: int | None = None,
        config: Mapping[str, str | None] | None = None,
    ) -> TopicDescription:
        """Add partitions or change settings; the value ``None`` removes a setting."""

    def delete_topic(self, name: TopicName) -> None:
        """Delete a topic with its data. Raises ``UnknownTopicError``."""

    def delete_records(self, before: Mapping[TopicPartition, Offset]) -> None:
        """Move log starts forward; records before them cannot be read any more."""

    def offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, LogOffsets]:
        """Return the marks of partitions. Raises ``UnknownTopicError``."""

    def offsets_for_time(self, times: Mapping[TopicPartition, TimestampMs]) -> dict[TopicPartition, Offset]:
        """Return for each partition the first offset with a timestamp at or after a time, else the log
        end.
        """

    def committed(
        self, group: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, CommittedOffset]:
        """Return a group's committed offsets; partitions without one are left out."""

    def commit_offsets(self, group: str, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        """Commit offsets durably, outside any transaction and any membership."""

    def producer_port(
        self,
        *,
        transactional_id: str | None = None,
        compression: str = "none",
        transaction_timeout_ms: int | None = None,
    ) -> Producer:
        """Return a producer of columns. With a transactional id, older producers of that id are fenced and
        their open transaction is aborted before this returns. The log aborts a transaction that is open for
        longer than the timeout, 60 s by default.

        Raises:
            InvalidConfigError: the log does not allow this timeout.
        """

    def reader(self, *, isolation: Isolation = Isolation.READ_COMMITTED) -> Reader:
        """Return a reader without partitions."""

    def close(self) -> None:
        """Release all resources; acknowledged records stay."""
