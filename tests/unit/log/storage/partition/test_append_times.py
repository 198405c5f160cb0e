"""A history that was just loaded stays for ``retention.ms``, over restarts, crashes and compaction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from streamcore.clock import ManualClock
from streamcore.errors import UnsupportedVersionError
from streamcore.log.records.builder import encode_batch
from streamcore.log.storage.files import PosixFileSystem, write_whole
from streamcore.log.storage.log_manager import LogManager
from streamcore.log.storage.partition.append_times import APPEND_TIMES_NAME
from tests.support.partition_fixture import NOW_MS, ROOT, TARGET, OnePartition

YEAR_MS = 365 * 86_400_000
HOUR_MS = 3_600_000
FILE = ROOT / "t-0" / APPEND_TIMES_NAME


def loaded(count: int = 4) -> OnePartition:
    """A topic that keeps an hour, with records of three years ago in as many segments."""
    one = OnePartition(segment_bytes="200", retention_ms=str(HOUR_MS))
    for index in range(count):
        one.append(b"%d" % index * 50, time_ms=NOW_MS - 3 * YEAR_MS + index)
    one.log.sync()
    return one


def kept(one: OnePartition) -> int:
    one.manager.maintain()
    return one.log.offsets.log_end - one.log.offsets.log_start


def test_retention_deletes_no_record_appended_less_than_its_time_ago() -> None:
    one = loaded()
    one.clock.advance(HOUR_MS)
    assert kept(one) == 4

    one.clock.advance(1)
    assert kept(one) == 0


def test_each_segment_is_as_old_as_its_own_last_append() -> None:
    one = loaded(2)
    one.clock.advance(HOUR_MS - 10)
    one.append(b"2" * 50, time_ms=NOW_MS - 3 * YEAR_MS)
    one.log.sync()
    one.clock.advance(11)

    assert kept(one) == 1


@pytest.mark.parametrize("start_again", [OnePartition.reopen, OnePartition.crash, OnePartition.leave])
@pytest.mark.parametrize("maintains_first", [False, True])
def test_the_time_of_the_append_is_known_after_a_restart(
    start_again: Callable[[OnePartition], object], maintains_first: bool
) -> None:
    one = loaded()
    one.clock.advance(HOUR_MS // 2)
    if maintains_first:
        one.manager.maintain()
    one.clock.advance(HOUR_MS // 2)
    start_again(one)
    assert kept(one) == 4

    one.clock.advance(1 if start_again is OnePartition.reopen else HOUR_MS + 1)
    start_again(one)
    assert kept(one) == 0


def test_a_copy_of_a_closed_folder_knows_the_times_from_its_file() -> None:
    one = loaded()
    one.manager.close()
    one.clock.advance(HOUR_MS + 1)
    for name in one.disk.list_directory(ROOT / "t-0"):
        if name.endswith(".log"):
            copy = one.disk.open(ROOT / "t-0" / name)
            copy.truncate(copy.size())
            copy.close()
    one.manager = one._open()

    assert kept(one) == 0


def test_without_the_file_the_times_of_the_data_files_count() -> None:
    one = loaded()
    one.reopen()
    one.disk.remove(FILE)
    one.clock.advance(HOUR_MS)
    one.leave()
    assert kept(one) == 4

    one.clock.advance(1)
    assert kept(one) == 0


@pytest.mark.parametrize(
    "content", [b"", b"0\n9\n", b"0\n1\n0 1\n", b"0\n1\n0 1 x\n", b"\0" * 64, b"0\n1\nx 1 5\n"]
)
def test_a_damaged_file_is_ignored_and_written_again(
    content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    one = loaded()
    one.reopen()
    write_whole(one.disk, FILE, content)
    one.clock.advance(HOUR_MS)
    one.leave()

    assert kept(one) == 4
    assert "append-times cannot be read" in caplog.text
    assert one.disk.open(FILE).size() > len(content) or content.startswith(b"\0")


def test_a_file_of_a_newer_version_is_refused_and_nothing_deleted() -> None:
    one = loaded()
    one.reopen()
    write_whole(one.disk, FILE, b"7\n0\n")
    one.leave()
    one.clock.advance(2 * HOUR_MS)

    with pytest.raises(UnsupportedVersionError):
        one.manager.maintain()
    assert one.log.offsets.log_start == 0


def test_compaction_does_not_make_records_younger() -> None:
    one = OnePartition(
        segment_bytes="200",
        retention_ms=str(HOUR_MS),
        cleanup_policy="compact,delete",
        min_cleanable_dirty_ratio="0",
    )
    for index in range(4):
        one.append(b"%d" % index * 50, time_ms=NOW_MS - YEAR_MS + index)
    one.log.sync()
    one.clock.advance(HOUR_MS)
    one.manager.maintain()
    assert len(one.values()) == 2, "the active segment and the newest record before it"

    one.clock.advance(1)
    assert kept(one) == 0


def test_a_segment_that_is_appended_to_after_a_restart_is_young_again() -> None:
    one = loaded(1)
    one.reopen()
    one.clock.advance(HOUR_MS)
    one.append(b"1", time_ms=5)
    one.log.sync()
    one.clock.advance(HOUR_MS)
    one.leave()

    assert kept(one) == 2


def test_records_without_any_time_are_deleted_by_their_append() -> None:
    one = OnePartition(retention_ms=str(HOUR_MS))
    one.append(b"v", time_ms=-1)
    one.log.sync()
    one.clock.advance(HOUR_MS)
    assert kept(one) == 1

    one.clock.advance(1)
    assert kept(one) == 0


def test_a_topic_that_keeps_everything_has_no_such_file() -> None:
    one = OnePartition()
    one.append(b"v")
    one.reopen()
    one.manager.maintain()

    assert not one.disk.exists(FILE)


def test_on_a_real_disk_the_times_of_the_data_files_count_after_a_kill(tmp_path: Path) -> None:
    disk = PosixFileSystem()
    first = LogManager.open(tmp_path / "log", file_system=disk, clock=ManualClock(NOW_MS))
    first.create_topic("t", 1, {"retention.ms": str(HOUR_MS)})
    first.partition(TARGET).append(encode_batch([None], [b"v"], [5]), now_ms=NOW_MS)
    first.partition(TARGET).sync()
    modified_ms = disk.modified_ms(tmp_path / "log" / "t-0" / f"{0:020}.log")

    for now_ms, start in [(modified_ms + HOUR_MS, 0), (2 * modified_ms, 1)]:
        manager = LogManager.open(tmp_path / "log", file_system=disk, clock=ManualClock(now_ms))
        manager.partition(TARGET).apply_retention(now_ms)
        assert manager.partition(TARGET).offsets.log_start == start


# --- what is said about it ------------------------------------------------------------------------


def test_deletions_by_retention_are_logged_with_size_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    one = loaded()
    one.clock.advance(HOUR_MS + 1)
    with caplog.at_level(logging.INFO):
        one.manager.maintain()

    (line,) = [record.getMessage() for record in caplog.records if "deleted" in record.getMessage()]
    assert line.startswith("deleted from t-0: 4 segments with offsets 0 to 3, ")
    assert line.endswith("4 older than retention.ms=3600000")


def test_a_deletion_by_size_or_by_request_is_logged_too(caplog: pytest.LogCaptureFixture) -> None:
    one = OnePartition(segment_bytes="200", retention_bytes="250")
    for _ in range(4):
        one.append(b"x" * 50)
    one.log.sync()
    with caplog.at_level(logging.INFO):
        one.manager.maintain()
        one.log.delete_records_before(3)

    assert "deleted from t-0: 1 segments with offsets 0 to 0, " in caplog.text
    assert "1 beyond retention.bytes=250" in caplog.text
    assert "2 before the log start" in caplog.text


def test_a_record_of_the_future_that_holds_retention_up_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = OnePartition(
        segment_bytes="200", retention_ms=str(HOUR_MS), message_timestamp_after_max_ms=str(2**62)
    )
    for time_ms in (NOW_MS + YEAR_MS, NOW_MS, NOW_MS):
        one.append(b"x" * 50, time_ms=time_ms)
    one.log.sync()
    assert kept(one) == 3
    assert "future" not in caplog.text

    one.clock.advance(HOUR_MS + 1)
    assert kept(one) == 3
    assert kept(one) == 3
    (line,) = [text for text in caplog.messages if "future" in text]
    assert "keeps t-0 from being deleted" in line
    assert f"segment=0 timestamp_ms={NOW_MS + YEAR_MS} retention_ms=3600000" in line

    one.clock.advance(YEAR_MS)
    assert kept(one) == 0
