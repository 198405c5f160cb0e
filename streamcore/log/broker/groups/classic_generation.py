"""Conversion between a generation of a classic group and the record that makes it durable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from streamcore.log.broker.groups.classic_member import Member
from streamcore.log.broker.groups.records import StoredGroup, StoredMember
from streamcore.model import TimestampMs

_NEVER_S: Final = float("inf")


class Generation(Protocol):
    """The part of a group that is stored."""

    generation: int
    protocol_type: str
    protocol: str
    leader_id: str
    members: dict[str, Member]


def stored_generation(
    group: Generation, now_ms: TimestampMs, assignments: Mapping[str, bytes] | None = None
) -> StoredGroup:
    """Convert a generation to a record, with its present assignments or with the leader's."""
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
    """Convert a stored generation to members; no member has a session until ``watch_all`` begins it."""
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
