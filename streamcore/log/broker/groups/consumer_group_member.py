"""A member of a consumer group of the newer protocol (KIP-848), as two values that are stored apart.

``MemberProfile`` is what the member says of itself. ``Holding`` is where it stands: the partitions that it
may use, those that it was asked to give up, and its epoch, which says up to which target assignment it has
come:

    STABLE                  it has all that its epoch's target gives it
    UNREVOKED_PARTITIONS    it was asked to give partitions up, and has not said yet that it did
    UNRELEASED_PARTITIONS   it waits for partitions that another member has not given up yet

A partition is a member's own while it is in ``assigned`` or in ``revoking``: nobody else gets it before it is
in neither. ``reconciled`` (module ``reconciliation``) moves a holding towards a target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeAlias

from streamcore.log.broker.place_id import PlaceId
from streamcore.model import TopicName

Epochs: TypeAlias = Mapping[PlaceId, int]
"""Partitions, each with the epoch at which its member got it: positions of an older epoch are a zombie's."""

NO_PLACES: Final[Epochs] = MappingProxyType({})

LEFT_FOR_A_WHILE: Final = -2
"""The epoch of a static member that said it will be back within its session."""


class MemberState(Enum):
    """Where a member stands; the values are those of Kafka's records."""

    STABLE = 0
    UNREVOKED_PARTITIONS = 1
    UNRELEASED_PARTITIONS = 2
    UNKNOWN = 127


@dataclass(frozen=True, slots=True)
class ClassicTraits:
    """What a member that still uses the classic protocol said when it joined."""

    session_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberProfile:
    """What a member says of itself."""

    instance_id: str | None = None
    rack: str | None = None
    client_id: str = ""
    client_host: str = ""
    topics: tuple[TopicName, ...] = ()
    """The topics that it subscribes to by name, sorted, each once."""
    pattern: str = ""
    """A regular expression: it subscribes to the topics that match, too."""
    rebalance_timeout_ms: int = -1
    assignor: str | None = None
    classic: ClassicTraits | None = None

    @property
    def size_bytes(self) -> int:
        """How much it is that the member says, about."""
        texts = (self.instance_id, self.rack, self.client_id, self.pattern, *self.topics)
        protocols = () if self.classic is None else self.classic.protocols
        return sum(len(text) for text in texts if text is not None) + sum(len(data) for _, data in protocols)


@dataclass(frozen=True, slots=True)
class Holding:
    """Where a member stands."""

    epoch: int = 0
    previous_epoch: int = 0
    state: MemberState = MemberState.STABLE
    assigned: Epochs = field(default_factory=lambda: NO_PLACES)
    revoking: Epochs = field(default_factory=lambda: NO_PLACES)

    def moved(
        self, state: MemberState, epoch: int, assigned: Epochs, revoking: Epochs = NO_PLACES
    ) -> Holding:
        """The next holding; remembers the epoch before, for an answer that may get lost."""
        return Holding(epoch, self.epoch, state, assigned, revoking)

    @property
    def places(self) -> Epochs:
        """All that the member may still be using."""
        return {**self.assigned, **self.revoking}

    def is_reconciled_to(self, epoch: int) -> bool:
        """Whether nothing is left to do for a target."""
        return self.state is MemberState.STABLE and self.epoch == epoch


@dataclass(frozen=True, slots=True)
class ConsumerMember:
    """A member: who it is, and where it stands."""

    member_id: str
    profile: MemberProfile = field(default_factory=MemberProfile)
    holding: Holding = field(default_factory=Holding)

    @property
    def is_classic(self) -> bool:
        """Whether it uses the classic protocol."""
        return self.profile.classic is not None
