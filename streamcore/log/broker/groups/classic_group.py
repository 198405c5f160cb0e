"""A group of the classic protocol: its members, and how they agree on the next generation.

A member joins. When all members have joined, a generation begins and its leader assigns the partitions. When
the leader's assignment has arrived, each member gets its part. The broker does not read subscriptions and
assignments, so any assignor works, and any kind of member (also workers of Kafka Connect).

    EMPTY -> PREPARING_REBALANCE <-> COMPLETING_REBALANCE -> STABLE -> PREPARING_REBALANCE

A request that waits is a future on the member: ``joining`` until the generation begins, ``syncing`` until the
member's assignment is there. The group reads no clock: the caller passes the time.

Only the leader's assignment is durable (``stored``). After a crash the members repeat the steps before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.classic_generation import members_of
from streamcore.log.broker.groups.classic_member import Member, chosen_protocol
from streamcore.log.broker.groups.classic_states import TRANSITIONS, GroupState, JoinRules
from streamcore.log.broker.groups.records import StoredGroup
from streamcore.log.broker.operations import OperationFuture
from streamcore.log.broker.requests import (
    JoinedMember,
    JoinReply,
    JoinRequest,
    Leaving,
    SyncReply,
    SyncRequest,
)
from streamcore.model import Membership, TimestampMs

_S = GroupState

NEVER_S: Final = float("inf")
_AT_ONCE_S: Final = float("-inf")


@dataclass(slots=True)
class ClassicGroup:
    """A group and its members. The group coordinator owns it."""

    name: str
    rules: JoinRules = field(default_factory=JoinRules)
    since_ms: TimestampMs = -1
    """The time of the group's last stored record."""
    state: GroupState = _S.EMPTY
    generation: int = 0
    protocol_type: str = ""
    protocol: str = ""
    leader_id: str = ""
    members: dict[str, Member] = field(default_factory=dict)
    instances: dict[str, str] = field(default_factory=dict)
    """The member id of each static instance."""
    promised_ids: dict[str, float] = field(default_factory=dict)
    """Member ids given out with ``MEMBER_ID_REQUIRED``, until when they may be used."""
    awaited_syncs: set[str] = field(default_factory=set)
    """Members of the generation that have not sent SyncGroup."""
    deadline_s: float = NEVER_S
    """The time at which a rebalance goes on without the members that did not join."""
    earliest_s: float = _AT_ONCE_S
    """Before this time a first generation waits for more members."""
    latest_s: float = NEVER_S
    """The latest end of a first generation's wait, however many members join."""
    has_newcomers: bool = False
    """Whether members joined while a first generation waited."""
    wake_s: float = NEVER_S
    """``expire`` has nothing to do before this time."""
    is_unsaved: bool = False
    """Whether the group has a change to store: it became empty, or a static member has another id."""

    @property
    def is_empty(self) -> bool:
        """Whether the group has no members, and none that is expected under a given id."""
        return not self.members and not self.promised_ids

    @property
    def has_consumers(self) -> bool:
        """Whether the members are consumers, so that their bytes are those of ``consumer_protocol``."""
        return self.protocol_type == "consumer"

    # --- members that come --------------------------------------------------------------------

    def promise_id(self, member_id: str, deadline_s: float) -> None:
        """Expect a member to join again under this id, which it was given."""
        self.promised_ids[member_id] = deadline_s
        self.wake_by(deadline_s)

    def add(self, request: JoinRequest, member_id: str) -> Member:
        """Add a member; the member is in no generation yet."""
        self.promised_ids.pop(member_id, None)
        if not self.members:
            self.protocol_type = request.protocol_type
        member = Member.of_request(request, member_id)
        member.is_new = True
        self.members[member_id] = member
        self.leader_id = self.leader_id or member_id
        if request.instance_id is not None:
            self.instances[request.instance_id] = member_id
        return member

    def rename(self, old_id: str, new_id: str) -> Member:
        """Give a static member another id; requests with the old id are fenced."""
        member = self.members.pop(old_id)
        member.answer_join(ErrorName.FENCED_INSTANCE_ID)
        member.answer_sync(ErrorName.FENCED_INSTANCE_ID)
        member.member_id = new_id
        self.members[new_id] = member
        assert member.instance_id is not None
        self.instances[member.instance_id] = new_id
        if self.leader_id == old_id:
            self.leader_id = new_id
        if old_id in self.awaited_syncs:
            self.awaited_syncs.remove(old_id)
            self.awaited_syncs.add(new_id)
        return member

    def reply_to(self, member: Member) -> JoinReply:
        """Return the JoinGroup reply of the present generation for a member."""
        members: tuple[JoinedMember, ...] = ()
        if member.member_id == self.leader_id:
            members = tuple(
                JoinedMember(each.member_id, each.instance_id, each.subscription(self.protocol))
                for each in self.members.values()
            )
        return JoinReply(
            member.member_id, self.generation, self.protocol_type, self.protocol, self.leader_id, members
        )

    # --- generations --------------------------------------------------------------------------

    def rebalance(self, now_s: float) -> None:
        """Begin a rebalance, or complete it if no member is missing."""
        if self.state is _S.PREPARING_REBALANCE:
            self._maybe_begin_generation(now_s)
        else:
            self.prepare_rebalance(now_s)

    def prepare_rebalance(self, now_s: float) -> None:
        """Ask all members to join again."""
        for member in self.members.values():
            if self.state is _S.COMPLETING_REBALANCE:
                member.assignment = b""  # the assignment of an earlier generation
            member.answer_sync(ErrorName.REBALANCE_IN_PROGRESS)
            self.wake_by(member.deadline_s)
        self.awaited_syncs.clear()
        self.deadline_s = self._rebalance_deadline_s(now_s)
        if self.state is _S.EMPTY:
            delay_s = self.rules.initial_delay_ms / 1000
            self.earliest_s = now_s + delay_s if delay_s > 0 else _AT_ONCE_S
            self.latest_s = max(self.deadline_s, now_s + delay_s)
            self.has_newcomers = False
            self.wake_by(self.earliest_s)
            self._move(_S.PREPARING_REBALANCE)
            if delay_s <= 0:
                # Nothing is waited for, and no member is expected under a given id.
                self._begin_generation(now_s)
            return
        self._move(_S.PREPARING_REBALANCE)
        self._maybe_begin_generation(now_s)

    def _maybe_begin_generation(self, now_s: float) -> None:
        if self.state is not _S.PREPARING_REBALANCE or self.earliest_s != _AT_ONCE_S:
            return
        if not self.promised_ids and all(member.joining is not None for member in self.members.values()):
            self._begin_generation(now_s)

    def _begin_generation(self, now_s: float) -> None:
        self.earliest_s = _AT_ONCE_S
        self.generation += 1
        if not self.members:
            self._move(_S.EMPTY)
            self.protocol, self.leader_id, self.is_unsaved = "", "", True
            self.deadline_s = NEVER_S
            return
        joined = [name for name, member in self.members.items() if member.joining is not None]
        if self.leader_id not in joined:
            self.leader_id = joined[0]
        self.protocol = chosen_protocol(self.members.values())
        self._move(_S.COMPLETING_REBALANCE)
        self.deadline_s = self._rebalance_deadline_s(now_s)
        self.awaited_syncs = set(self.members)
        for member in self.members.values():
            if member.joining is not None:
                self.refresh(member, now_s)
            member.is_new = False
            member.answer_join(self.reply_to(member))

    def _rebalance_deadline_s(self, now_s: float) -> float:
        longest_ms = max((member.rebalance_timeout_ms for member in self.members.values()), default=0)
        deadline_s = now_s + longest_ms / 1000
        self.wake_by(deadline_s)
        return deadline_s

    def _move(self, state: GroupState) -> None:
        assert state in TRANSITIONS[self.state], f"no way from {self.state} to {state}"
        self.state = state

    # --- assignments --------------------------------------------------------------------------

    def sync(self, request: SyncRequest, now_s: float) -> OperationFuture[SyncReply | ErrorName]:
        """Return the future of a member's assignment; it is done at once if the assignment is there."""
        member = self.current(request.membership)
        self._ensure_protocol_meant(request.protocol_type, self.protocol_type)
        self._ensure_protocol_meant(request.protocol, self.protocol)
        promise: OperationFuture[SyncReply | ErrorName] = OperationFuture()
        match self.state:
            case _S.STABLE:
                self.awaited_syncs.discard(member.member_id)
                self.refresh(member, now_s)
                promise.keep(SyncReply(member.assignment, self.protocol_type, self.protocol))
            case _S.COMPLETING_REBALANCE:
                self.awaited_syncs.discard(member.member_id)
                member.answer_sync(ErrorName.REBALANCE_IN_PROGRESS)
                member.syncing = promise
            case _:
                promise.keep(ErrorName.REBALANCE_IN_PROGRESS)
        return promise

    def _ensure_protocol_meant(self, meant: str | None, actual: str) -> None:
        if meant is not None and meant != actual:
            raise ApiError(
                ErrorName.INCONSISTENT_GROUP_PROTOCOL, group=self.name, offered=meant, common=actual
            )

    def awaits_assignment_by(self, member_id: str) -> bool:
        """Whether this member is the leader whose assignment the generation needs."""
        return self.state is _S.COMPLETING_REBALANCE and member_id == self.leader_id

    def take_assignment(self, stored: StoredGroup, now_s: float) -> None:
        """Give the members the assignments of the durable record, unless a rebalance has begun."""
        if self.state is not _S.COMPLETING_REBALANCE or self.generation != stored.generation:
            return
        self._move(_S.STABLE)
        for assigned in stored.members:
            member = self.members.get(assigned.member_id)
            if member is not None:
                member.assignment = assigned.assignment
        for member in self.members.values():
            if member.syncing is not None:
                self.refresh(member, now_s)
            member.answer_sync(SyncReply(member.assignment, self.protocol_type, self.protocol))

    def take_back_assignment(self, stored: StoredGroup, now_s: float) -> None:
        """Rebalance because the leader's assignment could not be made durable."""
        if self.state is _S.COMPLETING_REBALANCE and self.generation == stored.generation:
            self.prepare_rebalance(now_s)

    def replay(self, stored: StoredGroup) -> None:
        """Apply a stored record."""
        self.since_ms = stored.since_ms
        self.generation = stored.generation
        self.protocol_type, self.protocol = stored.protocol_type, stored.protocol or ""
        self.leader_id = stored.leader_id or ""
        self.state = _S.STABLE if stored.members else _S.EMPTY
        self.members = members_of(stored)
        self.instances = {
            member.instance_id: member.member_id
            for member in stored.members
            if member.instance_id is not None
        }

    def watch_all(self, now_s: float) -> None:
        """Begin a session for every member: the members' activity before a restart is not known."""
        for member in self.members.values():
            self.refresh(member, now_s)

    # --- staying and leaving ------------------------------------------------------------------

    def heartbeat(self, membership: Membership, now_s: float) -> None:
        """Renew the member's session. Raises ``ApiError`` if the member has to join again."""
        member = self.current(membership)
        self.refresh(member, now_s)
        if self.state is _S.PREPARING_REBALANCE:
            raise ApiError(ErrorName.REBALANCE_IN_PROGRESS, group=self.name)

    def ensure_may_commit(
        self, membership: Membership | None, now_s: float, *, is_transactional: bool = False
    ) -> None:
        """Check that the committing client still owns the partitions. Raises ``ApiError``."""
        if membership is None:
            if self.members:
                raise ApiError(ErrorName.NON_EMPTY_GROUP, group=self.name)
            return
        if membership.generation < 0:
            if self.state is _S.EMPTY:
                return
            if not membership.member_id and membership.instance_id is None:
                if is_transactional:
                    return  # older producers do not name a member
                raise ApiError(ErrorName.UNKNOWN_MEMBER_ID, group=self.name)
        member = self.current(membership)
        if not is_transactional and self.state is _S.COMPLETING_REBALANCE:
            raise ApiError(ErrorName.REBALANCE_IN_PROGRESS, group=self.name)
        if self.state is not _S.COMPLETING_REBALANCE:
            self.refresh(member, now_s)

    def leave(self, leaving: Iterable[Leaving], now_s: float) -> list[ErrorName | None]:
        """Remove members together; return the refusal for each that could not be removed."""
        outcomes: list[ErrorName | None] = []
        for each in leaving:
            try:
                self._leave(each)
            except ApiError as refused:
                outcomes.append(refused.refusal)
            else:
                outcomes.append(None)
        if None in outcomes:
            self._go_on(now_s)
        return outcomes

    def _leave(self, leaving: Leaving) -> None:
        if self.promised_ids.pop(leaving.member_id, None) is not None:
            return
        member_id, instance_id = leaving.member_id, leaving.instance_id
        if not member_id and instance_id is not None:
            member_id = self.instances.get(instance_id, "")
        self._drop(self.known(member_id, instance_id))

    def remove(self, leaving: Iterable[Member], now_s: float) -> None:
        """Remove members."""
        leaving = list(leaving)
        for member in leaving:
            self._drop(member)
        if leaving:
            self._go_on(now_s)

    def _drop(self, member: Member) -> None:
        del self.members[member.member_id]
        self.awaited_syncs.discard(member.member_id)
        if member.instance_id is not None:
            self.instances.pop(member.instance_id, None)
        if self.leader_id == member.member_id:
            self.leader_id = next(iter(self.members), "")
        member.answer_join(ErrorName.UNKNOWN_MEMBER_ID)
        member.answer_sync(ErrorName.UNKNOWN_MEMBER_ID)

    def _go_on(self, now_s: float) -> None:
        if self.state is not _S.EMPTY:
            self.rebalance(now_s)

    def dissolve(self) -> None:
        """End the group because a consumer group replaces it; waiting members have to join again."""
        for member in self.members.values():
            member.answer_join(ErrorName.REBALANCE_IN_PROGRESS)
            member.answer_sync(ErrorName.REBALANCE_IN_PROGRESS)

    # --- time ---------------------------------------------------------------------------------

    def expire(self, now_s: float) -> None:
        """Remove members whose session has ended; complete a rebalance whose time is over."""
        if any(until <= now_s for until in self.promised_ids.values()):
            self.promised_ids = {name: until for name, until in self.promised_ids.items() if until > now_s}
            self._maybe_begin_generation(now_s)
        self.remove([each for each in self.members.values() if each.deadline_s <= now_s], now_s)
        if self.earliest_s != _AT_ONCE_S and self.earliest_s <= now_s:
            self._end_first_wait(now_s)
        elif self.state is _S.PREPARING_REBALANCE and self.deadline_s <= now_s:
            self._go_on_without_the_late(now_s)
        elif self.awaited_syncs and self.deadline_s <= now_s:
            late = [self.members[name] for name in self.awaited_syncs]
            self.remove(late, now_s)
        self.wake_s = self._next_deadline_s()

    def _end_first_wait(self, now_s: float) -> None:
        if self.has_newcomers and now_s < self.latest_s:
            self.has_newcomers = False
            self.earliest_s = min(now_s + self.rules.initial_delay_ms / 1000, self.latest_s)
        else:
            self._begin_generation(now_s)

    def _go_on_without_the_late(self, now_s: float) -> None:
        self.promised_ids.clear()
        late = [each for each in self.members.values() if each.joining is None and each.instance_id is None]
        for member in late:
            self._drop(member)
        # Static members that did not join stay in the group until their session ends.
        if not self.members or any(member.joining is not None for member in self.members.values()):
            self._begin_generation(now_s)
        else:
            self.deadline_s = self._rebalance_deadline_s(now_s)

    def _next_deadline_s(self) -> float:
        deadlines = [member.deadline_s for member in self.members.values()]
        deadlines += self.promised_ids.values()
        if self.earliest_s != _AT_ONCE_S:
            deadlines.append(self.earliest_s)
        elif self.state is _S.PREPARING_REBALANCE or self.awaited_syncs:
            deadlines.append(self.deadline_s)
        return min(deadlines, default=NEVER_S)

    def refresh(self, member: Member, now_s: float) -> None:
        """Renew the member's session."""
        member.session_deadline_s = now_s + member.session_timeout_ms / 1000
        self.wake_by(member.session_deadline_s)

    def wake_by(self, moment_s: float) -> None:
        """Schedule ``expire`` for this time or earlier."""
        self.wake_s = min(self.wake_s, moment_s)

    # --- members ------------------------------------------------------------------------------

    def known(self, member_id: str, instance_id: str | None) -> Member:
        """Return a member by its id and, if it is static, its instance id. Raises ``ApiError``."""
        if instance_id is not None:
            owner = self.instances.get(instance_id)
            if owner is None:
                raise ApiError(ErrorName.UNKNOWN_MEMBER_ID, group=self.name, instance_id=instance_id)
            if owner != member_id:
                raise ApiError(ErrorName.FENCED_INSTANCE_ID, group=self.name, instance_id=instance_id)
        member = self.members.get(member_id)
        if member is None:
            raise ApiError(ErrorName.UNKNOWN_MEMBER_ID, group=self.name, member_id=member_id)
        return member

    def current(self, membership: Membership) -> Member:
        """Return a member of the present generation. Raises ``ApiError``."""
        member = self.known(membership.member_id, membership.instance_id)
        if membership.generation != self.generation:
            raise ApiError(
                ErrorName.ILLEGAL_GENERATION,
                group=self.name,
                generation=membership.generation,
                current_generation=self.generation,
            )
        return member
