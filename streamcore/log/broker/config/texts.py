"""Conversion between settings by Kafka's names, as text, and the attributes of the settings objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from streamcore.log.broker.config.broker_settings import (
    BrokerSetting,
    Meaning,
    broker_settings,
    setting_named,
)
from streamcore.log.storage.topics.setting_kinds import INT_MAX, Value, written

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S", bound="DataclassInstance")

_MINUTE_MS: Final = 60_000
_FOR_EVER_MINUTES: Final = INT_MAX


def attribute_value(setting: BrokerSetting, text: str) -> Value | None:
    """Return the value of an attribute for a text."""
    value = setting.kind.parse(text)
    if setting.attribute == "offsets_retention_ms":
        assert isinstance(value, int)
        return None if value == _FOR_EVER_MINUTES else value * _MINUTE_MS
    if setting.attribute == "idle_s":
        assert isinstance(value, int)
        return value / 1000
    return value


def _attribute_text(attribute: str, value: Value | None) -> str:
    if attribute == "offsets_retention_ms":
        assert value is None or isinstance(value, int)
        return str(_FOR_EVER_MINUTES if value is None else value // _MINUTE_MS)
    if attribute == "idle_s":
        assert isinstance(value, float | int)
        return str(round(value * 1000))
    assert value is not None
    return written(value)


def configured(settings: S, meaning: Meaning, config: Mapping[str, str]) -> S:
    """Return a settings object with the values in ``config``; settings of other objects are ignored."""
    named = [(setting_named(name), text) for name, text in config.items()]
    return replace(
        settings,
        **{
            setting.attribute: attribute_value(setting, text)
            for setting, text in named
            if setting.meaning is meaning
        },
    )


def texts_of(settings: object, meaning: Meaning) -> dict[str, str]:
    """Return the values of a settings object as texts, by Kafka's names."""
    return {
        setting.name: _attribute_text(setting.attribute, getattr(settings, setting.attribute))
        for setting in broker_settings().values()
        if setting.meaning is meaning
    }
