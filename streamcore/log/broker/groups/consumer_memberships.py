"""The heartbeat of the newer protocol (KIP-848): joining, staying, leaving.

A heartbeat waits for the disk only. What a member is told is durable, so no crash takes back a partition that
the member may use, or the confirmation that another member gave it up.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Protocol

from msgspec.structs import replace

from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.changes import (
    advance,
    leave_for_a_while,
    remove,
    replace_static,
    retarget,
    subscribe,
)
from streamcore.log.broker.groups.classic_group import ClassicGroup
from streamcore.log.broker.groups.consumer_group import NEVER_S, ConsumerGroup, tombstones
from streamcore.log.broker.groups.consumer_group_member import LEFT_FOR_A_WHILE, ConsumerMember, MemberProfile
from streamcore.log.broker.groups.draft import GroupDraft
from streamcore.log.broker.groups.migration import downgrade, upgrade
from streamcore.log.broker.groups.records import GroupKey
from streamcore.log.broker.groups.store import GroupStore
from streamcore.log.broker.groups.topics import GroupTopics
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.requests import IN_PROCESS_HOST, ConsumerHeartbeat, ConsumerHeartbeatReply
from streamcore.log.broker.settings import BrokerSettings


class ConsumerTimes(Protocol):
    """The session timeout and the heartbeat interval; each can be set for a group."""

    def consumer_session_timeout_ms(self, group: str) -> int:
        """How long a member may be silent before it is removed."""

    def consumer_heartbeat_interval_ms(self, group: str) -> int:
        """How often members are told to send heartbeats."""


class ConsumerMemberships:
    """Members of consumer groups."""

    def __init__(
        self, store: GroupStore, topics: GroupTopics, settings: BrokerSettings, times: ConsumerTimes
    ) -> None:
        self._store = store
        self._topics = topics
        self._settings = settings
        self._times = times

    def heartbeat(self, request: ConsumerHeartbeat) -> Operation[ConsumerHeartbeatReply]:
        """Join, stay or leave.

        Raises:
            Refused: the reason; after ``FENCED_MEMBER_EPOCH`` the member has to give up all partitions.
        """
        reply = self._leave(request) if request.epoch < 0 else self._beat(request)
        yield self._store.topic.written(request.group)
        return reply

    # --- joining and staying ------------------------------------------------------------------

    def _beat(self, request: ConsumerHeartbeat) -> ConsumerHeartbeatReply:
        draft, dissolved = self._draft_for(request)
        member_id = request.member_id or str(uuid.uuid4())
        member = (
            self._joining(draft, member_id, request) if request.epoch == 0 else _staying(draft.group, request)
        )
        profile = self._profile(member.profile, request)
        if profile != member.profile:
            self.ensure_small(draft.group, member_id, profile)
        now_ms = self._store.clock.now_ms()
        has_new_subscription = subscribe(draft, member, profile, self._topics, now_ms, request.may_see)
        retarget(draft, self._topics, now_ms)
        holding = advance(
            draft, member_id, self._topics, request.owned, has_new_subscription=has_new_subscription
        )
        self._store.write_draft(draft)
        group = self._store.groups[request.group]
        assert isinstance(group, ConsumerGroup)
        if dissolved is not None:
            dissolved.dissolve()
            group.watch_all(self._store.clock.monotonic_s(), self._session_s(group.name))
        self.watch_member(
            group,
            group.members[member_id],
            self._session_s(group.name),
            has_moved=holding != member.holding,
        )
        has_news = holding.assigned.keys() != member.holding.assigned.keys()
        return ConsumerHeartbeatReply(
            member_id,
            holding.epoch,
            self._times.consumer_heartbeat_interval_ms(group.name),
            holding.assigned.keys() if has_news or request.epoch == 0 or request.is_full else None,
        )

    def _draft_for(self, request: ConsumerHeartbeat) -> tuple[GroupDraft, ClassicGroup | None]:
        """Return a draft of the group, new or existing; convert a classic group first."""
        group = self._store.groups.get(request.group)
        if isinstance(group, ConsumerGroup):
            self._ensure_room(len(group.members), request.member_id in group.members, request)
            return GroupDraft(group), None
        if request.epoch != 0:
            raise ApiError(ErrorName.GROUP_ID_NOT_FOUND, group=request.group)
        if group is None:
            self._store.ensure_room(request.group)
            return GroupDraft(ConsumerGroup(request.group)), None
        draft = upgrade(group, self._topics)
        self._ensure_room(len(group.members), False, request)
        return draft, group

    def _ensure_room(self, size: int, is_member: bool, request: ConsumerHeartbeat) -> None:
        limit = self._settings.group_size_max
        if size >= limit and not is_member:
            raise ApiError(ErrorName.GROUP_MAX_SIZE_REACHED, group=request.group, size_max=limit)

    def _joining(self, draft: GroupDraft, member_id: str, request: ConsumerHeartbeat) -> ConsumerMember:
        """Return a new member, or a static one that is back."""
        group = draft.group
        if request.instance_id is None:
            return group.members.get(member_id, ConsumerMember(member_id))
        old = group.instance(request.instance_id)
        if old is None:
            return group.members.get(member_id, ConsumerMember(member_id))
        if not old.is_classic and old.holding.epoch != LEFT_FOR_A_WHILE:
            raise ApiError(
                ErrorName.UNRELEASED_INSTANCE_ID,
                group=group.name,
                instance_id=request.instance_id,
                owner=old.member_id,
            )
        return replace_static(draft, old, member_id)

    def _profile(self, before: MemberProfile, request: ConsumerHeartbeat) -> MemberProfile:
        profile = replace(
            before,
            instance_id=before.instance_id if request.instance_id is None else request.instance_id,
            rack=before.rack if request.rack is None else request.rack,
            client_id=request.client_id,
            client_host=request.client_host,
            topics=before.topics if request.topics is None else tuple(sorted(set(request.topics))),
            pattern=before.pattern if request.pattern is None else request.pattern,
            rebalance_timeout_ms=before.rebalance_timeout_ms
            if request.rebalance_timeout_ms == -1
            else request.rebalance_timeout_ms,
            assignor=before.assignor if request.assignor is None else request.assignor,
            classic=None,
        )
        return profile

    def ensure_small(self, group: ConsumerGroup, member_id: str, profile: MemberProfile) -> None:
        """Refuse a member whose texts are too large, alone or with all others. Raises ``ApiError``."""
        size_bytes, settings = profile.size_bytes, self._settings
        if size_bytes > settings.group_member_bytes_max:
            raise ApiError(ErrorName.INVALID_REQUEST, group=group.name, subscription_bytes=size_bytes)
        others = (each for name, each in group.members.items() if name != member_id)
        if size_bytes + sum(each.profile.size_bytes for each in others) > settings.group_bytes_max:
            raise ApiError(
                ErrorName.GROUP_MAX_SIZE_REACHED, group=group.name, bytes_max=settings.group_bytes_max
            )

    def _session_s(self, group: str) -> float:
        return self._times.consumer_session_timeout_ms(group) / 1000

    def watch_member(
        self, group: ConsumerGroup, member: ConsumerMember, session_s: float, *, has_moved: bool
    ) -> None:
        """Renew a member's session and its deadline for giving up partitions."""
        now_s = self._store.clock.monotonic_s()
        watch = group.watch(member.member_id)
        watch.session_s = now_s + session_s
        if not member.is_classic:
            watch.join_s = watch.sync_s = NEVER_S
        if has_moved and not member.is_classic:
            is_revoking = bool(member.holding.revoking)
            timeout_s = max(0, member.profile.rebalance_timeout_ms) / 1000
            watch.revocation_s = now_s + timeout_s if is_revoking else NEVER_S
        group.wake_by(watch.earliest_s)
        self._store.watch(group)

    # --- leaving ------------------------------------------------------------------------------

    def _leave(self, request: ConsumerHeartbeat) -> ConsumerHeartbeatReply:
        group = self._store.groups.get(request.group)
        if not isinstance(group, ConsumerGroup):
            raise ApiError(ErrorName.GROUP_ID_NOT_FOUND, group=request.group)
        member = group.known(request.member_id, request.instance_id)
        if request.epoch == LEFT_FOR_A_WHILE and request.instance_id is not None:
            draft = GroupDraft(group)
            leave_for_a_while(draft, member)
            self._store.write_draft(draft)
        else:
            self.remove(group, [member])
        return ConsumerHeartbeatReply(request.member_id, request.epoch)

    def remove(self, group: ConsumerGroup, leaving: Sequence[ConsumerMember]) -> None:
        """Remove members; convert the group to a classic one if all others are classic."""
        if not leaving:
            return
        gone = {member.member_id for member in leaving}
        staying = [member for name, member in group.members.items() if name not in gone]
        if staying and all(member.is_classic for member in staying):
            self.turn_classic(GroupDraft(group), staying)
            return
        draft = GroupDraft(group)
        remove(draft, leaving, self._topics)
        self._store.write_draft(draft)
        if not staying:
            group.empty_since_ms = self._store.clock.now_ms()

    def turn_classic(
        self, draft: GroupDraft, staying: Collection[ConsumerMember], *, must_rebalance: bool = True
    ) -> None:
        """Convert a consumer group to a classic group of the members that stay."""
        name = draft.group.name
        stored = downgrade(draft.group, staying, self._topics, self._store.clock.now_ms())
        group = self._store.groups[name]
        assert isinstance(group, ConsumerGroup)
        self._store.write(name, [*tombstones(group), (GroupKey(name), stored)])
        classic = self._store.groups[name]
        assert isinstance(classic, ClassicGroup)
        now_s = self._store.clock.monotonic_s()
        for member in staying:
            assert member.profile.classic is not None
            classic.members[member.member_id].protocols = member.profile.classic.protocols
        classic.watch_all(now_s)
        if must_rebalance:
            classic.prepare_rebalance(now_s)
        self._store.watch(classic)

    def expire(self, group: ConsumerGroup) -> None:
        """Remove members whose deadline has passed."""
        self.remove(group, group.overdue(self._store.clock.monotonic_s()))
        if self._store.groups.get(group.name) is group:
            self._store.watch(group)

    def end_with_process(self, group: ConsumerGroup) -> None:
        """After a restart, remove the members that lived in the process that ended."""
        self.remove(
            group, [each for each in group.members.values() if each.profile.client_host == IN_PROCESS_HOST]
        )


def _staying(group: ConsumerGroup, request: ConsumerHeartbeat) -> ConsumerMember:
    """Return the member that was here before, at the epoch that it sends.

    Raises:
        Refused: ``FENCED_MEMBER_EPOCH`` if the epoch is not the one the member was told. The epoch before is
        accepted
            while the member has only partitions that it was given, because the last reply may be lost.
    """
    member = group.known(request.member_id, request.instance_id)
    holding = member.holding
    has_lost_answer = (
        request.epoch == holding.previous_epoch
        and request.owned is not None
        and request.owned <= holding.assigned.keys()
    )
    if request.epoch != holding.epoch and not (request.epoch < holding.epoch and has_lost_answer):
        raise ApiError(
            ErrorName.FENCED_MEMBER_EPOCH, group=group.name, epoch=request.epoch, current_epoch=holding.epoch
        )
    return member
