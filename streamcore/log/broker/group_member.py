"""A member of a consumer group: what it can do, until when it counts as alive, what it waits for.

A member waits for one answer at a time: ``joining`` until the next generation begins, ``syncing``
until its assignment is there. While it waits it cannot send heartbeats, so its session does not end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from streamcore.log.broker.operations import Promise
from streamcore.log.broker.refusals import Refusal
from streamcore.log.broker.requests import JoinReply, SyncReply

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
    joining: Promise[JoinReply | Refusal] | None = None
    syncing: Promise[SyncReply | Refusal] | None = None

    def subscription(self, protocol: str) -> bytes:
        """The member's subscription in a protocol."""
        return next((metadata for name, metadata in self.protocols if name == protocol), b"")

    def refresh(self, now_s: float) -> None:
        """The member was heard of."""
        self.session_deadline_s = now_s + self.session_timeout_ms / 1000

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for an answer, and so cannot send heartbeats."""
        return self.joining is not None or self.syncing is not None

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
