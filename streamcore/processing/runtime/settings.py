"""The settings of a worker: values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

AHEAD_MS: Final = 86_400_000
"""A day: clocks and time zones are wrong by less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Settings of one worker. The bounds limit the memory in use between two commits.

    A commit follows every ``commit_interval_ms``, earlier when all records are processed or when outputs
    reach ``pending_records_max`` or ``pending_bytes_max``. Each partition holds at most one fetch of
    ``fetch_bytes_max``, less with many partitions (all together ``buffered_bytes_max``), or one batch if
    that is larger. A round takes ``slice_records_start`` records of a partition at first, more while
    rounds are quick, ``slice_records_max`` at most, and fewer where they take long.
    """

    guarantee: str = "exactly-once"
    commit_interval_ms: int = 100
    fetch_bytes_max: int = 1 << 20
    buffered_bytes_max: int = 64 << 20
    slice_records_start: int = 4
    slice_records_max: int = 65_536
    pending_records_max: int = 200_000
    pending_bytes_max: int = 64 << 20
    purge_interval_ms: int = 30_000
    """How often processed records are deleted from repartition topics."""
    ahead_ms: int | None = AHEAD_MS
    """How far ahead of the clock an event time may be that moves stream time; ``None`` for any."""
    topics_interval_ms: int = 2_000
    """How often the topics are compared with their state at the start."""
    may_lose_end: bool = False
    """The log does not wait for the disk: after a power cut state may be ahead of it, and is made anew."""
    stop_timeout_ms: int = 10_000
    """How long the events under way may take when the worker stops; then they are cancelled."""
