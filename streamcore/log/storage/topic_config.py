"""The settings of a topic: Kafka's names, defaults and limits, as typed values.

A topic stores only what was set, as text; ``TopicConfig.parse`` turns that into values and refuses
what is unknown or impossible. Segments may be smaller than Kafka 4 allows (1 MiB), for small
devices and tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, TypeAlias

from streamcore.errors import InvalidConfigError, fact_text
from streamcore.log.records.compression import CODECS

_DAY_MS: Final = 24 * 60 * 60 * 1000
_INT_MAX: Final = 2**31 - 1
_LONG_MAX: Final = 2**63 - 1

Value: TypeAlias = int | float | str | bool | frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicConfig:
    """What one topic obeys. Times in milliseconds; -1 means without limit where Kafka says so."""

    cleanup_policy: frozenset[str] = frozenset({"delete"})
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
    max_compaction_lag_ms: int = _LONG_MAX
    delete_retention_ms: int = _DAY_MS
    message_timestamp_type: str = "CreateTime"
    message_timestamp_before_max_ms: int = _LONG_MAX
    message_timestamp_after_max_ms: int = 60 * 60 * 1000
    compression_type: str = "producer"
    file_delete_delay_ms: int = 60_000
    flush_messages: int = _LONG_MAX
    flush_ms: int = _LONG_MAX
    min_insync_replicas: int = 1
    preallocate: bool = False
    unclean_leader_election_enable: bool = False
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
        """Whether the log's clock, not the producer's, stamps the records."""
        return self.message_timestamp_type == "LogAppendTime"

    @classmethod
    def parse(cls, settings: Mapping[str, str], *, defaults: Mapping[str, str] | None = None) -> TopicConfig:
        """Return the typed settings; what is not given keeps its default.

        Raises:
            InvalidConfigError: a name is unknown (the message names close ones) or a value impossible.
        """
        values: dict[str, Value] = {}
        for name, text in {**(defaults or {}), **settings}.items():
            parser = _PARSERS.get(name)
            if parser is None:
                raise _unknown(name)
            try:
                values[name.replace(".", "_")] = parser(text)
            except (ValueError, TypeError) as error:
                raise InvalidConfigError(
                    f"a topic setting has an impossible value ({error}), "
                    + fact_text(setting=name, value=text)
                ) from error
        return cls(**values)  # type: ignore[arg-type]


def default_settings() -> dict[str, str]:
    """Every setting by its Kafka name, with its default as text."""
    config = TopicConfig()
    return {name: _text(getattr(config, name.replace(".", "_"))) for name in _PARSERS}


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, frozenset):
        return ",".join(sorted(value))
    return str(value)


def _unknown(name: str) -> InvalidConfigError:
    close = get_close_matches(name.replace("_", "."), _PARSERS, n=3, cutoff=0.5)
    hint = f", did you mean {' or '.join(close)}?" if close else f"; known are {', '.join(sorted(_PARSERS))},"
    return InvalidConfigError(f"unknown topic setting{hint} " + fact_text(setting=name))


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}")
        return value

    return parse


def _ratio(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("must be from 0 to 1")
    return value


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def _boolean(text: str) -> bool:
    return _one_of("true", "false")(text.lower()) == "true"


def _refused_true(reason: str) -> Callable[[str], bool]:
    def parse(text: str) -> bool:
        if _boolean(text):
            raise ValueError(reason)
        return False

    return parse


def _policies(text: str) -> frozenset[str]:
    policies = frozenset(part.strip() for part in text.split(",") if part.strip())
    if not policies or policies - {"delete", "compact"}:
        raise ValueError("must be delete, compact, or delete,compact")
    return policies


_PARSERS: Final[Mapping[str, Callable[[str], Value]]] = {
    "cleanup.policy": _policies,
    "retention.ms": _integer(-1, _LONG_MAX),
    "retention.bytes": _integer(-1, _LONG_MAX),
    "segment.bytes": _integer(64, _INT_MAX),
    "segment.ms": _integer(1, _LONG_MAX),
    "segment.jitter.ms": _integer(0, _LONG_MAX),
    "segment.index.bytes": _integer(12, _INT_MAX),
    "index.interval.bytes": _integer(0, _INT_MAX),
    "max.message.bytes": _integer(0, _INT_MAX),
    "min.cleanable.dirty.ratio": _ratio,
    "min.compaction.lag.ms": _integer(0, _LONG_MAX),
    "max.compaction.lag.ms": _integer(1, _LONG_MAX),
    "delete.retention.ms": _integer(0, _LONG_MAX),
    "message.timestamp.type": _one_of("CreateTime", "LogAppendTime"),
    "message.timestamp.before.max.ms": _integer(0, _LONG_MAX),
    "message.timestamp.after.max.ms": _integer(0, _LONG_MAX),
    "compression.type": _one_of("producer", "uncompressed", *(name for name in CODECS if name != "none")),
    "file.delete.delay.ms": _integer(0, _LONG_MAX),
    "flush.messages": _integer(1, _LONG_MAX),
    "flush.ms": _integer(0, _LONG_MAX),
    "min.insync.replicas": _integer(1, 1),
    "preallocate": _boolean,
    "unclean.leader.election.enable": _boolean,
    "remote.storage.enable": _refused_true("tiered storage is not part of this log"),
}
