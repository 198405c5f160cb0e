"""Data files that are kept open, and those that are let go late."""

from __future__ import annotations

from pathlib import Path

from streamcore.log.storage.files import File
from streamcore.log.storage.open_files import OpenFiles
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


def test_a_file_is_held_open_over_its_removal_until_there_is_time() -> None:
    disk = CountingDisk()
    files = OpenFiles(disk, files_max=2)
    disk.open(ROOT / "a", create=True).append([b"content"])
    files.get(ROOT / "a")

    files.keep_until_removed(ROOT / "a")
    disk.remove(ROOT / "a")

    assert len(files) == 0
    assert disk.opened[-1].read_at(0, 100) == b"content"
    files.close_removed()
    files.close_removed()


def test_only_so_many_removed_files_are_held() -> None:
    disk = CountingDisk()
    files = OpenFiles(disk, files_max=2)
    for number in range(100):
        disk.open(ROOT / str(number), create=True)
    disk.opened.clear()

    for number in range(100):
        files.keep_until_removed(ROOT / str(number))

    assert len(disk.opened) == 64
