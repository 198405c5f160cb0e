"""The assignors of the newer protocol: they decide the target assignment of a consumer group.

The names are Kafka's; the members choose by most votes:

* ``uniform``, the default: all members get equally many partitions, and keep their former target as far as
  that allows. Where members subscribe to different topics, no member has two more than another one that could
  take one of them.
* ``range``: each topic in contiguous ranges in the order of the members, static ones first by their instance
  ids; so equal numbers of two topics meet at one member, and a restarted static member finds its own.

Invariants: a member gets only partitions of topics that it subscribes to; each partition goes to at most one
member, and to exactly one if any member subscribes; the result depends on the arguments alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from types import MappingProxyType
from typing import Final, TypeAlias

from msgspec import Struct

from streamcore.log.broker.partition_id import PartitionId

TopicCounts: TypeAlias = Mapping[bytes, int]
"""The number of partitions of each topic, by its id."""


class Subscriber(Struct, frozen=True):
    """A member as an assignor sees it."""

    member_id: str
    instance_id: str | None
    topic_ids: Set[bytes]
    """Only topics that exist."""
    target: Set[PartitionId]
    """The member's former target."""

    @property
    def order(self) -> tuple[bool, str]:
        """Sort key: static members first, by their instance ids, so that a restart does not move them."""
        return (False, self.instance_id) if self.instance_id is not None else (True, self.member_id)


Targets: TypeAlias = dict[str, set[PartitionId]]
TargetAssignor: TypeAlias = Callable[[TopicCounts, Sequence[Subscriber]], Targets]


def uniform(counts: TopicCounts, subscribers: Sequence[Subscriber]) -> Targets:
    """Assign equally many partitions to all, and move as few as possible."""
    subscribers = sorted(subscribers, key=lambda each: each.order)
    targets = _kept(counts, subscribers)
    if not subscribers:
        return targets
    if all(each.topic_ids == subscribers[0].topic_ids for each in subscribers):
        _level_equals(counts, subscribers, targets)
    else:
        _fill(counts, subscribers, targets)
        _level(subscribers, targets)
    return targets


def range_by_topic(counts: TopicCounts, subscribers: Sequence[Subscriber]) -> Targets:
    """Assign each topic in contiguous ranges; the first members get one more where it does not divide."""
    targets: Targets = {each.member_id: set() for each in subscribers}
    ordered = sorted(subscribers, key=lambda each: each.order)
    for topic_id, count in counts.items():
        takers = [each.member_id for each in ordered if topic_id in each.topic_ids]
        if not takers:
            continue
        share, rest = divmod(count, len(takers))
        first = 0
        for index, taker in enumerate(takers):
            end = first + share + (index < rest)
            targets[taker].update(PartitionId(topic_id, number) for number in range(first, end))
            first = end
    return targets


ASSIGNORS: Final[Mapping[str, TargetAssignor]] = MappingProxyType(
    {"uniform": uniform, "range": range_by_topic}
)
DEFAULT_ASSIGNOR: Final = "uniform"


def _kept(counts: TopicCounts, subscribers: Sequence[Subscriber]) -> Targets:
    """Return what members may keep of their former targets."""
    return {
        each.member_id: {
            partition
            for partition in each.target
            if partition.topic_id in each.topic_ids and partition.partition < counts[partition.topic_id]
        }
        for each in subscribers
    }


def _unassigned(counts: TopicCounts, topic_ids: Iterable[bytes], targets: Targets) -> list[PartitionId]:
    taken = set().union(*targets.values())
    return [
        partition
        for topic_id in sorted(topic_ids)
        for number in range(counts[topic_id])
        if (partition := PartitionId(topic_id, number)) not in taken
    ]


def _level_equals(counts: TopicCounts, subscribers: Sequence[Subscriber], targets: Targets) -> None:
    """Assign equal shares where all members subscribe to the same topics."""
    topic_ids = subscribers[0].topic_ids
    share, rest = divmod(sum(counts[topic_id] for topic_id in topic_ids), len(subscribers))
    # Members with the most keep the most: the partitions left over stay with those that have more already.
    by_size = sorted(subscribers, key=lambda each: -len(targets[each.member_id]))
    quota = {each.member_id: share + (index < rest) for index, each in enumerate(by_size)}
    for each in subscribers:
        surplus = len(targets[each.member_id]) - quota[each.member_id]
        for partition in sorted(targets[each.member_id], reverse=True)[: max(0, surplus)]:
            targets[each.member_id].remove(partition)
    free = deque(_unassigned(counts, topic_ids, targets))
    for each in subscribers:
        while free and len(targets[each.member_id]) < quota[each.member_id]:
            targets[each.member_id].add(free.popleft())


def _fill(counts: TopicCounts, subscribers: Sequence[Subscriber], targets: Targets) -> None:
    """Give partitions without an owner to the members with the fewest; topics with few subscribers choose
    first.
    """
    takers: dict[bytes, list[str]] = {}
    for each in subscribers:
        for topic_id in each.topic_ids:
            takers.setdefault(topic_id, []).append(each.member_id)
    free = _unassigned(counts, takers, targets)
    for partition in sorted(free, key=lambda partition: (len(takers[partition.topic_id]), partition)):
        taker = min(takers[partition.topic_id], key=lambda member_id: len(targets[member_id]))
        targets[taker].add(partition)


def _level(subscribers: Sequence[Subscriber], targets: Targets) -> None:
    """Move partitions from members with more to members with fewer that could take them, while that helps.

    A partition moves only to a member that has at least two fewer, so each move lowers the sum of squared
    loads, and the loop ends.
    """
    topics = sorted(set().union(*(each.topic_ids for each in subscribers)))
    takers = {
        topic_id: [each.member_id for each in subscribers if topic_id in each.topic_ids]
        for topic_id in topics
    }
    has_moved = True
    while has_moved:
        has_moved = False
        for topic_id in topics:
            has_moved |= _level_topic(topic_id, takers[topic_id], targets)


def _level_topic(topic_id: bytes, takers: Sequence[str], targets: Targets) -> bool:
    held = {
        taker: sorted(partition for partition in targets[taker] if partition.topic_id == topic_id)
        for taker in takers
    }
    has_moved = False
    while True:
        givers = [taker for taker in takers if held[taker]]
        if not givers:
            return has_moved
        giver = max(givers, key=lambda member_id: len(targets[member_id]))
        taker = min(takers, key=lambda member_id: len(targets[member_id]))
        if len(targets[giver]) <= len(targets[taker]) + 1:
            return has_moved
        partition = held[giver].pop()
        held[taker].append(partition)
        targets[giver].remove(partition)
        targets[taker].add(partition)
        has_moved = True
