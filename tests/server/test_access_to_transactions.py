"""Who may use transactional ids, and look up offsets and producers, where an authorizer is on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import streamcore as sc
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.broker.access.acl import AccessRuleFilter
from streamcore.log.broker.requests import ProducerIdentity
from streamcore.log.protocol.messages.create_acls import AclCreation, CreateAclsRequest
from streamcore.log.protocol.messages.describe_producers import DescribeProducersRequest, TopicRequest
from streamcore.log.protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from streamcore.log.protocol.messages.list_transactions import ListTransactionsRequest
from streamcore.log.protocol.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from streamcore.log.protocol.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)
from tests.support.logins import add_user, log_in
from tests.support.serving import client_of
from tests.support.transaction_client import NOBODY, TransactionClient
from tests.support.wire_client import WireClient

E = ErrorCode
TOPIC, GROUP, CLUSTER, TRANSACTIONAL_ID = 2, 3, 4, 5
READ, WRITE, ALTER, DESCRIBE, CLUSTER_ACTION, IDEMPOTENT_WRITE = 3, 4, 7, 8, 9, 12
ID = "t"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    security = sc.Security(authorize=True, super_users=["User:root"])
    folder = tmp_path_factory.mktemp("log")
    with sc.serve(folder, listen="sasl_plaintext://127.0.0.1:0", security=security) as served:
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
    log = served.log.embedded
    log.node.driver.run(log.node.broker.access_rules.delete([AccessRuleFilter()]))


@pytest.fixture
def wire(served: sc.ServedLog) -> Iterator[WireClient]:
    with client_of(served) as client:
        log_in(client, "alice", "secret")
        yield client


@pytest.fixture
def alice(wire: WireClient) -> TransactionClient:
    return TransactionClient(wire)


def allow(root: WireClient, operation: int, resource_type: int, name: str) -> None:
    creation = AclCreation(
        resource_type=resource_type,
        resource_name=name,
        principal="User:alice",
        host="*",
        operation=operation,
        permission_type=3,
    )
    assert root.ask(CreateAclsRequest(creations=[creation]), 3).results[0].error_code == 0


@pytest.mark.parametrize(
    ("operation", "resource_type", "name"),
    [(WRITE, TOPIC, "mine"), (IDEMPOTENT_WRITE, CLUSTER, "kafka-cluster")],
)
def test_the_right_to_write_any_topic_permits_an_idempotent_producer(
    root: WireClient, alice: TransactionClient, operation: int, resource_type: int, name: str
) -> None:
    before = alice.init(None)[0]

    allow(root, operation, resource_type, name)

    assert (before, alice.init(None)[0]) == (E.CLUSTER_AUTHORIZATION_FAILED, E.NONE)


def test_a_transactional_id_needs_the_right_to_write(root: WireClient, alice: TransactionClient) -> None:
    identity = TransactionClient(root).begin(ID)
    allow(root, WRITE, TOPIC, "mine")
    allow(root, READ, TOPIC, "mine")
    allow(root, READ, GROUP, "g")

    answers = {
        alice.init(ID)[0],
        *alice.add_partitions(ID, identity, {"mine": [0]}),
        alice.add_offsets(ID, identity, "g"),
        *alice.commit_offsets(ID, identity, "g", {"mine": 1}),
        alice.produce(ID, identity, "mine"),
        alice.end(ID, identity)[0],
    }
    allow(root, WRITE, TRANSACTIONAL_ID, ID)

    assert answers == {E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED}
    assert alice.produce(ID, identity, "mine") is E.NONE
    assert alice.commit_offsets(ID, identity, "g", {"mine": 1}) == [E.NONE]
    assert alice.end(ID, identity)[0] is E.NONE


def test_topics_and_groups_of_a_transaction_need_rights_of_their_own(
    root: WireClient, alice: TransactionClient
) -> None:
    allow(root, WRITE, TRANSACTIONAL_ID, ID)
    allow(root, WRITE, TOPIC, "mine")
    allow(root, READ, TOPIC, "mine")
    allow(root, READ, GROUP, "g")
    identity = alice.begin(ID)

    joined = alice.add_partitions(ID, identity, {"mine": [0], "other": [0]})
    committed = alice.commit_offsets(ID, identity, "g", {"mine": 1, "other": 1})

    assert joined == [E.OPERATION_NOT_ATTEMPTED, E.TOPIC_AUTHORIZATION_FAILED]
    assert committed == [E.NONE, E.TOPIC_AUTHORIZATION_FAILED]
    assert alice.add_offsets(ID, identity, "h") is E.GROUP_AUTHORIZATION_FAILED
    assert alice.commit_offsets(ID, identity, "h", {"mine": 1}) == [E.GROUP_AUTHORIZATION_FAILED]
    # Only brokers ask for several at once.
    assert alice.add_partitions(ID, identity, {"mine": [0]}, version=4) == [E.CLUSTER_AUTHORIZATION_FAILED]
    allow(root, CLUSTER_ACTION, CLUSTER, "kafka-cluster")
    assert alice.add_partitions(ID, identity, {"mine": [0]}, version=4) == [E.NONE]
    alice.end(ID, identity)


def test_describing_transactions_needs_the_right_to_describe_them(
    root: WireClient, wire: WireClient, alice: TransactionClient
) -> None:
    for name in (ID, "u"):
        TransactionClient(root).begin(name)
    request = ListTransactionsRequest(state_filters=[], producer_id_filters=[])
    before = alice.describe(ID).error_code

    allow(root, DESCRIBE, TRANSACTIONAL_ID, ID)

    assert before == E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert alice.describe(ID).error_code == E.NONE
    assert [each.transactional_id for each in wire.ask(request, 2).transaction_states] == [ID]


def test_offsets_epochs_and_producers_need_rights_on_the_topic(root: WireClient, wire: WireClient) -> None:
    offsets = ListOffsetsRequest(
        replica_id=-1,
        topics=[
            ListOffsetsTopic(name=name, partitions=[ListOffsetsPartition(partition_index=0, timestamp=-1)])
            for name in ("mine", "other")
        ],
    )
    epochs = OffsetForLeaderEpochRequest(
        topics=[
            OffsetForLeaderTopic(
                topic=name, partitions=[OffsetForLeaderPartition(partition=0, leader_epoch=0)]
            )
            for name in ("mine", "other")
        ]
    )
    producers = DescribeProducersRequest(
        topics=[TopicRequest(name=name, partition_indexes=[0]) for name in ("mine", "other")]
    )
    allow(root, DESCRIBE, TOPIC, "mine")

    described = [
        wire.ask(request, version) for request, version in ((offsets, 7), (epochs, 4), (producers, 0))
    ]
    allow(root, READ, TOPIC, "mine")
    read = wire.ask(producers, 0)

    codes = [[topic.partitions[0].error_code for topic in answer.topics] for answer in [*described, read]]
    refused = E.TOPIC_AUTHORIZATION_FAILED
    assert codes == [[0, refused], [0, refused], [refused, refused], [0, refused]]


@pytest.mark.parametrize("operation", [CLUSTER_ACTION, ALTER])
def test_writing_markers_needs_the_right_to_alter_the_cluster(
    root: WireClient, wire: WireClient, operation: int
) -> None:
    def mark(identity: ProducerIdentity) -> int:
        marker = WritableTxnMarker(
            producer_id=identity.producer_id,
            producer_epoch=identity.epoch,
            transaction_result=False,
            topics=[WritableTxnMarkerTopic(name="mine", partition_indexes=[0])],
            coordinator_epoch=0,
        )
        answer = wire.ask(WriteTxnMarkersRequest(markers=[marker]), 1)
        return int(answer.markers[0].topics[0].partitions[0].error_code)

    before = mark(NOBODY)
    allow(root, operation, CLUSTER, "kafka-cluster")

    assert (before, mark(NOBODY)) == (E.CLUSTER_AUTHORIZATION_FAILED, E.INVALID_REQUEST)
