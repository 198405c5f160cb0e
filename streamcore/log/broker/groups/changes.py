"""The records by which a consumer group (KIP-848) follows its members: joining, heartbeats, leaving.

Each function adds to a draft. A heartbeat runs ``subscribe``, ``refresh`` and ``retarget`` in this order; a
member that leaves runs ``remove``. No function waits, and none reads a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Set

from msgspec.structs import replace

from streamcore.log.broker.groups.consumer_group import ConsumerGroup
from streamcore.log.broker.groups.consumer_group_member import (
    LEFT_FOR_A_WHILE,
    NO_PLACES,
    ConsumerMember,
    Holding,
    MemberProfile,
)
from streamcore.log.broker.groups.consumer_group_records import (
    GroupEpoch,
    Kind,
    MemberTarget,
    ResolvedPattern,
    TargetEpoch,
)
from streamcore.log.broker.groups.draft import GroupDraft
from streamcore.log.broker.groups.reconciliation import Goal, reconciled
from streamcore.log.broker.groups.target_assignment import ASSIGNORS, Subscriber
from streamcore.log.broker.groups.topics import GroupTopics
from streamcore.log.broker.name_patterns import compile_pattern
from streamcore.log.broker.partition_id import PartitionId
from streamcore.model import TimestampMs, TopicName


def subscribe(
    draft: GroupDraft,
    member: ConsumerMember,
    profile: MemberProfile,
    topics: GroupTopics,
    now_ms: TimestampMs,
    may_see: Callable[[TopicName], bool],
) -> bool:
    """Apply what a member says about itself; raise the epoch if that needs a new target.

    Returns whether the member's subscription changed.

    Raises:
        Refused: ``INVALID_REGULAR_EXPRESSION``.
    """
    before = member.profile
    if profile.pattern != before.pattern and profile.pattern:
        compile_pattern(profile.pattern)
    if profile != before or member.member_id not in draft.group.members:
        draft.put(Kind.PROFILE, profile, member.member_id)
    has_new_pattern = profile.pattern != before.pattern
    if has_new_pattern and before.pattern and not draft.group.pattern_users(before.pattern):
        _drop_pattern(draft, before.pattern)
    has_new_subscription = has_new_pattern or profile.topics != before.topics
    refresh(draft, topics, now_ms, may_see, is_due=has_new_subscription)
    return has_new_subscription


def refresh(
    draft: GroupDraft,
    topics: GroupTopics,
    now_ms: TimestampMs,
    may_see: Callable[[TopicName], bool],
    *,
    is_due: bool = False,
) -> None:
    """Compare the topics with those of the epoch; raise the epoch if ``is_due`` or if they differ.

    A pattern of the group is resolved to the topics that the requesting member may see, as in Kafka.
    """
    version = topics.version
    if not is_due and draft.group.topics_version == version:
        return
    group = draft.group
    patterns = {each.profile.pattern for each in group.members.values()} - {""}
    visible = topics.names(may_see) if patterns else ()
    for pattern in sorted(patterns):
        matching = tuple(sorted(filter(compile_pattern(pattern).matches, visible)))
        known = group.patterns.get(pattern)
        if known is None or known.topics != matching:
            is_due = True
            draft.put(Kind.PATTERN, ResolvedPattern(matching, version, now_ms), pattern)
    topics_hash = topics.hash_of(draft.group.subscribed_topics())
    if is_due or topics_hash != draft.group.topics_hash:
        draft.put(Kind.EPOCH, GroupEpoch(draft.group.epoch + 1, topics_hash))
    draft.group.topics_version = version


def retarget(draft: GroupDraft, topics: GroupTopics, now_ms: TimestampMs) -> None:
    """Compute the target assignment of the group's epoch, if it has none yet."""
    group = draft.group
    if group.epoch <= group.target_epoch:
        return
    counts = topics.counts(group.subscribed_topics())
    targets = ASSIGNORS[group.assignor](
        counts,
        [
            Subscriber(
                member.member_id,
                member.profile.instance_id,
                counts.keys() & _topic_ids(group, member.profile, topics),
                group.target_of(member.member_id),
            )
            for member in group.members.values()
        ],
    )
    for member_id, partitions in targets.items():
        if partitions != group.target_of(member_id) or member_id not in group.targets:
            draft.put(Kind.MEMBER_TARGET, MemberTarget(frozenset(partitions)), member_id)
    draft.put(Kind.TARGET, TargetEpoch(group.epoch, now_ms))


def advance(
    draft: GroupDraft,
    member_id: str,
    topics: GroupTopics,
    owned: Set[PartitionId] | None,
    *,
    has_new_subscription: bool,
) -> Holding:
    """Move a member towards the target, as far as the partitions that it owns allow.

    Raises:
        Refused: ``FENCED_MEMBER_EPOCH``.
    """
    group = draft.group
    member = group.members[member_id]
    if not has_new_subscription and member.holding.is_reconciled_to(group.target_epoch):
        return member.holding
    subscribed = _topic_ids(group, member.profile, topics)
    goal = Goal(
        group.target_epoch,
        group.target_of(member_id),
        is_free=lambda partition: partition not in group.owners,
        is_subscribed=subscribed.__contains__,
    )
    holding = reconciled(member.holding, goal, owned, has_new_subscription=has_new_subscription)
    if holding != member.holding:
        draft.put(Kind.HOLDING, holding, member_id)
    return holding


def replace_static(draft: GroupDraft, old: ConsumerMember, new_id: str) -> ConsumerMember:
    """Give the state of a static member to its restarted instance, which has another member id."""
    target = draft.group.target_of(old.member_id)
    _drop_member(draft, old.member_id)
    holding = replace(old.holding, epoch=0, previous_epoch=0)
    draft.put(Kind.PROFILE, old.profile, new_id)
    draft.put(Kind.MEMBER_TARGET, MemberTarget(target), new_id)
    draft.put(Kind.HOLDING, holding, new_id)
    return draft.group.members[new_id]


def leave_for_a_while(draft: GroupDraft, member: ConsumerMember) -> None:
    """Keep the state of a static member until its session ends."""
    holding = replace(member.holding, epoch=LEFT_FOR_A_WHILE, revoking=NO_PLACES)
    draft.put(Kind.HOLDING, holding, member.member_id)


def remove(draft: GroupDraft, leaving: Collection[ConsumerMember], topics: GroupTopics) -> None:
    """Remove members; their partitions are free at once."""
    if not leaving:
        return
    for member in leaving:
        _drop_member(draft, member.member_id)
    for pattern in sorted({member.profile.pattern for member in leaving} - {""}):
        if not draft.group.pattern_users(pattern):
            _drop_pattern(draft, pattern)
    topics_hash = topics.hash_of(draft.group.subscribed_topics())
    draft.put(Kind.EPOCH, GroupEpoch(draft.group.epoch + 1, topics_hash))


def _drop_member(draft: GroupDraft, member_id: str) -> None:
    for kind in (Kind.HOLDING, Kind.MEMBER_TARGET, Kind.PROFILE):
        draft.drop(kind, member_id)


def _drop_pattern(draft: GroupDraft, pattern: str) -> None:
    if pattern in draft.group.patterns:
        draft.drop(Kind.PATTERN, pattern)


def _topic_ids(group: ConsumerGroup, profile: MemberProfile, topics: GroupTopics) -> Set[bytes]:
    return topics.counts(group.topics_of(profile)).keys()
