"""How a worker works: values only."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


def _sleep_ms(duration_ms: int) -> None:
    time.sleep(duration_ms / 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Settings of one worker. The bounds limit what is in memory between two commits.

    A commit comes every ``commit_interval_ms``, earlier when nothing is left to do or when outputs
    reach ``pending_records_max`` or ``pending_bytes_max``. Each partition holds at most one fetch of
    ``fetch_bytes_max``, less where there are many (all together ``buffered_bytes_max``), or one batch if
    that is larger. A round takes at most ``slice_records_max`` records of a partition, and fewer where
    they take long.
    """

    guarantee: str = "exactly-once"
    commit_interval_ms: int = 100
    fetch_bytes_max: int = 1 << 20
    buffered_bytes_max: int = 64 << 20
    slice_records_start: int = 256
    slice_records_max: int = 65_536
    pending_records_max: int = 200_000
    pending_bytes_max: int = 64 << 20
    purge_interval_ms: int = 30_000
    """How often processed records are deleted from repartition topics."""
    wait_ms: Callable[[int], None] = _sleep_ms
    """How to wait before a retry."""
