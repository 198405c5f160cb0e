"""One consumer group: who is in it, and how its members agree on the next generation.

Kafka's classic protocol. A member joins; when all members have joined, a generation begins and its
leader assigns for everybody; when the leader's assignment is there, each member gets its part. The
broker does not look into subscriptions and assignments: any assignor works.

    EMPTY -> PREPARING_REBALANCE <-> COMPLETING_REBALANCE -> STABLE -> PREPARING_REBALANCE

What waits is a promise on the member: ``joining`` until the generation begins, ``syncing`` until its
assignment is there. Nothing here has a clock: ``expire`` is told the time.

Durable is only what a leader's assignment decides (``stored``): the dance before it is repeated by
the members themselves after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from streamcore.log.broker.group_member import Member
from streamcore.log.broker.group_records import StoredGroup, StoredMember
from streamcore.log.broker.operations import Promise
from streamcore.log.broker.refusals import Refusal, Refused
from streamcore.log.broker.requests import (
    GroupDescription,
    JoinedMember,
    JoinReply,
    JoinRequest,
    MemberDescription,
    Membership,
    SyncReply,
)
from streamcore.model import TimestampMs


class GroupState(Enum):
    """Where a group stands; the values are Kafka's names."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


_S = GroupState

_AT_ONCE_S: Final = float("-inf")

TRANSITIONS: Final[dict[GroupState, frozenset[GroupState]]] = {
    _S.EMPTY: frozenset({_S.PREPARING_REBALANCE, _S.DEAD}),
    _S.PREPARING_REBALANCE: frozenset({_S.COMPLETING_REBALANCE, _S.EMPTY, _S.DEAD}),
    _S.COMPLETING_REBALANCE: frozenset({_S.STABLE, _S.PREPARING_REBALANCE, _S.DEAD}),
    _S.STABLE: frozenset({_S.PREPARING_REBALANCE, _S.DEAD}),
    _S.DEAD: frozenset(),
}


@dataclass(slots=True)
class Group:
    """A group and its members. Owned by the group coordinator."""

    name: str
    since_ms: TimestampMs = -1
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
    deadline_s: float = 0.0
    """When a rebalance goes on without the members that did not come."""
    earliest_s: float = _AT_ONCE_S
    """Before this a first generation waits for more members."""
    is_unsaved: bool = False
    """The group became empty, which has to be stored."""

    # --- joining ------------------------------------------------------------------------------

    def join(
        self, request: JoinRequest, new_id: str, now_s: float, delay_s: float
    ) -> Promise[JoinReply | Refusal]:
        """Let a member take part in the next generation, or tell it the present one."""
        promise: Promise[JoinReply | Refusal] = Promise()
        self._ensure_protocols_fit(request)
        if request.member_id and request.member_id not in self.promised_ids:
            member = self._known(request.member_id, request.instance_id)
            if self._is_repeated(member, request):
                member.refresh(now_s)
                promise.keep(self._reply_to(member))
                return promise
            member.protocols = request.protocols
        elif request.instance_id in self.instances:
            member = self._replace_static(request, new_id, now_s)
            if self.state is _S.STABLE and self._same_subscription_as_stored(member, request):
                member.protocols = request.protocols
                self.is_unsaved = True
                promise.keep(self._reply_to(member, skip_assignment=True))
                return promise
            member.protocols = request.protocols
        else:
            member = self._add(request, request.member_id or new_id, now_s)
        member.session_timeout_ms = request.session_timeout_ms
        member.rebalance_timeout_ms = request.rebalance_timeout_ms
        member.refresh(now_s)
        member.answer_join(Refusal.REBALANCE_IN_PROGRESS)
        member.joining = promise
        self._prepare_rebalance(now_s, delay_s)
        return promise

    def promise_id(self, member_id: str, deadline_s: float) -> None:
        """Expect a member that was told to join again under this id."""
        self.promised_ids[member_id] = deadline_s

    def _ensure_protocols_fit(self, request: JoinRequest) -> None:
        others = [member for name, member in self.members.items() if name != request.member_id]
        names = {name for name, _ in request.protocols}
        if not names or not request.protocol_type:
            raise Refused(Refusal.INCONSISTENT_GROUP_PROTOCOL, group=self.name)
        if not others:
            return
        common = set.intersection(*({name for name, _ in member.protocols} for member in others))
        if request.protocol_type != self.protocol_type or names.isdisjoint(common):
            raise Refused(
                Refusal.INCONSISTENT_GROUP_PROTOCOL,
                group=self.name,
                offered=",".join(sorted(names)),
                common=",".join(sorted(common)),
            )

    def _is_repeated(self, member: Member, request: JoinRequest) -> bool:
        """Whether the member only missed an answer: then it gets the present generation again."""
        unchanged = member.protocols == request.protocols
        if self.state is _S.STABLE:
            return unchanged and member.member_id != self.leader_id
        return unchanged and self.state is _S.COMPLETING_REBALANCE

    def _add(self, request: JoinRequest, member_id: str, now_s: float) -> Member:
        self.promised_ids.pop(member_id, None)
        if not self.members:
            self.protocol_type = request.protocol_type
        member = Member(
            member_id=member_id,
            instance_id=request.instance_id,
            client_id=request.client_id,
            client_host=request.client_host,
            session_timeout_ms=request.session_timeout_ms,
            rebalance_timeout_ms=request.rebalance_timeout_ms,
            protocols=request.protocols,
            session_deadline_s=now_s + request.session_timeout_ms / 1000,
        )
        self.members[member_id] = member
        if request.instance_id is not None:
            self.instances[request.instance_id] = member_id
        return member

    def _replace_static(self, request: JoinRequest, new_id: str, now_s: float) -> Member:
        """Give a restarted static member its old place; what still uses the old id is fenced."""
        assert request.instance_id is not None
        old_id = self.instances[request.instance_id]
        member = self.members.pop(old_id)
        member.answer_join(Refusal.FENCED_INSTANCE_ID)
        member.answer_sync(Refusal.FENCED_INSTANCE_ID)
        member.member_id = new_id
        member.client_id, member.client_host = request.client_id, request.client_host
        member.refresh(now_s)
        self.members[new_id] = member
        self.instances[request.instance_id] = new_id
        if self.leader_id == old_id:
            self.leader_id = new_id
        return member

    def _same_subscription_as_stored(self, member: Member, request: JoinRequest) -> bool:
        return dict(request.protocols).get(self.protocol) == member.subscription(self.protocol)

    def _reply_to(self, member: Member, *, skip_assignment: bool = False) -> JoinReply:
        members: tuple[JoinedMember, ...] = ()
        if member.member_id == self.leader_id:
            members = tuple(
                JoinedMember(each.member_id, each.instance_id, each.subscription(self.protocol))
                for each in self.members.values()
            )
        return JoinReply(
            member.member_id,
            self.generation,
            self.protocol_type,
            self.protocol,
            self.leader_id,
            members,
            skip_assignment and member.member_id == self.leader_id,
        )

    # --- generations --------------------------------------------------------------------------

    def _prepare_rebalance(self, now_s: float, delay_s: float = 0.0) -> None:
        if self.state is not _S.PREPARING_REBALANCE:
            for member in self.members.values():
                member.answer_sync(Refusal.REBALANCE_IN_PROGRESS)
            is_delayed = self.state is _S.EMPTY and delay_s > 0
            self.earliest_s = now_s + delay_s if is_delayed else _AT_ONCE_S
            self._move(_S.PREPARING_REBALANCE)
            self.deadline_s = self._rebalance_deadline_s(now_s)
        self._maybe_begin_generation(now_s)

    def _maybe_begin_generation(self, now_s: float) -> None:
        if self.state is not _S.PREPARING_REBALANCE or now_s < self.earliest_s:
            return
        if not self.promised_ids and all(member.joining is not None for member in self.members.values()):
            self._begin_generation(now_s)

    def _begin_generation(self, now_s: float) -> None:
        self.generation += 1
        if not self.members:
            self._move(_S.EMPTY)
            self.protocol, self.leader_id, self.is_unsaved = "", "", True
            return
        joined = [member for member in self.members.values() if member.joining is not None]
        if self.leader_id not in {member.member_id for member in joined}:
            self.leader_id = joined[0].member_id
        self.protocol = self._chosen_protocol()
        self._move(_S.COMPLETING_REBALANCE)
        self.deadline_s = self._rebalance_deadline_s(now_s)
        for member in self.members.values():
            member.refresh(now_s)
            member.assignment = b""
            member.answer_join(self._reply_to(member))

    def _chosen_protocol(self) -> str:
        """The protocol that most members like best, among those that all of them have."""
        common = set.intersection(
            *({name for name, _ in member.protocols} for member in self.members.values())
        )
        votes: dict[str, int] = {}
        for member in self.members.values():
            favourite = next(name for name, _ in member.protocols if name in common)
            votes[favourite] = votes.get(favourite, 0) + 1
        return max(votes, key=lambda name: votes[name])

    def _rebalance_deadline_s(self, now_s: float) -> float:
        longest_ms = max((member.rebalance_timeout_ms for member in self.members.values()), default=0)
        return now_s + longest_ms / 1000

    def _move(self, state: GroupState) -> None:
        assert state in TRANSITIONS[self.state], f"no way from {self.state} to {state}"
        self.state = state

    # --- assignments --------------------------------------------------------------------------

    def sync(self, membership: Membership) -> Promise[SyncReply | Refusal]:
        """A member's wait for its assignment; kept at once if that is there."""
        member = self._current(membership)
        promise: Promise[SyncReply | Refusal] = Promise()
        if self.state is _S.STABLE:
            promise.keep(SyncReply(member.assignment, self.protocol_type, self.protocol))
        elif self.state is _S.COMPLETING_REBALANCE:
            member.answer_sync(Refusal.REBALANCE_IN_PROGRESS)
            member.syncing = promise
        else:
            promise.keep(Refusal.REBALANCE_IN_PROGRESS)
        return promise

    def awaits_assignment_by(self, member_id: str) -> bool:
        """Whether this member is the leader whose assignment the generation needs."""
        return self.state is _S.COMPLETING_REBALANCE and member_id == self.leader_id

    def assigned(self, assignments: Mapping[str, bytes], now_ms: TimestampMs) -> StoredGroup:
        """The record that makes the leader's assignment durable."""
        return self.stored(now_ms, {name: assignments.get(name, b"") for name in self.members})

    def stored(self, now_ms: TimestampMs, assignments: Mapping[str, bytes] | None = None) -> StoredGroup:
        """The group's present generation as a record."""
        return StoredGroup(
            self.protocol_type,
            self.generation,
            self.protocol or None,
            self.leader_id or None,
            now_ms,
            tuple(
                StoredMember(
                    member_id=member.member_id,
                    instance_id=member.instance_id,
                    client_id=member.client_id,
                    client_host=member.client_host,
                    rebalance_timeout_ms=member.rebalance_timeout_ms,
                    session_timeout_ms=member.session_timeout_ms,
                    subscription=member.subscription(self.protocol),
                    assignment=member.assignment if assignments is None else assignments[member.member_id],
                )
                for member in self.members.values()
            ),
        )

    def take_assignment(self, stored: StoredGroup, now_s: float) -> None:
        """Let the members have what the durable record assigns, unless the group has moved on."""
        if self.state is not _S.COMPLETING_REBALANCE or self.generation != stored.generation:
            return
        self._move(_S.STABLE)
        for assigned in stored.members:
            member = self.members.get(assigned.member_id)
            if member is not None:
                member.assignment = assigned.assignment
        for member in self.members.values():
            member.refresh(now_s)
            member.answer_sync(SyncReply(member.assignment, self.protocol_type, self.protocol))

    def replay(self, stored: StoredGroup, now_s: float) -> None:
        """Become what a stored record says; its members have a session from now on."""
        self.since_ms = stored.since_ms
        self.generation = stored.generation
        self.protocol_type, self.protocol = stored.protocol_type, stored.protocol or ""
        self.leader_id = stored.leader_id or ""
        self.state = _S.STABLE if stored.members else _S.EMPTY
        self.members = {
            member.member_id: Member(
                member_id=member.member_id,
                instance_id=member.instance_id,
                client_id=member.client_id,
                client_host=member.client_host,
                session_timeout_ms=member.session_timeout_ms,
                rebalance_timeout_ms=member.rebalance_timeout_ms,
                protocols=((self.protocol, member.subscription),),
                session_deadline_s=now_s + member.session_timeout_ms / 1000,
                assignment=member.assignment,
            )
            for member in stored.members
        }
        self.instances = {
            member.instance_id: member.member_id
            for member in stored.members
            if member.instance_id is not None
        }

    # --- staying and leaving ------------------------------------------------------------------

    def heartbeat(self, membership: Membership, now_s: float) -> None:
        """The member is alive. Raises ``Refused`` if it has to join again."""
        member = self._current(membership)
        member.refresh(now_s)
        if self.state is _S.PREPARING_REBALANCE:
            raise Refused(Refusal.REBALANCE_IN_PROGRESS, group=self.name)

    def ensure_may_commit(self, membership: Membership | None, now_s: float) -> None:
        """Refuse positions from somebody who does not own the partitions any more."""
        if membership is None:
            if self.members:
                raise Refused(Refusal.NON_EMPTY_GROUP, group=self.name)
            return
        if membership.generation < 0 and not self.members:
            return
        member = self._current(membership)
        member.refresh(now_s)
        if self.state is _S.COMPLETING_REBALANCE:
            raise Refused(Refusal.REBALANCE_IN_PROGRESS, group=self.name)

    def leave(self, member_id: str, instance_id: str | None, now_s: float) -> None:
        """The member goes. A static one may be named by its instance id alone."""
        if not member_id and instance_id is not None:
            member_id = self.instances.get(instance_id, "")
        if self.promised_ids.pop(member_id, None) is not None:
            self._maybe_begin_generation(now_s)
            return
        self.remove([self._known(member_id, instance_id)], now_s)

    def remove(self, leaving: Iterable[Member], now_s: float) -> None:
        """Go on without these members."""
        leaving = list(leaving)
        for member in leaving:
            del self.members[member.member_id]
            if member.instance_id is not None:
                self.instances.pop(member.instance_id, None)
            member.answer_join(Refusal.UNKNOWN_MEMBER_ID)
            member.answer_sync(Refusal.UNKNOWN_MEMBER_ID)
        if leaving:
            self._prepare_rebalance(now_s)

    def expire(self, now_s: float) -> None:
        """Remove members that were not heard of; end a rebalance that lasts too long."""
        self.promised_ids = {name: until for name, until in self.promised_ids.items() if until > now_s}
        if self.earliest_s <= now_s:
            self.earliest_s = _AT_ONCE_S  # it is over, and nothing to wait for again
        silent = [
            member
            for member in self.members.values()
            if not member.is_waiting and member.session_deadline_s <= now_s
        ]
        self.remove(silent, now_s)
        if self.state is _S.PREPARING_REBALANCE and self.deadline_s <= now_s:
            self._go_on_without_the_late(now_s)
        elif self.state is _S.COMPLETING_REBALANCE and self.deadline_s <= now_s:
            self.remove([each for each in self.members.values() if each.syncing is None], now_s)
        self._maybe_begin_generation(now_s)

    def _go_on_without_the_late(self, now_s: float) -> None:
        self.promised_ids.clear()
        late = [each for each in self.members.values() if each.joining is None and each.instance_id is None]
        self.remove(late, now_s)
        if self.state is not _S.PREPARING_REBALANCE:
            return
        # Static members keep their place although they did not come, until their session ends.
        if any(member.joining is not None for member in self.members.values()):
            self._begin_generation(now_s)
        else:
            self.deadline_s = self._rebalance_deadline_s(now_s)

    def next_deadline_s(self) -> float:
        """The moment at which ``expire`` may have something to do; infinity if none."""
        deadlines = [member.session_deadline_s for member in self.members.values() if not member.is_waiting]
        deadlines += self.promised_ids.values()
        if self.state in (_S.PREPARING_REBALANCE, _S.COMPLETING_REBALANCE):
            deadlines.append(self.deadline_s)
        if self.state is _S.PREPARING_REBALANCE and self.earliest_s != _AT_ONCE_S:
            deadlines.append(self.earliest_s)
        return min(deadlines, default=float("inf"))

    def describe(self) -> GroupDescription:
        """The group, for people."""
        return GroupDescription(
            self.name,
            self.state.value,
            self.protocol_type,
            self.protocol,
            self.generation,
            self.leader_id,
            tuple(
                MemberDescription(
                    each.member_id,
                    each.instance_id,
                    each.client_id,
                    each.client_host,
                    each.subscription(self.protocol),
                    each.assignment,
                )
                for each in self.members.values()
            ),
        )

    def _known(self, member_id: str, instance_id: str | None) -> Member:
        if instance_id is not None:
            owner = self.instances.get(instance_id)
            if owner is None:
                raise Refused(Refusal.UNKNOWN_MEMBER_ID, group=self.name, instance_id=instance_id)
            if owner != member_id:
                raise Refused(Refusal.FENCED_INSTANCE_ID, group=self.name, instance_id=instance_id)
        member = self.members.get(member_id)
        if member is None:
            raise Refused(Refusal.UNKNOWN_MEMBER_ID, group=self.name, member_id=member_id)
        return member

    def _current(self, membership: Membership) -> Member:
        member = self._known(membership.member_id, membership.instance_id)
        if membership.generation != self.generation:
            raise Refused(
                Refusal.ILLEGAL_GENERATION,
                group=self.name,
                generation=membership.generation,
                current_generation=self.generation,
            )
        return member
