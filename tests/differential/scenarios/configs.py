"""Settings of topics, brokers and groups: described and changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from streamcore.log.protocol.messages import alter_configs, incremental_alter_configs
from streamcore.log.protocol.messages.alter_configs import AlterConfigsRequest
from streamcore.log.protocol.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from streamcore.log.protocol.messages.incremental_alter_configs import IncrementalAlterConfigsRequest
from streamcore.log.protocol.messages.list_config_resources import ListConfigResourcesRequest
from tests.differential.conversation import NO_TOPIC, Conversation
from tests.differential.registry import invalid, valid

TOPIC: Final = 2
BROKER: Final = 4
BROKER_LOGGER: Final = 8
CLIENT_METRICS: Final = 16
GROUP: Final = 32
_KINDS: Final = (0, 1, TOPIC, 3, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, 64, -1)
SET, DELETE, APPEND, SUBTRACT = range(4)


def describe_request(
    kind: int, name: str, keys: Sequence[str] | None = None, **fields: Any
) -> DescribeConfigsRequest:
    """A request for the settings of something."""
    wanted = DescribeConfigsResource(
        resource_type=kind, resource_name=name, configuration_keys=None if keys is None else list(keys)
    )
    return DescribeConfigsRequest(resources=[wanted], **fields)


def whole_request(
    kind: int, name: str, settings: Mapping[str, str | None], **fields: Any
) -> AlterConfigsRequest:
    """A request that replaces all settings."""
    configs = [alter_configs.AlterableConfig(name=key, value=value) for key, value in settings.items()]
    wanted = alter_configs.AlterConfigsResource(resource_type=kind, resource_name=name, configs=configs)
    standard: dict[str, Any] = {"resources": [wanted], "validate_only": False}
    return AlterConfigsRequest(**(standard | fields))


def incremental_request(
    kind: int, name: str, *changes: tuple[int, str, str | None], **fields: Any
) -> IncrementalAlterConfigsRequest:
    """A request that changes settings: operations, each with a name and a value."""
    configs = [
        incremental_alter_configs.AlterableConfig(name=key, config_operation=how, value=value)
        for how, key, value in changes
    ]
    wanted = incremental_alter_configs.AlterConfigsResource(
        resource_type=kind, resource_name=name, configs=configs
    )
    standard: dict[str, Any] = {"resources": [wanted], "validate_only": False}
    return IncrementalAlterConfigsRequest(**(standard | fields))


@valid("DescribeConfigs")
def settings_of_a_topic_are_told(talk: Conversation) -> None:
    topic = talk.make_topic(settings={"retention.ms": "1000", "cleanup.policy": "compact,delete"})

    talk.ask(describe_request(TOPIC, topic.name))
    talk.ask(describe_request(TOPIC, topic.name, include_synonyms=True))
    keys = ["retention.ms", "cleanup.policy", "no.such.setting"]
    talk.ask(describe_request(TOPIC, topic.name, keys, include_synonyms=True))
    talk.ask(describe_request(TOPIC, topic.name, []))


@valid("DescribeConfigs")
def settings_of_a_broker_are_told(talk: Conversation) -> None:
    for name in ("1", ""):
        talk.ask(describe_request(BROKER, name))
        talk.ask(describe_request(BROKER, name, include_synonyms=True))


@valid("DescribeConfigs")
def settings_of_a_group_are_told(talk: Conversation) -> None:
    group = talk.name("group")
    described = talk.prepare(describe_request(GROUP, group))
    # All but the one whose default Kafka was started with another value of.
    names = {each.name for each in described.results[0].configs} - {"consumer.assignment.interval.ms"}

    talk.ask(describe_request(GROUP, group, sorted(names), include_synonyms=True))


@invalid("DescribeConfigs")
def what_is_not_there_has_no_settings(talk: Conversation) -> None:
    topic = talk.make_topic()

    for kind in _KINDS:
        for name in ("", "7", "x", NO_TOPIC.name, "a b"):
            if kind != BROKER_LOGGER:
                talk.ask(describe_request(kind, name, ["retention.ms"]))
    twice = describe_request(TOPIC, topic.name, ["retention.ms"])
    twice.resources += describe_request(TOPIC, topic.name, ["segment.ms"]).resources
    talk.ask(twice)
    talk.ask(DescribeConfigsRequest(resources=[]))


@valid("AlterConfigs")
def settings_of_a_topic_are_replaced(talk: Conversation) -> None:
    topic = talk.make_topic(settings={"retention.ms": "1000", "segment.ms": "5000"})

    talk.ask(whole_request(TOPIC, topic.name, {"retention.ms": "2000"}, validate_only=True))
    talk.ask(whole_request(TOPIC, topic.name, {"retention.bytes": "3000"}))
    talk.settle()
    talk.ask(describe_request(TOPIC, topic.name, ["retention.ms", "segment.ms", "retention.bytes"]))
    talk.ask(whole_request(TOPIC, topic.name, {}))
    talk.settle()
    talk.ask(describe_request(TOPIC, topic.name, ["retention.ms", "segment.ms", "retention.bytes"]))


@invalid("AlterConfigs")
def settings_that_do_not_exist_are_not_replaced(talk: Conversation) -> None:
    topic = talk.make_topic()

    for settings in (
        {"no.such": "1"},
        {"retention.ms": "x"},
        {"retention.ms": None},
        {"": "1"},
        {"segment.bytes": "1"},
    ):
        for validate_only in (True, False):
            talk.ask(whole_request(TOPIC, topic.name, settings, validate_only=validate_only))
    for kind in _KINDS:
        for name in (NO_TOPIC.name, "", "7"):
            if (kind, name) != (BROKER, ""):
                talk.ask(whole_request(kind, name, {"retention.ms": "5"}))
    twice = whole_request(TOPIC, topic.name, {"retention.ms": "5"})
    twice.resources *= 2
    talk.ask(twice)
    doubled = whole_request(TOPIC, topic.name, {"retention.ms": "5"})
    doubled.resources[0].configs *= 2
    talk.ask(doubled)
    talk.ask(whole_request(TOPIC, "", {}, resources=[]))


@valid("IncrementalAlterConfigs")
def settings_of_a_topic_are_changed(talk: Conversation) -> None:
    topic = talk.make_topic(settings={"retention.ms": "1000"})

    for change in (
        (SET, "segment.ms", "5000"),
        (APPEND, "cleanup.policy", "compact"),
        (APPEND, "cleanup.policy", "compact"),
        (SUBTRACT, "cleanup.policy", "delete"),
        (DELETE, "retention.ms", None),
        (DELETE, "retention.ms", "5"),
    ):
        talk.ask(incremental_request(TOPIC, topic.name, change))
        talk.settle()
        talk.ask(describe_request(TOPIC, topic.name, ["retention.ms", "segment.ms", "cleanup.policy"]))


@valid("IncrementalAlterConfigs")
def settings_of_a_group_are_changed(talk: Conversation) -> None:
    group = talk.name("group")

    talk.ask(incremental_request(GROUP, group, (SET, "consumer.session.timeout.ms", "50000")))
    talk.settle()
    talk.ask(describe_request(GROUP, group, ["consumer.session.timeout.ms"]))
    talk.ask(incremental_request(GROUP, group, (SET, "consumer.session.timeout.ms", "1")))
    talk.ask(incremental_request(GROUP, group, (SET, "no.such.setting", "1")))
    talk.ask(incremental_request(GROUP, group, (DELETE, "consumer.session.timeout.ms", None)))


@valid("IncrementalAlterConfigs")
def settings_of_a_broker_are_changed(talk: Conversation) -> None:
    for name in ("1", ""):
        talk.ask(incremental_request(BROKER, name, (SET, "log.cleaner.threads", "2"), validate_only=True))
        talk.ask(incremental_request(BROKER, name, (SET, "log.retention.ms", "x"), validate_only=True))
        talk.ask(incremental_request(BROKER, name, (SET, "node.id", "5"), validate_only=True))
        talk.ask(incremental_request(BROKER, name, (SET, "no.such.setting", "5"), validate_only=True))


@invalid("IncrementalAlterConfigs")
def settings_that_do_not_exist_are_not_changed(talk: Conversation) -> None:
    topic = talk.make_topic()

    for change in (
        (SET, "no.such", "1"),
        (SET, "retention.ms", "x"),
        (SET, "retention.ms", None),
        (SET, "", "1"),
        (APPEND, "retention.ms", "1"),
        (SUBTRACT, "retention.ms", "1"),
        (APPEND, "cleanup.policy", "burn"),
        (SUBTRACT, "cleanup.policy", "delete"),
        (APPEND, "cleanup.policy", None),
        (DELETE, "no.such", None),
        (4, "retention.ms", "1"),
        (-1, "retention.ms", "1"),
    ):
        for validate_only in (True, False):
            talk.ask(incremental_request(TOPIC, topic.name, change, validate_only=validate_only))
    for kind in _KINDS:
        for name in (NO_TOPIC.name, "", "7"):
            if (kind, name) != (BROKER, ""):
                talk.ask(incremental_request(kind, name, (SET, "retention.ms", "5")))


@invalid("IncrementalAlterConfigs")
def changes_must_not_contradict_each_other(talk: Conversation) -> None:
    topic = talk.make_topic()

    talk.ask(
        incremental_request(TOPIC, topic.name, (SET, "retention.ms", "5"), (DELETE, "retention.ms", None))
    )
    twice = incremental_request(TOPIC, topic.name, (SET, "retention.ms", "5"))
    twice.resources *= 2
    talk.ask(twice)
    talk.ask(incremental_request(TOPIC, topic.name))
    talk.ask(incremental_request(TOPIC, topic.name, resources=[]))


@valid("ListConfigResources")
def what_has_settings_is_listed(talk: Conversation) -> None:
    if talk.version >= 1:
        for kinds in ([TOPIC], [BROKER], [GROUP], [CLIENT_METRICS], [BROKER_LOGGER]):
            talk.make_topic(f"topic{kinds[0]}")
            talk.ask(ListConfigResourcesRequest(resource_types=kinds), own=kinds == [TOPIC])
    else:
        talk.ask(ListConfigResourcesRequest())


@invalid("ListConfigResources")
def what_does_not_exist_is_not_listed(talk: Conversation) -> None:
    for kinds in ([0], [1], [3], [64], [-1], [GROUP, GROUP]):
        talk.ask(ListConfigResourcesRequest(resource_types=kinds))
