"""The settings of a topic: Kafka's names and limits, and what each of them does here.

A table to be read: ``topic_config`` makes typed values of it, the broker shows it to clients, a page of the
documentation is written from it. Segments may be smaller than Kafka 4 allows (1 MiB), for small devices
and tests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

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


@dataclass(frozen=True, slots=True)
class TopicSetting:
    """One setting.

    ``inherited`` names the broker's settings that count for topics that do not say, the first that is set;
    each with what its value is multiplied by.
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
            "How hard the broker compresses when it makes gzip of a batch; -1 is gzip's own default, 6.",
            _from("compression.gzip.level"),
        ),
        "compression.lz4.level": TopicSetting(
            integer(1, 17),
            "How hard the broker compresses when it makes lz4 of a batch; 9 is the fast mode, as in Kafka.",
            _from("compression.lz4.level"),
        ),
        "compression.type": TopicSetting(
            one_of("producer", "uncompressed", *(name for name in CODECS if name != "none")),
            "How batches are compressed in the log: producer keeps them as they come, with anything else the "
            "broker compresses what comes otherwise.",
            _from("compression.type"),
        ),
        "compression.zstd.level": TopicSetting(
            integer(-131_072, 22),
            "How hard the broker compresses when it makes zstd of a batch.",
            _from("compression.zstd.level"),
        ),
        "delete.retention.ms": TopicSetting(
            integer(0),
            "How long compaction keeps a tombstone after it first met it, so that readers learn of the "
            "deletion.",
            _from("log.cleaner.delete.retention.ms"),
        ),
        "file.delete.delay.ms": TopicSetting(
            integer(0),
            "How long a data file that retention, compaction or a deletion of records took out of the log "
            "stays on the disk. The files of a deleted topic go at once.",
            _from("log.segment.delete.delay.ms"),
        ),
        "flush.messages": TopicSetting(
            integer(1),
            "After how many records a relaxed log waits for the disk before it shows more. A durable log "
            "always waits for the disk.",
            _from("log.flush.interval.messages"),
        ),
        "flush.ms": TopicSetting(
            integer(0),
            "How long a relaxed log may leave records to the system before it has them on disk; never more "
            "than about a second. A durable log always waits for the disk.",
            _from("log.flush.interval.ms"),
        ),
        "follower.replication.throttled.replicas": TopicSetting(words(_check_replicas), _ALONE),
        "index.interval.bytes": TopicSetting(
            integer(0, INT_MAX),
            "About how many bytes of records lie between two entries of an index.",
            _from("log.index.interval.bytes"),
        ),
        "leader.replication.throttled.replicas": TopicSetting(words(_check_replicas), _ALONE),
        "local.retention.bytes": TopicSetting(integer(-2), _TIERED, _from("log.local.retention.bytes")),
        "local.retention.ms": TopicSetting(integer(-2), _TIERED, _from("log.local.retention.ms")),
        "max.compaction.lag.ms": TopicSetting(
            integer(1),
            "How long a record may wait for compaction, however little there is to gain.",
            _from("log.cleaner.max.compaction.lag.ms"),
        ),
        "max.message.bytes": TopicSetting(
            integer(0, INT_MAX),
            "How large a batch may be, as it is stored.",
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
            "Whose time a record has: its producer's, or the broker's when it came.",
            _from("log.message.timestamp.type"),
        ),
        "min.cleanable.dirty.ratio": TopicSetting(
            ratio(),
            "Which share of a partition must be new before compaction is worth its work.",
            _from("log.cleaner.min.cleanable.ratio"),
        ),
        "min.compaction.lag.ms": TopicSetting(
            integer(0),
            "How long compaction leaves a record alone.",
            _from("log.cleaner.min.compaction.lag.ms"),
        ),
        "min.insync.replicas": TopicSetting(
            only(1, "a partition has one replica, so this is 1"),
            "How many replicas must have a record before it is acknowledged: the one there is.",
            _from("min.insync.replicas"),
        ),
        "preallocate": TopicSetting(
            never("data files grow as they are written"),
            "Whether data files take their full size when they are made. They do not.",
            _from("log.preallocate"),
        ),
        "remote.log.copy.disable": TopicSetting(boolean(), _TIERED),
        "remote.log.delete.on.disable": TopicSetting(boolean(), _TIERED),
        "remote.storage.enable": TopicSetting(
            never("there is no tiered storage"), "Whether old segments go to other storage. They do not."
        ),
        "retention.bytes": TopicSetting(
            integer(-1),
            "How much of a partition is kept at least, when old segments are deleted by size; -1 is all.",
            _from("log.retention.bytes"),
        ),
        "retention.ms": TopicSetting(
            integer(-1),
            "How long records are kept at least, when old segments are deleted by age: counted from the "
            "later of their own time and the moment they were written; -1 is for ever.",
            (
                ("log.retention.ms", 1),
                ("log.retention.minutes", _MINUTE_MS),
                ("log.retention.hours", _HOUR_MS),
            ),
        ),
        "segment.bytes": TopicSetting(
            integer(64, INT_MAX),
            "How large a data file grows before the next one is begun.",
            _from("log.segment.bytes"),
        ),
        "segment.index.bytes": TopicSetting(
            integer(12, INT_MAX),
            "How large an index grows before the next data file is begun.",
            _from("log.index.size.max.bytes"),
        ),
        "segment.jitter.ms": TopicSetting(
            integer(0),
            "How much earlier than segment.ms a data file may be closed, chosen for each, so that not all "
            "partitions begin new ones at once.",
            (("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", _HOUR_MS)),
        ),
        "segment.ms": TopicSetting(
            integer(1),
            "How much time the records of a data file may span before the next one is begun.",
            (("log.roll.ms", 1), ("log.roll.hours", _HOUR_MS)),
        ),
        "unclean.leader.election.enable": TopicSetting(
            boolean(),
            "Of no effect: there is no replica that could be behind.",
            _from("unclean.leader.election.enable"),
        ),
    }
)
