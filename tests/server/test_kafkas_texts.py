"""Texts that programs match begin as Kafka 4.3 begins them; what to do stands behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.log.protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
)
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
        served.log.create_topic("t")
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


def test_a_name_that_is_as_long_as_names_may_be_is_not_cut_off(client: WireClient) -> None:
    name = "x" * 300
    configs = [CreatableTopicConfig(name=name, value="1")]
    wanted = CreatableTopic(
        name="new", num_partitions=1, replication_factor=1, configs=configs, assignments=[]
    )
    answer = client.ask(CreateTopicsRequest(topics=[wanted], timeout_ms=1000), 7)

    assert name in str(answer.topics[0].error_message)
