"""The settings of a topic: Kafka's names and limits, and the effect of each setting here.

``topic_config`` parses typed values by this table, the broker shows it to clients, and a page of the
documentation is generated from it. Segments may be smaller than Kafka 4 allows (1 MiB), for small devices and
tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from streamcore.log.records.compression import CODECS
from streamcore.log.storage.topics.setting_kinds import (
    INT_MAX,
    Kind,
    boolean,
    integer,
    never,
    one_of,
    only,
    ratio,
    words,
)

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_REPLICA: Final = re.compile(r"\d+:\d+")


def _check_policies(policies: tuple[str, ...]) -> None:
    if set(policies) - {"delete", "compact"}:
        raise ValueError("must be delete, compact, both with a comma between, or nothing")


def _check_replicas(replicas: tuple[str, ...]) -> None:
    if replicas != ("*",) and not all(map(_REPLICA.fullmatch, replicas)):
        raise ValueError("must be * or partition:broker, with commas between")


class TopicSetting(Struct, frozen=True):
    """One setting.

    ``inherited`` names the broker settings that give the default of topics without this setting, each with
    the factor of its unit; the first one that is set holds.
    """

    kind: Kind
    documentation: str
    inherited: tuple[tuple[str, int], ...] = ()


def _from(name: str) -> tuple[tuple[str, int], ...]:
    return ((name, 1),)


_ALONE: Final = "Of no effect: a partition has one replica, and nothing is copied between brokers."
_TIERED: Final = "Of no effect: there is no tiered storage."

TOPIC_SETTINGS: Final[Mapping[str, TopicSetting]] = MappingProxyType(
    {
        "cleanup.policy": TopicSetting(
            words(_check_policies),
            "What happens to old records: delete removes whole segments by age and size, compact keeps the "
            "newest record of each key, both do both, and nothing keeps everything.",
            _from("log.cleanup.policy"),
        ),
        "compression.gzip.level": TopicSetting(
            integer(1, 9, also=-1),
            "The level at which the broker compresses a batch with gzip; -1 is gzip's own default, 6.",
            _from("compression.gzip.level"),
        ),
        "compression.lz4.level": TopicSetting(
            integer(1, 17),
            "The level at which the broker compresses a batch with lz4; 9 is the fast mode, as in Kafka.",
            _from("compression.lz4.level"),
        ),
        "compression.type": TopicSetting(
            one_of("producer", "uncompressed", *(name for name in CODECS if name != "none")),
            "How batches are compressed in the log: producer keeps the producer's compression; with any "
            "other value the broker compresses batches that have another codec.",
            _from("compression.type"),
        ),
        "compression.zstd.level": TopicSetting(
            integer(-131_072, 22),
            "The level at which the broker compresses a batch with zstd.",
            _from("compression.zstd.level"),
        ),
        "delete.retention.ms": TopicSetting(
            integer(0),
            "How long compaction keeps a tombstone after it first read it, so that readers see the deletion.",
            _from("log.cleaner.delete.retention.ms"),
        ),
        "file.delete.delay.ms": TopicSetting(
            integer(0),
            "How long a data file that retention, compaction or a deletion of records removed from the log "
            "stays on the disk. The files of a deleted topic are deleted at once.",
            _from("log.segment.delete.delay.ms"),
        ),
        "flush.messages": TopicSetting(
            integer(1),
            "After how many records a relaxed log syncs before it shows more. A durable log always syncs "
            "first.",
            _from("log.flush.interval.messages"),
        ),
        "flush.ms": TopicSetting(
            integer(0),
            "How long a relaxed log may wait before it syncs records; never more than about a second. A "
            "durable log always syncs at once.",
            _from("log.flush.interval.ms"),
        ),
        "follower.replication.throttled.replicas": TopicSetting(words(_check_replicas), _ALONE),
        "index.interval.bytes": TopicSetting(
            integer(0, INT_MAX),
            "The approximate number of bytes of records between two entries of an index.",
            _from("log.index.interval.bytes"),
        ),
        "leader.replication.throttled.replicas": TopicSetting(words(_check_replicas), _ALONE),
        "local.retention.bytes": TopicSetting(integer(-2), _TIERED, _from("log.local.retention.bytes")),
        "local.retention.ms": TopicSetting(integer(-2), _TIERED, _from("log.local.retention.ms")),
        "max.compaction.lag.ms": TopicSetting(
            integer(1),
            "The maximum time that a record waits for compaction, however small the dirty share is.",
            _from("log.cleaner.max.compaction.lag.ms"),
        ),
        "max.message.bytes": TopicSetting(
            integer(0, INT_MAX),
            "The maximum size of a batch in its stored form.",
            _from("message.max.bytes"),
        ),
        "message.timestamp.after.max.ms": TopicSetting(
            integer(0),
            "How far a record's time may be ahead of the broker's clock.",
            _from("log.message.timestamp.after.max.ms"),
        ),
        "message.timestamp.before.max.ms": TopicSetting(
            integer(0),
            "How far a record's time may be behind the broker's clock.",
            _from("log.message.timestamp.before.max.ms"),
        ),
        "message.timestamp.type": TopicSetting(
            one_of("CreateTime", "LogAppendTime"),
            "The time of a record: the producer's time, or the broker's time of the append.",
            _from("log.message.timestamp.type"),
        ),
        "min.cleanable.dirty.ratio": TopicSetting(
            ratio(),
            "The share of a partition that must be new before compaction runs.",
            _from("log.cleaner.min.cleanable.ratio"),
        ),
        "min.compaction.lag.ms": TopicSetting(
            integer(0),
            "The minimum time before compaction may remove a record.",
            _from("log.cleaner.min.compaction.lag.ms"),
        ),
        "min.insync.replicas": TopicSetting(
            only(1, "a partition has one replica, so this is 1"),
            "How many replicas must have a record before it is acknowledged: always one.",
            _from("min.insync.replicas"),
        ),
        "preallocate": TopicSetting(
            never("data files grow as they are written"),
            "Whether data files get their full size when they are created. They do not.",
            _from("log.preallocate"),
        ),
        "remote.log.copy.disable": TopicSetting(boolean(), _TIERED),
        "remote.log.delete.on.disable": TopicSetting(boolean(), _TIERED),
        "remote.storage.enable": TopicSetting(
            never("there is no tiered storage"),
            "Whether old segments are moved to other storage. They are not.",
        ),
        "retention.bytes": TopicSetting(
            integer(-1),
            "The minimum size that is kept of a partition, when old segments are deleted by size; -1 keeps "
            "all.",
            _from("log.retention.bytes"),
        ),
        "retention.ms": TopicSetting(
            integer(-1),
            "The minimum time that records are kept, when old segments are deleted by age, counted from the "
            "later of their own time and the time of their append; -1 keeps them for ever.",
            (
                ("log.retention.ms", 1),
                ("log.retention.minutes", _MINUTE_MS),
                ("log.retention.hours", _HOUR_MS),
            ),
        ),
        "segment.bytes": TopicSetting(
            integer(64, INT_MAX),
            "The size of a data file at which the next one is begun.",
            _from("log.segment.bytes"),
        ),
        "segment.index.bytes": TopicSetting(
            integer(12, INT_MAX),
            "The size of an index at which the next data file is begun.",
            _from("log.index.size.max.bytes"),
        ),
        "segment.jitter.ms": TopicSetting(
            integer(0),
            "How much earlier than segment.ms a data file may be closed, chosen for each partition, so that "
            "not all partitions begin new files at once.",
            (("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", _HOUR_MS)),
        ),
        "segment.ms": TopicSetting(
            integer(1),
            "The time span of the records of a data file at which the next one is begun.",
            (("log.roll.ms", 1), ("log.roll.hours", _HOUR_MS)),
        ),
        "unclean.leader.election.enable": TopicSetting(
            boolean(),
            "Of no effect: no replica can be behind.",
            _from("unclean.leader.election.enable"),
        ),
    }
)
