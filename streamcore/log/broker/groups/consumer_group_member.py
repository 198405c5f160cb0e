"""A member of a consumer group of the newer protocol (KIP-848), as two values that are stored apart.

``MemberProfile`` is what the member says about itself. ``Holding`` is its state: the partitions that it may
use, those that it was asked to give up, and its epoch, which is that of the last target assignment it has
reached:

    STABLE                  the member has all partitions of its epoch's target
    UNREVOKED_PARTITIONS    the member was asked to give up partitions and has not confirmed it
    UNRELEASED_PARTITIONS   the member waits for partitions that another member has not given up

A partition belongs to a member while it is in ``assigned`` or in ``revoking``; no other member gets it before
it is in neither. ``reconciled`` (module ``reconciliation``) moves a holding towards a target.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

from msgspec import Struct, field

from streamcore.log.broker.partition_id import PartitionId
from streamcore.model import TopicName

Epochs: TypeAlias = Mapping[PartitionId, int]
"""Partitions, each with the epoch at which the member got it; commits of an older epoch are fenced."""

NO_PLACES: Final[Epochs] = MappingProxyType({})

LEFT_FOR_A_WHILE: Final = -2
"""The epoch of a static member that announced to be back within its session."""


class MemberState(Enum):
    """The state of a member; the values are those of Kafka's records."""

    STABLE = 0
    UNREVOKED_PARTITIONS = 1
    UNRELEASED_PARTITIONS = 2
    UNKNOWN = 127


class ClassicTraits(Struct, frozen=True):
    """What a member of the classic protocol sent when it joined."""

    session_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]


class MemberProfile(Struct, frozen=True, kw_only=True):
    """What a member says about itself."""

    instance_id: str | None = None
    rack: str | None = None
    client_id: str = ""
    client_host: str = ""
    topics: tuple[TopicName, ...] = ()
    """The topics that the member subscribes to by name, sorted, each once."""
    pattern: str = ""
    """A regular expression; the member also subscribes to the topics that match it."""
    rebalance_timeout_ms: int = -1
    assignor: str | None = None
    classic: ClassicTraits | None = None

    @property
    def size_bytes(self) -> int:
        """The approximate size of the member's texts and protocols."""
        texts = (self.instance_id, self.rack, self.client_id, self.pattern, *self.topics)
        protocols = () if self.classic is None else self.classic.protocols
        return sum(len(text) for text in texts if text is not None) + sum(len(data) for _, data in protocols)


class Holding(Struct, frozen=True):
    """The partitions and the epoch of a member."""

    epoch: int = 0
    previous_epoch: int = 0
    state: MemberState = MemberState.STABLE
    assigned: Epochs = field(default_factory=lambda: NO_PLACES)
    revoking: Epochs = field(default_factory=lambda: NO_PLACES)

    def moved(
        self, state: MemberState, epoch: int, assigned: Epochs, revoking: Epochs = NO_PLACES
    ) -> Holding:
        """Return the next holding; it remembers the former epoch, in case the reply is lost."""
        return Holding(epoch, self.epoch, state, assigned, revoking)

    @property
    def partitions(self) -> Epochs:
        """All partitions that the member may still be using."""
        return {**self.assigned, **self.revoking}

    def is_reconciled_to(self, epoch: int) -> bool:
        """Whether the member has reached this epoch."""
        return self.state is MemberState.STABLE and self.epoch == epoch


class ConsumerMember(Struct, frozen=True):
    """A member: its profile and its holding."""

    member_id: str
    profile: MemberProfile = field(default_factory=MemberProfile)
    holding: Holding = field(default_factory=Holding)

    @property
    def is_classic(self) -> bool:
        """Whether the member uses the classic protocol."""
        return self.profile.classic is not None
