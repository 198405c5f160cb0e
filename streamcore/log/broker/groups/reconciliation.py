"""Moves a member of a consumer group towards the target assignment, one reply at a time.

A member never gets a partition that another member may still use. It reaches a new epoch only when it has
given up what the target takes from it:

    kept     := assigned and target
    revoking := assigned - kept                 given up first; the member stays at its epoch
    free     := target - kept, without an owner given together with the new epoch
    missing  := target - kept - free            waited for

Each of these depends on the member's own holding, the target, and the owners: no member waits for something
that only its own next reply brings.
"""

from __future__ import annotations

from collections.abc import Callable, Set

from msgspec import Struct

from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.groups.consumer_group_member import Epochs, Holding, MemberState
from streamcore.log.broker.partition_id import PartitionId

_S = MemberState


class Goal(Struct, frozen=True):
    """The target that a member should reach."""

    epoch: int
    partitions: Set[PartitionId]
    is_free: Callable[[PartitionId], bool]
    """Whether no member has a partition or is about to give it up."""
    is_subscribed: Callable[[bytes], bool]
    """Whether the member subscribes to the topic with an id, and the topic exists."""


def reconciled(
    holding: Holding, goal: Goal, owned: Set[PartitionId] | None, *, has_new_subscription: bool = False
) -> Holding:
    """Return the next holding; the same one if there is no step to take.

    ``owned`` are the partitions that the member says it has, ``None`` if it does not say.

    Raises:
        Refused: ``FENCED_MEMBER_EPOCH`` in a state that a newer program wrote, unless the member owns
        nothing.
    """
    match holding.state:
        case _S.STABLE:
            if holding.epoch != goal.epoch:
                return _towards(holding, goal, owned)
            return _fitting(holding, goal, owned) if has_new_subscription else holding
        case _S.UNREVOKED_PARTITIONS:
            if not _still_owns(holding.revoking, owned):
                return _towards(holding, goal, owned)
            return _fitting(holding, goal, owned) if has_new_subscription else holding
        case _S.UNRELEASED_PARTITIONS:
            return _towards(holding, goal, owned)
        case _S.UNKNOWN:
            if owned is None or owned:
                raise ApiError(ErrorName.FENCED_MEMBER_EPOCH, state=holding.state.name)
            return _towards(holding, goal, owned)


def _towards(holding: Holding, goal: Goal, owned: Set[PartitionId] | None) -> Holding:
    wanted = {partition for partition in goal.partitions if goal.is_subscribed(partition.topic_id)}
    kept = {partition: epoch for partition, epoch in holding.assigned.items() if partition in wanted}
    revoking = {partition: epoch for partition, epoch in holding.assigned.items() if partition not in wanted}
    if _still_owns(revoking, owned):
        return holding.moved(_S.UNREVOKED_PARTITIONS, holding.epoch, kept, revoking)
    added = wanted - kept.keys()
    # A partition that the member itself was asked to give up, and has given up, is free for it.
    free = {partition for partition in added if partition in holding.revoking or goal.is_free(partition)}
    state = _S.STABLE if len(free) == len(added) else _S.UNRELEASED_PARTITIONS
    return holding.moved(state, goal.epoch, kept | dict.fromkeys(free, goal.epoch))


def _fitting(holding: Holding, goal: Goal, owned: Set[PartitionId] | None) -> Holding:
    """Remove partitions that the member no longer subscribes to: the target may be older than that."""
    gone = {p: epoch for p, epoch in holding.assigned.items() if not goal.is_subscribed(p.topic_id)}
    if not gone:
        return holding
    kept = {partition: epoch for partition, epoch in holding.assigned.items() if partition not in gone}
    revoking = {**holding.revoking, **gone}
    if _still_owns(revoking, owned):
        return holding.moved(_S.UNREVOKED_PARTITIONS, holding.epoch, kept, revoking)
    return holding.moved(holding.state, holding.epoch, kept, holding.revoking)


def _still_owns(revoking: Epochs, owned: Set[PartitionId] | None) -> bool:
    if not revoking:
        return False
    return owned is None or not owned.isdisjoint(revoking)
