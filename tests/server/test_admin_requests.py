"""Records deleted, folders and the quorum described, replicas left where they are: by Kafka's codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

import streamcore as sc
from streamcore.log.api.error_codes import ErrorCode as E
from streamcore.log.protocol.messages import (
    alter_partition_reassignments,
    alter_replica_log_dirs,
    delete_records,
    describe_client_quotas,
    describe_log_dirs,
    describe_quorum,
    elect_leaders,
    list_partition_reassignments,
    update_features,
)
from streamcore.log.protocol.messages.describe_cluster import DescribeClusterRequest
from tests.support.serving import batch, client_of, fetch, produce
from tests.support.wire_client import WireClient

UNKNOWN = E.UNKNOWN_TOPIC_OR_PARTITION
NO_OPERATIONS = -(2**31)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    with sc.serve(tmp_path_factory.mktemp("served"), listen="127.0.0.1:0") as served:
        yield served


@pytest.fixture
def client(served: sc.ServedLog) -> Iterator[WireClient]:
    served.log.create_topic("t", partitions=2)
    with client_of(served) as client:
        for value in (b"a", b"b", b"c"):
            produce(client, "t", batch(value))
        yield client
    served.log.delete_topic("t")


# --- records ----------------------------------------------------------------------------------


def cut(client: WireClient, topic: str, *before: tuple[int, int], version: int = 2) -> list[tuple[int, int]]:
    m = delete_records
    partitions = [m.DeleteRecordsPartition(partition_index=index, offset=offset) for index, offset in before]
    request = m.DeleteRecordsRequest(
        topics=[m.DeleteRecordsTopic(name=topic, partitions=partitions)], timeout_ms=1000
    )
    (answer,) = client.ask(request, version).topics
    return [(each.low_watermark, each.error_code) for each in answer.partitions]


@pytest.mark.parametrize("version", [0, 1, 2])
def test_records_before_an_offset_are_deleted(client: WireClient, version: int) -> None:
    assert cut(client, "t", (0, 2), version=version) == [(2, E.NONE)]
    assert cut(client, "t", (0, 1), version=version) == [(2, E.NONE)]

    assert fetch(client, "t", 1).error_code == E.OFFSET_OUT_OF_RANGE
    assert fetch(client, "t", 2).log_start_offset == 2


def test_all_records_of_several_partitions_are_deleted(client: WireClient) -> None:
    produce(client, "t", batch(b"x"), partition=1)

    assert cut(client, "t", (0, -1), (1, -1)) == [(3, E.NONE), (1, E.NONE)]


def test_topics_that_cannot_be_deleted_are_refused_by_kafkas_codes(
    client: WireClient, served: sc.ServedLog
) -> None:
    served.log.create_topic("table", config={"cleanup.policy": "compact"})
    served.log.create_topic("both", config={"cleanup.policy": "compact,delete"})
    with served.log.producer(transactional_id="x") as producer, producer.transaction():
        pass

    assert cut(client, "t", (0, 4), (1, -2)) == [(-1, E.OFFSET_OUT_OF_RANGE)] * 2
    assert cut(client, "t", (7, 0)) == [(-1, UNKNOWN)]
    assert cut(client, "none", (0, 0)) == [(-1, UNKNOWN)]
    assert cut(client, "table", (0, 0)) == [(-1, E.POLICY_VIOLATION)]
    assert cut(client, "both", (0, 0)) == [(0, E.NONE)]
    assert cut(client, "__transaction_state", (0, 0)) == [(-1, E.INVALID_TOPIC_EXCEPTION)]


# --- replicas ---------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1, 2])
def test_there_is_no_leader_to_elect(client: WireClient, version: int) -> None:
    m = elect_leaders
    wanted = [
        m.TopicPartitions(topic="t", partitions=[0, 9]),
        m.TopicPartitions(topic="none", partitions=[0]),
    ]

    answer = client.ask(m.ElectLeadersRequest(topic_partitions=wanted), version)

    codes = [
        [each.error_code for each in topic.partition_result] for topic in answer.replica_election_results
    ]
    assert answer.error_code == E.NONE
    assert codes == [[E.ELECTION_NOT_NEEDED, UNKNOWN], [UNKNOWN]]


def test_an_election_of_all_or_of_an_unknown_kind(client: WireClient) -> None:
    m = elect_leaders
    wanted = [m.TopicPartitions(topic="t", partitions=[0])]

    everything = client.ask(m.ElectLeadersRequest(topic_partitions=None), 2)
    unknown = client.ask(m.ElectLeadersRequest(election_type=5, topic_partitions=wanted), 2)

    assert {
        each.topic: each.partition_result for each in everything.replica_election_results if each.topic == "t"
    } == {"t": []}
    assert unknown.error_code == E.INVALID_REQUEST
    assert unknown.replica_election_results[0].partition_result[0].error_code == E.INVALID_REQUEST


@pytest.mark.parametrize("version", [0, 1])
def test_replicas_stay_on_the_one_broker(client: WireClient, version: int) -> None:
    m = alter_partition_reassignments
    wanted: list[tuple[int, Sequence[int] | None]] = [
        (0, [1]),
        (0, None),
        (0, [2]),
        (0, []),
        (0, [1, 1]),
        (9, [1]),
    ]
    request = m.AlterPartitionReassignmentsRequest(
        topics=[
            m.ReassignableTopic(
                name="t",
                partitions=[
                    m.ReassignablePartition(
                        partition_index=index, replicas=None if replicas is None else list(replicas)
                    )
                    for index, replicas in wanted
                ],
            )
        ]
    )

    answer = client.ask(request, version)

    assert [each.error_code for each in answer.responses[0].partitions] == [
        E.NONE,
        E.NO_REASSIGNMENT_IN_PROGRESS,
        E.INVALID_REPLICA_ASSIGNMENT,
        E.INVALID_REPLICA_ASSIGNMENT,
        E.INVALID_REPLICA_ASSIGNMENT,
        UNKNOWN,
    ]


def test_nothing_is_being_moved(client: WireClient) -> None:
    m = list_partition_reassignments
    named = [m.ListPartitionReassignmentsTopics(name="t", partition_indexes=[0])]

    for topics in (None, named):
        answer = client.ask(m.ListPartitionReassignmentsRequest(topics=topics), 0)
        assert (answer.error_code, answer.topics) == (E.NONE, [])


# --- folders ----------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(1, 6))
def test_describe_log_dirs_contains_sizes_and_free_space(
    client: WireClient, served: sc.ServedLog, version: int
) -> None:
    m = describe_log_dirs
    wanted = [
        m.DescribableLogDirTopic(topic="t", partitions=[0, 1, 9]),
        m.DescribableLogDirTopic(topic="none", partitions=[0]),
    ]

    (result,) = client.ask(m.DescribeLogDirsRequest(topics=wanted), version).results
    (everything,) = client.ask(m.DescribeLogDirsRequest(topics=None), version).results

    sizes = {
        (topic.name, each.partition_index): each.partition_size
        for topic in result.topics
        for each in topic.partitions
    }
    assert sizes == {("t", 0): 3 * len(batch(b"a")), ("t", 1): 0}
    assert "t" in {topic.name for topic in everything.topics}
    if version >= 4:
        assert 0 < result.usable_bytes < result.total_bytes


def test_partitions_stay_in_the_one_folder(client: WireClient) -> None:
    folder = client.ask(describe_log_dirs.DescribeLogDirsRequest(topics=[]), 4).results[0].log_dir
    m = alter_replica_log_dirs

    def move(path: str, topic: str, index: int) -> int:
        topics = [m.AlterReplicaLogDirTopic(name=topic, partitions=[index])]
        request = m.AlterReplicaLogDirsRequest(dirs=[m.AlterReplicaLogDir(path=path, topics=topics)])
        code: int = client.ask(request, 2).results[0].partitions[0].error_code
        return code

    assert move(folder, "t", 0) == E.NONE
    assert move("/elsewhere", "t", 0) == E.LOG_DIR_NOT_FOUND
    assert move(folder, "t", 9) == UNKNOWN
    assert move("/elsewhere", "none", 0) == E.LOG_DIR_NOT_FOUND


# --- the cluster ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [0, 1, 2])
def test_the_cluster_is_one_broker(client: WireClient, served: sc.ServedLog, version: int) -> None:
    asked = client.ask(DescribeClusterRequest(include_cluster_authorized_operations=True), version)
    unasked = client.ask(DescribeClusterRequest(include_cluster_authorized_operations=False), version)

    assert [f"{each.host}:{each.port}" for each in asked.brokers] == [served.address]
    assert (asked.controller_id, asked.cluster_authorized_operations) == (1, 8096)
    assert unasked.cluster_authorized_operations == NO_OPERATIONS
    assert unasked.cluster_id == asked.cluster_id


def test_controllers_are_not_described(client: WireClient) -> None:
    def code(endpoint_type: int) -> int:
        request = DescribeClusterRequest(
            include_cluster_authorized_operations=False, endpoint_type=endpoint_type
        )
        answer = client.ask(request, 1)
        assert answer.brokers == []
        return int(answer.error_code)

    assert code(2) == E.MISMATCHED_ENDPOINT_TYPE
    assert code(7) == E.UNSUPPORTED_ENDPOINT_TYPE


@pytest.mark.parametrize("version", [0, 1, 2])
def test_the_quorum_is_this_node(client: WireClient, version: int) -> None:
    m = describe_quorum

    def ask(name: str, *indexes: int) -> describe_quorum.PartitionDataResult:
        partitions = [m.PartitionData(partition_index=index) for index in indexes]
        topics = [m.TopicData(topic_name=name, partitions=partitions)]
        answer = client.ask(m.DescribeQuorumRequest(topics=topics), version)
        assert answer.error_code == E.NONE
        (result,) = answer.topics[0].partitions
        assert isinstance(result, describe_quorum.PartitionDataResult)
        return result

    found = ask("__cluster_metadata", 0)

    assert (found.error_code, found.leader_id) == (E.NONE, 1)
    assert [each.replica_id for each in found.current_voters] == [1]
    assert found.current_voters[0].log_end_offset == found.high_watermark
    assert ask("__cluster_metadata", 1).error_code == UNKNOWN
    assert ask("t", 0).error_code == UNKNOWN


@pytest.mark.parametrize("version", [0, 1, 2])
def test_features_stay_those_of_the_program(client: WireClient, version: int) -> None:
    m = update_features

    def ask(*updates: tuple[str, int, int]) -> int:
        keys = [
            m.FeatureUpdateKey(feature=name, max_version_level=level, upgrade_type=kind)
            for name, level, kind in updates
        ]
        code: int = client.ask(m.UpdateFeaturesRequest(feature_updates=keys), version).error_code
        return code

    assert ask(("group.version", 1, 1)) == E.NONE
    assert ask(("group.version", 9, 1)) == E.INVALID_UPDATE_VERSION
    assert ask(("group.version", 0, 2)) == E.INVALID_UPDATE_VERSION
    assert ask(("group.version", 1, 1), ("nope", 1, 1)) == E.INVALID_UPDATE_VERSION
    if version:
        assert ask(("group.version", 1, 9)) == E.INVALID_UPDATE_VERSION


@pytest.mark.parametrize("version", [0, 1])
def test_there_are_no_quotas(client: WireClient, version: int) -> None:
    m = describe_client_quotas

    def ask(*components: tuple[str, int, str | None]) -> tuple[int, object]:
        found = [m.ComponentData(entity_type=a, match_type=b, match=c) for a, b, c in components]
        answer = client.ask(m.DescribeClientQuotasRequest(components=found, strict=False), version)
        return answer.error_code, answer.entries

    assert ask() == (E.NONE, [])
    assert ask(("user", 0, "x"), ("client-id", 2, None)) == (E.NONE, [])
    assert ask(("foo", 0, "x")) == (E.UNSUPPORTED_VERSION, None)
    for wrong in (
        [("user", 0, "x"), ("user", 0, "y")],
        [("user", 7, "x")],
        [("user", 0, "x"), ("ip", 0, "1.2.3.4")],
        [("", 0, "x")],
        [("user", 0, None)],
    ):
        assert ask(*wrong) == (E.INVALID_REQUEST, None)
