"""What a client may do with groups, and with topics by way of groups, where an authorizer asks for rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.broker.cluster_state import TOPIC as STATE_TOPIC
from streamcore.log.protocol.messages.consumer_group_describe import ConsumerGroupDescribeRequest
from streamcore.log.protocol.messages.create_acls import AclCreation, CreateAclsRequest
from streamcore.log.protocol.messages.delete_groups import DeleteGroupsRequest
from streamcore.log.protocol.messages.describe_groups import DescribeGroupsRequest
from streamcore.log.protocol.messages.find_coordinator import FindCoordinatorRequest
from streamcore.log.protocol.messages.list_groups import ListGroupsRequest
from streamcore.log.protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from streamcore.log.protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
)
from tests.support.group_requests import (
    commit_request,
    consumer_heartbeat,
    describe_consumer,
    fetch_request,
    heartbeat_request,
    join_request,
    leave_request,
    sync_request,
)
from tests.support.logins import add_user, log_in
from tests.support.serving import client_of
from tests.support.wire_client import WireClient

E = ErrorCode
TOPIC, GROUP, CLUSTER, TRANSACTIONAL_ID = 2, 3, 4, 5
READ, DELETE, DESCRIBE = 3, 6, 8
ALLOW = 3
DENIED = E.GROUP_AUTHORIZATION_FAILED


@pytest.fixture
def served(tmp_path: Path) -> Iterator[sc.ServedLog]:
    security = sc.Security(authorize=True, super_users=["User:root"])
    with sc.serve(tmp_path, listen="sasl_plaintext://127.0.0.1:0", security=security) as served:
        for user in ("root", "alice"):
            add_user(served, user, "secret")
        for topic in ("mine", "other"):
            served.log.create_topic(topic)
        yield served


@pytest.fixture
def root(served: sc.ServedLog) -> Iterator[WireClient]:
    with client_of(served) as client:
        log_in(client, "root", "secret")
        yield client


@pytest.fixture
def alice(served: sc.ServedLog) -> Iterator[WireClient]:
    with client_of(served) as client:
        log_in(client, "alice", "secret")
        yield client


def allow(root: WireClient, operation: int, of: int, name: str) -> None:
    creation = AclCreation(
        resource_type=of,
        resource_name=name,
        operation=operation,
        principal="User:alice",
        host="*",
        permission_type=ALLOW,
    )
    (result,) = root.ask(CreateAclsRequest(creations=[creation]), 3).results
    assert result.error_code == 0


def commit_codes(answer: Any) -> list[int]:
    return [each.error_code for topic in answer.topics for each in topic.partitions]


def delete_request(group: str, *topics: str) -> OffsetDeleteRequest:
    parts = [OffsetDeleteRequestPartition(partition_index=0)]
    return OffsetDeleteRequest(
        group_id=group, topics=[OffsetDeleteRequestTopic(name=name, partitions=parts) for name in topics]
    )


# --- groups -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.ask(join_request("g"), 9),
        lambda client: client.ask(sync_request("g", "m", 1), 5),
        lambda client: client.ask(heartbeat_request("g", "m", 1), 4),
        lambda client: client.ask(leave_request("g", ("m", None)), 5),
        lambda client: consumer_heartbeat(client, "g", "m", 0, subscribed_topic_names=[]),
    ],
)
def test_a_group_is_for_members_that_may_read_it(
    root: WireClient, alice: WireClient, ask: Callable[[WireClient], Any]
) -> None:
    before = ask(alice)
    allow(root, READ, GROUP, "g")
    after = ask(alice)

    assert before.error_code == DENIED
    assert after.error_code != DENIED
    assert getattr(before, "member_id", "") in ("", None)


def test_listing_groups_shows_those_that_the_client_may_describe(root: WireClient, alice: WireClient) -> None:
    for group in ("g", "hidden"):
        root.ask(join_request(group), 3)
    allow(root, DESCRIBE, GROUP, "g")
    request = DescribeGroupsRequest(groups=["g", "hidden"], include_authorized_operations=True)

    listed = [each.group_id for each in alice.ask(ListGroupsRequest(), 5).groups]
    shown = alice.ask(request, 6).groups
    coordinators = alice.ask(FindCoordinatorRequest(key_type=0, coordinator_keys=["g", "hidden"]), 4)
    of_transaction = alice.ask(FindCoordinatorRequest(key_type=1, key="t"), 3)

    assert listed == ["g"]
    assert [each.error_code for each in shown] == [0, DENIED]
    assert shown[0].authorized_operations == 1 << DESCRIBE
    assert shown[1].members == []
    assert [each.error_code for each in coordinators.coordinators] == [0, DENIED]
    assert of_transaction.error_code == E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED

    allow(root, DESCRIBE, CLUSTER, "kafka-cluster")
    assert [each.group_id for each in alice.ask(ListGroupsRequest(), 5).groups] == ["g", "hidden"]


def test_deleting_groups_needs_the_right_to_delete_them(root: WireClient, alice: WireClient) -> None:
    for group in ("g", "other"):
        root.ask(commit_request(group, {("mine", 0): 1}), 9)
    allow(root, DELETE, GROUP, "g")

    deleted = alice.ask(DeleteGroupsRequest(groups_names=["g", "other"]), 2)

    assert [each.error_code for each in deleted.results] == [0, DENIED]
    assert [each.group_id for each in root.ask(ListGroupsRequest(), 5).groups] == ["other"]


# --- positions ----------------------------------------------------------------------------------------


def test_positions_are_committed_in_topics_that_the_client_may_read(
    root: WireClient, alice: WireClient
) -> None:
    request = commit_request("g", {("mine", 0): 1, ("other", 0): 1, (STATE_TOPIC, 0): 1})
    refused = alice.ask(request, 9)
    allow(root, READ, GROUP, "g")
    allow(root, READ, TOPIC, "mine")

    answer = alice.ask(request, 9)

    assert commit_codes(refused) == [DENIED] * 3
    assert commit_codes(answer) == [0, E.TOPIC_AUTHORIZATION_FAILED, E.TOPIC_AUTHORIZATION_FAILED]


def test_offsets_are_answered_for_topics_that_the_client_may_describe(
    root: WireClient, alice: WireClient
) -> None:
    root.ask(commit_request("g", {("mine", 0): 1, ("other", 0): 2}), 9)
    everything = OffsetFetchRequest(
        groups=[OffsetFetchRequestGroup(group_id="g", topics=None)], require_stable=False
    )
    of_old = OffsetFetchRequest(
        group_id="g", topics=[OffsetFetchRequestTopic(name="mine", partition_indexes=[0])]
    )
    refused = [
        alice.ask(everything, 9).groups[0].error_code,
        alice.ask(of_old, 7).error_code,
        alice.ask(of_old, 1).topics[0].partitions[0].error_code,
    ]
    allow(root, DESCRIBE, GROUP, "g")
    allow(root, DESCRIBE, TOPIC, "mine")

    (told,) = alice.ask(everything, 9).groups
    (of_other,) = alice.ask(fetch_request("g", "other", 0), 9).groups[0].topics[0].partitions

    assert refused == [DENIED] * 3
    assert [(each.name, each.partitions[0].committed_offset) for each in told.topics] == [("mine", 1)]
    assert (of_other.error_code, of_other.committed_offset) == (E.TOPIC_AUTHORIZATION_FAILED, -1)


def test_deleting_offsets_needs_the_rights_to_delete_the_group_and_to_read_the_topic(
    root: WireClient, alice: WireClient
) -> None:
    root.ask(commit_request("g", {("mine", 0): 1, ("other", 0): 2}), 9)
    request = delete_request("g", "mine", "other")
    refused = alice.ask(request, 0)
    allow(root, DELETE, GROUP, "g")
    allow(root, READ, TOPIC, "mine")

    answer = alice.ask(request, 0)

    assert (refused.error_code, refused.topics) == (DENIED, [])
    assert (answer.error_code, commit_codes(answer)) == (0, [0, E.TOPIC_AUTHORIZATION_FAILED])
    left = root.ask(fetch_request("g", "other", 0), 9).groups[0].topics[0].partitions[0]
    assert left.committed_offset == 2


# --- the newer protocol -------------------------------------------------------------------------------


def test_subscribing_needs_the_right_to_describe_the_topic(root: WireClient, alice: WireClient) -> None:
    allow(root, READ, GROUP, "g")
    allow(root, DESCRIBE, TOPIC, "mine")

    refused = consumer_heartbeat(alice, "g", "m", 0, subscribed_topic_names=["mine", "other"])
    joined = consumer_heartbeat(alice, "g", "m", 0, subscribed_topic_names=["mine"])

    assert (refused.error_code, joined.error_code) == (E.TOPIC_AUTHORIZATION_FAILED, 0)
    shown = alice.ask(
        ConsumerGroupDescribeRequest(group_ids=["g", "h"], include_authorized_operations=True), 1
    ).groups
    assert [each.error_code for each in shown] == [0, DENIED]
    assert shown[0].authorized_operations == 1 << READ | 1 << DESCRIBE

    consumer_heartbeat(root, "g", "n", 0, subscribed_topic_names=["other"])
    assert describe_consumer(alice, "g").error_code == E.TOPIC_AUTHORIZATION_FAILED
    assert describe_consumer(root, "g").error_code == 0


def test_a_pattern_stands_for_topics_that_the_member_may_know_of(
    served: sc.ServedLog, root: WireClient, alice: WireClient
) -> None:
    allow(root, READ, GROUP, "g")
    allow(root, DESCRIBE, TOPIC, "mine")
    by_pattern: dict[str, Any] = {"subscribed_topic_names": [], "subscribed_topic_regex": ".*"}

    consumer_heartbeat(alice, "g", "m", 0, **by_pattern)
    consumer_heartbeat(root, "h", "m", 0, **by_pattern)

    def topics_of(group: str) -> set[str]:
        (member,) = describe_consumer(root, group).members
        return {each.topic_name for each in member.assignment.topic_partitions}

    assert STATE_TOPIC in served.log.topics()
    assert topics_of("g") == {"mine"}
    assert topics_of("h") >= {"mine", "other"}
    assert STATE_TOPIC not in topics_of("h")
