"""Settings as clients are shown them: a value, where it comes from, and what it would be otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from streamcore.log.storage.topics.setting_kinds import SettingType


class Source(Enum):
    """Where a value comes from, by Kafka's names."""

    DYNAMIC_TOPIC = "what is set for the topic"
    DYNAMIC_BROKER = "what is set for the node"
    DYNAMIC_DEFAULT_BROKER = "what is set for all nodes"
    STATIC_BROKER = "what was set when the broker was started"
    DEFAULT = "the default"
    LOGGER = "the level of a logger"
    GROUP = "what is set for the group"


@dataclass(frozen=True, slots=True)
class Level:
    """A value that a setting has on one of its levels, and the name that it has there."""

    name: str
    value: str | None
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A setting as clients are shown it; ``levels`` are all that have a value, the one that counts first."""

    name: str
    value: str | None
    source: Source
    type: SettingType
    is_read_only: bool
    documentation: str
    levels: tuple[Level, ...]

    @property
    def is_sensitive(self) -> bool:
        """Whether the value is not for everybody's eyes."""
        return self.type is SettingType.PASSWORD
