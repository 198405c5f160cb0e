"""Assignors: divide the partitions of a group's topics among its members. Pure; runs at the group's leader.

The three assignors have Kafka's names and bytes, so that members with any client agree:

* ``range``: each topic in contiguous ranges; equal partition numbers of two topics go to the same member.
* ``sticky``: balanced, with as few moves as possible; members revoke everything during a rebalance.
* ``cooperative-sticky`` (KIP-429): the same balance, but a member keeps the partitions that it will not lose.
  The round that revokes a partition assigns it to no member, so two members never own it. The former owner
  joins again after the revocation, and the next round assigns the partition.

Invariants of every assignor: only subscribed partitions that exist are assigned, each to at most one member,
and the result depends only on the arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from msgspec import Struct

from streamcore.errors import CorruptDataError, UsageError, with_facts
from streamcore.log.protocol.consumer_protocol import (
    CooperativeStickyUserData,
    StickyUserData,
    Subscription,
    by_topic,
    decode_user_data,
    encode_user_data,
    partitions_of,
)
from streamcore.model import TopicName, TopicPartition

MemberId: TypeAlias = str
Assignment: TypeAlias = dict[MemberId, tuple[TopicPartition, ...]]


class GroupMember(Struct, frozen=True):
    """A member, as the leader knows it."""

    member_id: MemberId
    subscription: Subscription
    instance_id: str | None = None

    @property
    def order(self) -> tuple[bool, str]:
        """Return the sort key: static members first, by their names, so that a restart moves no
        partitions.
        """
        return (False, self.instance_id) if self.instance_id is not None else (True, self.member_id)


class Assignor(Protocol):
    """A rule for dividing partitions, which the group knows by its name."""

    name: str
    is_cooperative: bool

    def user_data(self, owned: Sequence[TopicPartition], generation: int) -> bytes | None:
        """Return what a member adds to its subscription about the partitions that it owns, and since when."""

    def assign(self, partition_counts: Mapping[TopicName, int], members: Sequence[GroupMember]) -> Assignment:
        """Divide the partitions of the topics; a topic that is not in the mapping does not exist."""


class RangeAssignor:
    """Assigns each topic in contiguous ranges; the first members get one more where the division has a
    rest.
    """

    name = "range"
    is_cooperative = False

    def user_data(self, owned: Sequence[TopicPartition], generation: int) -> bytes | None:
        """Return nothing: ranges do not depend on earlier assignments."""
        return None

    def assign(self, partition_counts: Mapping[TopicName, int], members: Sequence[GroupMember]) -> Assignment:
        """Divide each topic among the members that subscribe to it, in the members' order."""
        given: dict[MemberId, list[TopicPartition]] = {member.member_id: [] for member in members}
        for topic in sorted(partition_counts):
            takers = sorted((m for m in members if topic in m.subscription.topics), key=lambda m: m.order)
            if not takers:
                continue
            share, rest = divmod(partition_counts[topic], len(takers))
            first = 0
            for index, taker in enumerate(takers):
                end = first + share + (index < rest)
                given[taker.member_id].extend(TopicPartition(topic, number) for number in range(first, end))
                first = end
        return {member_id: tuple(partitions) for member_id, partitions in given.items()}


class StickyAssignor:
    """Balances over all topics, with as few moves as the balance allows."""

    name = "sticky"
    is_cooperative = False

    def user_data(self, owned: Sequence[TopicPartition], generation: int) -> bytes | None:
        """Return the last assignment and its generation: an eager member owns nothing when it joins."""
        return encode_user_data(StickyUserData(previous_assignment=by_topic(owned), generation=generation))

    def assign(self, partition_counts: Mapping[TopicName, int], members: Sequence[GroupMember]) -> Assignment:
        """Keep the owned partitions, assign the others, then move from the fullest while that improves it."""
        claims = [(member.member_id, *_former_partitions(member.subscription)) for member in members]
        return _balance(partition_counts, members, claims)


class CooperativeStickyAssignor:
    """The sticky balance in two rounds; between them members keep what they will not lose."""

    name = "cooperative-sticky"
    is_cooperative = True

    def user_data(self, owned: Sequence[TopicPartition], generation: int) -> bytes | None:
        """Return the generation, for leaders whose subscription format does not have the field."""
        return encode_user_data(CooperativeStickyUserData(generation=generation))

    def assign(self, partition_counts: Mapping[TopicName, int], members: Sequence[GroupMember]) -> Assignment:
        """Return the balance without the partitions that another member still owns."""
        claims = [
            (m.member_id, m.subscription.owned, _cooperative_generation(m.subscription)) for m in members
        ]
        balanced = _balance(partition_counts, members, claims)
        holders: dict[TopicPartition, set[MemberId]] = {}
        for member in members:
            for partition in member.subscription.owned:
                holders.setdefault(partition, set()).add(member.member_id)
        nobody: frozenset[MemberId] = frozenset()
        return {
            member_id: tuple(
                partition for partition in partitions if holders.get(partition, nobody) <= {member_id}
            )
            for member_id, partitions in balanced.items()
        }


ASSIGNORS: Final[Mapping[str, Assignor]] = {
    assignor.name: assignor for assignor in (RangeAssignor(), StickyAssignor(), CooperativeStickyAssignor())
}


def choose_assignors(names: Iterable[str]) -> tuple[Assignor, ...]:
    """Return assignors by name, in order of preference.

    Raises:
        UsageError: an unknown name, no name, or cooperative and eager assignors together.
    """
    wanted = tuple(names)
    unknown = [name for name in wanted if name not in ASSIGNORS]
    if unknown or not wanted:
        raise UsageError(
            with_facts(f"choose assignors among {', '.join(ASSIGNORS)}", given=",".join(unknown) or None)
        )
    chosen = tuple(ASSIGNORS[name] for name in wanted)
    if len({assignor.is_cooperative for assignor in chosen}) > 1:
        raise UsageError(
            with_facts("cooperative and eager assignors do not mix in one member", given=",".join(wanted))
        )
    return chosen


def _former_partitions(subscription: Subscription) -> tuple[tuple[TopicPartition, ...], int]:
    """Return what an eager member owned before it joined, and the generation of that."""
    if subscription.owned:
        return subscription.owned, subscription.generation
    if subscription.user_data is None:
        return (), -1
    try:
        former = decode_user_data(StickyUserData, subscription.user_data)
        return partitions_of(former.previous_assignment), former.generation
    except CorruptDataError:
        return (
            (),
            -1,
        )  # another client's format: the former assignment is unknown, which only costs stickiness


def _cooperative_generation(subscription: Subscription) -> int:
    if subscription.generation >= 0 or subscription.user_data is None:
        return subscription.generation
    try:
        return decode_user_data(CooperativeStickyUserData, subscription.user_data).generation
    except CorruptDataError:
        return -1


def _balance(
    partition_counts: Mapping[TopicName, int],
    members: Sequence[GroupMember],
    claims: Iterable[tuple[MemberId, Sequence[TopicPartition], int]],
) -> Assignment:
    """Return the sticky balance.

    A partition moves only to a member that has at least two fewer, so each move lowers the sum of squared
    loads, and the loop ends. If all members subscribe to the same topics, their loads differ by at most one.
    """
    takers: dict[TopicName, list[MemberId]] = {
        topic: [m.member_id for m in sorted(members, key=lambda m: m.order) if topic in m.subscription.topics]
        for topic in partition_counts
    }
    held: dict[MemberId, list[TopicPartition]] = {member.member_id: [] for member in members}
    owners = _undisputed(partition_counts, takers, claims)
    for partition in sorted(owners):
        held[owners[partition]].append(partition)

    for topic in sorted(partition_counts):
        if not takers[topic]:
            continue
        for number in range(partition_counts[topic]):
            partition = TopicPartition(topic, number)
            if partition not in owners:
                held[_least_loaded(takers[topic], held)].append(partition)

    moved = True
    while moved:
        moved = False
        for giver in sorted(held, key=lambda member_id: (-len(held[member_id]), member_id)):
            # From the end: the partition that was added last moves first, so that owned ones stay.
            for partition in reversed(held[giver].copy()):
                taker = _least_loaded(takers[partition.topic], held)
                if len(held[giver]) > len(held[taker]) + 1:
                    held[giver].remove(partition)
                    held[taker].append(partition)
                    moved = True
    return {member_id: tuple(sorted(partitions)) for member_id, partitions in held.items()}


def _undisputed(
    partition_counts: Mapping[TopicName, int],
    takers: Mapping[TopicName, Sequence[MemberId]],
    claims: Iterable[tuple[MemberId, Sequence[TopicPartition], int]],
) -> dict[TopicPartition, MemberId]:
    """Return the former owners. The latest generation wins; two claims of one generation cancel each
    other.
    """
    best: dict[TopicPartition, tuple[int, MemberId | None]] = {}
    for member_id, partitions, generation in claims:
        for partition in partitions:
            if not 0 <= partition.partition < partition_counts.get(partition.topic, 0):
                continue
            if member_id not in takers[partition.topic]:
                continue
            former_generation, former = best.get(partition, (-2, None))
            if generation > former_generation:
                best[partition] = (generation, member_id)
            elif generation == former_generation and former != member_id:
                best[partition] = (generation, None)
    return {partition: member_id for partition, (_, member_id) in best.items() if member_id is not None}


def _least_loaded(takers: Sequence[MemberId], held: Mapping[MemberId, Sequence[TopicPartition]]) -> MemberId:
    """Return the first candidate with the fewest partitions; candidates are in the members' order."""
    return min(takers, key=lambda member_id: len(held[member_id]))
