"""The settings of a group: of the newer protocol (KIP-848), and of kinds of groups that are not served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from streamcore.errors import InvalidConfigError, with_facts
from streamcore.log.storage.topics.setting_kinds import INT_MAX, Kind, boolean, integer, one_of

_SHARE: Final = "Of no effect: share groups are not served."
_STREAMS: Final = "Of no effect: the group protocol of Kafka Streams is not served; its classic one is."


@dataclass(frozen=True, slots=True)
class GroupSetting:
    """One setting; ``broker_setting`` is Kafka's name of its default among the broker's settings."""

    kind: Kind
    default: str
    documentation: str
    broker_setting: str
    is_obeyed: bool = False


def _none(name: str, kind: Kind, default: str, reason: str) -> tuple[str, GroupSetting]:
    kept = f"group.{name}" if name.split(".")[1] not in ("auto", "isolation", "renew") else name
    return name, GroupSetting(kind, default, reason, kept)


_INT: Final = integer(0, INT_MAX)

GROUP_SETTINGS: Final[Mapping[str, GroupSetting]] = MappingProxyType(
    {
        "consumer.session.timeout.ms": GroupSetting(
            integer(45_000, 60_000),
            "45000",
            "The time without a heartbeat after which a member is removed from the group.",
            "group.consumer.session.timeout.ms",
            is_obeyed=True,
        ),
        "consumer.heartbeat.interval.ms": GroupSetting(
            integer(5_000, 15_000),
            "5000",
            "The interval of a member's heartbeats.",
            "group.consumer.heartbeat.interval.ms",
            is_obeyed=True,
        ),
        "consumer.assignment.interval.ms": GroupSetting(
            _INT,
            "1000",
            "Of no effect: partitions are assigned again at each change.",
            "group.consumer.assignment.interval.ms",
        ),
        **dict(
            (
                _none("share.session.timeout.ms", _INT, "45000", _SHARE),
                _none("share.heartbeat.interval.ms", _INT, "5000", _SHARE),
                _none("share.assignment.interval.ms", _INT, "1000", _SHARE),
                _none("share.record.lock.duration.ms", _INT, "30000", _SHARE),
                _none("share.delivery.count.limit", _INT, "5", _SHARE),
                _none("share.partition.max.record.locks", _INT, "2000", _SHARE),
                _none("share.auto.offset.reset", one_of("latest", "earliest"), "latest", _SHARE),
                _none(
                    "share.isolation.level",
                    one_of("read_uncommitted", "read_committed"),
                    "read_uncommitted",
                    _SHARE,
                ),
                _none("share.renew.acknowledge.enable", boolean(), "true", _SHARE),
                _none("streams.session.timeout.ms", _INT, "45000", _STREAMS),
                _none("streams.heartbeat.interval.ms", _INT, "5000", _STREAMS),
                _none("streams.assignment.interval.ms", _INT, "1000", _STREAMS),
                _none("streams.initial.rebalance.delay.ms", _INT, "3000", _STREAMS),
                _none("streams.num.standby.replicas", _INT, "0", _STREAMS),
            )
        ),
    }
)


def ensure_group_setting(name: str, value: str) -> None:
    """Raise ``InvalidConfigError`` for a setting that is unknown, has no effect, or cannot have the value."""
    setting = GROUP_SETTINGS.get(name)
    if setting is None:
        known = [each for each, setting in GROUP_SETTINGS.items() if setting.is_obeyed]
        close = get_close_matches(name, known, n=2, cutoff=0.5) or known
        raise InvalidConfigError(
            with_facts(f"unknown group setting, did you mean {' or '.join(close)}?", setting=name)
        )
    if not setting.is_obeyed:
        raise InvalidConfigError(
            with_facts(f"this group setting cannot be set: {setting.documentation.rstrip('.')}", setting=name)
        )
    try:
        setting.kind.parse(value)
    except ValueError as error:
        raise InvalidConfigError(
            with_facts(f"a group setting has an impossible value ({error})", setting=name, value=value)
        ) from error
