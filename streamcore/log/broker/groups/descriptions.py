"""Descriptions of groups, as admin clients and tools show them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from streamcore.log.broker.groups.classic_group import ClassicGroup
from streamcore.log.broker.groups.classic_states import GroupState
from streamcore.log.broker.groups.consumer_group import ConsumerGroup
from streamcore.log.broker.groups.consumer_group_member import ConsumerMember
from streamcore.log.broker.groups.store import Group
from streamcore.log.broker.groups.topics import GroupTopics
from streamcore.log.broker.partition_id import PartitionId
from streamcore.log.broker.requests import GroupDescription, MemberDescription
from streamcore.log.protocol.consumer_protocol import (
    Subscription,
    encode_assignment,
    encode_subscription,
)
from streamcore.model import TopicPartition

CONSUMER: Final = "consumer"
"""Kafka's name for the newer protocol, and for the type of members that both protocols serve."""
_DEAD: Final = "Dead"


def describe_group(
    name: str, group: Group | None, topics: GroupTopics, *, has_offsets: bool
) -> GroupDescription:
    """Describe a group; a group that does not exist has the state ``Dead``."""
    match group:
        case ClassicGroup():
            return _describe_classic(group)
        case ConsumerGroup():
            return _describe_consumer(group, topics)
        case None:
            return GroupDescription(name, GroupState.EMPTY.value if has_offsets else _DEAD)


def summarize_group(name: str, group: Group | None) -> GroupDescription:
    """Describe a group without its members; one that has only committed offsets is an empty classic one."""
    match group:
        case ClassicGroup():
            return GroupDescription(name, group.state.value, group.protocol_type)
        case ConsumerGroup():
            return GroupDescription(name, group.state.value, CONSUMER, kind=CONSUMER)
        case None:
            return GroupDescription(name, GroupState.EMPTY.value)


def named_partitions(partitions: Iterable[PartitionId], topics: GroupTopics) -> list[TopicPartition]:
    """Return partitions by the names of their topics, without those of deleted topics."""
    return sorted(
        TopicPartition(name, partition.partition)
        for partition in partitions
        if (name := topics.name_of(partition.topic_id)) is not None
    )


def _describe_classic(group: ClassicGroup) -> GroupDescription:
    """Show subscriptions once the members agree on them, and assignments until the next ones."""
    is_stable = group.state is GroupState.STABLE
    return GroupDescription(
        group.name,
        group.state.value,
        group.protocol_type,
        group.protocol if is_stable else "",
        group.generation,
        group.leader_id,
        tuple(
            MemberDescription(
                each.member_id,
                each.instance_id,
                each.client_id,
                each.client_host,
                each.subscription(group.protocol) if is_stable else b"",
                each.assignment,
            )
            for each in group.members.values()
        ),
    )


def _describe_consumer(group: ConsumerGroup, topics: GroupTopics) -> GroupDescription:
    """Use the terms of the classic protocol: the epoch as generation, the assignor as protocol."""
    return GroupDescription(
        group.name,
        group.state.value,
        CONSUMER,
        group.assignor,
        group.epoch,
        "",
        tuple(_describe_member(group, member, topics) for member in group.members.values()),
        kind=CONSUMER,
    )


def _describe_member(group: ConsumerGroup, member: ConsumerMember, topics: GroupTopics) -> MemberDescription:
    profile = member.profile
    return MemberDescription(
        member.member_id,
        profile.instance_id,
        profile.client_id,
        profile.client_host,
        encode_subscription(Subscription(tuple(sorted(group.topics_of(profile))), rack=profile.rack)),
        encode_assignment(named_partitions(member.holding.partitions, topics)),
    )
