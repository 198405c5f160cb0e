"""Off-lock work of an operation: it runs without the lock and to its end, and its caller gets its failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from pathlib import Path

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import ClosedError, StorageError, TopicExistsError
from streamcore.log.broker.operations import OffLockWork, Operation
from streamcore.log.client.embedded.log import EmbeddedLog
from streamcore.log.storage.checkpoints import RECOVERY_POINTS, read_checkpoint
from streamcore.model import RecordColumns, TopicPartition
from streamcore.testing.sim_disk import SimDisk

LIMIT_S = 20
PLACE = TopicPartition("t", 0)


class HeldDisk(SimDisk):
    """A disk on which creating a folder, or renaming a file, of some name waits until the test releases
    it.
    """

    def __init__(self) -> None:
        super().__init__(1)
        self.held_name = ""
        self.entered = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)

    def make_directory(self, path: Path) -> None:
        self._hold(path)
        super().make_directory(path)

    def rename(self, source: Path, target: Path) -> None:
        self._hold(target)
        super().rename(source, target)

    def _hold(self, path: Path) -> None:
        if path.name == self.held_name:
            self.entered.release()
            assert self.let_go.acquire(timeout=LIMIT_S)


@pytest.fixture
def disk() -> HeldDisk:
    return HeldDisk()


@pytest.fixture
def log(disk: HeldDisk) -> EmbeddedLog:
    return EmbeddedLog.open("/data", file_system=disk, clock=ManualClock(), maintenance=False)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def doing(work: Callable[[], None]) -> Operation[str]:
    try:
        yield OffLockWork(work)
    except StorageError:
        return "refused"
    return "done"


def test_the_log_continues_while_a_topic_is_created(
    disk: HeldDisk, log: EmbeddedLog, pool: ThreadPoolExecutor
) -> None:
    log.create_topic("before")
    disk.held_name = "slow-1"
    making = pool.submit(log.create_topic, "slow", partitions=3)
    assert disk.entered.acquire(timeout=LIMIT_S)

    log.create_topic("meanwhile")
    names = set(log.topics())
    log.delete_topic("before")
    disk.let_go.release()

    assert making.result(LIMIT_S).partition_count == 3
    assert names == {"before", "meanwhile"}
    assert set(log.topics()) == {"slow", "meanwhile"}


def test_the_log_continues_while_recovery_points_are_written(
    disk: HeldDisk, log: EmbeddedLog, pool: ThreadPoolExecutor
) -> None:
    log.create_topic("t")
    producer = log.producer_port()
    producer.append_columns(PLACE, RecordColumns([None], [b"a"], [0])).result(LIMIT_S)
    disk.held_name = RECOVERY_POINTS
    keeping = pool.submit(log.maintain)
    assert disk.entered.acquire(timeout=LIMIT_S)

    producer.append_columns(PLACE, RecordColumns([None], [b"b"], [0])).result(LIMIT_S)
    end = log.offsets([PLACE])[PLACE].high_watermark
    disk.let_go.release()

    keeping.result(LIMIT_S)
    assert end == 2
    assert read_checkpoint(disk, Path("/data/log", RECOVERY_POINTS))[PLACE] == 1


def test_one_of_two_concurrent_creations_of_a_topic_fails(
    disk: HeldDisk, log: EmbeddedLog, pool: ThreadPoolExecutor
) -> None:
    disk.held_name = "t-0"
    first = pool.submit(log.create_topic, "t", partitions=1)
    assert disk.entered.acquire(timeout=LIMIT_S)

    second = pool.submit(log.create_topic, "t", partitions=2)
    done_early = wait_for_all([second], timeout=0.02).done
    disk.let_go.release()

    assert not done_early
    assert first.result(LIMIT_S).partition_count == 1
    with pytest.raises(TopicExistsError):
        second.result(LIMIT_S)


def test_a_creation_that_waits_for_a_failed_creation_creates_the_topic(
    disk: HeldDisk, log: EmbeddedLog, pool: ThreadPoolExecutor
) -> None:
    disk.held_name = "t-0"
    first = pool.submit(log.create_topic, "t", partitions=1)
    assert disk.entered.acquire(timeout=LIMIT_S)
    second = pool.submit(log.create_topic, "t", partitions=2)
    disk.fill_after(0)
    disk.let_go.release()
    with pytest.raises(StorageError):
        first.result(LIMIT_S)
    assert disk.entered.acquire(timeout=LIMIT_S)
    disk.fill_after(None)

    disk.let_go.release()

    assert second.result(LIMIT_S).partition_count == 2
    assert log.topics()["t"].partition_count == 2


def test_a_failure_of_the_work_is_raised_inside_the_operation(log: EmbeddedLog) -> None:
    def refuse() -> None:
        raise StorageError("no")

    def break_down() -> None:
        raise ZeroDivisionError

    assert log.node.driver.run(doing(lambda: None)) == "done"
    assert log.node.driver.run(doing(refuse)) == "refused"
    with pytest.raises(ZeroDivisionError):
        log.node.driver.run(doing(break_down))
    assert log.topics() == {}


def test_closing_waits_for_running_work_and_refuses_new_work(
    log: EmbeddedLog, pool: ThreadPoolExecutor
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert may_end.wait(LIMIT_S)

    working = pool.submit(log.node.driver.run, doing(work))
    assert begun.wait(LIMIT_S)
    closing = pool.submit(log.close)
    closed_early = wait_for_all([closing], timeout=0.02).done
    may_end.set()

    closing.result(LIMIT_S)
    assert not closed_early
    assert working.result(LIMIT_S) == "done"
    with pytest.raises(ClosedError):
        log.node.driver.run(doing(lambda: None))
