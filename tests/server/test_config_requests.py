"""Settings shown and changed over the wire: codes, sources and levels are those that Kafka 4.3 answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.errors import InvalidConfigError
from streamcore.log.api.error_codes import ErrorCode as E
from streamcore.log.protocol.messages import alter_configs, incremental_alter_configs
from streamcore.log.protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResult,
)
from streamcore.log.protocol.messages.list_config_resources import ListConfigResourcesRequest
from streamcore.log.protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from tests.support.serving import client_of
from tests.support.wire_client import WireClient

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32
SET, DELETE, APPEND, SUBTRACT = range(4)
DYNAMIC_TOPIC, DYNAMIC_BROKER, DYNAMIC_DEFAULT, STATIC, DEFAULT, BY_LOGGER = range(1, 7)
BY_GROUP = 8

Change = tuple[str, int, str | None]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sc.ServedLog]:
    config = {"log.retention.hours": "3", "group.max.size": "7", "max.connections": "99"}
    with sc.serve(tmp_path_factory.mktemp("served"), listen="127.0.0.1:0", config=config) as served:
        served.log.create_topic("other")
        yield served


@pytest.fixture
def client(served: sc.ServedLog) -> Iterator[WireClient]:
    served.log.create_topic("t")
    with client_of(served) as client:
        yield client
        for resource in ("", "1"):
            assert replace(client, BROKER, resource, {}) == E.NONE
    served.log.delete_topic("t")


def describe(
    client: WireClient,
    resource_type: int,
    name: str,
    *keys: str,
    version: int = 4,
    synonyms: bool = True,
    documentation: bool = False,
) -> DescribeConfigsResult:
    resource = DescribeConfigsResource(
        resource_type=resource_type, resource_name=name, configuration_keys=list(keys) or None
    )
    request = DescribeConfigsRequest(
        resources=[resource], include_synonyms=synonyms, include_documentation=documentation
    )
    (result,) = client.ask(request, version).results
    assert isinstance(result, DescribeConfigsResult)
    return result


def one(client: WireClient, resource_type: int, name: str, key: str) -> DescribeConfigsResourceResult:
    (entry,) = describe(client, resource_type, name, key).configs
    return entry


def seen(entry: DescribeConfigsResourceResult) -> tuple[str | None, int, list[tuple[str, str | None, int]]]:
    return entry.value, entry.config_source, [(each.name, each.value, each.source) for each in entry.synonyms]


def change(
    client: WireClient,
    *resources: tuple[int, str, Sequence[Change]],
    validate_only: bool = False,
    version: int = 1,
) -> list[int]:
    m = incremental_alter_configs
    request = m.IncrementalAlterConfigsRequest(
        resources=[
            m.AlterConfigsResource(
                resource_type=kind,
                resource_name=name,
                configs=[
                    m.AlterableConfig(name=key, config_operation=operation, value=value)
                    for key, operation, value in changes
                ],
            )
            for kind, name, changes in resources
        ],
        validate_only=validate_only,
    )
    return [each.error_code for each in client.ask(request, version).responses]


def change_topic(client: WireClient, *changes: Change, validate_only: bool = False) -> int:
    (code,) = change(client, (TOPIC, "t", changes), validate_only=validate_only)
    return code


def replace(
    client: WireClient, kind: int, name: str, values: Mapping[str, str | None], *, validate_only: bool = False
) -> int:
    m = alter_configs
    resource = m.AlterConfigsResource(
        resource_type=kind,
        resource_name=name,
        configs=[m.AlterableConfig(name=key, value=value) for key, value in values.items()],
    )
    request = m.AlterConfigsRequest(resources=[resource], validate_only=validate_only)
    (answer,) = client.ask(request, 2).responses
    code: int = answer.error_code
    return code


# --- showing ----------------------------------------------------------------------------------


def test_every_setting_of_a_topic_is_shown_with_where_its_value_comes_from(client: WireClient) -> None:
    change_topic(client, ("segment.bytes", SET, "2000000"))

    result = describe(client, TOPIC, "t", documentation=True)

    entries = {each.name: each for each in result.configs}
    assert (result.error_code, result.error_message, len(entries)) == (E.NONE, "", 33)
    assert seen(entries["segment.bytes"]) == (
        "2000000",
        DYNAMIC_TOPIC,
        [("segment.bytes", "2000000", DYNAMIC_TOPIC), ("log.segment.bytes", "1073741824", DEFAULT)],
    )
    assert seen(entries["cleanup.policy"]) == ("delete", DEFAULT, [("log.cleanup.policy", "delete", DEFAULT)])
    assert seen(entries["segment.ms"]) == ("604800000", DEFAULT, [])
    assert seen(entries["retention.ms"]) == (
        str(3 * 3_600_000),
        STATIC,
        [("log.retention.hours", "3", STATIC)],
    )
    assert all(each.documentation for each in result.configs)
    assert not any(each.read_only or each.is_sensitive for each in result.configs)


def test_every_setting_of_the_broker_that_kafka_knows_is_shown(
    client: WireClient, served: sc.ServedLog
) -> None:
    result = describe(client, BROKER, "1", documentation=True)

    entries = {each.name: each for each in result.configs}
    assert len(entries) == 340
    assert all(each.documentation for each in result.configs)
    assert seen(entries["group.max.size"]) == (
        "7",
        STATIC,
        [("group.max.size", "7", STATIC), ("group.max.size", "1000", DEFAULT)],
    )
    assert seen(entries["max.connections"])[:2] == ("99", STATIC)
    assert seen(entries["node.id"])[:2] == ("1", STATIC)
    assert seen(entries["advertised.listeners"])[:2] == (f"PLAINTEXT://{served.address}", STATIC)
    assert seen(entries["log.retention.ms"]) == (None, DEFAULT, [])
    assert entries["remote.log.reader.threads"].read_only
    assert entries["ssl.keystore.password"].is_sensitive
    assert not entries["log.retention.ms"].read_only


def test_only_what_is_asked_for_is_shown(client: WireClient) -> None:
    result = describe(client, TOPIC, "t", "retention.ms", "nope", synonyms=False, version=1)

    (entry,) = result.configs
    assert (entry.name, entry.synonyms) == ("retention.ms", [])


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        (TOPIC, "none", E.UNKNOWN_TOPIC_OR_PARTITION),
        (TOPIC, "a b", E.INVALID_TOPIC_EXCEPTION),
        (TOPIC, "", E.INVALID_TOPIC_EXCEPTION),
        (BROKER, "2", E.INVALID_REQUEST),
        (BROKER, "x", E.INVALID_REQUEST),
        (LOGGER, "2", E.INVALID_REQUEST),
        (GROUP, "", E.INVALID_REQUEST),
        (METRICS, "x", E.INVALID_REQUEST),
        (99, "x", E.INVALID_REQUEST),
    ],
)
def test_resources_without_settings_are_refused(
    client: WireClient, kind: int, name: str, expected: E
) -> None:
    result = describe(client, kind, name)

    assert (result.error_code, result.configs) == (expected, [])
    assert result.error_message


def test_resources_with_settings_are_listed(client: WireClient) -> None:
    change(client, (GROUP, "g", [("consumer.session.timeout.ms", SET, "50000")]))

    def listed(*types: int, version: int = 1) -> list[tuple[int, str]]:
        answer = client.ask(ListConfigResourcesRequest(resource_types=list(types)), version)
        assert answer.error_code == E.NONE
        return [(each.resource_type, each.resource_name) for each in answer.config_resources]

    assert sorted(listed()) == [(TOPIC, "other"), (TOPIC, "t"), (BROKER, "1"), (LOGGER, "1"), (GROUP, "g")]
    assert listed(GROUP, METRICS) == [(GROUP, "g")]
    assert listed(version=0) == []
    unknown = client.ask(ListConfigResourcesRequest(resource_types=[99]), 1)
    assert (unknown.error_code, unknown.config_resources) == (E.UNSUPPORTED_VERSION, [])
    change(client, (GROUP, "g", [("consumer.session.timeout.ms", DELETE, None)]))
    assert listed(GROUP) == []


# --- topics -----------------------------------------------------------------------------------


def test_a_setting_is_set_and_taken_back(client: WireClient) -> None:
    assert change_topic(client, ("retention.ms", SET, "5000")) == E.NONE
    after_set = one(client, TOPIC, "t", "retention.ms").value
    assert change_topic(client, ("retention.ms", DELETE, None), ("nope", DELETE, None)) == E.NONE

    assert after_set == "5000"
    assert one(client, TOPIC, "t", "retention.ms").value == str(3 * 3_600_000)


def test_words_are_added_to_a_list_and_taken_off_it(client: WireClient) -> None:
    values: list[str | None] = []
    for operation, words in (
        (APPEND, "compact"),
        (APPEND, "compact"),
        (SUBTRACT, "delete"),
        (SUBTRACT, "delete"),
        (SUBTRACT, "compact"),
        (APPEND, "compact, delete"),
    ):
        assert change_topic(client, ("cleanup.policy", operation, words)) == E.NONE
        values.append(one(client, TOPIC, "t", "cleanup.policy").value)

    assert values == ["delete,compact", "delete,compact", "compact", "compact", "", "compact,delete"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("retention.ms", APPEND, "5")], E.INVALID_CONFIG),
        ([("nope", SET, "5")], E.INVALID_CONFIG),
        ([("retention.ms", SET, "x")], E.INVALID_CONFIG),
        ([("retention.ms", SET, None)], E.INVALID_REQUEST),
        ([("cleanup.policy", APPEND, None)], E.INVALID_REQUEST),
        ([("retention.ms", SET, "1"), ("retention.ms", SET, "2")], E.INVALID_REQUEST),
        ([("retention.ms", 7, "1")], E.INVALID_REQUEST),
        ([("retention.bytes", SET, "1"), ("nope", SET, "1")], E.INVALID_CONFIG),
    ],
)
def test_a_change_that_cannot_be_made_changes_nothing(
    client: WireClient, changes: list[Change], expected: E
) -> None:
    assert change_topic(client, *changes) == expected
    assert {each.config_source for each in describe(client, TOPIC, "t").configs} <= {DEFAULT, STATIC}


def test_each_resource_has_its_own_fate(client: WireClient) -> None:
    codes = change(
        client,
        (TOPIC, "t", [("retention.ms", SET, "7")]),
        (TOPIC, "other", [("nope", SET, "1")]),
        (TOPIC, "none", [("retention.ms", SET, "1")]),
        (TOPIC, "a b", [("retention.ms", SET, "1")]),
        (TOPIC, "", [("retention.ms", SET, "1")]),
        (99, "x", []),
    )

    assert codes == [
        E.NONE,
        E.INVALID_CONFIG,
        E.UNKNOWN_TOPIC_OR_PARTITION,
        E.INVALID_TOPIC_EXCEPTION,
        E.INVALID_REQUEST,
        E.INVALID_REQUEST,
    ]
    assert one(client, TOPIC, "t", "retention.ms").value == "7"


def test_a_resource_named_twice_is_refused_and_validating_changes_nothing(client: WireClient) -> None:
    twice = [(TOPIC, "t", [("retention.ms", SET, "7")]), (TOPIC, "t", [("retention.bytes", SET, "7")])]

    assert change(client, *twice) == [E.INVALID_REQUEST, E.INVALID_REQUEST]
    assert change_topic(client, ("retention.ms", SET, "7"), validate_only=True) == E.NONE
    assert one(client, TOPIC, "t", "retention.ms").config_source == STATIC


def test_the_older_request_replaces_all_that_is_set(client: WireClient) -> None:
    change_topic(client, ("retention.ms", SET, "7"), ("segment.ms", SET, "8"))

    assert replace(client, TOPIC, "t", {"retention.bytes": "9", "segment.ms": "10"}) == E.NONE

    sources = {each.name: each.config_source for each in describe(client, TOPIC, "t").configs}
    assert {name for name, source in sources.items() if source == DYNAMIC_TOPIC} == {
        "retention.bytes",
        "segment.ms",
    }
    assert replace(client, TOPIC, "t", {"nope": "1"}) == E.INVALID_CONFIG
    assert replace(client, TOPIC, "t", {"retention.ms": None}) == E.INVALID_REQUEST
    assert replace(client, TOPIC, "none", {}) == E.UNKNOWN_TOPIC_OR_PARTITION
    assert replace(client, TOPIC, "t", {}, validate_only=True) == E.NONE
    assert one(client, TOPIC, "t", "retention.bytes").value == "9"


# --- brokers ----------------------------------------------------------------------------------


def test_a_setting_of_the_node_overrides_the_setting_of_all_nodes(client: WireClient) -> None:
    assert change(client, (BROKER, "", [("log.segment.bytes", SET, "5000000")])) == [E.NONE]
    for_all = seen(one(client, TOPIC, "t", "segment.bytes"))
    assert change(client, (BROKER, "1", [("log.segment.bytes", SET, "6000000")])) == [E.NONE]

    assert for_all[:2] == ("5000000", DYNAMIC_DEFAULT)
    assert seen(one(client, TOPIC, "t", "segment.bytes")) == (
        "6000000",
        DYNAMIC_BROKER,
        [
            ("log.segment.bytes", "6000000", DYNAMIC_BROKER),
            ("log.segment.bytes", "5000000", DYNAMIC_DEFAULT),
            ("log.segment.bytes", "1073741824", DEFAULT),
        ],
    )
    assert [each.name for each in describe(client, BROKER, "").configs] == ["log.segment.bytes"]


def test_a_finer_unit_counts_before_a_coarser_one(client: WireClient) -> None:
    values = []
    for changes in (
        [("log.retention.minutes", SET, "2")],
        [("log.retention.ms", SET, "999")],
        [("log.retention.ms", SET, "-1")],
        [("log.retention.ms", DELETE, None)],
    ):
        assert change(client, (BROKER, "", changes)) == [E.NONE]
        values.append(one(client, TOPIC, "t", "retention.ms").value)

    assert values == ["120000", "999", "-1", "120000"]


def test_settings_that_the_broker_itself_obeys_change_at_once(
    client: WireClient, served: sc.ServedLog
) -> None:
    def ask(name: str) -> tuple[int, int]:
        (topic,) = client.ask(MetadataRequest(topics=[MetadataRequestTopic(name=name)]), 9).topics
        return topic.error_code, len(topic.partitions)

    change(client, (BROKER, "", [("auto.create.topics.enable", SET, "false"), ("num.partitions", SET, "3")]))
    refused = ask("auto")
    change(client, (BROKER, "", [("auto.create.topics.enable", DELETE, None)]))
    made = ask("auto")
    served.log.delete_topic("auto")

    assert refused == (E.UNKNOWN_TOPIC_OR_PARTITION, 0)
    assert made == (E.NONE, 3)


@pytest.mark.parametrize(
    ("resource", "name", "value", "expected"),
    [
        ("1", "group.max.size", "9", E.INVALID_REQUEST),
        ("1", "remote.log.reader.threads", "9", E.INVALID_REQUEST),
        ("1", "log.retention.ms", "x", E.INVALID_REQUEST),
        ("1", "log.cleaner.max.compaction.lag.ms", "0", E.INVALID_REQUEST),
        ("1", "log.retention.mss", "1", E.INVALID_CONFIG),
        ("2", "log.retention.ms", "1", E.INVALID_REQUEST),
        ("x", "log.retention.ms", "1", E.INVALID_REQUEST),
    ],
)
def test_changes_that_a_broker_cannot_make_are_refused(
    client: WireClient, resource: str, name: str, value: str, expected: E
) -> None:
    assert change(client, (BROKER, resource, [(name, SET, value)])) == [expected]
    assert describe(client, BROKER, "").configs == []


def test_settings_of_a_broker_that_exclude_each_other_are_refused(client: WireClient) -> None:
    assert change(client, (BROKER, "", [("log.cleaner.min.compaction.lag.ms", SET, "9")])) == [E.NONE]

    for resource in ("", "1"):
        code = change(client, (BROKER, resource, [("log.cleaner.max.compaction.lag.ms", SET, "5")]))
        assert code == [E.INVALID_REQUEST]


def test_a_default_may_exclude_what_a_topic_has_but_not_what_it_is_given(tmp_path: Path) -> None:
    shorter = {"log.cleaner.max.compaction.lag.ms": "5"}
    with sc.serve(tmp_path, listen="127.0.0.1:0") as served:
        served.log.create_topic("t", config={"min.compaction.lag.ms": "9"})

    with sc.serve(tmp_path, listen="127.0.0.1:0", config=shorter) as served, client_of(served) as client:
        code = change(client, (TOPIC, "t", [("min.compaction.lag.ms", SET, "8")]))

        assert one(client, TOPIC, "t", "max.compaction.lag.ms").value == "5"
        assert code == [E.INVALID_CONFIG]


def test_settings_of_clients_survive_a_restart(tmp_path: Path) -> None:
    with sc.serve(tmp_path, listen="127.0.0.1:0") as served, client_of(served) as client:
        change(client, (BROKER, "", [("log.retention.hours", SET, "5")]))
        served.log.create_topic("t")
        change(client, (BROKER, "1", [("num.partitions", SET, "2")]))
        change(client, (GROUP, "g", [("consumer.session.timeout.ms", SET, "50000")]))

    with sc.serve(tmp_path, listen="127.0.0.1:0") as served, client_of(served) as client:
        assert one(client, TOPIC, "t", "retention.ms").value == str(5 * 3_600_000)
        assert one(client, BROKER, "1", "num.partitions").value == "2"
        assert one(client, GROUP, "g", "consumer.session.timeout.ms").value == "50000"


def test_a_broker_is_not_started_with_what_cannot_be_set(tmp_path: Path) -> None:
    for config, hint in (
        ({"log.retention.hour": "1"}, "log.retention.hours"),
        ({"log.retention.hours": "x"}, "impossible"),
        ({"listeners": "PLAINTEXT://:1"}, "--listen"),
        ({"remote.log.reader.threads": "1"}, "tiered"),
        ({"log.cleaner.min.compaction.lag.ms": "2", "log.cleaner.max.compaction.lag.ms": "1"}, "wait"),
    ):
        with pytest.raises(InvalidConfigError, match=hint):
            sc.serve(tmp_path, listen="127.0.0.1:0", config=config)


# --- groups and loggers -----------------------------------------------------------------------


def test_a_group_has_settings_before_it_has_members(client: WireClient) -> None:
    assert change(client, (GROUP, "g", [("consumer.heartbeat.interval.ms", SET, "6000")])) == [E.NONE]

    assert len(describe(client, GROUP, "g").configs) == 17
    assert seen(one(client, GROUP, "g", "consumer.heartbeat.interval.ms")) == (
        "6000",
        BY_GROUP,
        [
            ("consumer.heartbeat.interval.ms", "6000", BY_GROUP),
            ("group.consumer.heartbeat.interval.ms", "5000", DEFAULT),
        ],
    )
    assert replace(client, GROUP, "g", {}) == E.NONE
    assert one(client, GROUP, "g", "consumer.heartbeat.interval.ms").config_source == DEFAULT


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("consumer.session.timeout.ms", "5", E.INVALID_CONFIG),
        ("consumer.session.timeout.ms", "x", E.INVALID_CONFIG),
        ("consumer.session.timeouts", "50000", E.INVALID_CONFIG),
        ("share.isolation.level", "read_committed", E.INVALID_CONFIG),
    ],
)
def test_settings_that_a_group_cannot_have_are_refused(
    client: WireClient, name: str, value: str, expected: E
) -> None:
    assert change(client, (GROUP, "g", [(name, SET, value)])) == [expected]


def test_levels_of_loggers_are_changed_until_the_process_ends(client: WireClient) -> None:
    name = "streamcore.log.server.connection"
    before = logging.getLogger(name).level
    try:
        assert change(client, (LOGGER, "1", [(name, SET, "ERROR")])) == [E.NONE]
        raised = seen(one(client, LOGGER, "1", name))
        assert change(client, (LOGGER, "1", [(name, DELETE, None)])) == [E.NONE]

        assert raised == ("ERROR", BY_LOGGER, [(name, "ERROR", BY_LOGGER)])
        assert logging.getLogger(name).level == logging.NOTSET
    finally:
        logging.getLogger(name).setLevel(before)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([("streamcore", APPEND, "INFO")], E.INVALID_REQUEST),
        ([("nope", SET, "INFO")], E.INVALID_CONFIG),
        ([("streamcore", SET, "LOUD")], E.INVALID_CONFIG),
    ],
)
def test_levels_that_there_are_not_are_refused(
    client: WireClient, changes: list[Change], expected: E
) -> None:
    assert change(client, (LOGGER, "1", changes)) == [expected]
    assert replace(client, LOGGER, "1", {"streamcore": "INFO"}) == E.INVALID_REQUEST
