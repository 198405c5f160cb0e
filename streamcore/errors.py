"""Every error that StreamCore raises on purpose, grouped by how the caller should react.

A new class is added only for a new reaction. Messages are lower case, say what to do, and end with their
facts as ``key=value``; ``with_facts`` joins text and facts.
"""

from __future__ import annotations

from collections.abc import Mapping


def fact_text(**facts: object) -> str:
    """Return facts as ``key=value`` pairs, the form in which every error message ends."""
    return " ".join(f"{name}={value}" for name, value in facts.items())


def with_facts(text: str, /, **facts: object) -> str:
    """Return a message: its text, a colon, and its facts."""
    return f"{text}: {fact_text(**facts)}"


class StreamCoreError(Exception):
    """Base of all errors raised by StreamCore."""

    def __init__(self, message: str = "", *, kafka_text: str = "") -> None:
        super().__init__(message)
        self.kafka_text = kafka_text
        """Kafka's text for this error, where programs may match it; error messages on the wire begin with
        it.
        """


class UsageError(StreamCoreError):
    """The program or its configuration must change before the call can succeed."""


class TopologyError(UsageError):
    """The declared application cannot run: names clash, or inputs do not fit together."""


class InvalidConfigError(UsageError):
    """A setting has an unknown name or an impossible value."""


class UnknownTopicError(UsageError):
    """The topic or partition does not exist."""


class TopicExistsError(UsageError):
    """A topic of this name exists already."""


class InvalidRecordError(UsageError):
    """The log refuses a record: it is too large, has no key in a compacted topic, or a bad timestamp."""

    def __init__(self, message: str, *, record_errors: Mapping[int, str] | None = None) -> None:
        super().__init__(message)
        self.record_errors: Mapping[int, str] = record_errors or {}
        """The refused records of the batch, and the reason for each, in Kafka's words (KIP-467)."""


class RecordTooLargeError(InvalidRecordError):
    """The record or its batch is larger than the topic allows: send less at once."""


class InvalidTimestampError(InvalidRecordError):
    """The timestamp is outside the range that the topic allows: check the clock or the unit."""


class ClosedError(UsageError):
    """The object was closed before the call."""


class DirectoryInUseError(UsageError):
    """Another process holds the data folder; the message names its pid."""


class UnsupportedVersionError(UsageError):
    """A file was written by a newer version of the format than this program reads."""


class StorageError(StreamCoreError):
    """The file system refused: disk full, read-only folder, failed fsync. Nothing was acknowledged."""


class ServerFailedError(StreamCoreError):
    """The log is not served any more, and no client is the cause; acknowledged records are safe."""


class RetriableError(StreamCoreError):
    """Wait, then make the same call again."""


class RequestTimeoutError(RetriableError):
    """The call did not complete within its timeout."""


class RebalanceInProgressError(RetriableError):
    """The consumer group is rebalancing: it agrees on a new assignment."""


class NotOwnerError(RetriableError):
    """Another worker has the task, or is about to open it: ask that worker, or make the same call again."""


class ConcurrentTransactionsError(RetriableError):
    """The transactional id still has a transaction that is being completed."""


class FencedError(StreamCoreError):
    """A newer owner exists: discard the state held for the ownership and start again."""


class ProducerFencedError(FencedError):
    """A newer producer with the same transactional id took over."""


class StaleGenerationError(FencedError):
    """The consumer group has a newer generation, which this member does not belong to."""


class OffsetOutOfRangeError(StreamCoreError):
    """The offset is before the log start or after the visible end: reset by policy, or stop."""


class OutOfOrderSequenceError(StreamCoreError):
    """A producer's sequence number leaves a gap: an earlier batch was lost."""


class InvalidTransactionStateError(UsageError):
    """The call does not fit the state of the producer's transaction."""


class CorruptDataError(StreamCoreError):
    """Stored bytes fail their checks: stop, then repair or restore."""


class CorruptBatchError(CorruptDataError):
    """A record batch fails its checksum or its structure."""


class CorruptIndexError(CorruptDataError):
    """An index disagrees with its data file; it can be rebuilt."""


class CorruptStoreError(CorruptDataError):
    """A state store cannot be read; it can be restored from its changelog."""


class SerdeError(StreamCoreError):
    """Bytes do not decode, or a value does not encode. The record's error policy applies."""


class UserCodeError(StreamCoreError):
    """Application code failed; the message says where, and ``__cause__`` is the original exception."""
