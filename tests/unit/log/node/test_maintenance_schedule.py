"""The times at which the jobs of maintenance are due, and the broker settings for them."""

from __future__ import annotations

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import InvalidConfigError
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.node.maintenance_schedule import ALL_JOBS, Job, MaintenanceSchedule, job_intervals_ms
from streamcore.model import RecordColumns, TopicPartition
from streamcore.testing.sim_disk import SimDisk

DAY_S = 86_400
EVENTS = TopicPartition("events", 0)


def run(intervals_ms: dict[Job, int], until_s: int) -> dict[Job, list[int]]:
    """Return the seconds at which each job is due, with one look per second."""
    schedule = MaintenanceSchedule(lambda: intervals_ms, 0.0)
    due: dict[Job, list[int]] = {job: [] for job in intervals_ms}
    for now_s in range(1, until_s + 1):
        for job in schedule.take_due(float(now_s)):
            due[job].append(now_s)
    return due


def test_every_job_has_kafkas_interval() -> None:
    due = run(job_intervals_ms(BrokerSettings()), DAY_S)

    assert {job: len(times) for job, times in due.items()} == {
        Job.TRANSACTIONS: DAY_S // 10,
        Job.TRANSACTIONAL_IDS: 24,
        Job.COMMITTED_OFFSETS: DAY_S // 600,
        Job.RETENTION: DAY_S // 300,
        Job.COMPACTION: DAY_S // 15,
        Job.RECOVERY_POINTS: DAY_S // 60,
        Job.FILES: DAY_S // 10,
    }
    assert set(due) == set(ALL_JOBS)


def test_retention_looks_soon_after_the_start_and_then_by_its_interval() -> None:
    assert run({Job.RETENTION: 300_000}, 700)[Job.RETENTION] == [30, 330, 630]
    assert run({Job.RETENTION: 2_000}, 7)[Job.RETENTION] == [2, 4, 6]


def test_a_changed_interval_takes_effect_at_once() -> None:
    intervals_ms = {Job.COMPACTION: 3_600_000}
    schedule = MaintenanceSchedule(lambda: intervals_ms, 0.0)
    assert not schedule.take_due(100.0)
    intervals_ms[Job.COMPACTION] = 1_000

    assert schedule.take_due(101.0) == Job.COMPACTION
    assert not schedule.take_due(101.5)


@pytest.mark.parametrize(
    ("name", "job"),
    [
        ("log.retention.check.interval.ms", Job.RETENTION),
        ("log.cleaner.backoff.ms", Job.COMPACTION),
        ("log.flush.offset.checkpoint.interval.ms", Job.RECOVERY_POINTS),
        ("offsets.retention.check.interval.ms", Job.COMMITTED_OFFSETS),
        ("transaction.abort.timed.out.transaction.cleanup.interval.ms", Job.TRANSACTIONS),
        ("transaction.remove.expired.transaction.cleanup.interval.ms", Job.TRANSACTIONAL_IDS),
    ],
)
def test_a_setting_of_the_broker_is_the_interval_of_its_job(name: str, job: Job) -> None:
    with EmbeddedLog.open("/data", file_system=SimDisk(), config={name: "12345"}, maintenance=False) as log:
        intervals_ms = job_intervals_ms(log.node.broker.configuration.settings)

    assert intervals_ms == {**job_intervals_ms(BrokerSettings()), job: 12_345}


@pytest.mark.parametrize("text", ["0", "-1", "soon", ""])
def test_an_impossible_interval_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfigError, match=r"log\.retention\.check\.interval\.ms"):
        EmbeddedLog.open("/data", file_system=SimDisk(), config={"log.retention.check.interval.ms": text})


def test_a_pass_runs_only_the_requested_jobs() -> None:
    clock = ManualClock(1_700_000_000_000)
    disk = SimDisk(clock=clock)
    with EmbeddedLog.open("/data", file_system=disk, clock=clock, maintenance=False) as log:
        log.create_topic("events", config={"retention.ms": "1000"})
        log.producer_port().append_columns(EVENTS, RecordColumns([None], [b"v"], [1])).result()
        clock.advance(2_000)
        log.node.maintain(ALL_JOBS & ~Job.RETENTION)
        assert log.offsets([EVENTS])[EVENTS].log_start == 0

        log.node.maintain(Job.RETENTION)
        assert log.offsets([EVENTS])[EVENTS].log_start == 1
