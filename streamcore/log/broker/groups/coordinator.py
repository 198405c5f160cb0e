"""Consumer groups and their committed offsets, kept in ``__consumer_offsets``.

A group uses one of two protocols: the classic one, in which a member assigns for all (``classic_group``), or
the newer one, in which the broker does (``consumer_group``). A classic member may join either; the first
member of the newer protocol converts a classic group of consumers, with its members. This module finds the
group of a request; the modules beside it carry the request out.

What a crash leaves: a committed offset is there if its record was durable, and it is the last one
acknowledged or a later one. A classic group is there with its last stored generation, a consumer group as its
members were last told; the members have one session to show that they are alive. Members in the process
itself are removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from streamcore.clock import Clock
from streamcore.errors import InvalidRecordError, StorageError
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.classic_group import ClassicGroup
from streamcore.log.broker.groups.classic_memberships import ClassicMemberships
from streamcore.log.broker.groups.classic_states import JoinRules
from streamcore.log.broker.groups.consumer_group import ConsumerGroup, tombstones
from streamcore.log.broker.groups.consumer_memberships import ConsumerMemberships, ConsumerTimes
from streamcore.log.broker.groups.descriptions import describe_group, summarize_group
from streamcore.log.broker.groups.draft import GroupRecord
from streamcore.log.broker.groups.mixed_memberships import MixedMemberships
from streamcore.log.broker.groups.offsets import TOPIC, FetchedOffsets, GroupOffsets
from streamcore.log.broker.groups.records import GroupKey
from streamcore.log.broker.groups.store import Group, GroupStore
from streamcore.log.broker.groups.topics import GroupTopics, TopicSource
from streamcore.log.broker.internal_topic import InternalTopic
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.requests import (
    ConsumerHeartbeat,
    ConsumerHeartbeatReply,
    GroupDescription,
    JoinReply,
    JoinRequest,
    Leaving,
    ProducerIdentity,
    SyncReply,
    SyncRequest,
)
from streamcore.log.broker.settings import BrokerSettings
from streamcore.model import CommittedOffset, Membership, ProducerId, TopicName, TopicPartition

__all__ = ["TOPIC", "GroupCoordinator"]

_UNKNOWN: Final = ErrorName.UNKNOWN_MEMBER_ID
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
        self._offsets = GroupOffsets(self._store, self.topics, settings)
        self._classic = ClassicMemberships(self._store, settings)
        self._consumers = ConsumerMemberships(self._store, self.topics, settings, times)
        self._mixed = MixedMemberships(self._store, self.topics, self._consumers, settings)

    # --- committed offsets --------------------------------------------------------------------

    def committed(
        self, group: str, partitions: Sequence[TopicPartition] | None
    ) -> Operation[dict[TopicPartition, CommittedOffset]]:
        """Return the group's committed offsets once they are durable and no open transaction can change them.

        Raises:
            Refused: ``UNSTABLE_OFFSET_COMMIT`` if that takes too long.
        """
        return self._offsets.committed(group, partitions)

    def fetch_offsets(
        self, group: str, *, member_id: str | None = None, epoch: int = -1
    ) -> Operation[FetchedOffsets]:
        """Return the group's committed offsets, and the partitions that an open transaction may change."""
        return self._offsets.fetch(group, member_id=member_id, epoch=epoch)

    def commit_offsets(
        self,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        membership: Membership | None = None,
        *,
        knows_epochs: bool = False,
    ) -> Operation[None]:
        """Commit offsets, durably. ``knows_epochs``: the client knows the newer protocol."""
        self._ensure_short(group)
        if membership is None:
            self._ensure_named(group)  # Kafka's own clients may commit for a group without a name
        yield from self._offsets.commit(group, offsets, membership, knows_epochs=knows_epochs)

    def append_in_transaction(
        self,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        identity: ProducerIdentity,
        membership: Membership | None,
    ) -> None:
        """Append offsets as part of a producer's open transaction; they are pending until its marker."""
        self._offsets.append_in_transaction(group, offsets, identity, membership)

    def is_too_long(self, committed: CommittedOffset) -> bool:
        """Whether an offset's metadata is longer than allowed."""
        return self._offsets.is_too_long(committed)

    def partition_for(self, group: str) -> TopicPartition:
        """Return the partition of the group's records; create the topic if needed."""
        return self._store.topic.log_for(group).topic_partition

    def on_marker(self, partition: TopicPartition, producer_id: ProducerId, is_commit: bool) -> None:
        """Decide the offsets of a producer's transaction in a partition."""
        self._offsets.on_marker(partition, producer_id, is_commit)

    def delete_offsets(self, group: str, partitions: Sequence[TopicPartition]) -> Operation[None]:
        """Delete committed offsets of topics that no member subscribes to."""
        self._ensure_named(group)
        yield from self._offsets.delete(group, partitions)

    def forget_topic(self, topic: TopicName) -> None:
        """Delete all groups' committed offsets of a deleted topic."""
        self._offsets.forget_topic(topic)

    # --- the classic protocol -----------------------------------------------------------------

    def join(self, request: JoinRequest) -> Operation[JoinReply]:
        """Join the group's next generation; wait for the other members."""
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
        """Return the member's assignment; the leader's call stores the assignments of all first."""
        group = self._group_with_members(request.group)
        if isinstance(group, ConsumerGroup):
            return (yield from self._mixed.sync(request, group))
        return (yield from self._classic.sync(request, group))

    def heartbeat(self, name: str, membership: Membership) -> Operation[None]:
        """Renew the member's session."""
        group = self._group_with_members(name)
        if isinstance(group, ConsumerGroup):
            self._mixed.heartbeat(membership, group)
        else:
            self._classic.heartbeat(membership, group)
        yield from ()

    def leave_all(self, name: str, leaving: Sequence[Leaving]) -> Operation[list[ErrorName | None]]:
        """Remove members at once; return the refusal for each that could not be removed."""
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
            raise ApiError(refusal, group=group, member_id=member_id)

    # --- the newer protocol -------------------------------------------------------------------

    def consumer_heartbeat(self, request: ConsumerHeartbeat) -> Operation[ConsumerHeartbeatReply]:
        """Join, stay or leave as a member of the newer protocol."""
        self._ensure_short(request.group, request.member_id, request.instance_id, request.rack)
        return (yield from self._consumers.heartbeat(request))

    # --- groups as a whole --------------------------------------------------------------------

    def names(self) -> list[str]:
        """Return the groups that have members or committed offsets, sorted."""
        return sorted(self._store.names())

    def group(self, name: str) -> Group | None:
        """Return a group for reading; ``None`` if there is none, or only committed offsets."""
        return self._store.groups.get(name)

    def summary(self, name: str) -> GroupDescription:
        """Return kind and state of one of the ``names``."""
        return summarize_group(name, self._store.groups.get(name))

    def describe(self, name: str) -> GroupDescription:
        """Return the description of a group."""
        has_offsets = self._store.offsets.has(name)
        return describe_group(name, self._store.groups.get(name), self.topics, has_offsets=has_offsets)

    def delete(self, name: str) -> Operation[None]:
        """Delete a group without members, and its committed offsets."""
        group = self._store.groups.get(name)
        if group is None and not self._store.offsets.has(name):
            raise ApiError(ErrorName.GROUP_ID_NOT_FOUND, group=name)
        if group is not None and group.members:
            raise ApiError(ErrorName.NON_EMPTY_GROUP, group=name)
        self._offsets.forget(name, sorted(self._store.offsets.partitions(name)))
        if group is not None:
            self._store.forget(name, _tombstones(group))
        yield self._store.topic.written(name)

    # --- time and restarts --------------------------------------------------------------------

    def expire_members(self) -> None:
        """Remove members whose session has ended; complete rebalances whose time is over."""
        now_s = self._store.clock.monotonic_s()
        for name in self._store.deadlines.take_due(now_s):
            try:
                self._expire(self._store.groups.get(name))
            except (StorageError, InvalidRecordError):
                # Writers to the partition get the error. Other groups continue; this one is retried later.
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
        """The time at which ``expire_members`` may have work; infinity for never."""
        return self._store.deadlines.next_s

    def expire_offsets(self) -> None:
        """Delete committed offsets that were not used for long, and then groups without any."""
        self._offsets.expire()
        old_ms = self._store.clock.now_ms() - self._settings.unused_group_ms
        for name, group in list(self._store.groups.items()):
            if _is_empty(group) and _empty_since_ms(group) < old_ms and not self._store.offsets.has(name):
                self._store.forget(name, _tombstones(group))

    def load(self) -> None:
        """Replay ``__consumer_offsets``."""
        self._store.load()

    def recover(self) -> None:
        """After ``load``: remove members of the process that ended; begin a session for the others."""
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
            raise ApiError(_UNKNOWN, group=name)
        return group

    def _ensure_may_join(self, request: JoinRequest) -> None:
        self._ensure_named(request.group)
        self._ensure_short(request.group, request.member_id, request.instance_id, request.client_id)
        settings, asked_ms = self._settings, request.session_timeout_ms
        if not settings.session_timeout_ms_min <= asked_ms <= settings.session_timeout_ms_max:
            raise ApiError(
                ErrorName.INVALID_SESSION_TIMEOUT,
                session_timeout_ms=asked_ms,
                min_ms=settings.session_timeout_ms_min,
                max_ms=settings.session_timeout_ms_max,
            )

    def _ensure_named(self, group: str) -> None:
        if not group:
            raise ApiError(ErrorName.INVALID_GROUP_ID)

    def _ensure_short(self, *names: str | None) -> None:
        limit = self._settings.group_id_bytes_max
        for name in names:
            if name is not None and len(name.encode()) > limit:
                raise ApiError(ErrorName.INVALID_GROUP_ID, bytes=len(name.encode()), bytes_max=limit)


def _is_empty(group: Group) -> bool:
    return group.is_empty if isinstance(group, ClassicGroup) else not group.members


def _empty_since_ms(group: Group) -> int:
    return group.since_ms if isinstance(group, ClassicGroup) else group.empty_since_ms


def _tombstones(group: Group) -> list[GroupRecord]:
    if isinstance(group, ConsumerGroup):
        return list(tombstones(group))
    return [(GroupKey(group.name), None)] if group.since_ms >= 0 else []
