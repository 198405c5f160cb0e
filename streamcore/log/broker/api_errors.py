"""The reasons why the broker refuses a request: Kafka's error names, and the errors that programs get.

Operations raise ``ApiError``. The wire protocol answers with the name's number; the embedded log raises
``ApiError.error()``, whose class says how a caller can react. Clients of the protocol need the finer names:
they keep their member id after one, and drop it after another.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from streamcore.errors import (
    ConcurrentTransactionsError,
    InvalidConfigError,
    InvalidTransactionStateError,
    ProducerFencedError,
    RebalanceInProgressError,
    RequestTimeoutError,
    StaleGenerationError,
    StreamCoreError,
    UnknownTopicError,
    UsageError,
    with_facts,
)


class ErrorName(Enum):
    """Kafka's error names that the broker returns; the values say what to do."""

    UNKNOWN_MEMBER_ID = "the group does not know this member; join again without a member id"
    MEMBER_ID_REQUIRED = "join again with the member id given here"
    ILLEGAL_GENERATION = "the group has another generation; join again"
    FENCED_INSTANCE_ID = "another member took over this static instance id; stop this one"
    REBALANCE_IN_PROGRESS = "the group is rebalancing; join again"
    INCONSISTENT_GROUP_PROTOCOL = "no assignor is common to all members of the group"
    INVALID_SESSION_TIMEOUT = "the session timeout is outside the allowed range"
    GROUP_MAX_SIZE_REACHED = "the group is full"
    GROUP_ID_NOT_FOUND = "the group does not exist"
    INVALID_GROUP_ID = "a group needs a name"
    NON_EMPTY_GROUP = "the group has members; stop them first"
    GROUP_SUBSCRIBED_TO_TOPIC = "members of the group subscribe to the topic; stop them first"
    OFFSET_METADATA_TOO_LARGE = "the metadata of a committed offset is too long"
    UNSTABLE_OFFSET_COMMIT = "a transaction that commits these offsets is not decided yet; ask again"
    FENCED_MEMBER_EPOCH = (
        "the group is ahead of the member, or behind it; give up all partitions and join again"
    )
    STALE_MEMBER_EPOCH = "the member's epoch is not its newest one; take it from the next heartbeat"
    UNRELEASED_INSTANCE_ID = "the static instance id is in use by another member; stop that one first"
    UNSUPPORTED_ASSIGNOR = "there is no such assignor"
    INVALID_REGULAR_EXPRESSION = "RE2 does not accept the regular expression"
    UNSUPPORTED_VERSION = "members of the newer group protocol need a newer version of this request"
    INVALID_REQUEST = "the request contradicts itself"
    INVALID_TRANSACTION_TIMEOUT = "the transaction timeout is outside the allowed range"
    INVALID_PRODUCER_ID_MAPPING = "the transactional id belongs to another producer id, or to none"
    INVALID_PRODUCER_EPOCH = "a newer producer with this transactional id took over"
    PRODUCER_FENCED = "a newer producer with this transactional id took over; stop this one"
    INVALID_TXN_STATE = "the call does not fit the state of the transaction"
    TRANSACTION_ABORTABLE = "no open transaction covers this; abort, and begin another"
    CONCURRENT_TRANSACTIONS = "the transaction before is still being completed; ask again"
    COORDINATOR_NOT_AVAILABLE = "the limit is reached, and all entries are in use; ask again later"
    TRANSACTIONAL_ID_NOT_FOUND = "the transactional id does not exist"
    TOPIC_AUTHORIZATION_FAILED = "the client may not do this with the topic; ask for an access rule"
    GROUP_AUTHORIZATION_FAILED = "the client may not do this with the group; ask for an access rule"
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = (
        "the client may not do this with the transactional id; ask for an access rule"
    )
    CLUSTER_AUTHORIZATION_FAILED = "the client may not do this with the cluster; ask for an access rule"
    SECURITY_DISABLED = "no authorizer is on, so access rules have no effect: serve with one"
    UNACCEPTABLE_CREDENTIAL = "the name, the password or the salting of a user is outside the allowed range"
    UNSUPPORTED_SASL_MECHANISM = "only SCRAM-SHA-256 and SCRAM-SHA-512 are supported"
    RESOURCE_NOT_FOUND = "there is no resource of this name"
    DUPLICATE_RESOURCE = "name it only once in a request"
    POLICY_VIOLATION = "a limit is reached: delete something first, or raise the limit"
    INVALID_TOPIC_EXCEPTION = "the log does not accept this topic name; choose another"
    INVALID_PARTITIONS = "a topic cannot have this number of partitions"
    INVALID_REPLICATION_FACTOR = "there is one broker, so a partition has one replica: ask for 1, or -1"
    UNKNOWN_TOPIC_ID = "no topic has this id; it may have been deleted, and created again"
    INVALID_CONFIG = "a setting is unknown, or its value is impossible"
    INVALID_REPLICA_ASSIGNMENT = "partitions can only be assigned to the one existing broker"


_ERRORS: Final[dict[ErrorName, type[StreamCoreError]]] = {
    ErrorName.UNKNOWN_MEMBER_ID: StaleGenerationError,
    ErrorName.MEMBER_ID_REQUIRED: StaleGenerationError,
    ErrorName.ILLEGAL_GENERATION: StaleGenerationError,
    ErrorName.FENCED_INSTANCE_ID: StaleGenerationError,
    ErrorName.REBALANCE_IN_PROGRESS: RebalanceInProgressError,
    ErrorName.INVALID_SESSION_TIMEOUT: InvalidConfigError,
    ErrorName.UNSTABLE_OFFSET_COMMIT: RequestTimeoutError,
    ErrorName.INVALID_TRANSACTION_TIMEOUT: InvalidConfigError,
    ErrorName.INVALID_PRODUCER_ID_MAPPING: ProducerFencedError,
    ErrorName.INVALID_PRODUCER_EPOCH: ProducerFencedError,
    ErrorName.PRODUCER_FENCED: ProducerFencedError,
    ErrorName.INVALID_TXN_STATE: InvalidTransactionStateError,
    ErrorName.TRANSACTION_ABORTABLE: InvalidTransactionStateError,
    ErrorName.COORDINATOR_NOT_AVAILABLE: RequestTimeoutError,
    ErrorName.CONCURRENT_TRANSACTIONS: ConcurrentTransactionsError,
    ErrorName.INVALID_TOPIC_EXCEPTION: InvalidConfigError,
    ErrorName.INVALID_PARTITIONS: InvalidConfigError,
    ErrorName.INVALID_CONFIG: InvalidConfigError,
    ErrorName.UNKNOWN_TOPIC_ID: UnknownTopicError,
}


class ApiError(Exception):
    """A request was refused; nothing was written for it."""

    def __init__(self, refusal: ErrorName, **facts: object) -> None:
        """``kafka_text=`` is not a fact but Kafka's text for this case, if programs may match it."""
        self.kafka_text = str(facts.pop("kafka_text", ""))
        super().__init__(refusal, facts)
        self.refusal = refusal
        self.facts = facts

    def error(self) -> StreamCoreError:
        """Return the error for a program in this process; its cause has Kafka's name."""
        kind = _ERRORS.get(self.refusal, UsageError)
        text = with_facts(self.refusal.value, code=self.refusal.name, **self.facts)
        error = kind(text, kafka_text=self.kafka_text)
        error.__cause__ = self
        return error
