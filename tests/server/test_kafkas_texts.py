"""Texts that programs match begin as Kafka 4.3 begins them; what to do stands behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.protocol.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsTopic,
)
from streamcore.log.protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
from streamcore.log.protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from streamcore.log.protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
)
from streamcore.log.protocol.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from streamcore.log.protocol.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from tests.support.serving import client_of
from tests.support.wire_client import WireClient

TOPIC, BROKER = 2, 4


@pytest.fixture
def client(tmp_path: Path) -> Iterator[WireClient]:
    with sc.serve(tmp_path, listen="127.0.0.1:0") as served:
        served.log.create_topic("t", partitions=2)
        served.log.create_topic("a_b")
        with client_of(served) as client:
            yield client


@pytest.mark.parametrize(
    ("topic", "config", "kafkas", "ours"),
    [
        ("new", {"retention.m": "1"}, "Unknown topic config name: retention.m", "did you mean retention.ms"),
        ("new", {"zzz": "1"}, "Unknown topic config name: zzz", "broker-settings.md"),
        ("new", {"retention.ms": "x"}, "Invalid value x for configuration retention.ms: ", "whole number"),
        ("new", {"retention.ms": "-5"}, "Invalid value -5 for configuration retention.ms: ", "from -1"),
        ("t", {}, "Topic 't' already exists.", "topic=t"),
        ("", {}, "Topic name is invalid: the empty string is not allowed", "choose another"),
        ("..", {}, "Topic name is invalid: '..' is not allowed", "choose another"),
        (
            "a b",
            {},
            "Topic name is invalid: 'a b' contains one or more characters other than ASCII alphanumerics, "
            "'.', '_' and '-'",
            "choose another",
        ),
        (
            "x" * 250,
            {},
            f"Topic name is invalid: the length of '{'x' * 250}' is longer than the max allowed length 249",
            "choose another",
        ),
        ("a.b", {}, "Topic 'a.b' collides with existing topic: a_b", "collides_with=a_b"),
    ],
)
def test_a_topic_that_cannot_be_created(
    client: WireClient, topic: str, config: dict[str, str], kafkas: str, ours: str
) -> None:
    configs = [CreatableTopicConfig(name=name, value=value) for name, value in config.items()]
    wanted = CreatableTopic(
        name=topic, num_partitions=1, replication_factor=1, configs=configs, assignments=[]
    )
    answer = client.ask(CreateTopicsRequest(topics=[wanted], timeout_ms=1000), 7)

    text = str(answer.topics[0].error_message)
    assert text.startswith(kafkas)
    assert ours in text


@pytest.mark.parametrize(
    ("kind", "resource", "name", "value", "kafkas"),
    [
        (TOPIC, "t", "retention.m", "1", "Unknown topic config name: retention.m"),
        (TOPIC, "t", "retention.ms", "x", "Invalid value x for configuration retention.ms: "),
        (BROKER, "", "log.retention.ms", "x", "Invalid value x for configuration log.retention.ms: "),
        (
            BROKER,
            "",
            "log.retention.check.interval.ms",
            "5",
            "Cannot update these configs dynamically: [log.retention.check.interval.ms]",
        ),
    ],
)
def test_a_setting_that_cannot_be_changed(
    client: WireClient, kind: int, resource: str, name: str, value: str, kafkas: str
) -> None:
    change = AlterableConfig(name=name, config_operation=0, value=value)
    wanted = AlterConfigsResource(resource_type=kind, resource_name=resource, configs=[change])
    answer = client.ask(IncrementalAlterConfigsRequest(resources=[wanted], validate_only=False), 1)

    assert str(answer.responses[0].error_message).startswith(kafkas)


@pytest.mark.parametrize(
    ("partitions", "replicas", "kafkas"),
    [
        (0, 1, "Number of partitions was set to an invalid non-positive value."),
        (-2, 1, "Number of partitions was set to an invalid non-positive value."),
        (1, 0, "Replication factor was set to an invalid non-positive value."),
        (1, 3, "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be"),
        (10_001, 1, "Excessively large number of partitions per request."),
    ],
)
def test_counts_that_no_topic_can_have(
    client: WireClient, partitions: int, replicas: int, kafkas: str
) -> None:
    wanted = CreatableTopic(
        name="new", num_partitions=partitions, replication_factor=replicas, configs=[], assignments=[]
    )
    answer = client.ask(CreateTopicsRequest(topics=[wanted], timeout_ms=1000), 7)

    assert str(answer.topics[0].error_message).startswith(kafkas)


@pytest.mark.parametrize(
    ("topic", "count", "kafkas"),
    [
        ("t", 2, "Topic already has 2 partition(s)."),
        ("t", 1, "The topic t currently has 2 partition(s); 1 would not be an increase."),
        ("gone", 3, "This server does not host this topic-partition."),
    ],
)
def test_partitions_that_cannot_be_added(client: WireClient, topic: str, count: int, kafkas: str) -> None:
    wanted = CreatePartitionsTopic(name=topic, count=count, assignments=None)
    request = CreatePartitionsRequest(topics=[wanted], timeout_ms=1000, validate_only=False)

    assert str(client.ask(request, 3).results[0].error_message).startswith(kafkas)


@pytest.mark.parametrize(
    ("name", "topic_id", "kafkas"),
    [
        ("gone", bytes(16), "This server does not host this topic-partition."),
        (None, bytes(range(16)), "This server does not host this topic ID."),
    ],
)
def test_a_topic_to_delete_that_does_not_exist(
    client: WireClient, name: str | None, topic_id: bytes, kafkas: str
) -> None:
    wanted = DeleteTopicState(name=name, topic_id=topic_id)
    answer = client.ask(DeleteTopicsRequest(topics=[wanted], timeout_ms=1000), 6)

    assert str(answer.responses[0].error_message).startswith(kafkas)


def test_the_settings_of_a_topic_that_does_not_exist(client: WireClient) -> None:
    change = AlterableConfig(name="retention.ms", config_operation=0, value="1")
    wanted = AlterConfigsResource(resource_type=TOPIC, resource_name="gone", configs=[change])
    changed = client.ask(IncrementalAlterConfigsRequest(resources=[wanted], validate_only=False), 1)
    shown = client.ask(
        DescribeConfigsRequest(
            resources=[
                DescribeConfigsResource(resource_type=TOPIC, resource_name="gone", configuration_keys=None)
            ]
        ),
        4,
    )

    assert str(changed.responses[0].error_message).startswith("The topic 'gone' does not exist.")
    assert str(shown.results[0].error_message).startswith("This server does not host this topic-partition.")


@pytest.mark.parametrize(
    ("topic", "index", "kafkas"),
    [("gone", 0, "No such topic as gone"), ("t", 7, "No such partition as t-7")],
)
def test_a_leader_of_a_partition_that_does_not_exist(
    client: WireClient, topic: str, index: int, kafkas: str
) -> None:
    wanted = TopicPartitions(topic=topic, partitions=[index])
    request = ElectLeadersRequest(election_type=0, topic_partitions=[wanted], timeout_ms=1000)
    result = client.ask(request, 2).replica_election_results[0].partition_result[0]

    assert str(result.error_message).startswith(kafkas)


def test_a_name_that_is_as_long_as_names_may_be_is_not_cut_off(client: WireClient) -> None:
    name = "x" * 300
    configs = [CreatableTopicConfig(name=name, value="1")]
    wanted = CreatableTopic(
        name="new", num_partitions=1, replication_factor=1, configs=configs, assignments=[]
    )
    answer = client.ask(CreateTopicsRequest(topics=[wanted], timeout_ms=1000), 7)

    assert name in str(answer.topics[0].error_message)
