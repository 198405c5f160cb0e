"""The settings of one topic as typed values; ``topic_settings`` has their meaning and their limits.

A topic stores only the settings that were set, as text; ``TopicConfig.parse`` converts them and refuses
unknown names and impossible values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Final

from streamcore.errors import InvalidConfigError, with_facts
from streamcore.log.storage.topics.setting_kinds import LONG_MAX, Value, written
from streamcore.log.storage.topics.topic_settings import TOPIC_SETTINGS

_DAY_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicConfig:
    """The settings of one topic. Times are in milliseconds; -1 means no limit where Kafka says so."""

    cleanup_policy: tuple[str, ...] = ("delete",)
    retention_ms: int = 7 * _DAY_MS
    retention_bytes: int = -1
    segment_bytes: int = 1024 * 1024 * 1024
    segment_ms: int = 7 * _DAY_MS
    segment_jitter_ms: int = 0
    segment_index_bytes: int = 10 * 1024 * 1024
    index_interval_bytes: int = 4096
    max_message_bytes: int = 1024 * 1024 + 12
    min_cleanable_dirty_ratio: float = 0.5
    min_compaction_lag_ms: int = 0
    max_compaction_lag_ms: int = LONG_MAX
    delete_retention_ms: int = _DAY_MS
    message_timestamp_type: str = "CreateTime"
    message_timestamp_before_max_ms: int = LONG_MAX
    message_timestamp_after_max_ms: int = 60 * 60 * 1000
    compression_type: str = "producer"
    compression_gzip_level: int = -1
    compression_lz4_level: int = 9
    compression_zstd_level: int = 3
    file_delete_delay_ms: int = 60_000
    flush_messages: int = LONG_MAX
    flush_ms: int = LONG_MAX
    min_insync_replicas: int = 1
    preallocate: bool = False
    unclean_leader_election_enable: bool = False
    follower_replication_throttled_replicas: tuple[str, ...] = ()
    leader_replication_throttled_replicas: tuple[str, ...] = ()
    local_retention_bytes: int = -2
    local_retention_ms: int = -2
    remote_log_copy_disable: bool = False
    remote_log_delete_on_disable: bool = False
    remote_storage_enable: bool = False

    @property
    def is_compacted(self) -> bool:
        """Whether only the newest record of each key is kept for ever."""
        return "compact" in self.cleanup_policy

    @property
    def deletes_old(self) -> bool:
        """Whether old segments are deleted by time and size."""
        return "delete" in self.cleanup_policy

    @property
    def has_append_time(self) -> bool:
        """Whether records get the time of the log's clock instead of the producer's."""
        return self.message_timestamp_type == "LogAppendTime"

    @property
    def compression_level(self) -> int | None:
        """The compression level, if the topic's compression has levels."""
        match self.compression_type:
            case "gzip":
                return self.compression_gzip_level
            case "lz4":
                return self.compression_lz4_level
            case "zstd":
                return self.compression_zstd_level
            case _:
                return None

    @classmethod
    def parse(cls, settings: Mapping[str, str], *, defaults: Mapping[str, str] | None = None) -> TopicConfig:
        """Return the typed settings; a missing setting has its default.

        Raises:
            InvalidConfigError: a name is unknown (the message names similar ones) or a value is impossible.
        """
        values = {
            name.replace(".", "_"): parsed_setting(name, text)
            for name, text in {**(defaults or {}), **settings}.items()
        }
        return cls(**values)  # type: ignore[arg-type]

    def ensure_consistent(self) -> None:
        """Refuse settings that exclude each other.

        Only newly set settings are checked. An existing topic stays usable when a default has changed:
        compaction then keeps records for the minimum lag.

        Raises:
            InvalidConfigError: the message names the settings.
        """
        if self.min_compaction_lag_ms > self.max_compaction_lag_ms:
            raise InvalidConfigError(
                with_facts(
                    "compaction cannot leave a record alone for longer than it may wait",
                    setting="min.compaction.lag.ms",
                    value=self.min_compaction_lag_ms,
                    max_compaction_lag_ms=self.max_compaction_lag_ms,
                )
            )


def parsed_setting(name: str, text: str) -> Value:
    """Return the value of one setting.

    Raises:
        InvalidConfigError: the name is unknown or the value is impossible.
    """
    setting = TOPIC_SETTINGS.get(name)
    if setting is None:
        raise _unknown(name)
    try:
        return setting.kind.parse(text)
    except ValueError as error:
        raise InvalidConfigError(
            with_facts(f"a topic setting has an impossible value ({error})", setting=name, value=text),
            kafka_text=f"Invalid value {text} for configuration {name}",
        ) from error


@cache
def default_settings() -> Mapping[str, str]:
    """Return every setting by its Kafka name, with its default as text."""
    config = TopicConfig()
    return MappingProxyType(
        {name: written(getattr(config, name.replace(".", "_"))) for name in TOPIC_SETTINGS}
    )


def _unknown(name: str) -> InvalidConfigError:
    close = get_close_matches(name.replace("_", "."), TOPIC_SETTINGS, n=3, cutoff=0.5)
    hint = f", did you mean {' or '.join(close)}?" if close else "; see docs/broker-settings.md"
    return InvalidConfigError(
        with_facts(f"unknown topic setting{hint}", setting=name),
        kafka_text=f"Unknown topic config name: {name}",
    )
