"""Driving the broker from many threads: shared fsyncs, failed fsyncs, progress, closing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import ClosedError, RequestTimeoutError, StorageError, UnknownTopicError
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.node.maintenance_schedule import Job, MaintenanceSchedule
from streamcore.log.node.maintenance_thread import MaintenanceThread
from streamcore.log.storage.files import Bytes, File
from streamcore.model import RecordColumns, TopicPartition
from streamcore.testing.sim_disk import SimDisk

FIRST = TopicPartition("events", 0)
SECOND = TopicPartition("events", 1)
LIMIT_S = 20


class DeletingDisk(SimDisk):
    """A disk that deletes the topic "gone" while it syncs the topic's folder."""

    def __init__(self) -> None:
        super().__init__(1)
        self.deletions: list[Callable[[], None]] = []

    def sync_directory(self, path: Path) -> None:
        if path.name == "gone-0" and self.deletions:
            self.deletions.pop()()
        super().sync_directory(path)


class GatedDisk(SimDisk):
    """A disk that counts its syncs and can block them."""

    def __init__(self) -> None:
        super().__init__(1)
        self.is_gated = False
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.synced: list[str] = []

    def open(self, path: Path, *, create: bool = False) -> File:
        return _GatedFile(self, path, super().open(path, create=create))


class _GatedFile:
    def __init__(self, disk: GatedDisk, path: Path, file: File) -> None:
        self._disk = disk
        self._path = path
        self._file = file

    def append(self, buffers: Sequence[Bytes]) -> None:
        self._file.append(buffers)

    def read_at(self, position: int, size: int) -> bytes:
        return self._file.read_at(position, size)

    def read_ready(self, position: int, size: int) -> Bytes | None:
        return self._file.read_ready(position, size)

    def duplicate(self) -> File:
        return _GatedFile(self._disk, self._path, self._file.duplicate())

    def sync(self) -> None:
        if self._disk.is_gated:
            self._disk.synced.append(self._path.parent.name)
            self._disk.entered.release()
            assert self._disk.gate.acquire(timeout=LIMIT_S)
        self._file.sync()

    def write_again(self, position: int) -> None:
        self._file.write_again(position)

    def truncate(self, size: int) -> None:
        self._file.truncate(size)

    def size(self) -> int:
        return self._file.size()

    def close(self) -> None:
        self._file.close()


def open_log(disk: SimDisk, clock: ManualClock | None = None) -> EmbeddedLog:
    log = EmbeddedLog.open("/data", file_system=disk, clock=clock or ManualClock(), maintenance=False)
    if "events" not in log.topics():
        log.create_topic("events", partitions=2, config={"retention.ms": "-1"})
    return log


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def test_all_threads_that_wait_during_one_sync_share_the_next(pool: ThreadPoolExecutor) -> None:
    disk = GatedDisk()
    log = open_log(disk)
    producer = log.producer_port()
    disk.is_gated = True

    leader = pool.submit(producer.append_columns(FIRST, RecordColumns([None], [b"a"], [0])).result)
    assert disk.entered.acquire(timeout=LIMIT_S)
    others = [
        producer.append_columns(FIRST, RecordColumns([None], [b"%d" % number], [0])) for number in range(6)
    ]
    waiting = [pool.submit(other.result) for other in others]
    done_early = [other.done() for other in others]
    disk.gate.release(2)

    assert leader.result(LIMIT_S).end_offset == 1
    assert [each.result(LIMIT_S).base_offset for each in waiting] == [1, 2, 3, 4, 5, 6]
    assert done_early == [False] * 6
    assert disk.synced == ["events-0", "events-0"]


def test_a_thread_with_a_timeout_does_not_wait_longer_for_others(pool: ThreadPoolExecutor) -> None:
    disk = GatedDisk()
    log = open_log(disk)
    producer = log.producer_port()
    disk.is_gated = True
    leader = pool.submit(producer.append_columns(FIRST, RecordColumns([None], [b"a"], [0])).result)
    assert disk.entered.acquire(timeout=LIMIT_S)
    late = producer.append_columns(FIRST, RecordColumns([None], [b"b"], [0]))

    with pytest.raises(RequestTimeoutError):
        late.result(timeout_s=0.001)
    disk.gate.release(2)

    leader.result(LIMIT_S)
    assert late.result(timeout_s=LIMIT_S).base_offset == 1


def test_a_failed_sync_reaches_all_threads_that_need_the_partition_and_no_others() -> None:
    disk = SimDisk(1)
    log = open_log(disk)
    producer = log.producer_port()
    good = producer.append_columns(SECOND, RecordColumns([None], [b"a"], [0]))
    bad = producer.append_columns(FIRST, RecordColumns([None], [b"a"], [0]))
    disk.fail_sync(2)

    with pytest.raises(StorageError):
        bad.result()
    with pytest.raises(StorageError):
        bad.result()
    with pytest.raises(StorageError):
        producer.append_columns(FIRST, RecordColumns([None], [b"b"], [0]))

    assert good.result().end_offset == 1
    assert producer.append_columns(SECOND, RecordColumns([None], [b"b"], [0])).result().end_offset == 2


def test_a_full_disk_refuses_appends_until_there_is_room_again() -> None:
    disk = SimDisk(1)
    log = open_log(disk)
    producer = log.producer_port()
    producer.append_columns(FIRST, RecordColumns([None], [b"a"], [0])).result()

    disk.fill_after(10)
    with pytest.raises(StorageError):
        producer.append_columns(FIRST, RecordColumns([None], [b"x" * 100], [0]))
    disk.fill_after(None)
    appended = producer.append_columns(FIRST, RecordColumns([None], [b"b"], [0])).result()

    assert appended.base_offset == 1


def test_readers_in_other_threads_wake_when_records_become_readable(pool: ThreadPoolExecutor) -> None:
    log = EmbeddedLog.open("/data", file_system=SimDisk(1), maintenance=False)
    log.create_topic("events", partitions=2)
    reader = log.reader()
    reader.assign({FIRST: 0, SECOND: 0})

    waiting = pool.submit(reader.wait, LIMIT_S)
    log.producer_port().append_columns(SECOND, RecordColumns([None], [b"a"], [0])).result()

    assert waiting.result(LIMIT_S)


def test_closing_the_log_wakes_all_waiting_threads(pool: ThreadPoolExecutor) -> None:
    log = EmbeddedLog.open("/data", file_system=SimDisk(1), maintenance=False)
    log.create_topic("events")
    reader = log.reader()
    reader.assign({FIRST: 0})
    waiting = pool.submit(reader.wait, LIMIT_S)

    log.close()

    assert isinstance(waiting.exception(LIMIT_S), ClosedError)


def test_relaxed_records_are_visible_at_once_and_safe_after_a_close() -> None:
    disk = SimDisk(1)
    log = EmbeddedLog.open("/data", file_system=disk, durability="relaxed", maintenance=False)
    log.create_topic("events", config={"retention.ms": "-1"})
    reader = log.reader()
    reader.assign({FIRST: 0})
    seen: list[bool] = []
    producer = log.producer_port()
    reader.on_progress(lambda: seen.append(reader.wait(0)))

    acknowledgement = producer.append_columns(FIRST, RecordColumns([None], [b"a"], [0]))
    is_done = acknowledgement.done()
    log.close()
    disk.crash()

    assert is_done
    assert seen[0]
    assert open_log(disk).offsets([FIRST])[FIRST].log_end == 1


def test_relaxed_records_are_synced_although_no_thread_waits_for_it() -> None:
    disk = SimDisk(1)
    log = EmbeddedLog.open("/data", file_system=disk, durability="relaxed", maintenance=False)
    log.create_topic("events", config={"retention.ms": "-1"})
    log.producer_port().append_columns(FIRST, RecordColumns([None], [b"a"], [0]))

    log.maintain()
    disk.crash()

    assert open_log(disk).offsets([FIRST])[FIRST].log_end == 1


def test_deleting_a_topic_does_not_disturb_other_topics() -> None:
    log = open_log(SimDisk(1))
    log.create_topic("gone")
    gone = TopicPartition("gone", 0)
    producer = log.producer_port()
    reader = log.reader()
    reader.assign({gone: 0})
    waiting = producer.append_columns(gone, RecordColumns([None], [b"a"], [0]))

    log.delete_topic("gone")

    waiting.result()
    producer.append_columns(FIRST, RecordColumns([None], [b"a"], [0])).result()
    with pytest.raises(UnknownTopicError):
        reader.fetch(gone, bytes_max=100)
    log.close()


def test_a_topic_that_is_deleted_while_it_is_synced_is_not_synced_again() -> None:
    disk = DeletingDisk()
    log = EmbeddedLog.open("/data", file_system=disk, durability="relaxed", maintenance=False)
    log.create_topic("events", config={"retention.ms": "-1"})
    log.create_topic("gone", config={"segment.bytes": "200", "retention.ms": "-1"})
    producer = log.producer_port()
    for value in (b"a" * 100, b"b" * 100):
        producer.append_columns(TopicPartition("gone", 0), RecordColumns([None], [value], [0]))
    producer.append_columns(FIRST, RecordColumns([None], [b"a"], [0]))

    disk.deletions.append(lambda: log.delete_topic("gone"))
    log.node.driver.sync_all()
    log.node.driver.sync_all()
    disk.crash()

    assert not disk.deletions
    assert open_log(disk).offsets([FIRST])[FIRST].log_end == 1


class TickingClock(ManualClock):
    """A clock that moves by a second at each look."""

    def monotonic_s(self) -> float:
        self.advance(1_000)
        return super().monotonic_s()


def test_the_maintenance_thread_syncs_records_without_a_waiter_and_survives_failures() -> None:
    calls: list[str] = []
    is_enough = threading.Event()

    def sync() -> None:
        calls.append("sync")
        raise StorageError("the disk refuses")

    def maintain(jobs: Job) -> None:
        calls.append(f"maintain {jobs.name}")
        is_enough.set()

    clock = TickingClock()
    schedule = MaintenanceSchedule(lambda: {Job.COMPACTION: 3_000}, clock.monotonic_s())
    thread = MaintenanceThread(maintain, sync, schedule, clock, sync_interval_s=0.001).start()
    assert is_enough.wait(LIMIT_S)
    thread.stop()
    after = len(calls)

    assert calls[:4] == ["sync", "sync", "sync", "maintain COMPACTION"]
    assert len(calls) == after


def test_many_threads_copy_in_transactions_without_losing_or_repeating(pool: ThreadPoolExecutor) -> None:
    log = EmbeddedLog.open("/data", file_system=SimDisk(1), maintenance=False)
    log.create_topic("events", partitions=2, config={"retention.ms": "-1"})

    def work(name: int) -> None:
        producer = log.producer_port(transactional_id=f"t{name}")
        for step in range(20):
            with producer.transaction() as transaction:
                for target in (FIRST, SECOND):
                    transaction.append_columns(target, RecordColumns([None], [b"%d-%d" % (name, step)], [0]))

    for future in [pool.submit(work, name) for name in range(4)]:
        future.result(LIMIT_S)

    for source in (FIRST, SECOND):
        reader = log.reader()
        reader.assign({source: 0})
        values: list[bytes | None] = []
        while (run := reader.fetch(source, bytes_max=10_000)) is not None:
            values += run.values
        assert sorted(values, key=str) == sorted(
            (b"%d-%d" % (name, step) for name in range(4) for step in range(20)), key=str
        )
    log.close()
