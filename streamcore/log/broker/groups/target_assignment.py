"""Decides which member of a consumer group is to have which partitions: the assignors of the newer protocol.

Under Kafka's names, chosen by the members (most votes win):

* ``uniform``, the default: every member gets as many as every other, and keeps what it was to have before
  as far as that allows. Where members subscribe to different topics, nobody has two more than another one
  who could take one of them.
* ``range``: each topic in contiguous ranges in the order of the members, static ones by their instance ids
  first; so equal numbers of two topics meet at one member, and a restarted static member finds its own.

Invariants: only partitions of topics that a member subscribes to; each to one member at most, and to one
exactly if anybody subscribes; the result depends on nothing but the arguments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from streamcore.log.broker.place_id import PlaceId

TopicCounts: TypeAlias = Mapping[bytes, int]
"""How many partitions each topic has, by its id."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A member as an assignor sees it."""

    member_id: str
    instance_id: str | None
    topic_ids: Set[bytes]
    """Only topics that exist."""
    target: Set[PlaceId]
    """What it was to have before."""

    @property
    def order(self) -> tuple[bool, str]:
        """Static members come first, by their own names, so that a restart does not move them."""
        return (False, self.instance_id) if self.instance_id is not None else (True, self.member_id)


Targets: TypeAlias = dict[str, set[PlaceId]]
TargetAssignor: TypeAlias = Callable[[TopicCounts, Sequence[Subscriber]], Targets]


def uniform(counts: TopicCounts, subscribers: Sequence[Subscriber]) -> Targets:
    """The same number for everybody, moving as little as possible."""
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
    """Each topic in contiguous ranges, the first members getting one more where it does not divide."""
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
            targets[taker].update(PlaceId(topic_id, number) for number in range(first, end))
            first = end
    return targets


ASSIGNORS: Final[Mapping[str, TargetAssignor]] = MappingProxyType(
    {"uniform": uniform, "range": range_by_topic}
)
DEFAULT_ASSIGNOR: Final = "uniform"


def _kept(counts: TopicCounts, subscribers: Sequence[Subscriber]) -> Targets:
    """What members may keep of their former targets."""
    return {
        each.member_id: {
            place
            for place in each.target
            if place.topic_id in each.topic_ids and place.partition < counts[place.topic_id]
        }
        for each in subscribers
    }


def _unassigned(counts: TopicCounts, topic_ids: Iterable[bytes], targets: Targets) -> list[PlaceId]:
    taken = set().union(*targets.values())
    return [
        place
        for topic_id in sorted(topic_ids)
        for number in range(counts[topic_id])
        if (place := PlaceId(topic_id, number)) not in taken
    ]


def _level_equals(counts: TopicCounts, subscribers: Sequence[Subscriber], targets: Targets) -> None:
    """All subscribe to the same: everybody gets the same share, and some one more."""
    topic_ids = subscribers[0].topic_ids
    share, rest = divmod(sum(counts[topic_id] for topic_id in topic_ids), len(subscribers))
    # Who has most keeps most: the partitions that are left over stay with those that have more already.
    by_size = sorted(subscribers, key=lambda each: -len(targets[each.member_id]))
    quota = {each.member_id: share + (index < rest) for index, each in enumerate(by_size)}
    for each in subscribers:
        surplus = len(targets[each.member_id]) - quota[each.member_id]
        for place in sorted(targets[each.member_id], reverse=True)[: max(0, surplus)]:
            targets[each.member_id].remove(place)
    free = deque(_unassigned(counts, topic_ids, targets))
    for each in subscribers:
        while free and len(targets[each.member_id]) < quota[each.member_id]:
            targets[each.member_id].add(free.popleft())


def _fill(counts: TopicCounts, subscribers: Sequence[Subscriber], targets: Targets) -> None:
    """Give what nobody has to those who have least; topics with the fewest subscribers choose first."""
    takers: dict[bytes, list[str]] = {}
    for each in subscribers:
        for topic_id in each.topic_ids:
            takers.setdefault(topic_id, []).append(each.member_id)
    free = _unassigned(counts, takers, targets)
    for place in sorted(free, key=lambda place: (len(takers[place.topic_id]), place)):
        taker = min(takers[place.topic_id], key=lambda member_id: len(targets[member_id]))
        targets[taker].add(place)


def _level(subscribers: Sequence[Subscriber], targets: Targets) -> None:
    """Move from those who have more to those who have less and could take it, until nothing is won.

    A move is made only to a member that has two fewer or more, so each one lowers the sum of squared
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
        taker: sorted(place for place in targets[taker] if place.topic_id == topic_id) for taker in takers
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
        place = held[giver].pop()
        held[taker].append(place)
        targets[giver].remove(place)
        targets[taker].add(place)
        has_moved = True
