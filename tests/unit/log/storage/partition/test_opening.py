"""Opening a log after a clean stop, after a crash, and with damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamcore.errors import CorruptDataError, StorageError, UnsupportedVersionError
from streamcore.log.records.batch import patch_checksum, patch_offsets
from streamcore.log.records.builder import encode_batch
from streamcore.log.storage.checkpoints import RECOVERY_POINTS
from streamcore.log.storage.files import read_whole, write_whole
from streamcore.log.storage.log_manager import CLEAN_STOP_NAME
from streamcore.log.storage.partition.offset_lookup import FoundOffset, offset_for_time
from streamcore.log.storage.segment.log_files import FileKind, file_path
from tests.support.partition_fixture import NOW_MS, ROOT, OnePartition

DIRECTORY = ROOT / "t-0"
FIRST = file_path(DIRECTORY, 0, FileKind.DATA)


def filled(*, segment_bytes: str = "100000", index_interval_bytes: str = "4096") -> OnePartition:
    one = OnePartition(segment_bytes=segment_bytes, index_interval_bytes=index_interval_bytes)
    for number in range(10):
        one.append(b"%d" % number * 60)
        one.log.sync()
    return one


def data_paths(one: OnePartition) -> list[Path]:
    return [DIRECTORY / name for name in one.disk.list_directory(DIRECTORY) if name.endswith(".log")]


@pytest.mark.parametrize("seed", range(20))
def test_records_read_after_a_failed_sync_and_a_restart_stay(seed: int) -> None:
    one = OnePartition(seed=seed)
    one.append(b"acknowledged")
    one.log.sync()
    one.append(b"x" * 5000)
    one.disk.fail_sync(1)
    with pytest.raises(StorageError):
        one.log.sync()
    one.leave()
    visible = one.values()

    one.crash()

    assert visible == [b"acknowledged", b"x" * 5000]
    assert one.values() == visible


def test_a_clean_stop_is_noted_and_the_note_is_gone_once_the_log_is_used() -> None:
    one = filled()
    one.manager.close()
    assert one.disk.exists(ROOT / CLEAN_STOP_NAME)

    one.leave()

    assert not one.disk.exists(ROOT / CLEAN_STOP_NAME)
    assert len(one.values()) == 10


def test_the_high_watermark_after_a_crash_is_the_end_of_what_was_found() -> None:
    one = filled()
    one.append(b"unsynced")

    offsets = one.leave().offsets

    assert offsets.high_watermark == offsets.log_end == 11
    assert one.crash().offsets.log_end == 11


@pytest.mark.parametrize("tail", [bytes(300), b"\xff" * 300, b"\x00" * 11, b"short"])
def test_a_torn_tail_is_cut_off(tail: bytes) -> None:
    one = filled()
    one.manager.checkpoint()
    file = one.disk.open(FIRST)
    file.append([tail])

    one.leave()

    assert len(one.values()) == 10
    assert one.append(b"next").base_offset == 10


def test_damage_before_the_recovery_point_is_refused_and_nothing_is_changed() -> None:
    one = filled()
    one.manager.checkpoint()
    one.disk.damage(FIRST, 100, b"\xff")
    before = read_whole(one.disk, FIRST)

    with pytest.raises(CorruptDataError, match=r"00000000000000000000\.log position=0 offset=0") as refusal:
        one.leave()

    assert "restore" in str(refusal.value)
    assert read_whole(one.disk, FIRST) == before


def test_damage_in_a_middle_segment_drops_no_later_segment() -> None:
    one = filled(segment_bytes="300")
    one.reopen()
    paths = data_paths(one)
    assert len(paths) > 3
    one.disk.damage(paths[1], 100, b"\xff\xff")

    one.leave()

    assert data_paths(one) == paths
    assert one.log.offsets.log_end == 10
    with pytest.raises(CorruptDataError):
        one.values()


def test_valid_batches_behind_damage_after_the_recovery_point_are_kept_aside() -> None:
    one = filled()
    assert not one.disk.exists(ROOT / RECOVERY_POINTS)
    whole = read_whole(one.disk, FIRST)
    size = len(whole) // 10
    one.disk.damage(FIRST, 3 * size + 100, b"\xff")

    one.leave()

    assert len(one.values()) == 3
    kept = read_whole(one.disk, DIRECTORY / f"{FIRST.name}.{3 * size}.cut")
    assert kept[size:] == whole[4 * size :]


def test_missing_durable_data_is_refused() -> None:
    one = filled()
    one.manager.checkpoint()
    file = one.disk.open(FIRST)
    file.truncate(0)

    with pytest.raises(CorruptDataError, match=r"log_end=0 recovery_point=10"):
        one.leave()


def test_a_batch_of_a_newer_format_is_refused_not_cut_off() -> None:
    one = filled()
    batch = encode_batch([b"k"], [b"v"], [NOW_MS])
    patch_offsets(batch, 10, 0)
    batch[16] = 3
    patch_checksum(batch)
    file = one.disk.open(FIRST)
    file.append([batch])
    size = file.size()

    with pytest.raises(UnsupportedVersionError, match="upgrade"):
        one.leave()

    assert one.disk.open(FIRST).size() == size


@pytest.mark.parametrize("suffix", ["index", "timeindex"])
@pytest.mark.parametrize("content", [None, b"", b"abc", bytes(24), b"\xff" * 24])
def test_indexes_are_rebuilt_when_they_are_missing_or_damaged(suffix: str, content: bytes | None) -> None:
    one = filled(segment_bytes="500", index_interval_bytes="0")
    one.manager.close()
    for name in one.disk.list_directory(DIRECTORY):
        if name.endswith("." + suffix):
            if content is None:
                one.disk.remove(DIRECTORY / name)
            else:
                write_whole(one.disk, DIRECTORY / name, content)

    one.leave()

    assert len(one.values()) == 10
    assert offset_for_time(one.log, NOW_MS) == FoundOffset(0, NOW_MS, 0)
    assert offset_for_time(one.log, NOW_MS + 1) is None


def test_damaged_snapshots_are_rebuilt_from_the_log() -> None:
    one = OnePartition(segment_bytes="300")
    for number in range(10):
        one.append(b"x" * 50, producer_id=5, sequence=number)
    one.manager.close()
    for name in one.disk.list_directory(DIRECTORY):
        if name.endswith(".snapshot"):
            one.disk.damage(DIRECTORY / name, 8, b"\xff")

    one.leave()

    assert one.append(b"x" * 50, producer_id=5, sequence=9).is_duplicate


def test_a_transaction_that_was_ended_is_not_open_again_after_compaction_and_a_crash() -> None:
    one = OnePartition(
        cleanup_policy="compact,delete",
        segment_bytes="400",
        min_cleanable_dirty_ratio="0",
        delete_retention_ms="0",
    )
    one.append(b"a", producer_id=13, transactional=True)
    one.log.roll()  # the snapshot here has the transaction open
    one.end(13, commit=True)
    one.append(b"b")
    one.log.roll()
    one.log.sync()
    one.log.delete_records_before(1)
    one.manager.maintain()
    one.clock.advance(1)
    one.append(b"c")
    one.log.roll()
    one.leave()
    one.manager.maintain()

    one.leave()

    assert one.log.offsets.last_stable == one.log.offsets.log_end
    assert one.values() == [b"c"]


def test_leftovers_of_a_crash_are_removed() -> None:
    one = filled()
    leftovers = [
        "00000000000000000000.log.cleaned",
        "00000000000000000000.txnindex.swap",
        "00000000000000000007.index",
        "00000000000000000099.snapshot",
        "x.tmp",
    ]
    for name in leftovers:
        write_whole(one.disk, DIRECTORY / name, b"x")

    one.leave()

    assert not set(leftovers) & set(one.disk.list_directory(DIRECTORY))


def test_a_partition_without_data_files_is_refused() -> None:
    one = filled()
    one.disk.remove(FIRST)

    with pytest.raises(CorruptDataError, match="no data files"):
        one.leave()


@pytest.mark.parametrize("seed", range(20))
def test_a_crash_loses_only_what_was_not_synced(seed: int) -> None:
    one = OnePartition(seed=seed, segment_bytes="400")
    for number in range(20):
        one.append(b"%02d" % number * 30)
        if number == 12:
            one.log.sync()

    one.crash()

    values = one.values()
    assert len(values) >= 13
    assert values == [b"%02d" % number * 30 for number in range(len(values))]
