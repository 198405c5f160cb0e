"""The values that go in and out of the broker, where plain arguments are not enough.

They are shaped after Kafka's requests, because the wire protocol maps onto them one to one, but
know nothing of its versions and encodings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from streamcore.errors import StreamCoreError
from streamcore.model import Offset, ProducerId, TimestampMs, TopicPartition

IN_PROCESS_HOST: Final = "in-process"
"""The client host of members that live in the broker's own process, and end with it."""


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


@dataclass(frozen=True, slots=True)
class SyncReply:
    """A member's assignment, in the protocol's own bytes."""

    assignment: bytes
    protocol_type: str
    protocol: str


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


@dataclass(frozen=True, slots=True)
class TransactionDescription:
    """A transactional id, for people."""

    transactional_id: str
    state: str
    producer: ProducerIdentity
    timeout_ms: int
    started_ms: TimestampMs
    partitions: tuple[TopicPartition, ...]
