"""Data files that are kept open, and those that are removed late."""

from __future__ import annotations

from pathlib import Path

from streamcore.log.storage.files import File
from streamcore.log.storage.segment.open_files import OpenFiles
from streamcore.log.storage.segment.removed_files import RemovedFiles
from streamcore.testing.sim_disk import SimDisk

ROOT = Path("/data")


class CountingDisk(SimDisk):
    """A disk that knows its open files."""

    def __init__(self) -> None:
        super().__init__(1)
        self.make_directory(ROOT)
        self.opened: list[File] = []

    def open(self, path: Path, *, create: bool = False) -> File:
        self.opened.append(super().open(path, create=create))
        return self.opened[-1]


def test_the_files_that_were_read_last_stay_open() -> None:
    disk = CountingDisk()
    files = OpenFiles(disk, files_max=2)
    for name in ("a", "b", "c"):
        disk.open(ROOT / name, create=True)
    disk.opened.clear()

    for name in ("a", "b", "a", "c", "a", "b"):
        files.get(ROOT / name)

    assert len(disk.opened) == 4
    assert len(files) == 2


def test_files_that_are_not_read_for_a_while_are_closed() -> None:
    disk = CountingDisk()
    files = OpenFiles(disk, files_max=9)
    for name in ("a", "b"):
        disk.open(ROOT / name, create=True)
        files.get(ROOT / name)

    files.close_idle()
    files.get(ROOT / "b")
    files.close_idle()
    left_after_one_pass = len(files)
    files.close_idle()

    assert left_after_one_pass == 1
    assert len(files) == 0


def test_a_file_that_is_taken_out_waits_its_time_under_another_name() -> None:
    disk = CountingDisk()
    removed = RemovedFiles(disk)
    for name, delay_ms in (("a", 1000), ("b", 0)):
        disk.open(ROOT / name, create=True)
        removed.take_out(ROOT / name, delay_ms=delay_ms)

    removed.remove_due(50_000)
    after_one_call = disk.list_directory(ROOT)
    removed.remove_due(50_999)
    removed.remove_due(51_000)

    assert after_one_call == ["a.0.deleted"]
    assert disk.list_directory(ROOT) == []


def test_a_file_that_is_gone_already_does_not_keep_others_waiting() -> None:
    disk = CountingDisk()
    removed = RemovedFiles(disk)
    for name in ("a", "b"):
        disk.open(ROOT / name, create=True)
        removed.take_out(ROOT / name, delay_ms=0)
    disk.remove(ROOT / "a.0.deleted")

    removed.remove_due(1)

    assert disk.list_directory(ROOT) == []
