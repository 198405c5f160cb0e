"""The newer protocol on a log: who gets what and when, who is fenced, what a crash keeps."""

from __future__ import annotations

import pytest

from streamcore.errors import StreamCoreError
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.groups.consumer_group import ConsumerGroupState
from streamcore.log.broker.settings import BrokerSettings
from streamcore.model import CommittedOffset, Membership, TopicPartition
from tests.support.group_house import GROUP, GroupHouse, NewMember

SESSION_MS = 45_000


@pytest.fixture
def house() -> GroupHouse:
    house = GroupHouse()
    house.log.create_topic("t", partitions=4)
    return house


def refused(error: pytest.ExceptionInfo[StreamCoreError]) -> str:
    cause = error.value.__cause__
    assert isinstance(cause, ApiError)
    return cause.refusal.name


def two_members(house: GroupHouse) -> tuple[NewMember, NewMember]:
    first, second = NewMember(house, "a", ("t",)), NewMember(house, "b", ("t",))
    first.join()
    second.join()
    first.beat()
    first.beat()
    second.beat()
    assert len(first.owned) == len(second.owned) == 2
    return first, second


def test_a_first_member_gets_everything_at_once(house: GroupHouse) -> None:
    member = NewMember(house, "a", ("t",))

    reply = member.join()

    assert reply.assigned == house.partitions("t", 0, 1, 2, 3)
    assert (reply.epoch, reply.heartbeat_interval_ms) == (2, 5_000)
    assert house.consumer_group().state is ConsumerGroupState.STABLE


def test_a_second_member_gets_its_part_when_the_first_has_given_it_up(house: GroupHouse) -> None:
    first, second = NewMember(house, "a", ("t",)), NewMember(house, "b", ("t",))
    first.join()

    at_first = second.join().assigned
    asked = first.beat()
    still_waiting = second.beat().assigned
    confirmed = first.beat()
    got = second.beat().assigned

    assert at_first == set()
    assert (asked.epoch, asked.assigned) == (2, house.partitions("t", 0, 1))
    assert still_waiting is None
    assert (confirmed.epoch, confirmed.assigned) == (3, None)
    assert got == house.partitions("t", 2, 3)
    assert house.consumer_group().state is ConsumerGroupState.STABLE


def test_a_heartbeat_that_changes_nothing_writes_nothing(house: GroupHouse) -> None:
    first, _ = two_members(house)
    before = house.log.offsets([TopicPartition("__consumer_offsets", 0)])

    reply = first.beat()

    assert reply.assigned is None
    assert house.log.offsets([TopicPartition("__consumer_offsets", 0)]) == before


def test_a_member_that_leaves_frees_its_part_at_once(house: GroupHouse) -> None:
    first, second = two_members(house)

    second.leave()
    reply = first.beat()

    assert reply.assigned == house.partitions("t", 0, 1, 2, 3)


def test_a_member_that_falls_silent_is_taken_out_when_its_session_ends(house: GroupHouse) -> None:
    first, second = two_members(house)
    house.pass_time(SESSION_MS - 1)
    first.beat()

    before = set(house.consumer_group().members)
    house.pass_time(1)

    assert before == {"a", "b"}
    assert set(house.consumer_group().members) == {"a"}
    with pytest.raises(StreamCoreError) as error:
        second.beat()
    assert refused(error) == "UNKNOWN_MEMBER_ID"


def test_a_member_that_does_not_give_up_in_time_is_taken_out(house: GroupHouse) -> None:
    first, second = NewMember(house, "a", ("t",)), NewMember(house, "b", ("t",))
    first.join(rebalance_timeout_ms=10_000)
    second.join()
    stubborn = house.partitions("t", 0, 1, 2, 3)
    first.beat(owned=stubborn)

    house.pass_time(9_999)
    first.beat(owned=stubborn)
    before = set(house.consumer_group().members)
    house.pass_time(1)

    assert before == {"a", "b"}
    assert set(house.consumer_group().members) == {"b"}
    assert second.beat().assigned == stubborn


def test_a_lost_heartbeat_answer_is_repeated_to_a_member_that_owns_no_more_than_its_assignment(
    house: GroupHouse,
) -> None:
    first, second = NewMember(house, "a", ("t",)), NewMember(house, "b", ("t",))
    first.join()
    second.join()
    first.beat()
    kept = first.owned
    first.send(first.request(2, owned=kept))  # gives up, and never hears of epoch 3

    reply = first.send(first.request(2, owned=kept))

    assert reply.epoch == 3
    with pytest.raises(StreamCoreError) as error:
        first.send(first.request(2, owned=house.partitions("t", 0, 1, 2)))
    assert refused(error) == "FENCED_MEMBER_EPOCH"
    with pytest.raises(StreamCoreError) as error:
        first.send(first.request(99))
    assert refused(error) == "FENCED_MEMBER_EPOCH"


def test_a_fenced_member_joins_again_under_its_own_id(house: GroupHouse) -> None:
    first, _ = two_members(house)

    reply = first.join()

    assert reply.epoch == house.consumer_group().target_epoch
    assert reply.assigned == house.partitions("t", 0, 1)


def test_topics_that_come_and_grow_and_go_change_the_assignment(house: GroupHouse) -> None:
    member = NewMember(house, "a", ("t", "later"))
    member.join()

    house.log.create_topic("later", partitions=1)
    with_later = member.beat().assigned
    house.log.alter_topic("t", partitions=5)
    with_more = member.beat().assigned
    later = house.partitions("later", 0)
    house.log.delete_topic("later")
    without = member.beat().assigned

    assert with_later == house.partitions("t", 0, 1, 2, 3) | later
    assert with_more == house.partitions("t", 0, 1, 2, 3, 4) | later
    assert without == house.partitions("t", 0, 1, 2, 3, 4)


def test_a_topic_that_is_created_again_is_another_topic(house: GroupHouse) -> None:
    member = NewMember(house, "a", ("t",))
    member.join()
    old = member.owned

    house.log.delete_topic("t")
    house.log.create_topic("t", partitions=4)
    member.beat()
    member.beat()

    assert member.owned == house.partitions("t", 0, 1, 2, 3)
    assert member.owned.isdisjoint(old)


def test_topics_that_match_an_expression_are_followed(house: GroupHouse) -> None:
    house.log.create_topic("orders-eu", partitions=1)
    member = NewMember(house, "a", pattern="orders-.*")

    first = member.join(topics=None).assigned
    house.log.create_topic("orders-us", partitions=1)
    second = member.beat().assigned
    with pytest.raises(StreamCoreError) as error:
        member.beat(pattern="(")
    third = member.beat(pattern="").assigned

    assert first == house.partitions("orders-eu", 0)
    assert second == house.partitions("orders-eu", 0) | house.partitions("orders-us", 0)
    assert refused(error) == "INVALID_REGULAR_EXPRESSION"
    assert third == set()
    assert house.consumer_group().patterns == {}


def test_a_static_member_that_comes_back_finds_its_part(house: GroupHouse) -> None:
    old = NewMember(house, "old", ("t",), instance_id="i")
    other = NewMember(house, "b", ("t",))
    old.join()
    other.join()
    old.beat()
    old.beat()
    other.beat()
    mine, epoch = old.owned, house.consumer_group().epoch

    old.leave(-2)
    nobody_elses = other.beat().assigned
    new = NewMember(house, "new", ("t",), instance_id="i")
    reply = new.join()

    assert nobody_elses is None
    assert reply.assigned == mine
    assert house.consumer_group().epoch == epoch
    with pytest.raises(StreamCoreError) as error:
        old.beat()
    assert refused(error) == "FENCED_INSTANCE_ID"


def test_a_static_instance_that_is_in_use_is_not_taken_over(house: GroupHouse) -> None:
    NewMember(house, "old", ("t",), instance_id="i").join()

    with pytest.raises(StreamCoreError) as error:
        NewMember(house, "new", ("t",), instance_id="i").join()

    assert refused(error) == "UNRELEASED_INSTANCE_ID"


def test_a_static_member_that_does_not_come_back_loses_its_part_with_its_session(house: GroupHouse) -> None:
    NewMember(house, "old", ("t",), instance_id="i").join()
    NewMember(house, "old", ("t",), instance_id="i").leave(-2)

    house.pass_time(SESSION_MS)

    assert house.consumer_group().members == {}
    assert house.consumer_group().owners == {}


def test_most_votes_choose_the_assignor(house: GroupHouse) -> None:
    house.log.create_topic("u", partitions=3)
    members = [NewMember(house, name, ("t", "u")) for name in "abc"]
    members[0].join(assignor="range")
    members[1].join(assignor="range")
    members[2].join(assignor="uniform")

    group = house.consumer_group()

    assert group.assignor == "range"
    assert {place.partition for place in group.target_of("c")} == {3, 2}


def test_a_full_group_refuses_new_members() -> None:
    house = GroupHouse(settings=BrokerSettings(group_size_max=1))
    house.log.create_topic("t", partitions=1)
    first = NewMember(house, "a", ("t",))
    first.join()

    with pytest.raises(StreamCoreError) as error:
        NewMember(house, "b", ("t",)).join()

    assert refused(error) == "GROUP_MAX_SIZE_REACHED"
    first.beat()


def test_there_are_no_more_groups_than_the_log_may_keep() -> None:
    house = GroupHouse(settings=BrokerSettings(group_count_max=1))
    house.log.create_topic("t", partitions=1)
    NewMember(house, "a", ("t",)).join()

    with pytest.raises(StreamCoreError) as error:
        house.log.node.driver.run(
            house.groups.commit_offsets("another", {TopicPartition("t", 0): CommittedOffset(1)})
        )

    assert refused(error) == "POLICY_VIOLATION"


def test_a_too_large_authentication_message_is_refused(house: GroupHouse) -> None:
    with pytest.raises(StreamCoreError) as error:
        NewMember(house, "a", [f"{number}" * 200 for number in range(10_000)]).join()
    assert refused(error) == "INVALID_REQUEST"

    with pytest.raises(StreamCoreError) as error:
        NewMember(house, "a" * 10_000, ("t",)).join()
    assert refused(error) == "INVALID_GROUP_ID"


def test_a_crash_keeps_the_assignments_that_members_received(house: GroupHouse) -> None:
    first, second = NewMember(house, "a", ("t",)), NewMember(house, "b", ("t",))
    first.join()
    second.join()
    first.beat()
    before = house.consumer_group()

    house.disk.crash()
    house.open()
    after = house.consumer_group()

    for name in ("epoch", "target_epoch", "members", "targets", "owners", "topics_hash"):
        assert getattr(after, name) == getattr(before, name), name
    first.beat()
    assert second.beat().assigned == house.partitions("t", 2, 3)
    house.pass_time(SESSION_MS)
    assert house.consumer_group().members == {}


def test_offsets_are_accepted_from_the_owner_of_the_partition_at_that_epoch(house: GroupHouse) -> None:
    first, second = two_members(house)

    def commit(member_id: str, epoch: int, partition: int) -> None:
        house.log.commit_offsets(
            GROUP,
            {TopicPartition("t", partition): CommittedOffset(1)},
            membership=Membership(member_id, epoch),
        )

    def commit_as_member(member_id: str, epoch: int, partition: int) -> None:
        positions = {TopicPartition("t", partition): CommittedOffset(1)}
        membership = Membership(member_id, epoch)
        house.log.node.driver.run(
            house.groups.commit_offsets(GROUP, positions, membership, knows_epochs=True)
        )

    commit_as_member("a", first.epoch, 0)
    commit_as_member("a", 2, 0)  # it had it then already
    for member_id, epoch, partition in (("a", 2, 3), ("b", 2, 2), ("a", 99, 0)):
        with pytest.raises(StreamCoreError) as error:
            commit_as_member(member_id, epoch, partition)
        assert refused(error) == "STALE_MEMBER_EPOCH"
    with pytest.raises(StreamCoreError) as error:
        commit_as_member("nobody", first.epoch, 0)
    assert refused(error) == "UNKNOWN_MEMBER_ID"
    with pytest.raises(StreamCoreError) as error:
        commit("b", second.epoch, 2)  # by a request that does not know of epochs
    assert refused(error) == "UNSUPPORTED_VERSION"
    assert set(house.log.committed(GROUP)) == {TopicPartition("t", 0)}


def test_an_empty_group_is_deleted_with_its_records(house: GroupHouse) -> None:
    member = NewMember(house, "a", ("t",))
    member.join()
    with pytest.raises(StreamCoreError) as error:
        house.log.delete_group(GROUP)
    member.leave()

    house.log.delete_group(GROUP)

    assert refused(error) == "NON_EMPTY_GROUP"
    assert house.log.group_names() == []
    assert house.open().group_names() == []


def test_a_group_without_members_and_positions_is_forgotten_after_a_while(house: GroupHouse) -> None:
    member = NewMember(house, "a", ("t",))
    member.join()
    member.leave()

    house.log.maintain()
    before = house.log.group_names()
    house.clock.advance(600_001)
    house.log.maintain()

    assert before == [GROUP]
    assert house.log.group_names() == []
    assert house.open().group_names() == []


def test_people_see_the_group_in_the_terms_that_they_know(house: GroupHouse) -> None:
    two_members(house)

    description = house.log.describe_group(GROUP)

    assert (description.state, description.protocol) == ("Stable", "uniform")
    assert (description.kind, description.protocol_type) == ("consumer", "consumer")
    assert sorted(member.member_id for member in description.members) == ["a", "b"]
