"""The times at which each job of maintenance is due. Pure; ``MaintenanceThread`` runs the jobs.

The intervals are Kafka's broker settings and are read at each look, so a changed interval takes effect at
once. The first run of retention is due soon after the start, as in Kafka, so that a program that never runs
for a whole interval still deletes old segments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Flag, auto
from typing import Final

from streamcore.log.broker.settings import BrokerSettings


class Job(Flag):
    """One part of a pass of maintenance."""

    TRANSACTIONS = auto()
    """Abort transactions after their timeout, and remove group members whose session has ended."""
    TRANSACTIONAL_IDS = auto()
    """Remove transactional ids that no producer has used for their expiry time."""
    COMMITTED_OFFSETS = auto()
    """Remove committed offsets that no group has used for their retention time."""
    RETENTION = auto()
    """Delete old segments, and remove the state of producers that have not written for their expiry time."""
    COMPACTION = auto()
    RECOVERY_POINTS = auto()
    """Write the recovery points: up to which offset each partition is synced."""
    FILES = auto()
    """Close data files that no reader uses, and free the space of removed files."""


ALL_JOBS: Final = (
    Job.TRANSACTIONS
    | Job.TRANSACTIONAL_IDS
    | Job.COMMITTED_OFFSETS
    | Job.RETENTION
    | Job.COMPACTION
    | Job.RECOVERY_POINTS
    | Job.FILES
)

_NO_JOB: Final = Job(0)
_FILES_INTERVAL_MS: Final = 10_000
_FIRST_RETENTION_MS: Final = 30_000


def job_intervals_ms(settings: BrokerSettings) -> dict[Job, int]:
    """Return the pause between two runs of each job."""
    return {
        Job.TRANSACTIONS: settings.transaction_abort_interval_ms,
        Job.TRANSACTIONAL_IDS: settings.transactional_id_check_interval_ms,
        Job.COMMITTED_OFFSETS: settings.offsets_retention_check_interval_ms,
        Job.RETENTION: settings.retention_check_interval_ms,
        Job.COMPACTION: settings.compaction_check_interval_ms,
        Job.RECOVERY_POINTS: settings.recovery_points_interval_ms,
        Job.FILES: _FILES_INTERVAL_MS,
    }


class MaintenanceSchedule:
    """The jobs that are due. For one thread."""

    def __init__(self, intervals_ms: Callable[[], Mapping[Job, int]], now_s: float) -> None:
        """Begin at ``now_s`` of a monotonic clock."""
        self._intervals_ms = intervals_ms
        self._done_s = dict.fromkeys(Job, now_s)
        self._has_retained = False

    def take_due(self, now_s: float) -> Job:
        """Return the jobs that are due, and count them as run now."""
        due = _NO_JOB
        for job, interval_ms in self._intervals_ms().items():
            wait_ms = interval_ms
            if job is Job.RETENTION and not self._has_retained:
                wait_ms = min(interval_ms, _FIRST_RETENTION_MS)
            if (now_s - self._done_s[job]) * 1000 >= wait_ms:
                due |= job
                self._done_s[job] = now_s
        self._has_retained |= Job.RETENTION in due
        return due
