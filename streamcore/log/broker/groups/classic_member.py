"""A member of a classic group: its protocols, its session, and the reply that it waits for.

A member waits for one reply at a time: ``joining`` until the next generation begins, ``syncing`` until its
assignment is there. A waiting member cannot send heartbeats, so its session does not end; a new member that
waits for long is removed, because nothing else would show that it has gone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self, TypeAlias

from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.deadlines import NEVER_S
from streamcore.log.broker.operations import OperationFuture
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
    """Whether the member has been in no generation yet."""
    joining: OperationFuture[JoinReply | ErrorName] | None = None
    syncing: OperationFuture[SyncReply | ErrorName] | None = None

    @classmethod
    def of_request(cls, request: JoinRequest, member_id: str) -> Self:
        """Return the member that a request describes; its session does not end yet."""
        return cls(
            member_id=member_id,
            instance_id=request.instance_id,
            client_id=request.client_id,
            client_host=request.client_host,
            session_timeout_ms=request.session_timeout_ms,
            rebalance_timeout_ms=request.rebalance_timeout_ms,
            protocols=request.protocols,
            session_deadline_s=NEVER_S,
        )

    def subscription(self, protocol: str) -> bytes:
        """Return the member's subscription in a protocol."""
        return next((metadata for name, metadata in self.protocols if name == protocol), b"")

    @property
    def deadline_s(self) -> float:
        """The time at which the member is removed."""
        is_excused = not self.is_new and (self.joining is not None or self.syncing is not None)
        return float("inf") if is_excused else self.session_deadline_s

    def answer_join(self, reply: JoinReply | ErrorName) -> None:
        """Complete the member's wait for the generation, if it waits."""
        promise, self.joining = self.joining, None
        if promise is not None:
            promise.keep(reply)

    def answer_sync(self, reply: SyncReply | ErrorName) -> None:
        """Complete the member's wait for its assignment, if it waits."""
        promise, self.syncing = self.syncing, None
        if promise is not None:
            promise.keep(reply)


def common_protocols(members: Collection[Member]) -> set[str]:
    """Return the protocols that all members support."""
    return set.intersection(*({name for name, _ in member.protocols} for member in members))


def chosen_protocol(members: Collection[Member]) -> str:
    """Return the protocol with the most votes among those that all members support."""
    common = common_protocols(members)
    votes: dict[str, int] = {}
    for member in members:
        favourite = next(name for name, _ in member.protocols if name in common)
        votes[favourite] = votes.get(favourite, 0) + 1
    return max(votes, key=lambda name: votes[name])


def ensure_protocols_fit(
    group: str, protocol_type: str, members: Collection[Member], request: JoinRequest
) -> None:
    """Check that a member shares a protocol with all others. Raises ``ApiError``."""
    names = {name for name, _ in request.protocols}
    if not names or not request.protocol_type:
        raise ApiError(ErrorName.INCONSISTENT_GROUP_PROTOCOL, group=group)
    if not members:
        return
    common = common_protocols(members)
    if request.protocol_type != protocol_type or names.isdisjoint(common):
        raise ApiError(
            ErrorName.INCONSISTENT_GROUP_PROTOCOL,
            group=group,
            offered=",".join(sorted(names)),
            common=",".join(sorted(common)),
        )
