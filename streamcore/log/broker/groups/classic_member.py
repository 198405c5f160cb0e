"""A member of a classic group: what it can do, until when it counts as alive, what it waits for.

A member waits for one answer at a time: ``joining`` until the next generation begins, ``syncing``
until its assignment is there. While it waits it cannot send heartbeats, so its session does not end; but a
new member that waits to join for long is taken for gone, since nobody would notice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TypeAlias

from streamcore.log.broker.operations import Promise
from streamcore.log.broker.refusals import Refusal, Refused
from streamcore.log.broker.requests import JoinReply, JoinRequest, SyncReply

Protocols: TypeAlias = tuple[tuple[str, bytes], ...]


@dataclass(slots=True, kw_only=True)
class Member:
    """A member, and what it waits for."""

    member_id: str
    instance_id: str | None
    client_id: str
    client_host: str
    session_timeout_ms: int
    rebalance_timeout_ms: int
    protocols: Protocols
    session_deadline_s: float
    assignment: bytes = b""
    is_new: bool = False
    """It has not been in a generation yet."""
    joining: Promise[JoinReply | Refusal] | None = None
    syncing: Promise[SyncReply | Refusal] | None = None

    def subscription(self, protocol: str) -> bytes:
        """The member's subscription in a protocol."""
        return next((metadata for name, metadata in self.protocols if name == protocol), b"")

    @property
    def deadline_s(self) -> float:
        """When it is taken for gone."""
        is_excused = not self.is_new and (self.joining is not None or self.syncing is not None)
        return float("inf") if is_excused else self.session_deadline_s

    def answer_join(self, reply: JoinReply | Refusal) -> None:
        """End the member's wait for the generation, if it waits."""
        promise, self.joining = self.joining, None
        if promise is not None:
            promise.keep(reply)

    def answer_sync(self, reply: SyncReply | Refusal) -> None:
        """End the member's wait for its assignment, if it waits."""
        promise, self.syncing = self.syncing, None
        if promise is not None:
            promise.keep(reply)


def common_protocols(members: Collection[Member]) -> set[str]:
    """The protocols that all members have."""
    return set.intersection(*({name for name, _ in member.protocols} for member in members))


def chosen_protocol(members: Collection[Member]) -> str:
    """The protocol that most members like best, among those that all of them have."""
    common = common_protocols(members)
    votes: dict[str, int] = {}
    for member in members:
        favourite = next(name for name, _ in member.protocols if name in common)
        votes[favourite] = votes.get(favourite, 0) + 1
    return max(votes, key=lambda name: votes[name])


def ensure_protocols_fit(
    group: str, protocol_type: str, members: Collection[Member], request: JoinRequest
) -> None:
    """Refuse who shares no protocol with all of the members. Raises ``Refused``."""
    names = {name for name, _ in request.protocols}
    if not names or not request.protocol_type:
        raise Refused(Refusal.INCONSISTENT_GROUP_PROTOCOL, group=group)
    if not members:
        return
    common = common_protocols(members)
    if request.protocol_type != protocol_type or names.isdisjoint(common):
        raise Refused(
            Refusal.INCONSISTENT_GROUP_PROTOCOL,
            group=group,
            offered=",".join(sorted(names)),
            common=",".join(sorted(common)),
        )
