"""A group of the newer protocol (KIP-848): the replay of its records.

The broker assigns the partitions. Three epochs show the progress: the group's epoch grows with each change of
members, subscriptions and topics; the target assignment belongs to one epoch of the group; each member
reaches the target's epoch in its own heartbeats, when it has given up the partitions that it must
(``reconciliation``). A member waits for another member only where that one still has to give up a partition.

    Empty         there are no members
    Assigning     the group's epoch has no target yet
    Reconciling   a member has not reached the target
    Stable        all members have reached the target

``replay`` is the only way to change this. The members' deadlines (``watches``) are not stored and begin anew
at a restart.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from msgspec.structs import replace

from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.consumer_group_member import ConsumerMember, Holding, MemberProfile
from streamcore.log.broker.groups.consumer_group_records import (
    ConsumerGroupKey,
    ConsumerGroupRecord,
    ConsumerGroupValue,
    GroupEpoch,
    Kind,
    MemberTarget,
    ResolvedPattern,
    TargetEpoch,
)
from streamcore.log.broker.groups.target_assignment import ASSIGNORS, DEFAULT_ASSIGNOR
from streamcore.log.broker.partition_id import PartitionId
from streamcore.model import Membership, TimestampMs, TopicName

NEVER_S: Final = float("inf")
_FIRST_EPOCH: Final = 1


class ConsumerGroupState(Enum):
    """The state of a group; the values are Kafka's names."""

    EMPTY = "Empty"
    ASSIGNING = "Assigning"
    RECONCILING = "Reconciling"
    STABLE = "Stable"


_S = ConsumerGroupState


@dataclass(slots=True)
class Watch:
    """The deadlines of a member; the member is removed when one of them passes."""

    session_s: float = NEVER_S
    """The end of the session."""
    revocation_s: float = NEVER_S
    """The deadline for giving up partitions."""
    join_s: float = NEVER_S
    """The deadline for joining again, of a member of the classic protocol."""
    sync_s: float = NEVER_S
    """The deadline for fetching its assignment, of a member of the classic protocol."""

    @property
    def earliest_s(self) -> float:
        """The earliest of these times."""
        return min(self.session_s, self.revocation_s, self.join_s, self.sync_s)


@dataclass(slots=True)
class ConsumerGroup:
    """A group, its members and their assignments. The group coordinator owns it."""

    name: str
    epoch: int = _FIRST_EPOCH
    topics_hash: int = 0
    target_epoch: int = _FIRST_EPOCH
    members: dict[str, ConsumerMember] = field(default_factory=dict)
    targets: dict[str, frozenset[PartitionId]] = field(default_factory=dict)
    patterns: dict[str, ResolvedPattern] = field(default_factory=dict)
    owners: dict[PartitionId, str] = field(default_factory=dict)
    """The member that has a partition, or has not yet confirmed that it gave it up."""
    instances: dict[str, str] = field(default_factory=dict)
    """The member id of each static instance."""

    watches: dict[str, Watch] = field(default_factory=dict)
    topics_version: int = -1
    """The change count of the topics that the epoch was last compared with."""
    wake_s: float = NEVER_S
    """No deadline passes before this time."""
    empty_since_ms: TimestampMs = -1

    def copy(self) -> ConsumerGroup:
        """Copy what replays may change; share what begins anew at a restart."""
        return dataclasses.replace(
            self,
            members=self.members.copy(),
            targets=self.targets.copy(),
            patterns=self.patterns.copy(),
            owners=self.owners.copy(),
            instances=self.instances.copy(),
        )

    # --- replaying ----------------------------------------------------------------------------

    def replay(self, key: ConsumerGroupKey, value: ConsumerGroupValue | None) -> None:
        """Apply one record."""
        match key.kind, value:
            case Kind.EPOCH, GroupEpoch(epoch, topics_hash):
                self.epoch, self.topics_hash = epoch, topics_hash
            case Kind.TARGET, TargetEpoch(epoch):
                self.target_epoch = epoch
            case Kind.PROFILE, MemberProfile():
                self._set_profile(key.part, value)
            case Kind.PROFILE, None:
                self._remove(key.part)
            case Kind.MEMBER_TARGET, MemberTarget(partitions):
                self.targets[key.part] = partitions
            case Kind.MEMBER_TARGET, None:
                self.targets.pop(key.part, None)
            case Kind.HOLDING, Holding():
                self._hold(key.part, value)
            case Kind.HOLDING, None:
                if key.part in self.members:
                    self._hold(key.part, Holding())
            case Kind.PATTERN, ResolvedPattern():
                self.patterns[key.part] = value
            case Kind.PATTERN, None:
                self.patterns.pop(key.part, None)
            case _:
                assert value is None, f"a record of kind {key.kind} cannot say {value}"

    def _set_profile(self, member_id: str, profile: MemberProfile) -> None:
        member = self.members.get(member_id, ConsumerMember(member_id))
        self._forget_instance(member)
        self.members[member_id] = replace(member, profile=profile)
        if profile.instance_id is not None:
            self.instances[profile.instance_id] = member_id

    def _hold(self, member_id: str, holding: Holding) -> None:
        member = self.members.get(member_id, ConsumerMember(member_id))
        self._let_go(member)
        self.members[member_id] = replace(member, holding=holding)
        for partition in holding.partitions:
            self.owners[partition] = member_id

    def _remove(self, member_id: str) -> None:
        member = self.members.pop(member_id, None)
        if member is not None:
            self._let_go(member)
            self._forget_instance(member)
        self.targets.pop(member_id, None)

    def _let_go(self, member: ConsumerMember) -> None:
        for partition in member.holding.partitions:
            if self.owners.get(partition) == member.member_id:
                del self.owners[partition]

    def _forget_instance(self, member: ConsumerMember) -> None:
        instance_id = member.profile.instance_id
        if instance_id is not None and self.instances.get(instance_id) == member.member_id:
            del self.instances[instance_id]

    # --- members ------------------------------------------------------------------------------

    def member(self, member_id: str) -> ConsumerMember:
        """Return a member. Raises ``ApiError``: ``UNKNOWN_MEMBER_ID``."""
        member = self.members.get(member_id)
        if member is None:
            raise ApiError(ErrorName.UNKNOWN_MEMBER_ID, group=self.name, member_id=member_id)
        return member

    def instance(self, instance_id: str) -> ConsumerMember | None:
        """Return the member of a static instance."""
        member_id = self.instances.get(instance_id)
        return None if member_id is None else self.members[member_id]

    def known(self, member_id: str, instance_id: str | None) -> ConsumerMember:
        """Return a member; a static one must be that of its instance.

        Raises:
            Refused: ``UNKNOWN_MEMBER_ID``; ``FENCED_INSTANCE_ID`` if another member has the instance now.
        """
        if instance_id is None:
            return self.member(member_id)
        member = self.instance(instance_id)
        if member is None:
            raise ApiError(ErrorName.UNKNOWN_MEMBER_ID, group=self.name, instance_id=instance_id)
        if member.member_id != member_id:
            raise ApiError(ErrorName.FENCED_INSTANCE_ID, group=self.name, instance_id=instance_id)
        return member

    def target_of(self, member_id: str) -> frozenset[PartitionId]:
        """Return the target assignment of a member."""
        return self.targets.get(member_id, frozenset())

    @property
    def state(self) -> ConsumerGroupState:
        """The state of the group."""
        if not self.members:
            return _S.EMPTY
        if self.epoch > self.target_epoch:
            return _S.ASSIGNING
        if all(each.holding.is_reconciled_to(self.target_epoch) for each in self.members.values()):
            return _S.STABLE
        return _S.RECONCILING

    @property
    def assignor(self) -> str:
        """Return the assignor with the most votes of the members."""
        votes = [each.profile.assignor for each in self.members.values() if each.profile.assignor is not None]
        return max(ASSIGNORS, key=votes.count) if votes else DEFAULT_ASSIGNOR

    # --- subscriptions ------------------------------------------------------------------------

    def topics_of(self, profile: MemberProfile) -> frozenset[TopicName]:
        """Return the topics that a member subscribes to, whether they exist or not."""
        resolved = self.patterns.get(profile.pattern)
        return frozenset(profile.topics if resolved is None else (*profile.topics, *resolved.topics))

    def subscribed_topics(self) -> frozenset[TopicName]:
        """Return the topics that any member subscribes to."""
        return frozenset[TopicName]().union(
            *(each.profile.topics for each in self.members.values()),
            *(resolved.topics for resolved in self.patterns.values()),
        )

    def pattern_users(self, pattern: str) -> int:
        """Count the members that subscribe by a regular expression."""
        return sum(each.profile.pattern == pattern for each in self.members.values())

    # --- committed offsets --------------------------------------------------------------------

    def ensure_may_commit(
        self,
        membership: Membership,
        partitions: Mapping[PartitionId, object],
        *,
        is_transactional: bool,
        knows_epochs: bool,
    ) -> None:
        """Check that the committing client still owns the partitions.

        A member may commit for a partition that it got at the given epoch or before, until it has given it
        up: its newest epoch may not have reached it yet. ``knows_epochs``: the client knows this protocol.

        Raises:
            Refused: ``UNKNOWN_MEMBER_ID``, ``STALE_MEMBER_EPOCH``, ``UNSUPPORTED_VERSION``; for members of
            the classic
                protocol ``ILLEGAL_GENERATION``.
        """
        if membership.generation < 0:
            is_anonymous = not membership.member_id and membership.instance_id is None
            if not self.members or (is_transactional and is_anonymous):
                return
        member = self.member(membership.member_id)
        if not knows_epochs and not is_transactional and not member.is_classic:
            raise ApiError(ErrorName.UNSUPPORTED_VERSION, group=self.name)
        holding = member.holding
        if membership.generation == holding.epoch:
            return
        has_generations = member.is_classic or is_transactional  # producers do not know epochs
        stale = ApiError(
            ErrorName.ILLEGAL_GENERATION if has_generations else ErrorName.STALE_MEMBER_EPOCH,
            group=self.name,
            epoch=membership.generation,
            current_epoch=holding.epoch,
        )
        if membership.generation > holding.epoch:
            raise stale
        for partition in partitions:
            since = holding.partitions.get(partition)
            if since is None or membership.generation < since:
                raise stale

    def ensure_may_fetch(self, member_id: str | None, epoch: int) -> None:
        """Check that a client that names a member is this member.

        Raises:
            Refused: ``UNKNOWN_MEMBER_ID``, ``STALE_MEMBER_EPOCH``; for classic members
            ``ILLEGAL_GENERATION``.
        """
        if member_id is None and epoch < 0:
            return
        member = self.member(member_id or "")
        if member.holding.epoch != epoch:
            raise ApiError(
                ErrorName.ILLEGAL_GENERATION if member.is_classic else ErrorName.STALE_MEMBER_EPOCH,
                group=self.name,
                epoch=epoch,
                current_epoch=member.holding.epoch,
            )

    # --- time ---------------------------------------------------------------------------------

    def watch(self, member_id: str) -> Watch:
        """Return a member's deadlines, to be set; call ``wake_by`` with the earliest afterwards."""
        return self.watches.setdefault(member_id, Watch())

    def wake_by(self, moment_s: float) -> None:
        """Schedule a look at the members for this time or earlier."""
        self.wake_s = min(self.wake_s, moment_s)

    def overdue(self, now_s: float) -> list[ConsumerMember]:
        """Return the members whose deadline has passed."""
        self.watches = {name: watch for name, watch in self.watches.items() if name in self.members}
        self.wake_s = min((each.earliest_s for each in self.watches.values()), default=NEVER_S)
        return [self.members[name] for name, watch in self.watches.items() if watch.earliest_s <= now_s]

    def watch_all(self, now_s: float, session_s: float) -> None:
        """Begin a session for every member: the members' activity before a restart is not known."""
        for member in self.members.values():
            watch = self.watch(member.member_id)
            classic = member.profile.classic
            watch.session_s = now_s + (session_s if classic is None else classic.session_timeout_ms / 1000)
            if member.holding.revoking:
                watch.revocation_s = now_s + max(0, member.profile.rebalance_timeout_ms) / 1000
            self.wake_by(watch.earliest_s)


def tombstones(group: ConsumerGroup) -> list[ConsumerGroupRecord]:
    """Return the records that delete a group: parts of members first, the group itself last."""
    keys = [
        *(ConsumerGroupKey(Kind.HOLDING, group.name, member_id) for member_id in group.members),
        *(ConsumerGroupKey(Kind.MEMBER_TARGET, group.name, member_id) for member_id in group.targets),
        ConsumerGroupKey(Kind.TARGET, group.name),
        *(ConsumerGroupKey(Kind.PROFILE, group.name, member_id) for member_id in group.members),
        *(ConsumerGroupKey(Kind.PATTERN, group.name, pattern) for pattern in group.patterns),
        ConsumerGroupKey(Kind.EPOCH, group.name),
    ]
    return [(key, None) for key in keys]
