"""What of an administrator's work a client may do where an authorizer asks for rules: nothing without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import streamcore as sc
from streamcore.log.api.error_codes import ErrorCode as E
from streamcore.log.protocol.messages import (
    alter_configs,
    alter_partition_reassignments,
    alter_replica_log_dirs,
    create_partitions,
    create_topics,
    delete_records,
    delete_topics,
    describe_client_quotas,
    describe_configs,
    describe_log_dirs,
    describe_quorum,
    describe_topic_partitions,
    elect_leaders,
    incremental_alter_configs,
    list_config_resources,
    list_partition_reassignments,
    update_features,
)
from streamcore.log.protocol.messages.create_acls import AclCreation, CreateAclsRequest
from streamcore.log.protocol.messages.delete_acls import DeleteAclsFilter, DeleteAclsRequest
from tests.support.logins import add_user, log_in
from tests.support.serving import client_of
from tests.support.wire_client import WireClient

ANY, TOPIC, GROUP, CLUSTER = 1, 2, 3, 4
CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS = 5, 6, 7, 8, 10, 11
ALLOW = 3
CLUSTER_NAME = "kafka-cluster"
NO_ID = bytes(16)

Ask = Callable[[WireClient], int]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    security = sc.Security(authorize=True, super_users=["User:root"])
    folder = tmp_path_factory.mktemp("log")
    with sc.serve(folder, listen="sasl_plaintext://127.0.0.1:0", security=security) as served:
        for user in ("root", "alice"):
            add_user(served, user, "secret")
        yield served


@pytest.fixture
def root(served: sc.ServedLog) -> Iterator[WireClient]:
    if "mine" not in served.log.topics():
        served.log.create_topic("mine")
    with client_of(served) as client:
        log_in(client, "root", "secret")
        yield client
        everything = DeleteAclsFilter(
            resource_type_filter=ANY,
            resource_name_filter=None,
            pattern_type_filter=ANY,
            principal_filter=None,
            host_filter=None,
            operation=ANY,
            permission_type=ANY,
        )
        client.ask(DeleteAclsRequest(filters=[everything]), 3)


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


def creating(client: WireClient) -> int:
    topic = create_topics.CreatableTopic(
        name="mine", num_partitions=1, replication_factor=1, assignments=[], configs=[]
    )
    request = create_topics.CreateTopicsRequest(topics=[topic], validate_only=True)
    return int(client.ask(request, 7).topics[0].error_code)


def growing(client: WireClient) -> int:
    topic = create_partitions.CreatePartitionsTopic(name="mine", count=9, assignments=None)
    request = create_partitions.CreatePartitionsRequest(topics=[topic], timeout_ms=1, validate_only=True)
    return int(client.ask(request, 3).results[0].error_code)


def deleting(client: WireClient) -> int:
    state = delete_topics.DeleteTopicState(name="mine", topic_id=NO_ID)
    request = delete_topics.DeleteTopicsRequest(topics=[state], timeout_ms=1)
    return int(client.ask(request, 6).responses[0].error_code)


def cutting(client: WireClient) -> int:
    partition = delete_records.DeleteRecordsPartition(partition_index=0, offset=0)
    topic = delete_records.DeleteRecordsTopic(name="mine", partitions=[partition])
    request = delete_records.DeleteRecordsRequest(topics=[topic], timeout_ms=1)
    return int(client.ask(request, 2).topics[0].partitions[0].error_code)


def describing(kind: int, name: str) -> Ask:
    def ask(client: WireClient) -> int:
        resource = describe_configs.DescribeConfigsResource(
            resource_type=kind, resource_name=name, configuration_keys=None
        )
        request = describe_configs.DescribeConfigsRequest(resources=[resource])
        return int(client.ask(request, 4).results[0].error_code)

    return ask


def changing(kind: int, name: str) -> Ask:
    def ask(client: WireClient) -> int:
        m = incremental_alter_configs
        resource = m.AlterConfigsResource(resource_type=kind, resource_name=name, configs=[])
        request = m.IncrementalAlterConfigsRequest(resources=[resource], validate_only=True)
        return int(client.ask(request, 1).responses[0].error_code)

    return ask


def replacing(kind: int, name: str) -> Ask:
    def ask(client: WireClient) -> int:
        m = alter_configs
        resource = m.AlterConfigsResource(resource_type=kind, resource_name=name, configs=[])
        request = m.AlterConfigsRequest(resources=[resource], validate_only=True)
        return int(client.ask(request, 2).responses[0].error_code)

    return ask


def simple(request: Any, version: int) -> Ask:
    return lambda client: int(client.ask(request, version).error_code)


def paging(client: WireClient) -> int:
    topics = [describe_topic_partitions.TopicRequest(name="mine")]
    request = describe_topic_partitions.DescribeTopicPartitionsRequest(topics=topics)
    return int(client.ask(request, 0).topics[0].error_code)


def moving(client: WireClient) -> int:
    m = alter_replica_log_dirs
    topics = [m.AlterReplicaLogDirTopic(name="mine", partitions=[0])]
    request = m.AlterReplicaLogDirsRequest(dirs=[m.AlterReplicaLogDir(path="/elsewhere", topics=topics)])
    return int(client.ask(request, 2).results[0].partitions[0].error_code)


REASSIGN = alter_partition_reassignments.AlterPartitionReassignmentsRequest(topics=[])
REASSIGNMENTS = list_partition_reassignments.ListPartitionReassignmentsRequest(topics=None)
QUOTAS = describe_client_quotas.DescribeClientQuotasRequest(components=[], strict=False)
ON_TOPIC, ON_CLUSTER, ON_GROUP = (TOPIC, "mine"), (CLUSTER, CLUSTER_NAME), (GROUP, "g")

CASES: list[tuple[str, Ask, int, tuple[int, str], int]] = [
    ("create", creating, CREATE, ON_TOPIC, E.TOPIC_ALREADY_EXISTS),
    ("create anything", creating, CREATE, ON_CLUSTER, E.TOPIC_ALREADY_EXISTS),
    ("grow", growing, ALTER, ON_TOPIC, E.NONE),
    ("delete", deleting, DELETE, ON_TOPIC, E.NONE),
    ("cut", cutting, DELETE, ON_TOPIC, E.NONE),
    ("describe a topic", describing(2, "mine"), DESCRIBE_CONFIGS, ON_TOPIC, E.NONE),
    ("describe a broker", describing(4, "1"), DESCRIBE_CONFIGS, ON_CLUSTER, E.NONE),
    ("describe loggers", describing(8, "1"), DESCRIBE_CONFIGS, ON_CLUSTER, E.NONE),
    ("describe a group", describing(32, "g"), DESCRIBE_CONFIGS, ON_GROUP, E.NONE),
    ("change a topic", changing(2, "mine"), ALTER_CONFIGS, ON_TOPIC, E.NONE),
    ("change a broker", changing(4, "1"), ALTER_CONFIGS, ON_CLUSTER, E.NONE),
    ("change loggers", changing(8, "1"), ALTER_CONFIGS, ON_CLUSTER, E.NONE),
    ("change a group", changing(32, "g"), ALTER_CONFIGS, ON_GROUP, E.NONE),
    ("replace a topic's", replacing(2, "mine"), ALTER_CONFIGS, ON_TOPIC, E.NONE),
    ("page", paging, DESCRIBE, ON_TOPIC, E.NONE),
    ("elect", simple(elect_leaders.ElectLeadersRequest(topic_partitions=[]), 2), ALTER, ON_CLUSTER, E.NONE),
    ("reassign", simple(REASSIGN, 1), ALTER, ON_CLUSTER, E.NONE),
    ("reassignments", simple(REASSIGNMENTS, 0), DESCRIBE, ON_CLUSTER, E.NONE),
    ("move", moving, ALTER, ON_CLUSTER, E.LOG_DIR_NOT_FOUND),
    (
        "folders",
        simple(describe_log_dirs.DescribeLogDirsRequest(topics=None), 4),
        DESCRIBE,
        ON_CLUSTER,
        E.NONE,
    ),
    ("quorum", simple(describe_quorum.DescribeQuorumRequest(topics=[]), 2), DESCRIBE, ON_CLUSTER, E.NONE),
    (
        "features",
        simple(update_features.UpdateFeaturesRequest(feature_updates=[]), 2),
        ALTER,
        ON_CLUSTER,
        E.NONE,
    ),
    ("quotas", simple(QUOTAS, 1), DESCRIBE_CONFIGS, ON_CLUSTER, E.NONE),
    (
        "resources",
        simple(list_config_resources.ListConfigResourcesRequest(), 1),
        DESCRIBE_CONFIGS,
        ON_CLUSTER,
        E.NONE,
    ),
]
DENIALS = {
    TOPIC: E.TOPIC_AUTHORIZATION_FAILED,
    GROUP: E.GROUP_AUTHORIZATION_FAILED,
    CLUSTER: E.CLUSTER_AUTHORIZATION_FAILED,
}


@pytest.mark.parametrize(
    ("ask", "operation", "resource", "answer"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_client_may_do_only_what_a_rule_allows(
    root: WireClient, alice: WireClient, ask: Ask, operation: int, resource: tuple[int, str], answer: int
) -> None:
    before = ask(alice)
    allow(root, operation, *resource)

    denial = E.TOPIC_AUTHORIZATION_FAILED if ask is creating else DENIALS[resource[0]]
    assert before == denial
    assert ask(alice) == answer


def test_no_client_may_write_the_topic_of_the_brokers_state(root: WireClient) -> None:
    m = delete_topics
    state = m.DeleteTopicState(name="__cluster_state", topic_id=NO_ID)

    deleted = root.ask(m.DeleteTopicsRequest(topics=[state], timeout_ms=1), 6).responses[0].error_code
    described = describing(2, "__cluster_state")(root)
    changed = changing(2, "__cluster_state")(root)
    listed = root.ask(list_config_resources.ListConfigResourcesRequest(), 1).config_resources
    folder = root.ask(describe_log_dirs.DescribeLogDirsRequest(topics=None), 4).results[0]

    assert {deleted, described, changed} == {E.TOPIC_AUTHORIZATION_FAILED}
    assert "__cluster_state" not in {each.resource_name for each in listed}
    assert "__cluster_state" not in {each.name for each in folder.topics}
