"""Members of both protocols in one group: taken over, living side by side, and given back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from streamcore.errors import RebalanceInProgressError, StaleGenerationError, StreamCoreError
from streamcore.log.broker.api_errors import ApiError
from streamcore.log.broker.groups.classic_group import ClassicGroup
from streamcore.log.broker.requests import JoinReply, JoinRequest, SyncRequest
from streamcore.log.protocol.consumer_protocol import (
    Subscription,
    decode_assignment,
    encode_assignment,
    encode_subscription,
)
from streamcore.model import Membership, TopicPartition
from tests.support.group_house import GROUP, HOST, GroupHouse, NewMember

ALL = [TopicPartition("t", number) for number in range(4)]


@pytest.fixture
def house() -> GroupHouse:
    house = GroupHouse()
    house.log.create_topic("t", partitions=4)
    return house


@dataclass
class ClassicMember:
    """A member of the classic protocol that keeps its partitions while it agrees (cooperative)."""

    house: GroupHouse
    name: str
    instance_id: str | None = None
    client_host: str = HOST
    member_id: str = ""
    generation: int = -1
    owned: list[TopicPartition] = field(default_factory=list)

    def request(self) -> JoinRequest:
        subscription = Subscription(("t",), tuple(self.owned), self.generation)
        return JoinRequest(
            group=GROUP,
            protocols=(("cooperative-sticky", encode_subscription(subscription)),),
            member_id=self.member_id,
            instance_id=self.instance_id,
            session_timeout_ms=10_000,
            rebalance_timeout_ms=30_000,
            client_id=self.name,
            client_host=self.client_host,
        )

    def join(self) -> JoinReply:
        reply = self.house.log.join_group(self.request())
        self.member_id, self.generation = reply.member_id, reply.generation
        return reply

    @property
    def membership(self) -> Membership:
        return Membership(self.member_id, self.generation, self.instance_id)

    def sync(self, assignment: list[TopicPartition] | None = None) -> list[TopicPartition]:
        given = {} if assignment is None else {self.member_id: encode_assignment(assignment)}
        reply = self.house.log.sync_group(SyncRequest(GROUP, self.membership, given))
        self.owned = list(decode_assignment(reply.assignment))
        return self.owned

    def beat(self) -> bool:
        """Whether it has to join again."""
        try:
            self.house.log.heartbeat(GROUP, self.membership)
        except RebalanceInProgressError:
            return True
        return False


def classic_group(house: GroupHouse) -> ClassicMember:
    member = ClassicMember(house, "classic")
    member.join()
    member.sync(ALL)
    return member


def mixed_group(house: GroupHouse) -> tuple[ClassicMember, NewMember]:
    classic, new = classic_group(house), NewMember(house, "new", ("t",))
    new.join()
    classic.join()
    classic.sync()
    classic.join()
    classic.sync()
    new.beat()
    assert len(classic.owned) == len(new.owned) == 2
    return classic, new


def test_the_first_consumer_protocol_member_converts_a_classic_group_and_its_members_keep_their_partitions(
    house: GroupHouse,
) -> None:
    classic, new = classic_group(house), NewMember(house, "new", ("t",))

    reply = new.join()

    group = house.consumer_group()
    assert reply.assigned == set()
    assert set(group.members) == {classic.member_id, "new"}
    assert group.members[classic.member_id].holding.assigned.keys() == house.partitions("t", 0, 1, 2, 3)
    assert classic.beat()


def test_a_classic_member_reaches_the_target_by_joining_again(house: GroupHouse) -> None:
    classic, new = classic_group(house), NewMember(house, "new", ("t",))
    new.join()

    told = classic.join()
    kept = classic.sync()
    must_say_so = classic.beat()
    nothing_yet = new.beat().assigned
    classic.join()
    classic.sync()
    got = new.beat().assigned

    assert (told.leader_id, told.members, told.protocol) == ("", (), "cooperative-sticky")
    assert len(kept) == 2
    assert must_say_so
    assert nothing_yet is None
    assert got is not None
    assert len(got) == 2
    assert not classic.beat()
    assert house.consumer_group().owners.keys() == house.partitions("t", 0, 1, 2, 3)


def test_a_classic_member_of_a_consumer_group_rejoins_when_partitions_are_free(
    house: GroupHouse,
) -> None:
    new = NewMember(house, "new", ("t",))
    new.join()
    classic = ClassicMember(house, "classic")

    classic.join()
    at_first = classic.sync()
    before = classic.beat()
    new.beat()
    new.beat()
    after = classic.beat()
    classic.join()

    assert at_first == []
    assert not before
    assert after
    assert len(classic.sync()) == 2


def test_a_member_without_a_common_protocol_is_refused(house: GroupHouse) -> None:
    classic, new = mixed_group(house)
    stranger = ClassicMember(house, "x")

    with pytest.raises(StreamCoreError, match="INCONSISTENT_GROUP_PROTOCOL"):
        house.log.join_group(JoinRequest(group=GROUP, protocols=(("sticky", b""),), protocol_type="connect"))
    with pytest.raises(StaleGenerationError, match="UNKNOWN_MEMBER_ID"):
        house.log.heartbeat(GROUP, Membership("new", new.epoch))
    with pytest.raises(StaleGenerationError, match="ILLEGAL_GENERATION"):
        house.log.heartbeat(GROUP, Membership(classic.member_id, 77))
    with pytest.raises(StreamCoreError, match="INCONSISTENT_GROUP_PROTOCOL"):
        house.log.sync_group(SyncRequest(GROUP, classic.membership, protocol="range"))
    stranger.member_id = "never-seen"
    assert stranger.join().member_id == "never-seen"


def test_a_group_of_another_kind_is_not_taken_over(house: GroupHouse) -> None:
    connect = JoinRequest(
        group=GROUP, protocols=(("default", b""),), protocol_type="connect", client_host=HOST
    )
    house.log.join_group(connect)

    with pytest.raises(StreamCoreError) as error:
        NewMember(house, "new", ("t",)).join()

    assert isinstance(error.value.__cause__, ApiError)
    assert error.value.__cause__.refusal.name == "GROUP_ID_NOT_FOUND"
    assert house.log.describe_group(GROUP).protocol_type == "connect"


def test_when_the_last_new_member_goes_the_classic_ones_are_a_classic_group_again(house: GroupHouse) -> None:
    classic, new = mixed_group(house)
    kept = classic.owned

    new.leave()

    group = house.groups.group(GROUP)
    assert isinstance(group, ClassicGroup)
    assert decode_assignment(group.members[classic.member_id].assignment) == tuple(kept)
    assert classic.beat()
    reply = classic.join()
    assert reply.is_leader
    classic.sync(ALL)
    assert house.open().describe_group(GROUP).state == "Stable"


def test_a_crash_after_the_way_back_finds_the_classic_group(house: GroupHouse) -> None:
    classic, new = mixed_group(house)
    new.leave()
    house.log.close()

    house.open()

    assert house.log.describe_group(GROUP).kind == "classic"
    house.log.heartbeat(GROUP, Membership(classic.member_id, house.log.describe_group(GROUP).generation))


def test_an_empty_group_takes_the_protocol_of_its_next_member(house: GroupHouse) -> None:
    new = NewMember(house, "new", ("t",))
    new.join()
    new.leave()

    classic = classic_group(house)
    as_classic = house.log.describe_group(GROUP).kind
    house.log.leave_group(GROUP, classic.member_id)
    new.join()

    assert as_classic == "classic"
    assert house.log.describe_group(GROUP).kind == "consumer"
    assert new.owned == house.partitions("t", 0, 1, 2, 3)
    house.open()
    assert house.log.describe_group(GROUP).kind == "consumer"


def test_a_static_member_changes_its_protocol_and_keeps_its_part(house: GroupHouse) -> None:
    classic = ClassicMember(house, "c", instance_id="i")
    classic.join()
    classic.sync(ALL)

    new = NewMember(house, "new", ("t",), instance_id="i")
    upwards = new.join().assigned
    back = ClassicMember(house, "d", instance_id="i")
    back.join()

    assert upwards == house.partitions("t", 0, 1, 2, 3)
    assert house.log.describe_group(GROUP).kind == "classic"
    assert back.sync() == ALL
    with pytest.raises(StaleGenerationError):
        classic.beat()


def test_a_classic_member_that_does_not_join_again_in_time_is_taken_out(house: GroupHouse) -> None:
    classic, new = classic_group(house), NewMember(house, "new", ("t",))
    new.join()
    for _ in range(3):
        assert classic.beat()
        house.pass_time(9_999)
        new.beat()
    house.pass_time(3)

    assert set(house.consumer_group().members) == {"new"}
    assert new.beat().assigned == house.partitions("t", 0, 1, 2, 3)


def test_a_classic_member_that_does_not_fetch_its_part_in_time_is_taken_out(house: GroupHouse) -> None:
    _, new = mixed_group(house)
    late = ClassicMember(house, "late")
    late.join()
    for _ in range(3):
        house.pass_time(9_999)
        late.beat()
        new.beat()

    house.pass_time(3)

    assert late.member_id not in house.consumer_group().members


def test_members_of_this_process_end_with_it_in_a_mixed_group_too(house: GroupHouse) -> None:
    new = NewMember(house, "new", ("t",))
    new.join()
    ClassicMember(house, "embedded", client_host="in-process").join()
    house.disk.crash()

    house.open()

    assert set(house.consumer_group().members) == {"new"}


def test_members_are_removed_by_whoever_administers_the_group(house: GroupHouse) -> None:
    classic, _ = mixed_group(house)

    house.log.leave_group(GROUP, "new")

    assert house.log.describe_group(GROUP).kind == "classic"
    with pytest.raises(StaleGenerationError):
        house.log.leave_group(GROUP, "nobody")
    house.log.leave_group(GROUP, classic.member_id)
    assert house.log.describe_group(GROUP).state == "Empty"
