"""The arguments and results of the broker, where plain values are not enough.

They follow Kafka's requests, because the wire protocol maps to them one to one, but are independent of its
versions and encodings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Final

from msgspec import Struct, field

from streamcore.errors import StreamCoreError
from streamcore.log.broker.partition_id import PartitionId
from streamcore.model import Membership, Offset, ProducerId, TimestampMs, TopicName, TopicPartition

IN_PROCESS_HOST: Final = "in-process"
"""The client host of members in the broker's own process, which end with the process."""


def all_topics(name: TopicName) -> bool:
    """Return true for every topic: a visibility without restriction."""
    del name
    return True


class ProducerIdentity(Struct, frozen=True):
    """The id and the epoch of a producer."""

    producer_id: ProducerId
    epoch: int


class AppendedBatch(Struct, frozen=True):
    """The result of one batch: offsets ``[base_offset, end_offset)`` of ``partition``, or ``error``.

    Written is not yet durable: the caller waits for that separately, so that many batches share one fsync.
    """

    partition: TopicPartition
    base_offset: Offset = -1
    end_offset: Offset = -1
    log_append_time_ms: TimestampMs = -1
    is_duplicate: bool = False
    error: StreamCoreError | None = None


class JoinRequest(Struct, frozen=True, kw_only=True):
    """A consumer's request to join its group's next generation.

    ``member_id`` is empty at first; the reply gives one. ``protocols`` are the assignors that the
    member can use, the preferred one first, each with the member's subscription in that
    protocol's own bytes, which the broker does not read.
    """

    group: str
    protocols: tuple[tuple[str, bytes], ...]
    member_id: str = ""
    instance_id: str | None = None
    protocol_type: str = "consumer"
    session_timeout_ms: int = 45_000
    rebalance_timeout_ms: int = 300_000
    client_id: str = ""
    client_host: str = IN_PROCESS_HOST
    is_member_id_required: bool = False
    """Answer a first join with ``MEMBER_ID_REQUIRED`` and an id, as Kafka does from JoinGroup 4 on."""
    can_skip_assignment: bool = True
    """A restarted leader understands ``JoinReply.skip_assignment``, as from JoinGroup 9 on."""
    may_see: Callable[[TopicName], bool] = all_topics
    """Whether the member may see a topic that matches a pattern of other members."""


class JoinedMember(Struct, frozen=True):
    """One member as the group's leader sees it."""

    member_id: str
    instance_id: str | None
    subscription: bytes


class JoinReply(Struct, frozen=True):
    """The member's generation; the leader also gets the members, to assign for them."""

    member_id: str
    generation: int
    protocol_type: str
    protocol: str
    leader_id: str
    members: tuple[JoinedMember, ...] = ()
    skip_assignment: bool = False
    """The leader must not compute an assignment: the group keeps its present one (static members)."""

    @property
    def is_leader(self) -> bool:
        """Whether this member assigns for all."""
        return self.member_id == self.leader_id


class SyncRequest(Struct, frozen=True):
    """A member's request for its assignment; the leader's request has the assignments of all members."""

    group: str
    membership: Membership
    assignments: Mapping[str, bytes] = field(default_factory=dict)
    protocol_type: str | None = None
    protocol: str | None = None
    """If given, they must be the group's."""


class Leaving(Struct, frozen=True):
    """A member that leaves; a static member may be named by its instance id alone."""

    member_id: str
    instance_id: str | None = None


class SyncReply(Struct, frozen=True):
    """A member's assignment, in the protocol's own bytes."""

    assignment: bytes
    protocol_type: str
    protocol: str


class ConsumerHeartbeat(Struct, frozen=True, kw_only=True):
    """A member of the newer protocol (KIP-848) joins (epoch 0), stays, or leaves (-1; -2 for a while).

    ``None`` means unchanged.
    """

    group: str
    member_id: str
    epoch: int
    instance_id: str | None = None
    rack: str | None = None
    rebalance_timeout_ms: int = -1
    topics: Sequence[TopicName] | None = None
    pattern: str | None = None
    assignor: str | None = None
    owned: Set[PartitionId] | None = None
    """The partitions that the member owns."""
    client_id: str = ""
    client_host: str = IN_PROCESS_HOST
    may_see: Callable[[TopicName], bool] = all_topics
    """Whether the member may see a topic that matches a pattern."""

    @property
    def is_full(self) -> bool:
        """Whether the member sends its whole state, and so expects its whole state in the reply."""
        has_subscription = self.topics is not None or self.pattern is not None
        return self.rebalance_timeout_ms != -1 and has_subscription and self.owned is not None


class ConsumerHeartbeatReply(Struct, frozen=True):
    """The state of a member of the newer protocol; ``assigned`` is ``None`` if the member has it already."""

    member_id: str
    epoch: int
    heartbeat_interval_ms: int = 0
    assigned: Set[PartitionId] | None = None


class MemberDescription(Struct, frozen=True):
    """The description of a member."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    subscription: bytes
    assignment: bytes


class GroupDescription(Struct, frozen=True):
    """The description of a group: ``state`` is one of Kafka's names, ``Dead`` for an unknown group."""

    group: str
    state: str
    protocol_type: str = ""
    protocol: str = ""
    generation: int = 0
    leader_id: str = ""
    members: tuple[MemberDescription, ...] = ()
    kind: str = "classic"
    """Kafka's name for the group's protocol: ``classic`` or ``consumer``."""


class TransactionDescription(Struct, frozen=True):
    """The description of a transactional id."""

    transactional_id: str
    state: str
    producer: ProducerIdentity
    timeout_ms: int
    started_ms: TimestampMs
    partitions: tuple[TopicPartition, ...]
