"""Descriptions of settings for clients: a value, its source, and the values of other levels."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from streamcore.log.storage.topics.setting_kinds import SettingType


class Source(Enum):
    """The source of a value, by Kafka's names."""

    DYNAMIC_TOPIC = "what is set for the topic"
    DYNAMIC_BROKER = "what is set for the node"
    DYNAMIC_DEFAULT_BROKER = "what is set for all nodes"
    STATIC_BROKER = "what was set when the broker was started"
    DEFAULT = "the default"
    LOGGER = "the level of a logger"
    GROUP = "what is set for the group"


class Level(Struct, frozen=True):
    """The value of a setting on one level, and its name there."""

    name: str
    value: str | None
    source: Source


class Described(Struct, frozen=True, kw_only=True):
    """The description of a setting for clients; ``levels`` are all that have a value, the effective one
    first.
    """

    name: str
    value: str | None
    source: Source
    type: SettingType
    is_read_only: bool
    documentation: str
    levels: tuple[Level, ...]

    @property
    def is_sensitive(self) -> bool:
        """Whether the value must not be shown."""
        return self.type is SettingType.PASSWORD
