"""Checkpoints in use: noted by the owner, written by any thread, durable for whoever asked for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from pathlib import Path

import pytest

from streamcore.errors import StorageError
from streamcore.log.storage.checkpoints import LOG_STARTS, RECOVERY_POINTS, LogCheckpoints, read_checkpoint
from streamcore.log.storage.files import File
from streamcore.model import TopicPartition
from streamcore.testing.sim_disk import SimDisk

LIMIT_S = 20
ROOT = Path("/")
FIRST, SECOND = TopicPartition("t", 0), TopicPartition("t", 1)


class HeldDisk(SimDisk):
    """A disk on which the first file that is opened waits until it is let go."""

    def __init__(self) -> None:
        super().__init__(1)
        self.is_held = False
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def open(self, path: Path, *, create: bool = False) -> File:
        if self.is_held:
            self.is_held = False
            self.entered.set()
            assert self.let_go.wait(LIMIT_S)
        return super().open(path, create=create)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def written(disk: SimDisk, name: str = RECOVERY_POINTS) -> dict[TopicPartition, int]:
    return read_checkpoint(disk, ROOT / name)


def test_notes_are_taken_while_a_file_is_being_written_and_come_with_the_next(
    pool: ThreadPoolExecutor,
) -> None:
    disk = HeldDisk()
    checkpoints = LogCheckpoints(disk, ROOT)
    checkpoints.note(RECOVERY_POINTS, FIRST, 5)
    disk.is_held = True
    writing = pool.submit(checkpoints.write, RECOVERY_POINTS)
    assert disk.entered.wait(LIMIT_S)

    checkpoints.note(RECOVERY_POINTS, FIRST, 6)
    checkpoints.put(LOG_STARTS, FIRST, 2)
    disk.let_go.set()
    writing.result(LIMIT_S)

    assert written(disk) == {FIRST: 5}
    assert written(disk, LOG_STARTS) == {FIRST: 2}
    checkpoints.write(RECOVERY_POINTS)
    assert written(disk) == {FIRST: 6}


def test_a_sync_waits_for_the_write_of_another_thread(pool: ThreadPoolExecutor) -> None:
    disk = HeldDisk()
    checkpoints = LogCheckpoints(disk, ROOT)
    checkpoints.note(RECOVERY_POINTS, FIRST, 5)
    disk.is_held = True
    writing = pool.submit(checkpoints.write, RECOVERY_POINTS)
    assert disk.entered.wait(LIMIT_S)

    waiting = pool.submit(checkpoints.write, RECOVERY_POINTS)
    done_early = wait_for_all([waiting], timeout=0.02).done
    disk.let_go.set()

    assert not done_early
    writing.result(LIMIT_S)
    waiting.result(LIMIT_S)
    assert written(disk) == {FIRST: 5}


def test_the_next_call_writes_what_a_failed_call_did_not() -> None:
    disk = SimDisk()
    checkpoints = LogCheckpoints(disk, ROOT)
    checkpoints.put(RECOVERY_POINTS, FIRST, 5)
    checkpoints.note(RECOVERY_POINTS, SECOND, 7)
    disk.fail_sync()
    with pytest.raises(StorageError):
        checkpoints.write(RECOVERY_POINTS)
    assert written(disk) == {FIRST: 5}

    checkpoints.write(RECOVERY_POINTS)

    assert written(disk) == {FIRST: 5, SECOND: 7}


def test_a_file_that_says_all_is_not_written_again() -> None:
    disk = SimDisk()
    checkpoints = LogCheckpoints(disk, ROOT)
    checkpoints.put(RECOVERY_POINTS, FIRST, 5)
    before = disk.trace_digest()

    checkpoints.note(RECOVERY_POINTS, FIRST, 5)
    checkpoints.write(RECOVERY_POINTS)

    assert disk.trace_digest() == before
