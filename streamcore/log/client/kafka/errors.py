"""Translates the errors of librdkafka and of brokers to our errors, by what the caller should do.

The table has Kafka's and librdkafka's names; a name that is not in it becomes a plain ``StreamCoreError``.
The message says what was tried and what to do, and ends with the broker's name of the error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from streamcore.errors import (
    ConcurrentTransactionsError,
    CorruptBatchError,
    FencedError,
    InvalidConfigError,
    InvalidRecordError,
    InvalidTimestampError,
    InvalidTransactionStateError,
    OffsetOutOfRangeError,
    OutOfOrderSequenceError,
    ProducerFencedError,
    RebalanceInProgressError,
    RecordTooLargeError,
    RequestTimeoutError,
    RetriableError,
    StaleGenerationError,
    StorageError,
    StreamCoreError,
    TopicExistsError,
    UnknownTopicError,
    UsageError,
    with_facts,
)


class TransactionGivenUpError(RetriableError):
    """The record was not written because its transaction had failed; the commit raises the reason."""


_CREATE = "there is no such topic or partition"
_CHANGE = "change what the broker names"
_LOOK = "check the address, and that the broker runs"
_LATER = "the broker is not ready for it, try again"
_LOGIN = "check user, password and certificates, which --command-config or security= give"
_RIGHTS = "the broker does not allow it to this user"
_REJOIN = "the group has moved on: poll to join again"
_NEWER = "a newer producer with this id has taken over: stop this one"

_REACTIONS: Final[Mapping[str, tuple[type[StreamCoreError], str]]] = {
    "UNKNOWN_TOPIC_OR_PART": (UnknownTopicError, _CREATE),
    "UNKNOWN_TOPIC_ID": (UnknownTopicError, "the topic was deleted"),
    "_UNKNOWN_TOPIC": (UnknownTopicError, _CREATE),
    "_UNKNOWN_PARTITION": (UnknownTopicError, _CREATE),
    "TOPIC_ALREADY_EXISTS": (TopicExistsError, "the topic exists already"),
    "INVALID_CONFIG": (InvalidConfigError, _CHANGE),
    "INVALID_PARTITIONS": (InvalidConfigError, _CHANGE),
    "INVALID_REPLICATION_FACTOR": (InvalidConfigError, _CHANGE),
    "INVALID_REQUEST": (InvalidConfigError, _CHANGE),
    "INVALID_TRANSACTION_TIMEOUT": (InvalidConfigError, "choose a shorter transaction timeout"),
    "POLICY_VIOLATION": (InvalidConfigError, _CHANGE),
    "TOPIC_EXCEPTION": (InvalidConfigError, _CHANGE),
    "_INVALID_ARG": (InvalidConfigError, _CHANGE),
    "MSG_SIZE_TOO_LARGE": (RecordTooLargeError, "make the record smaller, or raise max.message.bytes"),
    "RECORD_LIST_TOO_LARGE": (RecordTooLargeError, "make the record smaller, or raise segment.bytes"),
    "INVALID_TIMESTAMP": (InvalidTimestampError, "check the record's time, or message.timestamp.*.max.ms"),
    "INVALID_RECORD": (InvalidRecordError, "a compacted topic takes records with keys alone"),
    "INVALID_MSG": (InvalidRecordError, _CHANGE),
    "INVALID_MSG_SIZE": (InvalidRecordError, _CHANGE),
    "_FENCED": (ProducerFencedError, _NEWER),
    "PRODUCER_FENCED": (ProducerFencedError, _NEWER),
    "INVALID_PRODUCER_EPOCH": (ProducerFencedError, _NEWER),
    "ILLEGAL_GENERATION": (StaleGenerationError, _REJOIN),
    "UNKNOWN_MEMBER_ID": (StaleGenerationError, _REJOIN),
    "STALE_MEMBER_EPOCH": (StaleGenerationError, _REJOIN),
    "FENCED_MEMBER_EPOCH": (StaleGenerationError, _REJOIN),
    "FENCED_INSTANCE_ID": (
        StaleGenerationError,
        "another member has this instance id: stop one",
    ),
    "_FATAL": (FencedError, "another one has taken its place: close it"),
    "_ASSIGNMENT_LOST": (StaleGenerationError, _REJOIN),
    "REBALANCE_IN_PROGRESS": (RebalanceInProgressError, "poll to take part in it"),
    "CONCURRENT_TRANSACTIONS": (ConcurrentTransactionsError, "the transaction before is being completed"),
    "INVALID_TXN_STATE": (InvalidTransactionStateError, "begin another transaction"),
    "_STATE": (InvalidTransactionStateError, "the call does not fit the state of the client"),
    "OUT_OF_ORDER_SEQUENCE_NUMBER": (OutOfOrderSequenceError, "an earlier record was lost; begin anew"),
    "OFFSET_OUT_OF_RANGE": (OffsetOutOfRangeError, "seek to where the partition has records"),
    "_AUTO_OFFSET_RESET": (OffsetOutOfRangeError, "seek to where the partition has records"),
    "_BAD_MSG": (CorruptBatchError, "records came damaged; check the disks of the broker, and the network"),
    "KAFKA_STORAGE_ERROR": (StorageError, "the broker's disk refuses; see its log"),
    "NON_EMPTY_GROUP": (UsageError, "the group has members: stop them first"),
    "GROUP_SUBSCRIBED_TO_TOPIC": (UsageError, "a member of the group reads the topic: stop it first"),
    "GROUP_ID_NOT_FOUND": (UsageError, "the group does not exist"),
    "INVALID_GROUP_ID": (UsageError, "give the group another name"),
    "INCONSISTENT_GROUP_PROTOCOL": (
        UsageError,
        "give this member the assignor of the others",
    ),
    "_AUTHENTICATION": (UsageError, _LOGIN),
    "SASL_AUTHENTICATION_FAILED": (UsageError, _LOGIN),
    "UNSUPPORTED_SASL_MECHANISM": (UsageError, _LOGIN),
    "ILLEGAL_SASL_STATE": (UsageError, _LOGIN),
    "_SSL": (UsageError, _LOGIN),
    "TOPIC_AUTHORIZATION_FAILED": (UsageError, _RIGHTS),
    "GROUP_AUTHORIZATION_FAILED": (UsageError, _RIGHTS),
    "CLUSTER_AUTHORIZATION_FAILED": (UsageError, _RIGHTS),
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED": (UsageError, _RIGHTS),
    "SECURITY_DISABLED": (UsageError, "the broker has no access rules, as long as its authorizer is off"),
    "RESOURCE_NOT_FOUND": (UsageError, "there is no such thing"),
    "UNACCEPTABLE_CREDENTIAL": (UsageError, "give another user name or password"),
    "UNSUPPORTED_VERSION": (UsageError, "the broker does not have this"),
    "_UNSUPPORTED_FEATURE": (UsageError, "the broker does not have this"),
    "_PURGE_QUEUE": (TransactionGivenUpError, "the transaction was given up before"),
    "_PURGE_INFLIGHT": (TransactionGivenUpError, "the transaction was given up before"),
    "_MSG_TIMED_OUT": (RequestTimeoutError, _LOOK),
    "_TIMED_OUT": (RequestTimeoutError, _LOOK),
    "_TIMED_OUT_QUEUE": (RequestTimeoutError, _LOOK),
    "_TRANSPORT": (RequestTimeoutError, _LOOK),
    "_RESOLVE": (RequestTimeoutError, _LOOK),
    "_ALL_BROKERS_DOWN": (RequestTimeoutError, _LOOK),
    "REQUEST_TIMED_OUT": (RequestTimeoutError, _LATER),
    "NETWORK_EXCEPTION": (RequestTimeoutError, _LOOK),
    "BROKER_NOT_AVAILABLE": (RetriableError, _LATER),
    "COORDINATOR_LOAD_IN_PROGRESS": (RetriableError, _LATER),
    "COORDINATOR_NOT_AVAILABLE": (RetriableError, _LATER),
    "LEADER_NOT_AVAILABLE": (RetriableError, _LATER),
    "NOT_COORDINATOR": (RetriableError, _LATER),
    "NOT_ENOUGH_REPLICAS": (RetriableError, _LATER),
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": (RetriableError, _LATER),
    "NOT_LEADER_FOR_PARTITION": (RetriableError, _LATER),
    "_NOENT": (RetriableError, "the partition has no leader at the moment, try again"),
    "UNSTABLE_OFFSET_COMMIT": (
        RequestTimeoutError,
        "an open transaction holds the committed offsets; try again",
    ),
}


def translated(error: KafkaError, doing: str, **facts: object) -> StreamCoreError:
    """Return our error for an error of librdkafka or of a broker.

    Args:
        error: their error.
        doing: what failed, as in ``cannot {doing}``.
        facts: the topic, the group and so on.
    """
    kind, advice = _REACTIONS.get(error.name(), (StreamCoreError, "see what the broker says"))
    said = " ".join(error.str().split()).rstrip(".")
    return kind(with_facts(f"cannot {doing}: {advice}", **facts, error=error.name(), said=repr(said)))


def error_in(raised: BaseException) -> KafkaError | None:
    """Return the error of a confluent-kafka call, also where it was raised while another was handled."""
    found: BaseException | None = raised
    while found is not None:
        if isinstance(found, KafkaException) and found.args and isinstance(found.args[0], KafkaError):
            return found.args[0]
        found = found.__cause__
    return None
