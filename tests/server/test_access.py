"""Access rules and users over the wire: who may change them, what they answer, what they hold clients to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import streamcore as sc
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.broker.access.acl import AccessRuleFilter
from streamcore.log.broker.cluster_state import TOPIC as STATE_TOPIC
from streamcore.log.protocol.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from streamcore.log.protocol.messages.create_acls import AclCreation, CreateAclsRequest
from streamcore.log.protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
from streamcore.log.protocol.messages.delete_acls import DeleteAclsFilter, DeleteAclsRequest
from streamcore.log.protocol.messages.describe_acls import DescribeAclsRequest
from streamcore.log.protocol.messages.describe_user_scram_credentials import (
    DescribeUserScramCredentialsRequest,
    UserName,
)
from streamcore.log.protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from streamcore.log.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from streamcore.log.protocol.messages.produce import ProduceResponse
from streamcore.model import TopicPartition
from tests.support.logins import add_user, log_in
from tests.support.serving import batch, client_of, fetch, produce, produce_request, records_of
from tests.support.wire_client import WireClient

E = ErrorCode
ANY, TOPIC, GROUP, CLUSTER, TRANSACTIONAL_ID = 1, 2, 3, 4, 5
LITERAL, PREFIXED = 3, 4
ALL, READ, WRITE, CREATE, DESCRIBE = 2, 3, 4, 5, 8
DENY, ALLOW = 2, 3
OTHER = TopicPartition("other", 0)
NOT_ASKED = -(2**31)


@contextmanager
def serving(folder: Path, *, authorize: bool = True) -> Iterator[sc.ServedLog]:
    security = sc.Security(authorize=authorize, super_users=["User:root"] if authorize else ())
    with sc.serve(folder, listen="sasl_plaintext://127.0.0.1:0", security=security) as served:
        for user in ("root", "alice"):
            add_user(served, user, "secret")
        for topic in ("mine", "other"):
            served.log.create_topic(topic)
        yield served


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    with serving(tmp_path_factory.mktemp("log")) as served:
        yield served


@pytest.fixture
def served(shared: sc.ServedLog) -> Iterator[sc.ServedLog]:
    """A log without rules, with whatever topics the tests before have left."""
    yield shared
    log = shared.log.embedded
    log.node.driver.run(log.node.broker.access_rules.delete([AccessRuleFilter()]))


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


def creation(
    resource_type: int = TOPIC, name: str = "mine", operation: int = READ, **options: Any
) -> AclCreation:
    fields = {"principal": "User:alice", "host": "*", "permission_type": ALLOW, **options}
    return AclCreation(resource_type=resource_type, resource_name=name, operation=operation, **fields)


def create(client: WireClient, *creations: AclCreation) -> list[int]:
    response = client.ask(CreateAclsRequest(creations=list(creations)), 3)
    return [result.error_code for result in response.results]


def allow(client: WireClient, operation: int, *, of: int = TOPIC, name: str = "mine") -> None:
    assert create(client, creation(of, name, operation)) == [0]


def wanted(kind: type[Any] = DescribeAclsRequest, **options: Any) -> Any:
    fields = {
        "resource_type_filter": ANY,
        "resource_name_filter": None,
        "pattern_type_filter": ANY,
        "principal_filter": None,
        "host_filter": None,
        "operation": ANY,
        "permission_type": ANY,
        **options,
    }
    return kind(**fields)


# --- rules --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2, 3])
def test_rules_are_created_shown_and_deleted(root: WireClient, version: int) -> None:
    request = CreateAclsRequest(
        creations=[
            creation(operation=READ),
            creation(operation=WRITE),
            creation(GROUP, "g", READ, resource_pattern_type=PREFIXED, host="10.0.0.1", permission_type=DENY),
        ]
    )

    created = root.ask(request, version)
    shown = root.ask(wanted(), version)
    deleted = root.ask(
        DeleteAclsRequest(filters=[wanted(DeleteAclsFilter, resource_type_filter=TOPIC)]), version
    )
    left = root.ask(wanted(), version)

    assert [result.error_code for result in created.results] == [0, 0, 0]
    assert [(r.resource_type, r.resource_name, r.pattern_type, len(r.acls)) for r in shown.resources] == [
        (TOPIC, "mine", LITERAL, 2),
        (GROUP, "g", PREFIXED, 1),
    ]
    (rule,) = shown.resources[1].acls
    assert (rule.principal, rule.host, rule.operation, rule.permission_type) == (
        "User:alice",
        "10.0.0.1",
        READ,
        DENY,
    )
    (result,) = deleted.filter_results
    assert [(acl.resource_name, acl.operation) for acl in result.matching_acls] == [
        ("mine", READ),
        ("mine", WRITE),
    ]
    assert [resource.resource_name for resource in left.resources] == ["g"]


@pytest.mark.parametrize(
    "wrong",
    [
        creation(name=""),
        creation(ANY),
        creation(0),
        creation(99),
        creation(resource_pattern_type=2),
        creation(resource_pattern_type=0),
        creation(operation=1),
        creation(operation=77),
        creation(permission_type=1),
        creation(principal="alice"),
        creation(CLUSTER, "another-cluster"),
    ],
)
def test_an_invalid_rule_is_refused_without_the_others(root: WireClient, wrong: AclCreation) -> None:
    assert create(root, creation(), wrong, creation(operation=WRITE)) == [0, E.INVALID_REQUEST, 0]


def test_filters_for_unknown_users_match_nothing_and_empty_filters_are_refused(root: WireClient) -> None:
    allow(root, READ)

    newer = root.ask(wanted(operation=99), 3)
    senseless = root.ask(wanted(resource_type_filter=0), 3)
    deleted = root.ask(
        DeleteAclsRequest(filters=[wanted(DeleteAclsFilter, operation=99), wanted(DeleteAclsFilter)]), 3
    )

    assert (newer.error_code, newer.resources) == (0, [])
    assert senseless.error_code == E.INVALID_REQUEST
    assert [len(result.matching_acls) for result in deleted.filter_results] == [0, 1]


def test_acls_need_rights_on_the_cluster(alice: WireClient) -> None:
    created = create(alice, creation(operation=ALL), creation())
    deleted = alice.ask(DeleteAclsRequest(filters=[wanted(DeleteAclsFilter)]), 3)
    shown = alice.ask(wanted(), 3)

    assert created == [E.CLUSTER_AUTHORIZATION_FAILED] * 2
    assert deleted.filter_results[0].error_code == E.CLUSTER_AUTHORIZATION_FAILED
    assert (shown.error_code, shown.resources) == (E.CLUSTER_AUTHORIZATION_FAILED, [])


def test_without_an_authorizer_there_are_no_rules_to_speak_of(tmp_path: Path) -> None:
    with serving(tmp_path, authorize=False) as served, client_of(served) as client:
        log_in(client, "alice", "secret")

        assert create(client, creation()) == [E.SECURITY_DISABLED]
        assert client.ask(wanted(), 3).error_code == E.SECURITY_DISABLED
        deleted = client.ask(DeleteAclsRequest(filters=[wanted(DeleteAclsFilter)]), 3)
        assert deleted.filter_results[0].error_code == E.SECURITY_DISABLED


def test_rules_and_users_are_there_after_a_restart(tmp_path: Path) -> None:
    with serving(tmp_path) as served, client_of(served) as client:
        log_in(client, "root", "secret")
        allow(client, WRITE)
        allow(client, WRITE, name="later")

    security = sc.Security(authorize=True)
    served = sc.serve(tmp_path, listen="sasl_plaintext://127.0.0.1:0", security=security)
    with served, client_of(served) as client:
        assert log_in(client, "alice", "secret").error_code == 0
        assert produce(client, "mine", batch(b"a")).error_code == 0
        assert produce(client, "other", batch(b"a")).error_code == E.TOPIC_AUTHORIZATION_FAILED


# --- produce, fetch, metadata -------------------------------------------------------------------


def test_records_are_taken_for_the_topics_that_the_client_may_write(
    served: sc.ServedLog, root: WireClient, alice: WireClient
) -> None:
    allow(root, WRITE)
    before = served.log.offsets([OTHER])[OTHER]

    request = produce_request("mine", batch(b"a"))
    request.topic_data += produce_request("other", batch(b"b")).topic_data
    request.topic_data += produce_request("never-was", batch(b"b")).topic_data
    response = alice.ask(request, 12)

    assert isinstance(response, ProduceResponse)
    codes = [topic.partition_responses[0].error_code for topic in response.responses]
    assert codes == [0, E.TOPIC_AUTHORIZATION_FAILED, E.TOPIC_AUTHORIZATION_FAILED]
    assert served.log.offsets([OTHER])[OTHER] == before


def test_a_batch_of_a_transaction_needs_the_transactional_id(root: WireClient, alice: WireClient) -> None:
    allow(root, WRITE)
    transactional = batch(b"a", producer_id=1, producer_epoch=0, base_sequence=0, transactional=True)
    request = produce_request("mine", transactional)
    request.topic_data += produce_request("other", batch(b"b")).topic_data
    answers = []
    for transactional_id in (None, "mine-too"):
        request.transactional_id = transactional_id
        response = alice.ask(request, 11)
        answers.append({topic.partition_responses[0].error_code for topic in response.responses})

    allow(root, WRITE, of=TRANSACTIONAL_ID, name="mine-too")
    request.transactional_id = "mine-too"
    allowed = alice.ask(request, 11)

    assert answers == [{E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED}] * 2
    codes = [topic.partition_responses[0].error_code for topic in allowed.responses]
    assert codes[0] not in (0, E.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)  # nobody began the transaction
    assert codes[1] == E.TOPIC_AUTHORIZATION_FAILED


def test_a_refused_batch_without_an_answer_ends_the_connection(alice: WireClient) -> None:
    alice.send(produce_request("mine", batch(b"a"), acks=0), 12)

    assert alice.is_closed_by_peer()


def test_records_are_given_of_the_topics_that_the_client_may_read(
    served: sc.ServedLog, root: WireClient, alice: WireClient
) -> None:
    allow(root, READ)
    for topic in ("mine", "other"):
        produce(root, topic, batch(b"a"))

    assert records_of(fetch(alice, "mine"))
    for topic in ("other", "never-was"):
        answer = fetch(alice, topic)
        assert (answer.error_code, records_of(answer)) == (E.TOPIC_AUTHORIZATION_FAILED, b"")
    topic_id = served.log.topics()["other"].topic_id.bytes
    wanted_partition = FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=1_000)
    by_id = alice.ask(
        FetchRequest(
            max_wait_ms=0,
            min_bytes=1,
            topics=[FetchTopic(topic_id=topic_id, partitions=[wanted_partition])],
        ),
        13,
    )
    assert by_id.responses[0].partitions[0].error_code == E.TOPIC_AUTHORIZATION_FAILED


def test_a_client_sees_only_topics_that_it_may_describe(root: WireClient, alice: WireClient) -> None:
    allow(root, READ)

    listed = alice.ask(MetadataRequest(topics=None), 9).topics
    names = [MetadataRequestTopic(name=name) for name in ("mine", "other", "never-was")]
    asked = alice.ask(MetadataRequest(topics=names), 9).topics

    assert [topic.name for topic in listed] == ["mine"]
    assert [(topic.error_code, len(topic.partitions)) for topic in asked] == [
        (0, 1),
        (E.TOPIC_AUTHORIZATION_FAILED, 0),
        (E.TOPIC_AUTHORIZATION_FAILED, 0),
    ]


def test_a_topic_is_auto_created_for_clients_that_may_create_it(
    served: sc.ServedLog, root: WireClient, alice: WireClient
) -> None:
    request = MetadataRequest(topics=[MetadataRequestTopic(name="new")])
    allow(root, WRITE, name="new")
    before = alice.ask(request, 9).topics[0].error_code
    exists_before = "new" in served.log.topics()

    allow(root, CREATE, name="new")
    after = alice.ask(request, 9).topics[0].error_code

    assert (before, exists_before, after) == (E.TOPIC_AUTHORIZATION_FAILED, False, 0)
    assert "new" in served.log.topics()


@pytest.mark.parametrize("operation", [CREATE, DESCRIBE])
def test_allowed_operations_on_the_cluster_need_the_right_to_describe_it(
    root: WireClient, alice: WireClient, operation: int
) -> None:
    request = MetadataRequest(
        topics=[MetadataRequestTopic(name="mine")],
        include_cluster_authorized_operations=True,
        include_topic_authorized_operations=True,
    )
    allow(root, operation, of=CLUSTER, name="kafka-cluster")
    allow(root, READ)

    of_alice, of_root = alice.ask(request, 10), root.ask(request, 10)

    assert of_alice.cluster_authorized_operations == (1 << DESCRIBE if operation == DESCRIBE else 0)
    assert of_alice.topics[0].topic_authorized_operations == 1 << READ | 1 << DESCRIBE
    assert (of_root.cluster_authorized_operations, of_root.topics[0].topic_authorized_operations) == (
        8096,
        3576,
    )
    unasked = root.ask(MetadataRequest(topics=request.topics), 10)
    assert unasked.cluster_authorized_operations == NOT_ASKED
    assert unasked.topics[0].topic_authorized_operations == NOT_ASKED


def test_no_client_may_read_the_topic_with_the_users(tmp_path: Path) -> None:
    for authorize in (True, False):
        with serving(tmp_path / str(authorize), authorize=authorize) as served, client_of(served) as client:
            log_in(client, "root", "secret")
            exists = STATE_TOPIC in served.log.topics()

            listed = [topic.name for topic in client.ask(MetadataRequest(topics=None), 9).topics]
            asked = client.ask(MetadataRequest(topics=[MetadataRequestTopic(name=STATE_TOPIC)]), 9)
            written = produce(client, STATE_TOPIC, batch(b"a"))
            read = fetch(client, STATE_TOPIC)

            assert exists
            assert STATE_TOPIC not in listed
            assert {asked.topics[0].error_code, written.error_code, read.error_code} == {
                E.TOPIC_AUTHORIZATION_FAILED
            }


def test_the_name_of_a_topic_under_creation_is_reserved(tmp_path: Path) -> None:
    with sc.serve(tmp_path, listen="127.0.0.1:0") as served, client_of(served) as client:
        topic = CreatableTopic(
            name=STATE_TOPIC, num_partitions=1, replication_factor=1, assignments=[], configs=[]
        )

        created = client.ask(CreateTopicsRequest(topics=[topic], timeout_ms=1_000), 7)

        assert created.topics[0].error_code != 0
        assert STATE_TOPIC not in served.log.topics()


# --- users --------------------------------------------------------------------------------------


def upsertion(name: str, mechanism: int = 1, iterations: int = 4_096) -> ScramCredentialUpsertion:
    return ScramCredentialUpsertion(
        name=name, mechanism=mechanism, iterations=iterations, salt=b"s" * 16, salted_password=b"p" * 32
    )


def alter(
    client: WireClient,
    upsertions: list[ScramCredentialUpsertion],
    deletions: list[ScramCredentialDeletion] | None = None,
) -> dict[str, int]:
    request = AlterUserScramCredentialsRequest(deletions=deletions or [], upsertions=upsertions)
    return {result.user: result.error_code for result in client.ask(request, 0).results}


def described(client: WireClient, *names: str) -> Any:
    users = [UserName(name=name) for name in names] or None
    return client.ask(DescribeUserScramCredentialsRequest(users=users), 0)


def test_an_admin_adds_shows_and_deletes_users(root: WireClient) -> None:
    added = alter(root, [upsertion("bob"), upsertion("", 1), upsertion("carol", 1, 1), upsertion("dave", 9)])
    shown = described(root, "bob", "nobody", "twice", "twice")
    everybody = described(root)
    deleted = alter(
        root,
        [],
        [ScramCredentialDeletion(name=name, mechanism=1) for name in ("bob", "nobody", "alice", "alice")],
    )

    assert added == {
        "bob": 0,
        "": E.UNACCEPTABLE_CREDENTIAL,
        "carol": E.UNACCEPTABLE_CREDENTIAL,
        "dave": E.UNSUPPORTED_SASL_MECHANISM,
    }
    assert [
        (each.user, each.error_code, [(info.mechanism, info.iterations) for info in each.credential_infos])
        for each in shown.results
    ] == [
        ("bob", 0, [(1, 4_096)]),
        ("nobody", E.RESOURCE_NOT_FOUND, []),
        ("twice", E.DUPLICATE_RESOURCE, []),
    ]
    assert [each.user for each in everybody.results] == ["alice", "bob", "root"]
    assert deleted == {"bob": 0, "nobody": E.RESOURCE_NOT_FOUND, "alice": E.DUPLICATE_RESOURCE}


def test_users_need_rights_on_the_cluster(alice: WireClient) -> None:
    assert alter(alice, [upsertion("bob"), upsertion("alice")]) == {
        "bob": E.CLUSTER_AUTHORIZATION_FAILED,
        "alice": E.CLUSTER_AUTHORIZATION_FAILED,
    }
    answer = described(alice)
    assert (answer.error_code, answer.results) == (E.CLUSTER_AUTHORIZATION_FAILED, [])


def test_a_deleted_user_does_not_get_in_again(served: sc.ServedLog, root: WireClient) -> None:
    for mechanism in (1, 2):
        assert alter(root, [], [ScramCredentialDeletion(name="alice", mechanism=mechanism)]) == {"alice": 0}

    with client_of(served) as client:
        code = log_in(client, "alice", "secret").error_code
    add_user(served, "alice", "secret")

    assert code == E.SASL_AUTHENTICATION_FAILED
