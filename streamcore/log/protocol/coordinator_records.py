"""The records of ``__consumer_offsets`` and ``__transaction_state``, as message classes.

Key   := kind int16 | fields        Value := version int16 | fields; a null value deletes the key

The tables are Apache Kafka 4.3's record schemas. A field that a version lacks keeps the class's default. A
``RecordFormat`` names the versions, and which of them are flexible (compact lengths, tagged fields).

Kinds of keys of ``__consumer_offsets``: 0 and 1 committed offset, 2 generation of a classic group, 3 to 8 and
16 groups of the newer protocol (KIP-848). Kind 4, which Kafka wrote before 4.1, repeats what kind 3 says.
"""

from __future__ import annotations

import struct
from typing import Annotated as A
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from streamcore.errors import CorruptDataError, UnsupportedVersionError, with_facts
from streamcore.log.protocol.codec import Codec, MalformedMessageError, codec_of
from streamcore.log.protocol.fields import Int8, Int16, Int32, Int64, Message, Tag, Uuid, V

M = TypeVar("M", bound=Message)

_VERSION: Final = struct.Struct(">h")


class RecordFormat(Struct, Generic[M], frozen=True):
    """The versions of the keys or values of one kind: the written version, and the versions that are read."""

    message: type[M]
    written: int
    """The version that is written; for a key its kind."""
    last: int
    """The newest version that is read."""
    flexible_from: int | None = None
    """The first version with compact lengths and tagged fields; ``None`` if no version has them."""

    def encode(self, message: M) -> bytes:
        """Encode the version and the fields."""
        return _VERSION.pack(self.written) + self._codec(self.written).encode(message)

    def decode(self, data: bytes) -> M:
        """Decode the fields of any known version. Bytes after the fields are ignored, as by Kafka.

        Raises:
            UnsupportedVersionError: a newer program wrote the record.
            CorruptDataError: the bytes do not fit the version.
        """
        version = record_version(data)
        if not 0 <= version <= self.last:
            raise UnsupportedVersionError(
                with_facts(
                    "a coordinator's record has a newer version: upgrade this program",
                    record=self.message.__name__,
                    version=version,
                    version_max=self.last,
                )
            )
        try:
            return self._codec(version).decode(data, _VERSION.size, may_have_rest=True)
        except MalformedMessageError as error:
            raise CorruptDataError(
                with_facts(
                    "a coordinator's record cannot be read: restore the log from a copy",
                    record=self.message.__name__,
                    version=version,
                    because=str(error),
                )
            ) from error

    def _codec(self, version: int) -> Codec[M]:
        is_flexible = self.flexible_from is not None and version >= self.flexible_from
        return codec_of(self.message, version, is_flexible)


def record_version(data: bytes) -> int:
    """Return the number at the start of a key or a value: the kind of a key, the version of a value.

    Raises:
        CorruptDataError: there are fewer than two bytes.
    """
    if len(data) < _VERSION.size:
        raise CorruptDataError(
            with_facts("a coordinator's record is cut off: restore a copy of the log", size_bytes=len(data))
        )
    number: int = _VERSION.unpack_from(data)[0]
    return number


# --- committed offsets (kinds 0 and 1) ----------------------------------------------------------------


class OffsetCommitKey(Message):
    """The key of a committed offset: a group and a partition."""

    group: str
    topic: str
    partition: Int32


class OffsetCommitValue(Message):
    """A committed offset."""

    offset: Int64
    leader_epoch: A[Int32, V("3+")] = -1
    metadata: str
    commit_timestamp: Int64
    expire_timestamp: A[Int64, V("1")] = -1


OFFSET_KEY: Final = RecordFormat(OffsetCommitKey, written=1, last=1)
OFFSET_VALUE: Final = RecordFormat(OffsetCommitValue, written=3, last=4, flexible_from=4)


# --- groups of the classic protocol (kind 2) ----------------------------------------------------------


class GroupMetadataKey(Message):
    """The key of a classic group: its name."""

    group: str


class MemberMetadata(Message):
    """A member of a stored generation."""

    member_id: str
    group_instance_id: A[str | None, V("3+")] = None
    client_id: str
    client_host: str
    rebalance_timeout: A[Int32, V("1+")] = -1
    """Milliseconds."""
    session_timeout: Int32
    """Milliseconds."""
    subscription: bytes
    assignment: bytes


class GroupMetadataValue(Message):
    """A generation of a classic group."""

    protocol_type: str
    generation: Int32
    protocol: str | None
    leader: str | None
    current_state_timestamp: A[Int64, V("2+")] = -1
    members: list[MemberMetadata]


GROUP_KEY: Final = RecordFormat(GroupMetadataKey, written=2, last=2)
GROUP_VALUE: Final = RecordFormat(GroupMetadataValue, written=3, last=4, flexible_from=4)


# --- groups of the newer protocol (kinds 3, 5, 6, 7, 8, 16) -------------------------------------------


class ConsumerGroupPartKey(Message):
    """The key of a part of a group: the group and a member id, or for kind 16 a regular expression."""

    group: str
    part: str


class ConsumerGroupMetadataValue(Message):
    """The epoch of a group."""

    epoch: Int32
    metadata_hash: A[Int64, Tag(0, "0+")] = 0


class ClassicProtocol(Message):
    """One of the assignment protocols that a member of the classic protocol supports."""

    name: str
    metadata: bytes


class ClassicMemberMetadata(Message):
    """The metadata that only a member of the classic protocol has."""

    session_timeout_ms: Int32 = 0
    supported_protocols: list[ClassicProtocol] = []


class ConsumerGroupMemberMetadataValue(Message):
    """The subscription and client of a member."""

    instance_id: str | None
    rack_id: str | None
    client_id: str
    client_host: str
    subscribed_topic_names: list[str]
    subscribed_topic_regex: str | None
    rebalance_timeout_ms: Int32
    server_assignor: str | None
    classic_member_metadata: A[ClassicMemberMetadata | None, Tag(0, "0+")] = msgspec.field(
        default_factory=ClassicMemberMetadata
    )
    """Null is written as a field: Kafka reads a missing field as an empty structure."""


class ConsumerGroupTargetAssignmentMetadataValue(Message):
    """The group epoch for which the target assignment was computed."""

    assignment_epoch: Int32
    assignment_timestamp: A[Int64, Tag(0, "0+")] = 0


class TargetTopicPartitions(Message):
    """Partitions of a topic in a target assignment."""

    topic_id: Uuid
    partitions: list[Int32]


class ConsumerGroupTargetAssignmentMemberValue(Message):
    """The target assignment of a member."""

    topic_partitions: list[TargetTopicPartitions]


class CurrentTopicPartitions(Message):
    """Partitions of a topic that a member owns, with the epochs at which it received each of them."""

    topic_id: Uuid
    partitions: list[Int32]
    assignment_epochs: A[list[Int32] | None, Tag(0, "0+")] = []


class ConsumerGroupCurrentMemberAssignmentValue(Message):
    """The current assignment and the epochs of a member."""

    member_epoch: Int32
    previous_member_epoch: Int32
    state: Int8
    assigned_partitions: list[CurrentTopicPartitions]
    partitions_pending_revocation: list[CurrentTopicPartitions]


class ConsumerGroupRegularExpressionValue(Message):
    """The topics that match a regular expression."""

    topics: list[str]
    version: Int64
    timestamp: Int64


# --- transactions (kind 0 of __transaction_state) -----------------------------------------------------


class TransactionLogKey(Message):
    """The key of a transactional id."""

    transactional_id: str


class TransactionPartitions(Message):
    """Partitions of a topic that a transaction writes to."""

    topic: str
    partition_ids: list[Int32]


class TransactionLogValue(Message):
    """The state of a transactional id."""

    producer_id: Int64
    producer_epoch: Int16
    transaction_timeout_ms: Int32
    transaction_status: Int8
    transaction_partitions: list[TransactionPartitions] | None
    transaction_last_update_timestamp_ms: Int64
    transaction_start_timestamp_ms: Int64
    previous_producer_id: A[Int64, Tag(0, "1+")] = -1
    next_producer_id: A[Int64, Tag(1, "1+")] = -1
    client_transaction_version: A[Int16, Tag(2, "1+")] = 0


TRANSACTION_KEY: Final = RecordFormat(TransactionLogKey, written=0, last=0)
TRANSACTION_VALUE: Final = RecordFormat(TransactionLogValue, written=1, last=1, flexible_from=1)
