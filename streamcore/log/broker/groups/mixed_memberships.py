"""The classic protocol's requests to a consumer group: members of both protocols share one target.

A classic member joins and gets its epoch as its generation. No member leads: SyncGroup returns what the
broker has assigned. A heartbeat asks the member to join again when there is work: a new epoch, partitions to
give up, or partitions that became free. So each join is one step of the reconciliation, and the member owns
the partitions that its subscription names.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from streamcore.errors import CorruptDataError
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.changes import advance, replace_static, retarget, subscribe
from streamcore.log.broker.groups.classic_member import Member
from streamcore.log.broker.groups.consumer_group import NEVER_S, ConsumerGroup
from streamcore.log.broker.groups.consumer_group_member import ConsumerMember, MemberState
from streamcore.log.broker.groups.consumer_memberships import ConsumerMemberships
from streamcore.log.broker.groups.draft import GroupDraft
from streamcore.log.broker.groups.migration import classic_assignment, partition_ids, profile_of
from streamcore.log.broker.groups.store import GroupStore
from streamcore.log.broker.groups.topics import GroupTopics
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.requests import JoinReply, JoinRequest, Leaving, SyncReply, SyncRequest
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.protocol.consumer_protocol import Subscription, decode_subscription
from streamcore.model import Membership

_PROTOCOL_TYPE: Final = "consumer"


class MixedMemberships:
    """Classic members of consumer groups."""

    def __init__(
        self,
        store: GroupStore,
        topics: GroupTopics,
        consumers: ConsumerMemberships,
        settings: BrokerSettings,
    ) -> None:
        self._store = store
        self._topics = topics
        self._consumers = consumers
        self._settings = settings

    def join(self, request: JoinRequest, group: ConsumerGroup) -> Operation[JoinReply]:
        """Take one step towards the target assignment."""
        member_id = request.member_id or str(uuid.uuid4())
        self._ensure_may_join(request, group, member_id)
        if request.is_member_id_required and request.instance_id is None and not request.member_id:
            raise ApiError(ErrorName.MEMBER_ID_REQUIRED, group=group.name, member_id=member_id)
        subscription = _subscription(request)
        draft = GroupDraft(group)
        returning = group.instance(request.instance_id) if request.instance_id is not None else None
        member = self._joining(draft, member_id, request, returning)
        profile = profile_of(subscription, member.profile, Member.of_request(request, member_id))
        self._consumers.ensure_small(draft.group, member_id, profile)
        now_ms = self._store.clock.now_ms()
        is_new_subscription = subscribe(draft, member, profile, self._topics, now_ms, request.may_see)
        if returning is not None and _are_classic_but(group, returning):
            self._turn_classic(draft, member_id, subscription, is_new_subscription)
        else:
            retarget(draft, self._topics, now_ms)
            self._advance(draft, member_id, subscription, is_new_subscription)
            self._store.write_draft(draft)
            self._watch_joined(group, member_id, request)
        epoch = draft.group.members[member_id].holding.epoch
        yield self._store.topic.written(group.name)
        return JoinReply(member_id, epoch, _PROTOCOL_TYPE, request.protocols[0][0], "")

    def _ensure_may_join(self, request: JoinRequest, group: ConsumerGroup, member_id: str) -> None:
        limit = self._settings.group_size_max
        if len(group.members) >= limit and member_id not in group.members:
            raise ApiError(ErrorName.GROUP_MAX_SIZE_REACHED, group=group.name, size_max=limit)
        names = {name for name, _ in request.protocols}
        classic = [
            each.profile.classic for each in group.members.values() if each.profile.classic is not None
        ]
        common = names.intersection(*({name for name, _ in traits.protocols} for traits in classic))
        if request.protocol_type != _PROTOCOL_TYPE or not common:
            raise ApiError(
                ErrorName.INCONSISTENT_GROUP_PROTOCOL, group=group.name, offered=",".join(sorted(names))
            )

    def _joining(
        self, draft: GroupDraft, member_id: str, request: JoinRequest, returning: ConsumerMember | None
    ) -> ConsumerMember:
        if request.instance_id is None:
            return draft.group.members.get(member_id, ConsumerMember(member_id))
        if request.member_id:
            return draft.group.known(member_id, request.instance_id)
        if returning is not None:
            return replace_static(draft, returning, member_id)
        return ConsumerMember(member_id)

    def _advance(
        self, draft: GroupDraft, member_id: str, subscription: Subscription, is_new_subscription: bool
    ) -> None:
        owned = partition_ids(subscription.owned, self._topics)
        advance(draft, member_id, self._topics, owned, has_new_subscription=is_new_subscription)

    def _turn_classic(
        self, draft: GroupDraft, member_id: str, subscription: Subscription, is_new_subscription: bool
    ) -> None:
        """Convert the group: the last member of the newer protocol came back as a classic one."""
        if not is_new_subscription:
            self._advance(draft, member_id, subscription, False)
        members = list(draft.group.members.values())
        self._consumers.turn_classic(draft, members, must_rebalance=is_new_subscription)

    def _watch_joined(self, group: ConsumerGroup, member_id: str, request: JoinRequest) -> None:
        watch = group.watch(member_id)
        watch.join_s = NEVER_S
        watch.sync_s = self._store.clock.monotonic_s() + request.rebalance_timeout_ms / 1000
        self._watch(group, group.members[member_id])

    def _watch(self, group: ConsumerGroup, member: ConsumerMember) -> None:
        assert member.profile.classic is not None
        session_s = member.profile.classic.session_timeout_ms / 1000
        self._consumers.watch_member(group, member, session_s, has_moved=False)

    def sync(self, request: SyncRequest, group: ConsumerGroup) -> Operation[SyncReply]:
        """Return what the broker has assigned."""
        member = _current(group, request.membership)
        assert member.profile.classic is not None
        protocol = member.profile.classic.protocols[0][0]
        if request.protocol_type not in (None, _PROTOCOL_TYPE) or request.protocol not in (None, protocol):
            raise ApiError(ErrorName.INCONSISTENT_GROUP_PROTOCOL, group=group.name, offered=request.protocol)
        holding = member.holding
        if group.epoch > holding.epoch and holding.state is not MemberState.UNREVOKED_PARTITIONS:
            self._expect_join(group, member)
            raise ApiError(ErrorName.REBALANCE_IN_PROGRESS, group=group.name)
        group.watch(member.member_id).sync_s = NEVER_S
        self._watch(group, member)
        yield self._store.topic.written(group.name)
        return SyncReply(classic_assignment(member, self._topics), _PROTOCOL_TYPE, protocol)

    def heartbeat(self, membership: Membership, group: ConsumerGroup) -> None:
        """Renew the member's session; ask it to join again when that helps."""
        member = _current(group, membership)
        self._watch(group, member)
        holding = member.holding
        has_step = (
            holding.epoch < group.epoch
            or holding.state is MemberState.UNREVOKED_PARTITIONS
            or (holding.state is MemberState.UNRELEASED_PARTITIONS and not _waits(group, member))
        )
        if has_step:
            self._expect_join(group, member)
            raise ApiError(ErrorName.REBALANCE_IN_PROGRESS, group=group.name)

    def _expect_join(self, group: ConsumerGroup, member: ConsumerMember) -> None:
        watch = group.watch(member.member_id)
        if watch.join_s == NEVER_S:
            timeout_s = max(0, member.profile.rebalance_timeout_ms) / 1000
            watch.join_s = self._store.clock.monotonic_s() + timeout_s
            group.wake_by(watch.join_s)
            self._store.watch(group)

    def leave(self, leaving: Sequence[Leaving], group: ConsumerGroup) -> list[ErrorName | None]:
        """Remove members at once; return the refusal for each that could not be removed."""
        found: dict[str, ConsumerMember] = {}
        outcomes: list[ErrorName | None] = []
        for each in leaving:
            try:
                member_id = each.member_id or group.instances.get(each.instance_id or "", "")
                member = group.known(member_id, each.instance_id)
            except ApiError as refused:
                outcomes.append(refused.refusal)
            else:
                found[member.member_id] = member
                outcomes.append(None)
        self._consumers.remove(group, list(found.values()))
        return outcomes


def _subscription(request: JoinRequest) -> Subscription:
    """Return what all of the member's protocols say alike."""
    try:
        return decode_subscription(request.protocols[0][1])
    except CorruptDataError as error:
        raise ApiError(ErrorName.INCONSISTENT_GROUP_PROTOCOL, group=request.group) from error


def _current(group: ConsumerGroup, membership: Membership) -> ConsumerMember:
    """Return a classic member of the generation that it sends. Raises ``ApiError``."""
    member = group.known(membership.member_id, membership.instance_id)
    if not member.is_classic:
        raise ApiError(ErrorName.UNKNOWN_MEMBER_ID, group=group.name, member_id=member.member_id)
    if member.holding.epoch != membership.generation:
        raise ApiError(
            ErrorName.ILLEGAL_GENERATION,
            group=group.name,
            generation=membership.generation,
            current_generation=member.holding.epoch,
        )
    return member


def _are_classic_but(group: ConsumerGroup, returning: ConsumerMember) -> bool:
    return all(member.is_classic for member in group.members.values() if member is not returning)


def _waits(group: ConsumerGroup, member: ConsumerMember) -> bool:
    """Whether another member still has a partition of this member's target."""
    missing = group.target_of(member.member_id) - member.holding.assigned.keys()
    return any(partition in group.owners for partition in missing)
