"""Conversion of a group between the protocols while its members run (KIP-848's online migration).

Upgrade: the first member of the newer protocol that joins a classic group of consumers converts it to a
consumer group. The classic members stay with their partitions, and their next heartbeat asks them to join
again. The generation becomes the group's epoch.

Downgrade: when the last member of the newer protocol has left and classic ones stay, they become a classic
group with their partitions, and rebalance.

Both ways need the bytes of Kafka's consumer protocol. A group of another kind keeps its protocol, and so does
one whose assignor uses user data.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from streamcore.errors import CorruptDataError
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.classic_group import ClassicGroup
from streamcore.log.broker.groups.classic_member import Member, chosen_protocol
from streamcore.log.broker.groups.consumer_group import ConsumerGroup
from streamcore.log.broker.groups.consumer_group_member import (
    ClassicTraits,
    ConsumerMember,
    Holding,
    MemberProfile,
)
from streamcore.log.broker.groups.consumer_group_records import GroupEpoch, Kind, MemberTarget, TargetEpoch
from streamcore.log.broker.groups.draft import GroupDraft
from streamcore.log.broker.groups.records import GroupKey, StoredGroup, StoredMember
from streamcore.log.broker.groups.topics import GroupTopics
from streamcore.log.broker.partition_id import PartitionId
from streamcore.log.protocol.consumer_protocol import (
    Subscription,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    has_user_data,
    subscription_version,
)
from streamcore.model import TimestampMs, TopicPartition


def upgrade(group: ClassicGroup, topics: GroupTopics) -> GroupDraft:
    """Return the draft of the consumer group that a classic group becomes.

    Raises:
        Refused: ``GROUP_ID_NOT_FOUND``, as in Kafka: the members are no consumers, or their bytes cannot be
        read.
    """
    draft = GroupDraft(ConsumerGroup(group.name))
    if group.since_ms >= 0:
        draft.records.append((GroupKey(group.name), None))
    if not group.members:
        return draft
    if not group.has_consumers:
        raise ApiError(ErrorName.GROUP_ID_NOT_FOUND, group=group.name, protocol_type=group.protocol_type)
    try:
        profiles = {each.member_id: _profile(group, each) for each in group.members.values()}
        assigned = {each.member_id: decode_assignment(each.assignment) for each in group.members.values()}
        is_custom = any(has_user_data(each.assignment) for each in group.members.values())
    except CorruptDataError as error:
        raise ApiError(ErrorName.GROUP_ID_NOT_FOUND, group=group.name, because=str(error)) from error
    if is_custom:
        raise ApiError(ErrorName.GROUP_ID_NOT_FOUND, group=group.name, protocol=group.protocol)
    topics_hash = topics.hash_of({name for profile in profiles.values() for name in profile.topics})
    draft.put(Kind.EPOCH, GroupEpoch(group.generation, topics_hash))
    draft.put(Kind.TARGET, TargetEpoch(group.generation))
    for member_id, profile in profiles.items():
        # A custom assignor may have given a partition to two members: only one can keep it.
        partitions = partition_ids(assigned[member_id], topics) - draft.group.owners.keys()
        epochs = dict.fromkeys(partitions, group.generation)
        draft.put(Kind.PROFILE, profile, member_id)
        draft.put(Kind.MEMBER_TARGET, MemberTarget(frozenset(partitions)), member_id)
        draft.put(Kind.HOLDING, Holding(group.generation, group.generation, assigned=epochs), member_id)
    return draft


def downgrade(
    group: ConsumerGroup, staying: Collection[ConsumerMember], topics: GroupTopics, now_ms: TimestampMs
) -> StoredGroup:
    """Return the classic generation that members of a consumer group become."""
    members = [(each, _classic_traits(each)) for each in staying]
    protocol = chosen_protocol([_classic_member(each, traits) for each, traits in members])
    return StoredGroup(
        "consumer",
        group.epoch,
        protocol,
        members[0][0].member_id,
        now_ms,
        tuple(
            StoredMember(
                member_id=member.member_id,
                instance_id=member.profile.instance_id,
                client_id=member.profile.client_id,
                client_host=member.profile.client_host,
                rebalance_timeout_ms=member.profile.rebalance_timeout_ms,
                session_timeout_ms=traits.session_timeout_ms,
                subscription=dict(traits.protocols)[protocol],
                assignment=classic_assignment(member, topics),
            )
            for member, traits in members
        ),
    )


def classic_assignment(member: ConsumerMember, topics: GroupTopics) -> bytes:
    """Encode the assignment of a classic member in the version of its own subscription."""
    traits = _classic_traits(member)
    partitions = [
        TopicPartition(name, partition.partition)
        for partition in member.holding.assigned
        if (name := topics.name_of(partition.topic_id)) is not None
    ]
    return encode_assignment(sorted(partitions), version=subscription_version(traits.protocols[0][1]))


def profile_of(subscription: Subscription, before: MemberProfile, member: Member) -> MemberProfile:
    """Convert what a classic member sent to a profile of the newer protocol."""
    return MemberProfile(
        instance_id=member.instance_id or before.instance_id,
        rack=subscription.rack or before.rack,
        client_id=member.client_id,
        client_host=member.client_host,
        topics=tuple(sorted(set(subscription.topics))),
        rebalance_timeout_ms=member.rebalance_timeout_ms,
        assignor=before.assignor,
        classic=ClassicTraits(member.session_timeout_ms, member.protocols),
    )


def partition_ids(partitions: Iterable[TopicPartition], topics: GroupTopics) -> set[PartitionId]:
    """Convert partitions to topic ids, without those of topics that do not exist."""
    return {
        PartitionId(topic_id, partition.partition)
        for partition in partitions
        if (topic_id := topics.id_of(partition.topic)) is not None
    }


def _profile(group: ClassicGroup, member: Member) -> MemberProfile:
    metadata = member.subscription(group.protocol) or member.protocols[0][1]
    return profile_of(decode_subscription(metadata), MemberProfile(), member)


def _classic_traits(member: ConsumerMember) -> ClassicTraits:
    traits = member.profile.classic
    assert traits is not None, f"{member.member_id} does not use the classic protocol"
    return traits


def _classic_member(member: ConsumerMember, traits: ClassicTraits) -> Member:
    profile = member.profile
    return Member(
        member_id=member.member_id,
        instance_id=profile.instance_id,
        client_id=profile.client_id,
        client_host=profile.client_host,
        session_timeout_ms=traits.session_timeout_ms,
        rebalance_timeout_ms=profile.rebalance_timeout_ms,
        protocols=traits.protocols,
        session_deadline_s=0.0,
    )
