"""The values that go in and out of the broker, where plain arguments are not enough.

They are shaped after Kafka's requests, because the wire protocol maps onto them one to one, but
know nothing of its versions and encodings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.log.broker.place_id import PlaceId
from streamcore.model import Offset, ProducerId, TimestampMs, TopicName, TopicPartition

IN_PROCESS_HOST: Final = "in-process"
"""The client host of members that live in the broker's own process, and end with it."""


def all_topics(name: TopicName) -> bool:
    """Who may see all topics."""
    del name
    return True


@dataclass(frozen=True, slots=True)
class ProducerIdentity:
    """Who a producer is, and which incarnation of it."""

    producer_id: ProducerId
    epoch: int


@dataclass(frozen=True, slots=True)
class AppendedBatch:
    """What became of one batch: offsets ``[base_offset, end_offset)`` of ``target``, or ``error``.

    Written is not yet durable: that is waited for apart, so that many batches share one fsync.
    """

    target: TopicPartition
    base_offset: Offset = -1
    end_offset: Offset = -1
    log_append_time_ms: TimestampMs = -1
    is_duplicate: bool = False
    error: StreamCoreError | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """A group member's credentials: which member, of which generation."""

    member_id: str
    generation: int
    instance_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRequest:
    """A consumer asks to take part in its group's next generation.

    ``member_id`` is empty at first; the reply gives one. ``protocols`` are the assignors that the
    member can use, the preferred one first, each with the member's subscription in that
    protocol's own bytes, which the broker does not look into.
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
    """A leader that comes back understands ``JoinReply.skip_assignment``, as from JoinGroup 9 on."""
    may_see: Callable[[TopicName], bool] = all_topics
    """The topics that a pattern of other members may stand for."""


@dataclass(frozen=True, slots=True)
class JoinedMember:
    """One member as its leader sees it."""

    member_id: str
    instance_id: str | None
    subscription: bytes


@dataclass(frozen=True, slots=True)
class JoinReply:
    """The generation that a member is in; the leader also gets the members, to assign for them."""

    member_id: str
    generation: int
    protocol_type: str
    protocol: str
    leader_id: str
    members: tuple[JoinedMember, ...] = ()
    skip_assignment: bool = False
    """The leader must not compute an assignment: the group keeps the one it has (static members)."""

    @property
    def is_leader(self) -> bool:
        """Whether this member assigns for all."""
        return self.member_id == self.leader_id


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """A member asks for its assignment; the leader brings everybody's."""

    group: str
    membership: Membership
    assignments: Mapping[str, bytes] = field(default_factory=dict)
    protocol_type: str | None = None
    protocol: str | None = None
    """Where these are given, they must be the group's."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """Who leaves; a static member may be named by its instance id alone."""

    member_id: str
    instance_id: str | None = None


@dataclass(frozen=True, slots=True)
class SyncReply:
    """A member's assignment, in the protocol's own bytes."""

    assignment: bytes
    protocol_type: str
    protocol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerHeartbeat:
    """A member of the newer protocol joins (epoch 0), stays, or leaves (-1; -2 for a while).

    ``None`` stands for what is as before.
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
    owned: Set[PlaceId] | None = None
    """The partitions that the member has."""
    client_id: str = ""
    client_host: str = IN_PROCESS_HOST
    may_see: Callable[[TopicName], bool] = all_topics
    """The topics that a pattern may stand for."""

    @property
    def is_full(self) -> bool:
        """Whether the member tells everything, and so wants to be told everything."""
        has_subscription = self.topics is not None or self.pattern is not None
        return self.rebalance_timeout_ms != -1 and has_subscription and self.owned is not None


@dataclass(frozen=True, slots=True)
class ConsumerHeartbeatReply:
    """Where a member of the newer protocol stands; ``assigned`` is ``None`` if it knows that already."""

    member_id: str
    epoch: int
    heartbeat_interval_ms: int = 0
    assigned: Set[PlaceId] | None = None


@dataclass(frozen=True, slots=True)
class MemberDescription:
    """A member, for people."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    subscription: bytes
    assignment: bytes


@dataclass(frozen=True, slots=True)
class GroupDescription:
    """A group, for people: ``state`` is one of Kafka's names, ``Dead`` for an unknown group."""

    group: str
    state: str
    protocol_type: str = ""
    protocol: str = ""
    generation: int = 0
    leader_id: str = ""
    members: tuple[MemberDescription, ...] = ()
    kind: str = "classic"
    """Kafka's name for the group's protocol: ``classic`` or ``consumer``."""


@dataclass(frozen=True, slots=True)
class TransactionDescription:
    """A transactional id, for people."""

    transactional_id: str
    state: str
    producer: ProducerIdentity
    timeout_ms: int
    started_ms: TimestampMs
    partitions: tuple[TopicPartition, ...]
