"""The assignors of the newer protocol: balanced, sticky, and nothing left over."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.log.broker.groups.target_assignment import (
    ASSIGNORS,
    Subscriber,
    TargetAssignor,
    Targets,
    range_by_topic,
    uniform,
)
from streamcore.log.broker.partition_id import PartitionId

A, B, C = (name * 16 for name in (b"a", b"b", b"c"))


def member(
    name: str,
    topics: Iterable[bytes] = (A,),
    target: Iterable[PartitionId] = (),
    instance_id: str | None = None,
) -> Subscriber:
    return Subscriber(name, instance_id, frozenset(topics), frozenset(target))


def numbers(targets: Targets, name: str, topic: bytes = A) -> list[int]:
    return sorted(place.partition for place in targets[name] if place.topic_id == topic)


def test_equal_members_get_equal_shares() -> None:
    targets = uniform({A: 4, B: 3}, [member("m", (A, B)), member("n", (A, B)), member("o", (A, B))])

    assert sorted(map(len, targets.values())) == [2, 2, 3]


def test_a_member_that_comes_takes_only_its_share_and_the_others_keep_the_rest() -> None:
    before = uniform({A: 6}, [member("m"), member("n")])

    after = uniform({A: 6}, [member("m", target=before["m"]), member("n", target=before["n"]), member("o")])

    assert [len(after[name]) for name in "mno"] == [2, 2, 2]
    assert after["m"] < before["m"]
    assert after["n"] < before["n"]


def test_the_partitions_of_a_leaving_member_go_to_the_others_which_keep_theirs() -> None:
    before = uniform({A: 6}, [member("m"), member("n"), member("o")])

    after = uniform({A: 6}, [member(name, target=before[name]) for name in "mo"])

    assert [len(after[name]) for name in "mo"] == [3, 3]
    assert before["m"] < after["m"]
    assert before["o"] < after["o"]


def test_members_with_other_topics_are_levelled_as_far_as_they_overlap() -> None:
    targets = uniform({A: 4, B: 4}, [member("m", (A,)), member("n", (A, B)), member("o", (B,))])

    assert sorted(map(len, targets.values())) == [2, 3, 3]


def test_ranges_of_two_topics_meet_at_one_member() -> None:
    targets = range_by_topic({A: 5, B: 5}, [member("n", (A, B)), member("m", (A, B))])

    assert numbers(targets, "m", A) == numbers(targets, "m", B) == [0, 1, 2]
    assert numbers(targets, "n", A) == numbers(targets, "n", B) == [3, 4]


def test_a_restarted_static_member_finds_its_own_range() -> None:
    def ranges(name: str) -> list[int]:
        static = member(name, instance_id="i2")
        return numbers(range_by_topic({A: 4}, [static, member("a", instance_id="i1")]), name)

    assert ranges("first") == ranges("zzz") == [2, 3]


def test_a_topic_that_is_gone_and_partitions_that_never_were_are_not_kept() -> None:
    gone = {PartitionId(C, 0), PartitionId(A, 7), PartitionId(A, 0)}

    targets = uniform({A: 1}, [member("m", target=gone)])

    assert targets == {"m": {PartitionId(A, 0)}}


@pytest.mark.parametrize("assignor", ASSIGNORS.values(), ids=ASSIGNORS)
@given(seed=st.integers(0, 2**32))
def test_every_subscribed_partition_has_one_owner(assignor: TargetAssignor, seed: int) -> None:
    random = Random(seed)
    counts = {topic: random.randrange(1, 9) for topic in random.sample([A, B, C], random.randrange(1, 4))}
    members = [member(f"m{index}", random.sample(list(counts), random.randrange(len(counts) + 1)))
               for index in range(random.randrange(1, 7))]  # fmt: skip
    former = assignor(counts, members[: random.randrange(len(members) + 1)])
    members = [member(m.member_id, m.topic_ids, former.get(m.member_id, ())) for m in members]

    targets = assignor(counts, members)

    given_out = [place for places in targets.values() for place in places]
    wanted = set().union(*(m.topic_ids for m in members))
    assert sorted(given_out) == sorted(PartitionId(t, n) for t in wanted for n in range(counts[t]))
    for each in members:
        assert {place.topic_id for place in targets[each.member_id]} <= each.topic_ids
    assert assignor(counts, members) == targets


@given(seed=st.integers(0, 2**32))
def test_the_uniform_target_is_level_and_does_not_move_when_nothing_changes(seed: int) -> None:
    random = Random(seed)
    counts = {topic: random.randrange(1, 9) for topic in (A, B, C)}
    members = [member(f"m{index}", random.sample([A, B, C], random.randrange(1, 4)))
               for index in range(random.randrange(1, 7))]  # fmt: skip

    targets = uniform(counts, members)
    again = uniform(counts, [member(m.member_id, m.topic_ids, targets[m.member_id]) for m in members])

    assert again == targets
    for giver in members:
        for taker in members:
            could_move = any(place.topic_id in taker.topic_ids for place in targets[giver.member_id])
            assert not could_move or len(targets[giver.member_id]) <= len(targets[taker.member_id]) + 1
