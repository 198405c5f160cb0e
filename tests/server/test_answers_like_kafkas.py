"""Answers that a differential run against Apache Kafka 4.3 found to be others: here as Kafka gives them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import streamcore as sc
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages import alter_configs
from streamcore.log.protocol.messages.add_offsets_to_txn import AddOffsetsToTxnRequest
from streamcore.log.protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignableTopic,
)
from streamcore.log.protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from streamcore.log.protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from streamcore.log.protocol.messages.describe_log_dirs import DescribableLogDirTopic, DescribeLogDirsRequest
from streamcore.log.protocol.messages.describe_producers import DescribeProducersRequest, TopicRequest
from streamcore.log.protocol.messages.describe_topic_partitions import Cursor, DescribeTopicPartitionsRequest
from streamcore.log.protocol.messages.describe_topic_partitions import TopicRequest as DescribedTopic
from streamcore.log.protocol.messages.describe_transactions import DescribeTransactionsRequest
from streamcore.log.protocol.messages.elect_leaders import ElectLeadersRequest
from streamcore.log.protocol.messages.init_producer_id import InitProducerIdRequest
from streamcore.log.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from streamcore.log.protocol.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)
from streamcore.log.protocol.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)
from tests.support.serving import client_of
from tests.support.wire_client import WireClient

TOPIC_TYPE = 2
NO_ID = bytes(16)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    with sc.serve(tmp_path_factory.mktemp("served"), listen="127.0.0.1:0") as served:
        served.log.create_topic("t", partitions=1)
        yield served


@pytest.fixture
def client(served: sc.ServedLog) -> Iterator[WireClient]:
    with client_of(served) as client:
        yield client


def creatable(name: str, settings: dict[str, str | None]) -> CreatableTopic:
    configs = [CreatableTopicConfig(name=key, value=value) for key, value in settings.items()]
    return CreatableTopic(name=name, num_partitions=0, replication_factor=1, assignments=[], configs=configs)


def test_an_invalid_name_is_reported_before_a_setting_without_a_value_and_that_before_a_count(
    client: WireClient,
) -> None:
    topics = [creatable(name, {"retention.ms": None}) for name in ("t", "a b", "new")]

    answer = client.ask(CreateTopicsRequest(topics=topics), 7)

    assert {each.name: each.error_code for each in answer.topics} == {
        "t": ErrorCode.TOPIC_ALREADY_EXISTS,
        "a b": ErrorCode.INVALID_TOPIC_EXCEPTION,
        "new": ErrorCode.INVALID_CONFIG,
    }


@pytest.mark.parametrize(
    ("name", "setting", "value", "code"),
    [
        ("nowhere", "no.such", "1", ErrorCode.INVALID_CONFIG),
        ("nowhere", "retention.ms", "5", ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("nowhere", "retention.ms", None, ErrorCode.INVALID_REQUEST),
        ("a b", "retention.ms", None, ErrorCode.INVALID_REQUEST),
        ("a b", "no.such", "1", ErrorCode.INVALID_TOPIC_EXCEPTION),
    ],
)
def test_an_invalid_setting_is_reported_before_an_unknown_topic(
    client: WireClient, name: str, setting: str, value: str | None, code: ErrorCode
) -> None:
    config = alter_configs.AlterableConfig(name=setting, value=value)
    wanted = alter_configs.AlterConfigsResource(
        resource_type=TOPIC_TYPE, resource_name=name, configs=[config]
    )

    answer = client.ask(alter_configs.AlterConfigsRequest(resources=[wanted], validate_only=False), 2)

    assert answer.responses[0].error_code == code


def test_a_topic_that_is_to_be_deleted_by_name_and_by_id_is_named_in_full_where_that_is_refused(
    served: sc.ServedLog, client: WireClient
) -> None:
    topic_id = served.log.embedded.topics()["t"].topic_id.bytes
    by_both = [DeleteTopicState(name="t", topic_id=NO_ID), DeleteTopicState(name=None, topic_id=topic_id)]
    by_none = [DeleteTopicState(name=None, topic_id=NO_ID)] * 2

    answer = client.ask(DeleteTopicsRequest(topics=[*by_both, *by_none], timeout_ms=1000), 6)

    told = [(each.name, each.topic_id, each.error_code) for each in answer.responses]
    assert sorted(told, key=str) == [
        ("t", topic_id, ErrorCode.INVALID_REQUEST),
        *[(None, NO_ID, ErrorCode.INVALID_REQUEST)] * 2,
    ]


def test_before_version_12_a_request_names_its_topics(client: WireClient) -> None:
    asked = MetadataRequestTopic(name=None)

    answer = client.ask(MetadataRequest(topics=[asked], allow_auto_topic_creation=False), 11)

    assert [each.error_code for each in answer.topics] == [ErrorCode.INVALID_REQUEST]
    assert not answer.brokers


def test_an_invalid_name_and_an_unknown_topic_give_different_errors(client: WireClient) -> None:
    names = ("a b", "x" * 250, "nowhere")

    described = client.ask(DescribeTopicPartitionsRequest(topics=[DescribedTopic(name=n) for n in names]), 0)
    topics = [TopicRequest(name=name, partition_indexes=[0]) for name in names]
    producers = client.ask(DescribeProducersRequest(topics=topics), 0)

    expected = dict.fromkeys(names, ErrorCode.INVALID_TOPIC_EXCEPTION)
    expected["nowhere"] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert {each.name: each.error_code for each in described.topics} == expected
    assert {each.name: each.partitions[0].error_code for each in producers.topics} == expected


def test_a_cursor_that_is_refused_says_so_of_the_topics_that_were_asked_for(client: WireClient) -> None:
    cursor = Cursor(topic_name="t", partition_index=-1)

    of_all = client.ask(DescribeTopicPartitionsRequest(topics=[], cursor=cursor), 0)
    of_one = client.ask(DescribeTopicPartitionsRequest(topics=[DescribedTopic(name="t")], cursor=cursor), 0)

    assert of_all.topics == []
    assert [each.error_code for each in of_one.topics] == [ErrorCode.INVALID_REQUEST]


def test_a_partition_that_is_named_twice_is_measured_once(client: WireClient) -> None:
    wanted = DescribableLogDirTopic(topic="t", partitions=[0, 0])

    answer = client.ask(DescribeLogDirsRequest(topics=[wanted]), 4)

    assert [each.partition_index for each in answer.results[0].topics[0].partitions] == [0]


def test_a_transactional_id_that_is_named_twice_is_described_twice(client: WireClient) -> None:
    answer = client.ask(DescribeTransactionsRequest(transactional_ids=["x", "x"]), 0)

    assert len(answer.transaction_states) == 2


def test_no_partitions_are_elected_for_in_whatever_way(client: WireClient) -> None:
    def code(**fields: Any) -> int:
        return int(client.ask(ElectLeadersRequest(election_type=7, **fields), 2).error_code)

    assert code(topic_partitions=[]) == ErrorCode.NONE
    assert code(topic_partitions=None) == ErrorCode.INVALID_REQUEST


def test_a_change_of_the_replication_factor_is_forbidden_only_where_something_is_moved(
    client: WireClient,
) -> None:
    topics = [ReassignableTopic(name="t", partitions=[])]

    answers = [
        client.ask(AlterPartitionReassignmentsRequest(topics=each, allow_replication_factor_change=False), 1)
        for each in ([], topics)
    ]

    assert [each.allow_replication_factor_change for each in answers] == [True, False]


def test_a_marker_for_an_unknown_partition_receives_the_error_of_the_partition(
    client: WireClient,
) -> None:
    marker = WritableTxnMarker(
        producer_id=-1,
        producer_epoch=0,
        transaction_result=False,
        topics=[WritableTxnMarkerTopic(name="nowhere", partition_indexes=[0])],
        coordinator_epoch=0,
    )

    answer = client.ask(WriteTxnMarkersRequest(markers=[marker]), 1)

    code = answer.markers[0].topics[0].partitions[0].error_code
    assert code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_group_without_a_name_may_join_a_transaction_but_has_no_positions(client: WireClient) -> None:
    init = InitProducerIdRequest(transactional_id="nameless", transaction_timeout_ms=60_000)
    producer = client.ask(init, 5)
    who: dict[str, Any] = {"producer_id": producer.producer_id, "producer_epoch": producer.producer_epoch}
    position = TxnOffsetCommitRequestPartition(partition_index=0, committed_offset=1, committed_metadata="")
    topics = [TxnOffsetCommitRequestTopic(name="t", partitions=[position])]

    added = client.ask(AddOffsetsToTxnRequest(transactional_id="nameless", group_id="", **who), 3)
    commit = TxnOffsetCommitRequest(transactional_id="nameless", group_id="", topics=topics, **who)
    committed = client.ask(commit, 3)

    assert added.error_code == ErrorCode.NONE
    assert committed.topics[0].partitions[0].error_code == ErrorCode.INVALID_GROUP_ID


@pytest.mark.parametrize(
    ("partitions", "replicas", "code"),
    [
        (0, 0, ErrorCode.INVALID_REPLICATION_FACTOR),
        (0, 2, ErrorCode.INVALID_PARTITIONS),
        (1, 2, ErrorCode.INVALID_REPLICATION_FACTOR),
    ],
)
def test_too_few_partitions_are_reported_before_too_few_brokers(
    client: WireClient, partitions: int, replicas: int, code: ErrorCode
) -> None:
    wanted = creatable("badly-counted", {})
    wanted.num_partitions, wanted.replication_factor = partitions, replicas

    answer = client.ask(CreateTopicsRequest(topics=[wanted]), 7)

    assert answer.topics[0].error_code == code
