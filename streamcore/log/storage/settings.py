"""The settings of a whole log, as opposed to those of one topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Flush: TypeAlias = Literal["durable", "relaxed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """The settings that hold for all partitions of a log."""

    flush: Flush = "durable"
    """``durable``: records are visible after their sync. ``relaxed``: records are visible at once, and a
    power cut may take those that the operating system had not yet written.
    """

    topic_defaults: Mapping[str, str] = field(default_factory=dict)
    """Topic settings, by Kafka's names, for topics that do not set them."""

    producer_expiry_ms: int = 24 * 60 * 60 * 1000
    """The time after which a producer that writes nothing is removed, in milliseconds."""

    partition_producer_count_max: int = 20_000
    """The maximum number of producers that one partition remembers. At the limit the producers that have not
    written for the longest time are removed, but none with an open transaction.
    """

    producer_count_max: int = 200_000
    """The maximum number of producers that all partitions together remember; likewise. Each takes about half
    a kilobyte.
    """

    open_files_max: int = 256
    """The maximum number of closed segments that are open for reading."""

    compaction_bytes_max: int = 128 * 1024 * 1024
    """The memory in bytes that one round of compaction may use for keys."""

    sync_threads: int = 1
    """The number of threads that sync the files of many partitions in parallel: at creation, opening and
    closing.
    """
