"""Consumer groups and their committed positions, kept in ``__consumer_offsets``.

Positions inside a transaction are appended as the producer's transactional records, so that the
marker which makes its data visible makes its positions count, in one decision. ``on_marker`` is
told of the markers that the transaction coordinator writes into this topic.

What a crash leaves: a position is there if its record was durable, and then it was the last one
acknowledged or a later one; a group is there with its last stored generation, and its members have
a session's time to show that they still live. Members in this very process do not: they died with it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from streamcore.clock import Clock
from streamcore.log.broker.committed_offsets import CommittedOffsets
from streamcore.log.broker.group import Group, GroupState
from streamcore.log.broker.group_records import (
    GroupKey,
    PositionKey,
    StoredGroup,
    StoredPosition,
    decode_group,
    decode_key,
    decode_position,
    encode_group,
    encode_group_key,
    encode_position,
    encode_position_key,
)
from streamcore.log.broker.internal_topic import InternalTopic, ReplayedMarker
from streamcore.log.broker.operations import Kept, Operation, Promise
from streamcore.log.broker.refusals import Refusal, Refused
from streamcore.log.broker.requests import (
    IN_PROCESS_HOST,
    GroupDescription,
    JoinReply,
    JoinRequest,
    Membership,
    ProducerIdentity,
    SyncReply,
    SyncRequest,
)
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.broker.stored_fields import FieldReader
from streamcore.log.records.batch import NO_PRODUCER_ID
from streamcore.model import CommittedPosition, ProducerId, TopicName, TopicPartition

TOPIC: Final = "__consumer_offsets"
_FOR_EVER_S: Final = float("inf")

R = TypeVar("R")


class GroupCoordinator:
    """All groups of a log."""

    def __init__(self, topic: InternalTopic, clock: Clock, settings: BrokerSettings) -> None:
        self._topic = topic
        self._clock = clock
        self._settings = settings
        self._groups: dict[str, Group] = {}
        self._offsets = CommittedOffsets()
        self._decided: Promise[object] = Promise()

    # --- positions ----------------------------------------------------------------------------

    def committed(
        self, group: str, partitions: Sequence[TopicPartition] | None
    ) -> Operation[dict[TopicPartition, CommittedPosition]]:
        """The group's positions, once no open transaction can move them any more, and durable.

        Raises:
            Refused: ``UNSTABLE_OFFSET_COMMIT``, if that takes too long.
        """
        deadline_s = self._clock.monotonic_s() + self._settings.unstable_wait_ms / 1000
        while self._offsets.is_unstable(group, partitions):
            if self._clock.monotonic_s() >= deadline_s:
                raise Refused(Refusal.UNSTABLE_OFFSET_COMMIT, group=group)
            waited_for = self._decided
            yield Kept(waited_for, deadline_s)
            if not waited_for.is_kept:
                raise Refused(Refusal.UNSTABLE_OFFSET_COMMIT, group=group)
        found = self._offsets.positions(group)
        yield self._topic.written(group)
        return {
            partition: found[partition].position
            for partition in (found if partitions is None else partitions)
            if partition in found
        }

    def commit_positions(
        self,
        group: str,
        positions: Mapping[TopicPartition, CommittedPosition],
        membership: Membership | None = None,
    ) -> Operation[None]:
        """Commit positions, durably."""
        self._ensure_named(group)
        self._ensure_short(positions)
        known = self._groups.get(group)
        if known is not None:
            known.ensure_may_commit(membership, self._clock.monotonic_s())
        elif membership is not None and membership.generation >= 0:
            raise Refused(Refusal.ILLEGAL_GENERATION, group=group)
        if positions:
            self._append_positions(group, positions)
            yield self._topic.written(group)

    def append_in_transaction(
        self,
        group: str,
        positions: Mapping[TopicPartition, CommittedPosition],
        identity: ProducerIdentity,
        membership: Membership | None,
    ) -> None:
        """Write positions as part of a producer's open transaction; pending until its marker."""
        self._ensure_short(positions)
        if membership is not None and membership.generation >= 0:
            known = self._groups.get(group)
            if known is None:
                raise Refused(Refusal.UNKNOWN_MEMBER_ID, group=group)
            known.ensure_may_commit(membership, self._clock.monotonic_s())
        if positions:
            self._append_positions(group, positions, identity)

    def partition_for(self, group: str) -> TopicPartition:
        """Where the group's records are; the topic exists after this."""
        self._ensure_named(group)
        return self._topic.log_for(group).topic_partition

    def on_marker(self, partition: TopicPartition, producer_id: ProducerId, is_commit: bool) -> None:
        """A producer's transaction has ended in a partition; positions in it are decided."""
        if partition.topic == TOPIC:
            self._offsets.replay_marker(producer_id, is_commit)
            decided, self._decided = self._decided, Promise()
            decided.keep(None)

    def _append_positions(
        self,
        group: str,
        positions: Mapping[TopicPartition, CommittedPosition],
        identity: ProducerIdentity | None = None,
    ) -> None:
        now_ms = self._clock.now_ms()
        stored = {partition: StoredPosition(position, now_ms) for partition, position in positions.items()}
        producer_id = NO_PRODUCER_ID if identity is None else identity.producer_id
        at = self._topic.append(
            group,
            [
                (encode_position_key(group, partition), encode_position(each))
                for partition, each in stored.items()
            ],
            producer_id=producer_id,
            producer_epoch=-1 if identity is None else identity.epoch,
        )
        for index, (partition, each) in enumerate(stored.items()):
            self._offsets.replay(group, partition, each, at=at + index, producer_id=producer_id)

    def _forget_positions(self, group: str, partitions: Sequence[TopicPartition]) -> None:
        if not partitions:
            return
        at = self._topic.append(
            group, [(encode_position_key(group, partition), None) for partition in partitions]
        )
        for index, partition in enumerate(partitions):
            self._offsets.replay(group, partition, None, at=at + index)

    def delete_positions(self, group: str, partitions: Sequence[TopicPartition]) -> Operation[None]:
        """Forget positions in topics that no member subscribes to."""
        known = self._groups.get(group)
        in_use = set() if known is None else subscribed_topics(known)
        if used := sorted({each.topic for each in partitions if in_use is None or each.topic in in_use}):
            raise Refused(Refusal.GROUP_SUBSCRIBED_TO_TOPIC, group=group, topics=",".join(used))
        if self._offsets.is_unstable(group, partitions):
            raise Refused(Refusal.UNSTABLE_OFFSET_COMMIT, group=group)
        present = self._offsets.positions(group)
        self._forget_positions(group, [each for each in partitions if each in present])
        yield self._topic.written(group)

    def forget_topic(self, topic: TopicName) -> None:
        """Forget every group's positions in a topic that was deleted: a new one starts anew."""
        for group in self._offsets.groups():
            self._forget_positions(
                group, [each for each in self._offsets.positions(group) if each.topic == topic]
            )

    def _ensure_short(self, positions: Mapping[TopicPartition, CommittedPosition]) -> None:
        limit = self._settings.position_metadata_bytes_max
        for partition, position in positions.items():
            if len(position.metadata.encode()) > limit:
                raise Refused(Refusal.OFFSET_METADATA_TOO_LARGE, partition=partition, limit_bytes=limit)

    # --- membership ---------------------------------------------------------------------------

    def join(self, request: JoinRequest) -> Operation[JoinReply]:
        """Take part in the group's next generation; waits for the other members."""
        self._ensure_may_join(request)
        now_s = self._clock.monotonic_s()
        group = self._groups.get(request.group)
        if group is None:
            if request.member_id:
                raise Refused(Refusal.UNKNOWN_MEMBER_ID, group=request.group, member_id=request.member_id)
            group = self._groups[request.group] = Group(request.group)
        new_id = f"{request.instance_id or request.client_id or 'member'}-{uuid.uuid4()}"
        is_new = not request.member_id and request.instance_id not in group.instances
        if is_new and len(group.members) + len(group.promised_ids) >= self._settings.group_size_max:
            raise Refused(Refusal.GROUP_MAX_SIZE_REACHED, group=request.group)
        if is_new and request.is_member_id_required and request.instance_id is None:
            group.promise_id(new_id, now_s + request.session_timeout_ms / 1000)
            raise Refused(Refusal.MEMBER_ID_REQUIRED, group=request.group, member_id=new_id)
        delay_s = self._settings.initial_rebalance_delay_ms / 1000
        promise = group.join(request, new_id, now_s, delay_s)
        self._save_if_changed(group)
        return (yield from _kept(promise, request.group))

    def sync(self, request: SyncRequest) -> Operation[SyncReply]:
        """Get the member's assignment; the leader's call brings everybody's, and stores it first."""
        group = self._member_group(request.group)
        promise = group.sync(request.membership)
        if group.awaits_assignment_by(request.membership.member_id):
            stored = group.assigned(request.assignments, self._clock.now_ms())
            self._store(group, stored)
            yield self._topic.written(group.name)
            group.take_assignment(stored, self._clock.monotonic_s())
        return (yield from _kept(promise, request.group))

    def heartbeat(self, group: str, membership: Membership) -> Operation[None]:
        """Keep the member's session."""
        self._member_group(group).heartbeat(membership, self._clock.monotonic_s())
        yield from ()

    def leave(self, group: str, member_id: str, instance_id: str | None = None) -> Operation[None]:
        """Remove a member at once."""
        known = self._member_group(group)
        known.leave(member_id, instance_id, self._clock.monotonic_s())
        self._save_if_changed(known)
        yield from ()

    def _ensure_may_join(self, request: JoinRequest) -> None:
        self._ensure_named(request.group)
        settings = self._settings
        if (
            not settings.session_timeout_ms_min
            <= request.session_timeout_ms
            <= settings.session_timeout_ms_max
        ):
            raise Refused(
                Refusal.INVALID_SESSION_TIMEOUT,
                session_timeout_ms=request.session_timeout_ms,
                min_ms=settings.session_timeout_ms_min,
                max_ms=settings.session_timeout_ms_max,
            )
        size_bytes = sum(len(metadata) for _, metadata in request.protocols)
        if size_bytes > settings.group_member_bytes_max:
            raise Refused(Refusal.INVALID_REQUEST, group=request.group, subscription_bytes=size_bytes)

    def _ensure_named(self, group: str) -> None:
        if not group:
            raise Refused(Refusal.INVALID_GROUP_ID)

    def _member_group(self, name: str) -> Group:
        group = self._groups.get(name)
        if group is None:
            raise Refused(Refusal.UNKNOWN_MEMBER_ID, group=name)
        return group

    # --- groups as a whole --------------------------------------------------------------------

    def names(self) -> list[str]:
        """Groups with members or positions, sorted."""
        return sorted(self._offsets.groups().union(self._groups))

    def describe(self, name: str) -> GroupDescription:
        """A group, for people."""
        group = self._groups.get(name)
        if group is not None:
            return group.describe()
        state = GroupState.EMPTY if name in self._offsets.groups() else GroupState.DEAD
        return GroupDescription(name, state.value)

    def delete(self, name: str) -> Operation[None]:
        """Delete a group that has no members, with its positions."""
        group = self._groups.get(name)
        if group is None and name not in self._offsets.groups():
            raise Refused(Refusal.GROUP_ID_NOT_FOUND, group=name)
        if group is not None and (group.members or group.promised_ids):
            raise Refused(Refusal.NON_EMPTY_GROUP, group=name)
        if self._offsets.is_unstable(name, None):
            raise Refused(Refusal.UNSTABLE_OFFSET_COMMIT, group=name)
        self._forget_positions(name, list(self._offsets.positions(name)))
        self._forget_group(name)
        yield self._topic.written(name)

    def _forget_group(self, name: str) -> None:
        if name in self._groups:
            self._topic.append(name, [(encode_group_key(name), None)])
            del self._groups[name]

    def _save_if_changed(self, group: Group) -> None:
        if group.is_unsaved:
            group.is_unsaved = False
            self._store(group, group.stored(self._clock.now_ms()))

    def _store(self, group: Group, stored: StoredGroup) -> None:
        group.since_ms = stored.since_ms
        self._topic.append(group.name, [(encode_group_key(group.name), encode_group(stored))])

    # --- time and restarts --------------------------------------------------------------------

    def expire_members(self) -> None:
        """Remove members whose time is over, and go on with rebalances that lasted too long."""
        now_s = self._clock.monotonic_s()
        for group in list(self._groups.values()):
            if group.next_deadline_s() <= now_s:
                group.expire(now_s)
                self._save_if_changed(group)

    def next_deadline_s(self) -> float:
        """When ``expire_members`` may have something to do; infinity if never."""
        return min((group.next_deadline_s() for group in self._groups.values()), default=_FOR_EVER_S)

    def expire_positions(self) -> None:
        """Forget positions that nobody has used for long, and then groups without any."""
        retention_ms = self._settings.offsets_retention_ms
        if retention_ms is None:
            return
        old_ms = self._clock.now_ms() - retention_ms
        for name in self.names():
            if self._offsets.is_unstable(name, None):
                continue
            positions = self._offsets.positions(name)
            old = [
                partition
                for partition, stored in positions.items()
                if self._is_unused_since(self._groups.get(name), partition, stored, old_ms)
            ]
            self._forget_positions(name, old)
            group = self._groups.get(name)
            is_empty = group is not None and not group.members and not group.promised_ids
            if is_empty and group is not None and len(old) == len(positions) and group.since_ms < old_ms:
                self._forget_group(name)

    def _is_unused_since(
        self, group: Group | None, partition: TopicPartition, stored: StoredPosition, old_ms: int
    ) -> bool:
        if stored.committed_ms >= old_ms:
            return False
        if group is None:
            return True
        if not group.members:
            return group.since_ms < old_ms
        topics = subscribed_topics(group)
        return topics is not None and partition.topic not in topics

    def load(self) -> None:
        """Replay ``__consumer_offsets``."""
        now_s = self._clock.monotonic_s()
        for entry in self._topic.replay():
            if isinstance(entry, ReplayedMarker):
                self._offsets.replay_marker(entry.producer_id, entry.is_commit)
                continue
            match decode_key(entry.key):
                case PositionKey(group, partition):
                    stored = None if entry.value is None else decode_position(entry.value)
                    self._offsets.replay(
                        group, partition, stored, at=entry.offset, producer_id=entry.producer_id
                    )
                case GroupKey(name):
                    self._replay_group(name, entry.value, now_s)
                case None:
                    pass

    def _replay_group(self, name: str, value: bytes | None, now_s: float) -> None:
        if value is None:
            self._groups.pop(name, None)
        else:
            self._groups.setdefault(name, Group(name)).replay(decode_group(value), now_s)

    def recover(self) -> None:
        """After ``load``: members that lived in the process that ended are gone."""
        now_s = self._clock.monotonic_s()
        for group in self._groups.values():
            group.remove(
                [each for each in group.members.values() if each.client_host == IN_PROCESS_HOST], now_s
            )
            self._save_if_changed(group)


def subscribed_topics(group: Group) -> set[TopicName] | None:
    """The topics that a group's members subscribe to; ``None`` if they do not say it in Kafka's way.

    Subscription := version int16 | count int32 | topic string * | …
    """
    if group.protocol_type != "consumer":
        return None if group.members else set()
    topics: set[TopicName] = set()
    for member in group.members.values():
        reader = FieldReader(member.subscription(group.protocol) or member.protocols[0][1])
        reader.int16()
        topics.update(reader.string() for _ in range(reader.count()))
    return topics


def _kept(promise: Promise[R | Refusal], group: str) -> Operation[R]:
    """Wait for a promise and unpack it."""
    while not promise.is_kept:
        yield Kept(promise, _FOR_EVER_S)
    reply = promise.reply
    if isinstance(reply, Refusal):
        raise Refused(reply, group=group)
    assert reply is not None
    return reply
