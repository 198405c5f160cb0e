"""The settings of a whole log, as opposed to those of one topic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Flush: TypeAlias = Literal["durable", "relaxed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How a log treats all its partitions."""

    flush: Flush = "durable"
    """``durable``: nothing is visible before it is synced. ``relaxed``: it is at once, and a power cut
    may take what the operating system had not yet written."""

    topic_defaults: Mapping[str, str] = field(default_factory=dict)
    """Topic settings, by Kafka's names, for topics that do not set them."""

    producer_expiry_ms: int = 24 * 60 * 60 * 1000
    """How long a producer that writes nothing is remembered."""

    partition_producer_count_max: int = 20_000
    """Producers that one partition remembers. For one more those go that have been silent for longest, but
    none with an open transaction."""

    producer_count_max: int = 200_000
    """Producers that all partitions together remember; likewise. Each takes about half a kilobyte."""

    open_files_max: int = 256
    """Closed segments that may be open for reading at a time."""

    compaction_bytes_max: int = 128 * 1024 * 1024
    """Memory that one round of compaction may use for keys."""

    sync_threads: int = 1
    """How many threads sync the files of many partitions side by side: when they are made, opened, closed."""
