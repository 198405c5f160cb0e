"""What a simulated disk keeps and forgets."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamcore.errors import StorageError
from streamcore.log.storage.files import read_whole, write_whole
from streamcore.testing.sim_content import SECTOR_BYTES
from streamcore.testing.sim_disk import PowerCut, SimDisk

ROOT = Path("/data")
SEEDS = range(300)


def disk_with_root(seed: int) -> SimDisk:
    disk = SimDisk(seed)
    disk.make_directory(ROOT)
    disk.sync_directory(Path("/"))
    return disk


def test_a_crash_keeps_what_was_synced_whatever_the_seed() -> None:
    for seed in SEEDS:
        disk = disk_with_root(seed)
        file = disk.open(ROOT / "a", create=True)
        file.append([b"s" * 700])
        file.sync()
        disk.sync_directory(ROOT)
        file.append([b"u" * 5000])

        disk.crash()

        assert read_whole(disk, ROOT / "a").startswith(b"s" * 700)


def test_a_crash_leaves_every_kind_of_tail() -> None:
    tails = set()
    for seed in SEEDS:
        disk = disk_with_root(seed)
        write_whole(disk, ROOT / "a", b"s" * 100)
        file = disk.open(ROOT / "a")
        file.append([b"u" * 2000])

        disk.crash()

        tail = read_whole(disk, ROOT / "a")[100:]
        assert set(tail) <= {0, ord("u")}
        if tail == b"":
            tails.add("lost")
        elif tail == b"u" * 2000:
            tails.add("whole")
        elif tail == b"u" * len(tail):
            tails.add("torn")
        elif tail == bytes(2000):
            tails.add("zeroed")
        elif tail.endswith(b"u") and len(tail) == 2000:
            tails.add("hole")
    assert tails == {"lost", "whole", "torn", "zeroed", "hole"}


def test_a_write_within_one_sector_happens_or_does_not() -> None:
    for seed in SEEDS:
        disk = disk_with_root(seed)
        write_whole(disk, ROOT / "a", b"")
        file = disk.open(ROOT / "a")
        file.append([b"x" * SECTOR_BYTES * 3])

        disk.crash()

        data = read_whole(disk, ROOT / "a")
        sectors = [data[start : start + SECTOR_BYTES] for start in range(0, len(data), SECTOR_BYTES)]
        assert all(len(set(sector)) == 1 for sector in sectors)


def test_an_unsynced_name_may_or_may_not_survive_a_crash() -> None:
    outcomes = set()
    for seed in SEEDS:
        disk = disk_with_root(seed)
        write_whole(disk, ROOT / "old", b"old")
        write_whole(disk, ROOT / "gone", b"gone")
        file = disk.open(ROOT / "new", create=True)
        file.append([b"new"])
        file.sync()
        disk.rename(ROOT / "new", ROOT / "old")
        disk.remove(ROOT / "gone")

        disk.crash()

        outcomes.add((disk.exists(ROOT / "gone"), read_whole(disk, ROOT / "old")))
    assert outcomes == {(gone, data) for gone in (True, False) for data in (b"old", b"new")}


def test_a_directory_whose_parent_was_not_synced_may_take_synced_files_with_it() -> None:
    survived = set()
    for seed in SEEDS:
        disk = disk_with_root(seed)
        disk.make_directory(ROOT / "topic-0")
        write_whole(disk, ROOT / "topic-0" / "a", b"a")

        disk.crash()

        survived.add(disk.exists(ROOT / "topic-0" / "a"))
    assert survived == {True, False}


def test_the_power_goes_off_at_the_operation_that_was_asked_for_and_stays_off() -> None:
    disk = disk_with_root(0)
    disk.crash_at(2)
    file = disk.open(ROOT / "a", create=True)

    with pytest.raises(PowerCut):
        file.append([b"a"])
    with pytest.raises(PowerCut):
        file.append([b"a"])
    with pytest.raises(PowerCut):
        disk.exists(ROOT)
    disk.crash()

    assert disk.exists(ROOT)
    with pytest.raises(StorageError):
        file.append([b"a"])
    file.close()


def test_a_full_disk_writes_a_part_and_says_so() -> None:
    disk = disk_with_root(0)
    file = disk.open(ROOT / "a", create=True)
    disk.fill_after(5)
    file.append([b"abc"])

    with pytest.raises(StorageError, match="no space left"):
        file.append([b"defg"])
    assert file.read_at(0, 10) == b"abcde"
    file.truncate(3)
    file.append([b"xy"])

    assert file.read_at(0, 10) == b"abcxy"


def test_what_a_failed_sync_dropped_stays_readable_but_a_later_sync_does_not_save_it() -> None:
    lost = set()
    for seed in SEEDS:
        disk = disk_with_root(seed)
        write_whole(disk, ROOT / "a", b"a")
        file = disk.open(ROOT / "a")
        file.append([b"b"])
        disk.fail_sync()
        with pytest.raises(StorageError):
            file.sync()
        assert file.read_at(0, 2) == b"ab"
        file.append([b"c"])
        file.sync()

        disk.crash()

        lost.add(read_whole(disk, ROOT / "a"))
    assert lost == {b"abc", b"a\0c"}


def test_the_same_seed_and_calls_give_the_same_trace_and_the_same_disk() -> None:
    def run(seed: int) -> tuple[str, bytes]:
        disk = disk_with_root(seed)
        write_whole(disk, ROOT / "a", b"a")
        disk.open(ROOT / "a").append([b"b" * 3000])
        disk.crash()
        return disk.trace_digest(), read_whole(disk, ROOT / "a")

    assert run(5) == run(5)
    assert len({run(seed)[1] for seed in range(20)}) > 1


def test_damage_is_durable_at_once() -> None:
    disk = disk_with_root(0)
    write_whole(disk, ROOT / "a", b"0123456789")

    disk.damage(ROOT / "a", 3, b"xx")
    disk.crash()

    assert read_whole(disk, ROOT / "a") == b"012xx56789"


def test_the_end_of_the_process_loses_nothing_but_its_open_files() -> None:
    disk = disk_with_root(0)
    file = disk.open(ROOT / "a", create=True)
    file.append([b"unsynced"])

    disk.kill()

    assert read_whole(disk, ROOT / "a") == b"unsynced"
    with pytest.raises(StorageError, match="has ended"):
        file.append([b"x"])
    file.close()


def test_what_a_failed_sync_dropped_is_read_until_the_crash_unless_it_is_written_again() -> None:
    lost_count = 0
    for seed in SEEDS:
        for is_written_again in (False, True):
            disk = disk_with_root(seed)
            file = disk.open(ROOT / "a", create=True)
            file.append([b"x" * 700])
            disk.sync_directory(ROOT)
            disk.fail_sync()
            with pytest.raises(StorageError):
                file.sync()
            disk.kill()
            file = disk.open(ROOT / "a")
            assert file.read_at(0, 1000) == b"x" * 700
            if is_written_again:
                file.write_again(0)
            file.sync()

            disk.crash()

            is_done = read_whole(disk, ROOT / "a") == b"x" * 700
            assert is_done or not is_written_again
            lost_count += not is_done
    assert lost_count > len(SEEDS) / 2


def test_a_crash_while_synced_bytes_are_written_again_leaves_them_as_they_were() -> None:
    for seed in SEEDS:
        disk = disk_with_root(seed)
        file = disk.open(ROOT / "a", create=True)
        file.append([b"s" * 3000])
        file.sync()
        disk.sync_directory(ROOT)
        file.write_again(100)
        file.append([b"u" * 3000])

        disk.crash()

        assert read_whole(disk, ROOT / "a").startswith(b"s" * 3000)
