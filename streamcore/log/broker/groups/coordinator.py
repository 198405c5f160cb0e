"""Consumer groups and their committed positions, kept in ``__consumer_offsets``.

A group is of one of two protocols: the classic one, in which a member assigns for all (``classic_group``),
or the newer one, in which the broker does (``consumer_group``). A classic member may join either; the first
member of the newer protocol takes a classic group of consumers over, with its members. This is where a
request finds the group it is for; what happens there is in the modules around.

What a crash leaves: a position is there if its record was durable, and then it was the last one
acknowledged or a later one; a classic group is there with its last stored generation, a consumer group
as its members were last told, and the members have a session's time to show that they still live. Members
in this very process do not: they died with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from streamcore.clock import Clock
from streamcore.errors import InvalidRecordError, StorageError
from streamcore.log.broker.groups.classic_group import ClassicGroup
from streamcore.log.broker.groups.classic_memberships import ClassicMemberships
from streamcore.log.broker.groups.classic_states import JoinRules
from streamcore.log.broker.groups.consumer_group import ConsumerGroup, tombstones
from streamcore.log.broker.groups.consumer_memberships import ConsumerMemberships, ConsumerTimes
from streamcore.log.broker.groups.descriptions import describe_group, summarize_group
from streamcore.log.broker.groups.draft import GroupRecord
from streamcore.log.broker.groups.mixed_memberships import MixedMemberships
from streamcore.log.broker.groups.positions import TOPIC, FetchedPositions, GroupPositions
from streamcore.log.broker.groups.records import GroupKey
from streamcore.log.broker.groups.store import Group, GroupStore
from streamcore.log.broker.groups.topics import GroupTopics, TopicSource
from streamcore.log.broker.internal_topic import InternalTopic
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.refusals import Refusal, Refused
from streamcore.log.broker.requests import (
    ConsumerHeartbeat,
    ConsumerHeartbeatReply,
    GroupDescription,
    JoinReply,
    JoinRequest,
    Leaving,
    Membership,
    ProducerIdentity,
    SyncReply,
    SyncRequest,
)
from streamcore.log.broker.settings import BrokerSettings
from streamcore.model import CommittedPosition, ProducerId, TopicName, TopicPartition

__all__ = ["TOPIC", "GroupCoordinator"]

_UNKNOWN: Final = Refusal.UNKNOWN_MEMBER_ID
_TRY_AGAIN_S: Final = 1.0


class GroupCoordinator:
    """All groups of a log."""

    def __init__(
        self,
        topic: InternalTopic,
        topics: TopicSource,
        clock: Clock,
        settings: BrokerSettings,
        times: ConsumerTimes,
    ) -> None:
        self._settings = settings
        self._times = times
        self.topics = GroupTopics(topics)
        """The topics as groups see them."""
        rules = JoinRules(
            settings.group_size_max,
            settings.group_bytes_max,
            settings.initial_rebalance_delay_ms,
            settings.new_member_timeout_ms,
        )
        self._store = GroupStore(topic, clock, rules, settings.group_count_max)
        self._positions = GroupPositions(self._store, self.topics, settings)
        self._classic = ClassicMemberships(self._store, settings)
        self._consumers = ConsumerMemberships(self._store, self.topics, settings, times)
        self._mixed = MixedMemberships(self._store, self.topics, self._consumers, settings)

    # --- positions ----------------------------------------------------------------------------

    def committed(
        self, group: str, partitions: Sequence[TopicPartition] | None
    ) -> Operation[dict[TopicPartition, CommittedPosition]]:
        """The group's positions, once no open transaction can move them any more, and durable.

        Raises:
            Refused: ``UNSTABLE_OFFSET_COMMIT``, if that takes too long.
        """
        return self._positions.committed(group, partitions)

    def fetch_positions(
        self, group: str, *, member_id: str | None = None, epoch: int = -1
    ) -> Operation[FetchedPositions]:
        """The group's positions as they are, with those named that an open transaction may still move."""
        return self._positions.fetch(group, member_id=member_id, epoch=epoch)

    def commit_positions(
        self,
        group: str,
        positions: Mapping[TopicPartition, CommittedPosition],
        membership: Membership | None = None,
        *,
        knows_epochs: bool = False,
    ) -> Operation[None]:
        """Commit positions, durably. ``knows_epochs``: the client knows the newer protocol."""
        self._ensure_short(group)
        if membership is None:
            self._ensure_named(group)  # Kafka's own clients may commit for a group without a name
        yield from self._positions.commit(group, positions, membership, knows_epochs=knows_epochs)

    def append_in_transaction(
        self,
        group: str,
        positions: Mapping[TopicPartition, CommittedPosition],
        identity: ProducerIdentity,
        membership: Membership | None,
    ) -> None:
        """Write positions as part of a producer's open transaction; pending until its marker."""
        self._positions.append_in_transaction(group, positions, identity, membership)

    def is_too_long(self, position: CommittedPosition) -> bool:
        """Whether a position's note is longer than it may be."""
        return self._positions.is_too_long(position)

    def partition_for(self, group: str) -> TopicPartition:
        """Where the group's records are; the topic exists after this."""
        return self._store.topic.log_for(group).topic_partition

    def on_marker(self, partition: TopicPartition, producer_id: ProducerId, is_commit: bool) -> None:
        """A producer's transaction has ended in a partition; positions in it are decided."""
        self._positions.on_marker(partition, producer_id, is_commit)

    def delete_positions(self, group: str, partitions: Sequence[TopicPartition]) -> Operation[None]:
        """Forget positions in topics that no member subscribes to."""
        self._ensure_named(group)
        yield from self._positions.delete(group, partitions)

    def forget_topic(self, topic: TopicName) -> None:
        """Forget every group's positions in a topic that was deleted: a new one starts anew."""
        self._positions.forget_topic(topic)

    # --- the classic protocol -----------------------------------------------------------------

    def join(self, request: JoinRequest) -> Operation[JoinReply]:
        """Take part in the group's next generation; waits for the other members."""
        self._ensure_may_join(request)
        group = self._store.groups.get(request.group)
        if isinstance(group, ConsumerGroup):
            if group.members:
                return (yield from self._mixed.join(request, group))
            if not request.member_id:
                self._store.forget(group.name, tombstones(group))
            group = None
        return (yield from self._classic.join(request, group))

    def sync(self, request: SyncRequest) -> Operation[SyncReply]:
        """Get the member's assignment; the leader's call brings everybody's, and stores it first."""
        group = self._group_with_members(request.group)
        if isinstance(group, ConsumerGroup):
            return (yield from self._mixed.sync(request, group))
        return (yield from self._classic.sync(request, group))

    def heartbeat(self, name: str, membership: Membership) -> Operation[None]:
        """Keep the member's session."""
        group = self._group_with_members(name)
        if isinstance(group, ConsumerGroup):
            self._mixed.heartbeat(membership, group)
        else:
            self._classic.heartbeat(membership, group)
        yield from ()

    def leave_all(self, name: str, leaving: Sequence[Leaving]) -> Operation[list[Refusal | None]]:
        """Remove members at once; says of each why not, if so."""
        self._ensure_named(name)
        group = self._store.groups.get(name)
        yield from ()
        match group:
            case ClassicGroup():
                return self._classic.leave(leaving, group)
            case ConsumerGroup():
                return self._mixed.leave(leaving, group)
            case None:
                return [_UNKNOWN for _ in leaving]

    def leave(self, group: str, member_id: str, instance_id: str | None = None) -> Operation[None]:
        """Remove a member at once."""
        (refusal,) = yield from self.leave_all(group, [Leaving(member_id, instance_id)])
        if refusal is not None:
            raise Refused(refusal, group=group, member_id=member_id)

    # --- the newer protocol -------------------------------------------------------------------

    def consumer_heartbeat(self, request: ConsumerHeartbeat) -> Operation[ConsumerHeartbeatReply]:
        """Join, stay or leave as a member of the newer protocol."""
        self._ensure_short(request.group, request.member_id, request.instance_id, request.rack)
        return (yield from self._consumers.heartbeat(request))

    # --- groups as a whole --------------------------------------------------------------------

    def names(self) -> list[str]:
        """Groups with members or positions, sorted."""
        return sorted(self._store.names())

    def group(self, name: str) -> Group | None:
        """A group, to be looked at only; ``None`` if there is none, or only positions."""
        return self._store.groups.get(name)

    def summary(self, name: str) -> GroupDescription:
        """What kind of group one of the ``names`` is, and where it stands."""
        return summarize_group(name, self._store.groups.get(name))

    def describe(self, name: str) -> GroupDescription:
        """A group, for people."""
        has_positions = self._store.offsets.has(name)
        return describe_group(name, self._store.groups.get(name), self.topics, has_positions=has_positions)

    def delete(self, name: str) -> Operation[None]:
        """Delete a group that has no members, with its positions."""
        group = self._store.groups.get(name)
        if group is None and not self._store.offsets.has(name):
            raise Refused(Refusal.GROUP_ID_NOT_FOUND, group=name)
        if group is not None and group.members:
            raise Refused(Refusal.NON_EMPTY_GROUP, group=name)
        self._positions.forget(name, sorted(self._store.offsets.partitions(name)))
        if group is not None:
            self._store.forget(name, _tombstones(group))
        yield self._store.topic.written(name)

    # --- time and restarts --------------------------------------------------------------------

    def expire_members(self) -> None:
        """Remove members whose time is over, and go on with rebalances that lasted too long."""
        now_s = self._store.clock.monotonic_s()
        for name in self._store.deadlines.take_due(now_s):
            try:
                self._expire(self._store.groups.get(name))
            except (StorageError, InvalidRecordError):
                # Who writes to the partition learns of it. The other groups go on; this one perhaps later.
                self._store.deadlines.wake(name, now_s + _TRY_AGAIN_S)

    def _expire(self, group: Group | None) -> None:
        match group:
            case ClassicGroup():
                self._classic.expire(group)
            case ConsumerGroup():
                self._consumers.expire(group)
            case None:
                pass

    def next_deadline_s(self) -> float:
        """When ``expire_members`` may have something to do; infinity if never."""
        return self._store.deadlines.next_s

    def expire_positions(self) -> None:
        """Forget positions that nobody has used for long, and then groups without any."""
        self._positions.expire()
        old_ms = self._store.clock.now_ms() - self._settings.unused_group_ms
        for name, group in list(self._store.groups.items()):
            if _is_empty(group) and _empty_since_ms(group) < old_ms and not self._store.offsets.has(name):
                self._store.forget(name, _tombstones(group))

    def load(self) -> None:
        """Replay ``__consumer_offsets``."""
        self._store.load()

    def recover(self) -> None:
        """After ``load``: members of the process that ended are gone; the others have a session."""
        now_s = self._store.clock.monotonic_s()
        for group in list(self._store.groups.values()):
            match group:
                case ClassicGroup():
                    group.watch_all(now_s)
                    self._classic.end_with_process(group)
                case ConsumerGroup():
                    group.empty_since_ms = self._store.clock.now_ms()
                    group.watch_all(now_s, self._times.consumer_session_timeout_ms(group.name) / 1000)
                    self._consumers.end_with_process(group)
            self._store.watch(group)

    # --- checks -------------------------------------------------------------------------------

    def _group_with_members(self, name: str) -> Group:
        self._ensure_named(name)
        group = self._store.groups.get(name)
        if group is None or not group.members:
            raise Refused(_UNKNOWN, group=name)
        return group

    def _ensure_may_join(self, request: JoinRequest) -> None:
        self._ensure_named(request.group)
        self._ensure_short(request.group, request.member_id, request.instance_id, request.client_id)
        settings, asked_ms = self._settings, request.session_timeout_ms
        if not settings.session_timeout_ms_min <= asked_ms <= settings.session_timeout_ms_max:
            raise Refused(
                Refusal.INVALID_SESSION_TIMEOUT,
                session_timeout_ms=asked_ms,
                min_ms=settings.session_timeout_ms_min,
                max_ms=settings.session_timeout_ms_max,
            )

    def _ensure_named(self, group: str) -> None:
        if not group:
            raise Refused(Refusal.INVALID_GROUP_ID)

    def _ensure_short(self, *names: str | None) -> None:
        limit = self._settings.group_id_bytes_max
        for name in names:
            if name is not None and len(name.encode()) > limit:
                raise Refused(Refusal.INVALID_GROUP_ID, bytes=len(name.encode()), bytes_max=limit)


def _is_empty(group: Group) -> bool:
    return group.is_empty if isinstance(group, ClassicGroup) else not group.members


def _empty_since_ms(group: Group) -> int:
    return group.since_ms if isinstance(group, ClassicGroup) else group.empty_since_ms


def _tombstones(group: Group) -> list[GroupRecord]:
    if isinstance(group, ConsumerGroup):
        return list(tombstones(group))
    return [(GroupKey(group.name), None)] if group.since_ms >= 0 else []
