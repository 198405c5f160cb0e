"""Kafka's error codes, and the code for each of the broker's errors.

The numbers are used only here. ``code_of`` holds for errors of any request; a handler whose API gives a
code another meaning chooses the code itself.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from streamcore.errors import (
    ConcurrentTransactionsError,
    CorruptDataError,
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
    StaleGenerationError,
    StorageError,
    StreamCoreError,
    TopicExistsError,
    UnknownTopicError,
    UnsupportedVersionError,
    UsageError,
)
from streamcore.log.broker.api_errors import ApiError


class ErrorCode(IntEnum):
    """The error code in a response, of a request, a topic or a partition."""

    UNKNOWN_SERVER_ERROR = -1
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    NOT_LEADER_OR_FOLLOWER = 6
    REQUEST_TIMED_OUT = 7
    REPLICA_NOT_AVAILABLE = 9
    MESSAGE_TOO_LARGE = 10
    OFFSET_METADATA_TOO_LARGE = 12
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    INVALID_TOPIC_EXCEPTION = 17
    RECORD_LIST_TOO_LARGE = 18
    NOT_ENOUGH_REPLICAS = 19
    INVALID_REQUIRED_ACKS = 21
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    TOPIC_AUTHORIZATION_FAILED = 29
    GROUP_AUTHORIZATION_FAILED = 30
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_SASL_MECHANISM = 33
    ILLEGAL_SASL_STATE = 34
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_REPLICA_ASSIGNMENT = 39
    INVALID_CONFIG = 40
    INVALID_REQUEST = 42
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    POLICY_VIOLATION = 44
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_PRODUCER_ID_MAPPING = 49
    INVALID_TRANSACTION_TIMEOUT = 50
    CONCURRENT_TRANSACTIONS = 51
    TRANSACTION_COORDINATOR_FENCED = 52
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53
    SECURITY_DISABLED = 54
    OPERATION_NOT_ATTEMPTED = 55
    KAFKA_STORAGE_ERROR = 56
    LOG_DIR_NOT_FOUND = 57
    SASL_AUTHENTICATION_FAILED = 58
    UNKNOWN_PRODUCER_ID = 59
    NON_EMPTY_GROUP = 68
    GROUP_ID_NOT_FOUND = 69
    FETCH_SESSION_ID_NOT_FOUND = 70
    INVALID_FETCH_SESSION_EPOCH = 71
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    UNSUPPORTED_COMPRESSION_TYPE = 76
    MEMBER_ID_REQUIRED = 79
    GROUP_MAX_SIZE_REACHED = 81
    FENCED_INSTANCE_ID = 82
    ELECTION_NOT_NEEDED = 84
    NO_REASSIGNMENT_IN_PROGRESS = 85
    GROUP_SUBSCRIBED_TO_TOPIC = 86
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    PRODUCER_FENCED = 90
    RESOURCE_NOT_FOUND = 91
    DUPLICATE_RESOURCE = 92
    UNACCEPTABLE_CREDENTIAL = 93
    INVALID_UPDATE_VERSION = 95
    FEATURE_UPDATE_FAILED = 96
    UNKNOWN_TOPIC_ID = 100
    INCONSISTENT_TOPIC_ID = 103
    INCONSISTENT_CLUSTER_ID = 104
    TRANSACTIONAL_ID_NOT_FOUND = 105
    FENCED_MEMBER_EPOCH = 110
    UNRELEASED_INSTANCE_ID = 111
    UNSUPPORTED_ASSIGNOR = 112
    STALE_MEMBER_EPOCH = 113
    MISMATCHED_ENDPOINT_TYPE = 114
    UNSUPPORTED_ENDPOINT_TYPE = 115
    TRANSACTION_ABORTABLE = 120
    INVALID_REGULAR_EXPRESSION = 128


_E = ErrorCode

_TEXT_CHARS_MAX: Final = 1_000

_CODES: Final[tuple[tuple[type[Exception], ErrorCode], ...]] = (
    (UnknownTopicError, _E.UNKNOWN_TOPIC_OR_PARTITION),
    (TopicExistsError, _E.TOPIC_ALREADY_EXISTS),
    (InvalidConfigError, _E.INVALID_CONFIG),
    (RecordTooLargeError, _E.MESSAGE_TOO_LARGE),
    (InvalidTimestampError, _E.INVALID_TIMESTAMP),
    (InvalidRecordError, _E.INVALID_RECORD),
    (InvalidTransactionStateError, _E.INVALID_TXN_STATE),
    (UnsupportedVersionError, _E.UNSUPPORTED_FOR_MESSAGE_FORMAT),
    (OffsetOutOfRangeError, _E.OFFSET_OUT_OF_RANGE),
    (OutOfOrderSequenceError, _E.OUT_OF_ORDER_SEQUENCE_NUMBER),
    (ProducerFencedError, _E.INVALID_PRODUCER_EPOCH),
    (StaleGenerationError, _E.UNKNOWN_MEMBER_ID),
    (FencedError, _E.TRANSACTION_COORDINATOR_FENCED),
    (ConcurrentTransactionsError, _E.CONCURRENT_TRANSACTIONS),
    (RebalanceInProgressError, _E.REBALANCE_IN_PROGRESS),
    (RequestTimeoutError, _E.REQUEST_TIMED_OUT),
    (StorageError, _E.KAFKA_STORAGE_ERROR),
    (CorruptDataError, _E.CORRUPT_MESSAGE),
    (UsageError, _E.INVALID_REQUEST),
)
"""The first entry that fits is used: narrower errors stand before wider ones."""


def code_of(error: Exception) -> ErrorCode:
    """Return the code for an error of the broker."""
    cause = error if isinstance(error, ApiError) else error.__cause__
    if isinstance(cause, ApiError):
        return ErrorCode[cause.refusal.name]
    return next((code for kind, code in _CODES if isinstance(error, kind)), _E.UNKNOWN_SERVER_ERROR)


def text_of(error: Exception) -> str:
    """Return the message of a response for an error: Kafka's text, where programs may match one, then
    ours.
    """
    kafka_text = error.kafka_text if isinstance(error, StreamCoreError | ApiError) else ""
    if isinstance(error, ApiError):
        hint = error.facts.get("hint")
        if isinstance(hint, StreamCoreError):
            kafka_text = kafka_text or hint.kafka_text
        error = error.error()
    text = str(error)
    return shortened(f"{kafka_text}: {text}" if kafka_text else text)


def shortened(text: str) -> str:
    """Return a text with at most ``_TEXT_CHARS_MAX`` characters: it may quote a long name of the request."""
    return text if len(text) <= _TEXT_CHARS_MAX else text[: _TEXT_CHARS_MAX - 1] + "…"
