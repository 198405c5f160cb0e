"""Committed offsets of groups: written, returned, and deleted when they are not used.

Offsets in a transaction are appended as the producer's transactional records, so the marker that makes its
data visible also makes its offsets count, in one decision. ``on_marker`` is called for the markers that the
transaction coordinator writes into this topic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from streamcore.errors import CorruptDataError
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.classic_group import ClassicGroup
from streamcore.log.broker.groups.classic_states import GroupState
from streamcore.log.broker.groups.consumer_group import ConsumerGroup
from streamcore.log.broker.groups.migration import partition_ids
from streamcore.log.broker.groups.records import StoredOffset, encode_offset, encode_offset_key
from streamcore.log.broker.groups.store import Group, GroupStore
from streamcore.log.broker.groups.topics import GroupTopics
from streamcore.log.broker.operations import Completed, Operation, OperationFuture
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.protocol.consumer_protocol import decode_subscription
from streamcore.log.records.batch import NO_PRODUCER_ID
from streamcore.model import CommittedOffset, Membership, ProducerId, TopicName, TopicPartition

TOPIC: Final = "__consumer_offsets"


class FetchedOffsets(Struct, frozen=True):
    """A group's committed offsets, and those that an open transaction may still change."""

    found: Mapping[TopicPartition, CommittedOffset]
    unstable: frozenset[TopicPartition]


class GroupOffsets:
    """Committed offsets of all groups."""

    def __init__(self, store: GroupStore, topics: GroupTopics, settings: BrokerSettings) -> None:
        self._store = store
        self._topics = topics
        self._settings = settings
        self._decided: OperationFuture[object] = OperationFuture()

    # --- told ---------------------------------------------------------------------------------

    def committed(
        self, group: str, partitions: Sequence[TopicPartition] | None
    ) -> Operation[dict[TopicPartition, CommittedOffset]]:
        """Return the group's committed offsets once they are durable and no open transaction can change them.

        Raises:
            Refused: ``UNSTABLE_OFFSET_COMMIT`` if that takes too long.
        """
        clock, offsets = self._store.clock, self._store.offsets
        deadline_s = clock.monotonic_s() + self._settings.unstable_wait_ms / 1000
        while offsets.is_unstable(group, partitions):
            if clock.monotonic_s() >= deadline_s:
                raise ApiError(ErrorName.UNSTABLE_OFFSET_COMMIT, group=group)
            waited_for = self._decided
            yield Completed(waited_for, deadline_s)
            if not waited_for.is_done:
                raise ApiError(ErrorName.UNSTABLE_OFFSET_COMMIT, group=group)
        found = offsets.of_group(group)
        yield self._store.topic.written(group)
        return {
            partition: found[partition].committed
            for partition in (found if partitions is None else partitions)
            if partition in found
        }

    def fetch(
        self, group: str, *, member_id: str | None = None, epoch: int = -1
    ) -> Operation[FetchedOffsets]:
        """Return the group's committed offsets, durable, and the partitions whose offset is not stable.

        Raises:
            Refused: the group does not know the named member at this epoch.
        """
        known = self._store.groups.get(group)
        if isinstance(known, ConsumerGroup):
            known.ensure_may_fetch(member_id, epoch)
        offsets = self._store.offsets
        found = {partition: stored.committed for partition, stored in offsets.of_group(group).items()}
        unstable = frozenset(offsets.pending(group))
        yield self._store.topic.written(group)
        return FetchedOffsets(found, unstable)

    # --- taken in -----------------------------------------------------------------------------

    def commit(
        self,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        membership: Membership | None,
        *,
        knows_epochs: bool = False,
    ) -> Operation[None]:
        """Commit offsets, durably; ``knows_epochs`` as for ``ConsumerGroup.ensure_may_commit``."""
        known = self._store.groups.get(group)
        match known:
            case ClassicGroup():
                known.ensure_may_commit(membership, self._store.clock.monotonic_s())
                self._store.watch(known)
            case ConsumerGroup():
                self._ensure_consumer_may_commit(known, membership, offsets, knows_epochs)
            case None if membership is not None and membership.generation >= 0:
                if self._store.offsets.has(group):
                    raise ApiError(ErrorName.UNKNOWN_MEMBER_ID, group=group, member_id=membership.member_id)
                raise ApiError(
                    ErrorName.GROUP_ID_NOT_FOUND if knows_epochs else ErrorName.ILLEGAL_GENERATION,
                    group=group,
                )
            case None:
                self._store.ensure_room(group)
        self._ensure_short(offsets)
        if offsets:
            self._append(group, offsets)
            yield self._store.topic.written(group)

    def append_in_transaction(
        self,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        identity: ProducerIdentity,
        membership: Membership | None,
    ) -> None:
        """Append offsets as part of a producer's open transaction; they are pending until its marker."""
        known = self._store.groups.get(group)
        match known:
            case ClassicGroup() if membership is not None:
                known.ensure_may_commit(membership, self._store.clock.monotonic_s(), is_transactional=True)
                self._store.watch(known)
            case ConsumerGroup() if membership is not None:
                partitions = dict.fromkeys(partition_ids(offsets, self._topics))
                known.ensure_may_commit(membership, partitions, is_transactional=True, knows_epochs=True)
            case None if membership is not None and membership.generation >= 0:
                raise ApiError(ErrorName.ILLEGAL_GENERATION, group=group)
            case _:
                self._store.ensure_room(group)
        self._ensure_short(offsets)
        if offsets:
            self._append(group, offsets, identity)

    def is_too_long(self, committed: CommittedOffset) -> bool:
        """Whether an offset's metadata is longer than allowed."""
        return len(committed.metadata) > self._settings.position_metadata_length_max

    def on_marker(self, partition: TopicPartition, producer_id: ProducerId, is_commit: bool) -> None:
        """Decide the offsets of a producer's transaction in a partition."""
        if partition.topic == TOPIC:
            self._store.offsets.replay_marker(producer_id, is_commit)
            decided, self._decided = self._decided, OperationFuture()
            decided.keep(None)

    def _ensure_consumer_may_commit(
        self,
        group: ConsumerGroup,
        membership: Membership | None,
        offsets: Mapping[TopicPartition, CommittedOffset],
        knows_epochs: bool,
    ) -> None:
        if membership is not None:
            partitions = dict.fromkeys(partition_ids(offsets, self._topics))
            group.ensure_may_commit(membership, partitions, is_transactional=False, knows_epochs=knows_epochs)
        elif group.members:
            raise ApiError(ErrorName.NON_EMPTY_GROUP, group=group.name)

    def _ensure_short(self, offsets: Mapping[TopicPartition, CommittedOffset]) -> None:
        for partition, committed in offsets.items():
            if self.is_too_long(committed):
                raise ApiError(
                    ErrorName.OFFSET_METADATA_TOO_LARGE,
                    partition=partition,
                    length_max=self._settings.position_metadata_length_max,
                )

    def _append(
        self,
        group: str,
        offsets: Mapping[TopicPartition, CommittedOffset],
        identity: ProducerIdentity | None = None,
    ) -> None:
        now_ms = self._store.clock.now_ms()
        stored = {partition: StoredOffset(committed, now_ms) for partition, committed in offsets.items()}
        producer_id = NO_PRODUCER_ID if identity is None else identity.producer_id
        at = self._store.topic.append(
            group,
            [
                (encode_offset_key(group, partition), encode_offset(each))
                for partition, each in stored.items()
            ],
            producer_id=producer_id,
            producer_epoch=-1 if identity is None else identity.epoch,
        )
        for index, (partition, each) in enumerate(stored.items()):
            self._store.offsets.replay(group, partition, each, at=at + index, producer_id=producer_id)

    # --- forgotten ----------------------------------------------------------------------------

    def delete(self, group: str, partitions: Sequence[TopicPartition]) -> Operation[None]:
        """Delete committed offsets of topics that no member subscribes to."""
        known = self._store.groups.get(group)
        if known is None and not self._store.offsets.has(group):
            raise ApiError(ErrorName.GROUP_ID_NOT_FOUND, group=group)
        if isinstance(known, ClassicGroup) and known.members and not known.has_consumers:
            raise ApiError(ErrorName.NON_EMPTY_GROUP, group=group)
        if used := sorted({each.topic for each in partitions if _subscribes(known, each.topic)}):
            raise ApiError(ErrorName.GROUP_SUBSCRIBED_TO_TOPIC, group=group, topics=",".join(used))
        present = self._store.offsets.partitions(group)
        self.forget(group, [each for each in partitions if each in present])
        yield self._store.topic.written(group)

    def forget(self, group: str, partitions: Sequence[TopicPartition]) -> None:
        """Append the tombstones of these offsets."""
        if not partitions:
            return
        at = self._store.topic.append(
            group, [(encode_offset_key(group, partition), None) for partition in partitions]
        )
        for index, partition in enumerate(partitions):
            self._store.offsets.replay(group, partition, None, at=at + index)

    def forget_topic(self, topic: TopicName) -> None:
        """Delete all groups' committed offsets of a deleted topic."""
        offsets = self._store.offsets
        for group in offsets.groups():
            self.forget(group, sorted(each for each in offsets.partitions(group) if each.topic == topic))

    def expire(self) -> None:
        """Delete committed offsets that were not used for long."""
        retention_ms = self._settings.offsets_retention_ms
        if retention_ms is None:
            return
        old_ms = self._store.clock.now_ms() - retention_ms
        for name in sorted(self._store.offsets.groups()):
            if self._store.offsets.is_unstable(name, None):
                continue
            group = self._store.groups.get(name)
            stored_offsets = self._store.offsets.of_group(name)
            self.forget(
                name,
                [each for each, stored in stored_offsets.items() if _is_old(group, each, stored, old_ms)],
            )


def _is_old(group: Group | None, partition: TopicPartition, stored: StoredOffset, old_ms: int) -> bool:
    """Whether an offset was not used since a time."""
    if stored.committed_ms >= old_ms:
        return False
    if isinstance(group, ClassicGroup):
        if not group.members:
            # The age counts from the time at which the last member left, however old the commit is.
            return group.since_ms < old_ms
        if group.state is not GroupState.STABLE or not group.has_consumers:
            return False
    return not _subscribes(group, partition.topic)


def _subscribes(group: Group | None, topic: TopicName) -> bool:
    """Whether members of a group subscribe to a topic, or may do so in bytes that are not known here."""
    match group:
        case ConsumerGroup():
            return topic in group.subscribed_topics()
        case ClassicGroup() if group.members and group.has_consumers:
            topics = _subscribed_topics(group)
            return topics is None or topic in topics
    return False


def _subscribed_topics(group: ClassicGroup) -> set[TopicName] | None:
    """Return the topics that a classic group's consumers subscribe to; ``None`` if unreadable."""
    try:
        return {
            topic
            for member in group.members.values()
            for topic in decode_subscription(
                member.subscription(group.protocol) or member.protocols[0][1]
            ).topics
        }
    except CorruptDataError:
        return None
