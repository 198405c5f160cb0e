"""Groups over the wire: which error each wrong request gets, in the order of Kafka 4.3's checks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import streamcore as sc
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages import incremental_alter_configs
from streamcore.log.protocol.messages.api_versions import ApiVersionsRequest
from streamcore.log.protocol.messages.delete_groups import DeleteGroupsRequest
from streamcore.log.protocol.messages.list_groups import ListGroupsRequest
from streamcore.log.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from streamcore.log.protocol.messages.offset_fetch import OffsetFetchRequest
from tests.support.group_requests import (
    commit_request,
    consumer_heartbeat,
    describe_classic,
    describe_consumer,
    fetch_request,
    heartbeat_request,
    join_request,
    leave_request,
    sync_request,
    transaction_over_position,
)
from tests.support.serving import client_of
from tests.support.wire_client import WireClient

E = ErrorCode
JOIN, SYNC, HEARTBEAT, LEAVE, COMMIT, FETCH = 9, 5, 4, 5, 9, 9


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    with sc.serve(tmp_path_factory.mktemp("groups"), listen="127.0.0.1:0") as served:
        served.log.create_topic("t", partitions=4)
        yield served


@pytest.fixture
def client(served: sc.ServedLog) -> Iterator[WireClient]:
    with client_of(served) as client:
        yield client


@pytest.fixture
def group(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@dataclass
class Member:
    """The only member of a group, with its assignment."""

    group: str
    id: str
    generation: int


@pytest.fixture
def member(client: WireClient, group: str) -> Member:
    member_id = client.ask(join_request(group), JOIN).member_id
    joined = client.ask(join_request(group, member_id), JOIN)
    client.ask(sync_request(group, member_id, joined.generation_id, assignments={member_id: b"mine"}), SYNC)
    return Member(group, member_id, joined.generation_id)


def code(answer: Any) -> ErrorCode:
    return ErrorCode(answer.error_code)


def commit_codes(answer: Any) -> list[ErrorCode]:
    return [ErrorCode(each.error_code) for topic in answer.topics for each in topic.partitions]


def positions_of(client: WireClient, request: OffsetFetchRequest) -> list[Any]:
    (answer,) = client.ask(request, FETCH).groups
    return [each for topic in answer.topics for each in topic.partitions]


# --- the classic protocol -----------------------------------------------------------------------------


def test_a_first_join_is_answered_with_an_id_from_version_4_on(client: WireClient, group: str) -> None:
    with_id = client.ask(join_request(group), 4)
    before = client.ask(join_request(f"{group}-3"), 3)

    assert (code(with_id), with_id.generation_id) == (E.MEMBER_ID_REQUIRED, -1)
    assert with_id.member_id.startswith("test-")
    assert (code(before), before.generation_id, before.leader) == (E.NONE, 1, before.member_id)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"group": ""}, E.INVALID_GROUP_ID),
        ({"session_timeout_ms": 0}, E.INVALID_SESSION_TIMEOUT),
        ({"session_timeout_ms": 1_800_001}, E.INVALID_SESSION_TIMEOUT),
        ({"member_id": "nobody"}, E.UNKNOWN_MEMBER_ID),
        ({"protocols": {}}, E.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocol_type": ""}, E.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocols": {}, "session_timeout_ms": 0}, E.INVALID_SESSION_TIMEOUT),
    ],
)
def test_a_join_that_makes_no_sense_leaves_no_group(
    client: WireClient, group: str, changes: dict[str, Any], expected: ErrorCode
) -> None:
    answer = client.ask(join_request(**({"group": group} | changes)), JOIN)

    assert (code(answer), answer.generation_id, answer.protocol_name) == (expected, -1, None)
    assert describe_classic(client, group).group_state == "Dead"


def test_a_member_without_a_common_protocol_is_refused_before_it_is_looked_up(
    client: WireClient, member: Member
) -> None:
    of_other_type = client.ask(join_request(member.group, protocol_type="connect"), JOIN)
    of_other_protocol = client.ask(join_request(member.group, "nobody", protocols={"sticky": b""}), JOIN)
    unknown = client.ask(join_request(member.group, "nobody"), JOIN)
    of_an_instance = client.ask(join_request(member.group, member.id, group_instance_id="i"), JOIN)

    assert code(of_other_type) is code(of_other_protocol) is E.INCONSISTENT_GROUP_PROTOCOL
    assert code(unknown) is code(of_an_instance) is E.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, E.NONE),
        ({"group": ""}, E.INVALID_GROUP_ID),
        ({"group": "nosuch"}, E.UNKNOWN_MEMBER_ID),
        ({"member_id": "nobody"}, E.UNKNOWN_MEMBER_ID),
        ({"group_instance_id": "i"}, E.UNKNOWN_MEMBER_ID),
        ({"generation": 77}, E.ILLEGAL_GENERATION),
        ({"generation": 77, "protocol_type": "connect"}, E.ILLEGAL_GENERATION),
        ({"protocol_type": "connect"}, E.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocol_name": "sticky"}, E.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocol_name": None}, E.INCONSISTENT_GROUP_PROTOCOL),
        ({"protocol_type": None, "group": ""}, E.INCONSISTENT_GROUP_PROTOCOL),
    ],
)
def test_syncing_asks_for_the_protocol_that_the_group_has(
    client: WireClient, member: Member, changes: dict[str, Any], expected: ErrorCode
) -> None:
    fields: dict[str, Any] = {"group": member.group, "member_id": member.id, "generation": member.generation}

    answer = client.ask(sync_request(**(fields | changes)), SYNC)

    assert code(answer) is expected
    assert answer.assignment == (b"mine" if expected is E.NONE else b"")


def test_a_heartbeat_is_of_a_member_first_and_of_a_generation_then(
    client: WireClient, member: Member
) -> None:
    def beat(instance: str | None = None, **changes: Any) -> ErrorCode:
        fields: dict[str, Any] = {"group": member.group, "member_id": member.id}
        fields |= {"generation": member.generation, "instance_id": instance} | changes
        return code(client.ask(heartbeat_request(**fields), HEARTBEAT))

    assert beat() is E.NONE
    assert beat(group="") is E.INVALID_GROUP_ID
    assert beat(group="nosuch") is E.UNKNOWN_MEMBER_ID
    assert beat(member_id="nobody", generation=77) is E.UNKNOWN_MEMBER_ID
    assert beat(instance="i") is E.UNKNOWN_MEMBER_ID
    assert beat(generation=77) is beat(generation=-1) is E.ILLEGAL_GENERATION


def test_several_members_leave_in_one_request_and_each_has_its_answer(
    client: WireClient, member: Member
) -> None:
    wrong = [("", None), ("nobody", None), ("", "i"), (member.id, "i")]
    request = leave_request(member.group, *wrong, (member.id, None), (member.id, None))

    answer = client.ask(request, LEAVE)

    gone = E.UNKNOWN_MEMBER_ID
    assert [ErrorCode(each.error_code) for each in answer.members] == [gone, gone, gone, gone, E.NONE, gone]
    assert describe_classic(client, member.group).group_state == "Empty"
    assert code(client.ask(leave_request(member.group, (member.id, None)), 2)) is gone
    assert code(client.ask(leave_request("", (member.id, None)), LEAVE)) is E.INVALID_GROUP_ID


def test_an_instance_without_a_name_is_called_after_that(client: WireClient, group: str) -> None:
    answer = client.ask(join_request(group, group_instance_id=""), 9)

    assert answer.member_id.startswith("-")


def test_a_protocol_without_a_name_is_none_where_there_can_be_none(client: WireClient, group: str) -> None:
    names = [
        client.ask(
            join_request(f"{group}-{version}", group_instance_id="i", protocols={"": b""}), version
        ).protocol_name
        for version in (6, 7)
    ]

    assert names == ["", None]


def test_leaving_an_unknown_group_for_a_while_needs_no_id_in_the_first_version(client: WireClient) -> None:
    def code(epoch: int, version: int) -> int:
        answer = consumer_heartbeat(client, "unknown", "", epoch, version=version, instance_id="instance")
        return int(answer.error_code)

    assert [code(-2, 0), code(-2, 1), code(-1, 0)] == [69, 42, 42]


def test_a_static_leader_that_comes_back_keeps_the_assignment(client: WireClient, group: str) -> None:
    def join(version: int) -> Any:
        return client.ask(join_request(group, group_instance_id="i"), version)

    first = join(JOIN)
    given = {first.member_id: b"x"}
    client.ask(sync_request(group, first.member_id, 1, group_instance_id="i", assignments=given), SYNC)

    back = join(9)
    back_before = join(8)
    fenced = client.ask(heartbeat_request(group, first.member_id, 1, "i"), HEARTBEAT)

    assert (back.skip_assignment, back.leader, len(back.members)) == (True, back.member_id, 1)
    # Before version 9 it cannot be told that, and so is not told that it leads.
    assert (back_before.leader, len(back_before.members)) == (back.member_id, 0)
    assert code(fenced) is E.FENCED_INSTANCE_ID


def test_only_the_leader_sees_the_members(served: sc.ServedLog, member: Member) -> None:
    with client_of(served) as leader, client_of(served) as follower:
        second = follower.ask(join_request(member.group), JOIN).member_id
        api = follower.send(join_request(member.group, second), JOIN)
        led = leader.ask(join_request(member.group, member.id), JOIN)
        followed = follower.receive(api, JOIN)

    assert {each.member_id for each in led.members} == {member.id, second}
    assert (followed.members, followed.leader) == ([], member.id)
    assert led.generation_id == followed.generation_id == member.generation + 1


# --- positions ----------------------------------------------------------------------------------------


def test_only_the_position_that_cannot_be_committed_fails(client: WireClient, group: str) -> None:
    places = {("t", 0): 5, ("t", 99): 5, ("nosuch", 0): 5}
    good = commit_request(group, places, leader_epoch=3, metadata="x" * 4096)
    long = commit_request(group, {("t", 1): 5}, metadata="x" * 4097)

    committed, refused = client.ask(good, COMMIT), client.ask(long, COMMIT)
    there, missing = positions_of(client, fetch_request(group, "t", 0, 1))

    unknown = E.UNKNOWN_TOPIC_OR_PARTITION
    assert commit_codes(committed) == [E.NONE, unknown, unknown]
    assert commit_codes(refused) == [E.OFFSET_METADATA_TOO_LARGE]
    assert (there.committed_offset, there.committed_leader_epoch) == (5, 3)
    assert (missing.committed_offset, missing.committed_leader_epoch, missing.metadata) == (-1, -1, "")


def test_committing_for_a_group_with_members_needs_a_membership(client: WireClient, member: Member) -> None:
    def commit(name: str, generation: int, version: int = 8, group: str = member.group) -> list[ErrorCode]:
        return commit_codes(client.ask(commit_request(group, {("t", 0): 1}, name, generation), version))

    assert commit(member.id, member.generation) == [E.NONE]
    assert commit("", -1) == [E.UNKNOWN_MEMBER_ID]
    assert commit("nobody", member.generation) == [E.UNKNOWN_MEMBER_ID]
    assert commit(member.id, 77) == commit(member.id, -1) == [E.ILLEGAL_GENERATION]
    assert commit("m", 1, group="nosuch") == [E.ILLEGAL_GENERATION]
    assert commit("m", 1, version=9, group="nosuch") == [E.GROUP_ID_NOT_FOUND]


def test_positions_of_an_unknown_group_are_none(client: WireClient) -> None:
    fetched = client.ask(fetch_request("nosuch", "t", 0, member_id="m", member_epoch=5), FETCH).groups[0]

    assert code(fetched) is E.NONE
    assert fetched.topics[0].partitions[0].committed_offset == -1


def test_a_position_under_an_open_transaction_is_said_to_be_unstable_at_once(
    client: WireClient, group: str
) -> None:
    client.ask(commit_request(group, {("t", 0): 1}), COMMIT)
    with transaction_over_position(client, group, ("t", 0), 9):
        stable = positions_of(client, fetch_request(group, "t", 0, require_stable=True))[0]
        any_state = positions_of(client, fetch_request(group, "t", 0))[0]
    after = positions_of(client, fetch_request(group, "t", 0, require_stable=True))[0]

    assert (code(stable), stable.committed_offset) == (E.UNSTABLE_OFFSET_COMMIT, -1)
    assert (code(any_state), any_state.committed_offset) == (E.NONE, 1)
    assert (code(after), after.committed_offset) == (E.NONE, 9)


def test_positions_that_members_use_are_not_deleted(client: WireClient, member: Member) -> None:
    client.ask(commit_request(member.group, {("t", 0): 1}, member.id, member.generation), 8)

    def delete(group: str, *names: str) -> Any:
        parts = [OffsetDeleteRequestPartition(partition_index=0)]
        topics = [OffsetDeleteRequestTopic(name=name, partitions=parts) for name in names]
        return client.ask(OffsetDeleteRequest(group_id=group, topics=topics), 0)

    used = delete(member.group, "t", "nosuch")
    client.ask(leave_request(member.group, (member.id, None)), LEAVE)
    unused = delete(member.group, "t")

    assert [E(each.partitions[0].error_code) for each in used.topics] == [
        E.GROUP_SUBSCRIBED_TO_TOPIC,
        E.UNKNOWN_TOPIC_OR_PARTITION,
    ]
    assert E(unused.topics[0].partitions[0].error_code) is E.NONE
    assert code(delete("", "t")) is E.INVALID_GROUP_ID
    assert code(delete("nosuch")) is code(delete("nosuch", "t")) is E.GROUP_ID_NOT_FOUND


# --- the newer protocol -------------------------------------------------------------------------------


def test_the_newer_protocol_is_advertised_as_a_feature(client: WireClient) -> None:
    request = ApiVersionsRequest(client_software_name="a", client_software_version="1")

    answer, before = client.ask(request, 4), client.ask(request, 3)

    levels = {each.name: each.max_version_level for each in answer.finalized_features}
    assert levels["group.version"] == 1
    assert answer.finalized_features_epoch >= 0
    assert "group.version" in {each.name for each in answer.supported_features}
    # Clients of version 3 do not understand a feature that is supported from 0.
    assert "group.version" not in {each.name for each in before.supported_features}
    assert {"group.version"} <= {each.name for each in before.finalized_features}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"member_id": ""}, E.INVALID_REQUEST),
        ({"member_id": "", "member_epoch": 1, "version": 0}, E.INVALID_REQUEST),
        ({"group_id": " "}, E.INVALID_REQUEST),
        ({"instance_id": ""}, E.INVALID_REQUEST),
        ({"rack_id": ""}, E.INVALID_REQUEST),
        ({"rebalance_timeout_ms": -1}, E.INVALID_REQUEST),
        ({"owned": None}, E.INVALID_REQUEST),
        ({"owned": {bytes(16): [0]}}, E.INVALID_REQUEST),
        ({"subscribed_topic_names": None}, E.INVALID_REQUEST),
        ({"member_epoch": -2}, E.INVALID_REQUEST),
        ({"member_epoch": -3}, E.INVALID_REQUEST),
        ({"server_assignor": "mine"}, E.UNSUPPORTED_ASSIGNOR),
        ({"subscribed_topic_names": None, "subscribed_topic_regex": "("}, E.INVALID_REGULAR_EXPRESSION),
        ({"member_epoch": 1}, E.GROUP_ID_NOT_FOUND),
        ({"member_epoch": -1}, E.GROUP_ID_NOT_FOUND),
    ],
)
def test_a_heartbeat_that_makes_no_sense_says_why(
    client: WireClient, group: str, changes: dict[str, Any], expected: ErrorCode
) -> None:
    fields: dict[str, Any] = {"group_id": group, "member_id": "m", "member_epoch": 0} | changes
    fields.setdefault("subscribed_topic_names", ["t"])
    name, member_id, epoch = (fields.pop(each) for each in ("group_id", "member_id", "member_epoch"))
    if epoch != 0:
        fields.setdefault("owned", None)

    answer = consumer_heartbeat(client, name, member_id, epoch, **fields)

    assert (code(answer), answer.member_id, answer.member_epoch) == (expected, None, 0)
    assert answer.error_message
    assert code(describe_consumer(client, group)) is E.GROUP_ID_NOT_FOUND


def test_a_member_without_an_id_is_given_one_in_version_0(client: WireClient, group: str) -> None:
    answer = consumer_heartbeat(client, group, "", 0, version=0, subscribed_topic_names=["t"])

    assert code(answer) is E.NONE
    assert len(answer.member_id) == 36


def test_members_are_described_with_their_assignment_and_their_target(client: WireClient, group: str) -> None:
    first = consumer_heartbeat(client, group, "a", 0, subscribed_topic_names=["t"])
    t = first.assignment.topic_partitions[0].topic_id
    second = consumer_heartbeat(client, group, "b", 0, subscribed_topic_names=["t"])
    asked = consumer_heartbeat(client, group, "a", 2, owned={t: [0, 1, 2, 3]})
    shown = describe_consumer(client, group)
    done = consumer_heartbeat(client, group, "a", 2, owned={t: [0, 1]})
    got = consumer_heartbeat(client, group, "b", 3)

    assert second.assignment.topic_partitions == []
    assert asked.assignment.topic_partitions[0].partitions == [0, 1]
    assert (shown.group_state, shown.assignor_name) == ("Reconciling", "uniform")
    assert (shown.group_epoch, shown.assignment_epoch) == (3, 3)
    assert [[each.partitions for each in m.assignment.topic_partitions] for m in shown.members] == [
        [[0, 1, 2, 3]],
        [],
    ]
    targets = [m.target_assignment.topic_partitions[0].partitions for m in shown.members]
    assert targets == [[0, 1], [2, 3]]
    assert (done.member_epoch, done.assignment) == (3, None)
    assert got.assignment.topic_partitions[0].partitions == [2, 3]
    assert describe_consumer(client, group).group_state == "Stable"


def test_a_full_heartbeat_receives_the_whole_assignment_again(client: WireClient, group: str) -> None:
    first = consumer_heartbeat(client, group, "a", 0, subscribed_topic_names=["t"])
    owned = {first.assignment.topic_partitions[0].topic_id: [0, 1, 2, 3]}
    everything: dict[str, Any] = {"rebalance_timeout_ms": 5_000, "subscribed_topic_names": ["t"]}

    brief = consumer_heartbeat(client, group, "a", 2, owned=owned)
    full = consumer_heartbeat(client, group, "a", 2, owned=owned, **everything)

    assert brief.assignment is None
    assert full.assignment.topic_partitions[0].partitions == [0, 1, 2, 3]


def test_positions_are_fetched_by_members_at_their_epoch(client: WireClient, group: str) -> None:
    consumer_heartbeat(client, group, "a", 0, subscribed_topic_names=["t"])

    def fetched(member_id: str | None, epoch: int) -> ErrorCode:
        request = fetch_request(group, "t", 0, member_id=member_id, member_epoch=epoch)
        return code(client.ask(request, FETCH).groups[0])

    assert fetched("a", 2) is E.NONE
    assert fetched(None, -1) is E.NONE
    assert fetched("a", 1) is E.STALE_MEMBER_EPOCH
    assert fetched("nobody", 2) is fetched("", -1) is E.UNKNOWN_MEMBER_ID


# --- groups as a whole --------------------------------------------------------------------------------


def test_each_group_is_described_by_the_request_of_its_own_protocol(
    client: WireClient, member: Member, group: str
) -> None:
    consumer_heartbeat(client, f"{group}-new", "a", 0, subscribed_topic_names=["t"])

    assert describe_classic(client, member.group).protocol_data == "range"
    assert describe_classic(client, member.group).members[0].client_host == "/127.0.0.1"
    assert code(describe_consumer(client, member.group)) is E.GROUP_ID_NOT_FOUND
    not_classic = describe_classic(client, f"{group}-new")
    assert (code(not_classic), not_classic.group_state) == (E.GROUP_ID_NOT_FOUND, "Dead")
    before = describe_classic(client, f"{group}-new", 5)
    assert (code(before), before.group_state) == (E.NONE, "Dead")
    assert code(describe_consumer(client, "")) is E.INVALID_GROUP_ID


def test_groups_are_listed_by_state_and_type(client: WireClient, member: Member, group: str) -> None:
    consumer_heartbeat(client, f"{group}-new", "a", 0, subscribed_topic_names=["t"])
    client.ask(commit_request(f"{group}-simple", {("t", 0): 1}), COMMIT)

    def listed(states: list[str], types: list[str]) -> set[tuple[str, str, str]]:
        answer = client.ask(ListGroupsRequest(states_filter=states, types_filter=types), 5)
        return {
            (each.group_id.removeprefix(group), each.group_type, each.protocol_type)
            for each in answer.groups
            if each.group_id.startswith(group)
        }

    assert listed([], []) == {
        ("", "classic", "consumer"),
        ("-new", "consumer", "consumer"),
        ("-simple", "classic", ""),
    }
    assert listed(["stable"], ["Classic"]) == {("", "classic", "consumer")}
    assert listed(["EMPTY"], []) == {("-simple", "classic", "")}
    assert listed([], ["nonsense"]) == set()


def test_groups_without_members_are_deleted(client: WireClient, member: Member) -> None:
    def delete(*names: str) -> list[ErrorCode]:
        answer = client.ask(DeleteGroupsRequest(groups_names=list(names)), 2)
        return [E(each.error_code) for each in answer.results]

    with_member = delete(member.group)
    client.ask(leave_request(member.group, (member.id, None)), LEAVE)
    without = delete(member.group, "nosuch", member.group)

    assert with_member == [E.NON_EMPTY_GROUP]
    assert without == [E.NONE, E.GROUP_ID_NOT_FOUND]


def test_names_longer_than_what_is_kept_are_refused(client: WireClient) -> None:
    long = "x" * 10_000

    assert code(client.ask(join_request(long), JOIN)) is E.INVALID_GROUP_ID
    assert commit_codes(client.ask(commit_request(long, {("t", 0): 1}), COMMIT)) == [E.INVALID_GROUP_ID]
    assert code(consumer_heartbeat(client, long, "m", 0, subscribed_topic_names=["t"])) is E.INVALID_GROUP_ID


@pytest.mark.parametrize("assignor", ["range", "cooperative-sticky"])
def test_a_consumer_of_this_process_shares_a_group_with_a_member_of_the_newer_protocol(
    served: sc.ServedLog, client: WireClient, group: str, assignor: str
) -> None:
    first = consumer_heartbeat(client, group, "new", 0, subscribed_topic_names=["t"])
    t, epoch = first.assignment.topic_partitions[0].topic_id, first.member_epoch
    owned = [0, 1, 2, 3]

    with served.log.consumer("t", group=group, assignor=assignor, heartbeat_interval="10ms") as consumer:
        deadline_s = time.monotonic() + 10
        while len(consumer.assignment()) != 2:
            assert time.monotonic() < deadline_s, (consumer.assignment(), owned)
            consumer.poll("10ms")
            answer = consumer_heartbeat(client, group, "new", epoch, owned={t: owned})
            epoch = answer.member_epoch
            if answer.assignment is not None:
                owned = answer.assignment.topic_partitions[0].partitions
        embedded = {place.partition for place in consumer.assignment()}

    assert sorted(embedded | set(owned)) == [0, 1, 2, 3]


def test_the_times_of_a_group_of_the_newer_protocol_are_its_own(
    client: WireClient, served: sc.ServedLog, group: str
) -> None:
    set_for_group(client, group, "consumer.heartbeat.interval.ms", "7000")

    own = consumer_heartbeat(client, group, "a", 0, subscribed_topic_names=["t"])
    other = consumer_heartbeat(client, f"{group}-other", "a", 0, subscribed_topic_names=["t"])

    assert (own.heartbeat_interval_ms, other.heartbeat_interval_ms) == (7000, 5000)


def set_for_group(client: WireClient, group: str, name: str, value: str) -> None:
    m = incremental_alter_configs
    changes = [m.AlterableConfig(name=name, config_operation=0, value=value)]
    resource = m.AlterConfigsResource(resource_type=32, resource_name=group, configs=changes)
    request = m.IncrementalAlterConfigsRequest(resources=[resource], validate_only=False)
    assert client.ask(request, 1).responses[0].error_code == E.NONE
