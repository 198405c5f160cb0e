"""A consumer's membership in its group: joins, assigns if it is the leader, sends heartbeats, leaves.

Each member has a thread that talks to the coordinator, because a join waits for the other members and
heartbeats must be sent while the program works. The thread reports events. The consumer takes them when the
program polls (``embedded.member``), so callbacks and changes of the assignment run in the program's thread:

* ``Joined``: a generation has begun; the event has the new assignment.
* ``MustJoin``: a rebalance has begun; the consumer orders a join with the partitions that it still owns.
* ``Lost``: the group has removed this member; other members own its partitions.

A member whose program does not call ``poll`` for ``max_poll_interval`` leaves the group, so that a program
that hangs keeps no partitions.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from msgspec import Struct

from streamcore.clock import Clock
from streamcore.durations import duration_ms
from streamcore.errors import (
    ClosedError,
    RebalanceInProgressError,
    StaleGenerationError,
    StreamCoreError,
    with_facts,
)
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.requests import JoinReply, JoinRequest, SyncReply, SyncRequest
from streamcore.log.client import port
from streamcore.log.client.consumer.assignors import Assignor, GroupMember, choose_assignors
from streamcore.log.client.consumer.settings import GroupSettings
from streamcore.log.protocol.consumer_protocol import (
    Subscription,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    encode_subscription,
)
from streamcore.model import CommittedOffset, Membership, TopicName, TopicPartition


class CoordinatedLog(port.Log, Protocol):
    """A log that answers the requests of the group protocol."""

    def join_group(self, request: JoinRequest) -> JoinReply:
        """Join or rejoin; waits for the other members."""

    def sync_group(self, request: SyncRequest) -> SyncReply:
        """Return the member's assignment; waits for the leader's."""

    def heartbeat(self, group: str, membership: Membership) -> None:
        """Renew the member's session."""

    def leave_group(self, group: str, member_id: str, *, instance_id: str | None = None) -> None:
        """Leave at once."""

    def commit_offsets(
        self,
        group: str,
        positions: Mapping[TopicPartition, CommittedOffset],
        *,
        membership: Membership | None = None,
    ) -> None:
        """Commit offsets, as a member or without a membership."""


class Joined(Struct, frozen=True):
    """A generation has begun."""

    membership: Membership
    assignor: Assignor
    assignment: tuple[TopicPartition, ...]
    is_leader: bool
    partition_counts: Mapping[TopicName, int]


class MustJoin(Struct, frozen=True):
    """A rebalance has begun."""


class Lost(Struct, frozen=True):
    """The membership has ended."""

    reason: str


class Failed(Struct, frozen=True):
    """The membership has failed and cannot continue."""

    error: StreamCoreError


MembershipEvent: TypeAlias = Joined | MustJoin | Lost | Failed


@dataclass(slots=True)
class _JoinOrder:
    """What the consumer passes to its thread for a join."""

    owned: tuple[TopicPartition, ...]


class GroupMembership:
    """One member. Its public methods are for the consumer's thread."""

    def __init__(
        self,
        log: CoordinatedLog,
        group: str,
        topics: Sequence[TopicName],
        settings: GroupSettings,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self._log = log
        self._group = group
        self._topics = tuple(sorted(topics))
        self._settings = settings
        self._assignors = choose_assignors(settings.assignors)
        self._monotonic_s = clock.monotonic_s
        self._wake = wake
        self._heartbeat_s = duration_ms(settings.heartbeat_interval) / 1000
        self._max_poll_s = duration_ms(settings.max_poll_interval) / 1000
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._order: _JoinOrder | None = None
        self._event: MembershipEvent | None = None
        self._is_joining = False
        self._is_stopped = False
        self._polled_s = self._monotonic_s()
        # Owned by the thread; others read these only where a docstring says so:
        self._member_id = ""
        self._joined: Joined | None = None
        self._former: tuple[tuple[TopicPartition, ...], int] = ((), -1)

    @property
    def is_cooperative(self) -> bool:
        """Whether the member keeps its partitions during a rebalance."""
        return self._assignors[0].is_cooperative

    @property
    def membership(self) -> Membership | None:
        """The credentials of the last generation joined."""
        joined = self._joined
        return None if joined is None else joined.membership

    @property
    def joined(self) -> Joined | None:
        """The last generation joined."""
        return self._joined

    def order_join(self, owned: Sequence[TopicPartition]) -> None:
        """Ask the thread to join; the outcome is the event ``Joined`` or ``Lost``."""
        with self._changed:
            self._order = _JoinOrder(tuple(owned))
            self._is_joining = True
            self._event = None
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name=f"streamcore-member-{self._group}", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def take_event(self) -> MembershipEvent | None:
        """Return the event since the last call, if any. A call also counts as a poll of the program."""
        with self._changed:
            self._polled_s = self._monotonic_s()
            event, self._event = self._event, None
            return event

    def wait_joined(self, timeout_s: float) -> bool:
        """Wait until no join is under way; return false on timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._is_joining, timeout_s)

    def stop(self) -> None:
        """End the membership. The group keeps a static member until its session ends."""
        with self._changed:
            if self._is_stopped:
                return
            self._is_stopped = True
            self._changed.notify_all()
        is_static = self._settings.instance_id is not None
        if self._member_id and not is_static:
            self._leave()
        if self._thread is not None and not (is_static and self._is_joining):
            self._thread.join(timeout=5)

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        beat_s = self._monotonic_s()
        while True:
            with self._changed:
                while not self._is_stopped and self._order is None:
                    left_s = beat_s + self._heartbeat_s - self._monotonic_s()
                    if left_s <= 0:
                        break
                    self._changed.wait(left_s)
                if self._is_stopped:
                    return
                order, self._order = self._order, None
                silent_s = self._monotonic_s() - self._polled_s
            beat_s = self._monotonic_s()
            try:
                if order is not None:
                    self._publish(self._join(order.owned), is_answer=True)
                elif silent_s > self._max_poll_s:
                    self._give_up(silent_s)
                elif self._joined is not None:
                    self._beat()
            except ClosedError as error:
                self._publish(Failed(error), is_answer=True)
                return
            except StreamCoreError as error:
                self._publish(Failed(error), is_answer=True)

    def _publish(self, event: MembershipEvent, *, is_answer: bool = False) -> None:
        with self._changed:
            if is_answer:
                self._is_joining = False
            if self._order is None:  # an order that arrived meanwhile makes the event obsolete
                self._event = event
            self._changed.notify_all()
            is_orphan = self._is_stopped
        if is_orphan and self._member_id and self._settings.instance_id is None:
            self._leave()
        self._wake()

    def _beat(self) -> None:
        joined = self._joined
        assert joined is not None
        try:
            self._log.heartbeat(self._group, joined.membership)
        except RebalanceInProgressError:
            self._publish(MustJoin())
        except StaleGenerationError as error:
            self._publish(self._after_refusal(error))

    def _give_up(self, silent_s: float) -> None:
        if self._joined is None:
            return
        self._leave()
        self._member_id, self._joined = "", None
        reason = with_facts(
            "poll was not called for longer than max_poll_interval", silent_s=round(silent_s, 1)
        )
        self._publish(Lost(reason))

    def _join(self, owned: tuple[TopicPartition, ...]) -> MembershipEvent:
        """Join and sync until a generation is stable."""
        while not self._is_stopped:
            try:
                reply = self._log.join_group(self._join_request(owned))
                self._member_id = reply.member_id
                membership = Membership(reply.member_id, reply.generation, self._settings.instance_id)
                counts = self._partition_counts(reply)
                assignments: dict[str, bytes] = {}
                if reply.is_leader and not reply.skip_assignment:
                    assignments = self._assign(reply, counts)
                synced = self._log.sync_group(SyncRequest(self._group, membership, assignments))
            except RebalanceInProgressError:
                continue
            except StaleGenerationError as error:
                event = self._after_refusal(error)
                if owned or isinstance(event, Failed):
                    return event
                continue
            assignment = tuple(sorted(decode_assignment(synced.assignment)))
            assignor = next(each for each in self._assignors if each.name == reply.protocol)
            self._former = (assignment, reply.generation)
            self._joined = Joined(membership, assignor, assignment, reply.is_leader, counts)
            return self._joined
        return Lost("the consumer was closed")

    def _join_request(self, owned: tuple[TopicPartition, ...]) -> JoinRequest:
        settings = self._settings
        former, generation = self._former
        return JoinRequest(
            group=self._group,
            protocols=tuple(
                (
                    assignor.name,
                    encode_subscription(
                        Subscription(self._topics, owned, generation, assignor.user_data(former, generation))
                    ),
                )
                for assignor in self._assignors
            ),
            member_id=self._member_id,
            instance_id=settings.instance_id,
            session_timeout_ms=duration_ms(settings.session_timeout),
            rebalance_timeout_ms=duration_ms(settings.max_poll_interval),
            client_id=settings.client_id,
            is_member_id_required=settings.instance_id is None,
        )

    def _partition_counts(self, reply: JoinReply) -> dict[TopicName, int]:
        """Return the present topics of all members; only this member's if it is not the leader."""
        topics = set(self._topics)
        for member in reply.members:
            topics.update(decode_subscription(member.subscription).topics)
        return partition_counts(self._log.topics(), topics)

    def _assign(self, reply: JoinReply, counts: Mapping[TopicName, int]) -> dict[str, bytes]:
        assignor = next(each for each in self._assignors if each.name == reply.protocol)
        members = [
            GroupMember(member.member_id, decode_subscription(member.subscription), member.instance_id)
            for member in reply.members
        ]
        assigned = assignor.assign(counts, members)
        return {member_id: encode_assignment(partitions) for member_id, partitions in assigned.items()}

    def _after_refusal(self, error: StaleGenerationError) -> MembershipEvent:
        """Return what a refusal means for this member, by Kafka's names, which are finer than ours."""
        cause = error.__cause__ or error.__context__
        refusal = cause.refusal if isinstance(cause, ApiError) else ErrorName.UNKNOWN_MEMBER_ID
        if refusal is ErrorName.FENCED_INSTANCE_ID:
            self._joined = None
            return Failed(error)
        if isinstance(cause, ApiError) and refusal is ErrorName.MEMBER_ID_REQUIRED:
            self._member_id = str(cause.facts["member_id"])
        elif refusal is not ErrorName.ILLEGAL_GENERATION:
            self._member_id = ""
        self._joined = None
        return Lost(str(error))

    def _leave(self) -> None:
        with contextlib.suppress(StaleGenerationError, ClosedError):  # already removed, which was the purpose
            self._log.leave_group(self._group, self._member_id, instance_id=self._settings.instance_id)


def partition_counts(
    topics: Mapping[TopicName, port.TopicDescription], wanted: Collection[TopicName]
) -> dict[TopicName, int]:
    """Return the partition counts of the wanted topics that exist."""
    return {name: topics[name].partition_count for name in wanted if name in topics}
