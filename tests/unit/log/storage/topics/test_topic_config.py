"""Settings of topics."""

from __future__ import annotations

import pytest

from streamcore.errors import InvalidConfigError
from streamcore.log.storage.topics.topic_config import TopicConfig, default_settings


def test_the_defaults_are_kafkas_and_parse() -> None:
    assert TopicConfig.parse(default_settings()) == TopicConfig()
    assert default_settings()["retention.ms"] == "604800000"
    assert default_settings()["max.message.bytes"] == "1048588"


def test_a_topics_own_settings_come_before_the_logs() -> None:
    config = TopicConfig.parse({"retention.ms": "5"}, defaults={"retention.ms": "7", "segment.bytes": "900"})

    assert (config.retention_ms, config.segment_bytes) == (5, 900)


def test_both_policies_together() -> None:
    config = TopicConfig.parse({"cleanup.policy": "compact, delete"})

    assert config.is_compacted
    assert config.deletes_old


def test_a_topic_without_a_policy_keeps_everything() -> None:
    config = TopicConfig.parse({"cleanup.policy": ""})

    assert not config.is_compacted
    assert not config.deletes_old


def test_compaction_that_must_come_before_it_may_is_refused() -> None:
    config = TopicConfig.parse({"min.compaction.lag.ms": "7"}, defaults={"max.compaction.lag.ms": "5"})

    with pytest.raises(InvalidConfigError, match=r"setting=min\.compaction\.lag\.ms"):
        config.ensure_consistent()


@pytest.mark.parametrize(
    ("name", "hint"),
    [("retention_ms", "retention.ms"), ("cleanup.polcy", "cleanup.policy"), ("zzz", "broker-settings")],
)
def test_an_unknown_name_is_answered_with_close_ones(name: str, hint: str) -> None:
    with pytest.raises(InvalidConfigError, match=hint):
        TopicConfig.parse({name: "1"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retention.ms", "x"),
        ("retention.ms", "-2"),
        ("segment.bytes", "3"),
        ("cleanup.policy", "shrink"),
        ("min.cleanable.dirty.ratio", "1.1"),
        ("compression.type", "none"),
        ("message.timestamp.type", "create"),
        ("min.insync.replicas", "2"),
        ("remote.storage.enable", "true"),
        ("preallocate", "yes"),
        ("compression.gzip.level", "0"),
        ("compression.lz4.level", "18"),
        ("leader.replication.throttled.replicas", "x"),
    ],
)
def test_an_impossible_value_is_refused_with_its_name(name: str, value: str) -> None:
    with pytest.raises(InvalidConfigError, match=f"setting={name}"):
        TopicConfig.parse({name: value})
