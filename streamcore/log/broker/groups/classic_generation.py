"""A generation of a group of the classic protocol as the record that makes it durable, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from streamcore.log.broker.groups.classic_member import Member
from streamcore.log.broker.groups.records import StoredGroup, StoredMember
from streamcore.model import TimestampMs

_NEVER_S: Final = float("inf")


class Generation(Protocol):
    """What of a group is stored."""

    generation: int
    protocol_type: str
    protocol: str
    leader_id: str
    members: dict[str, Member]


def stored_generation(
    group: Generation, now_ms: TimestampMs, assignments: Mapping[str, bytes] | None = None
) -> StoredGroup:
    """A generation as a record: as it is, or as the leader's assignments make it."""
    return StoredGroup(
        group.protocol_type,
        group.generation,
        group.protocol or None,
        group.leader_id or None,
        now_ms,
        tuple(
            StoredMember(
                member_id=member.member_id,
                instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                rebalance_timeout_ms=member.rebalance_timeout_ms,
                session_timeout_ms=member.session_timeout_ms,
                subscription=member.subscription(group.protocol),
                assignment=member.assignment if assignments is None else assignments.get(member_id, b""),
            )
            for member_id, member in group.members.items()
        ),
    )


def members_of(stored: StoredGroup) -> dict[str, Member]:
    """The members of a stored generation; nobody has a session before somebody begins it."""
    return {
        member.member_id: Member(
            member_id=member.member_id,
            instance_id=member.instance_id,
            client_id=member.client_id,
            client_host=member.client_host,
            session_timeout_ms=member.session_timeout_ms,
            rebalance_timeout_ms=member.rebalance_timeout_ms,
            protocols=((stored.protocol or "", member.subscription),),
            session_deadline_s=_NEVER_S,
            assignment=member.assignment,
        )
        for member in stored.members
    }
