"""The settings of a broker by Kafka's names, with the meaning of each, read from ``broker_settings.tsv``.

Clients look for any of Kafka's settings, so the table has all of them. Settings without effect here are shown
with Kafka's default and the reason. The table is read at first use: most brokers are never asked about their
settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from enum import Enum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from streamcore.errors import InvalidConfigError, with_facts
from streamcore.log.storage.topics.setting_kinds import (
    INT_MAX,
    LONG_MAX,
    Kind,
    SettingType,
    boolean,
    integer,
    words,
)
from streamcore.log.storage.topics.topic_settings import TOPIC_SETTINGS

_FILE: Final = "broker_settings.tsv"
_NONE: Final = "-"


class Meaning(Enum):
    """What a setting applies to."""

    TOPIC = "topic"
    BROKER = "broker"
    LOG = "log"
    SERVER = "server"
    GIVEN = "given"
    FIXED = "fixed"
    NONE = "none"


class BrokerSetting(Struct, frozen=True):
    """One setting of a broker."""

    name: str
    kind: Kind
    default: str | None
    meaning: Meaning
    attribute: str
    """The attribute of the settings object that ``meaning`` names."""
    is_changeable: bool
    """Whether the setting can be changed while the broker runs."""
    documentation: str

    @property
    def is_settable(self) -> bool:
        """Whether the setting can be set when the broker starts."""
        return self.meaning in (Meaning.TOPIC, Meaning.BROKER, Meaning.LOG, Meaning.SERVER)


class Inherited(Struct, frozen=True):
    """A topic's setting that takes its default from a broker's setting, times ``factor``."""

    topic_setting: str
    factor: int


@cache
def inheritance() -> Mapping[str, Inherited]:
    """Return for each broker setting the topic setting whose default it is."""
    return MappingProxyType(
        {
            name: Inherited(topic_setting, factor)
            for topic_setting, setting in TOPIC_SETTINGS.items()
            for name, factor in setting.inherited
        }
    )


@cache
def broker_settings() -> Mapping[str, BrokerSetting]:
    """Return all settings by name."""
    text = files(__package__).joinpath(_FILE).read_text("utf-8")
    reasons: dict[str, str] = {}
    settings: dict[str, BrokerSetting] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name, *fields = line.split("\t")
        if name.startswith("@"):
            reasons[name[1:]] = fields[0]
        else:
            settings[name] = _setting(name, fields, reasons)
    return MappingProxyType(settings)


def _setting(name: str, fields: list[str], reasons: Mapping[str, str]) -> BrokerSetting:
    type_name, default, limits, what, text = [*fields, "", ""][:5]
    meaning_name, _, attribute = what.partition(":")
    meaning = Meaning(meaning_name.rstrip("+"))
    kind = _kind(SettingType(type_name), limits)
    if meaning is Meaning.NONE:
        text = reasons[attribute]
    elif meaning is Meaning.TOPIC:
        inherited = inheritance()[name]
        attribute = inherited.topic_setting
        kind = _scaled(TOPIC_SETTINGS[attribute].kind, SettingType(type_name), inherited.factor)
        text = f"The default of the topics' {attribute}. {TOPIC_SETTINGS[attribute].documentation}"
    return BrokerSetting(
        name,
        kind,
        None if default == _NONE else default,
        meaning,
        attribute,
        meaning is Meaning.TOPIC or meaning_name.endswith("+"),
        text,
    )


def _kind(type_: SettingType, limits: str) -> Kind:
    match type_:
        case SettingType.INT | SettingType.SHORT | SettingType.LONG:
            low, _, high = limits.partition("..")
            high_default = LONG_MAX if type_ is SettingType.LONG else INT_MAX
            return Kind(type_, integer(int(low or -1), int(high or high_default)).parse)
        case SettingType.BOOLEAN:
            return boolean()
        case SettingType.DOUBLE:
            return Kind(type_, float)
        case SettingType.LIST:
            return words(lambda _: None)
        case SettingType.STRING | SettingType.CLASS | SettingType.PASSWORD:
            return Kind(type_, str)


def _scaled(kind: Kind, type_: SettingType, factor: int) -> Kind:
    """Return a kind in a larger unit; -1, which means no limit, is not scaled."""
    if factor == 1:
        return kind

    def parse(text: str) -> int:
        value = int(text)
        kind.parse(str(value if value < 0 else value * factor))
        return value

    return Kind(type_, parse)


def in_topic_unit(name: str, text: str) -> str:
    """Convert the value of a broker setting to the unit of the topic setting whose default it is."""
    inherited = inheritance()[name]
    if inherited.factor == 1:
        return text
    value = int(text)
    return str(value if value < 0 else value * inherited.factor)


def setting_named(name: str) -> BrokerSetting:
    """Return a setting by name.

    Raises:
        InvalidConfigError: there is none; the message has similar names.
    """
    found = broker_settings().get(name)
    if found is None:
        known = [each.name for each in broker_settings().values() if each.is_settable]
        close = get_close_matches(name.replace("_", "."), known, n=3, cutoff=0.5)
        hint = f", did you mean {' or '.join(close)}?" if close else "; see docs/broker-settings.md"
        raise InvalidConfigError(with_facts(f"unknown broker setting{hint}", setting=name))
    return found


def checked(name: str, text: str) -> BrokerSetting:
    """Return a setting that may have this value.

    Raises:
        InvalidConfigError: the setting is unknown, cannot be set, or cannot have this value.
    """
    setting = setting_named(name)
    if not setting.is_settable:
        raise InvalidConfigError(
            with_facts(
                f"this broker setting cannot be set: {setting.documentation.rstrip('.')}", setting=name
            )
        )
    ensure_possible(setting, text)
    return setting


def ensure_possible(setting: BrokerSetting, text: str) -> None:
    """Raise ``InvalidConfigError`` for a value that a setting cannot have."""
    try:
        setting.kind.parse(text)
    except ValueError as error:
        raise InvalidConfigError(
            with_facts(
                f"a broker setting has an impossible value ({error})", setting=setting.name, value=text
            ),
            kafka_text=f"Invalid value {text} for configuration {setting.name}",
        ) from error
