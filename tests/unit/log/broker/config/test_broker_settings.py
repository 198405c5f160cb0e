"""The table of the broker's settings: what it says fits the objects that obey it."""

from __future__ import annotations

import pytest

from streamcore.errors import InvalidConfigError
from streamcore.log.broker.config.broker_settings import (
    Meaning,
    broker_settings,
    checked,
    in_topic_unit,
    inheritance,
    setting_named,
)
from streamcore.log.broker.config.configuration import broker_config, topic_defaults_of
from streamcore.log.broker.config.group_settings import GROUP_SETTINGS
from streamcore.log.broker.config.texts import configured, texts_of
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.server.settings import ServerSettings
from streamcore.log.storage.settings import LogSettings
from streamcore.log.storage.topics.topic_config import TopicConfig, default_settings
from streamcore.log.storage.topics.topic_settings import TOPIC_SETTINGS


def test_all_settings_of_kafkas_broker_are_there_and_explained() -> None:
    settings = broker_settings()

    assert len(settings) == 340
    assert list(settings) == sorted(settings)
    for setting in settings.values():
        assert setting.documentation.endswith("."), setting.name
        if setting.default is not None:
            plain = setting.kind.plain(setting.default)
            assert setting.kind.parse(plain) == setting.kind.parse(setting.default), setting.name


def test_defaults_are_those_of_the_objects_that_obey_them() -> None:
    obeying = {
        **texts_of(BrokerSettings(), Meaning.BROKER),
        **texts_of(LogSettings(), Meaning.LOG),
        **texts_of(ServerSettings(), Meaning.SERVER),
    }

    assert {name: broker_settings()[name].default for name in obeying} == obeying
    assert len(obeying) > 15


def test_broker_settings_that_topics_inherit_have_the_defaults_of_topics() -> None:
    defaults = default_settings()
    inherited = {
        name: setting for name, setting in broker_settings().items() if setting.meaning is Meaning.TOPIC
    }

    assert inherited.keys() == inheritance().keys()
    for name, setting in inherited.items():
        if setting.default is not None:
            assert in_topic_unit(name, setting.default) == defaults[setting.attribute], name
        assert setting.is_changeable


def test_every_default_can_be_set_where_anything_can() -> None:
    settable = {
        name: setting.default
        for name, setting in broker_settings().items()
        if setting.is_settable and setting.default is not None
    }
    for name, value in settable.items():
        checked(name, value)

    assert configured(BrokerSettings(), Meaning.BROKER, settable) == BrokerSettings()
    assert configured(LogSettings(), Meaning.LOG, settable) == LogSettings()
    assert configured(ServerSettings(), Meaning.SERVER, settable) == ServerSettings()
    assert TopicConfig.parse(topic_defaults_of(settable)) == TopicConfig()


def test_values_reach_the_objects_in_their_units() -> None:
    config = {
        "offsets.retention.minutes": "2",
        "connections.max.idle.ms": "1500",
        "producer.id.expiration.ms": "9",
    }

    assert configured(BrokerSettings(), Meaning.BROKER, config).offsets_retention_ms == 120_000
    assert configured(ServerSettings(), Meaning.SERVER, config).idle_s == 1.5
    assert configured(LogSettings(), Meaning.LOG, config).producer_expiry_ms == 9


def test_settings_of_a_broker_become_those_of_topics() -> None:
    assert topic_defaults_of({"log.retention.hours": "2", "message.max.bytes": "9"}) == {
        "retention.ms": "7200000",
        "max.message.bytes": "9",
    }
    assert topic_defaults_of({"log.retention.hours": "2", "log.retention.minutes": "-1"}) == {
        "retention.ms": "-1"
    }
    assert broker_config({"retention.ms": "5", "segment.ms": "6"}) == {
        "log.retention.ms": "5",
        "log.roll.ms": "6",
    }
    with pytest.raises(InvalidConfigError, match="no broker setting"):
        broker_config({"leader.replication.throttled.replicas": "*"})


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("log.retention.hour", "1", r"did you mean log\.retention\.hours"),
        ("zzz", "1", "broker-settings"),
        ("log.retention.hours", "x", "impossible"),
        ("log.retention.hours", "-2", "impossible"),
        ("num.partitions", "0", "from 1"),
        ("node.id", "2", "cannot be set"),
        ("ssl.keystore.location", "x", r"streamcore serve"),
    ],
)
def test_a_setting_that_cannot_be_set_is_refused_with_a_hint(name: str, value: str, hint: str) -> None:
    with pytest.raises(InvalidConfigError, match=hint):
        checked(name, value)


def test_names_of_topics_and_groups_lead_to_names_of_brokers() -> None:
    for setting in TOPIC_SETTINGS.values():
        for name, factor in setting.inherited:
            assert setting_named(name).meaning is Meaning.TOPIC
            assert factor in (1, 60_000, 3_600_000)
    for group_setting in GROUP_SETTINGS.values():
        assert group_setting.kind.plain(group_setting.default) == group_setting.default
        if group_setting.broker_setting.startswith("group."):
            assert setting_named(group_setting.broker_setting).default == group_setting.default
