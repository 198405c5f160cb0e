"""What every ``FileSystem`` does, the operating system's and the simulated one alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import StorageError
from streamcore.log.storage.files import FileSystem, PosixFileSystem, read_whole, remove_tree, write_whole
from streamcore.testing.sim_disk import SimDisk


@pytest.fixture(params=["posix", "sim"])
def file_system(request: pytest.FixtureRequest) -> FileSystem:
    return PosixFileSystem() if request.param == "posix" else SimDisk()


@pytest.fixture
def root(file_system: FileSystem, tmp_path: Path) -> Path:
    root = tmp_path / "root"
    file_system.make_directory(root)
    return root


def test_what_was_appended_is_read_back_from_any_position(file_system: FileSystem, root: Path) -> None:
    file = file_system.open(root / "a", create=True)

    file.append([b"hello ", bytearray(b"wor"), memoryview(b"ld")])
    file.append([b"!"])
    file.sync()

    assert file.size() == 12
    assert file.read_at(6, 5) == b"world"
    assert file.read_at(10, 100) == b"d!"
    assert file.read_at(50, 5) == b""
    file.close()


def test_a_cut_file_grows_again_from_the_cut(file_system: FileSystem, root: Path) -> None:
    file = file_system.open(root / "a", create=True)
    file.append([b"0123456789"])

    file.truncate(4)
    file.append([b"x"])

    assert file.read_at(0, 100) == b"0123x"
    file.close()


def test_writing_again_changes_nothing_that_can_be_read(file_system: FileSystem, root: Path) -> None:
    content = bytes(range(256)) * 9000
    file = file_system.open(root / "a", create=True)
    file.append([content])
    file.sync()

    file.write_again(1000)
    file.write_again(len(content))
    file.append([b"x"])
    file.sync()

    assert file.size() == len(content) + 1
    assert file.read_at(0, file.size()) == content + b"x"
    file.close()


def test_an_opened_file_keeps_its_content_and_a_missing_one_is_said_to_be_missing(
    file_system: FileSystem, root: Path
) -> None:
    write_whole(file_system, root / "a", b"content")

    file_system.open(root / "a", create=True).close()

    assert read_whole(file_system, root / "a") == b"content"
    with pytest.raises(FileNotFoundError):
        file_system.open(root / "b")
    with pytest.raises(FileNotFoundError):
        file_system.open(root / "no such directory" / "b", create=True)


def test_names_are_listed_sorted(file_system: FileSystem, root: Path) -> None:
    for name in ("b", "a", "c"):
        file_system.open(root / name, create=True).close()
    file_system.make_directory(root / "aa" / "deep")

    assert file_system.list_directory(root) == ["a", "aa", "b", "c"]
    assert file_system.is_directory(root / "aa" / "deep")
    assert not file_system.is_directory(root / "a")
    assert file_system.exists(root / "a")
    assert not file_system.exists(root / "nothing")
    with pytest.raises(FileNotFoundError):
        file_system.list_directory(root / "nothing")


def test_a_rename_replaces_the_target_and_open_files_stay_open(file_system: FileSystem, root: Path) -> None:
    write_whole(file_system, root / "new", b"new")
    write_whole(file_system, root / "old", b"old")
    opened = file_system.open(root / "old")

    file_system.rename(root / "new", root / "old")

    assert file_system.list_directory(root) == ["old"]
    assert read_whole(file_system, root / "old") == b"new"
    assert opened.read_at(0, 3) == b"old"
    opened.close()


def test_a_directory_can_be_renamed_and_removed_with_all_that_is_in_it(
    file_system: FileSystem, root: Path
) -> None:
    file_system.make_directory(root / "a" / "b")
    write_whole(file_system, root / "a" / "b" / "c", b"c")

    file_system.rename(root / "a", root / "z")
    assert read_whole(file_system, root / "z" / "b" / "c") == b"c"
    remove_tree(file_system, root / "z")

    assert file_system.list_directory(root) == []


def test_only_empty_directories_can_be_removed(file_system: FileSystem, root: Path) -> None:
    write_whole(file_system, root / "a", b"a")

    with pytest.raises(StorageError):
        file_system.remove_directory(root)
    file_system.remove(root / "a")
    file_system.remove_directory(root)

    assert not file_system.exists(root)
    with pytest.raises(FileNotFoundError):
        file_system.remove(root / "a")


def test_a_disk_tells_its_space(file_system: FileSystem, root: Path) -> None:
    space = file_system.space(root)

    assert 0 < space.usable_bytes <= space.total_bytes
    with pytest.raises(FileNotFoundError):
        file_system.space(root / "missing")


def test_a_file_knows_when_its_bytes_changed_last(root: Path) -> None:
    clock = ManualClock(1_000)
    disk = SimDisk(clock=clock)
    disk.make_directory(root)
    file = disk.open(root / "a", create=True)
    clock.advance(500)
    file.append([b"abc"])
    file.sync()
    clock.advance(500)
    disk.rename(root / "a", root / "b")
    disk.sync_directory(root)

    assert disk.modified_ms(root / "b") == 1_500
    disk.crash()
    disk.make_directory(root)
    with pytest.raises(FileNotFoundError):
        disk.modified_ms(root / "a")


def test_the_time_of_a_missing_file_is_an_error(file_system: FileSystem, root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_system.modified_ms(root / "missing")
