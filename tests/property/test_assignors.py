"""Assignors give each partition to exactly one member that asked for it; the sticky ones move little."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import UsageError
from streamcore.log.client.consumer.assignors import (
    ASSIGNORS,
    Assignment,
    Assignor,
    GroupMember,
    choose_assignors,
)
from streamcore.log.protocol.consumer_protocol import Subscription
from streamcore.model import TopicPartition

TOPICS = ("a", "b", "c")
counts_of_partitions = st.dictionaries(st.sampled_from(TOPICS), st.integers(0, 9), max_size=3)
subscriptions = st.dictionaries(
    st.sampled_from([f"m{number}" for number in range(6)]),
    st.sets(st.sampled_from(TOPICS)),
    min_size=1,
    max_size=6,
)
every_assignor = pytest.mark.parametrize("assignor", ASSIGNORS.values(), ids=ASSIGNORS)
sticky_assignors = pytest.mark.parametrize("name", ["sticky", "cooperative-sticky"])


def members(
    assignor: Assignor, topics: Mapping[str, set[str]], owned: Assignment | None = None, generation: int = 1
) -> list[GroupMember]:
    """Members as the leader sees them, owning what a former round gave them."""
    former = owned or {}
    return [
        GroupMember(
            member_id,
            Subscription(
                tuple(sorted(wanted)),
                former.get(member_id, ()) if assignor.is_cooperative else (),
                generation if member_id in former else -1,
                assignor.user_data(former.get(member_id, ()), generation if member_id in former else -1),
            ),
        )
        for member_id, wanted in topics.items()
    ]


def settle(
    assignor: Assignor,
    counts: Mapping[str, int],
    topics: Mapping[str, set[str]],
    owned: Assignment | None = None,
) -> Assignment:
    """Rounds as a group has them, until nobody has to give anything up."""
    given_out: Assignment = {}
    for generation in range(1, 5):
        given_out = assignor.assign(counts, members(assignor, topics, owned, generation))
        if owned is not None and all(set(owned.get(m, ())) <= set(given_out[m]) for m in given_out):
            return given_out
        owned = given_out
    return given_out


@every_assignor
@given(counts=counts_of_partitions, topics=subscriptions)
def test_each_partition_goes_to_exactly_one_member_that_asked_for_it(
    assignor: Assignor, counts: dict[str, int], topics: dict[str, set[str]]
) -> None:
    assigned = assignor.assign(counts, members(assignor, topics))

    given_out = [place for places in assigned.values() for place in places]
    wanted = {
        TopicPartition(topic, number)
        for topic, count in counts.items()
        if any(topic in subscribed for subscribed in topics.values())
        for number in range(count)
    }
    assert sorted(given_out) == sorted(wanted)
    for member_id, places in assigned.items():
        assert {place.topic for place in places} <= topics[member_id]


@every_assignor
@given(counts=counts_of_partitions, topics=subscriptions, seed=st.randoms(use_true_random=False))
def test_the_order_in_which_members_are_listed_does_not_matter(
    assignor: Assignor, counts: dict[str, int], topics: dict[str, set[str]], seed: object
) -> None:
    listed = members(assignor, topics)
    shuffled = listed.copy()
    seed.shuffle(shuffled)  # type: ignore[attr-defined]

    assert assignor.assign(counts, listed) == assignor.assign(counts, shuffled)


@sticky_assignors
@given(counts=counts_of_partitions, count=st.integers(1, 6))
def test_loads_are_at_most_one_apart_where_all_want_the_same(
    name: str, counts: dict[str, int], count: int
) -> None:
    assignor = ASSIGNORS[name]

    assigned = assignor.assign(
        counts, members(assignor, {f"m{number}": set(TOPICS) for number in range(count)})
    )

    loads = [len(places) for places in assigned.values()]
    assert max(loads) - min(loads) <= 1


@sticky_assignors
@given(counts=counts_of_partitions, topics=subscriptions)
def test_a_round_without_a_change_moves_nothing(
    name: str, counts: dict[str, int], topics: dict[str, set[str]]
) -> None:
    assignor = ASSIGNORS[name]
    before = settle(assignor, counts, topics)

    assert assignor.assign(counts, members(assignor, topics, before)) == before


@sticky_assignors
@given(counts=counts_of_partitions, count=st.integers(2, 6), leaving=st.integers(0, 5))
def test_when_a_member_leaves_the_others_keep_what_they_had(
    name: str, counts: dict[str, int], count: int, leaving: int
) -> None:
    assignor = ASSIGNORS[name]
    topics = {f"m{number}": set(TOPICS) for number in range(count)}
    before = settle(assignor, counts, topics)
    del topics[f"m{leaving % count}"]
    stayed = {member_id: before[member_id] for member_id in topics}

    after = settle(assignor, counts, topics, stayed)

    for member_id, places in stayed.items():
        assert set(places) <= set(after[member_id])


@given(counts=counts_of_partitions, topics=subscriptions, late=st.sets(st.sampled_from(TOPICS), min_size=1))
def test_a_cooperative_round_never_gives_away_what_another_member_still_holds(
    counts: dict[str, int], topics: dict[str, set[str]], late: set[str]
) -> None:
    assignor = ASSIGNORS["cooperative-sticky"]
    before = settle(assignor, counts, topics)
    grown = {**topics, "late": late}

    after = assignor.assign(counts, members(assignor, grown, before))

    holder = {place: member_id for member_id, places in before.items() for place in places}
    for member_id, places in after.items():
        assert all(holder.get(place, member_id) == member_id for place in places)
    settled = settle(assignor, counts, grown, after)
    assert sorted(place for places in settled.values() for place in places) == sorted(
        TopicPartition(topic, number)
        for topic, count in counts.items()
        if any(topic in wanted for wanted in grown.values())
        for number in range(count)
    )


def test_range_gives_equal_numbers_of_two_topics_to_one_member() -> None:
    assignor = ASSIGNORS["range"]

    assigned = assignor.assign({"a": 4, "b": 4}, members(assignor, {"m0": {"a", "b"}, "m1": {"a", "b"}}))

    for places in assigned.values():
        assert {p.partition for p in places if p.topic == "a"} == {
            p.partition for p in places if p.topic == "b"
        }


def test_the_claim_of_a_later_generation_wins_and_equal_ones_cancel_out() -> None:
    assignor = ASSIGNORS["cooperative-sticky"]
    place = TopicPartition("a", 0)

    def member(name: str, generation: int) -> GroupMember:
        return GroupMember(name, Subscription(("a",), (place,), generation))

    later = assignor.assign({"a": 1}, [member("old", 1), member("new", 2)])
    equal = assignor.assign({"a": 1}, [member("one", 2), member("two", 2)])

    assert later == {"old": (), "new": ()}, "the older one has to let go first"
    assert equal == {"one": (), "two": ()}


def test_static_members_keep_their_place_in_the_order_whatever_their_member_ids() -> None:
    assignor = ASSIGNORS["range"]
    subscription = Subscription(("a",))

    before = assignor.assign(
        {"a": 2}, [GroupMember("x", subscription, "one"), GroupMember("y", subscription, "two")]
    )
    after = assignor.assign(
        {"a": 2}, [GroupMember("z", subscription, "one"), GroupMember("y", subscription, "two")]
    )

    assert before["x"] == after["z"]
    assert before["y"] == after["y"]


@pytest.mark.parametrize("names", [[], ["unknown"], ["range", "cooperative-sticky"]])
def test_assignors_that_cannot_work_together_are_refused(names: list[str]) -> None:
    with pytest.raises(UsageError):
        choose_assignors(names)
